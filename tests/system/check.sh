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
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# shellcheck source=tests/system/rows.sh
. "$here/rows.sh"

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

# shellcheck source=tests/system/sandbox.sh
. "$here/sandbox.sh"

row 'a configuration, a user and the tasks are all that make uninstall leaves' uninstall

echo "$rows rows, $skipped skipped, $failed failed"
[ $failed -eq 0 ]
