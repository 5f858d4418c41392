#!/bin/sh
# Runs test/vm/wireguard.test.ts in a virtual machine whose kernel has WireGuard.
#
#   VM_BOOT=/path/to/boot.sh sh test/vm/wireguard.sh
#
# boot.sh starts a guest and runs a command in it (its option: -D DIR,GUESTDIR a folder as a disk). The guest needs iproute2,
# nftables, busybox and wireguard-tools.
set -eu
: "${VM_BOOT:?names the script that boots the machine}"
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
exec bash "$VM_BOOT" -q -N -t 900 -D "$source_dir,/src" -- 'cd /src && bin/node24 --test test/vm/wireguard.test.ts'
