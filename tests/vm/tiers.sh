#!/bin/bash
# Each tier below the one this kernel reaches, by force: the same tests as smoke.sh. What a tier
# cannot see is asserted by the tests themselves, as declared.
cd /vm/project || exit 1
export BEE_PATIENCE=30 # emulated
passed=0
failed=0
best=$(/vm/bee-trace check --json | tr '{' '\n' | sed -n '/"sensor":"file"/s/.*"tier":"\([a-z]*\)".*/\1/p')
below=
for tier in full kprobe tracepoint portable; do
  if [ -n "$below" ]; then
    # These sensors have programs for each tier. One that falls below it would be taken for what
    # it is not by the tests, which then wait for what it cannot see.
    /vm/bee-trace check --force-tier "$tier" --json | tr '{' '\n' >/vm/out/check-"$tier"
    for sensor in file memory network; do
      if ! grep -q "\"sensor\":\"$sensor\",\"tier\":\"$tier\"" /vm/out/check-"$tier"; then
        echo "FAILED: the $sensor sensor is not at the tier $tier:"
        sed -n "/\"sensor\":\"$sensor\"/,+4p" /vm/out/check-"$tier"
        failed=$((failed + 1))
        continue 2
      fi
    done
    if BEE_FORCE_TIER=$tier /vm/e2e --test-threads=1 --exact opens::root_a_user_reads_the_own_key \
      refused::root_a_user_tries_files_of_root names::root_links paths::root_a_path_sixty_components_deep \
      paths::root_relative_dotdot_chdir_dirfd_and_a_path_in_an_untouched_page \
      memory::root_each_of_the_seven_with_both_processes memory::root_refused_tries_are_told_with_their_errno \
      process::root_exec_with_arguments process::root_forks_and_exits_are_counted_exactly; then
      passed=$((passed + 1))
      echo "ok: tier $tier"
    else
      failed=$((failed + 1))
      echo "FAILED: tier $tier"
    fi
  fi
  [ "$tier" != "$best" ] || below=1
done
echo "sum: $passed passed; $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
