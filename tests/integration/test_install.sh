#!/bin/bash
# librunnel by itself: built and installed with a compiler and make alone, and used from outside the tree through pkg-config, by a
# program in C11 and one in C++17.
#
#   RUNNEL_SOURCE   the tree (the current folder)
#   CC, CXX         the compilers (gcc, g++)
set -u
export LC_ALL=C

source=$(cd "${RUNNEL_SOURCE:-.}" && pwd)
CC=${CC:-gcc}
CXX=${CXX:-g++}
folder=$(mktemp -d "${TMPDIR:-/tmp}/install.XXXXXX")
trap 'rm -rf "$folder"' EXIT
stage=$folder/stage
prefix=/opt/runnel
installed=$stage$prefix
version=$(sed -n 's/^VERSION := //p' "$source/Makefile")
debug=-gdwarf-4 # Debian 12's valgrind cannot read what clang writes by default
strict="-Wall -Wextra -Wpedantic -Werror $debug"
passed=0
failed=0

export PKG_CONFIG_LIBDIR=$installed/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage LD_LIBRARY_PATH=$installed/lib

# make as somebody has it who calls it by hand: nothing of the make that runs the tests.
plain_make() {
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -j2 -C "$source" CC="$CC" CFLAGS="-O2 $debug" \
        BUILD="$folder/build" DESTDIR="$stage" PREFIX=$prefix "$@"
}

complain() {
    echo "$*"
    return 1
}

valgrind=()
if command -v valgrind >/dev/null; then
    valgrind=(valgrind --quiet --fair-sched=yes --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all --error-exitcode=99)
fi

