#!/bin/bash
# The memory sensor's end-to-end tests at the best tier this kernel has, and those that tell most at
# each below it.
cd /vm/project || exit 1
export BEE_PATIENCE=30 # emulated
passed=0
failed=0
best=$(/vm/bee-trace check --json | tr '{' '\n' | sed -n '/"sensor":"memory"/s/.*"tier":"\([a-z]*\)".*/\1/p')
reached=
for tier in full kprobe tracepoint portable; do
  [ "$tier" != "$best" ] || reached=1
  [ -n "$reached" ] || continue
  tests=(memory::root_each_of_the_seven_with_both_processes memory::root_refused_tries_are_told_with_their_errno
    memory::root_files_of_processes_under_any_name memory::root_a_child_that_asks_to_be_traced)
  [ "$tier" != "$best" ] || tests=(memory::)
  if BEE_FORCE_TIER=$tier /vm/e2e --test-threads=1 "${tests[@]}"; then
    passed=$((passed + 1))
    echo "ok: tier $tier"
  else
    failed=$((failed + 1))
    echo "FAILED: tier $tier"
  fi
done
echo "sum: $passed passed; $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
