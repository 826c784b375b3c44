#!/bin/bash
# Boots systemd as process 1 of name spaces of its own, runs a command there as root, and takes everything down again.
#
#   tests/system/boot.sh [-t SECONDS] -- COMMAND [ARGUMENT…]
#
# The exit status is the command's; 124: it took longer than SECONDS (240); 77: no systemd can be booted here, and why.
#
# Nothing of what happens inside is seen outside, so that a whole `make install` can be tested. /usr and /etc are overlays, whose
# upper layers the command finds below /run/boot/upper; /home, /opt, /run, /tmp, /var/tmp, /var/lib, /var/log and /dev are new and
# empty; the kernel's settings are read-only; there is no network but a loopback device, so fixed ports are free. The cgroups are
# below one of our own. The working tree is at /opt/source, read-only, with the tree's build folder in it.
set -u

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source=$(cd "$here/../.." && pwd)
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
units=/usr/lib/systemd/system

cannot() {
    echo "boot.sh: systemd cannot be booted here: $*" >&2
    exit 77
}

# ---- Inside, as process 1: makes the machine and becomes systemd. ----

fresh() {
    mkdir -p "$2" && mount -t tmpfs -o "mode=$1,size=$3" tmpfs "$2"
}

make_overlays() {
    local folder
    for folder in usr etc; do
        mkdir -p "/run/boot/upper/$folder" "/run/boot/work/$folder"
        mount -t overlay -o "lowerdir=/$folder,upperdir=/run/boot/upper/$folder,workdir=/run/boot/work/$folder" overlay "/$folder"
    done
}

# Of the distribution's units those that a service needs: nothing else of the machine's may be started.
make_units() {
    local unit name kept=/run/boot/units
    mkdir -p $kept/sysinit.target.wants $kept/sockets.target.wants
    for name in basic sysinit sockets paths timers slices shutdown umount final local-fs local-fs-pre multi-user network network-pre \
        swap exit time-sync nss-user-lookup; do
        cp -L "$units/$name.target" $kept/
    done
    for unit in systemd-exit.service systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket; do
        cp -L "$units/$unit" $kept/
    done
    ln -s ../systemd-journald.service $kept/sysinit.target.wants/
    ln -s ../systemd-journald.socket ../systemd-journald-dev-log.socket $kept/sockets.target.wants/
    printf '[Unit]\nRequires=multi-user.target\nAfter=multi-user.target\nAllowIsolate=yes\n' >$kept/boot.target
    fresh 755 $units 4m
    cp -a $kept/. $units/
    fresh 755 /etc/systemd/system 4m
    mkdir /etc/systemd/system/systemd-journald.service.d
    printf '[Service]\nWatchdogSec=0\n' >/etc/systemd/system/systemd-journald.service.d/boot.conf
}

make_devices() {
    local device=/run/boot/dev name major minor
    fresh 755 $device 4m
    while read -r name major minor; do
        mknod -m 666 "$device/$name" c "$major" "$minor"
    done <<<$'null 1 3\nzero 1 5\nfull 1 7\nrandom 1 8\nurandom 1 9\ntty 5 0'
    mkdir $device/pts
    fresh 1777 $device/shm 64m
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts $device/pts
    ln -s pts/ptmx $device/ptmx
    ln -s /proc/self/fd $device/fd
    ln -s /proc/self/fd/0 $device/stdin
    ln -s /proc/self/fd/1 $device/stdout
    ln -s /proc/self/fd/2 $device/stderr
    mount --rbind $device /dev
}

