/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which system calls the kernel sensor reads, per ABI, and what of their arguments it tells.
 * No kernel structure is read here.
 */
#pragma once

#include "act.bpf.h"
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

#define BEE_KERNEL_CALLS 544 /* numbers looked at; x32's bit is taken off first */

// clang-format off
#if defined(__TARGET_ARCH_x86)

/* arch/x86/entry/syscalls/syscall_64.tbl; from 512 on x32's own */
const __u8 bee_kernel_native[BEE_KERNEL_CALLS] = {
	[62] = KERNEL_KILL,		[129] = KERNEL_KILL, /* rt_sigqueueinfo */
	[159] = KERNEL_ADJTIMEX,	[164] = KERNEL_SETTIMEOFDAY,
	[175] = KERNEL_INIT_MODULE,	[200] = KERNEL_KILL, /* tkill */
	[227] = KERNEL_CLOCK_SETTIME,	[234] = KERNEL_TGKILL,
	[297] = KERNEL_TGKILL, /* rt_tgsigqueueinfo */
	[305] = KERNEL_CLOCK_ADJTIME,	[313] = KERNEL_FINIT_MODULE,
	[321] = KERNEL_BPF,		[424] = KERNEL_PIDFD_SIGNAL,
	[425] = KERNEL_IO_URING,	[524] = KERNEL_KILL,
	[536] = KERNEL_TGKILL,
};

/* arch/x86/entry/syscalls/syscall_32.tbl */
const __u8 bee_kernel_compat[BEE_KERNEL_CALLS] = {
	[25] = KERNEL_STIME,		[37] = KERNEL_KILL,
	[79] = KERNEL_SETTIMEOFDAY,	[124] = KERNEL_ADJTIMEX,
	[128] = KERNEL_INIT_MODULE,	[178] = KERNEL_KILL, /* rt_sigqueueinfo */
	[238] = KERNEL_KILL, /* tkill */
	[264] = KERNEL_CLOCK_SETTIME,	[270] = KERNEL_TGKILL,
	[335] = KERNEL_TGKILL, /* rt_tgsigqueueinfo */
	[343] = KERNEL_CLOCK_ADJTIME,	[350] = KERNEL_FINIT_MODULE,
	[357] = KERNEL_BPF,		[404] = KERNEL_CLOCK_SETTIME, /* 64 */
	[405] = KERNEL_CLOCK_ADJTIME, /* 64 */
	[424] = KERNEL_PIDFD_SIGNAL,	[425] = KERNEL_IO_URING,
};

#elif defined(__TARGET_ARCH_arm64)

/* include/uapi/asm-generic/unistd.h */
const __u8 bee_kernel_native[BEE_KERNEL_CALLS] = {
	[105] = KERNEL_INIT_MODULE,	[112] = KERNEL_CLOCK_SETTIME,
	[129] = KERNEL_KILL,		[130] = KERNEL_KILL, /* tkill */
	[131] = KERNEL_TGKILL,		[138] = KERNEL_KILL, /* rt_sigqueueinfo */
	[170] = KERNEL_SETTIMEOFDAY,	[171] = KERNEL_ADJTIMEX,
	[240] = KERNEL_TGKILL, /* rt_tgsigqueueinfo */
	[266] = KERNEL_CLOCK_ADJTIME,	[273] = KERNEL_FINIT_MODULE,
	[280] = KERNEL_BPF,		[424] = KERNEL_PIDFD_SIGNAL,
	[425] = KERNEL_IO_URING,
};

/* arch/arm/tools/syscall.tbl */
const __u8 bee_kernel_compat[BEE_KERNEL_CALLS] = {
	[37] = KERNEL_KILL,		[79] = KERNEL_SETTIMEOFDAY,
	[124] = KERNEL_ADJTIMEX,	[128] = KERNEL_INIT_MODULE,
	[178] = KERNEL_KILL, /* rt_sigqueueinfo */
	[238] = KERNEL_KILL, /* tkill */
	[262] = KERNEL_CLOCK_SETTIME,	[268] = KERNEL_TGKILL,
	[363] = KERNEL_TGKILL, /* rt_tgsigqueueinfo */
	[372] = KERNEL_CLOCK_ADJTIME,	[379] = KERNEL_FINIT_MODULE,
	[386] = KERNEL_BPF,		[404] = KERNEL_CLOCK_SETTIME, /* 64 */
	[405] = KERNEL_CLOCK_ADJTIME, /* 64 */
	[424] = KERNEL_PIDFD_SIGNAL,	[425] = KERNEL_IO_URING,
};
#endif
// clang-format on

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
	case KERNEL_SETTIMEOFDAY:
		record->code = BEE_TIME_SETTIMEOFDAY;
		break;
	case KERNEL_STIME:
		record->code = BEE_TIME_STIME;
		break;
	case KERNEL_CLOCK_SETTIME:
		record->code = BEE_TIME_CLOCK_SETTIME;
		break;
	case KERNEL_ADJTIMEX:
	case KERNEL_CLOCK_ADJTIME:
		address = bee_kernel_arg(regs, compat, call == KERNEL_CLOCK_ADJTIME);
		bpf_probe_read_user(&modes, sizeof(modes), (void *)address);
		/* It only asks. */
		if (!modes)
			return false;
		record->code = call == KERNEL_ADJTIMEX ? BEE_TIME_ADJTIMEX : BEE_TIME_CLOCK_ADJTIME;
		break;
	default:
		return false;
	}
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
