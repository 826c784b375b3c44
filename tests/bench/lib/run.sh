#!/bin/bash
# How fast librunnel is, beside Go and beside what threads can do at all, in the same run: one table.
#
#   tests/bench/lib/run.sh [channel|select|context|waitgroup|limiter|service|pool|memory]…      all by default
#
#   RUNS=3 DURATION=200   medians of 3 runs, about 200 ms for each figure
#   BUILD=build           where make has put the program `bench`
#   GO=/usr/bin/go        the newest one that is installed; without Go its figures are left out
#
# Every row is measured on one processor and on two. The machine should do nothing else meanwhile. The exit status is 1 when
# something could not be measured, not when a goal was missed.
set -u
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.." || exit 1

BUILD=${BUILD:-build}
RUNS=${RUNS:-3}
DURATION=${DURATION:-200}
GO=${GO-$(command -v go || printf '%s\n' /usr/lib/go-*/bin/go | sort -V | tail -n 1)}
[ -x "$GO" ] || GO=''

mkdir -p "$BUILD/tests/bench/lib"
programs=$(cd "$BUILD/tests/bench/lib" && pwd)
work=$(mktemp -d "$programs/data.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# shellcheck source-path=SCRIPTDIR source=../table.sh
. "$here/../table.sh"

# Without the module of rate limiters, their rows stand without Go's figure.
build_go() {
    local files=("$here/go/rows_test.go")
    export GO111MODULE=off GOFLAGS='' GOPROXY=off GOTOOLCHAIN=local GOCACHE=$programs/go-cache GOPATH=${GOPATH:-/usr/share/gocode}
    [ ! -d "$GOPATH/src/golang.org/x/time/rate" ] || files+=("$here/go/rate_test.go")
    "$GO" test -c -o "$programs/rows.test" "${files[@]}"
}

# The processors of this process, one a line.
allowed_processors() {
    taskset -cp $$ | sed 's/.*: //' | tr , '\n' | awk -F - '{ for (i = $1; i <= (NF > 1 ? $2 : $1); i++) print i }'
}

# ---------------------------------------------------------------------------------------------------------------------
# Measuring. A figure is named after its row: c1/channel/handoff is librunnel's on one processor, go2/channel/handoff Go's on two.

# Some also stand in another unit: what is sent through channels in millions a second, what takes long in milliseconds.
record_all() {
    local prefix=$1 name figure
    while read -r name figure; do
        record "$prefix/$name" "$figure"
        case $name in
        *[0-9]p[0-9]c-*) echo "$prefix/$name.rate $(awk -v ns="$figure" 'BEGIN { printf "%.3f", 1000 / ns }')" >>"$results" ;;
        */*-10000) echo "$prefix/$name.ms $(awk -v ns="$figure" 'BEGIN { printf "%.3f", ns / 1000000 }')" >>"$results" ;;
        esac
    done
}

measure_c() {
    if "$programs/bench" -c "$2" -t "$DURATION" "${@:3}" >"$work/out"; then
        record_all "c$2" <"$work/out"
    else
        failed "the rows of $1 on $2"
    fi
}

# The first figure of a line such as `BenchmarkRow/channel/handoff-2   1000   137.0 ns/op`.
measure_go() {
    local suffix=''
    [ "$2" -eq 1 ] || suffix=-$2
    if taskset -c "$(allowed_processors | head -n "$2" | paste -sd ,)" "$programs/rows.test" -test.run '^$' \
        -test.bench "^BenchmarkRow$/^$1$" -test.benchtime "${DURATION}ms" -test.cpu "$2" >"$work/out"; then
        awk -v suffix="$suffix" 'sub(/^BenchmarkRow\//, "") { sub(suffix "$", "", $1); print $1, $3 }' "$work/out" |
            sort | record_all "go$2"
    else
        failed "the rows of $1 in Go on $2"
    fi
}

# One run of each row of a group, and of the bare ones beside it, on so many processors: one_run GROUP PROCESSORS
one_run() {
    local bare=()
    case $1 in
    channel) bare=(bare/futex bare/spin bare/lock bare/ring) ;;
    limiter) bare=(bare/bucket) ;;
    esac
    measure_c "$1" "$2" "$1/" ${bare[@]+"${bare[@]}"}
    [ -z "$GO" ] || measure_go "$1" "$2"
}

# ---------------------------------------------------------------------------------------------------------------------
# The rows of the table, for n processors.

on() {
    if [ "$n" -eq 1 ]; then echo "$1, 1 processor, $2"; else echo "$1, $n processors, $2"; fi
}

# beside_go NAME TEXT [GOAL [FLOOR]]: nanoseconds, as a ratio to Go's.
beside_go() {
    row "$(on "$2" ns)" "c$n/$1" Go "go$n/$1" lower "${4:--}" "${3:--}"
}

# beside_bare NAME TEXT PEER_NAME PEER [GOAL]: nanoseconds, as a ratio to those of a bare row.
beside_bare() {
    row "$(on "$2" ns)" "c$n/$1" "$3" "c$n/bare/$4" lower - "${5:--}"
}

# rate_of NAME TEXT GOAL: elements a second, to Go's and, with GOAL, to those of the ring with mutex and conditions.
rate_of() {
    row "$(on "$2" 'M elements/s')" "c$n/channel/$1.rate" Go "go$n/channel/$1.rate" higher - "${4:--}"
    [ -z "${3-}" ] ||
        row "$(on "$2" 'M elements/s')" "c$n/channel/$1.rate" 'mutex and condition ring' "c$n/bare/ring-$1.rate" higher - "$3"
}

rows_channel() {
    beside_go channel/uncontended 'send and receive, a channel per thread' 1.00
    beside_bare channel/uncontended 'send and receive, a channel per thread' 'lock and unlock' lock
    beside_go channel/contended 'send and receive, one channel for all'
    if [ "$n" -eq 1 ]; then
        beside_bare channel/handoff 'hand-off without a buffer, both sides park' futex futex 1.30
    else
        row "$(on 'hand-off without a buffer, both sides run' ns)" c2/channel/handoff - - limit - 1000
        beside_bare channel/handoff 'hand-off without a buffer, both sides run' 'a flag, never asleep' spin
        beside_bare channel/handoff-parked 'hand-off to a parked thread' futex futex-parked 1.30
        beside_go channel/handoff-parked 'hand-off to a parked thread'
    fi
    beside_go channel/handoff 'hand-off without a buffer'
    rate_of 1p1c-0 '1 producer, 1 consumer, no buffer'
    rate_of 1p1c-10 '1 producer, 1 consumer, capacity 10'
    rate_of 1p1c-100 '1 producer, 1 consumer, capacity 100'
    rate_of 1p1c-128 '1 producer, 1 consumer, capacity 128' 8.00 1.00
    rate_of 1p1c-1024 '1 producer, 1 consumer, capacity 1,024' 5.00 1.00
    rate_of 2p2c-128 '2 producers, 2 consumers, capacity 128' 8.00 1.00
    rate_of 2p2c-1024 '2 producers, 2 consumers, capacity 1,024' 5.00 1.00
    beside_go channel/try-recv-empty-0 'try to receive, capacity 0, no sender' 1.00
    beside_go channel/try-recv-empty-8 'try to receive, capacity 8, empty' 1.00
    beside_go channel/try-send-full-0 'try to send, capacity 0, no receiver' 1.00
    beside_go channel/try-send-full-8 'try to send, capacity 8, full' 1.00
    beside_go channel/recv-closed 'receive from a closed channel' 1.00
    beside_go channel/create-0 'make and free a channel, capacity 0' 1.00
    beside_go channel/create-8 'make and free a channel, capacity 8' 1.00
    beside_go channel/popular 'send to one of 1,000 that select'
    beside_bare channel/popular 'send to one of 1,000 that select' futex futex
}

rows_select() {
    beside_go select/uncontended 'select, 1 of 2 ready, and send, own channels' 1.00 1.50
    beside_go select/contended-async 'select, 1 of 2 ready, and send, shared channels' 1.00 1.50
    beside_go select/contended-sync 'select of 3 without a buffer, as many senders'
    beside_go select/nonblocking '4 selects of 1 case and a default' 1.00 1.50
    beside_go select/none-ready 'select of 2 and a default, none ready' 1.00 1.50
    beside_go select/1p1c-128 '1 producer, 1 consumer, both select, capacity 128'
}

rows_context() {
    beside_go context/check 'look whether a context has ended' 1.00
    row "$(on 'look whether a context has ended' ns)" "c$n/context/check" 'Go, <-Done() with default' "go$n/context/check-done" \
        lower - 1.00
    beside_go context/create 'make and cancel a child'
    beside_go context/tree-1 'make and cancel a parent and 1 child'
    beside_go context/tree-100 'the same with 100 children'
    row "$(on 'the same with 10,000 children' ms)" "c$n/context/tree-10000.ms" Go "go$n/context/tree-10000.ms" lower - -
    beside_go context/chain-100 'the same with 100, one below the other'
    row "$(on 'cancel 10,000 that are waited for' ms)" "c$n/context/cancel-10000.ms" - - limit - 5
    row "$(on 'cancel 10,000 that are waited for' ms)" "c$n/context/cancel-10000.ms" Go "go$n/context/cancel-10000.ms" lower - -
}

rows_waitgroup() {
    beside_go waitgroup/own 'add and done, a wait group per thread' 1.00
    beside_go waitgroup/shared 'add and done, one wait group for all' 1.00
}

rows_limiter() {
    beside_go limiter/allow 'a token that is there' 1.00
    beside_bare limiter/allow 'a token that is there' 'lock, clock, arithmetic' bucket
    beside_go limiter/refuse 'a token that is not there, instant given' 1.00
}

rows_service() {
    beside_go service/round-trip 'a task to a worker and its answer back'
    beside_go service/tasks 'a task, as fast as they can be submitted'
}

rows_pool() {
    beside_go pool/round-trip 'a function to a worker and its result back'
    beside_go pool/tasks 'a function, as fast as they can be submitted'
}

rows_memory() {
    [ "$n" -eq 1 ] || return 0
    row 'an idle channel, capacity 0, bytes' c1/memory/channel - - limit - 200
    row 'an idle channel, capacity 0, bytes' c1/memory/channel Go go1/memory/channel lower - -
    row 'a context, bytes' c1/memory/context - - limit - 250
    row 'a context, bytes' c1/memory/context Go go1/memory/context lower - -
}

# ---------------------------------------------------------------------------------------------------------------------

[ $# -gt 0 ] || set -- channel select context waitgroup limiter service pool memory
for group in "$@"; do
    if ! declare -F "rows_$group" >/dev/null; then
        sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
        exit 64
    fi
done
if [ ! -x "$programs/bench" ]; then
    echo "there is no $programs/bench: make bench-lib builds it" >&2
    exit 1
fi
processors=(1 2)
if [ "$(nproc)" -lt 2 ]; then
    echo 'there is only one processor: the rows for two are left out' >&2
    processors=(1)
fi
if [ -n "$GO" ] && ! build_go; then
    failed 'the rows in Go'
    GO=''
fi

echo "$(nproc) processors, Linux $(uname -r), ${GO:+$("$GO" version | cut -d ' ' -f 3), }$(date -u +%Y-%m-%dT%H:%MZ)," \
    "load $(cut -d ' ' -f 1 /proc/loadavg); medians of $RUNS runs of $DURATION ms"
for ((run = 1; run <= RUNS; run++)); do
    for group in "$@"; do
        for n in "${processors[@]}"; do
            echo "  $group, processors $n, run $run" >&2
            one_run "$group" "$n"
        done
    done
done
for n in "${processors[@]}"; do
    for group in "$@"; do
        "rows_$group"
    done
done
print_table
cp "$results" "$programs/results"
echo "load now $(cut -d ' ' -f 1 /proc/loadavg); the single figures are in $programs/results"
[ "$failures" -eq 0 ]
