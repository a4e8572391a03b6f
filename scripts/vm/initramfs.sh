#!/bin/bash
# Makes the initramfs of one kernel: busybox, tests/vm/init, and the modules that
# reach the root file system, in the order modprobe would load them; and those that
# tests ask for. Runs in the toolbox.
#
#   scripts/vm/initramfs.sh DIRECTORY ARCH [TREE]
#
# DIRECTORY has the kernel's `release` and `config` and gets `initramfs`. TREE is
# where lib/modules lies; without it the kernel has all it needs built in.
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/vm/common.sh
source scripts/vm/apt.sh

kernel=$1 arch=$2 tree=${3:-}
release=$(cat "$kernel/release")
make_scratch
into=$scratch/initramfs
modules=$into/lib/modules/$release
mkdir -p "$into"/{bin,dev,proc,sys,root,overlay/boot} "$modules"

# The toolbox has that of its own architecture only.
busybox=$cache/busybox-$arch
if [ ! -e "$busybox" ]; then
  deb_update bookworm "$arch"
  deb_download bookworm "$arch" "$scratch/busybox" busybox-static
  dpkg-deb -x "$scratch"/busybox/*.deb "$scratch/busybox"
  find "$scratch/busybox" -type f -path '*/bin/busybox' -exec cp {} "$busybox" \;
fi
cp "$busybox" "$into/bin/busybox"

# Prints the files of modules and of all they need, each once, in load order.
wanted() {
  for module in "$@"; do
    modprobe -d "$tree" -S "$release" --show-depends "$module" 2>/dev/null || true
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

: >"$into/modules"
if [ -n "$tree" ]; then
  root=(virtio_pci virtio_blk crc32c_generic crc32c_intel ext4)
  depmod -b "$tree" "$release"
  wanted "${root[@]}" | sed "s#^.*/modules/##; s#\.xz\$##" >"$into/modules"
  wanted "${root[@]}" autofs4 overlay loop | while read -r file; do
    relative=${file##*/modules/"$release"/}
    mkdir -p "$modules/$(dirname "$relative")"
    case $file in
      *.xz) xz -dc "$file" >"$modules/${relative%.xz}" ;;
      *) cp "$file" "$modules/$relative" ;;
    esac
  done
  cp "$tree/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$modules"
fi
depmod -b "$into" "$release" 2>/dev/null
# `bee-trace check` reads the configuration where a Debian machine has it.
cp "$kernel/config" "$into/overlay/boot/config-$release"
cp tests/vm/init "$into/init"
pack "$into" >"$kernel/initramfs"
