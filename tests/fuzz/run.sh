#!/bin/bash
# Runs fuzz targets: tests/fuzz/run.sh FOLDER PROGRAM…, each for FUZZ_SECONDS.
#
# What libFuzzer finds new is kept in FOLDER/corpus/TARGET and goes on from there the next time; what breaks a target is written to
# FOLDER/crash/ and is the end of that target's time. The exit status is 1 when something was broken.
set -u

here=$(cd "$(dirname "$0")" && pwd)
folder=$1
shift
mkdir -p "$folder/crash" "$folder/log" "$folder/tmp"
folder=$(cd "$folder" && pwd)
export TMPDIR=$folder/tmp
# Files of a target are written thousands of times a second.
[ ! -w /dev/shm ] || TMPDIR=$(mktemp -d /dev/shm/runnel-fuzz-XXXXXX)
trap '[ "$TMPDIR" = "$folder/tmp" ] || rm -rf "$TMPDIR"' EXIT
export UBSAN_OPTIONS=print_stacktrace=1
failed=0

for program in "$@"; do
    name=${program##*/fuzz_}
    mkdir -p "$folder/corpus/$name"
    log=$folder/log/$name.log
    dictionary=()
    [ ! -e "$here/$name.dict" ] || dictionary=("-dict=$here/$name.dict")
    "$program" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=20 -malloc_limit_mb=64 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="$folder/crash/$name-" ${dictionary[@]+"${dictionary[@]}"} "$folder/corpus/$name" "$here/corpus/$name" \
        >"$log" 2>&1 </dev/null
    status=$?
    count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    reached=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1)
    if [ $status -eq 0 ]; then
        printf 'ok      %-10s %10s executions, %s\n' "$name" "${count:-?}" "${reached:-cov: ?}"
    else
        failed=1
        printf 'BROKEN  %-10s %10s executions, %s, log: %s\n' "$name" "${count:-?}" "${reached:-cov: ?}" "$log"
        grep -E 'does not hold|^SUMMARY|runtime error|Test unit written' "$log" | head -n 5 | sed 's/^/    /'
    fi
done
exit $failed
