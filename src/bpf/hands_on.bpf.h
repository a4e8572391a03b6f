/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A trial that every object with a program in front of those of sensors has.
 */
#pragma once

/* Never attached: a kernel that loads it lets programs with functions of their own hand on, which
 * arm64 does since 6.0. Of the kind that the kernel need not search all its types for. */
static __noinline int bee_some_function(__u64 number)
{
	barrier_var(number);
	return number;
}

SEC("raw_tp/sys_exit")
int BPF_PROG(hands_on, __u64 regs)
{
	if (bee_some_function(regs))
		bpf_tail_call_static(ctx, &exits_raw, BEE_READER_MEMORY);
	return 0;
}
