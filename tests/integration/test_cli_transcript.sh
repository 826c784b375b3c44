#!/bin/bash
# The client as one sees it: its commands in terminals of 80x24 and 40x12 (tmux) and into a pipe, with no queue, 3 and 60, a name of 64
# characters, NO_COLOR, and the daemon stopped in the middle. What is seen is compared with the files in transcripts/; times, ports and
# measurements are masked there.
#
#   RUNNEL_TRANSCRIPTS=write   writes the files anew: look at the difference before it is kept
#   RUNNELD, RUNNEL, RUNNEL_SOURCE   the daemon, the client, the tree
set -u
export LC_ALL=C.UTF-8 TZ=UTC

here=$(cd "$(dirname "$0")" && pwd)
daemon=${RUNNELD:-$here/../../runneld}
client=${RUNNEL:-$here/../../runnel}
wanted=$(cd "${RUNNEL_SOURCE:-.}" && pwd)/tests/integration/transcripts
folder=$(mktemp -d "${TMPDIR:-/tmp}/transcript.XXXXXX")
long=a123456789b123456789c123456789d123456789e123456789f123456789g123
pid=
port=0
export XDG_CONFIG_HOME=$folder RUNNEL_TOKEN_FILE=
unset NO_COLOR COLUMNS TMUX

# A socket's path is short: not below the test's own folder.
sockets=$(mktemp -d /tmp/rt.XXXXXX)
# What is saved lies here.
cd "$folder" || exit 1
# Which terminal is in use stands in a file: those who open one are in subshells.
echo 0 >"$sockets/number"
terminal() {
    tmux -S "$sockets/$(<"$sockets/number")" -f /dev/null "$@"
}

# A terminal that runs a shell's line, after the one before it: opened SIZE LINE. Each has a server of its own: one that is ending
# takes no new session.
opened() {
    terminal kill-server 2>/dev/null
    echo "$(($(<"$sockets/number") + 1))" >"$sockets/number"
    terminal new-session -d -x "${1%x*}" -y "${1#*x}" "$2; printf '= %s\n' \$?; exec cat" 5>&- 6<&-
}

finish() {
    terminal kill-server 2>/dev/null
    if [ -n "$pid" ]; then
        kill -KILL "$pid" 2>/dev/null
    fi
    rm -rf "$folder" "$sockets"
}
trap finish EXIT

if ! command -v tmux >/dev/null; then
    echo 'tmux is not installed'
    echo '[  SKIPPED ] 1 test(s)'
    exit 0
fi

# A breath between two looks at something that nobody announces: nothing is ever written there.
mkfifo "$folder/never"
exec 9<>"$folder/never"
breathe() {
    read -r -t 0.05 -u 9
}

# ---- the daemon ----

# start_daemon STORE
start_daemon() {
    local line
    rm -f "$folder/log"
    mkfifo "$folder/log"
    "$daemon" -c "$folder/runneld.conf" -o listen="127.0.0.1:$port" -o drain_timeout=100ms -o store="$folder/$1.db" 2>"$folder/log" &
    pid=$!
    exec 3<"$folder/log"
    while IFS= read -r -t 60 line <&3; do
        echo "$line" >>"$folder/daemon.log"
        case $line in
        *event=ready*)
            port=${line#* listen=*:}
            port=${port%% *}
            cat <&3 >>"$folder/daemon.log" &
            export RUNNEL_URL=http://127.0.0.1:$port
            return 0
            ;;
        esac
    done
    echo 'the daemon is not ready:'
    cat "$folder/daemon.log"
    return 1
}

stop_daemon() {
    kill -TERM "$pid"
    wait "$pid"
    pid=
}

kinds='echo: { builtin = "echo"; }; sleep: { builtin = "sleep"; }; fail: { builtin = "fail"; max_attempts = 1; };
    say: { command = ["/bin/sh", "-c", "echo out; echo err >&2; exit 7"]; };'

# Tasks that look the same each time: one has failed, one is cancelled, one is late, one runs, two wait.
some_tasks() {
    {
        "$client" submit fail message='something went quite wrong here, and it takes long to say what' --wait
        "$client" submit echo x=1 --queue blog --delay 1h
        "$client" cancel 2
        "$client" submit echo --queue "$long" --delay 1000d
        "$client" submit sleep duration=1h
        "$client" pause blog "$long"
        "$client" submit echo text=$'\e[31mred\e[0m 日本語' --queue blog --tag urgent
        "$client" submit say --wait
        "$client" submit echo a:=1 b:='[1.50]' --wait
    } >/dev/null 2>&1
}

