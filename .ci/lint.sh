#!/bin/bash
# What `make lint` runs: .ci/lint.sh BUILD FILE…. Every step runs, the exit status tells of any fault.
set -u

build=$1
shift
mkdir -p "$build/lint"
sources=()
headers=()
for file in "$@"; do
    case $file in
    *.c) sources+=("$file") ;;
    *) headers+=("$file") ;;
    esac
done
failed=()
jobs=$(nproc)

step() {
    local name=$1 log=$build/lint/$1.log
    shift
    if "$@" >"$log" 2>&1; then
        echo "ok      $name"
    else
        echo "FAILED  $name"
        sed 's/^/    /' "$log"
        failed+=("$name")
    fi
}

# The options of a file, one a line, as the Makefile gives them to the compiler.
options_of() {
    printf '%s\n' -std=c17 -D_GNU_SOURCE '-DRUNNEL_VERSION="0"' -Ilib/include
    case $1 in
    lib/include/* | lib/examples/*) ;;
    lib/*) echo -Ilib/src ;;
    */test_json_suite.c) printf '%s\n' -Idaemon -Itests/unit -Itests/unit/api -Itests/integration -Itests/json ;;
    tests/unit/lib/*) printf '%s\n' -Ilib/src -Itests/unit "-I${1%/*}" ;;
    tests/unit/*) printf '%s\n' -Idaemon -Itests/unit "-I${1%/*}" ;;
    tests/integration/*) printf '%s\n' -Idaemon -Itests/integration -Itests/unit ;;
    tests/crash/*) printf '%s\n' -Idaemon -Itests/unit -Itests/unit/store ;;
    tests/fuzz/*) printf '%s\n' -Idaemon -Itests/unit -Itests/unit/api -Itests/fuzz ;;
    tests/openapi/*) printf '%s\n' -Idaemon -Itests/unit -Itests/integration ;;
    tests/bench/*) echo -Itests/bench ;;
    *) echo -Idaemon ;;
    esac
}
export -f options_of

in_parallel() {
    printf '%s\0' "${sources[@]}" | xargs -0 -n 1 -P "$jobs" bash -c "$1"' || exit 1' one
}

# shellcheck disable=SC2016 # the shells that are started expand it
check_threads() {
    in_parallel 'mapfile -t options < <(options_of "$1"); clang-19 -fsyntax-only -pthread -Wall -Wextra -Wpedantic -Wconversion \
        -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wcast-qual -Wthread-safety -Wthread-safety-beta -Werror \
        "${options[@]}" "$1"'
}

# The analyzer is slow: a file whose text, and the text of what it includes, is as it was when it passed is not looked at again.
# shellcheck disable=SC2016
check_tidy() {
    in_parallel 'mapfile -t options < <(options_of "$1")
        sum=$( { cat .clang-tidy; clang -E -pthread "${options[@]}" "$1"; } | sha256sum | cut -c 1-32)
        stamp='"$build"'/lint/tidy/$1.$sum
        [ -e "$stamp" ] && exit 0
        text=$(clang-tidy --quiet "$1" -- -pthread "${options[@]}" 2>&1)
        status=$?
        printf "%s\n" "$text" | grep -vE "^[0-9]+ warnings? (generated|and)|^Suppressed|^$|^Use -header-filter"
        [ $status -eq 0 ] || exit 1
        mkdir -p "${stamp%/*}" && rm -f '"$build"'/lint/tidy/$1.* && touch "$stamp"'
}

step format clang-format --dry-run -Werror "${sources[@]}" ${headers[@]+"${headers[@]}"}
step includes awk -f .ci/includes.awk "${sources[@]}" ${headers[@]+"${headers[@]}"}
step banned awk -f .ci/banned.awk "${sources[@]}" ${headers[@]+"${headers[@]}"}
step docstrings awk -f .ci/docstrings.awk lib/include/runnel/*.h
step units .ci/units.sh
step thread-safety check_threads
# Product code alone: cppcheck does not know that cmocka's assertions end a test, and goes on behind them.
products=()
for file in "${sources[@]}"; do
    [[ $file == tests/* ]] || products+=("$file")
done
step cppcheck cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -j "$jobs" \
    --suppressions-list=.ci/cppcheck.txt --template='{file}:{line}: {id}: {message}' \
    -D_GNU_SOURCE -D__GNUC__ -DRUNNEL_VERSION='"0"' -Ilib/include -Idaemon -Ilib/src "${products[@]}"
step tidy check_tidy
if [ ${#failed[@]} -gt 0 ]; then
    echo "lint: ${failed[*]} failed"
    exit 1
fi
echo "lint: clean"
