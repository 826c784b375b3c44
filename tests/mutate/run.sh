#!/bin/bash
# Seeds the faults of faults.txt into lib/src, one at a time, and runs the unit tests that are named with it: one of them has to
# fail, by an assertion, a crash or by not ending.
#
#   tests/mutate/run.sh [WORD]      all, or those with the word in their name
#
#   BUILD=build   where the programs are built      CC=gcc      JOBS=n at once (the number of processors)
#
# A fault is a block of faults.txt:
#
#   @ its name, a sentence
#   file: lib/src/chan.c
#   unit: lib/src/chan.c       where the file is a header: what includes it
#   tests: test_chan test_select
#   - a line of the file, or some following each other, without their indentation
#   + what comes in their place
#
# The lines have to be in the file exactly once. The closing line is `N passed, N failed`; the status is 0 when at least 95 in a
# hundred were caught. Those that were not are named.
set -u
cd "$(dirname "$0")/../.." || exit 1
export BUILD=${BUILD:-build} CC=${CC:-gcc}
work=$BUILD/mutate
base=$work/base
export work base

if [ "${1-}" = --one ]; then
    number=$2
    fault=$work/fault.$number
    out=$work/out.$number
    mkdir -p "$out"
    name=$(sed -n 's/^@ //p' "$fault")
    file=$(sed -n 's/^file: //p' "$fault")
    tests=$(sed -n 's/^tests: //p' "$fault")
    target=$out/$(basename "$file")

    # Whole lines, whatever their indentation; the new ones take that of the first.
    if ! perl -e '
        my ($fault, $file) = @ARGV;
        local $/;
        open(my $f, "<", $fault) or die; my $text = <$f>; close($f);
        open($f, "<", $file) or die; my $code = <$f>; close($f);
        my @old = $text =~ /^- (.*)$/mg; my @new = $text =~ /^\+ ?(.*)$/mg;
        my $pattern = join("\\n", map { "[ \\t]*" . quotemeta($_) } @old);
        my @found = $code =~ /^$pattern$/mg;
        die "found " . scalar(@found) . " times\n" if @found != 1;
        my $put = join("\n", @new);
        $code =~ s/^$pattern$/$put/m;
        print $code;' "$fault" "$file" >"$target" 2>"$out/stale"; then
        echo "STALE   $name: $(cat "$out/stale")"
        exit 0
    fi
    unit=$(sed -n 's/^unit: //p' "$fault")
    if [ -n "$unit" ]; then
        cp "$unit" "$out/" # beside the header, so that it includes that one
        target=$out/$(basename "$unit")
    fi
    # shellcheck disable=SC2046 # the flags are words
    if ! "$CC" $(cat "$work/flags") -c -o "$out/mutant.o" "$target" 2>"$out/compiler"; then
        echo "BROKEN  $name"
        sed 's/^/    /' "$out/compiler"
        exit 0
    fi
    for test in $tests; do
        objects="$base/tests/unit/lib/$test.o $(cat "$work/helpers") $out/mutant.o $base/librunnel.a"
        # shellcheck disable=SC2046,SC2086
        "$CC" -pthread $(cat "$work/wrap") -o "$out/$test" $objects -lcmocka -lm || exit 1
        TMPDIR=$out timeout -k 1 "$(cat "$work/limit")" "$out/$test" >"$out/$test.log" 2>&1 </dev/null
        status=$?
        if [ "$status" -ne 0 ]; then
            echo "caught  $name ($test, status $status)"
            rm -rf "$out"
            exit 0
        fi
    done
    rm -rf "$out"
    echo "MISSED  $name"
    exit 0
fi

rm -rf "$work"/out.* "$work"/fault.*
mkdir -p "$work"
awk -v folder="$work" -v word="${1-}" '
    /^@ /{ keep = word == "" || index($0, word) > 0; if (keep) n++ }
    keep && !/^#/ && NF { print > (folder "/fault." n) }' tests/mutate/faults.txt

tests=$(sed -n 's/^tests: //p' "$work"/fault.* | tr ' ' '\n' | sort -u)
# shellcheck disable=SC2086,SC2046 # lists of words
make -s -j"$(nproc)" BUILD="$base" CC="$CC" CFLAGS='-O1 -g -DRN_DEBUG' $(printf "$base/tests/unit/lib/%s " $tests) || exit 1
make -s BUILD="$base" CC="$CC" print-lib-flags >"$work/flags" || exit 1
make -s BUILD="$base" CC="$CC" print-wrap >"$work/wrap" || exit 1
find "$base/tests/unit" -maxdepth 2 -name '*.o' ! -name 'test_*' \( -path '*/unit/lib/*' -o -path '*/unit/[a-z]*.o' \) >"$work/helpers"

# What is right passes; what takes many times as long has come to a stop.
longest=0
for test in $tests; do
    started=$(date +%s%N)
    TMPDIR=$work "$base/tests/unit/lib/$test" >"$work/log" 2>&1 </dev/null || {
        cat "$work/log"
        echo "0 passed, 1 failed"
        exit 1
    }
    took=$((($(date +%s%N) - started) / 1000000000 + 1))
    [ "$took" -le "$longest" ] || longest=$took
done
echo $((10 + 5 * longest)) >"$work/limit"

count=$(find "$work" -maxdepth 1 -name 'fault.*' | wc -l)
seq 1 "$count" | xargs -P "${JOBS:-$(nproc)}" -I{} "$0" --one {} 2>/dev/null | tee "$work/results"
caught=$(grep -c '^caught' "$work/results")
echo "$caught passed, $((count - caught)) failed"
[ $((caught * 100)) -ge $((count * 95)) ]
