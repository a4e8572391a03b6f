/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every CO-RE family needs beside bee.bpf.h: who acts, from the kernel's own
 * structures.
 */
#pragma once

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "bee.bpf.h"

/*
 * A pointer as a number. To the verifier an argument of fexit and LSM programs is a
 * pointer of a type whatever it is cast to, and no argument of a global function;
 * what was read from memory is a number.
 */
static __always_inline __u64 bee_number(const void *pointer)
{
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

/* IS_ERR of linux/err.h: a pointer that is -errno. */
static __always_inline bool bee_is_error(__u64 pointer)
{
	return pointer >= (__u64)-4095;
}

/* Whether the current system call is a 32-bit one. */
#if defined(__TARGET_ARCH_x86)
/* CS does not tell: a 64-bit program may use `int 0x80`. TS_COMPAT does. */
#define TS_COMPAT 0x0002

static __always_inline bool bee_compat(struct task_struct *task)
{
	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}
#elif defined(__TARGET_ARCH_arm64)
/* arch/arm64/include/asm/thread_info.h */
#define TIF_32BIT (1ul << 22)

static __always_inline bool bee_compat(struct task_struct *task)
{
	return BPF_CORE_READ(task, thread_info.flags) & TIF_32BIT;
}
#endif

/*
 * Fields behind the current task, read directly where the program gets it with its type
 * (bee_found.typed), each in one instruction: a helper takes more than ten times as long.
 */
#define bee_arrow1(a, b)	  (a)->b
#define bee_arrow2(a, b, c)	  (a)->b->c
#define bee_arrow3(a, b, c, d)	  (a)->b->c->d
#define bee_arrow4(a, b, c, d, e) (a)->b->c->d->e
#define bee_arrow(pointer, ...)	  ___apply(bee_arrow, ___narg(__VA_ARGS__))(pointer, __VA_ARGS__)

/* BPF_CORE_READ of a typed pointer or of an address; which, is known when it is compiled. */
#define bee_get(typed, pointer, ...) \
	((typed) ? bee_arrow(pointer, __VA_ARGS__) : BPF_CORE_READ(pointer, __VA_ARGS__))

/*
 * Not in objects whose events are rare: for each field of the task that is a pointer the
 * verifier of 6.8 and later looks up to four names up, each among all types of the kernel
 * (btf_nested_type_is_trusted()), a fifth of a millisecond each at the start.
 */
#ifdef BEE_RARE
#define bee_typed false
#else
#define bee_typed bee_found.typed
#endif

/* Whether the system call the current task is in is a 32-bit one. */
static __always_inline bool bee_compat_current(void)
{
	if (!bee_found.typed)
		return bee_compat((void *)bpf_get_current_task());
#if defined(__TARGET_ARCH_x86)
	return bpf_get_current_task_btf()->thread_info.status & TS_COMPAT;
#elif defined(__TARGET_ARCH_arm64)
	return bpf_get_current_task_btf()->thread_info.flags & TIF_32BIT;
#endif
}

/* The process the current task is of. */
static __always_inline __u32 bee_tgid(void)
{
	if (bee_typed)
		return bpf_get_current_task_btf()->tgid;
	return bpf_get_current_pid_tgid() >> 32;
}

/* Where the open files of the current process lie, by descriptor. */
static __always_inline struct file **bee_descriptors(void)
{
	if (bee_typed)
		return bpf_get_current_task_btf()->files->fdt->fd;
	return BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), files, fdt, fd);
}

/* The open file behind a descriptor of the current process. */
static __always_inline struct file *bee_descriptor_file(__u32 descriptor)
{
	struct file *file = NULL;

	bpf_probe_read_kernel(&file, sizeof(file), bee_descriptors() + descriptor);
	return file;
}

#define PROC_SUPER_MAGIC 0x9fa0 /* linux/magic.h */

static __always_inline bool bee_near_read(struct bee_near *near, __u64 address)
{
	return !bpf_probe_read_kernel(near->bytes, sizeof(near->bytes), (void *)address);
}

/* A field of what was read from `address`, or read by itself where this kernel has it further on.
 */
#define bee_near(near, address, type, field)                                   \
	({                                                                     \
		__u32 at_ = bpf_core_field_offset(type, field);                \
		at_ <= BEE_NEAR - sizeof(((type *)0)->field)                   \
			? *(typeof(((type *)0)->field) *)((near)->bytes + at_) \
			: BPF_CORE_READ((type *)(address), field);             \
	})

/* The facts about `task`, in `cgroup`, that every record carries. */
static __always_inline void bee_fill_from(struct bee_header *header, struct task_struct *task,
					  __u64 cgroup, __u16 kind, __u16 hook, const bool typed)
{
	struct task_struct *leader = bee_get(typed, task, group_leader);
	const struct cred *cred = bee_get(typed, task, cred);

	header->version = BEE_WIRE_VERSION;
	header->kind = kind;
	header->time = bpf_ktime_get_boot_ns();
	header->start = bee_get(typed, leader, start_boottime);
	header->cgroup = cgroup;
	header->exec_id = bee_get(typed, leader, self_exec_id);
	header->flags = 0;
	header->hook = hook;
	header->generation = bee_generation;
	header->result = 0;
	header->tgid = bee_get(typed, task, tgid);
	header->tid = bee_get(typed, task, pid);
	header->ppid = bee_get(typed, task, real_parent, tgid);
	header->uid = bee_get(typed, cred, uid.val);
	header->gid = bee_get(typed, cred, gid.val);
	header->euid = bee_get(typed, cred, euid.val);
	header->login_uid = ~0u;
	/* CONFIG_AUDIT */
	if (bpf_core_field_exists(task->loginuid))
		header->login_uid = bee_get(typed, task, loginuid.val);
	header->mnt_ns = bee_get(typed, task, nsproxy, mnt_ns, ns.inum);
	__builtin_memset(header->comm, 0, sizeof(header->comm));
	BPF_CORE_READ_STR_INTO(&header->comm, task, comm);
}

static __always_inline void bee_fill_current_untyped(struct bee_header *header, __u16 kind,
						     __u16 hook)
{
	bee_fill_from(header, (void *)bpf_get_current_task(), bpf_get_current_cgroup_id(), kind,
		      hook, false);
}

static __always_inline void bee_fill_current(struct bee_header *header, __u16 kind, __u16 hook)
{
	if (bee_typed)
		bee_fill_from(header, bpf_get_current_task_btf(), bpf_get_current_cgroup_id(), kind,
			      hook, true);
	else
		bee_fill_current_untyped(header, kind, hook);
}

/*
 * Begins a record of `fixed` bytes about the current task in a scratch buffer: all
 * zero but the header. Global, like all that is used more than once: see names.bpf.h.
 */
__noinline int bee_begin(__u32 place, __u32 kind, __u32 hook, __u32 fixed)
{
	struct bee_scratch *buffer = bee_scratch(place);

	if (!buffer || fixed < sizeof(struct bee_header) || fixed > BEE_FIXED_MAX)
		return 0;
	__builtin_memset(buffer->fixed, 0, sizeof(buffer->fixed));
	bee_fill_current(bee_record(buffer, fixed), kind, hook);
	return 0;
}
