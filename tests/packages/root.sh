#!/bin/bash
# Boots the systemd of a Debian in a folder as process 1 of name spaces of its own, runs a command there as root, and takes everything
# down again.
#
#   tests/packages/root.sh FOLDER SHARED COMMAND [ARGUMENT…]
#
# The folder stays as it is: what is written goes into memory, and with the machine. SHARED is another folder, /opt there, read-only.
# There is no network but a loopback device. The exit status is the command's; 77: no systemd can be booted here, and why.
set -u

# shellcheck source=tests/system/machine.sh
. "$(dirname "${BASH_SOURCE[0]}")/../system/machine.sh"

# ---- Inside, as process 1: makes the machine and becomes systemd. ----

become_systemd() {
    set -e
    local folder=$1 shared=$2 place root
    mount --make-rprivate /
    ip link set lo up
    place=$(mktemp -d)
    fresh 755 "$place" 1g
    root=$place/root
    mkdir "$place/upper" "$place/work" "$root"
    mount -t overlay -o "lowerdir=$folder,upperdir=$place/upper,workdir=$place/work" overlay "$root"
    mount -t proc proc "$root/proc"
    keep_kernel "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    fresh 755 "$root/run" 256m
    make_devices "$root/dev"
    mount --bind "$shared" "$root/opt"
    mount -o remount,bind,ro "$root/opt"
    tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
    cd "$root"
    pivot_root . mnt
    umount -l /mnt
    exec_systemd multi-user.target container=root
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

boot runnel-root 60 "$0" --process-1 "$folder" "$shared"
inside "$@"
