#!/bin/bash
# Fetches the newest Debian kernel that matches a row of tests/vm/kernels.toml.
# Nothing is installed. Runs in the toolbox.
#
#   scripts/vm/fetch-kernel.sh NAME
#
# Leaves in $cache/kernel/NAME: vmlinuz, config, release (its name), initramfs, and
# SHA256SUMS of what is booted. Taken once: remove the folder for a newer one.
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/vm/common.sh
source scripts/vm/apt.sh

name=$1
known "$name"
dir=$cache/kernel/$name
if intact "$dir"; then exit; fi

make_scratch
suite=$(field "$name" suite)
arch=$(field "$name" arch)
packages=$(field "$name" packages)
first=${packages%% *}
deb_update "$suite" "$arch"
release=$(deb_apt "$suite" "$arch" apt-cache pkgnames "$first-" | sed "s/^$first-//" |
  grep -Ex -- "$(field "$name" release)" | sort -V | tail -n1) ||
  die "$suite has no $first-$(field "$name" release)"
say "$name: fetching $release from $suite"
for package in $packages; do
  deb_download "$suite" "$arch" "$scratch/packages" "$package-$release"
done
tree=$scratch/tree new=$scratch/kernel
for package in "$scratch"/packages/*.deb; do dpkg-deb -x "$package" "$tree"; done
[ -d "$tree/lib" ] || ln -s usr/lib "$tree/lib"
mkdir "$new"
cp "$(find "$tree" -name 'vmlinuz*' | head -n1)" "$new/vmlinuz"
cp "$(find "$tree/boot" "$tree/lib/modules/$release" -maxdepth 1 -name 'config*' 2>/dev/null | head -n1)" "$new/config"
echo "$release" >"$new/release"
scripts/vm/initramfs.sh "$new" "$arch" "$tree"
(cd "$new" && sha256sum vmlinuz config release initramfs >SHA256SUMS)
mkdir -p "$cache/kernel"
rm -rf "$dir"
mv "$new" "$dir"
