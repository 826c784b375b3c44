#!/bin/bash
# How fast runneld is, as ratios against what runs beside it in the same run: one table, a row a comparison.
#
#   tests/bench/run.sh [submit|bulk|cycle|bulk-run|backlog|exec]…      all by default
#
#   RUNS=3 DURATION=2   medians of 3 runs of 2 seconds
#   BENCH_LARGE=1       backlog also with 10,000,000 waiting tasks (some minutes, and 8 GB of disk)
#   BUILD=build         where the programs are built and the servers keep their data, which must be a real disk
#   RUNNELD=$BUILD/runneld
#
# Everything runs on 127.0.0.1 and is stopped at the end. The machine should do nothing else meanwhile. The exit status is 1 when
# a measurement failed, not when a goal was missed.
set -u
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
cd "$top" || exit 1

BUILD=${BUILD:-build}
CC=${CC:-gcc}
RUNS=${RUNS:-3}
DURATION=${DURATION:-2}
KEEP=10000 # the retention cap
BULK_ROWS=$((150000 * DURATION))
BODY=150 # bytes of args in bulk, and of SQLite's rows

mkdir -p "$BUILD/tests/bench"
BUILD=$(cd "$BUILD" && pwd)
RUNNELD=$(realpath -m "${RUNNELD:-$BUILD/runneld}")
programs=$BUILD/tests/bench
work=$(mktemp -d "$programs/data.XXXXXX") || exit 1
chmod 755 "$work"
child=''

# shellcheck source-path=SCRIPTDIR source=servers.sh
. "$here/servers.sh"
# shellcheck source-path=SCRIPTDIR source=table.sh
. "$here/table.sh"
echo "cap $KEEP" >"$results"

