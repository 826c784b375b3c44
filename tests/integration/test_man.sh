#!/bin/bash
# The manual pages: sound for mandoc, and complete: what the programs say of themselves stands in them.
set -u
failed=0
passed=0

# check NAME COMMAND…
check() {
    local name=$1
    shift
    echo "[ RUN      ] $name"
    if "$@"; then
        echo "[       OK ] $name"
        passed=$((passed + 1))
    else
        echo "[  FAILED  ] $name"
        failed=$((failed + 1))
    fi
}

# Which other pages are installed is not the pages' matter.
is_sound() {
    local faults
    faults=$(mandoc -T lint "$1" 2>&1 | grep -v -e 'referenced manual not found' -e 'outdated mandoc.db')
    [ -z "$faults" ] || ! echo "$faults"
}

shown() {
    mandoc -T utf8 "$1" | col -b | tr '\n\t' '  ' | sed 's/‐/-/g; s/−/-/g'
}

# has PAGE WORD…
has() {
    local text word missing=0
    text=$(shown "$1")
    shift
    for word in "$@"; do
        case $text in *"$word"*) ;; *)
            echo "there is no $word"
            missing=1
            ;;
        esac
    done
    return $missing
}

options_of() {
    grep -oE '(^|[ ,|[])--?[a-z][a-z-]*' | tr -d ' ,|[' | sort -u
}

daemon_options() {
    # shellcheck disable=SC2046 # a list of words
    has "$RUNNEL_MAN/runneld.8" $("$RUNNELD" --help | sed -n '/^usage/,/^signals/p' | options_of)
}

client_commands() {
    # shellcheck disable=SC2046
    has "$RUNNEL_MAN/runnel.1" $("$RUNNEL" complete commands | cut -d: -f1)
}

client_options() {
    local command
    for command in $("$RUNNEL" complete commands | cut -d: -f1); do
        # shellcheck disable=SC2046
        has "$RUNNEL_MAN/runnel.1" $("$RUNNEL" help "$command" | sed -n '/^options/,/^example/p' | grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+') ||
            return 1
    done
}

settings() {
    # shellcheck disable=SC2046
    has "$RUNNEL_MAN/runneld.conf.5" $("$RUNNELD" -T -c "$RUNNEL_CONFIG" | sed -n 's/^ *\([a-z_]*\) = .*/\1/p' | sort -u)
}

for page in runnel.1 runneld.8 runneld.conf.5; do
    check "${page}_is_sound" is_sound "$RUNNEL_MAN/$page"
done
check every_option_of_the_daemon_is_there daemon_options
check every_command_of_the_client_is_there client_commands
check every_option_of_the_client_is_there client_options
check every_setting_is_there settings

echo "[  PASSED  ] $passed test(s)."
[ $failed -eq 0 ] || echo "[  FAILED  ] $failed test(s)."
[ $failed -eq 0 ]
