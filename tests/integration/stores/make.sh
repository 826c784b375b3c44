#!/bin/bash
# Makes the store of a released version, from which later versions have to go on:
#
#   tests/integration/stores/make.sh RUNNELD NAME
#
# RUNNELD is that version's daemon; NAME.tar.gz (the store as the daemon's kill -9 left it, write-ahead log and all) and NAME.json
# (what its answers said of each task and queue just before) are written beside this file. Needs curl, jq and tar.
set -eu

runneld=$1
name=$2
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
pid=
trap 'test -z "$pid" || kill -KILL "$pid"; rm -rf "$folder"' EXIT

configure() {
    cat >"$folder/runneld.conf" <<END
listen = "127.0.0.1:0"; store = "$folder/runnel.db";
keep_succeeded = "36500d"; keep_failed = "36500d"; keep_cancelled = "36500d";
queue: { default: { workers = 2 }; parked: { workers = 1 }; side: { workers = 1 }; };
kind: {
  echo: { builtin = "echo" };
  wait: { builtin = "sleep"; if_interrupted = "fail"; max_attempts = 2 };
  hello: { command = ["/bin/echo", "--", "{name}"] };
  fails: { command = ["/bin/false"]; max_attempts = 3; backoff = { base = "1ms"; max = "1ms" } };
  later: { command = ["/bin/false"]; max_attempts = 5; backoff = { base = "2s"; max = "2s" } };
  $1
};
END
}

start() {
    "$runneld" -c "$folder/runneld.conf" 2>"$folder/log" &
    pid=$!
    until grep -q event=ready "$folder/log"; do kill -0 "$pid"; done
    url=http://$(sed -n 's/.*event=ready listen=\([^ ]*\).*/\1/p' "$folder/log")
}

call() { # METHOD PATH [BODY [HEADER]]
    curl -sS --fail-with-body -X "$1" ${3:+-H 'Content-Type: application/json' -d "$3"} ${4:+-H "$4"} "$url$2"
}

submit() { # BODY [HEADER]: its id
    call POST /v1/tasks "$1" "${2:-}" | jq .id
}

until_state() { # ID STATE
    until [ "$(call GET "/v1/tasks/${1:?}" | jq -r .state)" = "$2" ]; do :; done
}

configure 'gone: { builtin = "echo" };'
start
call POST /v1/queues/parked/pause '{}' >/dev/null
call POST /v1/queues/side/pause '{}' >/dev/null
call PATCH /v1/queues/parked '{"workers": 3, "rate": "5/s", "burst": 7}' >/dev/null

submit '{"kind": "gone", "queue": "side", "args": "its kind is no more"}' >"$folder/held"
large=$(printf '0123456789%.0s' $(seq 300))
for body in \
    '{"kind": "echo", "args": {"text": "grüße", "number": 1.10, "list": [null, true]}, "tags": ["a", "b"]}' \
    "{\"kind\": \"echo\", \"args\": \"$large\"}" \
    '{"kind": "hello", "args": {"name": "world"}}' \
    '{"kind": "fails", "args": [1, 2, 3], "priority": -5}'; do
    call POST "/v1/tasks?wait=30s" "$body" >/dev/null
done
call POST /v1/tasks '{"kind": "echo", "args": "once"}' 'Idempotency-Key: one' >/dev/null
call POST /v1/tasks '[{"kind": "echo", "args": 1}, {"kind": "echo", "args": 2}]' 'Idempotency-Key: two' >/dev/null
printf '{"kind": "echo", "args": %d}\n' 1 2 3 |
    curl -sS --fail-with-body -H 'Content-Type: application/x-ndjson' -H 'Idempotency-Key: three' --data-binary @- "$url/v1/tasks" >/dev/null
cancelled=$(submit '{"kind": "echo", "run_at": "2099-01-01T00:00:00Z"}')
call POST "/v1/tasks/$cancelled/cancel" >/dev/null
submit '{"kind": "echo", "args": "in another century", "run_at": "2101-02-03T04:05:06.789Z", "tags": ["late"]}' >/dev/null
submit '{"kind": "echo", "queue": "parked", "args": "first", "priority": 9, "timeout": "90s", "max_attempts": 7,
    "backoff": {"base": "2s", "max": "3m"}, "expires_at": "2100-01-01T00:00:00Z"}' >/dev/null
submit "{\"kind\": \"echo\", \"queue\": \"parked\", \"args\": \"$large\"}" >/dev/null
until [ "$(call GET '/v1/tasks?state=queued&queue=default' | jq '.tasks | length')" = 0 ]; do :; done
kill -TERM "$pid"
wait "$pid"

configure ''
start
call POST /v1/queues/side/resume '{}' >/dev/null
until_state "$(cat "$folder/held")" held
until_state "$(submit '{"kind": "later", "args": "not yet"}')" retrying
until_state "$(submit '{"kind": "wait", "args": {"duration": "1h"}}')" running
{ call GET '/v1/tasks?limit=1000&view=full' && call GET /v1/queues; } | jq -s '.[0] + .[1]' >"$folder/$name.json"
kill -KILL "$pid"
wait "$pid" || true
pid=

jq -e '[.tasks[].state] | unique == ["cancelled", "failed", "held", "queued", "retrying", "running", "scheduled", "succeeded"]' \
    "$folder/$name.json" >/dev/null
tar -C "$folder" --owner=0 --group=0 --mode=0600 -czf "$here/$name.tar.gz" runnel.db runnel.db-wal
cp "$folder/$name.json" "$here/$name.json"
