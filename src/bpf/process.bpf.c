// SPDX-License-Identifier: GPL-2.0
/*
 * The process sensor.
 *
 *   sched_process_exec  a new image: after begin_new_exec(), in the new mm, so argv
 *                       and environment are read where the kernel has just put them
 *   sched_process_fork  a new process (threads are not reported)
 *   sched_process_exit  the last thread of a process ends
 *   cgroup_mkdir/rmdir  names of cgroups: a short-lived unit's directory is gone by
 *                       the time user space looks
 */
#define BEE_RARE
#include "path.bpf.h"
#include "env.bpf.h"

#define TMPFS_MAGIC	0x01021994
#define RAMFS_MAGIC	0x858458f6
#define HUGETLBFS_MAGIC 0x958458f6

static __always_inline __u64 bee_image_flags(struct inode *inode, struct dentry *dentry)
{
	__u64 magic = BPF_CORE_READ(inode, i_sb, s_magic);
	__u64 flags = 0;
	char name[8] = {};

	if (magic == TMPFS_MAGIC || magic == RAMFS_MAGIC)
		flags |= BEE_FLAG_EXE_TMPFS;
	if (BPF_CORE_READ(inode, i_nlink) == 0) {
		bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
		if ((magic == TMPFS_MAGIC || magic == HUGETLBFS_MAGIC) && name[0] == 'm' &&
		    name[1] == 'e' && name[2] == 'm' && name[3] == 'f' && name[4] == 'd' &&
		    name[5] == ':')
			flags = BEE_FLAG_EXE_MEMFD;
		else
			flags |= BEE_FLAG_EXE_DELETED;
	}
	return flags;
}

