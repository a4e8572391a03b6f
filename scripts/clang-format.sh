#!/bin/bash
# Checks the layout of all C: eBPF, the stub for kernel types, triggers; `scripts/clang-format.sh -i` writes it.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(find src/bpf src/btf_build tests/triggers -name '*.[ch]' 2>/dev/null | sort)
[ "${#files[@]}" -gt 0 ] || { echo 'clang-format: no C files found' >&2; exit 1; }
if [ "${1:-}" = -i ]; then exec clang-format -i "${files[@]}"; fi
exec clang-format --dry-run -Werror "${files[@]}"
