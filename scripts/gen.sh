#!/bin/sh
# Writes src/gen of the packages that have a proto/. CI runs it and expects no difference.
set -eu
cd "$(dirname "$0")/.."
template=${TMPDIR:-/tmp}/amphipod-gen.$$.yaml
trap 'rm -f "$template"' EXIT
# exportCommonSymbols and the JSON options are off to keep the files small; importSuffix and enumsAsLiterals
# are what lets Node.js run them as they are.
options=env=node,outputServices=grpc-js,forceLong=bigint,enumsAsLiterals=true,esModuleInterop=true,importSuffix=.ts
options=$options,outputJsonMethods=false,outputPartialMethods=true,outputTypeRegistry=false,exportCommonSymbols=false
options=$options,unrecognizedEnum=false
options=$options,annotateFilesWithVersion=false,outputClientImpl=false,useExactTypes=false
for package in runtime fabric; do
  cat >"$template" <<YAML
version: v2
inputs:
  - directory: packages/$package/proto
plugins:
  - local: node_modules/.bin/protoc-gen-ts_proto
    out: packages/$package/src/gen
    opt: $options
YAML
  node_modules/.bin/buf generate --template "$template"
done
