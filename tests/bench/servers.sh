# shellcheck shell=bash disable=SC2034,SC2154 # run.sh sets and reads some of the names
# Starts and stops what is measured: runneld, durable_server, beanstalkd, Redis, PostgreSQL. Sourced by run.sh.
#
# All listen on free ports of 127.0.0.1 and keep their data below $work. Each start_… sets `pid` and `port` and returns 1, having
# said why, when the server does not come up. Whatever was started is in `servers` until stop took it out.

declare -A servers # pid → the signal that ends it
pid='' port=''

complain() {
    echo "    $*" >&2
}

# The value of a name in a line of `name=value …`.
field() {
    local pattern="(^| )$1=([^ ]*)"
    [[ $2 =~ $pattern ]] && echo "${BASH_REMATCH[2]}"
}

# Starts a program in the background, its output in $work/LOG.log: launch LOG SIGNAL PROGRAM ARGUMENT…
launch() {
    local log=$work/$1.log signal=$2
    shift 2
    : >"$log" # here, so that nobody takes the last server's words for this one's
    started=$EPOCHREALTIME
    "$@" </dev/null >"$log" 2>&1 &
    pid=$!
    servers[$pid]=$signal
}

# Ends a server and waits for it; SIGKILL after a minute. stop PID [SIGNAL]
stop() {
    local signal=${2:-${servers[$1]-TERM}}
    end "$1" "$signal" 2>/dev/null || complain "process $1 did not end within a minute of SIG$signal"
    unset "servers[$1]"
}

# Without the shell's own words about it.
end() {
    local tries
    kill -s "$2" "$1"
    for ((tries = 0; tries < 3000; tries++)); do
        kill -0 "$1" || break
        sleep 0.02
    done
    if kill -s KILL "$1"; then
        wait "$1"
        return 1
    fi
    wait "$1"
    return 0
}

stop_all() {
    local each
    for each in "${!servers[@]}"; do
        stop "$each"
    done
}

# Waits until a server accepts connections: listening PID PORT NAME
listening() {
    local tries
    for ((tries = 0; tries < 500; tries++)); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null; then
            return 0
        fi
        kill -0 "$1" 2>/dev/null || break
        sleep 0.02
    done
    complain "$3 does not start: $(tail -n 3 "$work/$3.log")"
    stop "$1"
    return 1
}

new_folder() {
    rm -rf "${work:?}/$1"
    mkdir -p "$work/$1"
}

start_durable_server() {
    new_folder durable
    launch durable_server TERM "$programs/durable_server" "$work/durable"
    local tries
    for ((tries = 0; tries < 500; tries++)); do
        port=$(field port "$(<"$work/durable_server.log")")
        [ -z "$port" ] || return 0
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.02
    done
    complain "durable_server does not start: $(<"$work/durable_server.log")"
    stop "$pid"
    return 1
}

start_beanstalkd() {
    command -v beanstalkd >/dev/null || return 1
    new_folder beanstalkd
    port=$(field port "$("$programs/client" port)")
    launch beanstalkd TERM beanstalkd -l 127.0.0.1 -p "$port" -b "$work/beanstalkd" -f 0
    listening "$pid" "$port" beanstalkd
}

start_redis() {
    command -v redis-server >/dev/null || return 1
    new_folder redis
    port=$(field port "$("$programs/client" port)")
    launch redis TERM redis-server --bind 127.0.0.1 --port "$port" --dir "$work/redis" --save '' \
        --loglevel warning --appendonly yes --appendfsync always
    listening "$pid" "$port" redis
}

# PostgreSQL refuses to run as root, so it runs as the user postgres then.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    else
        "$@"
    fi
}

postgres_pid='' postgres_port=''

