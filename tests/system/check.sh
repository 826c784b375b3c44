#!/bin/bash
# The installed service under a real systemd; runs inside boot.sh: make check-system [TESTS=word]
#
#   check.sh WORD [MAKE-VARIABLE…]     the install, and of the other rows those with the word in their function; "" for all
#
# A line a row, `ok`, `FAILED` or `skipped`; what a failed row did follows it. The last line is `N rows, M skipped, K failed`.
set -u
shopt -s inherit_errexit
export LC_ALL=C.UTF-8 SYSTEMD_COLORS=0 SYSTEMD_PAGER=

word=$1
shift
make_variables=("$@")
source=/opt/source
url=http://127.0.0.1:7733
config=/etc/runnel/runneld.conf
drop_ins=/etc/systemd/system/runneld.service.d
shipped=/usr/local/share/runnel/systemd
work=/run/check
rows=0
skipped=0
failed=0
mkdir -p $work

# ---- What rows are made of. ----

# Unlike `!`, it ends a row.
not() {
    if "$@"; then
        return 1
    fi
}

# eventually SECONDS COMMAND…: until it succeeds.
eventually() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || {
            echo "not within its time: $*"
            return 1
        }
        sleep 0.05
    done
}

property() {
    systemctl show -P "$1" runneld.service
}

# is PROPERTY VALUE
is() {
    [ "$(property "$1")" = "$2" ]
}

# The journal of the run that started() began.
journal() {
    journalctl --sync
    journalctl "_SYSTEMD_INVOCATION_ID=$(cat $work/invocation)" -o cat "$@"
}

journal_has() {
    journal >$work/lines
    grep -q -- "$1" $work/lines
}

api() {
    local path=$1
    shift
    curl -sS --max-time 60 "$@" "$url$path"
}

# The task of a script, as it is when it has ended.
run() {
    jq -n --arg script "$1" '{kind: "sh", args: {script: $script}}' | api '/v1/tasks?wait=60s' --json @-
}

# The id of a task that runs a script; it is not waited for.
begin() {
    local id
    id=$(jq -n --arg script "$1" '{kind: "sh", args: {script: $script}}' | api /v1/tasks --json @- | jq .id)
    eventually 10 state_is "$id" running >&2
    echo "$id"
}

state_is() {
    [ "$(api "/v1/tasks/$1" | jq -r .state)" = "$2" ]
}

# ends ID STATE
ends() {
    local task
    task=$(api "/v1/tasks/$1?wait=60s")
    echo "$task"
    [ "$(jq -r .state <<<"$task")" = "$2" ]
}

# What a script prints that has to succeed.
output_of() {
    local task
    task=$(run "$1")
    [ "$(jq -r .state <<<"$task")" = succeeded ] || {
        echo "$task" >&2
        return 1
    }
    jq -r '.result // ""' <<<"$task"
}

write_config() {
    cat >$config <<'EOF'
log_level = "info";
queue: { default: { workers = 8; }; single: { workers = 1; }; };
kind: {
  echo: { builtin = "echo"; };
  sleep: { builtin = "sleep"; };
  sh: { command = ["/bin/sh", "-c", "{script}"]; stdin = "none"; max_output = "1MiB"; };
};
EOF
}

drop_in() {
    mkdir -p $drop_ins
    cat >"$drop_ins/$1.conf"
}

# Everything as after the install, nothing started.
stopped() {
    systemctl -q stop runneld.socket runneld.service
    systemctl -q reset-failed runneld.socket runneld.service 2>/dev/null || true # it knows none that never failed
    rm -rf $drop_ins /var/lib/runnel /var/lib/private/runnel /etc/runnel/tokens $work/standard $work/strict
    write_config
    systemctl daemon-reload
}

started() {
    systemctl daemon-reload
    systemctl start runneld
    property InvocationID >$work/invocation
}

# A running service as shipped, which rows that leave it so share.
standard() {
    if [ -e $work/standard ] && is ActiveState active; then
        return
    fi
    stopped
    started
    touch $work/standard
}

