#!/bin/bash
# The journal, in a machine where systemd runs: its own journald holds what the daemon
# counted, and so does one that hangs, dies and goes away.
set -o pipefail
cd /vm/project || exit 1
export BEE_PATIENCE=30 # emulated
/vm/e2e --test-threads=1 journal:: 2>&1 | tee /vm/out/tests
status=$?
sed -n 's/^test result: [A-Za-z]*\. \([0-9]* passed; [0-9]* failed\).*/sum: \1/p' /vm/out/tests
! grep -q '^skipped:' /vm/out/tests && exit $status
