# Each public function of librunnel has a comment that says who owns what, how it blocks, on which threads it may be called, and
# which errors it has.
# awk -f .ci/docstrings.awk lib/include/runnel/*.h
FNR == 1 { comment = ""; ended = 0; in_comment = 0 }
/^[ \t]*\/\*\*/ { comment = ""; in_comment = 1 }
in_comment { comment = comment "\n" $0 }
in_comment && /\*\// { in_comment = 0; ended = FNR; next }
in_comment { next }
# A declaration begins in the line after its comment.
/^(RN_API|static inline)/ && !/^RN_API extern/ {
    match($0, /rn_[a-z0-9_]+/)
    name = substr($0, RSTART, RLENGTH)
    if (ended != FNR - 1)
        fault("has no comment")
    else if (comment !~ /\*\*Ownership:\*\*/ || comment !~ /\*\*Blocking:\*\*/ || comment !~ /\*\*Threads:\*\*/ || comment !~ /\*\*Errors:\*\*/)
        fault("does not say **Ownership:**, **Blocking:**, **Threads:** and **Errors:**")
}
function fault(why) {
    printf "%s:%d: %s %s\n", FILENAME, FNR, name, why
    faults++
}
END { exit faults > 0 }
