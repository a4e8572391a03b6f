#!/bin/bash
# Builds the Debian package in the toolbox, so that it runs on the oldest Debian we support:
#
#   scripts/deb.sh [amd64|arm64]     leaves target/deb/bee-traced_VERSION_ARCH.deb; lintian has its say
#   scripts/deb.sh --test KERNEL     builds it, and installs it in a machine of tests/vm/kernels.toml
#
# On an arm64 machine, or without a Debian on x86-64, `dpkg-buildpackage -b` is the way.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/vm/common.sh

build() { # ARCH
  local tree=$PWD/target/deb/tree-$1
  "${CARGO:-cargo}" fetch --locked --quiet
  # A tree of its own: debhelper writes into debian/, and what is not committed is in it too.
  rm -rf "$tree"
  mkdir -p "$tree"
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp -P --parents -t "$tree"
  scripts/toolbox.sh env --chdir="$tree" CARGO_NET_OFFLINE=true CARGO_TARGET_DIR="$PWD/target/deb" \
    dpkg-buildpackage --build=binary --no-sign --no-check-builddeps --host-arch="$1" --jobs-force="$(nproc)"
  package=target/deb/bee-traced_$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)_$1.deb
  scripts/toolbox.sh lintian --fail-on=error,warning --tag-display-limit=0 "$package"
  say "$package: $(stat -c %s "$package") bytes"
}

case ${1:-amd64} in
  amd64|arm64) build "${1:-amd64}" ;;
  --test)
    known "$2"
    build "$(field "$2" arch)"
    extra=$PWD/target/deb/extra
    rm -rf "$extra"
    command install -D -m644 -t "$extra/vm/package" "$package"
    VM_EXTRA=$extra scripts/vm.sh "$2" package.sh
    ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 64 ;;
esac
