#!/bin/sh
# npm start: installs what is missing, then runs scripts/start.ts. npm start -- --once ends after the checks.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh run
exec bin/node24 scripts/start.ts "$@"
