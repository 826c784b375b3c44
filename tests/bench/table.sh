# shellcheck shell=bash disable=SC2154
# Figures of several runs, and the table that compares them. Sourced by the scripts that measure, which set `work`, a folder.

results=$work/results # a line `NAME VALUE` for each figure of each run
rows=$work/rows       # a line for each row of the table
: >"$results"
: >"$rows"
failures=0

# record NAME VALUE: one run's figure.
record() {
    echo "$1 $2" >>"$results"
    printf '    %-36s %s\n' "$1" "$2" >&2
}

# Says that a figure could not be had; its row says so too.
failed() {
    echo "    failed: $1" >&2
    failures=$((failures + 1))
}

# The median of a figure's runs; of an even number the lower middle one.
median() {
    awk -v name="$1" '$1 == name { print $2 }' "$results" | sort -g | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'
}

# What is compared, printed at the end:
#   row TEXT RUNNEL PEER_NAME PEER WAY FLOOR GOAL
# RUNNEL and PEER are names of figures. WAY: `higher` and `lower` compare the ratio, `plus` the difference, `limit` the figure
# itself, with FLOOR and GOAL (- where there is none).
row() {
    local text=$1 ours theirs
    ours=$(median "$2")
    theirs=$([ "$4" = - ] || median "$4")
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$text" "${ours:--}" "$3" "${theirs:--}" "$5" "$6" "$7" >>"$rows"
}

print_table() {
    awk -F '\t' '
        function text(v) { return v == "-" ? "-" : v >= 100 ? sprintf("%.0f", v) : sprintf("%.4g", v) }
        function bound(v) { return v == "-" ? "-" : ($5 == "higher" ? ">= " : $5 == "plus" ? "<= +" : "<= ") v }
        function holds(v, limit) { return $5 == "higher" ? v >= limit + 0 : v <= limit + 0 }
        BEGIN {
            format = "%-66s %10s  %-26s %10s %8s %8s %8s  %s\n"
            printf format, "what", "runnel", "peer", "its figure", "ratio", "floor", "goal", "result"
        }
        {
            ratio = "-"; value = ""; result = "beside"
            if ($5 == "limit") value = $2
            else if ($2 != "-" && $4 != "-") {
                value = $5 == "plus" ? $2 - $4 : $4 + 0 == 0 ? "" : $2 / $4
                if (value != "") ratio = sprintf($5 == "plus" ? "%+.2f" : "%.2f", value)
            }
            if (value == "" || value == "-") {
                result = $2 == "-" ? "not measured" : $3 == "-" ? "beside" : "no figure of the peer"
            } else if ($6 != "-" || $7 != "-") {
                result = ""
                if ($6 != "-") { ok = holds(value, $6); result = ok ? "met" : "missed"; if (ok) met++; else missed++ }
                if ($7 != "-") {
                    ok = holds(value, $7); result = result (result == "" ? "" : ", ") "goal " (ok ? "met" : "missed")
                    if (ok) goals++; else goals_missed++
                }
            }
            printf format, $1, text($2), $3, text($4), ratio, bound($6), bound($7), result
        }
        END { printf "floors: %d met, %d missed; goals: %d met, %d missed\n", met, missed, goals, goals_missed }' "$rows"
}
