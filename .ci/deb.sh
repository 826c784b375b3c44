#!/bin/bash
# What `make deb` runs: .ci/deb.sh BUILD VERSION. Leaves the packages in BUILD/deb/ and looks at them with lintian.
#
# The tree (what git knows and what is new, but for what it ignores; without git all but build/) is exported to
# BUILD/deb/runnel-VERSION/, where config/debian is debian/. The packages have the date of the last commit, so that the same tree
# gives the same packages; SOURCE_DATE_EPOCH sets another.
set -eu -o pipefail
export LC_ALL=C

version=$2
mkdir -p "$1/deb"
folder=$(cd "$1/deb" && pwd)
tree=$folder/runnel-$version
rm -rf "$tree" "$folder"/*_"$version"_*
mkdir "$tree"

files() {
    if [ -e .git ]; then
        # A file that has gone is still in the list until its going is committed.
        git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
            [ ! -e "$file" ] || printf '%s\0' "$file"
        done
    else
        find . \( -path ./build -o -path ./.git \) -prune -o -type f -print0
    fi
}
files | tar -c --null --files-from=- | tar -x -C "$tree"
cp -r "$tree/config/debian" "$tree/debian"

date=${SOURCE_DATE_EPOCH:-$(if [ -e .git ]; then git log -1 --format=%ct; else stat -c %Y CHANGELOG.md; fi)}
# The first section of CHANGELOG.md, its points in the lines of a Debian changelog.
{
    printf 'runnel (%s) unstable; urgency=medium\n\n' "$version"
    awk '/^## / { if (++sections == 2) exit; next }
        sections == 1 && /^- / { print substr($0, 3); next }
        sections == 1 && /^  / { print "\t" substr($0, 3) }' CHANGELOG.md |
        awk '/^\t/ { text = text " " substr($0, 2); next }
            text != "" { print text }
            { text = $0 }
            END { print text }' |
        while IFS= read -r point; do
            fold -s -w 74 <<<"$point" | sed '1s/^/  * /; 2,$s/^/    /; s/ *$//'
        done
    printf '\n -- %s  %s\n' "$(sed -n 's/^Maintainer: //p' config/debian/control)" "$(date -u -R -d "@$date")"
} >"$tree/debian/changelog"

# What is packaged as it stands in the tree has its time in the package.
find "$tree" -exec touch -h -d "@$date" {} +

log=$folder/runnel-$version.log
echo "builds $tree, log: $log"
# The variables of the make that runs this are not those of the package's build.
if ! (cd "$tree" && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES -u VERSION -u BUILD \
    DEB_BUILD_OPTIONS="parallel=$(nproc) ${DEB_BUILD_OPTIONS-}" dpkg-buildpackage -b -us -uc) >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    exit 1
fi
rm -rf "$tree"
lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$folder/runnel_${version}_"*.changes
ls -1 "$folder"/*_"$version"_*.deb
