#!/bin/bash
# The C code in the guide, lib/README.md, is that of the programs beside this script, which run it.
#
# A block ```c stands behind a line <!-- guide: NAME -->; in a program it stands between // [guide: NAME] and // [end]. Each block has
# its program's text, and each of these pieces is in the guide.
#
#   RUNNEL_SOURCE   the folder of the sources
set -u

source=${RUNNEL_SOURCE:?names the folder of the sources}
guide=$source/lib/README.md
folder=$(mktemp -d "${TMPDIR:-/tmp}/guide.XXXXXX")
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/guide" "$folder/programs"
passed=0
failed=0

# A file for each block of the guide. What is no C code in it, or has no name, is a fault.
awk -v folder="$folder/guide" '
    /^```c$/ {
        if (name == "") { print FILENAME ":" FNR ": a block ```c without <!-- guide: NAME --> before it"; exit 1 }
        file = folder "/" name
        printf "" > file
        next
    }
    /^```/ { file = ""; name = ""; next }
    file != "" { print > file; next }
    /^<!-- guide: .* -->$/ { name = $0; sub(/^<!-- guide: /, "", name); sub(/ -->$/, "", name) }
' "$guide" || failed=1

awk -v folder="$folder/programs" '
    /^ *\/\/ \[guide: .*\]$/ {
        name = $0; sub(/^ *\/\/ \[guide: /, "", name); sub(/\]$/, "", name)
        file = folder "/" name
        if (name in seen) { print FILENAME ":" FNR ": a second [guide: " name "]"; exit 1 }
        seen[name]
        printf "" > file
        next
    }
    /^ *\/\/ \[end\]$/ { file = ""; next }
    file != "" { print > file }
' "$source"/lib/examples/*.c "$source"/tests/examples/*.c || failed=1

for path in "$folder"/guide/* "$folder"/programs/*; do
    name=${path##*/}
    if [ "$path" != "$folder/guide/$name" ] && [ -e "$folder/guide/$name" ]; then
        continue # that was looked at
    fi
    echo "[ RUN      ] $name"
    if diff "$folder/programs/$name" "$folder/guide/$name"; then
        echo "[       OK ] $name"
        passed=$((passed + 1))
    else
        echo "[  FAILED  ] $name: < a program, > the guide"
        failed=$((failed + 1))
    fi
done
[ "$passed" -gt 0 ] || failed=$((failed + 1))
echo "[  PASSED  ] $passed test(s)"
[ "$failed" -eq 0 ] || echo "[  FAILED  ] $failed test(s)"
[ "$failed" -eq 0 ]
