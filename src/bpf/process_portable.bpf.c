// SPDX-License-Identifier: GPL-2.0
/*
 * The process sensor, `portable` tier: no kernel structure is read.
 *
 *   sched_process_exec  (raw_tp) this thread has a new program
 *   sched_process_exec  (tp) the name it was executed by, in the kernel's own copy
 *   sys_exit            the end of that execve: the program has not run yet, so its stack
 *                       is as the kernel made it, with all strings (stack.bpf.h)
 *   task_newtask        a new task, and whether it is a thread
 *   sched_process_exit  a task ends
 *   cgroup_mkdir/rmdir  names of cgroups, as in process.bpf.c
 *
 * sys_exit is asked about only while some exec is under way. A program the kernel starts
 * itself (a helper, core_pattern) has no end of execve on arm64; the end of its first
 * system call stands for it then, too late for its arguments.
 */
#include "nobtf.bpf.h"
#include "stack.bpf.h"

/* Scratch buffers: these programs may be preempted. */
enum bee_slot {
	SLOT_ARGS,
	SLOT_NAME,
	SLOT_COUNT,
};

/* Where the fields of tracepoints are, in bytes from the start of a record: by the loader,
 * from their format files (src/probe/trace_event.rs). */
struct bee_fields {
	__u32 exec_filename;
	__u32 task_pid;
	__u32 task_clone_flags;
	__u32 mkdir_root;
	__u32 mkdir_id;
	__u32 mkdir_path;
	__u32 rmdir_root;
	__u32 rmdir_id;
	__u32 rmdir_path;
};

const volatile struct bee_fields bee_fields SEC(".rodata.fields");

/* How many execs are under way: while there is none, a system call costs one load. */
__u64 bee_execs_held = 0;

#define bee_field(ctx, offset, to) \
	bpf_probe_read_kernel(to, sizeof(*(to)), (void *)(ctx) + (offset))

/* The text of a field, which lies behind the fields; its length with NUL. */
static __always_inline long bee_field_text(void *ctx, __u32 offset, void *to, __u32 size)
{
	__u32 location = 0;

	bee_field(ctx, offset, &location);
	return bpf_probe_read_kernel_str(to, size, ctx + (location & 0xffff));
}

/* The calls that execute, of all interfaces: after the exec it cannot be told any more by
 * which one it came. x32 has two numbers of its own. Kernels before 6.4 forget the number
 * on arm64. */
static __always_inline bool bee_is_exec(__u64 number)
{
#if defined(__TARGET_ARCH_x86)
	return number == 59 || number == 322 || number == 520 || number == 545 || number == 11 ||
	       number == 358;
#elif defined(__TARGET_ARCH_arm64)
	return number == 221 || number == 281 || number == 11 || number == 387 ||
	       number == (__u32)-1;
#endif
}

/* An exec of which nothing is to be had but that it was. */
static __always_inline void bee_exec_bare(__u64 begun)
{
	struct bee_exec *record = bee_reserve(BEE_KIND_EXEC, struct bee_exec);

	if (!record)
		return;
	__builtin_memset(record, 0, sizeof(*record));
	bee_fill(&record->header, BEE_KIND_EXEC, BEE_HOOK_PORTABLE_EXEC);
	record->header.time = begun;
	record->header.flags |= BEE_FLAG_EXE_AS_GIVEN | BEE_FLAG_PATH_UNREADABLE |
				BEE_FLAG_ARGS_UNREADABLE | BEE_FLAG_ENV_UNREADABLE;
	bee_commit(&record->header, BEE_KIND_EXEC, sizeof(*record));
}

SEC("raw_tp/sched_process_exec")
int BPF_PROG(raw_tp__sched_process_exec)
{
	__u64 key = bpf_get_current_pid_tgid(), now = bpf_ktime_get_boot_ns();

	if (!bee_active())
		return 0;
	if (bpf_map_update_elem(&execs, &key, &now, BPF_ANY))
		bee_exec_bare(now);
	else
		__sync_fetch_and_add(&bee_execs_held, 1);
	return 0;
}

/* Best effort, after the one above: without it the name is read from the program's stack. */
SEC("tp/sched/sched_process_exec")
int tp__sched_process_exec(void *ctx)
{
	struct bee_scratch *buffer = bee_scratch(BEE_PLACE(SLOT_NAME, 0));
	__u64 key = bpf_get_current_pid_tgid();
	struct bee_exec *record;
	long size;

	if (!buffer || !bpf_map_lookup_elem(&execs, &key))
		return 0;
	record = bee_fixed(buffer, struct bee_exec);
	size = bee_field_text(ctx, bee_fields.exec_filename, buffer->tail, BEE_PART_MAX);
	if (size <= 0)
		return 0;
	record->script_length = size;
	bpf_map_update_elem(&pending, &key, &buffer->fixed, BPF_ANY);
	return 0;
}

