#!/bin/bash
# Runs the library's examples and compares what they print with what they should.
#
#   RUNNEL_EXAMPLES   their folder
#   TEST_WRAPPER      stands before each (valgrind)
# shellcheck disable=SC2317 # eventually calls the conditions by their names
set -u

here=$(cd "$(dirname "$0")" && pwd)
examples=${RUNNEL_EXAMPLES:-$here/../../lib/examples}
wrapper=${TEST_WRAPPER:-}
folder=$(mktemp -d "${TMPDIR:-/tmp}/examples.XXXXXX")
server=
failures=0 # of the test that runs
skips=0    # 1: it can't run here
passed=0
skipped=0
failed=0

finish() {
    [ -z "$server" ] || kill -KILL "$server" 2>/dev/null
    rm -rf "$folder"
}
trap finish EXIT
cd "$folder" || exit 1

# ---- What the tests are written in

# Runs an example: output in out, standard error in err, exit status in $status.
run() {
    local name=$1
    shift
    # shellcheck disable=SC2086 # the wrapper is several words
    $wrapper "$examples/$name" "$@" >out 2>err
    status=$?
}

# The same in the background, with a name of its own for what it prints.
run_in_background() {
    local name=$1
    shift
    # shellcheck disable=SC2086
    $wrapper "$examples/$name" "$@" >"$name.out" 2>"$name.err" &
    background=$!
}

wait_for_background() {
    wait "$background"
    status=$?
    mv "$1.out" out
    mv "$1.err" err
}

fault() {
    echo "    $*"
    failures=$((failures + 1))
}

ends_with() {
    [ "$status" -eq "$1" ] || fault "the exit status is $status, not $1; standard error: $(head -c 2000 err)"
}

# Two files are equal.
same() {
    diff "$1" "$2" >difference || fault "$2 is not $1: $(head -n 20 difference)"
}

has_line() {
    grep -qE "^$2\$" "$1" || fault "no line '$2' in $1: $(head -n 20 "$1")"
}

empty() {
    [ ! -s "$1" ] || fault "$1 is not empty: $(head -c 2000 "$1")"
}

# Does something until it succeeds, for a minute at most.
eventually() {
    local i
    for ((i = 0; i < 600; i++)); do
        "$@" && return
        sleep 0.1
    done
    fault "never: $*"
    return 1
}

# Sends SIGINT to a program in the background until it ends. One that comes before it is prepared has no effect, since a shell's
# children in the background ignore it; but not before they have become the program.
interrupt_until_it_ends() {
    has_begun() { [ "$(readlink "/proc/$1/exe")" != "$(readlink /proc/$$/exe)" ]; }
    has_ended() { ! kill -INT "$1" 2>/dev/null; }
    eventually has_begun "$1"
    eventually has_ended "$1" || kill -KILL "$1"
    wait "$1"
    status=$?
}

# The sanitizer of threads keeps a signal from elsewhere back until the thread that it is for calls something that the sanitizer knows,
# which a thread that waits in the library does not.
keeps_signals_back() {
    grep -q __tsan_init "$examples/checksum" && skips=1
}

# ---- The four programs of the Go tutorial

the_pipeline_prints_to_the_byte_what_go_prints() {
    printf 'Squares of prime numbers between 2 and 20:\n4 9 25 49 121 169 289 361 \n' >expected

    for form in '' short; do
        # shellcheck disable=SC2086 # no argument, or one
        run pipeline $form
        ends_with 0
        same expected out
        empty err
    done
}

# Of the summary in out: the starts in milliseconds of the day, in order.
starts() {
    tail -n +5 out | awk '{ split($3, t, /[:.]/); print ((t[1] * 60 + t[2]) * 60 + t[3]) * 1000 + t[4] }' |
        awk '{ if (NR > 1 && $1 < last - 43200000) $1 += 86400000; last = $1; print $1 }' | sort -n
}

