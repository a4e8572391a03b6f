#!/bin/bash
# root: tools
# gdb, strace, gcore, Python and cat reach for other processes: the end-to-end tests of that, at the
# best tier the memory sensor has on this kernel and at each below it.
cd /vm/project || exit 1
export BEE_PATIENCE=30 # emulated
passed=0
failed=0
best=$(/vm/bee-trace check --json | tr '{' '\n' | sed -n '/"sensor":"memory"/s/.*"tier":"\([a-z]*\)".*/\1/p')
reached=
for tier in full kprobe tracepoint portable; do
  [ "$tier" != "$best" ] || reached=1
  [ -n "$reached" ] || continue
  BEE_FORCE_TIER=$tier /vm/e2e --test-threads=1 tools:: 2>&1 | tee /vm/out/tests
  # A filter that matches nothing passes, and so does a test whose tool is not there.
  if grep -q '^test result: ok. 6 passed; 0 failed' /vm/out/tests && ! grep -q '^skipped:' /vm/out/tests; then
    passed=$((passed + 1))
    echo "ok: tier $tier"
  else
    failed=$((failed + 1))
    echo "FAILED: tier $tier"
  fi
done
echo "sum: $passed passed; $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
