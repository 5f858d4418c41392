#!/bin/sh
# Runs test suites: scripts/test.sh SUITE…, or "all". Suites: unit kernel conformance cri failpoint cluster
# All files of a call go through one test runner, one after the other, so that one summary ends it.
set -eu
exec </dev/null
cd "$(dirname "$0")/.."
if [ $# -eq 0 ] || [ "$1" = all ]; then set -- unit kernel conformance cri failpoint cluster; fi
files=
needs_root=
for suite in "$@"; do
  case $suite in
    unit) found=$(find packages scripts -name node_modules -prune -o -name '*.test.ts' -print | sort) ;;
    kernel | conformance | cri | failpoint | cluster)
      needs_root=yes
      found=$(find "test/$suite" -name '*.test.ts' | sort) ;;
    *)
      echo "scripts/test.sh: unknown suite $suite; known are unit kernel conformance cri failpoint cluster" >&2
      exit 2 ;;
  esac
  if [ -z "$found" ]; then
    echo "scripts/test.sh: no test files in suite $suite" >&2
    exit 1
  fi
  files="$files $found"
done
if [ -z "$needs_root" ]; then
  sh scripts/setup.sh npm
  # shellcheck disable=SC2086
  exec bin/node24 --test $files
fi
if [ "$(id -u)" != 0 ]; then
  echo "scripts/test.sh: $* need root (namespaces, mounts, cgroups); without it there is: npm run test:unit" >&2
  exit 1
fi
sh scripts/setup.sh test
# The limit is for one file or test: a hang must not stop the others.
# shellcheck disable=SC2086
exec sh scripts/in-namespaces.sh bin/node24 --test --test-concurrency=1 --test-timeout=600000 $files