# row 'sentence' FUNCTION [ARGUMENT…]: each in a shell of its own, which any command that fails ends.
row() {
    local sentence=$1 status began
    shift
    [[ $1 == *$word* || $1 == install ]] || return 0
    rows=$((rows + 1))
    began=$(date +%s%N)
    (
        set -eEx -o pipefail
        "$@"
    ) >$work/log 2>&1
    status=$?
    if [ $status -eq 77 ]; then
        skipped=$((skipped + 1))
        echo "skipped $sentence: $(tail -n 1 $work/log)"
    elif [ $status -eq 0 ]; then
        printf 'ok      %s (%d ms)\n' "$sentence" $((($(date +%s%N) - began) / 1000000))
    else
        failed=$((failed + 1))
        echo "FAILED  $sentence"
        tail -n 60 $work/log | sed 's/^/    /'
        journalctl -u runneld -o cat -n 15 | sed 's/^/    journal: /'
        rm -f $work/standard
    fi
}

# ---- Install, start, log. ----

install() {
    make -s -C $source "${make_variables[@]}" install
    [ -x /usr/local/bin/runneld ]
    [ -e $shipped/strict.conf ]
    [ -e $shipped/examples/jit.conf ]
    [ "$(getent passwd runnel | cut -d: -f6)" = /var/lib/runnel ]
    systemctl cat runneld.service runneld.socket >/dev/null
}

clean_units() {
    cd $source
    .ci/units.sh
}

first_task() {
    rm -f $config
    cp $source/config/runneld.conf $config
    systemctl enable --now runneld
    # No wait: systemctl has returned when tasks are accepted.
    [ "$(api '/v1/tasks?wait=5s' --json '{"kind": "echo", "args": "hello"}' | jq -r .result)" = hello ]
    is ActiveState active
    is NRestarts 0
    [ "$(stat -c '%U %a' /var/lib/runnel /run/runnel | tr '\n' ' ')" = 'runnel 700 runnel 755 ' ]
    [ "$(stat -c %U "/proc/$(property MainPID)")" != root ]
    systemctl disable runneld
    [ -z "$(find /etc/systemd/system -name runneld.service)" ]
}

status_text() {
    standard
    eventually 10 grep -q . <(property StatusText)
    systemctl status runneld >$work/status
    grep -E '^ *Status: ".*running.*waiting' $work/status
}

