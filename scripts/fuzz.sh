#!/bin/bash
# Runs every fuzz target for the given number of seconds, each starting from its
# seeds, and prints what coverage each reached. Ends at the first finding.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-300}
cargo=${CARGO:-cargo}

command -v rustup >/dev/null && rustup toolchain list | grep -q nightly ||
  { echo 'fuzz: libFuzzer needs a nightly toolchain: rustup toolchain install nightly' >&2; exit 69; }
"$cargo" fuzz --version >/dev/null 2>&1 || "$cargo" install --locked cargo-fuzz

cd fuzz
for target in fuzz_targets/*.rs; do
  name=$(basename "$target" .rs)
  corpus=corpus/$name
  seeds=seeds/$name
  mkdir -p "$corpus" "$seeds"
  printf '\n== %s: %s s, %s seeds ==\n' "$name" "$seconds" "$(find -L "$seeds" -type f | wc -l)"
  log=$(mktemp)
  # New inputs go to the first directory; the seeds are only read.
  if ! "$cargo" +nightly fuzz run --fuzz-dir . "$name" "$corpus" "$seeds" -- -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 >"$log" 2>&1; then
    cat "$log"
    echo "fuzz: $name found something; the input is in fuzz/artifacts/$name" >&2
    exit 1
  fi
  grep -E 'DONE|stat::number_of_executed_units|stat::peak_rss_mb' "$log"
  rm -f "$log"
done
