#!/bin/bash
# Runs the named groups of tests (unit, deps, root, portable, slow, vm, more-vms) and ends with one line that
# adds up what all runners said. Only plain cargo is needed; for vm, a Debian.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
status=0
skipped=0

# Prints as it goes, keeps a copy to count in.
run() { "$@" 2>&1 | tee -a "$log" || status=1; }

# Sets $sudo to what makes a command root's, or $why to why there is no way.
root_way() {
  sudo=() why=''
  [ "$(id -u)" -ne 0 ] || return 0
  if ! command -v sudo >/dev/null; then why='not root, and no sudo'
  elif ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && sudo -v; }; then why='not root, and sudo did not let us'
  fi
  sudo=(sudo --preserve-env=RUST_BACKTRACE,CI,LLVM_PROFILE_FILE,BEE_FORCE_TIER)
}

# Kernels in virtual machines: for every run that of a server and one like a Raspberry Pi's, which is
# cross-built for and compiled first; those that differ most from them for `make test-all`;
# `make test-vm-all` has the rest. Each machine is a runner that says how many checks it made.
vm_tests() {
  local name
  export VM_TIMEOUT=${VM_TIMEOUT:-1200} # a slow host is no failure
  root_way
  [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || why='not a Debian or Ubuntu on x86-64'
  for name in "$@"; do # KERNEL or KERNEL:TEST
    if [ -n "$why" ]; then
      echo "skipped: the virtual machine $name: $why"
    else
      case $name in
        *:*) run scripts/vm.sh "${name%:*}" "${name#*:}" ;;
        *) run scripts/vm.sh "$name" smoke.sh ;;
      esac
    fi
  done
  if [ -n "$why" ]; then skipped=$((skipped + $#)); fi
}

# The root tests are programs of their own (test = false in Cargo.toml). They are
# built by who calls us and only run as root, so that no file under target/ ends
# up owned by root.
root_tests() {
  local names=("$@") binaries binary target count
  shift $#
  if [ "$group" = slow ]; then set -- --ignored; fi
  mapfile -t binaries < <("$cargo" test --locked --no-run "${names[@]/#/--test=}" 2>&1 | tee -a /dev/stderr |
    sed -n 's/^ *Executable tests\/.* (\(.*\))$/\1/p')
  if [ "${#binaries[@]}" -ne "${#names[@]}" ]; then
    echo 'test: the root tests were not built' >&2
    status=1
    return
  fi
  target=$(dirname "$(dirname "$(dirname "$(realpath "${binaries[0]}")")")")
  make --no-print-directory -s -C tests/triggers OUT="$target/triggers" || { status=1; return; }
  root_way
  for binary in "${binaries[@]}"; do
    if [ -n "$why" ]; then
      count=$("$binary" --list "$@" | grep -c ': test$' || true)
      echo "skipped: $count root tests: $why"
      skipped=$((skipped + count))
    else
      run "${sudo[@]}" "$binary" --test-threads=1 "$@"
    fi
  done
}

for group in "$@"; do
  printf '\n== %s tests ==\n' "$group"
  case $group in
    unit) run "$cargo" test --locked --no-fail-fast ;;
    deps) run scripts/deny.sh ;;
    root) root_tests privilege_root scanner_root scanner_process_root kernel_root e2e ;;
    portable) BEE_FORCE_TIER=portable root_tests e2e ;;
    slow) root_tests e2e ;;
    vm)
      # Two emulated processors race where a kernel for x86 changes its own code (tests/vm/README.md).
      VM_SMP=1 vm_tests debian-6.1-amd64
      vm_tests pi5-16k-types
      ;;
    more-vms) vm_tests debian-6.12-arm64 pi5-16k debian-6.1-amd64:journal.sh ;;
    *) echo "test: no group called $group" >&2; exit 64 ;;
  esac
done

# Ignored tests are the slow ones of the root group; they count as skipped
# unless the slow group ran them.
case " $* " in *' slow '*) count_ignored=0 ;; *) count_ignored=1 ;; esac
awk -v skipped="$skipped" -v status="$status" -v count_ignored="$count_ignored" '
  /^test result: / {
    for (i = 1; i <= NF; i++) {
      if ($i ~ /^passed/)  passed  += $(i - 1)
      if ($i ~ /^failed/)  failed  += $(i - 1)
      if ($i ~ /^ignored/) ignored += $(i - 1)
    }
  }
  /^skipped: / && !/root tests: / { inner++ }
  /^failures:$/ { listing = 1; next }
  listing && /^    [^ ]+$/ { names[$1] = 1 }
  /^test result: / { listing = 0 }
  END {
    # A runner that died (a signal, a build error) has no line of its own.
    if (status != 0 && failed == 0) failed = 1
    print ""
    for (name in names) print "failed: " name
    printf "%d passed, %d failed, %d skipped\n", passed - inner, failed, skipped + inner + (count_ignored ? ignored : 0)
  }' "$log"
exit "$status"