/* The name of the program to the beginning of the tail; its length with NUL. */
__noinline __u32 bee_exec_name(__u64 key, __u64 given)
{
	struct bee_scratch *buffer = bee_scratch(BEE_PLACE(SLOT_ARGS, 0));
	struct bee_held *held = bpf_map_lookup_elem(&pending, &key);
	struct bee_exec *record;
	__u32 length = 0;
	long size;

	if (!buffer)
		return 0;
	if (held) {
		record = bee_fixed(held, struct bee_exec);
		length = record->script_length;
		barrier_var(length);
		if (length > BEE_PART_MAX)
			length = 0;
		bpf_probe_read_kernel(buffer->tail, length, held->tail);
		bpf_map_delete_elem(&pending, &key);
	}
	if (!length && given) {
		size = bpf_probe_read_user_str(buffer->tail, BEE_PART_MAX, (void *)given);
		if (size > 0)
			length = size;
	}
	return length;
}

/* Arguments and names of variables, from the strings bee_stack found, to `at` in the tail. */
static __always_inline __u32 bee_exec_strings(struct bee_scratch *buffer, struct bee_exec *record,
					      __u32 at)
{
	struct bee_stack_state *stack = &buffer->stack;
	__u64 length = stack->args_end - stack->args;

	if (length > BEE_ARGS_MAX) {
		length = BEE_ARGS_MAX;
		record->header.flags |= BEE_FLAG_ARGS_TRUNCATED;
	}
	if (!stack->args ||
	    bpf_probe_read_user(&buffer->tail[at & BEE_TAIL_MASK], length, (void *)stack->args))
		record->header.flags |= BEE_FLAG_ARGS_UNREADABLE;
	else
		record->args_length = length;
	record->header.flags &= ~(stack->args ? 0 : BEE_FLAG_ARGS_TRUNCATED);
	at += record->args_length;
	if (settings.env_names && stack->env) {
		__u32 names = bee_env_names(BEE_PLACE(SLOT_ARGS, at), stack->env, stack->env_end);

		if (names & BEE_ENV_CUT)
			record->header.flags |= BEE_FLAG_ENV_TRUNCATED;
		if (names & BEE_ENV_FAILED)
			record->header.flags |= BEE_FLAG_ENV_UNREADABLE;
		record->env_length = names & 0xfff;
		at += record->env_length;
	}
	if (stack->uid != stack->euid)
		record->header.flags |= BEE_FLAG_SETUID;
	return at;
}