# A new store with these tasks; once more where one took so long that its column is wider.
fresh() {
    local i
    for ((i = 0; i < 30; i++)); do
        start_daemon "$1-$i" || exit 1
        some_tasks
        if ! "$client" ls --json | grep -qE '"duration_ms":[0-9]{3}'; then
            return
        fi
        stop_daemon
    done
    echo 'this machine is too slow for a picture'
}

# ---- terminals ----

# What is measured, with a width of its own, and so the spaces beside it.
mask() {
    sed -E -e "s/127\.0\.0\.1:$port/127.0.0.1:<port>/g" \
        -e 's/ +TOOK/ TOOK/; s/ +SINCE/ SINCE/; s/ +OLDEST/ OLDEST/' \
        -e 's/(just now|[0-9]+[smh] ago) */<age> /g' \
        -e 's/in (59m|999d|1h)/in <left>/g' \
        -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/<time>/g' \
        -e 's/ +([0-9]+ms|[0-9]+\.[0-9]s|[0-9]+m[0-9]{2}s)( +|$|:|,)/ <took>\2/g' \
        -e 's/ [0-9.]+ ms$/ <ms>/' \
        -e 's/pid [0-9]+/pid <pid>/; s/libcurl [0-9.]+/libcurl <version>/; s/runneld? [0-9]+\.[0-9.]+/<runnel>/' \
        -e 's/(<port>  up ).*/\1<took> …/; s/ +WHY/ WHY/; s/(<age> something).*/\1 …/; s/<age> \)/<age>)/; s/<time> +/<time>  /' \
        -e 's/[0-9.,]+\/s(  +|$)/<rate>\1/g' \
        -e "s#$sockets#<folder>#g" \
        -e 's/[0-9.]+ [KM]iB(, |  )/<size>\1/; s/(<size>  )[0-9.]+ [KM]?i?B\/s.*/\1<rate> …/; s/(keys?, )([0-9]+ms|[0-9.]+s)/\1<took>/' \
        -e 's/broke \([^)]*\)/broke (<why>)/; s/tried (again )?[0-9]+ times?/tried \1<n> times/' \
        -e 's/ +$//' | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
}

# Until a line of the screen matches: shown WHAT
shown() {
    local i
    for ((i = 0; i < 600; i++)); do
        if terminal capture-pane -p -J -S - | grep -qE "$1"; then
            return 0
        fi
        breathe
    done
    echo "(never seen: $1)"
    return 1
}

# The whole of a command's output in a terminal: screen WIDTHxHEIGHT COMMAND
screen() {
    local size=$1
    shift
    opened "$size" "$*"
    shown '^= [0-9]+$' || return
    echo "\$ $*" | sed "s#$client#runnel#g"
    # What is no table is wrapped by the terminal: its lines are joined.
    case $* in
    *" ls"* | *" queues" | *" kinds") terminal capture-pane -p ${escapes:+-e} -S - ;;
    *) terminal capture-pane -p -J -S - ;;
    esac | sed '/^\(\x1b\[[0-9;]*m\)*= [0-9]*$/,$ { /^$/d }'
}

in_pipe() {
    echo "\$ $* | cat" | sed "s#$client#runnel#g"
    "$@" 2>&1 | cat
    echo "= ${PIPESTATUS[0]}"
}

# Compares what was seen with its file.
compare() {
    local name=$1
    mask >"$folder/$name"
    if [ "${RUNNEL_TRANSCRIPTS:-}" = write ]; then
        cp "$folder/$name" "$wanted/$name"
    fi
    echo "[ RUN      ] $name"
    if diff -u "$wanted/$name" "$folder/$name"; then
        echo "[       OK ] $name"
        echo ok >>"$folder/results"
    else
        echo "[  FAILED  ] $name"
        echo failed >>"$folder/results"
    fi
}

# top, its first screen that has WHAT: watch SIZE WHAT
watch() {
    opened "$1" "$client top --interval 100ms"
    shown "$2"
    echo '$ runnel top'
    terminal capture-pane -p
    echo '(q)'
    terminal send-keys q
    shown '^= 0$'
}

# ---- no queue, three, sixty ----

echo 'queue: { }; kind: { };' >"$folder/runneld.conf"
start_daemon none || exit 1
for size in 80x24 40x12; do
    for command in queues ls kinds 'submit echo' 'pause nothing' 'help ls' 'help run' 'list'; do
        screen "$size" "$client $command"
    done | compare "none-$size.txt"
    watch "$size" '^FAILED' | compare "none-top-$size.txt"
done
stop_daemon

