// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel sensor, `portable` tier: by what callers gave.
 *
 *   sys_exit  modules, bpf, io_uring_setup, calls that set the clock, signals for the daemon
 *
 * What this tier cannot see is in docs/blind-spots.md.
 */
#include "nobtf.bpf.h"
#include "kernel_calls.bpf.h"

/* A system call that has ended: `call` has its number of the table for a kind. */
__noinline int bee_on_kernel_given(__u64 regs, bee_what call)
{
	struct bee_scratch *buffer = bee_scratch(0);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__s32 result = BEE_WHAT_RESULT(call), number;
	bool compat = BEE_WHAT_COMPAT(call);
	__u8 index = BEE_WHAT_KIND(call);
	struct bee_kernel *record;

	if (tgid == settings.self_tgid || tgid == settings.scanner_tgid)
		return 0;
	if (!buffer) {
		bee_count(BEE_KIND_BPF, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	record = bee_fixed(buffer, struct bee_kernel);
	bee_begin(0, BEE_KIND_KILL, BEE_WHAT_HOOK(call), sizeof(*record));
	if (compat)
		record->header.flags |= BEE_FLAG_COMPAT;
	if (result < 0)
		record->header.result = result;
	if (index >= KERNEL_KILL) {
		record->code = bee_sent(regs, compat, index, &number);
		if (!record->code || index == KERNEL_PIDFD_SIGNAL)
			return 0;
		if (number > 0 && (number == settings.self_tgid || number == settings.scanner_tgid))
			record->target = number;
		/* -1 is every process. */
		if (!record->target && (index != KERNEL_KILL || number != -1))
			return 0;
	} else if (!bee_kernel_facts(record, regs, compat, index, result)) {
		return 0;
	}
	return bee_submit(0, sizeof(*record), 0, 1);
}

SEC("raw_tp/sys_exit")
int BPF_PROG(raw_tp__sys_exit, __u64 regs, long ended)
{
	__s32 result = ended; /* 32-bit programs of old arm64 kernels get no more */
	__u8 native, compat, call;
	struct bee_saved saved;
	bool is_compat;
	__u64 number;

	if (bee_saved_read(&saved, regs))
		return 0;
	number = bee_saved_number(&saved);
	if (number >= BEE_SYSCALLS)
		return 0;
	native = bee_kernel_native[number];
	compat = bee_kernel_compat[number];
	if (!(native | compat))
		return 0;
	is_compat = bee_saved_compat(&saved);
	call = is_compat ? compat : native;
	if (!call || !bee_active())
		return 0;
	return bee_on_kernel_given(
		regs, bee_pack(BEE_HOOK_KERNEL_PORTABLE_SYS_EXIT, call, is_compat, 0, result));
}

char LICENSE[] SEC("license") = "GPL";
