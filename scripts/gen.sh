#!/bin/sh
# Writes packages/runtime/src/gen from packages/runtime/proto. CI runs it and expects no difference.
set -eu
cd "$(dirname "$0")/../packages/runtime"
modules=../../node_modules
# exportCommonSymbols and the JSON options are off to keep the file small; importSuffix and enumsAsLiterals
# are what lets Node.js run it as it is.
options=env=node,outputServices=grpc-js,forceLong=bigint,enumsAsLiterals=true,esModuleInterop=true,importSuffix=.ts
options=$options,outputJsonMethods=false,outputPartialMethods=true,outputTypeRegistry=false,exportCommonSymbols=false
options=$options,unrecognizedEnum=false
options=$options,annotateFilesWithVersion=false,outputClientImpl=false,useExactTypes=false
cat >"${TMPDIR:-/tmp}/amphipod-gen.$$.yaml" <<YAML
version: v2
inputs:
  - directory: proto
plugins:
  - local: $modules/.bin/protoc-gen-ts_proto
    out: src/gen
    opt: $options
YAML
trap 'rm -f "${TMPDIR:-/tmp}/amphipod-gen.$$.yaml"' EXIT
"$modules/.bin/buf" generate --template "${TMPDIR:-/tmp}/amphipod-gen.$$.yaml"
