#!/bin/sh
# Installs what is missing: npm packages, and Debian packages by name. scripts/setup.sh run|test|bench
set -eu
export DEBIAN_FRONTEND=noninteractive
cd "$(dirname "$0")/.."
run_packages='crun:crun runc:runc conmon:conmon catatonit:catatonit busybox:busybox-static ip:iproute2'
test_packages='nft:nftables iptables:iptables containerd:containerd docker-registry:docker-registry unshare:util-linux jq:jq skopeo:skopeo'
missing=
need() { # PROGRAM:PACKAGE…
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
  done
}
PATH=$PATH:/usr/sbin:/sbin
# shellcheck disable=SC2086
need $run_packages
case ${1:-run} in
  test | bench)
    # shellcheck disable=SC2086
    need $test_packages
    [ -x /usr/lib/cni/bridge ] || missing="$missing containernetworking-plugins" ;;
esac
# The demo image is made of it and holds no C library: Debian's package "busybox" will not do.
if busybox=$(command -v busybox) && grep -q /ld-linux "$busybox"; then missing="$missing busybox-static"; fi
if [ -n "$missing" ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "these Debian packages are missing; install them as root:$missing" >&2
    exit 1
  fi
  echo "installing Debian packages:$missing" >&2
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  # shellcheck disable=SC2086
  if ! { apt-get update -q && apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    exit 1
  fi
fi
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo 'installing npm packages' >&2
  npm ci --no-audit --no-fund --loglevel=error >&2
  touch node_modules/.package-lock.json
fi