static __always_inline int bee_exec(struct task_struct *task, struct linux_binprm *bprm, __u16 hook)
{
	struct bee_scratch *buffer;
	struct bee_exec *record;
	struct file *image;
	struct inode *inode;
	struct mm_struct *mm;
	__u64 begin, end, length;
	__u32 at, walk;
	long size;

	if (!bee_active())
		return 0;
	buffer = bee_scratch(0);
	if (!buffer) {
		bee_count(BEE_KIND_EXEC, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	record = bee_fixed(buffer, struct bee_exec);
	bee_begin(0, BEE_KIND_EXEC, hook, sizeof(*record));
	image = BPF_CORE_READ(bprm, file);
	inode = BPF_CORE_READ(image, f_inode);
	mm = BPF_CORE_READ(task, mm);

	record->inode = BPF_CORE_READ(inode, i_ino);
	record->device = BPF_CORE_READ(inode, i_sb, s_dev);
	record->header.flags |= bee_image_flags(inode, BPF_CORE_READ(image, f_path.dentry));
	if (record->header.uid != record->header.euid)
		record->header.flags |= BEE_FLAG_SETUID;

	walk = bee_walk(0, (__u64)BPF_CORE_READ(image, f_path.dentry),
			(__u64)BPF_CORE_READ(image, f_path.mnt), BEE_WALK_UNTESTED);
	record->header.flags |= bee_walk_flags(walk);
	record->image_length = BEE_WALK_LENGTH(walk);
	at = record->image_length;

	/* filename is what was asked for; interp differs where an interpreter runs it. */
	if (BPF_CORE_READ(bprm, interp) != BPF_CORE_READ(bprm, filename)) {
		size = bpf_probe_read_kernel_str(&buffer->tail[at & BEE_TAIL_MASK], BEE_PART_MAX,
						 BPF_CORE_READ(bprm, filename));
		if (size > 0)
			record->script_length = size & 0x1fff;
		at += record->script_length;
	}

	begin = BPF_CORE_READ(mm, arg_start);
	end = BPF_CORE_READ(mm, arg_end);
	length = end > begin ? end - begin : 0;
	if (length > BEE_ARGS_MAX) {
		length = BEE_ARGS_MAX;
		record->header.flags |= BEE_FLAG_ARGS_TRUNCATED;
	}
	if (bpf_probe_read_user(&buffer->tail[at & BEE_TAIL_MASK], length, (void *)begin))
		record->header.flags |= BEE_FLAG_ARGS_UNREADABLE;
	else
		record->args_length = length;
	at += record->args_length;

	begin = BPF_CORE_READ(mm, env_start);
	end = BPF_CORE_READ(mm, env_end);
	if (settings.env_names && end > begin) {
		__u32 names = bee_env_names(at, begin, end);

		if (names & BEE_ENV_CUT)
			record->header.flags |= BEE_FLAG_ENV_TRUNCATED;
		if (names & BEE_ENV_FAILED)
			record->header.flags |= BEE_FLAG_ENV_UNREADABLE;
		record->env_length = names & 0xfff;
		at += record->env_length;
	}
	bee_submit(0, sizeof(*record), at, 0);
	return 0;
}

/* The record of a fork or an exit: a header and a status. */
static __always_inline int bee_process(struct task_struct *task, __u16 kind, __u16 hook,
				       __u32 status)
{
	struct bee_process *record = bee_reserve(kind, struct bee_process);

	if (!record)
		return 0;
	bee_fill_from(&record->header, task, BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id), kind,
		      hook, false);
	record->status = status;
	record->reserved = 0;
	bee_commit(&record->header, kind, sizeof(*record));
	return 0;
}

static __always_inline int bee_fork(struct task_struct *child, __u16 hook)
{
	if (!bee_active() || BPF_CORE_READ(child, pid) != BPF_CORE_READ(child, tgid))
		return 0;
	return bee_process(child, BEE_KIND_FORK, hook, 0);
}

static __always_inline int bee_exit(struct task_struct *task, __u16 hook)
{
	__u32 status;

	if (!bee_active())
		return 0;
	/* The group's code where exit_group() or a signal set one, else this thread's. */
	status = BPF_CORE_READ(task, signal, group_exit_code);
	if (!status)
		status = BPF_CORE_READ(task, exit_code);
	return bee_process(task, BEE_KIND_EXIT, hook, status);
}

static __always_inline int bee_cgroup(struct cgroup *group, const char *path, __u32 removed,
				      __u16 hook)
{
	struct bee_cgroup_record *record;

	/* Only the default hierarchy has the ids events carry. */
	if (!bee_active() || BPF_CORE_READ(group, root, hierarchy_id) != 0)
		return 0;
	record = bee_reserve(BEE_KIND_CGROUP, struct bee_cgroup_record);
	if (!record)
		return 0;
	bee_fill_current(&record->fixed.header, BEE_KIND_CGROUP, hook);
	record->fixed.id = BPF_CORE_READ(group, kn, id);
	record->fixed.removed = removed;
	record->fixed.path_length = BEE_CGROUP_PATH;
	record->fixed.reserved = 0;
	__builtin_memset(record->path, 0, sizeof(record->path));
	if (bpf_probe_read_kernel_str(record->path, sizeof(record->path), path) <= 0) {
		bpf_ringbuf_discard(record, 0);
		bee_count(BEE_KIND_CGROUP, BEE_CAUSE_UNREADABLE);
		return 0;
	}
	bee_commit(&record->fixed.header, BEE_KIND_CGROUP, sizeof(*record));
	return 0;
}

SEC("raw_tp/sched_process_exec")
int BPF_PROG(raw_tp__sched_process_exec, struct task_struct *task, pid_t old,
	     struct linux_binprm *bprm)
{
	return bee_exec(task, bprm, BEE_HOOK_RAW_TP_EXEC);
}

SEC("raw_tp/sched_process_fork")
int BPF_PROG(raw_tp__sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
	return bee_fork(child, BEE_HOOK_RAW_TP_FORK);
}

/* Since 6.16 the tracepoint says itself whether the group is dead; older kernels do not
 * attach this program and get the next one. Drop that when the minimum is 6.16. */
SEC("raw_tp/sched_process_exit")
int BPF_PROG(raw_tp__sched_process_exit__dead, struct task_struct *task, bool group_dead)
{
	return group_dead ? bee_exit(task, BEE_HOOK_RAW_TP_EXIT) : 0;
}

/* signal->live was counted down before the tracepoint: 0 in the last thread. Two
 * threads that end at the same instant can both read 0; user space knows a
 * process that has already ended. */
SEC("raw_tp/sched_process_exit")
int BPF_PROG(raw_tp__sched_process_exit, struct task_struct *task)
{
	return BPF_CORE_READ(task, signal, live.counter) == 0 ? bee_exit(task, BEE_HOOK_RAW_TP_EXIT)
							      : 0;
}

/* The same three at functions, where the kernel has trampolines or kprobes: the programs
 * of tracepoints can be preempted from 7.0 on, and the kernel then skips one that another
 * task of the same CPU is in the middle of. finalize_exec is the end of every binary
 * format's loading; wake_up_new_task the last of a fork; taskstats_exit (CONFIG_TASKSTATS)
 * comes when it is known whether the last thread ends. */
SEC("fentry/finalize_exec")
int BPF_PROG(fentry__finalize_exec, struct linux_binprm *bprm)
{
	return bee_exec((void *)bpf_get_current_task(), bprm, BEE_HOOK_FENTRY_FINALIZE_EXEC);
}

SEC("kprobe/finalize_exec")
int BPF_KPROBE(kprobe__finalize_exec, struct linux_binprm *bprm)
{
	return bee_exec((void *)bpf_get_current_task(), bprm, BEE_HOOK_KPROBE_FINALIZE_EXEC);
}

SEC("fentry/wake_up_new_task")
int BPF_PROG(fentry__wake_up_new_task, struct task_struct *child)
{
	return bee_fork(child, BEE_HOOK_FENTRY_WAKE_UP_NEW_TASK);
}

SEC("kprobe/wake_up_new_task")
int BPF_KPROBE(kprobe__wake_up_new_task, struct task_struct *child)
{
	return bee_fork(child, BEE_HOOK_KPROBE_WAKE_UP_NEW_TASK);
}

SEC("fentry/taskstats_exit")
int BPF_PROG(fentry__taskstats_exit, struct task_struct *task, int group_dead)
{
	return group_dead ? bee_exit(task, BEE_HOOK_FENTRY_TASKSTATS_EXIT) : 0;
}

SEC("kprobe/taskstats_exit")
int BPF_KPROBE(kprobe__taskstats_exit, struct task_struct *task, int group_dead)
{
	return group_dead ? bee_exit(task, BEE_HOOK_KPROBE_TASKSTATS_EXIT) : 0;
}

SEC("raw_tp/cgroup_mkdir")
int BPF_PROG(raw_tp__cgroup_mkdir, struct cgroup *group, const char *path)
{
	return bee_cgroup(group, path, 0, BEE_HOOK_CGROUP_MKDIR);
}

SEC("raw_tp/cgroup_rmdir")
int BPF_PROG(raw_tp__cgroup_rmdir, struct cgroup *group, const char *path)
{
	return bee_cgroup(group, path, 1, BEE_HOOK_CGROUP_RMDIR);
}

char LICENSE[] SEC("license") = "GPL";
