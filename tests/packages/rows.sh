#!/bin/bash
# Run by check.sh in the fresh Debian: /opt has the packages, runnel_VERSION.deb. What a row leaves is what the next one finds.
#
#   rows.sh VERSION NEWER
set -u
export DEBIAN_FRONTEND=noninteractive

version=$1
newer=$2
oldest=0.0.1 # knows no store at all
url=http://127.0.0.1:7733
configuration=/etc/runnel/runneld.conf
socket=/run/runnel/runneld.sock
store=/var/lib/runnel/runnel.db
ledger=/var/lib/runnel/ledger
said=/tmp/said
rows=0
skipped=0
failed=0

complain() {
    echo "        $*"
    return 1
}

# eventually COMMAND…: looked at again and again, at most for 60 s
eventually() {
    local until=$((SECONDS + 60))
    until "$@"; do
        [ $SECONDS -lt $until ] || complain "not within 60 s: $*" || return 1
        sleep 0.1
    done
}

has_tokens() {
    grep -q '^token_file = ' $configuration
}

# curl with the token that root was given, where there are tokens.
as_root() {
    local options=()
    [ ! -e /etc/runnel/admin.token ] || options=(-H "Authorization: Bearer $(cat /etc/runnel/admin.token)")
    curl -s -S "${options[@]}" "$@"
}

# call METHOD PATH [BODY]
call() {
    local options=()
    [ $# -lt 3 ] || options=(--json "$3")
    as_root -X "$1" "${options[@]}" "$url$2"
}

submit() {
    call POST /v1/tasks "$1" | jq -e .id
}

daemon_version() {
    call GET /v1/info | jq -r .version
}

state_of() {
    call GET "/v1/tasks/$1" | jq -r .state
}

is_state() {
    [ "$(state_of "$1")" = "$2" ]
}

main_pid() {
    systemctl show -p MainPID --value runneld
}

# What dpkg and the scripts of the package say is kept in $said.
install() {
    dpkg -i "/opt/runnel_$1.deb" </dev/null >$said 2>&1
}

says() {
    grep -q "$1" $said || complain "that is not said: $1; but: $(tail -n 5 $said)"
}

installed_version() {
    dpkg-query -W -f '${db:Status-Status} ${Version}' runnel
}

is_installed() {
    [ "$(installed_version)" = "installed $1" ] || complain "it is $(installed_version)"
}

runs() {
    systemctl --quiet is-active runneld && [ "$(daemon_version)" = "$1" ]
}

# ---- The rows, in their order. ----

it_installs_and_the_daemon_runs() {
    install "$version" || says 'nothing: it fails' || return 1
    is_installed "$version" && runs "$version" && systemctl --quiet is-enabled runneld && getent passwd runnel >/dev/null &&
        dpkg-query -W -f '${Conffiles}' runnel | grep -q " $configuration " && ! grep -q 'rn_' $said
}

a_task_by_curl_runs() {
    [ "$(call POST '/v1/tasks?wait=20s' '{"kind": "echo", "args": "hello"}' | jq -r .result)" = hello ]
}

nothing_listens_beyond_loopback() {
    ss -H -ltn | awk '{ print $4 }' >/tmp/listens
    grep -qx '127.0.0.1:7733' /tmp/listens && ! grep -vE '^(127\.[0-9.]+|\[::1\]):[0-9]+$' /tmp/listens
}

# Somebody on the machine, in a further group or in none: somebody GROUP|'' COMMAND…
somebody() {
    local group=$1
    shift
    if [ -n "$group" ]; then
        setpriv --reuid=nobody --regid=nogroup --groups="$group" "$@"
    else
        setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"
    fi
}

# Neither on loopback without a token nor through the socket, which is for the group.
another_user_can_submit_nothing() {
    local status
    has_tokens || return 77
    status=$(somebody '' curl -s -o /dev/null -w '%{http_code}' --json '{"kind": "noop"}' $url/v1/tasks)
    [ "$status" = 401 ] || complain "on loopback: $status" || return 1
    [ -S $socket ] || complain 'there is no socket' || return 1
    somebody '' curl -s --unix-socket $socket --json '{"kind": "noop"}' http://localhost/v1/tasks
    status=$?
    [ $status -eq 7 ] || complain "through the socket: curl ends with $status" || return 1
    ! somebody '' cat /etc/runnel/tokens 2>/dev/null && ! somebody '' cat /etc/runnel/admin.token 2>/dev/null &&
        ! somebody runnel cat /etc/runnel/tokens 2>/dev/null && [ "$(call GET '/v1/tasks?kind=noop' | jq '.tasks | length')" = 0 ]
}

# The group reaches the socket; what it may do there is the access settings' to say, so it has root's token here.
a_member_of_the_group_can_submit_through_the_socket() {
    local status
    has_tokens || return 77
    status=$(somebody runnel curl -s -o /dev/null -w '%{http_code}' --unix-socket $socket \
        -H "Authorization: Bearer $(cat /etc/runnel/admin.token)" --json '{"kind": "noop"}' http://localhost/v1/tasks)
    [ "$status" = 201 ] || complain "through the socket: $status"
}

# A command that writes down when it starts and ends. `short` ends in the drain; `long` is cut short by it the first time.
make_ledger() {
    cat >/usr/local/bin/ledger <<'END'
#!/bin/sh
again=$(grep -c "^start $1$" /var/lib/runnel/ledger)
echo "start $1" >>/var/lib/runnel/ledger
case $1 in
short) until [ -e /var/lib/runnel/draining ]; do sleep 0.1; done ;;
long) [ "$again" -gt 0 ] || sleep 600 ;;
esac
echo "end $1" >>/var/lib/runnel/ledger
END
    chmod 755 /usr/local/bin/ledger
    sed -i -e 's/^kind: {/&\n  ledger: { command = ["\/usr\/local\/bin\/ledger", "{name}"]; stdin = "none"; max_attempts = 3; };/' \
        -e 's/^queue: {/&\n  work: { workers = 2; };/' -e 's/^# drain_timeout = .*/drain_timeout = "5s";/' \
        -e 's/^# kill_grace = .*/kill_grace = "1s";/' $configuration
    runuser -u runnel -- touch $ledger
    systemctl restart runneld
}

