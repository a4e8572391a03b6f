#!/bin/bash
# What a call costs in instructions, of each tier there is; started by scripts/gate.sh, whose
# machine has one processor and a clock that counts its instructions.
cd /vm/project || exit 1
export BEE_PATIENCE=30
/vm/gate /vm /vm/out/gate.tsv
