#!/bin/bash
# Boots a kernel of tests/vm/kernels.toml in QEMU and runs a test in it:
#
#   scripts/vm.sh KERNEL [TEST]     TEST: a file of tests/vm/ (smoke.sh)
#   scripts/vm.sh --all [TEST]
#   scripts/vm.sh --list
#
# Exit status: the test's own; 99 when the machine never reported. What it wrote,
# with its console, journal and dmesg, is in target/vm/KERNEL. Nothing is
# installed but tools; packages and images are kept in .cache/vm.
set -euo pipefail
cd "$(dirname "$0")/.."
table=tests/vm/kernels.toml
cache=$PWD/.cache/vm
mirror=${VM_MIRROR:-http://deb.debian.org}
accel=${VM_ACCEL:-tcg,thread=multi}
root_suite=bookworm # systemd and C library of the oldest release we support
root_packages=systemd-sysv,udev,dbus,kmod,procps,passwd,make,libelf1,zlib1g

say() { printf 'vm: %s\n' "$*" >&2; }
die() { say "$*"; exit 69; }
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# Value of key $2 of kernel $1, without its quotes.
field() {
  awk -v kernel="[$1]" -v key="$2" '
    /^\[/ { here = $0 == kernel }
    here && $1 == key && $2 == "=" { sub(/^[^=]*= */, ""); gsub(/^"|"$/, ""); gsub(/\\\\/, "\\"); print; exit }' "$table"
}

tools() {
  local missing=()
  command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
  command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
  command -v busybox >/dev/null || missing+=(busybox-static)
  command -v modprobe >/dev/null || [ -x /sbin/modprobe ] || missing+=(kmod)
  for tool in cpio zstd xz; do command -v "$tool" >/dev/null || missing+=("${tool/#xz/xz-utils}"); done
  [ "${#missing[@]}" -eq 0 ] && return
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-remove --no-install-recommends "${missing[@]}" >/dev/null
}

# apt of another suite, with lists and state of its own: the system's are not touched.
apt() { # SUITE PROGRAM ARGUMENTS...
  local dir=$cache/apt/$1 program=$2
  shift 2
  "$program" -qq -o "Dir::Etc=$dir" -o "Dir::State=$dir/state" -o "Dir::State::status=$dir/status" \
    -o "Dir::Cache=$dir/cache" -o APT::Architecture=amd64 -o APT::Architectures::=amd64 \
    -o APT::Sandbox::User="$(id -un)" "$@"
}

apt_suite() { # SUITE
  local dir=$cache/apt/$1 path=debian
  case $1 in *-security) path=debian-security ;; esac
  mkdir -p "$dir"/{apt.conf.d,preferences.d,sources.list.d,state/lists/partial,cache/archives/partial}
  : >"$dir/status"
  echo "deb [arch=amd64 lang=none target=Packages signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror/$path $1 main" >"$dir/sources.list"
  apt "$1" apt-get update
}

# The newest kernel that matches, unpacked to $cache/kernel/NAME; `release` there
# has its name and SHA256SUMS what is booted. Taken once: remove the folder for a newer one.
fetch_kernel() { # NAME
  local dir=$cache/kernel/$1 work=$scratch/kernel suite packages release part first
  if [ -e "$dir/SHA256SUMS" ]; then
    (cd "$dir" && sha256sum --quiet -c SHA256SUMS) || die "$dir has changed; remove it"
    return
  fi
  suite=$(field "$1" suite)
  packages=$(field "$1" packages)
  first=${packages%% *}
  apt_suite "$suite"
  release=$(apt "$suite" apt-cache pkgnames "$first-" | sed "s/^$first-//" | grep -Ex -- "$(field "$1" release)" | sort -V | tail -n1) ||
    die "$suite has no $first-$(field "$1" release)"
  say "$1: fetching $release from $suite"
  mkdir "$work"
  # apt checks each package against the signed index.
  for part in $packages; do
    (cd "$work" && apt "$suite" apt-get download "$part-$release" 2>/dev/null) || die "cannot download $part-$release"
  done
  for part in "$work"/*.deb; do dpkg-deb -x "$part" "$work/tree"; done
  [ -d "$work/tree/lib" ] || ln -s usr/lib "$work/tree/lib"
  mkdir -p "$work/kernel"
  cp "$(find "$work/tree" -name 'vmlinuz*' | head -n1)" "$work/kernel/vmlinuz"
  echo "$release" >"$work/kernel/release"
  initramfs "$work/tree" "$release" "$work/kernel/initramfs"
  (cd "$work/kernel" && sha256sum vmlinuz release initramfs >SHA256SUMS)
  mkdir -p "$cache/kernel"
  rm -rf "$dir"
  mv "$work/kernel" "$dir"
}

# busybox, our init, and the modules that reach the root file system, in the order
# modprobe would load them; and those that tests ask for.
initramfs() { # TREE RELEASE OUT
  local tree=$1 release=$2 out=$3 dir modules file relative
  dir=$tree/initramfs
  modules=$dir/lib/modules/$release
  mkdir -p "$dir"/{bin,dev,proc,sys,root,overlay} "$modules"
  cp "$(command -v busybox)" "$dir/bin/busybox"
  PATH=$PATH:/sbin depmod -b "$tree" "$release"
  wanted() {
    for module in "$@"; do
      PATH=$PATH:/sbin modprobe -d "$tree" -S "$release" --show-depends "$module" 2>/dev/null || true
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
  }
  root=(virtio_pci virtio_blk crc32c_generic crc32c_intel ext4)
  wanted "${root[@]}" | sed "s#^.*/modules/##; s#\.xz\$##" >"$dir/modules"
  wanted "${root[@]}" autofs4 overlay loop | while read -r file; do
    relative=${file##*/modules/"$release"/}
    mkdir -p "$modules/$(dirname "$relative")"
    case $file in
      *.xz) xz -dc "$file" >"$modules/${relative%.xz}" ;;
      *) cp "$file" "$modules/$relative" ;;
    esac
  done
  # `bee-trace check` reads the configuration where a Debian machine has it.
  mkdir -p "$dir/overlay/boot"
  cp "$(find "$tree/boot" "$tree/lib/modules/$release" -maxdepth 1 -name "config*" 2>/dev/null | head -n1)" "$dir/overlay/boot/config-$release"
  cp "$tree/lib/modules/$release"/modules.{builtin,builtin.modinfo,order} "$modules"
  PATH=$PATH:/sbin depmod -b "$dir" "$release"
  cp tests/vm/init "$dir/init"
  pack "$dir" >"$out"
}

