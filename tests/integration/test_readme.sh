#!/bin/bash
# Runs each shell block of the README against a daemon on the sample configuration, and compares what it prints with the block
# ```output behind it. Ids, times and hashes may be masked there: <id>, <time>, <hash>. Behind ```output example the numbers are those
# of one run: each stands for any other.
#
#   RUNNELD, RUNNEL_README, RUNNEL_CONFIG   the daemon, the README, the sample configuration
#   RUNNEL                                  the client, which the blocks find on the path, and the daemon by RUNNEL_URL
set -u

here=$(cd "$(dirname "$0")" && pwd)
daemon=${RUNNELD:-$here/../../runneld}
readme=${RUNNEL_README:?names the README}
config=${RUNNEL_CONFIG:?names the sample configuration}
folder=$(mktemp -d "${TMPDIR:-/tmp}/readme.XXXXXX")
passed=0
failed=0
pid=

finish() {
    if [ -n "$pid" ]; then
        kill -KILL "$pid" 2>/dev/null
    fi
    rm -rf "$folder"
}
trap finish EXIT

# 0001.sh and 0001.output for each block with an output, in their order; 0001.example beside them: its numbers are examples.
awk -v folder="$folder" '
    /^```sh$/ { number++; file = sprintf("%s/%04d.sh", folder, number); printf "" > file; next }
    /^```output( example)?$/ {
        if ($2 == "example")
            printf "" > sprintf("%s/%04d.example", folder, number)
        file = sprintf("%s/%04d.output", folder, number)
        printf "" > file
        next
    }
    /^```/ { file = ""; next }
    file != "" { print > file }
' "$readme"

mkfifo "$folder/log"
"$daemon" -c "$config" -o listen=127.0.0.1:0 -o store="$folder/runnel.db" 2>"$folder/log" &
pid=$!
exec 3<"$folder/log"
port=
while IFS= read -r -t 60 line <&3; do
    echo "$line" >>"$folder/daemon.log"
    case $line in
    *event=ready*)
        port=${line#* listen=*:}
        port=${port%% *}
        break
        ;;
    esac
done
if [ -z "$port" ]; then
    echo "the daemon is not ready:"
    cat "$folder/daemon.log"
    echo "[  FAILED  ] 1 test(s)"
    exit 1
fi
cat <&3 >>"$folder/daemon.log" &

# The expected text as an extended regular expression of whole lines.
pattern() {
    local -a numbers=()
    [ -e "${1%.output}.example" ] && numbers=(-e 's/[0-9][0-9]*/[0-9]+/g')
    sed -e 's/[][\.*^$+?(){}|/]/\\&/g' "${numbers[@]}" -e 's/<hash>/[0-9a-f]{64}/g' -e 's/<id>/[0-9]+/g' \
        -e 's/<time>/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/g' "$1"
}

matches() {
    local -a wanted got
    local i
    mapfile -t wanted < <(pattern "$1")
    mapfile -t got <"$2"
    [ "${#wanted[@]}" -eq "${#got[@]}" ] || return 1
    for i in "${!wanted[@]}"; do
        [[ ${got[i]} =~ ^${wanted[i]}$ ]] || return 1
    done
}

client=${RUNNEL:-$here/../../runnel}
PATH=$(dirname "$client"):$PATH
export PATH RUNNEL_URL=http://127.0.0.1:$port XDG_CONFIG_HOME=$folder

for block in "$folder"/*.sh; do
    name=$(basename "$block" .sh)
    sed -i "s/127\.0\.0\.1:7733/127.0.0.1:$port/g" "$block"
    echo "[ RUN      ] block $name: $(head -n 1 "$block")"
    timeout 60 bash "$block" >"$folder/$name.got" 2>&1
    if [ -f "$folder/$name.output" ] && matches "$folder/$name.output" "$folder/$name.got"; then
        echo "[       OK ] block $name"
        passed=$((passed + 1))
        continue
    fi
    echo "---- the README says"
    cat "$folder/$name.output" 2>/dev/null || echo '(no block ```output)'
    echo "---- it prints"
    cat "$folder/$name.got"
    failed=$((failed + 1))
done

kill -TERM "$pid"
wait "$pid"
status=$?
pid=
if [ "$status" -ne 0 ]; then
    echo "after SIGTERM the daemon ended with status $status:"
    cat "$folder/daemon.log"
    failed=$((failed + 1))
fi
[ "$passed" -gt 0 ] || failed=$((failed + 1))
echo "[  PASSED  ] $passed test(s)"
[ "$failed" -eq 0 ] || echo "[  FAILED  ] $failed test(s)"
[ "$failed" -eq 0 ]