the_pool_starts_at_most_two_tasks_in_a_second_on_three_workers() {
    {
        echo
        echo 'Task Completion Summary:'
        echo 'Task ID  Worker   Start Time           Duration'
        echo '------------------------------------------------------------'
    } >expected
    seq 10 >expected_tasks
    seq 3 >expected_workers

    # A worker may be late on a busy machine, which brings its start nearer to the next: the distance of each three is looked at in up
    # to three runs, that of all from the first, which lateness does not make smaller, in each.
    for attempt in 1 2 3; do
        [ "$attempt" -eq 1 ] || run_in_background worker_pool
        wait_for_background worker_pool
        ends_with 0
        head -n 4 out >heading
        same expected heading
        tail -n +5 out | grep -vE '^[0-9]+ +[1-3] +[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3} +[0-9]+ms$' >odd && fault "$(cat odd)"
        tail -n +5 out | awk '{ print $1 }' | sort -n >tasks
        same expected_tasks tasks
        tail -n +5 out | awk '{ print $2 }' | sort -nu >workers
        same expected_workers workers
        starts >start_times
        awk 'NR == 1 { first = $1 } $1 - first < (NR - 1) * 500 - 250 { print "start " NR " after " $1 - first " ms" }' start_times >early
        [ ! -s early ] || fault "$(cat early)"
        grep -cE '^Worker [1-3] (starting|completed) task [0-9]+$' err >log_lines
        [ "$(cat log_lines)" = 20 ] || fault "standard error: $(cat err)"
        awk '{ start[NR] = $1 } NR > 2 && $1 - start[NR - 2] < 900 { print "three in " $1 - start[NR - 2] " ms" }' start_times >near
        [ -s near ] || return
    done
    fault "in each of three runs: $(cat near start_times)"
}

# The lines of a shutdown, without the numbers of workers.
service_lines() {
    {
        for task in 1 2 3 4 5; do
            echo "Worker N processing task $task"
            echo "Task $task $([ "$task" -le "$1" ] && echo 'completed by worker N' || echo cancelled)"
        done
        yes 'Worker N shutting down' | head -n 3
        echo 'Initiating shutdown...'
        echo 'Shutdown complete'
    } | sort
}

# Whatever the course: each task has one end, and after the last line nothing comes.
service_is_in_order() {
    sed -nE 's/^Task ([1-5]) (completed by worker [1-3]|cancelled|never started)$/\1/p' "$1" | sort >tasks
    same expected_tasks tasks
    [ "$(tail -n 1 "$1")" = 'Shutdown complete' ] || fault "the last line of $1: $(tail -n 1 "$1")"
    has_line "$1" 'Initiating shutdown\.\.\.'
}

the_service_cancels_what_runs_or_lets_it_finish() {
    seq 5 >expected_tasks
    service_lines 3 >expected_at_once
    service_lines 5 >expected_in_time

    # Which tasks are through at the shutdown is a matter of 50 ms, or, where the machine is too busy for that, of 500.
    for speed in quick quick quick '' ''; do
        # shellcheck disable=SC2086 # no argument, or one
        run service $speed
        ends_with 0
        empty err
        sed '/^$/,$d' out >at_once
        sed '1,/^Again/d' out >in_time
        service_is_in_order at_once
        service_is_in_order in_time
        grep -qE 'cancelled|never' in_time && fault "with time to finish: $(cat in_time)"
        sed -E 's/orker [1-3]/orker N/' at_once | sort >at_once_lines
        sed -E 's/orker [1-3]/orker N/' in_time | sort >in_time_lines
        cmp -s expected_at_once at_once_lines && cmp -s expected_in_time in_time_lines && return
    done
    same expected_at_once at_once_lines
    same expected_in_time in_time_lines
}

# The number in the line "TEXT: 12 …" of out; 0 without one.
count_of() {
    sed -nE "s/^$1:? ([0-9]+) .*/\1/p" out | grep . || echo 0
}

check_fan() {
    ends_with 0
    empty err
    done_count=$(count_of 'Successfully processed')
    left_count=$(count_of 'Not processed')
    error_count=$(count_of Encountered)
    [ $((done_count + left_count + error_count)) -eq 100 ] || fault "the sum is not 100: $(cat out)"
    sed -nE 's/^- processor [1-3]: error processing ([0-9]+)$/\1/p' out >errors
    [ "$(sort -u errors | wc -l)" -eq "$error_count" ] || fault "not $error_count errors: $(cat out)"
    [ "$(wc -l <out)" -eq $((4 + error_count + (left_count > 0))) ] || fault "lines that do not belong there: $(cat out)"
}