clean_up() {
    trap - EXIT
    trap '' INT TERM HUP
    [ -z "$child" ] || kill "$child" 2>/dev/null
    stop_all
    [ -z "${postgres_folder-}" ] || rm -rf "$postgres_folder"
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

compile() {
    local name=$1 warnings='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla'
    shift
    # shellcheck disable=SC2086 # a list of words
    "$CC" -std=c17 -D_GNU_SOURCE -O2 -g -pthread $warnings -Wcast-qual -Werror -o "$programs/$name" "$@" || exit 1
}
compile load "$here/load.c" "$here/http.c"
compile client "$here/client.c" "$here/http.c"
compile durable_server "$here/durable_server.c" -lmicrohttpd -ljansson -lsqlite3
compile sqlite_rows "$here/sqlite_rows.c" -lsqlite3
compile spawn "$here/spawn.c"

# ---------------------------------------------------------------------------------------------------------------------
# Measuring

# Runs a measuring program; its output is in `line`. In the background, so that a signal is acted on at once.
measure() {
    "$@" >"$work/out" &
    child=$!
    wait "$child"
    local status=$?
    child=''
    line=$(<"$work/out")
    return $status
}

# Rate, latencies and the server's processor time of one load run: load NAME PROTOCOL CONNECTIONS [QUEUE [CAP]]
load() {
    local name=$1 protocol=$2 connections=$3 before after each
    before=$(cpu_us "$pid")
    if ! measure "$programs/load" "$protocol" "$port" "$connections" "$DURATION" "${@:4}"; then
        failed "$name"
        return 1
    fi
    after=$(cpu_us "$pid")
    record "$name" "$(field rate "$line")"
    for each in p50 p99 p999; do
        record "$name.$each" "$(field $each "$line")"
    done
    record "$name.cpu" "$(awk -v us=$((after - before)) -v n="$(field count "$line")" 'BEGIN { printf "%.1f", us / n }')"
}

# What retention left for later, and the rate with that included: record_retention NAME
record_retention() {
    record "$1.kept" "$(field kept "$line")"
    record "$1.kept-rate" "$(field kept_rate "$line")"
}

# ---------------------------------------------------------------------------------------------------------------------
# Durable single submits: one request, one task, answered when it is on disk. They go into a paused queue, so that nothing but the
# submit is measured, as in durable_server. Every server begins each run with an empty queue.

bench_submit() {
    local connections run
    for connections in 16 64; do
        for ((run = 1; run <= RUNS; run++)); do
            echo "  submit, $connections connections, run $run" >&2
            if start_durable_server; then
                load "submit$connections.durable" submit "$connections"
                stop "$pid"
            fi
            if paused_runneld runneld hold; then
                load "submit$connections.runnel" submit "$connections" hold
                stop "$pid"
            else
                failed "submit$connections.runnel"
            fi
            if start_beanstalkd; then
                load "submit$connections.beanstalkd" beanstalkd "$connections"
                stop "$pid"
            fi
            if start_redis; then
                load "submit$connections.redis" redis "$connections"
                stop "$pid"
            fi
            if start_postgres; then
                if measure postgres_bench pg_insert.sql "$connections"; then
                    record "submit$connections.postgres" "$(field rate "$line")"
                else
                    failed "submit$connections.postgres"
                fi
            fi
        done
        rows_submit "$connections"
    done
}

rows_submit() {
    local ours=submit$1.runnel what="submit, $1 connections" p99_floor=-
    [ "$1" -ne 16 ] || p99_floor=1.00
    row "$what, tasks/s" "$ours" 'durable_server' "submit$1.durable" higher 0.75 0.95
    row "$what, tasks/s" "$ours" 'Redis always' "submit$1.redis" higher - 1.00
    row "$what, tasks/s" "$ours" 'PostgreSQL insert' "submit$1.postgres" higher - -
    row "$what, tasks/s" "$ours" 'beanstalkd -f 0' "submit$1.beanstalkd" higher - -
    row "$what, p50 us" "$ours.p50" 'durable_server' "submit$1.durable.p50" lower - -
    row "$what, p99 us" "$ours.p99" 'beanstalkd -f 0' "submit$1.beanstalkd.p99" lower "$p99_floor" -
    row "$what, p99 us" "$ours.p99" 'durable_server' "submit$1.durable.p99" lower - -
    row "$what, p99 us" "$ours.p99" 'Redis always' "submit$1.redis.p99" lower - -
    row "$what, p99.9 us" "$ours.p999" 'durable_server' "submit$1.durable.p999" lower - -
    row "$what, server CPU us/task" "$ours.cpu" 'durable_server' "submit$1.durable.cpu" lower - -
}

# ---------------------------------------------------------------------------------------------------------------------
# Bulk: one NDJSON stream into a paused queue; SQLite inserts as many rows of the same size, 1,000 a transaction, without HTTP.

bench_bulk() {
    local run
    for ((run = 1; run <= RUNS; run++)); do
        echo "  bulk, run $run" >&2
        new_folder sqlite
        if measure "$programs/sqlite_rows" "$work/sqlite" 1000 "$BULK_ROWS" "$BODY"; then
            record bulk.sqlite "$(field insert "$line")"
        else
            failed bulk.sqlite
        fi
        if paused_runneld runneld hold; then
            if measure "$programs/client" bulk "$port" hold noop "$BULK_ROWS" "$BODY"; then
                record bulk.runnel "$(field submit_rate "$line")"
            else
                failed bulk.runnel
            fi
            stop "$pid"
        else
            failed bulk.runnel
        fi
    done
    row 'bulk, NDJSON, 1,000 a slice, tasks/s' bulk.runnel 'SQLite insert, 1,000 a tx' bulk.sqlite higher 0.25 0.40
}

# ---------------------------------------------------------------------------------------------------------------------
# The whole way: submit by HTTP, run noop in the daemon, end recorded. Clients do not wait for ends; the time is from the first
# submit to the last recorded end. Retention may lag behind: what it left, and the rate with that work included, stand below.

bench_cycle() {
    local connections run
    for ((run = 1; run <= RUNS; run++)); do
        echo "  cycle, run $run" >&2
        if start_postgres; then
            if measure postgres_bench pg_cycle.sql 16; then
                record cycle.postgres "$(field rate "$line")"
            else
                failed cycle.postgres
            fi
        fi
        for connections in 16 64; do
            if fresh_runneld runneld default; then
                if load "cycle$connections.runnel" submit "$connections" default "$KEEP"; then
                    record_retention "cycle$connections"
                fi
                stop "$pid"
            else
                failed "cycle$connections.runnel"
            fi
            if start_redis; then
                load "cycle$connections.redis" redis-cycle "$connections"
                stop "$pid"
            fi
        done
    done
    for connections in 16 64; do
        local ours=cycle$connections.runnel what="submit, run, end recorded, $connections conns" floor=2.00
        [ "$connections" -eq 16 ] || floor=3.00
        row "$what, tasks/s" "$ours" 'PostgreSQL SKIP LOCKED, 16' cycle.postgres higher "$floor" -
        row "$what, tasks/s" "$ours" "Redis cycle always, $connections" "cycle$connections.redis" higher - 1.00
        row "$what, submit p50 us" "$ours.p50" - - lower - -
        row "$what, submit p99 us" "$ours.p99" - - lower - -
        row "$what, server CPU us" "$ours.cpu" 'Redis, its 3 requests' "cycle$connections.redis.cpu" lower - -
        row "$what, kept at the last end" "cycle$connections.kept" 'the cap' cap lower - -
        row "$what, tasks/s until the cap holds" "cycle$connections.kept-rate" "Redis cycle always, $connections" "cycle$connections.redis" higher - -
    done
}

# ---------------------------------------------------------------------------------------------------------------------
# Bulk-submitted noop to recorded end: one NDJSON stream into a queue that runs; SQLite inserts the rows, then updates each.

bench_bulk_run() {
    local run
    for ((run = 1; run <= RUNS; run++)); do
        echo "  bulk-run, run $run" >&2
        new_folder sqlite
        if measure "$programs/sqlite_rows" "$work/sqlite" 1000 "$BULK_ROWS" "$BODY"; then
            record bulk-run.sqlite "$(field both "$line")"
        else
            failed bulk-run.sqlite
        fi
        if fresh_runneld runneld default; then
            local before
            before=$(cpu_us "$pid")
            if measure "$programs/client" bulk "$port" default noop "$BULK_ROWS" "$BODY" "$KEEP"; then
                record bulk-run.runnel "$(field rate "$line")"
                record bulk-run.cpu "$(awk -v us=$(($(cpu_us "$pid") - before)) -v n="$BULK_ROWS" 'BEGIN { printf "%.2f", us / n }')"
                record_retention bulk-run
            else
                failed bulk-run.runnel
            fi
            stop "$pid"
        else
            failed bulk-run.runnel
        fi
    done
    row 'bulk submit, run, end recorded, tasks/s' bulk-run.runnel 'SQLite insert, then update' bulk-run.sqlite higher 0.30 0.50
    row 'bulk submit, run, end recorded, server CPU us' bulk-run.cpu - - lower - -
    row 'bulk submit, run, end recorded, kept at the last end' bulk-run.kept 'the cap' cap lower - -
    row 'bulk submit, run, end recorded, tasks/s until the cap holds' bulk-run.kept-rate 'SQLite insert, then update' bulk-run.sqlite higher - -
}

# ---------------------------------------------------------------------------------------------------------------------
# A backlog: what waiting tasks of 100 bytes cost in memory, at a restart, and each further submit.

# The cost of a submit into the paused queue, as time and as the server's processor time: submit_cost NAME
submit_cost() {
    load "$1" submit 16 hold && record "$1.us" "$(awk -v r="$(field rate "$line")" 'BEGIN { printf "%.2f", 1000000 / r }')"
}

# The same, into an empty queue; then how fast its tasks run, after which it is empty and paused again: empty_cost NAME
empty_cost() {
    submit_cost "$1.submit" || return 1
    if ! measure "$programs/client" drain "$port" hold "$(field count "$line")" || ! "$programs/client" pause "$port" hold; then
        failed "$1.run"
        return 1
    fi
    record "$1.run" "$(field rate "$line")"
}

# How long until ready on a store whose last daemon was ended by a signal: restart NAME STORE SIGNAL
restart() {
    if ! start_runneld "$2" || ! stop "$pid" "$3" || ! start_runneld "$2"; then
        failed "$1"
        return
    fi
    record "$1" "$(awk -v ms="$ready_ms" 'BEGIN { printf "%.3f", ms / 1000 }')"
    stop "$pid"
}

# Two daemons, one with TASKS waiting and one with an empty queue, are measured in turns: backlog_of NAME TASKS
backlog_of() {
    local name=$1 tasks=$2 run full_pid full_port empty_pid empty_port signal
    echo "  $tasks waiting" >&2
    paused_runneld full hold || { failed "$name"; return; }
    full_pid=$pid full_port=$port
    if measure "$programs/client" bulk "$full_port" hold noop "$tasks" 100; then
        record "$name.fill" "$(field submit_rate "$line")"
        record "$name.rss" "$(resident_mb "$full_pid")"
    else
        failed "$name.fill"
        stop "$full_pid"
        return
    fi

    if paused_runneld short hold; then
        empty_pid=$pid empty_port=$port
        for ((run = 1; run <= RUNS; run++)); do
            pid=$empty_pid port=$empty_port
            empty_cost "$name.empty" || break
            pid=$full_pid port=$full_port
            submit_cost "$name.submit" || break
        done
        record "$name.rss-submits" "$(resident_mb "$full_pid")"
        stop "$empty_pid"
    else
        failed "$name.empty"
    fi
    stop "$full_pid"

    new_folder none
    for signal in TERM KILL; do
        for ((run = 1; run <= RUNS; run++)); do
            restart "$name.none-$signal" none $signal
            restart "$name.ready-$signal" full $signal
        done
    done

    start_runneld full || { failed "$name.run"; return; }
    if measure "$programs/client" drain-for "$port" hold "$DURATION"; then
        record "$name.run" "$(field rate "$line")"
        record "$name.rss-later" "$(resident_mb "$pid")"
    else
        failed "$name.run"
    fi
    stop "$pid"
}

bench_backlog() {
    backlog_of million 1000000
    rows_backlog '1,000,000 waiting' million 100 64
    [ -n "${BENCH_LARGE-}" ] || return
    if [ "$(df --output=avail -k "$work" | tail -n 1)" -lt 8000000 ]; then
        failed '10,000,000 waiting: that needs 8 GB of disk'
    else
        backlog_of large 10000000
    fi
    rows_backlog '10,000,000 waiting' large - 100
}

rows_backlog() {
    local what=$1 name=$2 bound=1.20 later=0.30 goal_bound=- goal_later=-
    # At 10,000,000 the same bounds are the goal.
    if [ "$name" = large ]; then
        bound=- later=- goal_bound=1.20 goal_later=0.30
    fi
    row "$what, resident memory, MB" "$name.rss" - - limit "$3" "$4"
    row "$what, the same after submits, MB" "$name.rss-submits" - - limit "$3" "$4"
    row "$what, the same after a restart and runs, MB" "$name.rss-later" - - limit "$3" "$4"
    row "$what, ready after a restart, s" "$name.ready-TERM" 'an empty store' "$name.none-TERM" plus "$later" "$goal_later"
    row "$what, ready after kill -9, s" "$name.ready-KILL" 'an empty store' "$name.none-KILL" plus "$later" "$goal_later"
    row "$what, us per submit, 16 connections" "$name.submit.us" 'an empty queue' "$name.empty.submit.us" lower "$bound" "$goal_bound"
    row "$what, server CPU us per submit" "$name.submit.cpu" 'an empty queue' "$name.empty.submit.cpu" lower - -
    row "$what, runs/s once resumed" "$name.run" 'a short queue' "$name.empty.run" higher - -
    row "$what, filled by NDJSON, tasks/s" "$name.fill" - - higher - -
}

# ---------------------------------------------------------------------------------------------------------------------
# Commands: /bin/true by 2 workers, from a queue that is full beforehand.

bench_exec() {
    local run kind tasks=1000
    for ((run = 1; run <= RUNS; run++)); do
        echo "  exec, run $run" >&2
        if measure "$programs/spawn" 2 "$DURATION" /bin/true; then
            record exec.spawn "$(field rate "$line")"
            tasks=$(($(field rate "$line") * DURATION))
        else
            failed exec.spawn
        fi
        for kind in true3 true1; do
            if paused_runneld runneld exec &&
                "$programs/client" bulk "$port" exec $kind "$tasks" 0 >/dev/null; then
                if measure "$programs/client" drain "$port" exec "$tasks"; then
                    record "exec.$kind" "$(field rate "$line")"
                else
                    failed "exec.$kind"
                fi
                stop "$pid"
            else
                failed "exec.$kind"
            fi
        done
    done
    row 'exec of /bin/true, 2 workers, max_attempts 3, tasks/s' exec.true3 'posix_spawn, 2 threads' exec.spawn higher 0.85 1.00
    row 'exec of /bin/true, 2 workers, default, tasks/s' exec.true1 'posix_spawn, 2 threads' exec.spawn higher - -
}

# ---------------------------------------------------------------------------------------------------------------------

[ $# -gt 0 ] || set -- submit bulk cycle bulk-run backlog exec
for group in "$@"; do
    case $group in
    submit | bulk | cycle | bulk-run | backlog | exec) ;;
    *)
        sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
        exit 64
        ;;
    esac
done

echo "$(nproc) processors, Linux $(uname -r), $(date -u +%Y-%m-%dT%H:%MZ), load $(cut -d ' ' -f 1 /proc/loadavg);" \
    "medians of $RUNS runs of $DURATION s"
for group in "$@"; do
    echo "$group" >&2
    "bench_${group//-/_}"
done
print_table
cp "$results" "$programs/results"
echo "load now $(cut -d ' ' -f 1 /proc/loadavg); the single figures are in $programs/results"
if [ "$failures" -gt 0 ]; then
    echo "$failures measurements failed" >&2
    exit 1
fi
