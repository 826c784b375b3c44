# shellcheck shell=bash disable=SC2034,SC2154 # names of this file and of those that stand with it
# What the rows of the tests of the installed service are made of: row() and what their functions call.
# Sourced by check.sh, which has set word.
#
# A row is a sentence and a function, which runs in a shell of its own and ends at the first command that fails. It begins with
# stopped, which makes everything as it is after the install, or with standard, a running service that rows share.

source=/opt/source
url=http://127.0.0.1:7733
config=/etc/runnel/runneld.conf
drop_ins=/etc/systemd/system/runneld.service.d
shipped=/usr/local/share/runnel/systemd
work=/run/check
rows=0
skipped=0
failed=0
mkdir -p $work

# Unlike `!`, it ends a row.
not() {
    if "$@"; then
        return 1
    fi
}

# eventually SECONDS COMMAND…: until it succeeds.
eventually() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || {
            echo "not within its time: $*"
            return 1
        }
        sleep 0.05
    done
}

property() {
    systemctl show -P "$1" runneld.service
}

# is PROPERTY VALUE
is() {
    [ "$(property "$1")" = "$2" ]
}

# The journal of the run that started() began.
# shellcheck disable=SC2119,SC2120 # rows give it arguments
journal() {
    journalctl --sync
    journalctl "_SYSTEMD_INVOCATION_ID=$(cat $work/invocation)" -o cat "$@"
}

journal_has() {
    journal >$work/lines
    grep -q -- "$1" $work/lines
}

api() {
    local path=$1
    shift
    curl -sS --max-time 60 "$@" "$url$path"
}

# The task of a script, as it is when it has ended.
run() {
    jq -n --arg script "$1" '{kind: "sh", args: {script: $script}}' | api '/v1/tasks?wait=60s' --json @-
}

# The id of a task that runs a script; it is not waited for.
begin() {
    local id
    id=$(jq -n --arg script "$1" '{kind: "sh", args: {script: $script}}' | api /v1/tasks --json @- | jq .id)
    eventually 10 state_is "$id" running >&2
    echo "$id"
}

state_is() {
    [ "$(api "/v1/tasks/$1" | jq -r .state)" = "$2" ]
}

# ends ID STATE
ends() {
    local task
    task=$(api "/v1/tasks/$1?wait=60s")
    echo "$task"
    [ "$(jq -r .state <<<"$task")" = "$2" ]
}

# What a script prints that has to succeed.
output_of() {
    local task
    task=$(run "$1")
    [ "$(jq -r .state <<<"$task")" = succeeded ] || {
        echo "$task" >&2
        return 1
    }
    jq -r '.result // ""' <<<"$task"
}

write_config() {
    cat >$config <<'EOF'
log_level = "info";
queue: { default: { workers = 8; }; single: { workers = 1; }; };
kind: {
  echo: { builtin = "echo"; };
  sleep: { builtin = "sleep"; };
  sh: { command = ["/bin/sh", "-c", "{script}"]; stdin = "none"; max_output = "1MiB"; };
};
EOF
}

drop_in() {
    mkdir -p $drop_ins
    cat >"$drop_ins/$1.conf"
}

# Everything as after the install, nothing started.
stopped() {
    systemctl -q stop runneld.socket runneld.service
    systemctl -q reset-failed runneld.socket runneld.service 2>/dev/null || true # it knows none that never failed
    rm -rf $drop_ins /var/lib/runnel /var/lib/private/runnel /etc/runnel/tokens $work/standard $work/strict
    write_config
    systemctl daemon-reload
}

started() {
    systemctl daemon-reload
    systemctl start runneld
    property InvocationID >$work/invocation
}

# A running service as shipped, which rows that leave it so share.
standard() {
    if [ -e $work/standard ] && is ActiveState active; then
        return
    fi
    stopped
    started
    touch $work/standard
}

# row 'sentence' FUNCTION [ARGUMENT…]: each in a shell of its own, which any command that fails ends.
row() {
    local sentence=$1 status began
    shift
    [[ $1 == *$word* || $1 == install ]] || return 0
    rows=$((rows + 1))
    began=$(date +%s%N)
    (
        set -eEx -o pipefail
        "$@"
    ) >$work/log 2>&1
    status=$?
    if [ $status -eq 77 ]; then
        skipped=$((skipped + 1))
        echo "skipped $sentence: $(tail -n 1 $work/log)"
    elif [ $status -eq 0 ]; then
        printf 'ok      %s (%d ms)\n' "$sentence" $((($(date +%s%N) - began) / 1000000))
    else
        failed=$((failed + 1))
        echo "FAILED  $sentence"
        tail -n 60 $work/log | sed 's/^/    /'
        journalctl -u runneld -o cat -n 15 | sed 's/^/    journal: /'
        rm -f $work/standard
    fi
}
