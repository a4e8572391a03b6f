#!/bin/bash
# The end-to-end tests of this machine, as `make test-root` runs them.
cd /vm/project || exit 1
export BEE_PATIENCE=30 # emulated
status=0
/vm/privilege_root --test-threads=1 || status=1
/vm/e2e --test-threads=1 "$@" || status=1
exit "$status"