ledger_task() {
    echo "{\"kind\": \"ledger\", \"queue\": \"$1\", \"args\": {\"name\": \"$2\"}${3-}}"
}

has_line() {
    grep -qx "$1" $ledger
}

an_upgrade_keeps_the_queue() {
    local short long scheduled quiet due first before
    make_ledger || return 1
    short=$(submit "$(ledger_task work short)") && long=$(submit "$(ledger_task work long)") || return 1
    eventually has_line 'start short' && eventually has_line 'start long' || return 1
    call POST /v1/queues/blog/pause '{}' >/dev/null
    for name in $(seq 1000); do ledger_task work "$name"; done >/tmp/lines
    first=$(as_root -H 'Content-Type: application/x-ndjson' --data-binary @/tmp/lines $url/v1/tasks | jq .first_id)
    scheduled=$(submit "$(ledger_task work later ', "delay": "1h"')") && quiet=$(submit "$(ledger_task blog quiet)") || return 1
    due=$(call GET "/v1/tasks/$scheduled" | jq -r .run_at)
    [ "$(state_of $((first + 999)))" = queued ] || complain 'the thousand do not wait' || return 1
    before=$(main_pid)
    echo "$scheduled $quiet $first" >/tmp/kept

    # The drain has begun when systemd says so.
    (
        until [ "$(systemctl show -p ActiveState --value runneld)" = deactivating ]; do sleep 0.1; done
        touch /var/lib/runnel/draining
        chmod 644 /var/lib/runnel/draining
    ) &
    install "$newer" || says 'nothing: it fails' || return 1
    wait

    is_installed "$newer" && runs "$newer" && [ "$(main_pid)" != "$before" ] || return 1
    eventually is_state $((first + 999)) succeeded && eventually is_state "$long" succeeded || return 1
    is_state "$short" succeeded || complain 'short' || return 1
    [ "$(call GET "/v1/tasks/$scheduled" | jq -r '.state, .run_at' | xargs)" = "scheduled $due" ] || complain 'scheduled' || return 1
    [ "$(call GET /v1/queues/blog | jq .paused)" = true ] && is_state "$quiet" queued || complain 'the paused queue' || return 1
    eventually has_line 'end long'
    { seq 1000 | sed 's/^/end /' && printf '%s\n' 'end short' 'end long'; } | sort >/tmp/expected
    grep ^end $ledger | sort | diff /tmp/expected - >/tmp/differs || complain "$(head -n 3 /tmp/differs)" || return 1
    # Started once each, but for the one that was cut short.
    [ "$(grep -c ^start $ledger)" -eq 1003 ] && [ "$(grep -c '^start long$' $ledger)" -eq 2 ]
}

