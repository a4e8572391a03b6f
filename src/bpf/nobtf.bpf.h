/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For programs that run on a kernel without any types: no kernel structure is read, and
 * no CO-RE record is made (a test holds that; one would make libbpf want the types).
 * What is known comes from helpers, from the registers a system call was made with,
 * which are ABI, and from the fields of tracepoints, whose places the loader reads from
 * their format files.
 */
#pragma once

/* vmlinux.h would otherwise make a record of every access, even to what is ABI. */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "bee.bpf.h"

/* From here on a kernel structure is an error. */
#pragma GCC poison task_struct cred mm_struct linux_binprm nsproxy dentry inode file vfsmount

/* What helpers tell of the current task; the rest is said not to be known. */
static __always_inline void bee_fill(struct bee_header *header, __u16 kind, __u16 hook)
{
	__u64 ids = bpf_get_current_pid_tgid();
	__u64 user = bpf_get_current_uid_gid();

	header->version = BEE_WIRE_VERSION;
	header->kind = kind;
	header->time = bpf_ktime_get_boot_ns();
	header->start = 0;
	header->cgroup = bpf_get_current_cgroup_id();
	header->exec_id = 0;
	header->flags = BEE_FLAG_PROCESS_PARTIAL;
	header->hook = hook;
	header->generation = bee_generation;
	header->result = 0;
	header->tgid = ids >> 32;
	header->tid = ids;
	header->ppid = 0;
	header->uid = user;
	header->gid = user >> 32;
	header->euid = ~0u;
	header->login_uid = ~0u;
	header->mnt_ns = 0;
	bpf_get_current_comm(header->comm, sizeof(header->comm));
}

/* As in core.bpf.h. */
__noinline int bee_begin(__u32 place, __u32 kind, __u32 hook, __u32 fixed)
{
	struct bee_scratch *buffer = bee_scratch(place);

	if (!buffer || fixed < sizeof(struct bee_header) || fixed > BEE_FIXED_MAX)
		return 0;
	__builtin_memset(buffer->fixed, 0, sizeof(buffer->fixed));
	bee_fill(bee_record(buffer, fixed), kind, hook);
	return 0;
}

/*
 * The saved registers that tell which call it was and by which interface; their places
 * are ABI (arch/x86/include/uapi/asm/ptrace.h, arch/arm64/include/uapi/asm/ptrace.h),
 * but for arm64's number of the call, which has followed orig_x0 since 4.14.
 */
#define BEE_SAVED(name) __builtin_offsetof(struct pt_regs, name)

#if defined(__TARGET_ARCH_x86)

struct bee_saved {
	__u64 number; /* orig_ax */
	__u64 ip;
	__u64 cs;
};
#define BEE_SAVED_AT BEE_SAVED(orig_ax)

#define USER_CS 0x33   /* arch/x86/include/asm/segment.h, __USER_CS */
#define INT_80	0x80cd /* the bytes cd 80 */

/* Whether the call came by a 32-bit interface. The gate of 64-bit programs sets CS to
 * this; where CS is it, the program may have used `int 0x80` all the same. TS_COMPAT
 * knows, and cannot be read here: the instruction before the return address tells. */
static __always_inline bool bee_saved_compat(const struct bee_saved *saved)
{
	__u16 instruction = 0;

	if (saved->cs != USER_CS)
		return true;
	bpf_probe_read_user(&instruction, sizeof(instruction), (void *)saved->ip - 2);
	return instruction == INT_80;
}

/* Whether the program that runs now is a 32-bit one. */
static __always_inline bool bee_saved_32bit(const struct bee_saved *saved)
{
	return saved->cs != USER_CS;
}

static __always_inline __u64 bee_saved_number(const struct bee_saved *saved)
{
	return saved->number & ~0x40000000ull; /* x32 */
}

/* Where the stack of the program that runs now is kept. */
static __always_inline __u32 bee_saved_stack_at(const struct bee_saved *saved)
{
	return BEE_SAVED(sp);
}

#elif defined(__TARGET_ARCH_arm64)

struct bee_saved {
	__u64 pstate;
	__u64 orig_x0;
	__s32 number;
	__u32 reserved;
};
#define BEE_SAVED_AT BEE_SAVED(pstate)

#define PSR_MODE32_BIT 0x10

static __always_inline bool bee_saved_compat(const struct bee_saved *saved)
{
	return saved->pstate & PSR_MODE32_BIT;
}

static __always_inline bool bee_saved_32bit(const struct bee_saved *saved)
{
	return saved->pstate & PSR_MODE32_BIT;
}

static __always_inline __u64 bee_saved_number(const struct bee_saved *saved)
{
	return (__u32)saved->number;
}

/* 32-bit programs have it in r13. */
static __always_inline __u32 bee_saved_stack_at(const struct bee_saved *saved)
{
	return saved->pstate & PSR_MODE32_BIT ? 13 * 8 : BEE_SAVED(sp);
}
#endif

/* The number of the call alone: what most calls are passed over by. Nonzero where the registers
 * cannot be read, which does not happen. */
static __always_inline long bee_saved_number_only(__u64 *number, __u64 regs)
{
	struct bee_saved saved = {};
	long failed = bpf_probe_read_kernel(&saved.number, sizeof(saved.number),
					    (void *)regs + BEE_SAVED_AT +
						    __builtin_offsetof(struct bee_saved, number));

	*number = bee_saved_number(&saved);
	return failed;
}

/* Nonzero where the registers cannot be read, which does not happen. */
static __always_inline long bee_saved_read(struct bee_saved *saved, __u64 regs)
{
	return bpf_probe_read_kernel(saved, sizeof(*saved), (void *)regs + BEE_SAVED_AT);
}
