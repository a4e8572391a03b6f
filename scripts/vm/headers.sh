#!/bin/bash
# A kernel's headers as its packages install them, for making its types where it has
# none built in. Runs in the toolbox.
#
#   scripts/vm/headers.sh NAME        prints $cache/kernel/NAME/headers.tar.zst, made if missing
#   scripts/vm/headers.sh --of-build SOURCE BUILD RELEASE OUT
#
# In the archive, of any kernel (paths from the root, all links relative):
#
#   lib -> usr/lib
#   usr/lib/modules/RELEASE/build     link to the tree below: what `uname -r` leads to
#   usr/src/linux-headers-RELEASE     include/generated, .config, Module.symvers, Makefile
#
# Debian's have two trees more, which the first one leads to: what is the same for all
# flavours (usr/src/linux-headers-*-common) and Kbuild (usr/lib/linux-kbuild-*). Ours
# is one tree, as `make bindeb-pkg` packs it. Programs in them run on the host.
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/vm/common.sh
source scripts/vm/apt.sh

archive() { # TREE OUT
  tar -C "$1" --owner=0 --group=0 --sort=name -cf - . | zstd -q -6 -T0 -f -o "$2"
}

of_build() { # SOURCE BUILD RELEASE OUT
  local tree=$scratch/tree
  mkdir -p "$tree/usr/src" "$tree/usr/lib/modules/$3"
  ln -s usr/lib "$tree/lib"
  ln -s "../../../src/linux-headers-$3" "$tree/usr/lib/modules/$3/build"
  # The kernel's own rule for what a headers package holds. Equal compilers: else it
  # builds the programs anew, for the machine the kernel is for.
  (cd "$2" && srctree=$1 SRCARCH=arm64 CC=gcc HOSTCC=gcc MAKE=make \
    sh "$1/scripts/package/install-extmod-build" "$tree/usr/src/linux-headers-$3")
  cp "$2/.config" "$tree/usr/src/linux-headers-$3/"
  archive "$tree" "$4"
}

of_debian() { # NAME OUT
  local suite arch release tree=$scratch/tree depends link
  suite=$(field "$1" suite)
  arch=$(field "$1" arch)
  release=$(cat "$cache/kernel/$1/release")
  say "$1: fetching headers of $release from $suite"
  deb_update "$suite" "$arch"
  deb_download "$suite" "$arch" "$scratch/packages" "linux-headers-$release"
  depends=$(dpkg-deb -f "$scratch"/packages/*.deb Depends | tr ',|' '\n\n' | awk '{print $1}')
  deb_download "$suite" "$arch" "$scratch/packages" "$(grep -E '^linux-headers-.*common' <<<"$depends")"
  # Programs: those of this machine.
  deb_update "$suite" amd64
  deb_download "$suite" amd64 "$scratch/packages" "$(grep -E '^linux-kbuild-' <<<"$depends")"
  for package in "$scratch"/packages/*.deb; do dpkg-deb -x "$package" "$tree"; done
  if [ -d "$tree/lib" ]; then
    mkdir -p "$tree/usr/lib"
    cp -a "$tree/lib/." "$tree/usr/lib/"
    rm -r "${tree:?}/lib"
  fi
  ln -s usr/lib "$tree/lib"
  rm -rf "$tree/usr/share"
  find "$tree" -type l -lname '/*' | while read -r link; do
    ln -sfnr "$tree$(readlink "$link")" "$link"
  done
  archive "$tree" "$2"
}

make_scratch
if [ "$1" = --of-build ]; then
  of_build "${@:2}"
  exit
fi
out=$cache/kernel/$1/headers.tar.zst
if [ ! -e "$out" ]; then
  of_debian "$1" "$scratch/headers.tar.zst"
  mv "$scratch/headers.tar.zst" "$out"
fi
echo "$out"
