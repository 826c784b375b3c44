# Include directions: a file may only include what stands above it. awk -f .ci/includes.awk FILE…
BEGIN {
    allowed["observe"] = "observe"
    allowed["config"] = "observe config"
    allowed["store"] = "observe config store"
    allowed["runners"] = "observe config store runners"
    allowed["engine"] = "observe config store runners engine"
    allowed["api"] = "observe config store runners engine api"
    allowed["cli"] = "observe config cli"
    allowed["main"] = "observe config store runners engine api"
    allowed["lib"] = "" # librunnel knows itself alone
    allowed["crash"] = "observe config store"
    allowed["tests"] = "runners daemon" # the integration tests speak HTTP; their second daemon's built-ins are a runner's
    allowed["fuzz"] = "observe config store runners engine api cli"
    description = "api/openapi.h" # what they hold the answers against
}
FNR == 1 {
    split(FILENAME, path, "/")
    layer = path[1] == "lib" ? "lib" : path[2] == "unit" ? (path[4] == "" ? "tests" : path[3]) : path[2] == "fuzz" || path[2] == "crash" ? path[2] : path[1] == "tests" ? "tests" : path[3] == "" ? "main" : path[2]
}
# A backup is checked where it arrives: of the store the client has this alone.
layer == "cli" && /^#include "store\/check\.h"$/ { next }
/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    count = split(quoted[2], target, "/")
    if (count == 1) { # beside the file, or one of the tests' own
        if (path[1] == "daemon" && layer != "main")
            fault("is not written from the root")
    } else if ((count > 2 && target[2] != "manual") || (layer == "tests" && quoted[2] == description ? 0 : index(" " allowed[layer] " ", " " target[1] " ") == 0)) {
        fault("goes the wrong way: " layer " may include " (allowed[layer] == "" ? "nothing of the daemon" : allowed[layer]))
    } else if (target[2] == "internal.h" && target[1] != layer) {
        fault("is for its own folder")
    }
}
/^[ \t]*#[ \t]*include[ \t]*<runnel\// && FILENAME ~ /^lib\/include/ && !/^#include <runnel\/[a-z]+\.h>/ { fault("is no public header") }
/^[ \t]*#[ \t]*include[ \t]*"/ && FILENAME ~ /^lib\/(include|examples)/ { fault("is private") }
function fault(why) {
    printf "%s:%d: this include %s: %s\n", FILENAME, FNR, why, $0
    faults++
}
END { exit faults > 0 }
