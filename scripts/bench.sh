#!/bin/bash
# What the daemon costs on this machine. Optimised build, root, nothing asserted.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
binary=$("$cargo" bench --locked --no-run --bench spine 2>&1 | tee -a /dev/stderr |
  sed -n 's/^ *Executable tests\/bench\/spine.rs (\(.*\))$/\1/p')
[ -x "$binary" ] || { echo 'bench: not built' >&2; exit 1; }
make --no-print-directory -s -C tests/triggers OUT="$(realpath target)/triggers"
if [ "$(id -u)" -eq 0 ]; then exec "$binary" "$@"; else exec sudo "$binary" "$@"; fi
