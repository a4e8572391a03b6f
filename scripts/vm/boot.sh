#!/bin/bash
# Boots one kernel and runs one test of tests/vm in it, once. Runs in the toolbox;
# kernel, root file system and programs are there already.
#
#   scripts/vm/boot.sh NAME TEST PROGRAMS
#
# PROGRAMS names what to take along: one "name path" a line, paths in the project.
# Exit status: the test's; 99 when the machine never reported.
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/vm/common.sh

name=$1 test=$2 programs=$3
arch=$(field "$name" arch)
root_dir=$(root_of "$(field "$name" system)" "$arch" "$(root_set "$test")")
kernel=$cache/kernel/$(kernel_of "$name")
out=$PWD/target/vm/$name
make_scratch
guest=$scratch/guest
root=$guest/overlay # laid over the root file system

# The programs under test, at the paths they were built with: the end-to-end tests
# look for their daemon, the triggers and the configuration there.
payload() {
  local into=$root/$PWD file link strip=strip
  [ "$arch" = amd64 ] || strip=aarch64-linux-gnu-strip
  mkdir -p "$into/tests" "$root/vm"
  cp -a config packaging "$into/"
  cp -a tests/triggers "$into/tests/"
  while read -r link file; do
    mkdir -p "$into/$(dirname "$file")"
    if [ -d "$file" ]; then
      cp -a "$file" "$into/$file"
    else
      "$strip" -S -o "$into/$file" "$file"
    fi
    ln -s "$PWD/$file" "$root/vm/$link"
  done <"$programs"
  ln -s "$PWD" "$root/vm/project"
}

wants=$root/etc/systemd/system/multi-user.target.wants
mkdir -p "$wants" "$root/vm"
cp tests/vm/vm-test.service "$root/etc/systemd/system/"
ln -s ../vm-test.service "$wants/"
cp tests/vm/guest.sh "$root/vm/"
cp "tests/vm/$test" "$root/vm/test"
cp tests/vm/*.py "$root/vm/"
field "$name" expect >"$root/vm/expect"
field "$name" page >"$root/vm/page"
field "$name" skips >"$root/vm/skips"
case $(field "$name" types) in ''|headers) echo 0 ;; *) echo 1 ;; esac >"$root/vm/refused"
for setting in "${test_settings[@]}"; do
  [ -z "${!setting:-}" ] || echo "export $setting=${!setting}"
done >"$root/vm/settings"
payload
[ -z "$(field "$name" types)" ] || cp -a "target/vm/types-$name/." "$root/"
[ -z "${VM_EXTRA:-}" ] || cp -a "$VM_EXTRA/." "$root/"

rm -rf "$out"
mkdir -p "$out"
# The kernel unpacks archives that follow each other one over the other.
{ cat "$kernel/initramfs"; pack "$guest"; } >"$scratch/initrd"
truncate -s 64M "$scratch/out"

cpu=$(field "$name" cpu)
case $arch in
  amd64) machine=(qemu-system-x86_64 -M q35 -cpu "${cpu:-max}"); console=ttyS0 ;;
  arm64) machine=(qemu-system-aarch64 -M virt -cpu "${cpu:-cortex-a72}"); console=ttyAMA0 ;;
  *) die "no machine for $arch" ;;
esac
# A machine that panics ends at once, but for one that is to boot twice.
again=(-no-reboot) panic=-1
if grep -q '^# also: reboot$' "tests/vm/$test"; then again=() panic=0; fi
begin=$SECONDS
limit=${VM_TIMEOUT:-600}
# shellcheck disable=SC2086 # VM_ARGS is a list of words
nice -n 5 timeout -k 5 "$limit" "${machine[@]}" -accel "${VM_ACCEL:-tcg,thread=multi}" ${VM_ARGS:-} \
  -smp "${VM_SMP:-$(field "$name" smp)}" -m "${VM_MEMORY:-$(field "$name" memory)}" -kernel "$kernel/vmlinuz" -initrd "$scratch/initrd" \
  -append "console=$console loglevel=4 panic=$panic softlockup_panic=1 systemd.show_status=no $(field "$name" cmdline)" \
  -drive "file=$root_dir/root.ext4,format=raw,if=none,id=root,snapshot=on,cache=unsafe" \
  -device virtio-blk-pci,drive=root \
  -drive "file=$scratch/out,format=raw,if=none,id=out,cache=unsafe" -device virtio-blk-pci,drive=out \
  -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng \
  -nic none -display none -monitor none -serial "file:$out/console" "${again[@]}" 2>"$out/qemu" ||
  say "$name: QEMU ended with $? (124: not done after $limit s)"
tar -C "$out" -xf "$scratch/out" 2>/dev/null || true
code=$(sed -n 's/^code=//p' "$out/result" 2>/dev/null || true)
say "$name: $(cat "$kernel/release"), $test: ${code:-no report}, $((SECONDS - begin)) s; see target/vm/$name"

# One line for who counts (scripts/test.sh), as a test runner of Rust says it.
if [ "${code:-99}" -ne 0 ]; then
  tail -n 40 "$out/log" "$out/console" 2>/dev/null | sed 's/^/  | /' >&2 || true
  printf 'failures:\n    vm::%s\n' "$name"
fi
sum=$(sed -n 's/^sum: //p' "$out/log" 2>/dev/null | tail -n1 || true)
case ${code:-99} in
  0) echo "test result: ok. ${sum:-1 passed; 0 failed}" ;;
  *) echo "test result: FAILED. ${sum:-0 passed; 1 failed}" ;;
esac
exit "${code:-99}"