cat >"$folder/runneld.conf" <<EOF
queue: { default: { workers = 4; }; blog: { workers = 3; rate = "2/s"; }; $long: { workers = 1; }; };
kind: { $kinds };
EOF
fresh three
for size in 80x24 40x12; do
    for command in queues ls 'ls --state failed' 'ls -n 2' 'show 1' 'show 5' 'show 7' 'show 3' 'result 7' 'result 6' 'wait 1' 'run say' kinds \
        'set blog rate=10/s workers=8' 'set blog rate= workers=' 'pause blog --for 1h' 'pause blog' 'rm --all --dry-run' \
        'sumbit' 'ls --quue' 'show 99' ping version 'rm 8' 'cancel 9' 'load /nonexistent'; do
        screen "$size" "$client $command"
    done | sed -E 's/^(task|runnel: task) (8|9)/\1 <id>/' | compare "three-$size.txt"
    "$client" rm --kind say >/dev/null
    watch "$size" '^FAILED' | compare "three-top-$size.txt"
    # The next one finds nothing that this one has left behind.
    stop_daemon
    fresh "three-$size"
done

for command in queues ls 'show 5' 'ls --json --limit 1' 'result 7' 'run say' kinds top 'submit echo'; do
    # shellcheck disable=SC2086 # a list of words
    in_pipe "$client" $command
done | sed -E 's/"(id|pid|worker|wall_ms|cpu_ms|duration_ms|max_rss_kib)":[0-9]+/"\1":<n>/g' | compare pipe.txt

{
    for environment in '' NO_COLOR=1 TERM=dumb; do
        escapes=yes screen 80x24 "env $environment $client ls --state queued,running,cancelled"
    done
    escapes=yes screen 120x24 "$client ls --state cancelled --color always | cat"
    escapes=yes screen 80x24 "$client ls --state cancelled --color never"
} | sed $'s/\e/\\\\e/g' | compare color.txt

# ---- all that there is, saved and brought back ----

# answering FILE [BYTES]: the tool answers the next request at the socket, with so many bytes of the file; $asked is what it says.
answering() {
    rm -f "$folder/asked" "$folder/hold"
    mkfifo "$folder/asked" "$folder/hold"
    "$here/tools/answer" "$sockets/answer" "$@" <"$folder/hold" >"$folder/asked" &
    exec 5>"$folder/hold" 6<"$folder/asked"
    read -r -t 60 <&6 # ready
}

# answer_of STATUS TYPE: an answer with what stands on standard input.
answer_of() {
    local body
    body=$(cat; echo .)
    body=${body%.}
    printf 'HTTP/1.1 %s x\r\nContent-Type: application/%s\r\nContent-Length: %d\r\n\r\n%s' "$1" "$2" "${#body}" "$body"
}

saved="$client --url unix:$sockets/answer"
# What a real daemon can't be brought to do: to be busy, and to end in the middle.
answer_of 503 problem+json >"$folder/busy" <<<'{"code":"busy","detail":"another backup is being made or sent: one at a time"}'

