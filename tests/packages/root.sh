#!/bin/bash
# Boots the systemd of a Debian in a folder as process 1 of name spaces of its own, runs a command there as root, and takes everything
# down again.
#
#   tests/packages/root.sh FOLDER SHARED COMMAND [ARGUMENT…]
#
# The folder stays as it is: what is written goes into memory, and with the machine. SHARED is another folder, /opt there, read-only.
# There is no network but a loopback device. The exit status is the command's; 77: no systemd can be booted here, and why.
set -u

path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

cannot() {
    echo "root.sh: systemd cannot be booted here: $*" >&2
    exit 77
}

# ---- Inside, as process 1: makes the machine and becomes systemd. ----

make_devices() {
    local name major minor
    mount -t tmpfs -o mode=755,size=4m tmpfs "$1"
    while read -r name major minor; do
        mknod -m 666 "$1/$name" c "$major" "$minor"
    done <<<$'null 1 3\nzero 1 5\nfull 1 7\nrandom 1 8\nurandom 1 9\ntty 5 0'
    mkdir "$1/pts" "$1/shm"
    mount -t tmpfs -o mode=1777,size=64m tmpfs "$1/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$1/pts"
    ln -s pts/ptmx "$1/ptmx"
    ln -s /proc/self/fd "$1/fd"
    ln -s /proc/self/fd/0 "$1/stdin"
    ln -s /proc/self/fd/1 "$1/stdout"
    ln -s /proc/self/fd/2 "$1/stderr"
}

become_systemd() {
    set -e
    local folder=$1 shared=$2 place root
    mount --make-rprivate /
    ip link set lo up
    place=$(mktemp -d)
    mount -t tmpfs -o mode=755,size=1g tmpfs "$place"
    root=$place/root
    mkdir "$place/upper" "$place/work" "$root"
    mount -t overlay -o "lowerdir=$folder,upperdir=$place/upper,workdir=$place/work" overlay "$root"
    mount -t proc proc "$root/proc"
    mount --bind "$root/proc/sys" "$root/proc/sys"
    mount -o remount,bind,ro "$root/proc/sys"
    if [ -e "$root/proc/sysrq-trigger" ]; then
        mount --bind /dev/null "$root/proc/sysrq-trigger"
    fi
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755,size=256m tmpfs "$root/run"
    make_devices "$root/dev"
    mount --bind "$shared" "$root/opt"
    mount -o remount,bind,ro "$root/opt"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    cd "$root"
    pivot_root . mnt
    umount -l /mnt
    # A unit's credentials are mounted by a helper process, and have to come from there to the unit.
    mount --make-rshared /
    exec env -i PATH=$path container=root /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal-or-kmsg \
        --show-status=no </dev/null
}

if [ "${1-}" = --process-1 ] && [ $$ -eq 1 ]; then
    become_systemd "$2" "$3"
fi

# ---- Outside. ----

if [ $# -lt 3 ]; then
    echo "usage: $0 FOLDER SHARED COMMAND [ARGUMENT…]" >&2
    exit 64
fi
folder=$1
shared=$2
shift 2

[ "$(id -u)" -eq 0 ] || cannot 'that needs root'
for program in unshare nsenter setpriv ip pgrep pivot_root findmnt; do
    command -v "$program" >/dev/null || cannot "there is no $program"
done
cgroups=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
[ -n "$cgroups" ] || cannot 'no cgroup version 2 is mounted'

log=$(mktemp)
cgroup=$cgroups/runnel-root-$$
outer=
inner=

# shellcheck disable=SC2317 # the trap calls it
# Whatever ends this script: with the name space's process 1 everything inside is killed, and unshare dies with us.
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
trap take_down EXIT
trap 'exit 143' TERM
trap 'exit 130' INT HUP

mkdir "$cgroup" 2>"$log" || cannot "$(cat "$log")"
(
    echo "$BASHPID" >"$cgroup/cgroup.procs" || exit
    exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child=SIGKILL --mount --mount-proc --uts --ipc --net --cgroup \
        "$0" --process-1 "$folder" "$shared"
) >"$log" 2>&1 &
outer=$!
disown # nobody has to be told of its end

booted=
for _ in {1..600}; do
    kill -0 $outer 2>/dev/null || cannot "process 1 ended: $(tail -n 3 "$log")"
    [ -n "$inner" ] || inner=$(pgrep -P $outer)
    # What answers may still be on its way into the folder.
    [ -z "$inner" ] || booted=$(nsenter -t "$inner" -a env -i PATH=$path systemctl is-system-running 2>/dev/null)
    case $booted in running | degraded) break ;; esac
    sleep 0.1
done
case $booted in
running | degraded) ;;
*) cannot "after 60 s it is '$booted': $(tail -n 3 "$log")" ;;
esac

nsenter -t "$inner" -a env -i PATH=$path HOME=/root LC_ALL=C.UTF-8 "$@"