journal_fields() {
    standard
    local id
    id=$(run 'echo hello' | jq .id)
    eventually 10 journal_has "event=task_succeeded task=$id "
    journal -o json >$work/journal
    jq -se 'any(.RUNNEL_EVENT == "ready" and .PRIORITY == "5" and ._SYSTEMD_UNIT == "runneld.service")' $work/journal
    [ "$(jq -r "select(.RUNNEL_TASK == \"$id\") | .RUNNEL_KIND" $work/journal | sort -u)" = sh ]
    journalctl -u runneld "RUNNEL_TASK=$id" -o cat | grep task_succeeded
}

sandbox_told() {
    standard
    journal -o json | jq -r 'select(.RUNNEL_EVENT == "sandbox") | .RUNNEL_FORBIDS' >$work/forbids
    cat $work/forbids
    [ "$(wc -l <$work/forbids)" -eq 1 ]
    grep 'new privileges' $work/forbids
    grep 'system calls' $work/forbids
    grep '/home' $work/forbids
}

# ---- Reload. ----

again_is_seven() {
    [ "$(api '/v1/tasks?wait=5s' --json '{"kind": "again", "args": 7}' | jq .result)" = 7 ]
}

reload_taken() {
    stopped
    started
    local pid
    pid=$(property MainPID)
    sed -i 's/^kind: {/kind: { again: { builtin = "echo"; };/' $config
    systemctl reload runneld
    is MainPID "$pid"
    is ActiveState active
    # systemctl may be back before the signal has been taken.
    eventually 5 again_is_seven
}

reload_refused() {
    stopped
    started
    local pid
    pid=$(property MainPID)
    echo 'nonsense = ;' >>$config
    not systemctl reload runneld
    is MainPID "$pid"
    is ActiveState active
    [ "$(output_of 'echo still')" = still ]
    journalctl --sync
    journalctl -u runneld -o cat | grep "$config:"
}

# ---- Watchdog, crash, ends. ----

fed_watchdog() {
    stopped
    drop_in watchdog <<<$'[Service]\nWatchdogSec=2s'
    started
    local pid
    pid=$(property MainPID)
    [ "$(output_of 'sleep 5; echo "done"')" = 'done' ]
    is MainPID "$pid"
    is NRestarts 0
}

watchdog() {
    stopped
    drop_in watchdog <<<$'[Service]\nWatchdogSec=2s\nRestartSec=100ms'
    started
    local pid
    pid=$(property MainPID)
    kill -STOP "$pid"
    eventually 30 is NRestarts 1
    eventually 10 is ActiveState active
    [ "$(property MainPID)" != "$pid" ]
    journalctl --sync
    journalctl -u runneld -o cat | grep 'Watchdog timeout'
    [ "$(output_of 'echo back')" = back ]
}

killed() {
    stopped
    started
    local pid first n
    pid=$(property MainPID)
    begin 'exec sleep 86399' >$work/first
    for n in {1..20}; do
        api /v1/tasks --json "{\"kind\": \"sleep\", \"args\": {\"duration\": \"20ms\"}, \"queue\": \"single\", \"delay\": \"2s\"}" | jq .id
    done >$work/ids
    kill -KILL "$pid"
    eventually 20 is NRestarts 1
    eventually 10 is ActiveState active
    [ "$(property MainPID)" != "$pid" ]
    while read -r n; do
        ends "$n" succeeded
    done <$work/ids
    first=$(cat $work/first)
    [ "$(ends "$first" failed | jq -r .error.code)" = interrupted ]
    not pgrep -f 'sleep 86399'
}

drained() {
    stopped
    started
    local id
    id=$(begin 'sleep 2; echo "done"')
    systemctl stop runneld
    is Result success
    is ExecMainStatus 0
    journal_has 'event=stopped'
    systemctl start runneld
    [ "$(ends "$id" succeeded | jq -r '"\(.result) \(.attempt)"')" = 'done 1' ]
}

drained_at_deadline() {
    stopped
    sed -i '1i drain_timeout = "1s"; kill_grace = "1s";' $config
    started
    local id began=$SECONDS
    id=$(begin 'trap "" TERM; while :; do sleep 0.1; done')
    systemctl stop runneld
    [ $((SECONDS - began)) -lt 20 ]
    is Result success
    not grep -q . /sys/fs/cgroup/system.slice/runneld.service/cgroup.procs
    systemctl start runneld
    [ "$(ends "$id" failed | jq -r .error.code)" = interrupted ]
}

double_fork() {
    stopped
    started
    # Its own session, so that it outlives the attempt, whose group is killed.
    output_of '(setsid sh -c "trap \"\" TERM HUP; touch /var/tmp/there; exec sleep 86398" </dev/null >/dev/null 2>&1 &)
        while [ ! -e /var/tmp/there ]; do sleep 0.01; done'
    eventually 5 pgrep -f 'sleep 86398'
    systemctl stop runneld
    not pgrep -f 'sleep 86398'
    is Result success
}

# What cannot end better the next time is not tried again: it is failed, not waiting for a restart.
configuration_fault() {
    stopped
    echo 'nonsense = ;' >>$config
    not systemctl start runneld
    is ExecMainStatus 78
    is ActiveState failed
    is SubState failed
    is NRestarts 0
    journalctl --sync
    journalctl -u runneld -o cat | grep "$config:"
}

# ---- Sockets. ----

first_connection() {
    stopped
    systemctl start runneld.socket
    is ActiveState inactive
    [ "$(stat -c '%a %U %G' /run/runnel/runneld.sock)" = '660 root runnel' ]
    [ "$(run 'echo by TCP' | jq -r .result)" = 'by TCP' ]
    is ActiveState active
    setpriv --reuid=nobody --regid=runnel --clear-groups curl -sS --unix-socket /run/runnel/runneld.sock http://localhost/healthz
    not setpriv --reuid=nobody --regid=nogroup --clear-groups curl -sS --unix-socket /run/runnel/runneld.sock http://localhost/healthz
    systemctl stop runneld.service
    [ -S /run/runnel/runneld.sock ]
    curl -sS --max-time 20 --unix-socket /run/runnel/runneld.sock http://localhost/healthz
    is ActiveState active
}

ask_again_and_again() {
    while [ ! -e $work/enough ]; do
        if curl -sS --max-time 30 -o /dev/null "$1" "${@:2}"; then
            echo answered
        else
            echo failed
        fi
    done
}

# has_lines FILE COUNT
has_lines() {
    [ "$(wc -l <"$1")" -ge "$2" ]
}

no_refused_connection() {
    local times
    stopped
    systemctl start runneld.socket runneld.service
    rm -f $work/enough
    ask_again_and_again $url/healthz >$work/tcp &
    ask_again_and_again http://localhost/healthz --unix-socket /run/runnel/runneld.sock >$work/unix &
    for times in 1 2 3; do
        eventually 20 has_lines $work/tcp $((times * 5))
        eventually 20 has_lines $work/unix $((times * 5))
        systemctl restart runneld.service
    done
    eventually 20 has_lines $work/tcp 20
    touch $work/enough
    wait
    not grep -v answered $work/tcp $work/unix
}

# ---- The store. ----

# A store of the first version, on a disk so slow that one sync takes longer than the start may.
slow_migration() {
    stopped
    cat >$work/slow.c <<'EOF'
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
static int slow(long call, int fd)
{
    struct timespec time = {.tv_nsec = 600000000};
    nanosleep(&time, 0);
    return (int)syscall(call, fd);
}
int fsync(int fd) { return slow(SYS_fsync, fd); }
int fdatasync(int fd) { return slow(SYS_fdatasync, fd); }
EOF
    gcc -shared -fPIC -o /usr/local/lib/slow.so $work/slow.c
    command install -d -o runnel -g runnel -m 700 /var/lib/runnel
    tar -C /var/lib/runnel -xzf $source/tests/integration/stores/v1.tar.gz
    chown -R runnel:runnel /var/lib/runnel
    drop_in slow <<<$'[Service]\nTimeoutStartSec=1s\nEnvironment=LD_PRELOAD=/usr/local/lib/slow.so'
    local began=$SECONDS
    started
    [ $((SECONDS - began)) -gt 2 ]
    is NRestarts 0
    journal_has 'event=store_migrated'
    # The same start does not last that long for a daemon that says nothing.
    systemctl stop runneld
    drop_in slow <<<$'[Service]\nTimeoutStartSec=1s\nExecStart=\nExecStart=/bin/sleep 5\nRestart=no'
    systemctl daemon-reload
    not systemctl start runneld
    rm /usr/local/lib/slow.so
}

store_tools() {
    stopped
    started
    local id
    id=$(run 'echo kept' | jq .id)
    systemctl stop runneld
    # As root: done as the store's owner, or refused; either way the owner's files stay the owner's.
    runneld --check-store -c $config -o store=/var/lib/runnel/runnel.db || true
    [ -z "$(find /var/lib/runnel ! -user runnel)" ]
    setpriv --reuid=runnel --regid=runnel --clear-groups runneld --check-store -c $config -o store=/var/lib/runnel/runnel.db
    systemctl start runneld
    [ "$(ends "$id" succeeded | jq -r .result)" = kept ]
}

# ---- The sandbox. ----

# forbidden SCRIPT TEXT: fails with the text in the service, and not so for the same user outside of it.
forbidden() {
    standard
    local task
    mkdir -p /home/somebody
    echo private | tee /home/somebody/file /tmp/others
    setpriv --reuid=runnel --regid=runnel --clear-groups sh -c "$1" >$work/outside 2>&1 || true
    cat $work/outside
    not grep -q -- "$2" $work/outside
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
    [ "$(output_of 'curl -sf http://127.0.0.1:8731/LICENSE | sha256sum')" = "$(sha256sum <$source/LICENSE)" ]
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
    drop_in credentials <$shipped/examples/credentials.conf
    drop_in secret <<<$'[Service]\nEnvironment=SECRET=CANARY-ENVIRONMENT'
    started
    # shellcheck disable=SC2016 # the task's shell expands it
    output_of 'env; cat /proc/self/environ /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr "\0" "\n" | sed s/CANARY./x/; :' >$work/seen
    grep '^RUNNEL_TASK_ID=' $work/seen
    not grep -E 'CANARY|^SECRET|CREDENTIALS_DIRECTORY|NOTIFY_SOCKET|LISTEN_|JOURNAL_STREAM|INVOCATION_ID' $work/seen
    # The daemon has what the command has not seen.
    grep -q CANARY-TOKENS "/proc/$(property MainPID)/root/run/credentials/runneld.service/tokens"
    grep -qz CANARY-ENVIRONMENT "/proc/$(property MainPID)/environ"
    # shellcheck disable=SC2016
    [ "$(output_of 'head -c 1 /proc/$PPID/mem /proc/$PPID/environ 2>&1 | grep -cE "Permission denied|No such file"')" = 2 ]
}

# ---- Drop-ins. ----

strict_started() {
    if [ ! -e $work/strict ] || ! is ActiveState active; then
        stopped
        drop_in strict <$shipped/strict.conf
        started
        touch $work/strict
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
        drop_in strict <$shipped/strict.conf
    fi
    started
    run "$2" | jq -r .result >$work/before
    not grep -qx -- "$3" $work/before
    drop_in "with-$1" <"$shipped/examples/$1.conf"
    systemctl daemon-reload
    systemctl restart runneld
    [ "$(output_of "$2")" = "$3" ]
}

# ---- The end. ----

uninstall() {
    stopped
    rm -rf $drop_ins
    make -s -C $source "${make_variables[@]}" uninstall
    not systemctl cat runneld.service
    not systemctl cat runneld.socket
    find /run/boot/upper /usr/lib/systemd /etc/systemd ! -type d -name '*runnel*' | grep -v '^/run/boot/upper/etc/runnel/' >$work/left || true
    find /run/boot/upper/usr -type d -name '*runnel*' >>$work/left
    cat $work/left
    [ ! -s $work/left ]
    # Configuration, user and tasks are the administrator's.
    [ -e $config ]
    getent passwd runnel
}

mknod -m 666 /dev/device c 1 3
# A server that is reached as the machine itself and as another one.
ip address add 10.0.0.1/32 dev lo
(cd $source && exec python3 -m http.server 8731) >/dev/null 2>&1 &
server=$!
eventually 20 curl -sf http://10.0.0.1:8731/LICENSE

jit='const f = new Function("return 41 + 1"); console.log(f())'
threads='import threading; b = threading.Barrier(301); t = [threading.Thread(target=b.wait) for _ in range(300)]; [x.start() for x in t]; b.wait(); [x.join() for x in t]; print(len(t))'
wx='import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC); print("made")'

row 'make install puts the service in place' install
row 'systemd-analyze finds the units clean and their exposure low' clean_units
row 'start returns when tasks are accepted, and curl submits one' first_task
row 'systemctl status shows what the daemon does' status_text
row 'the journal has the fields of a task' journal_fields
row 'the log tells what the sandbox forbids' sandbox_told
row 'a reload takes a changed configuration over' reload_taken
row 'a reload of a faulty configuration fails, and the daemon goes on' reload_refused
row 'the watchdog is fed' fed_watchdog
row 'the watchdog has a stopped daemon started anew' watchdog
row 'after kill -9 it is started anew, with the queue intact' killed
row 'a stop waits for a long task' drained
row 'a stop ends at its deadline, whatever a task does' drained_at_deadline
row 'what a command left behind is gone after the stop' double_fork
row 'a configuration fault is not tried again' configuration_fault
row 'the first connection to a socket starts the service' first_connection
row 'no connection is refused while it is restarted' no_refused_connection
row 'a migration that takes longer than the start may is waited for' slow_migration
row 'store tools as root leave the service able to start' store_tools

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

row 'a configuration, a user and the tasks are all that make uninstall leaves' uninstall

kill $server
echo "$rows rows, $skipped skipped, $failed failed"
[ $failed -eq 0 ]
