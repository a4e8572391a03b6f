// SPDX-License-Identifier: GPL-2.0
/*
 * The end of every system call, in front of the sensors' programs that are `raw_tp`, with types
 * and without: see exits.bpf.h.
 */
#include "nobtf.bpf.h"
#include "exits.bpf.h"
#include "hands_on.bpf.h"

SEC("raw_tp/sys_exit")
int BPF_PROG(exits, __u64 regs)
{
	struct bee_saved saved;
	__u64 number;

	if (bee_saved_number_only(&number, regs) || !bee_exit_read(number))
		return 0;
	/* Read by one of the ABIs alone, as opens are on x86: the sensor looks which it is. */
	if (!bee_exits[number].compat) {
		bee_exit_to(ctx, exits_raw, bee_exits[number].native);
		return 0;
	}
	if (bee_saved_read(&saved, regs))
		return 0;
	bee_exit_to(ctx, exits_raw, bee_exit_reader(number, bee_saved_compat(&saved)));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
