#!/bin/bash
# What `bee-trace` asks of a running daemon and has it do, on this kernel. Left out is what is
# a matter of seconds, which an emulated machine does not have: a thousand clients at once.
cd /vm/project || exit 1
export BEE_PATIENCE=30 # emulated
tests=(status_has_the_numbers_of_what_was_done watch_shows_exactly_what_the_filter_lets_through
  reload_says_what_changed_or_what_is_wrong debug_changes_what_is_logged_while_it_runs
  who_is_not_in_the_group_learns_nothing_and_the_group_changes_nothing garbage_is_refused_and_harms_nobody
  a_client_that_does_not_read_loses_its_own_events_and_nobody_elses
  a_second_daemon_says_so_and_a_dead_ones_socket_is_replaced)
/vm/e2e --test-threads=1 --exact "${tests[@]/#/control::root_}" 2>&1 | tee /vm/out/tests
# A filter that matches nothing passes, so the number is asserted too.
if grep -q "^test result: ok. ${#tests[@]} passed; 0 failed" /vm/out/tests; then
  echo "sum: ${#tests[@]} passed; 0 failed"
else
  echo 'sum: 0 passed; 1 failed'
  exit 1
fi