the_fan_accounts_for_a_hundred_numbers() {
    run fan
    check_fan
    [ "$done_count" -gt 0 ] || fault "none is processed"
    [ "$left_count" -eq 0 ] || [ -n "$wrapper" ] || fault "not processed: $left_count"

    run fan short
    check_fan
    [ "$left_count" -gt 0 ] || fault "half a second is enough for all"
}

# ---- Checksums

make_tree() {
    mkdir -p tree/deep/er 'tree/with space'
    : >tree/empty
    printf x >tree/one
    head -c 65536 /dev/urandom >tree/deep/chunk
    head -c 65537 /dev/urandom >tree/deep/er/more
    head -c 1000000 /dev/urandom >'tree/with space/large'
    ln -s one tree/link
    for ((i = 0; i < 100; i++)); do
        echo "$i" >"tree/deep/$i"
    done
}

checksums_are_those_of_cksum() {
    find tree -type f -exec cksum {} + | sort >expected

    run checksum tree
    ends_with 0
    empty err
    cp out first
    sort out >sorted
    same expected sorted
    # They come in the order of the walk, whichever is ready first.
    run checksum tree
    same first out
}

checksum_goes_on_after_what_it_can_not_read() {
    cksum tree/one >expected

    run checksum missing tree/one
    ends_with 1
    same expected out
    has_line err 'checksum: missing: .+'
    run checksum
    ends_with 2
}

checksum_shows_its_progress_on_a_terminal_alone() {
    find tree -type f -exec cksum {} + | sort >expected

    SHELL=/bin/sh script -qec "$wrapper '$examples/checksum' tree >out" typescript </dev/null >/dev/null
    status=$?
    ends_with 0
    sort out >sorted
    same expected sorted
    tr '\r' '\n' <typescript >progress
    has_line progress "$(wc -l <expected) files, $(awk '{ n += $2 } END { print n }' expected) bytes"
}

an_interrupt_ends_checksum_at_once() {
    keeps_signals_back && return
    mkdir -p endless
    truncate -s 1T endless/file

    # shellcheck disable=SC2086
    $wrapper "$examples/checksum" endless >out 2>err &
    interrupt_until_it_ends $!
    ends_with 130
    empty out
    empty err
}

# ---- Downloads

start_server() {
    mkdir -p files
    for i in 0 1 2 3 4 5 6 7 8 9; do
        head -c $((i * 30000)) /dev/urandom >"files/$i"
    done
    "$here/http_server" files >requests &
    server=$!
    has_port() { port=$(head -n 1 requests) && [ -n "$port" ]; }
    eventually has_port
    site=http://127.0.0.1:$port
}

downloads_are_complete_and_start_at_a_rate() {
    mkdir -p got
    : >nothing

    run download -r 20 got "$site"/files/{0,1,2,3,4,5,6,7,8} "$site/files/9?of=10#here"
    ends_with 0
    empty err
    for i in 0 1 2 3 4 5 6 7 8 9; do
        cmp -s "files/$i" "got/$i" || fault "file $i differs"
        has_line out "$i: $((i * 30000)) bytes"
    done
    [ "$(find got | wc -l)" -eq 11 ] || fault "what is there: $(ls -a got)"
    # The first may be late, which brings it nearer to the others; without a limit all come within a few milliseconds.
    awk '/files/ { if (!first) first = $1; last = $1 } $2 > most { most = $2 }
        END { if (last - first < 250 || most > 4) print "in " last - first " ms, at once " most }' requests >fast
    [ ! -s fast ] || fault "$(cat fast)"
}

downloads_run_at_once() {
    mkdir -p together

    run download together "$site"/together/{1,2}
    ends_with 0
    cmp -s files/1 together/1 || fault "file 1 differs"
    cmp -s files/2 together/2 || fault "file 2 differs"
}

# The others get no answer: that it ends at all is what this tests.
the_first_error_ends_the_other_downloads() {
    mkdir -p broken

    run download broken "$site"/stall/{1,2,3} "$site/missing" "$site/files/5"
    ends_with 1
    echo "download: $site/missing: HTTP/1.0 404 Not Found" >expected
    same expected err
    empty out

    run download broken "$site/cut/5"
    ends_with 1
    has_line err "download: $site/cut/5: Connection reset by peer"
    [ "$(find broken | wc -l)" -eq 1 ] || fault "what is left: $(ls -a broken)"
}