/* An exec is over: `pointer` is the stack of the new program, 0 if it is not to be had. */
__noinline int bee_exec(__u64 pointer, __u32 narrow, __u64 begun)
{
	struct bee_scratch *buffer = bee_scratch(BEE_PLACE(SLOT_ARGS, 0));
	__u64 key = bpf_get_current_pid_tgid();
	struct bee_exec *record;
	__u32 at;

	if (!buffer) {
		bee_count(BEE_KIND_EXEC, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	record = bee_fixed(buffer, struct bee_exec);
	bee_begin(BEE_PLACE(SLOT_ARGS, 0), BEE_KIND_EXEC, BEE_HOOK_PORTABLE_EXEC, sizeof(*record));
	record->header.time = begun;
	record->header.flags |= BEE_FLAG_EXE_AS_GIVEN | BEE_FLAG_ARGS_RACY;
	if (pointer)
		bee_stack(BEE_PLACE(SLOT_ARGS, 0), pointer, narrow);
	at = bee_exec_name(key, pointer ? buffer->stack.name : 0);
	record->script_length = at;
	if (!at)
		record->header.flags |= BEE_FLAG_PATH_UNREADABLE;
	if (pointer)
		at = bee_exec_strings(buffer, record, at);
	else
		record->header.flags |= BEE_FLAG_ARGS_UNREADABLE | BEE_FLAG_ENV_UNREADABLE;
	bee_submit(BEE_PLACE(SLOT_ARGS, 0), sizeof(*record), at, 0);
	return 0;
}

/* Ends what sched_process_exec began. */
static __always_inline void bee_exec_over(__u64 key)
{
	bpf_map_delete_elem(&execs, &key);
	__sync_fetch_and_add(&bee_execs_held, -1);
}

SEC("raw_tp/sys_exit")
int BPF_PROG(raw_tp__sys_exit, __u64 regs, long result)
{
	__u64 key, *begun, since, pointer = 0;
	struct bee_saved saved;

	if (!bee_execs_held)
		return 0;
	key = bpf_get_current_pid_tgid();
	begun = bpf_map_lookup_elem(&execs, &key);
	if (!begun)
		return 0;
	since = *begun;
	bee_exec_over(key);
	if (!bee_saved_read(&saved, regs) && !result && bee_is_exec(bee_saved_number(&saved)))
		bpf_probe_read_kernel(&pointer, sizeof(pointer),
				      (void *)regs + bee_saved_stack_at(&saved));
	return bee_exec(pointer, bee_saved_32bit(&saved), since);
}

#define CLONE_THREAD	  0x00010000 /* linux/sched.h */
#define CLONE_PARENT	  0x00008000
#define CLONE_INTO_CGROUP 0x200000000ull

/* Runs as the parent. */
SEC("tp/task/task_newtask")
int tp__task_newtask(void *ctx)
{
	struct bee_process *record;
	__u64 flags = 0;
	__u32 pid = 0;

	if (!bee_active())
		return 0;
	if (bee_field(ctx, bee_fields.task_clone_flags, &flags) ||
	    bee_field(ctx, bee_fields.task_pid, &pid)) {
		bee_count(BEE_KIND_FORK, BEE_CAUSE_UNREADABLE);
		return 0;
	}
	if (flags & CLONE_THREAD)
		return 0;
	record = bee_reserve(BEE_KIND_FORK, struct bee_process);
	if (!record)
		return 0;
	bee_fill(&record->header, BEE_KIND_FORK, BEE_HOOK_PORTABLE_NEWTASK);
	record->header.ppid = record->header.tgid;
	record->header.tgid = pid;
	record->header.tid = pid;
	record->header.start = record->header.time;
	if (flags & CLONE_INTO_CGROUP)
		record->header.cgroup = 0;
	record->status = flags & CLONE_PARENT;
	record->reserved = 0;
	bee_commit(&record->header, BEE_KIND_FORK, sizeof(*record));
	return 0;
}

static __always_inline int bee_exit(void)
{
	struct bee_process *record;

	if (!bee_active())
		return 0;
	record = bee_reserve(BEE_KIND_EXIT, struct bee_process);
	if (!record)
		return 0;
	bee_fill(&record->header, BEE_KIND_EXIT, BEE_HOOK_PORTABLE_EXIT);
	record->header.flags |= BEE_FLAG_STATUS_UNKNOWN;
	record->status = 0;
	record->reserved = 0;
	bee_commit(&record->header, BEE_KIND_EXIT, sizeof(*record));
	return 0;
}

/* A program that ends before the end of its execve. */
static __always_inline void bee_exec_unfinished(void)
{
	__u64 key, *begun, since;

	if (!bee_execs_held)
		return;
	key = bpf_get_current_pid_tgid();
	begun = bpf_map_lookup_elem(&execs, &key);
	if (!begun)
		return;
	since = *begun;
	bee_exec_over(key);
	bpf_map_delete_elem(&pending, &key);
	bee_exec_bare(since);
}

/* Since 6.16 the tracepoint says whether the last thread of a process ends; older kernels
 * do not attach a program that asks for it. Drop the other when the minimum is 6.16. */
SEC("raw_tp/sched_process_exit")
int BPF_PROG(raw_tp__sched_process_exit__dead, void *task, bool group_dead)
{
	bee_exec_unfinished();
	return group_dead ? bee_exit() : 0;
}

/* The first thread stands for the process: others may outlive it. */
SEC("raw_tp/sched_process_exit")
int BPF_PROG(raw_tp__sched_process_exit__first)
{
	__u64 ids = bpf_get_current_pid_tgid();

	bee_exec_unfinished();
	return ids >> 32 == (__u32)ids ? bee_exit() : 0;
}

static __always_inline int bee_cgroup(void *ctx, __u32 root_at, __u32 id_at, __u32 path_at,
				      __u32 removed, __u16 hook)
{
	struct bee_cgroup_record *record;
	__u32 root = ~0u;
	__u64 id = 0;

	/* Only the default hierarchy has the ids events carry. */
	if (!bee_active() || bee_field(ctx, root_at, &root) || root != 0)
		return 0;
	record = bee_reserve(BEE_KIND_CGROUP, struct bee_cgroup_record);
	if (!record)
		return 0;
	bee_fill(&record->fixed.header, BEE_KIND_CGROUP, hook);
	__builtin_memset(record->path, 0, sizeof(record->path));
	if (bee_field(ctx, id_at, &id) ||
	    bee_field_text(ctx, path_at, record->path, sizeof(record->path)) <= 0) {
		bpf_ringbuf_discard(record, 0);
		bee_count(BEE_KIND_CGROUP, BEE_CAUSE_UNREADABLE);
		return 0;
	}
	record->fixed.id = id;
	record->fixed.removed = removed;
	record->fixed.path_length = BEE_CGROUP_PATH;
	record->fixed.reserved = 0;
	bee_commit(&record->fixed.header, BEE_KIND_CGROUP, sizeof(*record));
	return 0;
}

SEC("tp/cgroup/cgroup_mkdir")
int tp__cgroup_mkdir(void *ctx)
{
	return bee_cgroup(ctx, bee_fields.mkdir_root, bee_fields.mkdir_id, bee_fields.mkdir_path, 0,
			  BEE_HOOK_PORTABLE_CGROUP_MKDIR);
}

SEC("tp/cgroup/cgroup_rmdir")
int tp__cgroup_rmdir(void *ctx)
{
	return bee_cgroup(ctx, bee_fields.rmdir_root, bee_fields.rmdir_id, bee_fields.rmdir_path, 1,
			  BEE_HOOK_PORTABLE_CGROUP_RMDIR);
}

char LICENSE[] SEC("license") = "GPL";