# Once; the cluster serves all rows. Its folder must be one that its user can reach: else it lies in /var/tmp.
start_postgres() {
    [ -z "$postgres_pid" ] || return 0
    local folders=(/usr/lib/postgresql/*/bin) tries
    postgres_programs=${folders[-1]}
    [ -x "$postgres_programs/initdb" ] && [ -x "$postgres_programs/pgbench" ] || return 1
    postgres_folder=$work/postgres
    new_folder postgres
    if [ "$(id -u)" -eq 0 ]; then
        chown postgres "$postgres_folder"
        if ! as_postgres test -w "$postgres_folder"; then
            postgres_folder=$(mktemp -d /var/tmp/runnel-bench.XXXXXX)
            chown postgres "$postgres_folder"
            complain "the user postgres cannot reach $work: its data lie in $postgres_folder"
        fi
    fi
    if ! (cd "$postgres_folder" && as_postgres "$postgres_programs/initdb" -D "$postgres_folder/data" \
        -U postgres -A trust) >"$work/initdb.log" 2>&1; then
        complain "initdb fails: $(tail -n 3 "$work/initdb.log")"
        return 1
    fi
    postgres_port=$(field port "$("$programs/client" port)")
    # SIGINT is PostgreSQL's fast shutdown. A server per cluster, so without a Unix socket, whose path has a limit.
    cd "$postgres_folder" || return 1
    launch postgres INT as_postgres_exec "$postgres_programs/postgres" -D "$postgres_folder/data" -p "$postgres_port" \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c shared_buffers=256MB \
        -c synchronous_commit=on -c max_wal_size=4GB
    cd "$top" || return 1
    postgres_pid=$pid
    for ((tries = 0; tries < 500; tries++)); do
        if postgres_sql 'SELECT 1' >/dev/null 2>&1; then
            return 0
        fi
        sleep 0.02
    done
    complain "PostgreSQL does not start: $(tail -n 3 "$work/postgres.log")"
    stop "$postgres_pid"
    postgres_pid=''
    return 1
}

# launch needs the pid of the server, not of a shell that waits for it.
as_postgres_exec() {
    if [ "$(id -u)" -eq 0 ]; then
        exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
    fi
    exec "$@"
}

postgres_sql() {
    local statement arguments=()
    for statement in "$@"; do
        arguments+=(-c "$statement")
    done
    PGCONNECT_TIMEOUT=5 psql -h 127.0.0.1 -p "$postgres_port" -U postgres -X -qAt "${arguments[@]}" postgres
}

# Runs a script for $DURATION seconds on a new table with 4,000 jobs; prints `rate=N`. The rate is that without the connecting,
# which takes pgbench a second for 64 connections. postgres_bench SCRIPT CONNECTIONS
postgres_bench() {
    postgres_sql 'DROP TABLE IF EXISTS jobs' \
        'CREATE TABLE jobs(id bigserial PRIMARY KEY, state smallint NOT NULL DEFAULT 0, priority smallint NOT NULL DEFAULT 0, run_at timestamptz NOT NULL DEFAULT now(), attempt int NOT NULL DEFAULT 0, queue text, kind text, payload text, result text)' \
        'CREATE INDEX jobs_ready ON jobs(state, priority, run_at, id)' \
        "INSERT INTO jobs(queue, kind, payload) SELECT 'default', 'noop', repeat('p', 150) FROM generate_series(1, 4000)" \
        'VACUUM ANALYZE jobs' >"$work/pgbench.log" 2>&1 &&
        "$postgres_programs/pgbench" -h 127.0.0.1 -p "$postgres_port" -U postgres -n -f "$here/$1" -M prepared -c "$2" -j 2 \
            -T $((DURATION + $2 / 16)) postgres >>"$work/pgbench.log" 2>&1 || return 1
    awk '/^tps/ { printf "rate=%.0f\n", $3 }' "$work/pgbench.log"
}

# The configuration of the daemon that is measured: everything at its default but the retention cap. config_of FOLDER
config_of() {
    cat <<CONFIG
listen = "127.0.0.1:0";
store = "$1/runnel.db";
keep_count = $KEEP;
$([ -z "${BENCH_LARGE-}" ] || echo 'max_backlog = 20000000;')
queue: {
  default: { workers = 4 };
  hold: { workers = 4 };
  exec: { workers = 2 };
};
kind: {
  noop: { builtin = "noop" };
  true3: { command = ["/bin/true"]; queue = "exec"; max_attempts = 3 };
  true1: { command = ["/bin/true"]; queue = "exec" };
};
CONFIG
}

# Starts the daemon on the store named so; sets ready_ms too. start_runneld STORE
start_runneld() {
    local line
    if [ ! -x "$RUNNELD" ]; then
        complain "there is no $RUNNELD"
        return 1
    fi
    config_of "$work/$1" >"$work/$1.conf"
    launch "$1" TERM "$RUNNELD" -c "$work/$1.conf"
    if ! line=$("$programs/client" ready "$work/$1.log" "$pid" "$started"); then
        stop "$pid"
        return 1
    fi
    port=$(field port "$line")
    ready_ms=$(field ready_ms "$line")
}

# Starts the daemon on a new store in which a queue has reached its retention cap: fresh_runneld STORE QUEUE
fresh_runneld() {
    new_folder "$1"
    start_runneld "$1" || return 1
    if ! "$programs/client" bulk "$port" "$2" noop $((KEEP + KEEP / 20)) 100 "$KEEP" >/dev/null; then
        stop "$pid"
        return 1
    fi
}

# The same, and the queue is paused then: paused_runneld STORE QUEUE
paused_runneld() {
    fresh_runneld "$1" "$2" || return 1
    if ! "$programs/client" pause "$port" "$2"; then
        stop "$pid"
        return 1
    fi
}

# User and system time of a process so far, in microseconds.
cpu_us() {
    local fields
    read -ra fields <"/proc/$1/stat"
    echo $(((fields[13] + fields[14]) * 1000000 / ticks))
}

resident_mb() {
    awk '/^VmRSS/ { printf "%.1f", $2 * 1024 / 1000000 }' "/proc/$1/status"
}
ticks=$(getconf CLK_TCK)
