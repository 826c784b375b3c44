#!/bin/bash
# Runs cmocka test programs in parallel and counts their tests.
#
#   tests/run.sh FOLDER PROGRAM… [-- PROGRAM…]
#
# The programs of one group run JOBS at a time, each under a timeout (TEST_TIMEOUT seconds) and with a TMPDIR of its own below
# FOLDER; TEST_WRAPPER is put before each. A group with a failure is the last one. What a program printed is shown when it failed.
# The last line is `N passed, N failed`; the exit status is 1 when a test failed.
set -u

# Address randomisation beyond 28 bits is more than gcc 12's ThreadSanitizer copes with.
run_one() {
    local program=$1 name log count passed failed status started took
    name=${program#"$folder"/}
    log=$folder/log/$name.log
    count=$folder/log/$name.count
    export TMPDIR=$folder/tmp/$name
    rm -rf "$TMPDIR"
    mkdir -p "$TMPDIR" "${log%/*}"

    # A script puts the wrapper before the programs that it runs.
    local wrapper=${TEST_WRAPPER:-}
    case $program in *.sh) wrapper= ;; esac
    started=$(date +%s%N)
    # shellcheck disable=SC2086 # the wrapper is several words
    timeout -k 10 "$TEST_TIMEOUT" $plain_addresses $wrapper "$program" </dev/null >"$log" 2>&1
    status=$?
    took=$((($(date +%s%N) - started) / 1000000))

    # cmocka's summary: a line each for passed and failed, a group of tests at a time.
    passed=$(grep -aoE '\[  PASSED  \] [0-9]+ test' "$log" | awk '{ n += $4 } END { print n + 0 }')
    failed=$(grep -aoE '\[  FAILED  \] [0-9]+ test' "$log" | awk '{ n += $4 } END { print n + 0 }')
    skipped=$(grep -aoE '\[  SKIPPED \] [0-9]+ test' "$log" | awk '{ n += $4 } END { print n + 0 }')
    if [ "$failed" -eq 0 ] && { [ "$status" -ne 0 ] || [ $((passed + skipped)) -eq 0 ]; }; then
        failed=1 # it crashed, hung, leaked, or ran nothing
        if [ "$passed" -eq 0 ]; then passed=$(grep -acE '\[       OK \]' "$log"); fi
    fi
    echo "$passed $failed $skipped" >"$count"

    if [ "$failed" -eq 0 ]; then
        printf 'ok      %-52s %4d tests %7d ms\n' "$name" "$passed" "$took"
        rm -rf "$TMPDIR"
        return
    fi
    case $status in
    124 | 137) reason="ended after $TEST_TIMEOUT s" ;;
    *) reason="exit status $status" ;;
    esac
    # One write, so that two failures do not mix.
    {
        printf 'FAILED  %-52s %s, log: %s\n' "$name" "$reason" "$log"
        tail -c 20000 "$log" | sed 's/^/    /'
    } >"$count.text"
    cat "$count.text"
    rm -f "$count.text"
}

export TEST_TIMEOUT=${TEST_TIMEOUT:-300}
if [ "$1" = --one ]; then
    folder=$2
    run_one "$3"
    exit 0
fi

folder=$1
shift
rm -rf "$folder/log"
mkdir -p "$folder/log" "$folder/tmp"
folder=$(cd "$folder" && pwd)
export plain_addresses=
if setarch --addr-no-randomize true 2>/dev/null; then
    plain_addresses='setarch --addr-no-randomize'
fi
export ASAN_OPTIONS=${ASAN_OPTIONS-detect_stack_use_after_return=1:strict_string_checks=1:allocator_may_return_null=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS-second_deadlock_stack=1:halt_on_error=1}

sum() {
    find "$folder/log" -name '*.count' -exec cat {} + | awk '{ p += $1; f += $2; s += $3 } END { print p + 0, f + 0, s + 0 }'
}

run_group() {
    [ $# -gt 0 ] || return 0
    printf '%s\0' "$@" | xargs -0 -n 1 -P "${JOBS:-1}" "$0" --one "$folder"
}

group=()
failed=0
for word in "$@" --; do
    if [ "$word" != -- ]; then
        group+=("$(cd "$(dirname "$word")" && pwd)/$(basename "$word")")
        continue
    fi
    if [ "$failed" -gt 0 ]; then
        [ "${#group[@]}" -eq 0 ] || echo "not run: ${#group[@]} programs of the next group"
        break
    fi
    run_group ${group[@]+"${group[@]}"}
    group=()
    read -r passed failed skipped < <(sum)
done
[ "$skipped" -eq 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
