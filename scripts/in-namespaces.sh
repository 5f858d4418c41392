#!/bin/sh
# Runs a command in a mount and a network namespace of its own, with an empty /run: what it leaves there goes with it.
# scripts/in-namespaces.sh COMMAND [ARGUMENT…]
set -eu
sh "$(dirname "$0")/setup.sh" executables
# shellcheck disable=SC2016
exec unshare --mount --net --propagation slave -- sh -eu -c '
  mount --make-rshared /
  mount -t tmpfs -o mode=755,nosuid,nodev run /run
  ip link set lo up
  exec "$@"' sh "$@"
