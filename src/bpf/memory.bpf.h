/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who reached for whose memory, from the kernel's own structures: the target of a number, a
 * descriptor or a file of /proc, whichever hook brought it, and the record.
 *
 * A number is looked up where the kernel does it: in the tree of the pid namespace it is
 * one of (find_pid_ns of kernel/pid.c). So it is the right process whatever the caller's
 * namespace, however old the process, and whatever it is called by now.
 */
#pragma once

#include "core.bpf.h"
#include "memory_calls.bpf.h"

#define PID_FS_MAGIC 0x50494446 /* since 6.9: descriptors of processes */

/* The process of a number in a pid namespace; 0: there is none. */
__noinline __u64 bee_numbered(__u64 namespace, __u32 number)
{
	struct pid_namespace *ns = (void *)namespace;
	__u64 entry = (__u64)BPF_CORE_READ(ns, idr.idr_rt.xa_head);
	struct hlist_node *first;
	struct pid *pid;

	/* include/linux/xarray.h: a pointer to a node has bit 1 set. A node has 64 slots,
	 * 16 where CONFIG_BASE_SMALL is; a number has 22 bits. */
	for (int i = 0; i < 6; i++) {
		struct xa_node *node = (void *)(entry - 2);
		__u32 slots = bpf_core_field_size(node->slots) / sizeof(void *);
		__u32 slot;
		__u8 shift;

		if ((entry & 3) != 2)
			break;
		shift = BPF_CORE_READ(node, shift) & 31;
		slot = number >> shift;
		if (!i && slot >= slots)
			return 0;
		entry = 0;
		bpf_probe_read_kernel(&entry, sizeof(entry),
				      (void *)node + bpf_core_field_offset(struct xa_node, slots) +
					      (slot & (slots - 1)) * sizeof(void *));
	}
	if (!entry || entry & 3)
		return 0;
	pid = (void *)entry;
	first = BPF_CORE_READ(pid, tasks[0].first);
	return first ? (__u64)first - bpf_core_field_offset(struct task_struct, pid_links) : 0;
}

/* The pid namespace of the current task: of the last of its numbers. */
static __always_inline __u64 bee_namespace(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	struct upid *own = (void *)pid + bpf_core_field_offset(struct pid, numbers) +
			   (BPF_CORE_READ(pid, level) & 31) * bpf_core_type_size(struct upid);

	return (__u64)BPF_CORE_READ(own, ns);
}

/* The pid namespace a procfs shows, and the number its directory is called by; 0: it is
 * not that of a process. */
static __always_inline __u32 bee_proc_directory(struct dentry *dentry, __u64 *namespace)
{
	struct super_block *sb = BPF_CORE_READ(dentry, d_sb);
	struct proc_fs_info *info;
	char name[12] = {};
	__u32 number = 0;

	if (BPF_CORE_READ(sb, s_magic) != PROC_SUPER_MAGIC)
		return 0;
	info = (void *)BPF_CORE_READ(sb, s_fs_info);
	*namespace = (__u64)BPF_CORE_READ(info, pid_ns);
	if (bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name)) <= 0)
		return 0;
#pragma unroll
	for (int i = 0; i < 10; i++) {
		if (!name[i])
			return number;
		if (name[i] < '0' || name[i] > '9')
			return 0;
		number = number * 10 + (name[i] - '0');
	}
	return name[10] ? 0 : number;
}

/* What is told of a target. */
static __always_inline void bee_target(struct bee_memory *record, struct task_struct *task)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	record->target_tgid = BPF_CORE_READ(task, tgid);
	record->target_tid = BPF_CORE_READ(task, pid);
	record->target_start = BPF_CORE_READ(leader, start_boottime);
	record->target_uid = BPF_CORE_READ(leader, real_cred, uid.val);
	BPF_CORE_READ_STR_INTO(&record->target_comm, leader, comm);
	if (BPF_CORE_READ(task, exit_state))
		record->header.flags |= BEE_FLAG_TARGET_EXITED;
}

