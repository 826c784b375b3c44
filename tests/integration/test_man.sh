#!/bin/bash
# The manual pages: sound for mandoc, and complete: what the programs say of themselves stands in them.
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
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

# same WHAT: the words of the files program and page are the same; else says which of the two lacks one.
same() {
    diff --old-line-format='the page lacks %L' --new-line-format='the page alone has %L' --unchanged-line-format='' \
        <(sort -u "$folder/program") <(sort -u "$folder/page") && [ -s "$folder/page" ] || ! echo "$1"
}

# The options of a page's source: lines as `.It Fl c , Fl Fl config Ar file`.
page_options() {
    sed -n '/^\.It Fl/p' | sed -E 's/Fl Fl ([a-z-]+)/--\1/g; s/Fl ([a-zA-Z])( |$)/-\1\2/g' | grep -oE -- '(^| )--?[a-zA-Z][a-z-]*' | tr -d ' '
}

# Of the help, where they begin a line: `  -c, --config FILE   what it does`.
help_options() {
    grep -E '^ +-' | sed -E 's/^ +//; s/  .*//; s/, / /g' | grep -oE -- '(^| )--?[a-zA-Z][a-z-]*' | tr -d ' '
}

daemon_options() {
    "$RUNNELD" --help | sed '/^signals/,$d; /^usage/,/^$/d' | help_options >"$folder/program"
    page_options <"$RUNNEL_MAN/runneld.8" >"$folder/page"
    same runneld.8
}

# The usage has every option that is explained, and no other, but for the other spellings and what only tells something.
daemon_usage() {
    { echo --config && echo --version && echo --help && echo -h && "$RUNNELD" --help | sed -n '/^usage/,/^$/p' | grep -oE -- '--?[a-zA-Z][a-z-]*'; } >"$folder/program"
    page_options <"$RUNNEL_MAN/runneld.8" >"$folder/page"
    same 'usage of runneld'
}

client_commands() {
    "$RUNNEL" complete commands | cut -d: -f1 >"$folder/program"
    sed -n 's/^\.It Ic \([a-z-]*\).*/\1/p' "$RUNNEL_MAN/runnel.1" >"$folder/page"
    same runnel.1
}

client_options() {
    local command
    for command in $("$RUNNEL" complete commands | cut -d: -f1); do
        "$RUNNEL" help "$command" | sed '/^example/,$d' | help_options >"$folder/program"
        {
            sed -n "/^\.It Ic $command\( \|\$\)/,/^Example:/p" "$RUNNEL_MAN/runnel.1"
            sed -n '/^\.Ss Options of every command/,/^\.El/p' "$RUNNEL_MAN/runnel.1"
        } | page_options >"$folder/page"
        same "runnel $command" || return 1
    done
}

# The sample configuration has every setting, set or behind a comment sign: another test compares it with the table. The path in it is a command's.
settings() {
    { "$RUNNELD" -T -c "$RUNNEL_CONFIG" && cat "$RUNNEL_CONFIG"; } | grep -oE '\b[a-z_]+ = ' | tr -d ' =' | grep -vx path >"$folder/program"
    sed -n 's/^\.It Ic \([a-z_]*\)$/\1/p' "$RUNNEL_MAN/runneld.conf.5" >"$folder/page"
    same runneld.conf.5
}

# The codes of the section are those that the help tells.
daemon_exits() {
    "$RUNNELD" --help | sed -n '/^exit:/,/^$/p' | grep -oE '\b[0-9]+ ' | tr -d ' ' >"$folder/program"
    sed -n '/^\.Sh EXIT STATUS/,/^\.El/s/^\.It \([0-9]*\)$/\1/p' "$RUNNEL_MAN/runneld.8" >"$folder/page"
    same 'exit status'
}

for page in runnel.1 runneld.8 runneld.conf.5; do
    check "${page}_is_sound" is_sound "$RUNNEL_MAN/$page"
done
check the_options_of_the_daemon_are_those_of_its_help daemon_options
check the_usage_of_the_daemon_has_every_option daemon_usage
check the_exit_codes_of_the_daemon_are_those_of_its_help daemon_exits
check the_commands_of_the_client_are_those_that_it_has client_commands
check the_options_of_each_command_are_those_of_its_help client_options
check the_settings_are_those_that_there_are settings

echo "[  PASSED  ] $passed test(s)."
[ $failed -eq 0 ] || echo "[  FAILED  ] $failed test(s)."
[ $failed -eq 0 ]
