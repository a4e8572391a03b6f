#!/bin/bash
# The network sensor's end-to-end tests at the best tier of this kernel and at each below
# it; the names of tiers as arguments are those that are tried.
cd /vm/project || exit 1
export BEE_PATIENCE=30 # emulated
status=0
for tier in '' kprobe tracepoint portable; do
  echo "== ${tier:-the best there is} =="
  if [ -z "$tier" ]; then
    /vm/bee-traced --config config/bee-traced.toml --sensors network --duration 1 -v 2>&1 >/dev/null | cut -c1-1000
  fi
  BEE_FORCE_TIER=$tier /vm/e2e --test-threads=1 network:: sockets:: || status=1
done
exit "$status"
