# Functions that are not used, and why: awk -f .ci/banned.awk FILE…
BEGIN {
    split("strcpy strcat sprintf vsprintf gets strtok atoi atol atoll atof strtol strtoul strtoll strtoull gmtime localtime ctime " \
          "asctime system popen signal sleep usleep rand srand random alloca", names, " ")
    for (i in names)
        banned[names[i]] = 1
}
FNR == 1 { in_comment = 0 }
{
    line = $0
    gsub(/\\./, "", line)           # escapes in texts
    gsub(/"[^"]*"/, "\"\"", line)   # texts
    if (in_comment) {
        if (!sub(/^.*\*\//, "", line))
            next
        in_comment = 0
    }
    gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, " ", line)
    sub(/\/\/.*/, "", line)
    if (sub(/\/\*.*/, "", line))
        in_comment = 1
    while (match(line, /[A-Za-z_][A-Za-z0-9_]*[ \t]*\(/)) {
        before = RSTART > 1 ? substr(line, RSTART - 1, 1) : ""
        name = substr(line, RSTART, RLENGTH)
        sub(/[ \t]*\($/, "", name)
        line = substr(line, RSTART + RLENGTH)
        # Tests that only speak HTTP read numbers of their own, without units.c.
        if (FILENAME ~ /^tests\// && (name ~ /^strtou?ll?$/ || name == "signal"))
            continue
        if (name in banned)
            fault(name " is banned")
        if (name == "exit" && FILENAME != "daemon/main.c" && FILENAME !~ /^(tests|lib\/examples)\//)
            fault("exit is for main.c alone")
        if (FILENAME ~ /^daemon\// && name ~ /^pthread_(create|mutex|cond)/)
            fault("the daemon has no threads, locks or conditions but librunnel's")
    }
}
FILENAME ~ /^daemon\// && /pthread_(create|mutex|cond)/ { fault("the daemon has no threads, locks or conditions but librunnel's") }
/(TODO|FIXME)([^A-Za-z]|$)/ { fault("nothing is left to be done") }
function fault(why) {
    printf "%s:%d: %s: %s\n", FILENAME, FNR, why, $0
    faults++
}
END { exit faults > 0 }
