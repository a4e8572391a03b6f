#!/bin/bash
# Builds a kernel of tests/vm/kernels.toml that no distribution packages, from
# Debian's source and the named fragments of tests/vm/config. Runs in the toolbox.
#
#   scripts/vm/build-kernel.sh NAME
#
# Leaves in $cache/kernel/NAME: vmlinuz, release, config, headers.tar.zst (below)
# and SHA256SUMS; `key` says what they were made of, and another key makes them
# anew. Five minutes on two idle processors.
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/vm/common.sh
source scripts/vm/apt.sh

recipe=1 # another number when what is made changes, but for the fragments
name=$1
known "$name"
dir=$cache/kernel/$name
suite=$(field "$name" suite)
source_package=$(field "$name" source)
fragments=()
for fragment in $(field "$name" fragments); do fragments+=("tests/vm/config/$fragment.config"); done
key=$({ echo "$recipe $source_package"; cat "${fragments[@]}"; } | sha256sum | cut -d' ' -f1)
if [ "$(cat "$dir/key" 2>/dev/null)" = "$key" ] && intact "$dir"; then exit; fi

make_scratch
say "$name: fetching $source_package"
deb_update "$suite" amd64
deb_download "$suite" amd64 "$scratch" "$source_package"
dpkg-deb --fsys-tarfile "$scratch/$source_package"_*.deb | tar -C "$scratch" -xf - --wildcards './usr/src/*.tar.xz'
rm "$scratch"/*.deb
tar -C "$scratch" -xf "$scratch/usr/src/$source_package.tar.xz"
rm -r "${scratch:?}/usr"

say "$name: building it, five minutes or more"
begin=$SECONDS
build=(make -C "$scratch/$source_package" -s "O=$scratch/build" ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-)
# Nothing of this machine or moment in the kernel's name.
export KBUILD_BUILD_USER=bee KBUILD_BUILD_HOST=vm KBUILD_BUILD_TIMESTAMP='1970-01-01'
cat "${fragments[@]}" >"$scratch/fragments"
"${build[@]}" KCONFIG_ALLCONFIG="$scratch/fragments" allnoconfig

# Kconfig drops without a word what it cannot have: then this is another kernel than
# the fragments say.
wrong=$(grep -E '^(CONFIG_|# CONFIG_)' "$scratch/fragments" | while read -r line; do
  case $line in
    '#'*) option=${line#\# }; option=${option% is not set}; ! grep -q "^$option=" "$scratch/build/.config" || echo "$line" ;;
    *) grep -qxF "$line" "$scratch/build/.config" || echo "$line" ;;
  esac
done)
[ -z "$wrong" ] || die "$name: Kconfig does not agree to: $wrong"

"${build[@]}" "-j$(nproc)" Image modules

new=$scratch/kernel
mkdir "$new"
release=$("${build[@]}" kernelrelease)
cp "$scratch/build/arch/arm64/boot/Image" "$new/vmlinuz"
cp "$scratch/build/.config" "$new/config"
echo "$release" >"$new/release"
echo "$key" >"$new/key"
scripts/vm/headers.sh --of-build "$scratch/$source_package" "$scratch/build" "$release" "$new/headers.tar.zst"
scripts/vm/initramfs.sh "$new" arm64
(cd "$new" && sha256sum vmlinuz config release key initramfs headers.tar.zst >SHA256SUMS)
mkdir -p "$cache/kernel"
rm -rf "$dir"
mv "$new" "$dir"
say "$name: $release, built in $((SECONDS - begin)) s"
