#!/bin/sh
# Runs test suites: scripts/test.sh SUITE…, or "all". Kernel-touching suites run in namespaces of their own.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh test
in_namespaces() {
  # A mount and a network namespace for the whole suite: what it leaves behind goes with them.
  unshare --mount --net --propagation slave -- sh -c 'mount --make-rshared / && ip link set lo up && exec "$@"' sh "$@"
}
suite() {
  case $1 in
    unit) find packages scripts -name node_modules -prune -o -name '*.test.ts' -print | sort | xargs bin/node24 --test ;;
    kernel | conformance | cri | failpoint)
      files=$(find "test/$1" -name '*.test.ts' | sort)
      [ -n "$files" ] || { echo "no tests in test/$1" >&2; return 1; }
      # One file at a time: they share the namespaces.
      # shellcheck disable=SC2086
      in_namespaces bin/node24 --test --test-concurrency=1 $files ;;
    *) echo "unknown suite $1" >&2; return 2 ;;
  esac
}
[ "${1:-all}" = all ] && set -- unit kernel conformance cri failpoint
for name in "$@"; do
  echo "== $name" >&2
  suite "$name"
done
