#!/bin/sh
# npm start: installs what is missing, then runs scripts/start.ts. npm start -- --once ends after the checks.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh run
# Kept between runs, the files need not be stripped of their types and compiled again; the daemon inherits it.
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-$PWD/node_modules/.cache/amphipod}"
exec bin/node24 scripts/start.ts "$@"
