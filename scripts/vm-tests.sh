#!/bin/bash
# Runs the tests of test/vm in virtual machines of their own: npm run test:vm [-- FILE…]
# Needs what test/vm/setup.sh needs; makes the machine's disk with it the first time. One machine per file, at most 10 minutes each.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
[ $# -gt 0 ] || set -- test/vm/*.test.ts
sh scripts/setup.sh executables
# The daemon under test is what users run, and in an emulated machine it starts several times as fast.
bin/node24 scripts/build.ts
[ -e "${VM_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/amphipod-vmlab}/initrd.cpio" ] || bash test/vm/setup.sh

# What the tests load, without the tools of development: the machine's disk is made of it at each start.
stage=$(mktemp -d "${TMPDIR:-/tmp}/vm-stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
cp -a --parents bin dist packages scripts test bench package.json tsconfig.json "$stage"
tar -C . -c --exclude='node_modules/@biomejs' --exclude='node_modules/@bufbuild/buf*' --exclude='node_modules/@typescript' \
  --exclude='node_modules/@esbuild' --exclude='node_modules/dprint-node' --exclude='node_modules/.cache' \
  --exclude='node_modules/node-linux-*/include' --exclude='node_modules/node-linux-*/share' node_modules | tar -C "$stage" -x

# What the machine lacks and the runtime needs: a program without libraries.
mkdir "$stage/tools"
if [ -x /usr/bin/catatonit ]; then cp /usr/bin/catatonit "$stage/tools"; fi

status=0
for file in "$@"; do
  echo "# $file"
  options=$(sed -n 's,^// vm: ,,p' "$file")
  case $file in
    *.test.ts) command='bin/node24 --test --test-reporter=spec --test-concurrency=1' ;;
    *) command=bin/node24 ;;
  esac
  # shellcheck disable=SC2086
  bash test/vm/boot.sh -t 600 -D "$stage,/src" $options -- \
    "cd /src && export NODE_COMPILE_CACHE=/tmp/node AMPHIPOD_TEST_PATIENCE=30 AMPHIPOD_TEST_BUILT=1 AMPHIPOD_TEST_RUNTIME=crun PATH=/src/tools:\$PATH && $command $file" || status=1
done
exit $status
