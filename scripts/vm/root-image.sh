#!/bin/bash
# Makes the root file system of all machines of one system and architecture, or, with `tools`, that
# of those in which people's programs run. Runs in the toolbox, as root.
#
#   scripts/vm/root-image.sh SUITE ARCH [tools]
#
# Leaves in $cache/root/SUITE-ARCH (SUITE-ARCH-tools): root.ext4, which no machine changes (QEMU keeps its
# writes elsewhere), SHA256SUMS, and `key`: another key makes it anew.
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/vm/common.sh

packages=systemd-sysv,udev,dbus,kmod,procps,passwd,make,libelf1,zlib1g
# What people and services of a desktop or a server run all day, and debuggers.
tools=gdb,strace,python3,sudo,cron,git,openssh-client,openssh-server,rsync,less,man-db,psmisc,lsof,htop
tools=$tools,logrotate,polkitd,libpam-systemd,iproute2,curl,xz-utils,bzip2,file,vim-tiny,bash-completion,sysstat

suite=$1 arch=$2 set=${3:-} size=1G
if [ "$set" = tools ]; then
  packages=$packages,$tools
  size=2G
fi
dir=$(root_of "$suite" "$arch" "$set")
key=$({ echo "$suite $packages"; cat tests/vm/root-files.sh; } | sha256sum | cut -d' ' -f1)
if [ "$(cat "$dir/key" 2>/dev/null)" = "$key" ] && intact "$dir"; then exit; fi

# Programs of another architecture run by QEMU's user emulation, which the kernel is
# told for as long as this takes. The mount ends with the toolbox; the entry does not.
emulate_arm64() {
  local at=/proc/sys/fs/binfmt_misc
  [ -e $at/register ] || mount -t binfmt_misc none $at ||
    die 'cannot mount binfmt_misc, which making an arm64 system needs'
  [ -e $at/bee-aarch64 ] && return
  # An arm64 ELF program or shared object; F: the emulator is opened now, not in each chroot.
  printf '%s' ':bee-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:OCF' >$at/register
  trap 'echo -1 >/proc/sys/fs/binfmt_misc/bee-aarch64; rm -rf "$scratch"' EXIT
}

make_scratch
say "making the root file system for $suite, $arch${set:+ with $set}, some minutes"
[ "$arch" = "$(dpkg --print-architecture)" ] || "emulate_$arch"
tree=$scratch/tree new=$scratch/root
mkdir "$new"
mmdebstrap --quiet --mode=root --variant=minbase --architectures="$arch" --include="$packages" \
  "${without_docs[@]}" "$suite" "$tree" "$mirror/debian"
tests/vm/root-files.sh "$tree"
mke2fs -q -t ext4 -L root -d "$tree" "$new/root.ext4" "$size"
echo "$key" >"$new/key"
(cd "$new" && sha256sum root.ext4 key >SHA256SUMS)
mkdir -p "$cache/root"
chmod -R a+rX "$new"
rm -rf "$dir"
mv "$new" "$dir"
