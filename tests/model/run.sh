#!/bin/bash
# Explores every scenario of the library's channels and selects, then seeds the faults of faults.txt into a copy of lib/src, one
# at a time: each has to be found.
#
#   tests/model/run.sh [WORD]       all, or the scenarios and faults with the word in their name
#
#   BUILD=build   where it is built      CC=gcc      JOBS=n at once (the number of processors)
#
# A fault is a block of faults.txt:
#
#   @ its name, a sentence
#   file: chan.c
#   scenario: the name of one, whole
#   finds: an extended regular expression, for what is said to be wrong
#   - a line of the file, or some following each other, without their indentation
#   + what comes in their place; then more of both, if need be
#
# The lines have to be in the file exactly once, or with -? in place of - at most once. The closing line is `N passed, N failed`;
# the status is 0 when none failed.
set -u
cd "$(dirname "$0")/../.." || exit 1
export BUILD=${BUILD:-build} CC=${CC:-gcc}
work=$BUILD/model
export work

flags='-std=c17 -D_GNU_SOURCE -gdwarf-4 -fno-pie -Ilib/include -Itests/model'
warnings='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wcast-qual -Werror'
wrapped='pthread_mutex_lock pthread_mutex_unlock pthread_mutex_destroy syscall rni_pause sched_yield sched_getaffinity malloc calloc
    free eventfd eventfd_write eventfd_read close'

# compile_lib SOURCES OUT FILE: one file of the library, instrumented; what each thread has for itself goes to a section.
compile_lib() {
    local source=$1/$3.c section=model_locals
    case $3 in
    chan | waiter) source=tests/model/inside_$3.c ;; # includes it
    select) section=model_random ;;
    sync) section=model_unused ;;
    esac
    # shellcheck disable=SC2086 # a list of words
    "$CC" $flags -I"$1" -O1 -w -fsanitize=thread -fno-stack-protector "-D_Thread_local=__attribute__((section(\"$section\")))" \
        -c -o "$2/lib_$3.o" "$source"
}

link() {
    # shellcheck disable=SC2086
    "$CC" -no-pie -o "$1/explore" "$work"/base/model_*.o "$1"/lib_*.o ${wrapped_flags}
}

wrapped_flags=
for name in $wrapped; do wrapped_flags="$wrapped_flags -Wl,--wrap=$name"; done

# Puts the places in the sources behind the steps.
with_places() {
    awk -v program="$1" '
        match($0, /@0x[0-9a-f]+$/) {
            address = substr($0, RSTART + 1)
            if (!(address in place)) {
                command = "addr2line -s -i -e " program " " address
                text = ""
                while ((command | getline line) > 0)
                    text = text (text == "" ? "" : " < ") line
                close(command)
                place[address] = text
            }
            $0 = substr($0, 1, RSTART - 1) place[address]
        }
        { print }'
}

explore_one() {
    if "$work/base/explore" "=$1" >"$work/log.$$" 2>&1; then
        cat "$work/log.$$"
    else
        with_places "$work/base/explore" <"$work/log.$$" >"$work/text.$$"
        grep -q '^FAILED' "$work/text.$$" || echo "FAILED  $1 (it crashed)" >>"$work/text.$$"
        cat "$work/text.$$"
    fi
    rm -f "$work/log.$$" "$work/text.$$"
}

# Whole lines, whatever their indentation.
seed() {
    perl -e '
        my ($fault, $file) = @ARGV;
        local $/;
        open(my $f, "<", $fault) or die; my $text = <$f>; close($f);
        open($f, "<", $file) or die; my $code = <$f>; close($f);
        while ($text =~ /((?:^-\?? .*\n)+)((?:^\+.*\n)+)/mg) {
            my ($from, $to) = ($1, $2);
            my @old = $from =~ /^-\?? (.*)$/mg; my @new = $to =~ /^\+ ?(.*)$/mg;
            my $pattern = join("\\n", map { "[ \\t]*" . quotemeta($_) } @old);
            my @found = $code =~ /^$pattern$/mg;
            next if @found == 0 && $from =~ /^-\?/;
            die "found " . scalar(@found) . " times: $old[0]\n" if @found != 1;
            my $put = join("\n", @new);
            $code =~ s/^$pattern$/$put/m;
        }
        print $code;' "$1" "$2"
}

field() {
    sed -n "s/^$2: //p" "$1"
}

fault_one() {
    local fault=$work/fault.$1 out=$work/out.$1 name file scenario
    name=$(sed -n 's/^@ //p' "$fault")
    file=$(field "$fault" file)
    scenario=$(field "$fault" scenario)
    rm -rf "$out"
    mkdir -p "$out"
    cp lib/src/*.[ch] "$out"
    if ! seed "$fault" "lib/src/$file" >"$out/$file" 2>"$out/log"; then
        echo "FAILED  STALE: $name: $(cat "$out/log")"
        return
    fi
    cp "$work"/base/lib_*.o "$out"
    file=${file%.*}
    [ "$file" != ring ] || file=chan # which alone includes it
    if ! { compile_lib "$out" "$out" "$file" && link "$out"; } 2>"$out/log"; then
        echo "FAILED  BROKEN: $name"
        sed 's/^/    /' "$out/log"
        return
    fi
    timeout 120 "$out/explore" "=$scenario" >"$out/log" 2>&1
    if grep -E '^wrong: ' "$out/log" | grep -qE "$(field "$fault" finds)"; then
        echo "ok      found: $name ($(sed -n 's/^wrong: //p' "$out/log"))"
        rm -rf "$out"
    else
        echo "FAILED  MISSED: $name"
        tail -n 3 "$out/log" | sed 's/^/    /'
    fi
}

case ${1-} in
--one)
    case $2 in
    fault:*) fault_one "${2#fault:}" ;;
    *) explore_one "$2" ;;
    esac
    exit 0
    ;;
esac

rm -rf "$work"/base "$work"/out.* "$work"/fault.* "$work"/log.* "$work"/text.*
mkdir -p "$work/base"
for file in explore threads order hooks system program scenarios main; do
    # shellcheck disable=SC2086
    "$CC" $flags $warnings -Ilib/src -O3 -c -o "$work/base/model_$file.o" "tests/model/$file.c" || exit 1
done
for file in chan waiter select context sync; do
    compile_lib lib/src "$work/base" "$file" || exit 1
done
link "$work/base" || exit 1

awk -v folder="$work" -v word="${1-}" '
    /^@ /{ keep = word == "" || index($0, word) > 0; if (keep) n++ }
    keep && !/^#/ && NF { print > (folder "/fault." n) }' tests/model/faults.txt
{
    "$work/base/explore" -l | { grep -F -- "${1-}" || true; }
    find "$work" -maxdepth 1 -name 'fault.*' | sed 's|.*/fault\.|fault:|' | sort -t: -k2n
} | tr '\n' '\0' | xargs -0 -P "${JOBS:-$(nproc)}" -I{} tests/model/run.sh --one {} | tee "$work/results"
passed=$(grep -c '^ok ' "$work/results")
failed=$(grep -c '^FAILED' "$work/results")
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
