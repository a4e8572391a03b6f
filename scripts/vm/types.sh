#!/bin/bash
# The types of a kernel that has none built in, made from its headers by our own program as
# it is done on the machine itself (`bee-trace btf build`), as a tree to lay over the
# machine's root. Runs in the toolbox. With another kernel's name in place of "headers" they
# are that kernel's, under the name of this one: a file the machine must refuse.
#
#   scripts/vm/types.sh NAME PROGRAMS OUT      PROGRAMS as of boot.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/vm/common.sh

name=$(kernel_of "$1") types=$(field "$1" types) program=$(sed -n 's/^bee-trace //p' "$2") out=$3
make_scratch
[ "$types" != headers ] || types=$name
headers=$(scripts/vm/headers.sh "$types")
release=$(cat "$cache/kernel/$name/release")
described=$(cat "$cache/kernel/$types/release")
mkdir "$scratch/tree" "$scratch/tmp"
tar -C "$scratch/tree" -xf "$headers"
emulator=()
# A program for arm64 looks for a compiler for arm64: the cross compiler, which is a program of this machine.
[ "$(field "$1" arch)" = amd64 ] || emulator=(qemu-aarch64-static)
rm -rf "$out"
TMPDIR=$scratch/tmp "${emulator[@]}" "$program" btf build --headers "$scratch/tree/usr/src/linux-headers-$described" \
  --out "$out/var/lib/bee-traced/btf/$release.btf" >&2
