#!/bin/bash
# What this kernel must be able to do, in a minute or two of emulation: each sensor
# at its expected tier, and end-to-end tests that assert exact events, of native and
# of 32-bit programs. Where nothing is expected both programs must say just that.
cd /vm/project || exit 1
export BEE_PATIENCE=30 # emulated
status=0
fail() { echo "FAIL: $*"; status=1; }

[ "$(getconf PAGESIZE)" = "$(cat /vm/page)" ] || fail "pages of $(getconf PAGESIZE) bytes, not $(cat /vm/page)"

/vm/bee-trace check --json >/vm/out/check.json
check=$?
usable=0
tests=()
for expected in $(cat /vm/expect); do
  sensor=${expected%=*}
  tier=$(tr '{' '\n' </vm/out/check.json | sed -n "/\"sensor\":\"$sensor\"/s/.*\"tier\":\"\([a-z]*\)\".*/\1/p")
  echo "sensor $sensor: tier ${tier:-none}, expected ${expected#*=}"
  [ "${tier:-none}" = "${expected#*=}" ] || fail "tier of $sensor"
  [ "${expected#*=}" != none ] || continue
  usable=1
  case $sensor in
    file) tests+=(opens::root_a_user_reads_the_own_key refused::root_a_user_tries_files_of_root names::root_links) ;;
    process) tests+=(process::root_exec_with_arguments process::root_forks_and_exits_are_counted_exactly) ;;
  esac
done

if [ "$usable" -eq 0 ]; then
  [ "$check" -eq 69 ] || fail "check ended with $check, not 69"
  /vm/bee-traced --config config/bee-traced.toml
  daemon=$?
  [ "$daemon" -eq 69 ] || fail "the daemon ended with $daemon, not 69"
else
  [ "$check" -le 1 ] || fail "check ended with $check"
  /vm/e2e --test-threads=1 --exact "${tests[@]}" 2>&1 | tee /vm/out/tests
  # A filter that matches nothing passes, so the number is asserted too.
  grep -q "^test result: ok. ${#tests[@]} passed; 0 failed" /vm/out/tests || fail 'end-to-end tests'
  ! grep '^skipped:' /vm/out/tests || fail 'a part was skipped'
fi
exit "$status"
