# shellcheck shell=bash disable=SC2154 # the names of rows.sh
# What the sandbox of the installed service forbids and lets be done, as shipped, with strict.conf and with each example of a
# drop-in: the functions and their rows. Sourced by check.sh, where the service is installed, after rows.sh.

# ---- As shipped. ----

# forbidden SCRIPT TEXT: fails with the text in the service, and not so for the same user outside of it.
forbidden() {
    standard
    local task
    mkdir -p /home/somebody
    echo private | tee /home/somebody/file /tmp/others
    setpriv --reuid=runnel --regid=runnel --clear-groups sh -c "$1" >"$work/outside" 2>&1 || true
    cat "$work/outside"
    not grep -q -- "$2" "$work/outside"
    task=$(run "$1")
    echo "$task"
    [ "$(jq -r .state <<<"$task")" = failed ]
    jq -r '.exec | .stdout + .stderr' <<<"$task" | grep -- "$2"
}

# runs SCRIPT TEXT
runs() {
    standard
    [ "$(output_of "$1")" = "$2" ]
}

loopback() {
    standard
    [ "$(output_of 'curl -sf http://127.0.0.1:8731/LICENSE | sha256sum')" = "$(sha256sum <"$source/LICENSE")" ]
}

# needs PROGRAM ROW…: where it is installed for everybody.
needs() {
    if ! setpriv --reuid=runnel --regid=runnel --clear-groups sh -c "command -v $1" >/dev/null; then
        echo "there is no $1 that every user may run"
        exit 77
    fi
    shift
    "$@"
}

secrets() {
    stopped
    (
        umask 077
        echo CANARY-TOKENS >/etc/runnel/tokens
    )
    drop_in credentials <"$shipped/examples/credentials.conf"
    drop_in secret <<<$'[Service]\nEnvironment=SECRET=CANARY-ENVIRONMENT'
    started
    # shellcheck disable=SC2016 # the task's shell expands it
    output_of 'env; cat /proc/self/environ /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr "\0" "\n" | sed s/CANARY./x/; :' >"$work/seen"
    grep '^RUNNEL_TASK_ID=' "$work/seen"
    not grep -E 'CANARY|^SECRET|CREDENTIALS_DIRECTORY|NOTIFY_SOCKET|LISTEN_|JOURNAL_STREAM|INVOCATION_ID' "$work/seen"
    # The daemon has what the command has not seen.
    grep -q CANARY-TOKENS "/proc/$(property MainPID)/root/run/credentials/runneld.service/tokens"
    grep -qz CANARY-ENVIRONMENT "/proc/$(property MainPID)/environ"
    # shellcheck disable=SC2016
    [ "$(output_of 'head -c 1 /proc/$PPID/mem /proc/$PPID/environ 2>&1 | grep -cE "Permission denied|No such file"')" = 2 ]
}

# ---- Drop-ins. ----

strict_started() {
    if [ ! -e "$work/strict" ] || ! is ActiveState active; then
        stopped
        drop_in strict <"$shipped/strict.conf"
        started
        touch "$work/strict"
    fi
}

strict_forbids() {
    strict_started
    local task
    task=$(run "$1")
    echo "$task"
    [ "$(jq -r .state <<<"$task")" = failed ]
    [ -z "${2-}" ] || jq -r .error.message <<<"$task" | grep -- "$2"
}

strict_runs() {
    strict_started
    [ "$(output_of "$1")" = "$2" ]
}

strict_told() {
    strict_started
    journal -o json | jq -r 'select(.RUNNEL_EVENT == "sandbox") | .RUNNEL_FORBIDS' | grep 'writable memory'
}

# example NAME SCRIPT TEXT: without it (but with strict.conf where it says so) the script does not print the text, with it, it does.
example() {
    stopped
    mkdir -p /home/somebody /srv
    echo private >/home/somebody/file
    chown runnel /srv
    if head -n 1 "$shipped/examples/$1.conf" | grep -q 'with strict.conf'; then
        drop_in strict <"$shipped/strict.conf"
    fi
    started
    run "$2" | jq -r .result >"$work/before"
    not grep -qx -- "$3" "$work/before"
    drop_in "with-$1" <"$shipped/examples/$1.conf"
    systemctl daemon-reload
    systemctl restart runneld
    [ "$(output_of "$2")" = "$3" ]
}

# ---- The rows. ----