for size in 80x24 40x12; do
    # One with a key of its own, and a store that nothing was ever stored in.
    stop_daemon
    fresh "saved-$size"
    "$client" submit echo --key mine >/dev/null
    rm -f ./*.db ./*.ndjson
    {
        screen "$size" "$client backup saved.db"
        for command in 'backup saved.db' 'backup -' 'export saved.db' 'export saved.ndjson'; do
            screen "$size" "$client $command"
        done
        answering "$folder/busy"
        screen "$size" "$saved backup other.db"
        screen "$size" "$client import saved.ndjson --key k"
        stop_daemon
        start_daemon "empty-$size"
        sed '7s/"id":3/"id":2/' saved.ndjson >broken.ndjson
        head -n 5 saved.ndjson >short.ndjson
        for command in 'import broken.ndjson --key k' 'import short.ndjson --key k' 'import none.ndjson' 'import -n saved.ndjson' \
            'import saved.ndjson --key k' 'import saved.ndjson --key k'; do
            screen "$size" "$client $command"
        done
        "$client" submit echo >/dev/null
        sed 's/"key":"mine"/"key":"yours"/' saved.ndjson >again.ndjson
        screen "$size" "$client import again.ndjson --key again"
    } >"$folder/seen" # no pipe: the daemons are this shell's
    sed "s#--url unix:$sockets/answer ##" "$folder/seen" | compare "saved-$size.txt"
done
stop_daemon
fresh saved-pipe
{
    rm -f ./*.db
    in_pipe "$client" backup saved.db
    in_pipe "$client" backup saved.db
    in_pipe "$client" export - | sed -E '/^\{"(id|name)"/d; s/"store_id":"[0-9a-f]*"/"store_id":"<id>"/'
    "$client" export saved.ndjson >/dev/null
    in_pipe "$client" import -n saved.ndjson
    in_pipe "$client" import saved.ndjson --key k
    in_pipe "$client" import --json saved.ndjson --key k
} | compare saved-pipe.txt

# In the middle: the bar is there, then whoever answered has gone.
{
    rm -f cut.db cut.ndjson
    seq 1000 | sed 's/.*/{"id":&}/' | answer_of 200 vnd.sqlite3 >"$folder/half"
    for command in 'backup cut.db' 'export cut.ndjson'; do
        for size in 80x24 40x12; do
            answering "$folder/half" 8000
            opened "$size" "$saved $command"
            read -r -t 60 <&6 # asked
            shown '^ +[0-9]+%'
            terminal capture-pane -p | head -n 1
            exec 5>&-
            shown '^= 5$'
            terminal capture-pane -p -J | sed '/^$/d'
        done
    done
    ls cut* 2>&1
} >"$folder/seen"
# Stopped, the daemon takes what its socket holds, and does nothing with it.
for size in 80x24 40x12; do
    kill -STOP "$pid"
    {
        opened "$size" "$client import saved.ndjson --key k2 --retry-for 300ms"
        shown '^all is sent'
        kill -KILL "$pid"
        wait "$pid" 2>/dev/null
        shown '^= 5$'
        terminal capture-pane -p -J | sed '/^$/d'
    } >>"$folder/seen"
    fresh "stopped-$size"
done
sed -E 's/after [0-9,]+ lines/after <n> lines/; s/[0-9,]+ lines  [0-9.,]+\/s.*/<n> lines  <rate> …/' "$folder/seen" | compare stopped-saved.txt

# ---- the daemon is stopped in the middle ----

opened 80x24 "$client top --interval 100ms"
shown '^FAILED' # the screen is whole
stop_daemon
{
    shown 'tried [2-9] times'
    terminal capture-pane -p
    terminal send-keys q
    shown '^= 0$'
} | compare stopped-top.txt

fresh wait
opened 80x24 "$client wait 4 --retry-for 1s"
until "$client" stats --json | grep -q '"waiting":1'; do
    breathe
done
kill -KILL "$pid"
wait "$pid" 2>/dev/null
pid=
{
    shown '^= 5$'
    terminal capture-pane -p -J
} | compare stopped-wait.txt

fresh load
mkfifo "$folder/lines"
opened 80x24 "$client load --key k --retry-for 1s '$folder/lines'"
exec 4>"$folder/lines"
# The bar is drawn while bytes go out; what is not yet a slice is not stored.
seq 3000 | sed 's/.*/{"kind":"echo","queue":"blog","args":&}/' >&4
until "$client" ls --queue blog --limit 1000 --json | wc -l | grep -qE '^(9[0-9][0-9]|1000)$'; do
    breathe
done
for _ in 1 2 3 4; do breathe; done
seq 3000 | sed 's/.*/{"kind":"echo","queue":"blog","args":&}/' >&4
{
    shown 'lines  [0-9.,]+/s'
    terminal capture-pane -p | sed -E 's/[0-9,]+ lines  [0-9.,]+\/s/<n> lines  <rate>/' | head -n 1
} >"$folder/bar"
kill -KILL "$pid"
wait "$pid" 2>/dev/null
exec 4>&-
{
    cat "$folder/bar"
    shown '^= 5$'
    terminal capture-pane -p -J | sed -E "s#$folder/##; s/after [0-9,]+ lines/after <n> lines/"
} | compare stopped-load.txt
pid=

cat >"$folder/runneld.conf" <<EOF
queue: { $(printf 'q%02d: { workers = 1; }; ' {1..60}) };
kind: { echo: { builtin = "echo"; queue = "q01"; }; };
EOF
start_daemon sixty || exit 1
for size in 80x24 40x12; do
    screen "$size" "$client queues" | compare "sixty-$size.txt"
    watch "$size" '^FAILED' | compare "sixty-top-$size.txt"
done
stop_daemon

# Each comparison is the end of a pipe, in a shell of its own.
passed=$(grep -c ok "$folder/results")
failed=$(grep -c failed "$folder/results")
[ "$passed" -eq 0 ] || echo "[  PASSED  ] $passed test(s)."
[ "$failed" -eq 0 ] || echo "[  FAILED  ] $failed test(s)"
[ "$failed" -eq 0 ]
