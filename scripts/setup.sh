#!/bin/sh
# Installs what is missing: npm packages, Debian packages, crictl. scripts/setup.sh npm|run|test|bench|executables
# npm: packages of the project only; run: what pods need; test, bench: the programs to compare with, too;
# executables: the plugins' executables only.
set -eu
export DEBIAN_FRONTEND=noninteractive
cd "$(dirname "$0")/.."
mode=${1:-run}
PATH=$PATH:/usr/sbin:/sbin
crictl_version=v1.34.0
run_packages='crun:crun runc:runc conmon:conmon catatonit:catatonit busybox:busybox-static ip:iproute2'
test_packages='nft:nftables iptables:iptables containerd:containerd docker-registry:docker-registry unshare:util-linux jq:jq skopeo:skopeo podman:podman dnsmasq:dnsmasq-base umoci:umoci openssl:openssl etcd:etcd-server ping:iputils-ping bird:bird2 gobgpd:gobgpd'
bench_packages='iperf3:iperf3 ss:iproute2'

missing=
need() { # PROGRAM:PACKAGE…
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
  done
}
install_debian_packages() {
  # shellcheck disable=SC2086
  need $run_packages
  # The demo image is made of it and holds no C library: Debian's package "busybox" will not do.
  if busybox=$(command -v busybox) && grep -q /ld-linux "$busybox"; then missing="$missing busybox-static"; fi
  # RuntimeDefault is read from this file; conmon and runc alone do not bring it.
  [ -e /usr/share/containers/seccomp.json ] || missing="$missing golang-github-containers-common"
  case $mode in
    test | bench)
      # shellcheck disable=SC2086
      need $test_packages
      # shellcheck disable=SC2086
      [ "$mode" = test ] || need $bench_packages
      [ -x /usr/lib/frr/bgpd ] || missing="$missing frr"
      [ -x /usr/lib/cni/bridge ] || missing="$missing containernetworking-plugins" ;;
  esac
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    echo "these Debian packages are missing; install them as root:$missing" >&2
    exit 1
  fi
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "these Debian packages are missing, and there is no apt-get to install them:$missing" >&2
    exit 1
  fi
  echo "installing Debian packages:$missing" >&2
  log=$(mktemp)
  # shellcheck disable=SC2086
  if ! { apt-get update -q && apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    exit 1
  fi
  rm -f "$log"
}
install_npm_packages() {
  if [ -e node_modules/.package-lock.json ] && ! [ package-lock.json -nt node_modules/.package-lock.json ]; then
    return 0
  fi
  echo 'installing npm packages' >&2
  npm ci --no-audit --no-fund --loglevel=error >&2 </dev/null
  touch node_modules/.package-lock.json
}
# A compiler of 1 MB for the plugins' executables. Without it another one is taken, or shell scripts stand in.
install_compiler() {
  if command -v tcc >/dev/null 2>&1 && [ -e "/usr/lib/$(uname -m)-linux-musl/libc.a" ]; then return 0; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then return 0; fi
  echo 'installing Debian packages: tcc musl-dev' >&2
  apt-get install -y -q --no-install-recommends tcc musl-dev >/dev/null 2>&1 </dev/null ||
    { apt-get update -q && apt-get install -y -q --no-install-recommends tcc musl-dev; } >/dev/null 2>&1 </dev/null ||
    echo 'tcc, musl-dev: they could not be installed' >&2
}
# crictl is not in Debian 12. Where Go is, it is built once; where not, its test is skipped and says so.
install_crictl() {
  bin=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/amphipod/bin
  if [ -x "$bin/crictl" ] || command -v crictl >/dev/null 2>&1; then return 0; fi
  if ! command -v go >/dev/null 2>&1; then
    echo 'crictl: not installed, and there is no Go to build it: the crictl test will be skipped' >&2
    return 0
  fi
  echo "building crictl $crictl_version" >&2
  mkdir -p "$bin"
  if ! GOBIN=$bin GOFLAGS=-mod=mod go install "sigs.k8s.io/cri-tools/cmd/crictl@$crictl_version" >"$bin/crictl.log" 2>&1 </dev/null
  then
    tail -n 5 "$bin/crictl.log" >&2
    echo 'crictl: it could not be built: the crictl test will be skipped' >&2
  fi
}
# Made again when a plugin or the launcher came or changed.
make_executables() {
  stamp=packages/plugins/launcher/build/made
  for source in packages/plugins/src/builtin-plugins.ts packages/plugins/package.json packages/plugins/launcher/launcher.* \
    packages/plugins/src/executables/*.ts scripts/make-executables.ts; do
    if ! [ -e "$stamp" ] || [ "$source" -nt "$stamp" ]; then
      bin/node24 scripts/make-executables.ts >&2 </dev/null
      touch "$stamp"
      return
    fi
  done
}
case $mode in
  npm | executables) ;;
  run | bench)
    install_debian_packages
    install_compiler ;;
  test)
    install_debian_packages
    install_compiler
    install_crictl ;;
  *)
    echo 'usage: scripts/setup.sh npm|run|test|bench|executables' >&2
    exit 2 ;;
esac
[ "$mode" = executables ] || install_npm_packages
make_executables