# The scheduled task and the one in the paused queue, and the last of the thousand.
the_queue_is_kept() {
    local scheduled quiet first
    read -r scheduled quiet first </tmp/kept || return 1
    is_state "$scheduled" scheduled && is_state "$quiet" queued && is_state $((first + 999)) succeeded &&
        [ "$(call GET /v1/queues/blog | jq .paused)" = true ]
}

going_back_to_a_daemon_that_knows_the_store_is_allowed() {
    install "$version" && is_installed "$version" && runs "$version" && the_queue_is_kept
}

an_upgrade_with_a_broken_configuration_leaves_the_old_daemon() {
    local before
    before=$(main_pid)
    cp -p $configuration /tmp/good
    echo 'workers = ' >>$configuration
    install "$newer" || says 'nothing: it fails' || return 1
    says "$configuration:[0-9]*: " && says 'the configuration is not valid: the runneld from before the upgrade runs on' &&
        is_installed "$newer" && runs "$version" && [ "$(main_pid)" = "$before" ] && the_queue_is_kept || return 1

    cp -p /tmp/good $configuration
    systemctl restart runneld && runs "$newer" && the_queue_is_kept
}

a_downgrade_that_could_not_read_the_store_is_refused() {
    local before
    before=$(main_pid)
    ! install $oldest || complain 'it is installed' || return 1
    says "the tasks in $store have been written by a newer runneld: they have version [0-9]*, and the runneld of this package knows versions up to 0" &&
        is_installed "$newer" && runs "$newer" && [ "$(main_pid)" = "$before" ] && the_queue_is_kept
}

# The newer first page is in the log alone.
a_downgrade_is_refused_by_what_the_log_of_the_store_has() {
    systemctl stop runneld
    known=$(sqlite3 $store 'PRAGMA user_version')
    sqlite3 $store '.dbconfig no_ckpt_on_close on' 'PRAGMA user_version = 99' >/dev/null
    [ "$(od -A n -j 63 -N 1 -t u1 $store | xargs)" = "$known" ] && [ -s $store-wal ] || complain 'the log has nothing' || return 1
    ! install "$version" && says 'they have version 99' && is_installed "$newer"
}

a_daemon_does_not_start_on_a_newer_store_and_says_why() {
    ! systemctl --quiet is-active runneld && ! systemctl start runneld 2>/dev/null && systemctl --quiet is-failed runneld &&
        [ "$(systemctl show -p ExecMainStatus --value runneld)" = 65 ] && [ "$(systemctl show -p NRestarts --value runneld)" = 0 ] &&
        journalctl -u runneld -o cat | grep -q 'has version 99, this runneld knows versions up to' || return 1
    sqlite3 $store "PRAGMA user_version = $known"
    chown runnel: $store*
    systemctl start runneld && runs "$newer" && the_queue_is_kept
}

removed_it_leaves_configuration_and_tasks() {
    dpkg -r runnel >$said 2>&1 || return 1
    [ ! -e /usr/bin/runneld ] && ! systemctl --quiet is-active runneld && ! systemctl cat runneld >/dev/null 2>&1 &&
        cmp $configuration /tmp/good && [ -s $store ] && ! pgrep -u runnel >/dev/null
}

installed_again_it_goes_on_with_them() {
    install "$version" && runs "$version" && the_queue_is_kept && cmp $configuration /tmp/good
}

# Nothing named so but the tasks, when they are kept: nothing_left [FOLDER]
nothing_left() {
    local left
    left=$(find / -xdev \( -path /opt -o -path /tmp -o -path /var/log -o -path /usr/local/bin/ledger ${1:+-o -path "$1"} \) -prune -o -name '*runnel*' -print)
    [ -z "$left" ] || complain "left: $left" || return 1
    ! systemctl cat runneld >/dev/null 2>&1 && ! getent passwd runnel && ! getent group runnel
}