one_call_of_a_c11_compiler_builds_it() {
    mkdir "$folder/objects"
    # shellcheck disable=SC2086 # a list of words
    (cd "$folder/objects" && "$CC" -std=c11 -pthread $strict -I"$source/lib/include" -c "$source"/lib/src/*.c)
}

a_compiler_and_make_install_it() {
    plain_make install-lib || return 1
    # Nothing was compiled but the library, and what was linked needs the C library alone.
    if find "$folder/build" -name '*.o' | grep -v '/lib/src/[a-z_]*\.o$'; then
        complain 'that is not the library'
        return 1
    fi
    readelf -d "$installed/lib/librunnel.so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' >"$folder/needed"
    ! grep -vE '^(libc|libm|ld-linux.*)\.so' "$folder/needed"
}

the_shared_library_has_a_soname() {
    readelf -d "$installed/lib/librunnel.so" | grep -q 'SONAME.*\[librunnel\.so\.0\]' || return 1
    [ "$(readlink "$installed/lib/librunnel.so")" = librunnel.so.0 ] || return 1
    [ "$(readlink "$installed/lib/librunnel.so.0")" = "librunnel.so.$version" ] || return 1
    [ -f "$installed/lib/librunnel.so.$version" ]
}

# The functions that the headers declare, without those that are defined there.
declared() {
    cat "$installed"/include/runnel/*.h | "$CC" -E -P -x c -I"$installed/include" - | tr '\n' ' ' |
        grep -oE 'visibility\("default"\)[^;{]*[;{]' | grep -oE '\brn_[a-z0-9_]+ ?\(' | tr -d ' (' | sort -u
}

the_functions_of_the_headers_are_visible_and_nothing_else_is() {
    nm -D --defined-only "$installed/lib/librunnel.so" | awk '$2 != "A" { print $3 }' >"$folder/versioned"
    if grep -v '@@RUNNEL_0.1$' "$folder/versioned"; then
        complain 'not under the version of the map'
        return 1
    fi
    sed 's/@.*//' "$folder/versioned" | sort -u >"$folder/visible"
    declared >"$folder/declared"
    [ -s "$folder/declared" ] && diff "$folder/declared" "$folder/visible" || return 1
    # The archive has no names that could clash with a program's.
    ! nm --defined-only --extern-only "$installed/lib/librunnel.a" | awk 'NF == 3 { print $3 }' | grep -vE '^(rn|rni)_'
}

each_header_stands_alone_in_c11_c17_and_cxx17() {
    local header standard
    for header in "$installed"/include/runnel/*.h; do
        echo "#include <runnel/$(basename "$header")>" >"$folder/alone.c"
        for standard in c11 c17; do
            # shellcheck disable=SC2086
            "$CC" -std=$standard $strict -I"$installed/include" -fsyntax-only "$folder/alone.c" || return 1
        done
        # shellcheck disable=SC2086
        "$CXX" -std=c++17 $strict -I"$installed/include" -fsyntax-only -x c++ "$folder/alone.c" || return 1
    done
}

pkg_config_tells_the_version() {
    [ "$(pkg-config --modversion runnel)" = "$version" ]
}

# Reads a number that the program prints, sends it what Ctrl-C sends, and sees it end: ends_at_ctrl_c COMMAND…
ends_at_ctrl_c() {
    local pid first
    rm -f "$folder/numbers"
    mkfifo "$folder/numbers"
    "$@" >"$folder/numbers" &
    pid=$!
    exec 3<"$folder/numbers"
    read -r -t 60 first <&3
    kill -INT $pid
    cat <&3 >/dev/null
    exec 3<&-
    wait $pid || return 1
    [ "$first" = 1 ]
}

a_c11_program_ends_at_ctrl_c() {
    cp "$source/tests/integration/install/ctrl_c.c" "$folder/"
    # shellcheck disable=SC2046,SC2086
    "$CC" -std=c11 $strict -o "$folder/ctrl_c" "$folder/ctrl_c.c" $(pkg-config --cflags --libs runnel) || return 1
    # shellcheck disable=SC2046,SC2086
    "$CC" -std=c11 $strict -static -o "$folder/ctrl_c_static" "$folder/ctrl_c.c" $(pkg-config --static --cflags --libs runnel) || return 1
    ends_at_ctrl_c "$folder/ctrl_c" && ends_at_ctrl_c "$folder/ctrl_c_static" && ends_at_ctrl_c ${valgrind[@]+"${valgrind[@]}"} "$folder/ctrl_c"
}

a_cxx17_program_uses_every_part() {
    local header
    cp "$source/tests/integration/install/every_part.cpp" "$folder/"
    for header in "$installed"/include/runnel/*.h; do
        grep -q "^#include <runnel/$(basename "$header")>" "$folder/every_part.cpp" || complain "it leaves out $header" || return 1
    done
    # shellcheck disable=SC2046,SC2086
    "$CXX" -std=c++17 $strict -o "$folder/every_part" "$folder/every_part.cpp" $(pkg-config --cflags --libs runnel) || return 1
    [ "$("$folder/every_part")" = "$version" ] && [ "$(${valgrind[@]+"${valgrind[@]}"} "$folder/every_part")" = "$version" ]
}

uninstall_leaves_nothing() {
    plain_make uninstall || return 1
    [ -z "$(find "$stage" -name '*runnel*' ! -type d -o -name '*.h')" ]
}

for name in one_call_of_a_c11_compiler_builds_it a_compiler_and_make_install_it the_shared_library_has_a_soname \
    the_functions_of_the_headers_are_visible_and_nothing_else_is each_header_stands_alone_in_c11_c17_and_cxx17 \
    pkg_config_tells_the_version a_c11_program_ends_at_ctrl_c a_cxx17_program_uses_every_part uninstall_leaves_nothing; do
    echo "[ RUN      ] $name"
    if "$name"; then
        echo "[       OK ] $name"
        passed=$((passed + 1))
    else
        echo "[  FAILED  ] $name"
        failed=$((failed + 1))
    fi
done
[ "$passed" -eq 0 ] || echo "[  PASSED  ] $passed test(s)."
[ "$failed" -eq 0 ] || echo "[  FAILED  ] $failed test(s)"
[ "$failed" -eq 0 ]
