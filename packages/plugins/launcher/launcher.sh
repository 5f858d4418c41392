#!/bin/sh
# Runs a CNI plugin with the project's own Node.js: the executable where no C compiler was there to build launcher.c.
# Filled in when it is installed; an empty root: this file lies in ROOT/packages/plugins/bin.
name='@NAME@'
version='@VERSION@'
root='@ROOT@'
: "$version"
if [ -z "$root" ]; then
  self=$0
  [ ! -L "$self" ] || self=$(readlink -f "$self")
  root=${self%/*}/../../..
fi
up=
main=$root/packages/plugins/src/exec.ts
if [ ! -f "$main" ]; then # what `npm run build` made
  up=/..
  main=$root/packages/plugins/src/exec.mjs
fi
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-$root$up/node_modules/.cache/amphipod-plugins}"
exec "$root$up/bin/node24" "$main" "$name" "$@"