purged_without_consent_it_leaves_the_tasks_to_root() {
    dpkg -P runnel </dev/null >$said 2>&1 || says 'nothing: it fails' || return 1
    says 'the tasks and their results stay in /var/lib/runnel' && [ "$(stat -c %U:%G:%a /var/lib/runnel)" = root:root:700 ] &&
        [ "$(stat -c %U $store)" = root ] && nothing_left /var/lib/runnel
}

installed_after_the_purge_it_has_the_tasks() {
    install "$newer" && runs "$newer" || return 1
    # The configuration is the package's own again: what it no longer has is held.
    [ "$(call GET /v1/queues/blog | jq .paused)" = true ] && [ "$(stat -c %U $store)" = runnel ] && a_task_by_curl_runs
}

# Nothing can be started on a configuration that is left broken, and that is said.
installed_on_a_broken_configuration_it_does_not_start() {
    dpkg -r runnel >/dev/null 2>&1
    cp -p $configuration /tmp/good
    echo 'workers = ' >>$configuration
    install "$newer" || says 'nothing: it fails' || return 1
    says 'the configuration is not valid: runneld has not been started' && ! systemctl --quiet is-active runneld || return 1
    cp -p /tmp/good $configuration
    systemctl start runneld && runs "$newer"
}

purged_with_consent_it_leaves_nothing() {
    echo 'runnel runnel/purge-data boolean true' | debconf-set-selections
    dpkg -P runnel </dev/null >$said 2>&1 || says 'nothing: it fails' || return 1
    [ ! -e /var/lib/runnel ] && nothing_left
}

# The question is answered ahead, on a terminal that stays until all is done: purged_answering WORD
purged_answering() {
    install "$version" || says 'nothing: it fails' || return 1
    {
        echo "$1"
        eventually eval '! dpkg-query -W runnel >/dev/null 2>&1' >&2
    } | DEBIAN_FRONTEND=teletype script -qec 'dpkg -P runnel' /dev/null >$said 2>&1
    says 'Remove the tasks and their results too?'
}

purging_asks_whether_the_tasks_may_go() {
    purged_answering no && [ -s $store ] && purged_answering yes && [ ! -e /var/lib/runnel ] && nothing_left
}

the_library_installs_and_goes() {
    dpkg -i "/opt/librunnel0_$version.deb" "/opt/librunnel-dev_$version.deb" >$said 2>&1 && ldconfig -p | grep -q 'librunnel\.so\.0 ' &&
        dpkg -P librunnel-dev librunnel0 >$said 2>&1 && nothing_left
}

for row in it_installs_and_the_daemon_runs a_task_by_curl_runs nothing_listens_beyond_loopback another_user_can_submit_nothing \
    a_member_of_the_group_can_submit_through_the_socket \
    an_upgrade_keeps_the_queue going_back_to_a_daemon_that_knows_the_store_is_allowed \
    an_upgrade_with_a_broken_configuration_leaves_the_old_daemon a_downgrade_that_could_not_read_the_store_is_refused \
    a_downgrade_is_refused_by_what_the_log_of_the_store_has a_daemon_does_not_start_on_a_newer_store_and_says_why \
    removed_it_leaves_configuration_and_tasks installed_again_it_goes_on_with_them \
    purged_without_consent_it_leaves_the_tasks_to_root installed_after_the_purge_it_has_the_tasks \
    installed_on_a_broken_configuration_it_does_not_start purged_with_consent_it_leaves_nothing \
    purging_asks_whether_the_tasks_may_go the_library_installs_and_goes; do
    "$row"
    status=$?
    rows=$((rows + 1))
    case $status in
    0) echo "ok      $row" ;;
    77)
        echo "skipped $row"
        skipped=$((skipped + 1))
        ;;
    *)
        echo "FAILED  $row"
        failed=$((failed + 1))
        journalctl -u runneld -n 15 -o short-precise --no-pager | sed 's/^/        /'
        ;;
    esac
done
echo "$rows rows, $skipped skipped"
[ $failed -eq 0 ]