an_interrupt_ends_downloads() {
    keeps_signals_back && return
    mkdir -p interrupted

    # shellcheck disable=SC2086
    $wrapper "$examples/download" interrupted "$site"/stall/{4,5,6,7,8,9} >out 2>err &
    client=$!
    asked() { [ "$(grep -cE ' /stall/[4-9]$' requests)" -eq 4 ]; }
    eventually asked
    interrupt_until_it_ends "$client"
    ends_with 130
    empty out
    empty err
    [ "$(find interrupted | wc -l)" -eq 1 ] || fault "what is left: $(ls -a interrupted)"
}

what_is_no_url_is_not_downloaded() {
    for url in ftp://host/file "$site" "$site/" "$site/.." 'http://:80/x' "$site/a b"; do
        run download . "$url"
        ends_with 1
        has_line err '.*no http:// URL, or no name of its own'
    done
    run download . "$site/files/1" "$site/x/1"
    ends_with 1
    run download -r 0 . "$site/files/1"
    ends_with 2
    run download missing/folder "$site/files/1"
    ends_with 1
}

# ---- The event loop

the_loop_takes_the_results_of_all_files() {
    find "$folder/tree" "$folder/files" -type f >names
    xargs -d '\n' -n 1 wc -l <names | sort >expected

    # Through a pipe, since epoll takes no files.
    run epoll < <(cat names)
    ends_with 0
    sort out >sorted
    same expected sorted
    grep -vE '^[0-9]+ of [0-9]+ done$' err >odd && fault "standard error: $(cat odd)"

    # A last line without an end, and a file that is not there.
    run epoll < <(printf 'missing\n%s' "$folder/tree/one")
    ends_with 0
    has_line out "0 $folder/tree/one"
    has_line err 'epoll: missing: .+'
    [ "$(wc -l <out)" -eq 1 ] || fault "standard output: $(cat out)"
}

the_loop_hears_timer_input_and_interrupt() {
    mkfifo input

    # shellcheck disable=SC2086
    $wrapper "$examples/epoll" <input >out 2>err &
    loop=$!
    exec 3>input
    told() { grep -q "$1 done" err; }
    eventually told '0 of 0'
    echo "$folder/tree/one" >&3
    eventually told '1 of 1'
    interrupt_until_it_ends "$loop"
    exec 3>&-
    ends_with 130
    echo "0 $folder/tree/one" >expected
    same expected out
}

# ---- Runs them all

make_tree
start_server
run_in_background worker_pool # it takes the longest
for name in \
    the_pipeline_prints_to_the_byte_what_go_prints \
    the_service_cancels_what_runs_or_lets_it_finish \
    the_fan_accounts_for_a_hundred_numbers \
    checksums_are_those_of_cksum \
    checksum_goes_on_after_what_it_can_not_read \
    checksum_shows_its_progress_on_a_terminal_alone \
    an_interrupt_ends_checksum_at_once \
    downloads_are_complete_and_start_at_a_rate \
    downloads_run_at_once \
    the_first_error_ends_the_other_downloads \
    an_interrupt_ends_downloads \
    what_is_no_url_is_not_downloaded \
    the_loop_takes_the_results_of_all_files \
    the_loop_hears_timer_input_and_interrupt \
    the_pool_starts_at_most_two_tasks_in_a_second_on_three_workers; do
    echo "[ RUN      ] $name"
    failures=0
    skips=0
    "$name"
    if [ "$skips" -eq 1 ]; then
        echo "[  SKIPPED ] $name"
        skipped=$((skipped + 1))
    elif [ "$failures" -eq 0 ]; then
        echo "[       OK ] $name"
        passed=$((passed + 1))
    else
        echo "[  FAILED  ] $name"
        failed=$((failed + 1))
    fi
done
kill -TERM "$server"
wait "$server"
status=$?
server=
if [ "$status" -ne 0 ]; then
    echo "the server ended with status $status"
    failed=$((failed + 1))
fi
echo "[  PASSED  ] $passed test(s)"
[ "$skipped" -eq 0 ] || echo "[  SKIPPED ] $skipped test(s)"
[ "$failed" -eq 0 ] || echo "[  FAILED  ] $failed test(s)"
[ "$failed" -eq 0 ]
