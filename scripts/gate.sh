#!/bin/bash
# The cost gate: instructions the kernel executes for a call, with the daemon and with empty
# programs on the same hooks, in machines of QEMU whose clock counts instructions (-icount). They
# repeat from run to run, so a limit that is passed is a failure; see tests/bench/gate.rs.
#
#   scripts/gate.sh [KERNEL...]     of tests/vm/kernels.toml; GATE_TIERS=full,kprobe: these alone
#
# What was measured is compared with tests/bench/gate.tsv, which BEE_BLESS=1 renews: a call that has
# become dearer by more than 3 % is a failure too.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/common.sh
[ $# -gt 0 ] || set -- debian-6.12-amd64 debian-6.12-arm64

known=tests/bench/gate.tsv
cargo=${CARGO:-cargo}
gate=$("$cargo" test --locked --no-run --bench=gate 2>&1 | tee -a /dev/stderr |
  sed -n 's/^ *Executable tests\/bench\/gate.rs (\(.*\))$/\1/p')
extra=$PWD/target/gate
mkdir -p "$extra/vm"
compile() { clang -target bpf -O2 -g -c -x c - "$@"; }
"$gate" --source | compile -o "$extra/vm/empty.bpf.o"
for arch in x86_64 aarch64; do
  "$gate" --reads | compile "-D__TARGET_ARCH_$arch" -o "$extra/vm/reads-$arch.bpf.o"
done

status=0
for name in "$@"; do
  VM_EXTRA=$extra VM_SMP=1 VM_ACCEL=tcg,thread=single VM_ARGS='-icount shift=0,sleep=off' \
    VM_TIMEOUT="${VM_TIMEOUT:-1800}" scripts/vm.sh "$name" gate.sh || status=1
  sed -n '/^tier  /,$p' "target/vm/$name/log" || true
  measured=target/vm/$name/gate.tsv
  [ -s "$measured" ] || { say "$name: nothing was measured"; status=1; continue; }
  # kernel, release, tier, call, bare, empty, ours
  sed "s/^/$name\t/" "$measured" >"$measured.named"
  awk -F'\t' -v OFS='\t' '
    NR == FNR { was[$1, $3, $4] = $7 - $5; next }
    ($1, $3, $4) in was {
      now = $7 - $5; before = was[$1, $3, $4]
      # Connections and programs take new memory, which costs what it costs.
      noise = $4 ~ /open|getpid|readv/ ? 4 : $7 * 0.03
      if (now > before * 1.03 + noise) { printf "dearer: %s %s %s: %d instructions, %d before\n", $1, $3, $4, now, before; bad = 1 }
    }
    END { exit bad }' "$known" "$measured.named" || status=1
  if [ -n "${BEE_BLESS:-}" ]; then
    # Of this kernel, the tiers that were measured.
    awk -F'\t' 'NR == FNR { is[$1, $3] = 1; next } !(($1, $3) in is)' "$measured.named" "$known" >"$known.new"
    cat "$measured.named" >>"$known.new"
    sort -s -t $'\t' -k1,1 -o "$known.new" "$known.new"
    mv "$known.new" "$known"
  fi
done
exit "$status"
