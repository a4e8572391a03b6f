#!/bin/bash
# Runs a command in a small Debian of its own, with the tools that cross-building
# and virtual machines need:
#
#   scripts/toolbox.sh [--root] COMMAND [ARGUMENT...]
#
# A Debian of its own, because these tools do not live together with what people
# have: each cross compiler of Debian conflicts with gcc-multilib (which the 32-bit
# triggers want), QEMU with qemu-utils of another release, arm64 libraries with
# amd64 ones of another build. It also fixes the oldest C library the arm64
# programs run with, whatever this machine has.
#
# Made at the first use in .cache/toolbox (1.5 GB; VM_MIRROR names another mirror) and
# again when its list of packages changes. The command sees the project and the
# cache at their own paths, and runs as who called (as root with --root); mounts
# and processes end with it. Needs root to get there.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh

suite=bookworm # the oldest release we support
packages=(
  # programs for arm64: the compilers, and Rust as new as the project wants it
  gcc make pkg-config clang llvm libc6-dev libelf-dev zlib1g-dev
  rustc-web cargo-web libstd-rust-web-dev:arm64 libelf-dev:arm64 zlib1g-dev:arm64
  gcc-aarch64-linux-gnu libc6-dev-arm64-cross
  # 32-bit triggers for it
  gcc-arm-linux-gnueabihf libc6-dev-armhf-cross
  # kernels, and types from their headers
  flex bison bc libssl-dev xz-utils patch perl dwarves
  # machines and what they boot
  qemu-system-x86 qemu-system-arm busybox-static kmod cpio zstd e2fsprogs
  # root file systems, foreign ones too
  mmdebstrap arch-test qemu-user-static debian-archive-keyring ca-certificates
  # the package
  debhelper bash-completion fakeroot lintian
)
# From backports. The emulator of Debian 12 (7.2) now and then gives a guest wrong processor flags,
# which its kernel takes for a breakpoint of its own; and debhelper there does not know units below /usr.
newer='qemu-system-* qemu-efi-* seabios ipxe-qemu libslirp0 debhelper libdebhelper-perl dh-* lintian'

# A changed list makes a new one: its name holds the list's hash.
tree=$cache_root/toolbox/$(printf '%s\n' "$suite" "${packages[@]}" "$newer" | sha256sum | cut -c1-12)

make_toolbox() {
  [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || die 'the toolbox needs a Debian or Ubuntu on x86-64'
  has mmdebstrap && [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || install mmdebstrap debian-archive-keyring
  say "making the toolbox, a minute or two"
  as_root rm -rf "$cache_root/toolbox"
  mkdir -p "$cache_root/toolbox"
  # shellcheck disable=SC2016 # $1 is the new tree, and mmdebstrap's to expand
  prefer=$(printf 'printf "%%s\\n" "Package: %s" "Pin: release n=%s" "Pin-Priority: 500" >"$1/etc/apt/preferences.d/newer"' \
    "$newer" "$suite-backports")
  as_root mmdebstrap --quiet --mode=root --variant=minbase --architectures=amd64,arm64 \
    --include="$(IFS=,; echo "${packages[*]}")" "${without_docs[@]}" --setup-hook="$prefer" \
    "$suite" "$tree.new" \
    "deb $mirror/debian $suite main" "deb $mirror/debian $suite-updates main" \
    "deb $mirror/debian-security $suite-security main" "deb $mirror/debian $suite-backports main"
  as_root mv "$tree.new" "$tree"
}

user=$(id -u):$(id -g)
if [ "${1:-}" = --root ]; then user=0:0; shift; fi
[ $# -gt 0 ] || { sed -n '2,18s/^# \{0,1\}//p' "$0"; exit 64; }
mkdir -p "$cache_root"
if [ ! -d "$tree" ]; then
  exec 8>"$cache_root/toolbox.lock"
  flock 8
  [ -d "$tree" ] || make_toolbox
  exec 8>&-
fi

cargo_home=${CARGO_HOME:-$HOME/.cargo}
environment=(
  "PATH=/usr/sbin:/usr/bin:/sbin:/bin" "HOME=$HOME" "CARGO_HOME=$cargo_home"
  LANG=C.UTF-8 "TERM=${TERM:-dumb}" BEE_TOOLBOX=1
)
for name in BEE_CACHE CI CARGO_TERM_COLOR SOURCE_DATE_EPOCH http_proxy https_proxy no_proxy "${test_settings[@]}" "${!VM_@}"; do
  [ -z "${!name+set}" ] || environment+=("$name=${!name}")
done

root=()
[ "$(id -u)" -eq 0 ] || root=(sudo)
# shellcheck disable=SC2016 # expanded there, where the mounts are
exec "${root[@]}" unshare --mount --propagation private --pid --fork --kill-child \
  bash -euc '
    tree=$1 user=$2 directory=$3; shift 3
    while [ "$1" != -- ]; do
      mkdir -p "$tree$1"
      mount --rbind "$1" "$tree$1"
      shift
    done
    shift
    mount -t proc proc "$tree/proc"
    mount --rbind /dev "$tree/dev"
    mount --rbind /sys "$tree/sys"
    for file in /etc/passwd /etc/group /etc/resolv.conf; do
      [ -e "$tree$file" ] || : >"$tree$file"
      mount --bind "$(realpath "$file")" "$tree$file"
    done
    exec chroot --userspec="$user" "$tree" env -i "--chdir=$directory" "$@"
  ' toolbox "$tree" "$user" "$PWD" "$PWD" "$cache_root" "$cargo_home" -- "${environment[@]}" "$@"
