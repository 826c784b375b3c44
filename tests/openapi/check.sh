#!/bin/bash
# make check-openapi: two validators look at the API's description, and tsc at the README's examples with the types that
# openapi-typescript makes of it. Node and npm are needed; the packages, of the versions in package-lock.json, go below FOLDER.
#
#   tests/openapi/check.sh FOLDER
#
# 77: npm or the packages are not to be had.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
description=$(cd "$here/../.." && pwd)/daemon/api/openapi.json
mkdir -p "$1"
cd "$1"

if ! command -v npm >/dev/null; then
    echo 'check-openapi: npm is needed, with Node 20.19 or later' >&2
    exit 77
fi
if ! cmp -s "$here/package-lock.json" installed.json; then
    rm -f installed.json
    cp "$here/package.json" "$here/package-lock.json" .
    if ! npm ci --no-audit --no-fund --loglevel=error; then
        echo 'check-openapi: its packages cannot be installed here' >&2
        exit 77
    fi
    cp package-lock.json installed.json
fi
cp "$here/redocly.yaml" "$here/validate.mjs" "$here/examples.ts" .
export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true

failed=0
step() {
    local name=$1
    shift
    if "$@" >step.log 2>&1; then
        echo "ok      $name"
    else
        echo "FAILED  $name"
        sed 's/^/    /' step.log
        failed=$((failed + 1))
    fi
}
step 'redocly lint' npx --no-install redocly lint --config redocly.yaml "$description"
step 'openapi-parser validate' node validate.mjs "$description"
step 'openapi-typescript' npx --no-install openapi-typescript "$description" --output types.ts
step "tsc on the README's examples" npx --no-install tsc --noEmit --strict --exactOptionalPropertyTypes --noUncheckedIndexedAccess \
    --target es2022 --module esnext --moduleResolution bundler --lib es2022,dom examples.ts
echo "$((4 - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
