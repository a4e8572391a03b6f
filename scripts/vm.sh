#!/bin/bash
# Boots a kernel of tests/vm/kernels.toml in QEMU and runs a test in it:
#
#   scripts/vm.sh KERNEL [TEST]     TEST: a file of tests/vm/ (smoke.sh)
#   scripts/vm.sh --all [TEST]
#   scripts/vm.sh --list
#   scripts/vm.sh --headers KERNEL  prints where its headers are, as headers.tar.zst
#
# Exit status: the test's own; 99 when the machine never reported. What it wrote,
# with its console, journal and dmesg, is in target/vm/KERNEL. Nothing is
# installed but mmdebstrap; tools, packages and images are kept in .cache. Files in
# the folder VM_EXTRA are laid over the machine's root. See tests/vm/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/vm/common.sh

toolbox() { scripts/toolbox.sh "$@"; }

# One machine at a time: the cache has one owner, and two emulators starve each other.
lock() {
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9
}

kernel() { # NAME
  if [ -n "$(field "$1" source)" ]; then
    toolbox nice -n "${VM_NICE:-0}" scripts/vm/build-kernel.sh "$1"
  else
    toolbox scripts/vm/fetch-kernel.sh "$1"
  fi
}

# Builds what a machine of this architecture takes along and lists it in $programs. A test with the line
# "# also: format" gets the daemon of another format of records too; "# also: reboot": guest.sh.
build() { # ARCH TEST
  local cargo=("${CARGO:-cargo}") out=target
  if [ "$1" = arm64 ]; then
    cargo=(scripts/cross.sh)
    out=target/arm64/aarch64-unknown-linux-gnu
    scripts/cross.sh --triggers
  else
    make --no-print-directory -s -C tests/triggers OUT="$PWD/$out/triggers"
  fi
  mkdir -p target/vm
  programs=target/vm/programs-$1 format=target/vm/bee-traced-format
  rm -f "$format"
  if grep -q '^# also: format$' "tests/vm/$2"; then
    env BEE_TEST_FORMAT=1 "${cargo[@]}" build --locked --bin=bee-traced
    cp "$out/debug/bee-traced" "$format"
  fi
  # The line cargo prints: "  Executable tests/e2e/main.rs (target/debug/deps/e2e-0123)".
  "${cargo[@]}" test --locked --no-run --test=privilege_root --test=e2e --bench=gate 2>&1 | tee -a /dev/stderr |
    sed -n 's/^ *Executable tests\/.* (\(.*\/\(.*\)-[0-9a-f]*\))$/\2 \1/p' >"$programs"
  [ "$(wc -l <"$programs")" -eq 3 ] || die 'the end-to-end tests were not built'
  printf '%s\n' "bee-trace $out/debug/bee-trace" "bee-traced $out/debug/bee-traced" "triggers $out/triggers" >>"$programs"
  [ ! -e "$format" ] || echo "bee-traced-format $format" >>"$programs"
}

run() { # NAME TEST
  local arch set
  known "$1"
  [ -e "tests/vm/$2" ] || die "no test tests/vm/$2"
  arch=$(field "$1" arch)
  build "$arch" "$2"
  lock
  set=$(root_set "$2")
  toolbox --root scripts/vm/root-image.sh "$(field "$1" system)" "$arch" ${set:+"$set"}
  kernel "$(kernel_of "$1")"
  case $(field "$1" types) in ''|headers) ;; *) kernel "$(field "$1" types)" ;; esac
  [ -z "$(field "$1" types)" ] || toolbox scripts/vm/types.sh "$1" "$programs" "target/vm/types-$1"
  toolbox scripts/vm/boot.sh "$1" "$2" "$programs"
  if [ "$2" = smoke.sh ] && [ -n "${BEE_BLESS:-}" ]; then scripts/vm/record.sh "$1"; fi
}

every() { # TEST
  local name failed=()
  for name in $(names); do scripts/vm.sh "$name" "$1" || failed+=("$name"); done
  [ "${#failed[@]}" -eq 0 ] || { say "failed: ${failed[*]}"; return 1; }
}

case ${1:-} in
  --list) names ;;
  --all) every "${2:-smoke.sh}" ;;
  --headers)
    known "$2"
    lock
    kernel "$(kernel_of "$2")"
    toolbox scripts/vm/headers.sh "$(kernel_of "$2")"
    ;;
  ''|-*) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 64 ;;
  *) run "$1" "${2:-smoke.sh}" ;;
esac
