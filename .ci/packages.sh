#!/bin/bash
# Installs the Debian packages that a target needs: .ci/packages.sh run|check|system|lint|coverage|fuzz|docs|deb|check-deb|bench|bench-lib
#
# Says nothing when all are there. Names what is missing before it installs, and asks sudo once when the user is not root.
set -eu

run='gcc libc6-dev libmicrohttpd-dev libgnutls28-dev libjansson-dev libsqlite3-dev libconfig-dev libsystemd-dev nettle-dev uthash-dev
    libcurl4-openssl-dev libncurses-dev curl jq'
check="$run libcmocka-dev mandoc bsdextrautils tmux zsh strace openssl valgrind libc6-dbg procps g++ pkg-config"
system="$run systemd util-linux iproute2 procps python3"
lint="$check clang clang-19 clang-format clang-tidy cppcheck systemd"
coverage="$check gcovr"
fuzz="$check clang"
docs='doxygen'
deb="$run build-essential debhelper dpkg-dev lintian"
check_deb="$deb debootstrap iproute2 util-linux"
bench="$run beanstalkd redis-server postgresql postgresql-contrib"
bench_lib='golang-go golang-golang-x-time-dev'

case ${1-} in
run) wanted=$run ;;
check) wanted=$check ;;
system) wanted=$system ;;
lint) wanted=$lint ;;
coverage) wanted=$coverage ;;
fuzz) wanted=$fuzz ;;
docs) wanted=$docs ;;
deb) wanted=$deb ;;
check-deb) wanted=$check_deb ;;
bench) wanted=$bench ;;
bench-lib) wanted=$bench_lib ;;
*)
    echo "usage: $0 run|check|system|lint|coverage|fuzz|docs|deb|check-deb|bench|bench-lib" >&2
    exit 64
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
    exit 0 # not Debian: the compiler will say what it does not find
fi

# Without -W's package known, dpkg-query prints nothing for it (and fails): only what is installed is listed.
# shellcheck disable=SC2086 # a list of words
present=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null | sed -n 's/^installed //p') || true
missing=
for package in $wanted; do
    case $'\n'$present$'\n' in
    *$'\n'$package$'\n'*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

echo "Missing packages:$missing" >&2
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Install them as root: apt-get install$missing" >&2
        exit 1
    fi
    echo "They are installed with sudo apt-get." >&2
    as_root=(sudo)
fi

# One sudo for both, so that it asks once.
# shellcheck disable=SC2086
exec ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive sh -c '
    apt-get update -qq; apt-get install -y -qq --no-install-recommends "$@"' sh $missing