pack() { (cd "$1" && find . -print0 | cpio --quiet -0 -o -H newc --owner 0:0 | zstd -q -3); }

# One root file system for all kernels; a machine's writes to it are thrown away.
root_image() {
  local image=$cache/root-$root_suite.ext4 tree=$scratch/root
  if [ -e "$image.sha256" ]; then
    (cd "$cache" && sha256sum --quiet -c "$image.sha256") || die "$image has changed; remove it"
    return
  fi
  say 'making the root file system, some minutes'
  as_root mmdebstrap --quiet --variant=minbase --include="$root_packages" \
    --aptopt='Apt::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    "$root_suite" "$tree" "$mirror/debian"
  as_root tests/vm/root-files.sh "$tree"
  as_root env PATH="$PATH:/sbin" mke2fs -q -t ext4 -L root -d "$tree" "$image" 1G
  as_root chmod a+r "$image"
  (cd "$cache" && sha256sum "${image##*/}" | as_root tee "$image.sha256" >/dev/null)
}

boot() { # NAME TEST
  local name=$1 test=$2 kernel=$cache/kernel/$1 out=$PWD/target/vm/$1 work code
  [ -e "tests/vm/$test" ] || die "no test tests/vm/$test"
  [ -n "$(field "$name" suite)" ] || die "no kernel $name in $table"
  mkdir -p "$cache"
  # One machine at a time: the cache has one owner, and two emulators starve each other.
  exec 9>"$cache/lock"
  flock 9
  scratch=$(mktemp -d -p "$cache")
  # What mmdebstrap made belongs to root.
  trap 'rm -rf "$scratch" 2>/dev/null || as_root rm -rf "$scratch"' EXIT
  tools
  root_image
  fetch_kernel "$name"

  rm -rf "$out"
  mkdir -p "$out"
  work=$scratch
  mkdir -p "$work/tree/overlay/vm" "$work/tree/overlay/etc/systemd/system/multi-user.target.wants"
  cp tests/vm/vm-test.service "$work/tree/overlay/etc/systemd/system/"
  ln -s ../vm-test.service "$work/tree/overlay/etc/systemd/system/multi-user.target.wants/"
  cp tests/vm/guest.sh "$work/tree/overlay/vm/"
  cp "tests/vm/$test" "$work/tree/overlay/vm/test"
  field "$name" expect >"$work/tree/overlay/vm/expect"
  payload "$work/tree/overlay"
  # The kernel unpacks archives that follow each other one over the other.
  { cat "$kernel/initramfs"; pack "$work/tree"; } >"$work/initrd"
  truncate -s 64M "$work/out"

  local begin=$SECONDS limit=${VM_TIMEOUT:-600}
  nice -n 5 timeout -k 5 "$limit" qemu-system-x86_64 -M q35 -cpu max -accel "$accel" \
    -smp "$(field "$name" smp)" -m "${VM_MEMORY:-1024}" -kernel "$kernel/vmlinuz" -initrd "$work/initrd" \
    -append "console=ttyS0 loglevel=4 panic=-1 softlockup_panic=1 systemd.show_status=no $(field "$name" cmdline)" \
    -drive "file=$cache/root-$root_suite.ext4,format=raw,if=none,id=root,snapshot=on,cache=unsafe" \
    -device virtio-blk-pci,drive=root \
    -drive "file=$work/out,format=raw,if=none,id=out,cache=unsafe" -device virtio-blk-pci,drive=out \
    -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng \
    -nic none -display none -monitor none -serial "file:$out/console" -no-reboot 2>"$out/qemu" ||
    say "$name: QEMU ended with $? (124: not done after $limit s)"
  tar -C "$out" -xf "$work/out" 2>/dev/null || true
  code=$(sed -n 's/^code=//p' "$out/result" 2>/dev/null || true)
  say "$name: $(cat "$kernel/release"), $test: ${code:-no report}, $((SECONDS - begin)) s; see target/vm/$name"
  [ "${code:-99}" -eq 0 ] || tail -n 30 "$out/log" "$out/console" 2>/dev/null >&2 || true
  return "${code:-99}"
}