/* The name in the record is the kernel's own copy. */
#define BEE_WHAT_OF_KERNEL (1ull << 15)

/* What was done, above 32 bits; the number that was given, below. */
#define BEE_MEMORY(request, access, number) \
	((__u64)(access) << 56 | (__u64)((request)&0xffffff) << 32 | (__u32)(number))

/*
 * Sends the record of an act on the process `target`; 0: it ended at that moment. The
 * record's name, of `name_length` bytes, lies in the tail.
 */
__noinline int bee_on_memory(bee_what what, __u64 target, __u64 act, __u32 name_length)
{
	struct task_struct *task = (void *)target;
	struct bee_scratch *buffer = bee_scratch(BEE_WHAT_PLACE(what));
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u16 kind = BEE_WHAT_KIND(what);
	struct bee_memory *record;

	/* Its own memory. */
	if (task && BPF_CORE_READ(task, tgid) == tgid && !name_length)
		return 0;
	if (tgid == settings.self_tgid || tgid == settings.scanner_tgid) {
		bee_count(kind, BEE_CAUSE_SELF);
		return 0;
	}
	if (!buffer) {
		bee_count(kind, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	record = bee_fixed(buffer, struct bee_memory);
	bee_begin(BEE_WHAT_PLACE(what), kind, BEE_WHAT_HOOK(what), sizeof(*record));
	record->target_uid = ~0u;
	record->target_number = act;
	record->request = act >> 32 & 0xffffff;
	record->access = act >> 56;
	record->name_length = name_length;
	if (task)
		bee_target(record, task);
	else if (!name_length)
		record->header.flags |= BEE_FLAG_TARGET_EXITED | BEE_FLAG_TARGET_AS_GIVEN;
	if (name_length && !(what & BEE_WHAT_OF_KERNEL))
		record->header.flags |= BEE_FLAG_ARGS_RACY;
	if (BEE_WHAT_COMPAT(what))
		record->header.flags |= BEE_FLAG_COMPAT;
	if (BEE_WHAT_RESULT(what) < 0)
		record->header.result = BEE_WHAT_RESULT(what);
	return bee_submit(BEE_WHAT_PLACE(what), sizeof(*record), name_length, 1);
}

static __always_inline bee_what bee_of_kind(bee_what what, __u8 kind)
{
	return (what & ~0xffull) | kind;
}

/* An open that succeeded, whatever file it is of. */
__noinline int bee_on_opened(bee_what what, __u64 opened, __u32 access)
{
	struct dentry *dentry = (void *)opened;
	char end[BEE_END + 1] = {};
	__u64 namespace = 0;
	__u32 number, length;
	__u8 file;

	if (BPF_CORE_READ(dentry, d_sb, s_magic) != PROC_SUPER_MAGIC)
		return 0;
	/* The longest of the names has 12 bytes. */
	length = BPF_CORE_READ(dentry, d_name.len);
	if (length < 3 || length > 12)
		return 0;
	length &= 0xf;
	bpf_probe_read_kernel(&end[BEE_END - length], length, BPF_CORE_READ(dentry, d_name.name));
	file = bee_proc_file(end);
	if (!file)
		return 0;
	number = bee_proc_directory(BPF_CORE_READ(dentry, d_parent), &namespace);
	if (!number)
		return 0;
	return bee_on_memory(bee_of_kind(what, bee_proc_kind(file)),
			     bee_numbered(namespace, number), BEE_MEMORY(file, access, number), 0);
}

static __always_inline bool bee_refused(__s32 result)
{
	return result == -EACCES || result == -EPERM || result == -ESRCH;
}

/*
 * An open that was refused, by the name it was tried under: where that has no more than one
 * component, the directory tells the target. User space takes longer ones apart.
 */
__noinline int bee_on_refused_name(bee_what what, __u64 name, __u32 directory, __u32 access)
{
	struct bee_scratch *buffer = bee_scratch(BEE_WHAT_PLACE(what));
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 namespace = 0, target = 0;
	struct dentry *dentry = NULL;
	__u32 size, number = 0;
	__u8 file;

	size = bee_proc_name(BEE_WHAT_PLACE(what), name, what & BEE_WHAT_OF_KERNEL, &file);
	if (!size || !file || !buffer)
		return 0;
	if (buffer->tail[0] != '/') {
		if ((__s32)directory == AT_FDCWD)
			dentry = BPF_CORE_READ(task, fs, pwd.dentry);
		else
			dentry = BPF_CORE_READ(bee_descriptor_file(directory), f_path.dentry);
		number = bee_proc_directory(dentry, &namespace);
		if (number)
			target = bee_numbered(namespace, number);
	}
	return bee_on_memory(bee_of_kind(what, bee_proc_kind(file)), target,
			     BEE_MEMORY(file, access, number), size);
}

/* The process a descriptor stands for (pidfd_pid of the kernel); 0: it is none. */
static __always_inline __u64 bee_descriptor_task(__u32 descriptor)
{
	struct file *file = bee_descriptor_file(descriptor);
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct hlist_node *first;
	struct pid *pid;

	if (BPF_CORE_READ(inode, i_sb, s_magic) == PID_FS_MAGIC)
		pid = BPF_CORE_READ(inode, i_private);
	else
		pid = BPF_CORE_READ(file, private_data);
	first = BPF_CORE_READ(pid, tasks[0].first);
	return first ? (__u64)first - bpf_core_field_offset(struct task_struct, pid_links) : 0;
}

/* PTRACE_TRACEME: who is to trace is the parent. */
static __always_inline __u64 bee_tracer(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return (__u64)BPF_CORE_READ(task, real_parent);
}

/* A number that a call had for its target. */
static __always_inline int bee_on_number(bee_what what, __u32 request, __u32 number)
{
	__u64 target = bee_numbered(bee_namespace(), number);

	if (!bee_reached(BEE_WHAT_RESULT(what)) || (!target && BEE_WHAT_RESULT(what) < 0))
		return 0;
	return bee_on_memory(what, target, BEE_MEMORY(request, 0, number), 0);
}

/* A system call that has ended: `call` has its number of the table for a kind. */
__noinline int bee_on_call(__u64 regs, bee_what call)
{
	__s32 result = BEE_WHAT_RESULT(call);
	bool compat = BEE_WHAT_COMPAT(call);
	__u32 request;
	__u64 target;

	switch (BEE_WHAT_KIND(call)) {
	case MEMORY_PTRACE:
		request = bee_memory_arg(regs, compat, 0);
		call = bee_of_kind(call, BEE_KIND_PTRACE);
		if (request == PTRACE_TRACEME)
			return bee_on_memory(call, bee_tracer(), BEE_MEMORY(request, 0, 0), 0);
		if (request != PTRACE_ATTACH && request != PTRACE_SEIZE)
			return 0;
		return bee_on_number(call, request, bee_memory_arg(regs, compat, 1));
	case MEMORY_VM_READ:
		return bee_on_number(bee_of_kind(call, BEE_KIND_VM_READ), 0,
				     bee_memory_arg(regs, compat, 0));
	case MEMORY_VM_WRITE:
		return bee_on_number(bee_of_kind(call, BEE_KIND_VM_WRITE), 0,
				     bee_memory_arg(regs, compat, 0));
	case MEMORY_GETFD:
		target = bee_descriptor_task(bee_memory_arg(regs, compat, 0));
		if (!bee_reached(result) || (!target && result < 0))
			return 0;
		return bee_on_memory(bee_of_kind(call, BEE_KIND_PIDFD_GETFD), target, 0, 0);
	}
	return 0;
}
