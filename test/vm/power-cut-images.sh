#!/bin/sh
# Cuts the power of a virtual machine right after a pull has returned, several times: every image that was pulled must be
# there and whole after the next start.
#
#   VM_BOOT=/path/to/boot.sh sh test/vm/power-cut-images.sh [ROUNDS]
#
# boot.sh starts a guest with the disk and folder that it is given and runs a command in it (its options: -v TAG,DIR,GUESTDIR
# a folder, -Q a word for QEMU). The guest resets itself by sysrq, without a sync, so that what its page cache holds is lost.
set -eu
rounds=${1:-4}
: "${VM_BOOT:?names the script that boots the machine}"
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
truncate -s 2G "$work/store.img"
/sbin/mkfs.ext4 -q "$work/store.img"

# $1: what to do after the disk is mounted
in_guest() {
  bash "$VM_BOOT" -q -N -t 300 -v "src,$source_dir,/src" \
    -Q -drive -Q "file=$work/store.img,if=none,id=store,format=raw,cache=writeback" \
    -Q -device -Q virtio-blk-pci,drive=store,serial=store \
    -- "mkdir -p /store && mount /dev/disk/by-id/virtio-store /store && cd /src && $1"
}

round=1
while [ "$round" -le "$rounds" ]; do
  # 125: the guest ended without a status, as it must when its power is cut.
  if in_guest "bin/node24 test/vm/power-cut-images.ts pull $round" >"$work/log" 2>&1; then status=0; else status=$?; fi
  if [ "$status" != 125 ] || ! grep -q "pulled $round, power off" "$work/log"; then
    cat "$work/log"
    echo "round $round: the guest ended with $status before the power was cut" >&2
    exit 1
  fi
  echo "round $round: power cut after the pull"
  round=$((round + 1))
done
in_guest "bin/node24 test/vm/power-cut-images.ts check $rounds"