# The programs under test, at the paths they were built with: the end-to-end tests
# look for their daemon, the triggers and the configuration there.
payload() { # ROOT
  local into=$1/$PWD file
  mkdir -p "$into/target/debug" "$into/target/triggers"
  cp -a config "$into/"
  mkdir -p "$into/tests"
  cp -a tests/triggers "$into/tests/"
  cp -a target/triggers "$into/target/"
  for file in target/debug/bee-trace{,d} "${programs[@]}"; do
    mkdir -p "$into/$(dirname "$file")"
    strip -S -o "$into/$file" "$file"
  done
  for file in "${programs[@]}"; do ln -sf "$PWD/$file" "$1/vm/$(basename "${file%-*}")"; done
  ln -sf "$PWD" "$1/vm/project"
}

build() {
  mapfile -t programs < <("${CARGO:-cargo}" test --locked --no-run --test=privilege_root --test=e2e 2>&1 |
    tee /dev/stderr | sed -n 's/^ *Executable tests\/.* (\(.*\))$/\1/p')
  [ "${#programs[@]}" -eq 2 ] || die 'the end-to-end tests were not built'
  make --no-print-directory -s -C tests/triggers OUT="$PWD/target/triggers"
}

every() { # TEST
  local name failed=()
  for name in $(names); do scripts/vm.sh "$name" "$1" || failed+=("$name"); done
  [ "${#failed[@]}" -eq 0 ] || { say "failed: ${failed[*]}"; return 1; }
}

names() { sed -n 's/^\[\(.*\)\]$/\1/p' "$table"; }

case ${1:-} in
  --list) names ;;
  --all) every "${2:-smoke.sh}" ;;
  ''|-*) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 64 ;;
  *) build; boot "$1" "${2:-smoke.sh}" ;;
esac
