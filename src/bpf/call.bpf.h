/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One system call taken apart: its arguments from the saved registers, by the tables
 * of syscalls.bpf.h. The layout of the registers is ABI, no kernel structure is read.
 */
#pragma once

#include "act.bpf.h"
#include "syscalls.bpf.h"

/* One system call that may be an event, as it ended. */
struct bee_act {
	struct pt_regs *regs;
	const struct bee_call *call;
	__u8 index; /* enum bee_call_index */
	bool compat;
};

/* Argument `number` of the call with these registers; 0 for NO_ARG. Global: see names.bpf.h. */
__noinline __u64 bee_argument(__u64 regs, __u32 compat, __u32 number)
{
	__u64 value = 0;

	if (number == NO_ARG)
		return 0;
	bpf_probe_read_kernel(&value, sizeof(value),
			      (void *)regs + bee_registers[compat & 1][number & 7]);
	return compat ? (__u32)value : value;
}

static __always_inline __u64 bee_arg(const struct bee_act *act, __u8 number)
{
	return bee_argument((__u64)act->regs, act->compat, number);
}

/* Flags of an open as f_mode says it of one that succeeded. */
static __always_inline __u8 bee_flags_access(__u64 flags)
{
	if (flags & O_TRUNC)
		flags |= O_WRONLY;
	/* O_RDONLY 0, O_WRONLY 1, O_RDWR 2: one more is a bit for each. */
	return ((flags & O_ACCMODE) + 1) & (FMODE_READ | FMODE_WRITE);
}

/* The flags of an open; of a struct open_how that cannot be read, those that ask for nothing. */
static __always_inline __u64 bee_open_flags(const struct bee_act *act)
{
	__u64 flags = bee_arg(act, act->call->value);

	if (act->index == CALL_CREAT)
		return O_WRONLY | O_TRUNC | O_CREAT;
	/* struct open_how begins with the flags. */
	if (act->index == CALL_OPENAT2 && bpf_probe_read_user(&flags, sizeof(flags), (void *)flags))
		return O_ACCMODE;
	return flags;
}

/* What a refused open asked for. */
static __always_inline __u8 bee_wanted_access(const struct bee_act *act)
{
	return bee_flags_access(bee_open_flags(act));
}

/* A call in one number, and back: see bee_what, which it has the layout of, with the
 * index of the call where the kind is. */
static __always_inline void bee_unpack(struct bee_act *act, __u64 regs, bee_what call)
{
	act->regs = (void *)regs;
	act->index = call;
	act->compat = BEE_WHAT_COMPAT(call);
	act->call = &bee_calls[act->index & (CALL_ROOM - 1)];
}

/* What a call sets, as bee_file_values takes it. */
static __always_inline __u64 bee_value(const struct bee_act *act)
{
	__u64 value = bee_arg(act, act->call->value);

	if (act->call->kind == BEE_KIND_TRUNCATE && act->call->value_2 != NO_ARG)
		value |= bee_arg(act, act->call->value_2) << 32;
	return value;
}

static __always_inline __u64 bee_value_2(const struct bee_act *act)
{
	__u64 value = bee_arg(act, act->call->value_2);

	return act->call->kind == BEE_KIND_MKNOD ? bee_decode_device(value) : value;
}

static __always_inline __u32 bee_directory(const struct bee_act *act, __u8 argument)
{
	return argument == NO_ARG ? (__u32)AT_FDCWD : (__u32)bee_arg(act, argument);
}
