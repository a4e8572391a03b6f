#!/bin/bash
# Lines and branches per module, over unit, integration and root tests and the
# daemon's own runs in them. Prints a table; OPTIONS such as --html are passed on.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}

"$cargo" llvm-cov --version >/dev/null 2>&1 || "$cargo" install --locked cargo-llvm-cov

# The tools must be of the LLVM that rustc was built with: an older one does not
# know the format of its profiles.
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
tools=
for directory in "$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin" "/usr/lib/llvm-$llvm/bin"; do
  if [ -x "$directory/llvm-cov" ] && [ -x "$directory/llvm-profdata" ]; then tools=$directory; fi
done
if [ -z "$tools" ]; then
  sudo=$([ "$(id -u)" -eq 0 ] || echo sudo)
  if command -v rustup >/dev/null && rustup component add llvm-tools >/dev/null 2>&1; then
    exec "$0" "$@"
  fi
  echo "coverage: installing llvm-$llvm"
  $sudo apt-get update -qq </dev/null || true
  if ! $sudo apt-get install -qq -y --no-remove --no-install-recommends "llvm-$llvm" </dev/null >/dev/null; then
    echo "coverage: rustc uses LLVM $llvm, and this Debian has no package llvm-$llvm;" >&2
    echo "coverage: with rustup: rustup component add llvm-tools" >&2
    exit 69
  fi
  tools=/usr/lib/llvm-$llvm/bin
fi
export LLVM_COV=$tools/llvm-cov LLVM_PROFDATA=$tools/llvm-profdata

# Branches are counted by an unstable option: nightly where there is one, and
# else stable's own toolchain told to allow it for this build.
export RUSTC_BOOTSTRAP=1

"$cargo" llvm-cov clean --workspace
# Where the daemon leaves its profile: it writes as its own user, which can
# neither reach nor write the build directory of a home that only root can read.
profiles=$(mktemp -d /var/tmp/bee-coverage.XXXXXX)
chmod 1777 "$profiles"
chmod go+x "$profiles"
trap 'rm -rf "$profiles"' EXIT

source <("$cargo" llvm-cov show-env --branch --sh 2>/dev/null || "$cargo" llvm-cov show-env --branch --export-prefix)
target=${CARGO_LLVM_COV_TARGET_DIR:-$PWD/target}
export LLVM_PROFILE_FILE="$profiles/bee-trace-%p-%m.profraw"

status=0
BEE_COVERAGE=1 scripts/test.sh unit root || status=$?
find "$profiles" -name '*.profraw' -size +0 -exec mv {} "$target/" \;
"$cargo" llvm-cov report --branch --ignore-filename-regex '(^|/)(tests|target|fuzz)/' "$@"
exit "$status"
