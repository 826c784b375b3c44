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
units=/usr/lib/systemd/system

# shellcheck source=tests/system/machine.sh
. "$here/machine.sh"

# ---- Inside, as process 1: makes the machine and becomes systemd. ----

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
    make_devices /run/boot/dev
    mount --rbind /run/boot/dev /dev
    tr -d - </proc/sys/kernel/random/uuid >/run/boot/machine-id
    touch /etc/machine-id
    mount --bind /run/boot/machine-id /etc/machine-id
    keep_kernel /proc
    umount -R /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    exec_systemd boot.target container=boot SYSTEMD_GENERATOR_PATH=/run/boot/none SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/boot/none
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

boot runnel-boot 30 "$here/boot.sh" --process-1

inside "$@" &
command=$!
setpriv --pdeathsig KILL sleep "$limit" &
guard=$!
wait -n -p ended $command $guard
status=$?
if [ "$ended" = $guard ]; then
    echo "boot.sh: not done after $limit s" >&2
    exit 124
fi
kill $guard
exit $status
