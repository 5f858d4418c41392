#!/bin/sh
# Runs a benchmark in namespaces of its own: scripts/bench.sh cri|cni|images|host-local|plugin-start|overlay|policy|routes [options of the benchmark]
set -eu
cd "$(dirname "$0")/.."
bench=${1:?usage: scripts/bench.sh cri|cni|images|host-local|plugin-start|overlay|policy|routes [options]}
shift
sh scripts/setup.sh bench
# What is measured is what users run: the bundles.
bin/node24 scripts/build.ts
export AMPHIPOD_TEST_BUILT=1
# A copy of Node.js for the measuring process: sharing its pages with the daemon would halve the daemon's PSS.
scratch=$(mktemp -d /var/tmp/amphipod-bench-node.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
node=$(bin/node24 -p process.execPath)
cp "$node" "$scratch/node"
export UV_THREADPOOL_SIZE=16
sh scripts/in-namespaces.sh "$scratch/node" --disable-warning=ExperimentalWarning "bench/$bench.ts" "$@" </dev/null
