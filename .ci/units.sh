#!/bin/bash
# The units of systemd/: systemd-analyze has nothing to say about them, they are exposed to at most 1.7 as shipped and 1.2 with
# strict.conf, and each example's first line names the figure that it comes to.
set -u
export LC_ALL=C SYSTEMD_COLORS=0

if ! command -v systemd-analyze >/dev/null; then
    echo 'units: skipped, there is no systemd-analyze'
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unit=$folder/runneld.service
status=0

complain() {
    echo "$*"
    status=1
}

exposure_of() {
    systemd-analyze security --offline=true --no-pager "$unit" 2>/dev/null | sed -n 's/.*level for.*: \([0-9.]*\) .*/\1/p'
}

# at_most LIMIT WHAT
at_most() {
    local exposure
    exposure=$(exposure_of)
    echo "exposure $2: $exposure"
    awk -v is="$exposure" -v limit="$1" 'BEGIN { exit !(is > 0 && is <= limit) }' || complain "that is more than $1"
}

mkdir -p "$folder/bin" "$unit.d"
cp /bin/true "$folder/bin/runneld"
sed "s|@PREFIX@|$folder|g" systemd/runneld.service >"$unit"
cp systemd/runneld.socket "$folder/"
said=$(systemd-analyze verify --man=no "$unit" "$folder/runneld.socket" 2>&1) || complain 'verify fails'
[ -z "$said" ] || complain "verify: $said"
at_most 1.7 'as shipped'
cp systemd/strict.conf "$unit.d/"
at_most 1.2 'with strict.conf'

for example in systemd/examples/*.conf; do
    rm -f "$unit.d"/*
    read -r _ _ said rest <"$example"
    [ "$rest" != '(with strict.conf)' ] || cp systemd/strict.conf "$unit.d/"
    cp "$example" "$unit.d/then-${example##*/}"
    exposure=$(exposure_of)
    [ "$said" = "$exposure" ] || complain "$example comes to $exposure"
    said=$(systemd-analyze verify --man=no "$unit" 2>&1)
    [ -z "$said" ] || complain "verify with $example: $said"
done
exit $status
