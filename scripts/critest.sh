#!/bin/sh
# Runs critest of cri-tools against the runtime, in namespaces of its own: scripts/critest.sh [--runs N] [--parallel N] [flags of critest]
# Exits with 77 where it cannot be built.
set -eu
cd "$(dirname "$0")/.."
if ! command -v go >/dev/null 2>&1; then
  echo 'critest: there is no Go to build it with (apt-get install golang-go, 1.25 or newer)' >&2
  exit 77
fi
sh scripts/setup.sh test
dir=$(mktemp -d /var/tmp/amphipod-critest.XXXXXX)
trap 'rm -rf "$dir"' EXIT
# The users of a user namespace must get through to their root file systems.
chmod 711 "$dir"
bin/node24 test/critest/prepare.ts "$dir" </dev/null
# Specs leave System V shared memory on what is the host to them.
unshare --ipc sh scripts/in-namespaces.sh bin/node24 test/critest/run.ts "$dir" "$@" </dev/null
