# shellcheck shell=bash
# What boots a systemd as process 1 of name spaces of its own and takes it down again: for boot.sh, and for tests/packages/root.sh.
# Each of them makes another machine for it: what stands below here is the same for both.

path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
outer=
inner=
cgroup=
log=

cannot() {
    echo "${0##*/}: systemd cannot be booted here: $*" >&2
    exit 77
}

# ---- Inside, as process 1 ----

# fresh MODE FOLDER SIZE
fresh() {
    mkdir -p "$2" && mount -t tmpfs -o "mode=$1,size=$3" tmpfs "$2"
}

# make_devices FOLDER
make_devices() {
    local name major minor
    fresh 755 "$1" 4m
    while read -r name major minor; do
        mknod -m 666 "$1/$name" c "$major" "$minor"
    done <<<$'null 1 3\nzero 1 5\nfull 1 7\nrandom 1 8\nurandom 1 9\ntty 5 0'
    mkdir "$1/pts"
    fresh 1777 "$1/shm" 64m
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$1/pts"
    ln -s pts/ptmx "$1/ptmx"
    ln -s /proc/self/fd "$1/fd"
    ln -s /proc/self/fd/0 "$1/stdin"
    ln -s /proc/self/fd/1 "$1/stdout"
    ln -s /proc/self/fd/2 "$1/stderr"
}

# The kernel's settings can be read below FOLDER, not written.
keep_kernel() {
    mount --bind "$1/sys" "$1/sys"
    mount -o remount,bind,ro "$1/sys"
    if [ -e "$1/sysrq-trigger" ]; then
        mount --bind /dev/null "$1/sysrq-trigger"
    fi
}

# exec_systemd TARGET NAME=VALUE…: takes this process's place; the last step.
exec_systemd() {
    local target=$1
    shift
    # A unit's credentials are mounted by a helper process, and have to come from there to the unit.
    mount --make-rshared /
    exec env -i PATH=$path "$@" /lib/systemd/systemd --system --unit="$target" --log-target=journal-or-kmsg --show-status=no </dev/null
}

# ---- Outside ----

# Whatever ends the script: with the name space's process 1 everything inside is killed, and unshare dies with us.
take_down() {
    trap '' INT TERM HUP
    [ -z "$inner" ] || kill -KILL "$inner" 2>/dev/null
    [ -z "$outer" ] || kill -KILL "$outer" 2>/dev/null
    # A cgroup can be removed a moment after its last process has gone.
    for _ in {1..50}; do
        [ ! -d "$cgroup" ] || find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
        [ -d "$cgroup" ] || break
        sleep 0.1
    done
    rm -f "$log"
}

# What runs that were killed have left.
remove_left() {
    local left
    for left in "${cgroup%-*}"-*; do
        if [ -d "$left" ] && [ ! -d "/proc/${left##*-}" ]; then
            find "$left" -depth -type d -exec rmdir {} + 2>/dev/null
        fi
    done
}

# boot NAME SECONDS COMMAND…: the command, as process 1 of the name spaces, makes the machine and becomes systemd. Returns when that is up.
boot() {
    local name=$1 seconds=$2 program cgroups booted=
    shift 2
    [ "$(id -u)" -eq 0 ] || cannot 'that needs root'
    for program in /lib/systemd/systemd unshare nsenter setpriv ip pgrep pivot_root findmnt; do
        command -v "$program" >/dev/null || cannot "there is no $program"
    done
    cgroups=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
    [ -n "$cgroups" ] || cannot 'no cgroup version 2 is mounted'

    log=$(mktemp)
    cgroup=$cgroups/$name-$$
    trap take_down EXIT
    trap 'exit 143' TERM
    trap 'exit 130' INT HUP
    remove_left
    mkdir "$cgroup" 2>"$log" || cannot "$(cat "$log")"
    (
        echo "$BASHPID" >"$cgroup/cgroup.procs" || exit
        exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child=SIGKILL --mount --mount-proc --uts --ipc --net --cgroup "$@"
    ) >"$log" 2>&1 &
    outer=$!
    disown # nobody has to be told of its end

    for ((i = 0; i < seconds * 10; i++)); do
        kill -0 $outer 2>/dev/null || cannot "process 1 ended: $(tail -n 3 "$log")"
        [ -n "$inner" ] || inner=$(pgrep -P $outer)
        # What answers may still be on its way into its folder.
        [ -z "$inner" ] || booted=$(inside systemctl is-system-running 2>/dev/null)
        case $booted in running | degraded) return ;; esac
        sleep 0.1
    done
    cannot "after $seconds s it is '$booted': $(tail -n 3 "$log")"
}

# inside COMMAND…: runs it in the machine, as root.
inside() {
    nsenter -t "$inner" -a env -i PATH=$path HOME=/root LC_ALL=C.UTF-8 "$@"
}
