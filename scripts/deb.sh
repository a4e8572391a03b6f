#!/bin/bash
# Builds the Debian package in the toolbox, so that it runs on the oldest Debian we support:
#
#   scripts/deb.sh [amd64|arm64]
#
# Leaves target/deb/bee-traced_VERSION_ARCH.deb, and says what lintian thinks of it. On an
# arm64 machine, or without a Debian on x86-64, `dpkg-buildpackage -b` is the way.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh

arch=${1:-amd64}
case $arch in amd64|arm64) ;; *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 64 ;; esac
"${CARGO:-cargo}" fetch --locked --quiet
mkdir -p target/deb
# A tree of its own: debhelper writes into debian/, and what is not committed is in it too.
tree=$PWD/target/deb/tree-$arch
rm -rf "$tree"
mkdir "$tree"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp -P --parents -t "$tree"
scripts/toolbox.sh env --chdir="$tree" CARGO_NET_OFFLINE=true CARGO_TARGET_DIR="$PWD/target/deb" \
  dpkg-buildpackage --build=binary --no-sign --no-check-builddeps --host-arch="$arch" --jobs-force="$(nproc)"
version=$(sed -n "1s/.*(\(.*\)).*/\1/p" debian/changelog)
package=target/deb/bee-traced_${version}_$arch.deb
scripts/toolbox.sh lintian --fail-on=error,warning --tag-display-limit=0 "$package"
say "$package: $(stat -c %s "$package") bytes"
