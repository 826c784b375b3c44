#!/bin/bash
# The Debian packages: built twice, and installed, upgraded, downgraded, removed and purged in a fresh Debian with a systemd of its
# own. `make check-deb` runs it, as root.
#
# The fresh Debian is the machine's own release, from the mirror that its apt is configured with; it is kept in BUILD/deb/base/ for
# the next time (make clean removes it), so that only the first run needs the network. The last line is `N rows, N skipped`; the exit
# status tells of a failure.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 1

build=${BUILD:-build}
mkdir -p "$build/deb"
folder=$(cd "$build/deb" && pwd)
version=$(sed -n 's/^VERSION := //p' Makefile)
newer=$version.1
packages=$folder/packages
failed=0
rows=0

# What rows.sh needs beside a minimal Debian, and what the packages depend on: there is no network in there.
programs=systemd,dbus,curl,iproute2,jq,procps,sqlite3
libraries=debconf,libconfig9,libcurl4,libgnutls30,libncursesw6,libjansson4,libmicrohttpd12,libnettle8,libsqlite3-0,libsystemd0

if [ "$(id -u)" -ne 0 ]; then
    echo 'check-deb: a Debian is unpacked and booted: that needs root' >&2
    exit 1
fi

row() {
    rows=$((rows + 1))
    if "$1"; then
        echo "ok      $1"
    else
        echo "FAILED  $1"
        failed=$((failed + 1))
    fi
}

make_base() {
    local release mirror
    [ ! -d "$folder/base" ] || return 0
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # shellcheck disable=SC2016 # apt's own variable
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' "Codename: $release" | head -n 1)
    echo "unpacks a fresh $release in $folder/base, log: $folder/base.log"
    rm -rf "$folder/base.part"
    if ! debootstrap --variant=minbase --include=$programs,$libraries "$release" "$folder/base.part" "$mirror" >"$folder/base.log" 2>&1; then
        tail -n 5 "$folder/base.log" >&2
        return 1
    fi
    mv "$folder/base.part" "$folder/base"
}

# Of every build, wherever it is done.
SOURCE_DATE_EPOCH=$(stat -c %Y CHANGELOG.md)
export SOURCE_DATE_EPOCH

# make as somebody has it who calls it by hand: nothing of the make that runs this.
make_deb() {
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES make -s deb "$@"
}

# The second time from a copy that git does not know, in another folder, with other times and permissions.
two_builds_of_a_tree_give_the_same_packages() {
    local file again=$folder/again
    rm -rf "$again"
    mkdir "$again"
    (umask 077 && tar -c --exclude=./build --exclude=./.git . | tar -x -m --no-same-permissions -C "$again" && make_deb -C "$again") || return 1
    for file in "$folder"/*_"$version"_*.deb; do
        cmp "$file" "$again/build/deb/${file##*/}" || return 1
    done
    rm -rf "$again"
}

a_program_is_built_with_what_the_development_package_has() {
    local stage=$folder/stage libraries
    rm -rf "$stage"
    for package in librunnel0 librunnel-dev; do
        dpkg-deb -x "$folder"/${package}_"$version"_*.deb "$stage" || return 1
    done
    libraries=$(echo "$stage"/usr/lib/*/pkgconfig)
    # shellcheck disable=SC2046 # lists of words
    PKG_CONFIG_SYSROOT_DIR=$stage PKG_CONFIG_LIBDIR=$libraries gcc -std=c17 -o "$stage/pipeline" lib/examples/pipeline.c \
        $(PKG_CONFIG_SYSROOT_DIR=$stage PKG_CONFIG_LIBDIR=$libraries pkg-config --cflags --libs runnel) || return 1
    readelf -d "$stage/pipeline" | grep -q 'NEEDED.*librunnel\.so\.0' && LD_LIBRARY_PATH=${libraries%/pkgconfig} "$stage/pipeline" >/dev/null
}

# The daemon's package again, with another version and another number of the store's tables that it knows: repacked VERSION NUMBER
repacked() {
    local tree=$folder/repacked
    rm -rf "$tree"
    dpkg-deb -R "$folder"/runnel_"$version"_*.deb "$tree" &&
        sed -i "s/^Version: .*/Version: $1/" "$tree/DEBIAN/control" &&
        sed -i "s/^schema=[0-9]*$/schema=$2/" "$tree/DEBIAN/preinst" && grep -qx "schema=$2" "$tree/DEBIAN/preinst" &&
        dpkg-deb -b "$tree" "$packages/runnel_$1.deb" >/dev/null
}

make_base || exit 1
rm -rf "$packages"
mkdir "$packages"
make_deb VERSION="$newer" && make_deb || exit 1
row two_builds_of_a_tree_give_the_same_packages
row a_program_is_built_with_what_the_development_package_has

for file in "$folder"/{runnel,librunnel0,librunnel-dev}_{"$version","$newer"}_*.deb; do
    name=${file##*/}
    cp "$file" "$packages/${name%_*}.deb"
done
repacked 0.0.1 0 || exit 1
install -m 755 tests/packages/rows.sh "$packages/"
tests/packages/root.sh "$folder/base" "$packages" /opt/rows.sh "$version" "$newer" | tee "$folder/rows.log"
status=${PIPESTATUS[0]}
read -r inside _ skipped _ < <(grep -E '^[0-9]+ rows, [0-9]+ skipped$' "$folder/rows.log" | tail -n 1)
if [ "$status" -ne 0 ]; then
    failed=$((failed + 1))
fi
[ "$failed" -eq 0 ] || echo 'check-deb: there are failures above'
echo "$((rows + ${inside:-0})) rows, ${skipped:-0} skipped"
[ "$failed" -eq 0 ]
