#!/bin/sh
# Installs what is missing: npm packages, and Debian packages by name. scripts/setup.sh run|test|bench
set -eu
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
if [ -n "$missing" ]; then
  echo "installing Debian packages:$missing" >&2
  apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
fi
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --no-audit --no-fund --loglevel=error >&2
  touch node_modules/.package-lock.json
fi