become_systemd() {
    set -e
    local folder
    mount --make-rprivate /
    ip link set lo up
    exec 9<"$source" # before what it may lie in is hidden
    fresh 755 /run 256m
    mkdir -p /run/boot /run/lock
    make_overlays
    for folder in /home /opt /var/lib /var/log; do
        fresh 755 $folder 256m
    done
    for folder in /tmp /var/tmp; do
        fresh 1777 $folder 64m
    done
    mkdir /opt/source
    mount --bind /proc/self/fd/9/. /opt/source
    mount -o remount,bind,ro /opt/source
    exec 9<&-
    make_units
    make_devices
    tr -d - </proc/sys/kernel/random/uuid >/run/boot/machine-id
    touch /etc/machine-id
    mount --bind /run/boot/machine-id /etc/machine-id
    mount --bind /proc/sys /proc/sys
    mount -o remount,bind,ro /proc/sys
    if [ -e /proc/sysrq-trigger ]; then
        mount --bind /dev/null /proc/sysrq-trigger
    fi
    umount -R /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # A unit's credentials are mounted by a helper process, and have to come from there to the unit.
    mount --make-rshared /
    exec env -i PATH=$path container=boot SYSTEMD_GENERATOR_PATH=/run/boot/none SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/boot/none \
        /lib/systemd/systemd --system --unit=boot.target --log-target=journal-or-kmsg --show-status=no </dev/null
}

if [ "${1-}" = --process-1 ] && [ $$ -eq 1 ]; then
    become_systemd
fi

# ---- Outside. ----

limit=240
if [ "${1-}" = -t ]; then
    limit=$2
    shift 2
fi
if [ "${1-}" != -- ] || [ $# -lt 2 ]; then
    echo "usage: $0 [-t SECONDS] -- COMMAND [ARGUMENT…]" >&2
    exit 64
fi
shift

[ "$(id -u)" -eq 0 ] || cannot 'that needs root'
for program in /lib/systemd/systemd unshare nsenter setpriv ip pgrep; do
    command -v "$program" >/dev/null || cannot "there is no $program"
done
cgroups=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
[ -n "$cgroups" ] || cannot 'no cgroup version 2 is mounted'

log=$(mktemp)
cgroup=$cgroups/runnel-boot-$$
outer=
inner=
guard=
command=

# shellcheck disable=SC2317 # the trap calls it
# Whatever ends this script: with the name space's process 1 everything inside is killed, and unshare dies with us.
take_down() {
    trap '' INT TERM HUP
    [ -z "$inner" ] || kill -KILL "$inner" 2>/dev/null
    [ -z "$outer" ] || kill -KILL "$outer" 2>/dev/null
    [ -z "$guard" ] || kill "$guard" 2>/dev/null
    wait 2>/dev/null
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

# What runs that were killed have left.
for left in "$cgroups"/runnel-boot-*; do
    if [ -d "$left" ] && [ ! -d "/proc/${left##*-}" ]; then
        find "$left" -depth -type d -exec rmdir {} + 2>/dev/null
    fi
done
mkdir "$cgroup" 2>"$log" || cannot "$(cat "$log")"
(
    echo "$BASHPID" >"$cgroup/cgroup.procs" || exit
    exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child=SIGKILL --mount --mount-proc --uts --ipc --net --cgroup \
        "$here/boot.sh" --process-1
) >"$log" 2>&1 &
outer=$!

booted=
for _ in {1..300}; do
    kill -0 $outer 2>/dev/null || cannot "process 1 ended: $(tail -n 3 "$log")"
    [ -n "$inner" ] || inner=$(pgrep -P $outer)
    [ -z "$inner" ] || booted=$(nsenter -t "$inner" -a systemctl is-system-running 2>/dev/null)
    case $booted in running | degraded) break ;; esac
    sleep 0.1
done
case $booted in
running | degraded) ;;
*) cannot "after 30 s it is '$booted': $(tail -n 3 "$log")" ;;
esac

nsenter -t "$inner" -a env -i PATH=$path HOME=/root LC_ALL=C.UTF-8 "$@" &
command=$!
setpriv --pdeathsig KILL sleep "$limit" &
guard=$!
wait -n -p ended $command $guard
status=$?
if [ "$ended" = $guard ]; then
    guard=
    echo "boot.sh: not done after $limit s" >&2
    exit 124
fi
exit $status
