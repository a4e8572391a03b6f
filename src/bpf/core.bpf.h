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

/* The facts about `task` that every record carries. */
static __always_inline void bee_fill(struct bee_header *header, struct task_struct *task,
				     __u16 kind, __u16 hook)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	const struct cred *cred = BPF_CORE_READ(task, cred);

	header->version = BEE_WIRE_VERSION;
	header->kind = kind;
	header->time = bpf_ktime_get_boot_ns();
	header->start = BPF_CORE_READ(leader, start_boottime);
	header->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	header->exec_id = BPF_CORE_READ(leader, self_exec_id);
	header->flags = 0;
	header->hook = hook;
	header->generation = bee_generation;
	header->result = 0;
	header->tgid = BPF_CORE_READ(task, tgid);
	header->tid = BPF_CORE_READ(task, pid);
	header->ppid = BPF_CORE_READ(task, real_parent, tgid);
	header->uid = BPF_CORE_READ(cred, uid.val);
	header->gid = BPF_CORE_READ(cred, gid.val);
	header->euid = BPF_CORE_READ(cred, euid.val);
	header->login_uid = ~0u;
	/* CONFIG_AUDIT */
	if (bpf_core_field_exists(task->loginuid))
		header->login_uid = BPF_CORE_READ(task, loginuid.val);
	header->mnt_ns = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	__builtin_memset(header->comm, 0, sizeof(header->comm));
	BPF_CORE_READ_STR_INTO(&header->comm, task, comm);
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
	bee_fill(bee_record(buffer, fixed), (void *)bpf_get_current_task(), kind, hook);
	return 0;
}
