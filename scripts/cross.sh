#!/bin/bash
# Runs cargo for arm64 (aarch64-unknown-linux-gnu), in the toolbox (scripts/toolbox.sh),
# whose C library is that of Debian 12:
#
#   scripts/cross.sh build --release       both programs, in target/arm64/aarch64-unknown-linux-gnu
#   scripts/cross.sh test --no-run         the tests
#   scripts/cross.sh --triggers            the C programs of tests/triggers, 64-bit and 32-bit
#
# On an arm64 machine this is the machine's own cargo.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh

triple=aarch64-unknown-linux-gnu
out=$PWD/target/arm64
[ $# -gt 0 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 64; }
settings=("CARGO_BUILD_TARGET=$triple" "CARGO_TARGET_DIR=$out")
[ -z "${BEE_TEST_FORMAT:-}" ] || settings+=("BEE_TEST_FORMAT=$BEE_TEST_FORMAT")
run=(env)
gcc=cc
if [ "$(uname -m)" != aarch64 ]; then
  run=(scripts/toolbox.sh env)
  gcc=aarch64-linux-gnu-gcc
  settings+=(
    CARGO_NET_OFFLINE=true
    "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$gcc"
    "CC_aarch64_unknown_linux_gnu=$gcc"
  )
fi

if [ "$1" = --triggers ]; then
  exec "${run[@]}" make --no-print-directory -s -C tests/triggers MACHINE=aarch64 CC=$gcc OUT="$out/$triple/triggers"
fi
# The toolbox has neither this machine's proxies nor its certificates.
[ "$(uname -m)" = aarch64 ] || "${CARGO:-cargo}" fetch --locked --quiet
exec "${run[@]}" "${settings[@]}" cargo "$@"
