/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which system calls the memory sensor reads, per ABI, and which files of /proc/PID show
 * a process's memory. No kernel structure is read here.
 */
#pragma once

#include "act.bpf.h"
#include "numbers.bpf.h"
#include "registers.bpf.h"

#define ESRCH  3
#define EBADF  9
#define EFAULT 14

#define O_PATH 010000000 /* the same on x86 and arm64 */

/* linux/ptrace.h */
#define PTRACE_TRACEME 0
#define PTRACE_ATTACH  16
#define PTRACE_SEIZE   0x4206

enum bee_memory_call {
	MEMORY_NONE,
	MEMORY_PTRACE,	 /* request, pid */
	MEMORY_VM_READ,	 /* pid */
	MEMORY_VM_WRITE, /* pid */
	MEMORY_GETFD,	 /* pidfd */
	MEMORY_PIDFD,	 /* pid; the result is a descriptor */
	MEMORY_OPEN,	 /* name, flags */
	MEMORY_CREAT,	 /* name */
	MEMORY_OPENAT,	 /* directory, name, flags */
	MEMORY_OPENAT2,	 /* directory, name, struct open_how */
};

#define BEE_ROW(number, call) [number] = MEMORY_##call,
const __u8 bee_memory_native[BEE_SYSCALLS] = {BEE_OPENS_NATIVE(BEE_ROW) BEE_MEMORY_NATIVE(BEE_ROW)};
const __u8 bee_memory_compat[BEE_SYSCALLS] = {BEE_OPENS_COMPAT(BEE_ROW) BEE_MEMORY_COMPAT(BEE_ROW)};
#undef BEE_ROW
static __always_inline bool bee_is_open(__u8 call)
{
	return call >= MEMORY_OPEN;
}

static __always_inline __u64 bee_memory_arg(__u64 regs, bool compat, __u8 number)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value),
			      (void *)regs + bee_registers[compat][number & 7]);
	return compat ? (__u32)value : value;
}

/* The number of the argument that is the name. */
static __always_inline __u8 bee_name_argument(__u8 call)
{
	return call == MEMORY_OPENAT || call == MEMORY_OPENAT2 ? 1 : 0;
}

static __always_inline __u32 bee_directory_of(__u64 regs, bool compat, __u8 call)
{
	return bee_name_argument(call) ? (__u32)bee_memory_arg(regs, compat, 0) : (__u32)AT_FDCWD;
}

/* The flags of an open; of a struct open_how that cannot be read, those that ask for nothing. */
static __always_inline __u64 bee_flags_of(__u64 regs, bool compat, __u8 call)
{
	__u64 flags = O_WRONLY | O_TRUNC | O_CREAT;

	if (call == MEMORY_CREAT)
		return flags;
	flags = bee_memory_arg(regs, compat, bee_name_argument(call) + 1);
	if (call == MEMORY_OPENAT2 && bpf_probe_read_user(&flags, sizeof(flags), (void *)flags))
		return O_ACCMODE;
	return flags;
}

/* What an open that asks for these flags may do. */
static __always_inline __u8 bee_access_of(__u64 flags)
{
	if (flags & O_TRUNC)
		flags |= O_WRONLY;
	return ((flags & O_ACCMODE) + 1) & (FMODE_READ | FMODE_WRITE);
}

/* Whether a call that ended so had come as far as its target. */
static __always_inline bool bee_reached(__s32 result)
{
	return result >= 0 || result == -EPERM || result == -EACCES || result == -ESRCH ||
	       result == -EFAULT || result == -EBADF;
}

/* Sixteen bytes of a name, its end at the end; what is in front of the name is '/' or NUL. */
#define BEE_END 16

#define BEE_ENDS(end, name) bee_ends(end, "/" name, sizeof("/" name) - 1)

static __always_inline bool bee_ends(const char *end, const char *name, __u32 length)
{
	const char *last = end + BEE_END - length;

	/* The first is the separator, which a name of one component has none of. */
	if (last[0] != '/' && last[0])
		return false;
	for (__u32 i = 1; i < length; i++) {
		if (last[i] != name[i])
			return false;
	}
	return true;
}

static __always_inline __u8 bee_proc_file(const char *end)
{
	if (BEE_ENDS(end, "mem"))
		return BEE_PROC_MEM;
	if (BEE_ENDS(end, "environ"))
		return BEE_PROC_ENVIRON;
	if (BEE_ENDS(end, "maps"))
		return BEE_PROC_MAPS;
	if (BEE_ENDS(end, "smaps"))
		return BEE_PROC_SMAPS;
	if (BEE_ENDS(end, "smaps_rollup"))
		return BEE_PROC_SMAPS_ROLLUP;
	if (BEE_ENDS(end, "numa_maps"))
		return BEE_PROC_NUMA_MAPS;
	return BEE_PROC_NONE;
}

static __always_inline __u8 bee_proc_kind(__u8 which)
{
	if (which == BEE_PROC_MEM)
		return BEE_KIND_PROC_MEM;
	return which == BEE_PROC_ENVIRON ? BEE_KIND_PROC_ENVIRON : BEE_KIND_PROC_MAPS;
}

/*
 * Reads the name of an open to the beginning of the tail at `place`, and leaves in `which`
 * which of the files of a process its last component is called as. Returns the name's
 * length with its NUL; 0: it cannot be read.
 */
static __always_inline __u32 bee_proc_name(__u32 place, __u64 name, bool of_kernel, __u8 *which)
{
	struct bee_scratch *buffer = bee_scratch(place);
	char end[BEE_END] = {};
	__u32 at;
	long size;

	*which = BEE_PROC_NONE;
	if (!buffer)
		return 0;
	/* A short name's last sixteen bytes begin in front of it. */
	__builtin_memset(buffer->fixed, 0, sizeof(buffer->fixed));
	if (of_kernel)
		size = bpf_probe_read_kernel_str(buffer->tail, BEE_PART_MAX, (void *)name);
	else
		size = bpf_probe_read_user_str(buffer->tail, BEE_PART_MAX, (void *)name);
	if (size <= 0)
		return 0;
	size &= 0x1fff;
	at = BEE_FIXED_MAX + size - 1 - BEE_END;
	barrier_var(at);
	bpf_probe_read_kernel(end, sizeof(end), (void *)buffer->fixed + (at & 0x3fff));
	*which = bee_proc_file(end);
	return size;
}