mknod -m 666 /dev/device c 1 3
# A server that is reached as the machine itself and as another one.
ip address add 10.0.0.1/32 dev lo
(cd "$source" && exec python3 -m http.server 8731) >/dev/null 2>&1 &
server=$!
eventually 20 curl -sf http://10.0.0.1:8731/LICENSE

jit='const f = new Function("return 41 + 1"); console.log(f())'
threads='import threading; b = threading.Barrier(301); t = [threading.Thread(target=b.wait) for _ in range(300)]; [x.start() for x in t]; b.wait(); [x.join() for x in t]; print(len(t))'
wx='import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC); print("made")'

row 'a command cannot write to /usr' forbidden 'touch /usr/local/x' 'Read-only file system'
row 'a command cannot write to /etc' forbidden 'touch /etc/x' 'Read-only file system'
row 'a command cannot write to the configuration' forbidden 'touch /etc/runnel/x' 'Read-only file system'
row 'a command cannot write to /var/log' forbidden 'touch /var/log/x' 'Read-only file system'
row 'a command does not see home directories' forbidden 'cat /home/somebody/file' 'Permission denied'
row "a command does not see the machine's /tmp" forbidden 'cat /tmp/others' 'No such file'
row 'a command cannot change the kernel' forbidden 'echo 1 > /sys/kernel/mm/ksm/run' 'Read-only file system'
row "a command does not see the kernel's settings" forbidden 'cat /proc/sys/kernel/ostype' 'No such file'
row "a command does not see others' processes" forbidden 'cat /proc/1/stat' 'No such file'
row 'a command cannot make name spaces' forbidden 'unshare --user --map-root-user true' 'Operation not permitted'
# shellcheck disable=SC2016
row 'a command cannot make a program that changes the user' forbidden 'touch /var/tmp/s$$ && chmod u+s /var/tmp/s$$' 'Operation not permitted'
row 'a command has no devices' forbidden 'cat /dev/device' 'No such file'
row 'a command has no other sockets' forbidden 'python3 -c "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"' 'Address family not supported'
row 'a command sees no secrets' secrets

row 'sha256sum of a file in /var/tmp runs' runs 'echo hello > /var/tmp/file && sha256sum /var/tmp/file' \
    '5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  /var/tmp/file'
row 'python3 runs' runs 'python3 -c "print(1)"' 1
row 'node runs' needs node runs "node -e '$jit'" 42
row 'curl reaches a loopback server' loopback
row 'a program with 300 threads runs' runs "python3 -c '$threads'" 300
row 'nice and taskset run' runs 'nice -n 5 taskset -c 0 echo nice' nice
# shellcheck disable=SC2016 # the task's shell expands it
row 'gzip, tar, sort and awk run' runs 'cd "$HOME" && seq 100 > a && gzip -k a && tar cf b a.gz && sort -R a | awk "{ n += \$1 } END { print n }"' 5050

row 'with strict.conf the log tells more' strict_told
row 'with strict.conf no executable memory is made' strict_forbids "python3 -c '$wx'"
row 'with strict.conf node fails, and the error names the sandbox' needs node strict_forbids "exec node -e '$jit'" sandbox
row 'with strict.conf priorities stay' strict_forbids 'taskset -c 0 true'
row 'with strict.conf no other machine is reached' strict_forbids 'exec curl -sSf --max-time 1 http://10.0.0.1:8731/LICENSE'
row 'with strict.conf python3, sort and sha256sum run' strict_runs 'python3 -c "print(1)" | sort | sha256sum | cut -c 1-8' 4355a46b
row 'with strict.conf a command that may not be executed names the sandbox' strict_forbids 'exec /home/somebody/program' sandbox

row 'home.conf shows home directories' example home 'cat /home/somebody/file' private
row 'deploy.conf lets commands write to /srv' example deploy 'echo new > /srv/file && cat /srv/file' new
row 'jit.conf lets programs compile' example jit "python3 -c '$wx'" made
row 'priority.conf lets priorities change' example priority 'taskset -c 0 echo nice' nice
row 'processes.conf shows processes and the machine' example processes 'ls -d /proc/1 /proc/meminfo | wc -l' 2
row 'other-users.conf takes a group' example other-users 'id -Gn | grep -ow www-data' www-data
row 'network.conf opens networks' example network 'curl -sSf --max-time 1 http://10.0.0.1:8731/LICENSE | head -n 1' 'MIT License'
# shellcheck disable=SC2016
row 'dynamic-user.conf has another user' example dynamic-user 'stat -c %U "$HOME" | grep -c "^runnel$" | tr 01 yn' y

kill $server
