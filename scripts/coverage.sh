#!/bin/bash
# Lines and branches per module, over unit, integration and root tests, the
# daemon's own runs in them, and a file of types made from a kernel's headers. Prints
# a table; arguments (--html, --lcov …) go to `cargo llvm-cov report`.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=$PWD/target/coverage
cargo=${CARGO:-cargo}

# The tools must be of the LLVM that rustc was built with: an older one does not
# know the format of its profiles. rustup's, or else Debian's.
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
host=$(rustc -vV | sed -n 's/^host: //p')
find_tools() {
  for tools in "$(rustc --print sysroot)/lib/rustlib/$host/bin" "/usr/lib/llvm-$llvm/bin"; do
    [ -x "$tools/llvm-cov" ] && [ -x "$tools/llvm-profdata" ] && return
  done
  return 1
}
if ! find_tools; then
  sudo=$([ "$(id -u)" -eq 0 ] || echo sudo)
  echo "coverage: installing llvm-$llvm"
  $sudo apt-get update -qq </dev/null || true
  $sudo apt-get install -qq -y --no-remove --no-install-recommends "llvm-$llvm" </dev/null >/dev/null 2>&1 ||
    rustup component add llvm-tools </dev/null >/dev/null 2>&1 || true
  find_tools || {
    echo "coverage: rustc has LLVM $llvm; neither the package llvm-$llvm nor rustup's llvm-tools can be had" >&2
    exit 69
  }
fi
export LLVM_COV=$tools/llvm-cov LLVM_PROFDATA=$tools/llvm-profdata
"$cargo" llvm-cov --version >/dev/null 2>&1 || "$cargo" install --locked cargo-llvm-cov

# Branches are counted by an option that stable does not offer yet.
export RUSTC_BOOTSTRAP=1
# Counters live in a mapped file from the first instruction on (%c), not in memory
# until exit: the daemon could not open a file any more when it ends, and its
# scanner is forked and ends without exit handlers.
export RUSTFLAGS="${RUSTFLAGS:-} -Cllvm-args=-runtime-counter-relocation"
source <("$cargo" llvm-cov show-env --branch --sh 2>/dev/null)
mkdir -p "$CARGO_TARGET_DIR"
# Programs of an earlier build would be counted beside those that run.
"$cargo" llvm-cov clean --workspace

profiles=$(mktemp -d /var/tmp/bee-coverage.XXXXXX)
chmod 1777 "$profiles"
trap 'rm -rf "$profiles"' EXIT
export LLVM_PROFILE_FILE="$profiles/bee-trace-%p%c.profraw"

status=0
scripts/test.sh ${GROUPS_TO_COVER:-unit root} || status=$?
# What needs the headers of a kernel.
scripts/btf.sh --one || status=$?
find "$profiles" -name '*.profraw' -size +0 -exec mv -f {} "$CARGO_TARGET_DIR/" \;
"$cargo" llvm-cov report --branch "$@"
exit "$status"
