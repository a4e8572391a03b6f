#!/bin/bash
# The kernel sensor's end-to-end tests at the best tier this kernel has and at each below it.
cd /vm/project || exit 1
export BEE_PATIENCE=30 # emulated
passed=0
failed=0
/vm/bee-trace check --json >/vm/out/check.json
# A module that is there and that nobody uses, or loads again when it goes as udev does loop.
BEE_MODULE=$(find /lib/modules/"$(uname -r)"/ -name overlay.ko | head -n1)
if [ -n "$BEE_MODULE" ]; then
  export BEE_MODULE
else
  unset BEE_MODULE
fi
best=$(tr '{' '\n' </vm/out/check.json | sed -n '/"sensor":"kernel"/s/.*"tier":"\([a-z]*\)".*/\1/p')
echo "best tier: $best"
reached=
for tier in full kprobe tracepoint portable; do
  [ "$tier" != "$best" ] || reached=1
  [ -n "$reached" ] || continue
  # How long each object takes to load and attach.
  /vm/bee-traced --config config/bee-traced.toml --force-tier "$tier" --duration 1 -vv 2>&1 >/dev/null | grep 'tried'
  if BEE_FORCE_TIER=$tier /vm/e2e --test-threads=1 kernel:: modules::; then
    passed=$((passed + 1))
    echo "ok: tier $tier"
  else
    failed=$((failed + 1))
    echo "FAILED: tier $tier"
  fi
done
echo "sum: $passed passed; $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
