/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which system calls the kernel sensor reads, per ABI, and what of their arguments it tells.
 * No kernel structure is read here.
 */
#pragma once

#include "act.bpf.h"
#include "numbers.bpf.h"
#include "registers.bpf.h"

enum bee_kernel_call {
	KERNEL_NONE,
	KERNEL_INIT_MODULE,
	KERNEL_FINIT_MODULE, /* descriptor */
	KERNEL_BPF,	     /* command, attributes */
	KERNEL_IO_URING,     /* entries */
	KERNEL_SETTIMEOFDAY,
	KERNEL_STIME,
	KERNEL_CLOCK_SETTIME,
	KERNEL_ADJTIMEX,      /* struct timex, which begins with its modes */
	KERNEL_CLOCK_ADJTIME, /* clock, struct timex */
	KERNEL_KILL,	      /* pid, signal; tkill and rt_sigqueueinfo too */
	KERNEL_TGKILL,	      /* pid, tid, signal; rt_tgsigqueueinfo too */
	KERNEL_PIDFD_SIGNAL,  /* descriptor, signal */
};

#define BEE_ROW(number, call) [number] = KERNEL_##call,
const __u8 bee_kernel_native[BEE_SYSCALLS] = {BEE_KERNEL_NATIVE(BEE_ROW)};
const __u8 bee_kernel_compat[BEE_SYSCALLS] = {BEE_KERNEL_COMPAT(BEE_ROW)};
#undef BEE_ROW
static __always_inline __u64 bee_kernel_arg(__u64 regs, bool compat, __u8 number)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value),
			      (void *)regs + bee_registers[compat][number & 7]);
	return compat ? (__u32)value : value;
}

/* Commands of bpf(2) that load, attach, or reach for what is there: linux/bpf.h. */
#define BPF_COMMANDS                                                                            \
	(1ull << 5 | 1ull << 7 | 1ull << 8 | 1ull << 9 | 1ull << 13 | 1ull << 14 | 1ull << 17 | \
	 1ull << 28 | 1ull << 29 | 1ull << 30 | 1ull << 34)
/* PROG_ATTACH, PROG_DETACH, LINK_CREATE: the type of attachment is the third number. */
#define BPF_ATTACHES (1ull << 8 | 1ull << 9 | 1ull << 28)

#define BEE_TIME_NONE (~0u)

/* Which call that sets the clock it is: enum bee_time_call. */
static __always_inline __u32 bee_time_code(__u8 call)
{
	switch (call) {
	case KERNEL_SETTIMEOFDAY:
		return BEE_TIME_SETTIMEOFDAY;
	case KERNEL_STIME:
		return BEE_TIME_STIME;
	case KERNEL_CLOCK_SETTIME:
		return BEE_TIME_CLOCK_SETTIME;
	case KERNEL_ADJTIMEX:
		return BEE_TIME_ADJTIMEX;
	case KERNEL_CLOCK_ADJTIME:
		return BEE_TIME_CLOCK_ADJTIME;
	}
	return BEE_TIME_NONE;
}

/*
 * The record of a call that has ended, made in `record`; false: it is no event. `code` and
 * `detail` are read of the caller's memory after the call.
 */
static __always_inline bool bee_kernel_facts(struct bee_kernel *record, __u64 regs, bool compat,
					     __u8 call, __s32 result)
{
	__u64 address;
	__u32 modes = 0, command;

	switch (call) {
	case KERNEL_INIT_MODULE:
	case KERNEL_FINIT_MODULE:
		record->header.kind = BEE_KIND_MODULE_LOAD;
		return true;
	case KERNEL_BPF:
		command = bee_kernel_arg(regs, compat, 0);
		if (command > 63 || !(BPF_COMMANDS >> command & 1))
			return false;
		address = bee_kernel_arg(regs, compat, 1);
		if (BPF_ATTACHES >> command & 1)
			address += 8;
		bpf_probe_read_user(&record->detail, sizeof(record->detail), (void *)address);
		record->header.flags |= BEE_FLAG_ARGS_RACY;
		record->header.kind = BEE_KIND_BPF;
		record->code = command;
		return true;
	case KERNEL_IO_URING:
		record->header.kind = BEE_KIND_IO_URING;
		record->code = bee_kernel_arg(regs, compat, 0);
		return true;
	case KERNEL_ADJTIMEX:
	case KERNEL_CLOCK_ADJTIME:
		address = bee_kernel_arg(regs, compat, call == KERNEL_CLOCK_ADJTIME);
		bpf_probe_read_user(&modes, sizeof(modes), (void *)address);
		/* It only asks. */
		if (!modes)
			return false;
	}
	record->code = bee_time_code(call);
	if (record->code == BEE_TIME_NONE)
		return false;
	record->header.kind = BEE_KIND_TIME_SET;
	return true;
}

/* The signal a call sends, and in `target` the number of who gets it; 0: it sends none, or to
 * a group. Signal 0 only asks whether there is somebody. */
static __always_inline __u32 bee_sent(__u64 regs, bool compat, __u8 call, __s32 *target)
{
	*target = bee_kernel_arg(regs, compat, 0);
	if (call == KERNEL_KILL || call == KERNEL_PIDFD_SIGNAL)
		return bee_kernel_arg(regs, compat, 1);
	return call == KERNEL_TGKILL ? bee_kernel_arg(regs, compat, 2) : 0;
}
