#!/bin/bash
# What this kernel must be able to do, in a minute or two of emulation: each sensor
# at its expected tier, and end-to-end tests that assert exact events, of native and
# of 32-bit programs. Where nothing is expected both programs must say just that.
cd /vm/project || exit 1
export BEE_PATIENCE=30 # emulated
source /vm/guest.sh
check 'bytes of a page' "$(getconf PAGESIZE)" "$(cat /vm/page)"

/vm/bee-trace check --json >/vm/out/check.json
status=$?
# bee-trace check prints one line of JSON: one sensor, or one file, a line here.
refused=$(sed 's/.*"btf_files_refused":\[\([^]]*\)\].*/\1/' /vm/out/check.json | grep -o '"path"' | wc -l)
check 'files with types that are refused' "$refused" "$(cat /vm/refused)"
export BEE_TALLY=/vm/out/tally
[ ! -s /vm/skips ] || export BEE_MAY_SKIP=1
tests=()
for expected in $(cat /vm/expect); do
  sensor=${expected%=*}
  expected=${expected#*=}
  found=$(tr '{' '\n' </vm/out/check.json | grep "\"sensor\":\"$sensor\"")
  tier=$(sed -n 's/.*"tier":"\([a-z]*\)".*/\1/p' <<<"$found")
  check "tier of the $sensor sensor" "${tier:-none}" "$expected"
  echo "$sensor|${tier:-none}|$(sed -n 's/.*"mechanism":"\([^"]*\)".*/\1/p' <<<"$found")" >>/vm/out/sensors
  case $sensor=$expected in
    *=none) ;;
    file=*)
      tests+=(opens::root_a_user_reads_the_own_key refused::root_a_user_tries_files_of_root names::root_links
        paths::root_a_path_sixty_components_deep
        paths::root_relative_dotdot_chdir_dirfd_and_a_path_in_an_untouched_page)
      # Where the machine is as small as the promise is for.
      [ "$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)" -gt 600000 ] ||
        tests+=(footprint::root_it_fits_a_small_machine)
      [ "$(uname -m)" != x86_64 ] || tests+=(opens::root_the_32_bit_gate_from_a_64_bit_process)
      ;;
    memory=*)
      tests+=(memory::root_each_of_the_seven_with_both_processes memory::root_refused_tries_are_told_with_their_errno
        memory::root_a_child_that_asks_to_be_traced)
      ;;
    network=*)
      tests+=(network::root_a_connection_is_one_event_however_it_is_made
        network::root_datagrams_are_one_event_and_a_count network::root_listeners_and_accepted_connections)
      ;;
    kernel=*) tests+=(kernel::root_tries_to_change_the_kernel kernel::root_signals_for_the_daemon_and_for_nobody_else
        kernel::root_a_user_who_may_not_signal_the_daemon_is_told_with_the_refusal) ;;
    process=*)
      tests+=(process::root_exec_with_arguments process::root_forks_and_exits_are_counted_exactly
        check::root_check_names_every_blind_spot_of_its_tiers)
      ;;
  esac
done

if [ "${#tests[@]}" -eq 0 ]; then
  check 'exit status of bee-trace check' "$status" 69
  /vm/bee-traced --config config/bee-traced.toml
  check 'exit status of bee-traced' $? 69
else
  check 'exit status of bee-trace check' "${status/0/1}" 1
  /vm/e2e --test-threads=1 --exact "${tests[@]}" 2>&1 | tee /vm/out/tests
  # A filter that matches nothing passes, so the number is asserted too.
  check 'end-to-end tests' "$(sed -n 's/^test result: \(ok. [0-9]* passed\); 0 failed.*/\1/p' /vm/out/tests)" "ok. ${#tests[@]} passed"
  check 'parts that were skipped' "$(grep -c '^skipped:' /vm/out/tests)" 0
fi
verdict
