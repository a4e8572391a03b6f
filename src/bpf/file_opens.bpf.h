/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The programs at opens of the tiers `full` and `kprobe`: file_security.bpf.c says at which
 * functions, and has the slots of their scratch buffers.
 */
#pragma once

#include "given.bpf.h"

#define FMODE_EXEC    0x20 /* f_flags: __FMODE_EXEC, the kernel opens what is to be executed */
#define FMODE_BACKING (1u << 25) /* since 6.5: the file below one of a stacked file system */

static __always_inline bool bee_refusal(long result)
{
	return result == -EACCES || result == -EPERM;
}

/* An open that succeeded, of a file that may be one of ours. */
static __always_inline int bee_opened(struct file *file, __u16 hook, __u8 slot)
{
	__u32 f_mode = BPF_CORE_READ(file, f_mode);

	if (f_mode & FMODE_PATH || BPF_CORE_READ(file, f_flags) & FMODE_EXEC)
		return 0;
	return bee_on_inode(bee_pack(hook, BEE_KIND_OPEN, false, slot, 0),
			    bee_number(&file->f_path), f_mode, 0, 0);
}

/* An open ended, with the file or with why there is none. */
static __always_inline void bee_open_ended(int dfd, struct filename *pathname,
					   const struct open_flags *op, struct file *file,
					   __u16 hook)
{
	__u32 flags, access;
	__u64 result;

	if (!bee_active())
		return;
	if (!bee_is_error((__u64)file)) {
		if (!bee_misses(file))
			bee_opened(file, hook, SLOT_OPEN);
		return;
	}
	result = bee_number(file);
	flags = BPF_CORE_READ(op, open_flag);
	if (!bee_refusal(result) || flags & FMODE_EXEC)
		return;
	access = bee_flags_access(flags);
	bee_on_refused(bee_pack(hook, BEE_KIND_OPEN, false, SLOT_OPEN, result),
		       (__u64)BPF_CORE_READ(pathname, name), dfd, access | BEE_ACCESS_OF_KERNEL);
}

/* What the two functions are called with, and what they return. */
#define BEE_OPEN_DFD	  0
#define BEE_OPEN_PATHNAME 1
#define BEE_OPEN_OP	  2
#define BEE_OPEN_FILE	  3

/*
 * Whether the memory sensor may want it too: its program runs by itself where none hands on. Not
 * inlined, so that the program loads and keeps nothing of what most opens never come to: those of
 * the root's file system, which is neither ours nor the memory sensor's.
 */
static __noinline bool bee_open_unusual(__u64 *ctx, __u32 hook)
{
	struct file *file = (void *)ctx[BEE_OPEN_FILE];

	bee_open_ended(ctx[BEE_OPEN_DFD], (void *)ctx[BEE_OPEN_PATHNAME], (void *)ctx[BEE_OPEN_OP],
		       file, hook);
	return bee_found.exits &&
	       (bee_is_error((__u64)file) || file->f_inode->i_sb->s_magic == PROC_SUPER_MAGIC);
}

/* An errno is looked for first: a load behind one is a fault at an address of the process, which
 * arm64 takes, and opens of names that are not there are many. */
#define BEE_OPEN_PROGRAM(name, hook)                                      \
	int name(__u64 *ctx)                                              \
	{                                                                 \
		struct file *file = (void *)ctx[BEE_OPEN_FILE];           \
                                                                          \
		if ((bee_is_error((__u64)file) || !bee_is_usual(file)) && \
		    bee_open_unusual(ctx, hook))                          \
			bee_hand_on(ctx, opens_typed, BEE_READER_MEMORY); \
		return 0;                                                 \
	}

SEC("fexit/do_filp_open")
BEE_OPEN_PROGRAM(fexit__do_filp_open, BEE_HOOK_FEXIT_DO_FILP_OPEN)

SEC("fexit/do_file_open")
BEE_OPEN_PROGRAM(fexit__do_file_open, BEE_HOOK_FEXIT_DO_FILE_OPEN)

SEC("fexit/do_file_open_root")
int BPF_PROG(fexit__do_file_open_root, const struct path *root, const char *name,
	     const struct open_flags *op, struct file *file)
{
	/* Refused: a handle is not a name, and nothing was opened. */
	if (!bee_active() || bee_is_error((__u64)file) || bee_misses(file))
		return 0;
	return bee_opened(file, BEE_HOOK_FEXIT_DO_FILE_OPEN_ROOT, SLOT_OPEN_ROOT);
}

SEC("kprobe/security_file_open")
int BPF_KPROBE(kprobe__security_file_open, struct file *file)
{
	enum bee_look look = bee_look((__u64)file);

	if (look == BEE_LOOK_USUAL || !bee_active() ||
	    (look == BEE_LOOK_ON && bee_misses_read((__u64)file) & BEE_MISSES))
		return 0;
	/* A stacked file system opens the file below: the caller's is seen by itself. Before
	 * 6.5 such a file has the path of the one above and its own inode. */
	if (BPF_CORE_READ(file, f_mode) & FMODE_BACKING ||
	    BPF_CORE_READ(file, f_inode) != BPF_CORE_READ(file, f_path.dentry, d_inode))
		return 0;
	return bee_opened(file, BEE_HOOK_KPROBE_SECURITY_FILE_OPEN, SLOT_KPROBE);
}

/*
 * The registers the current system call came with: at the top of the task's stack
 * (task_pt_regs of arch/{x86,arm64}/include/asm/processor.h). Its size is not in the
 * kernel's types; what is found is therefore believed only if it is a call of the table
 * with a plausible number. 0: none.
 */
#define BEE_STACK (16 * 1024) /* THREAD_SIZE of both, for pages of 4 and of 16 KiB */

static __always_inline __u64 bee_caller(struct task_struct *task, bee_what *call, __u16 hook,
					__s32 result)
{
	__u64 top = (__u64)BPF_CORE_READ(task, stack) + BEE_STACK;
	bool compat = bee_compat(task);

	/* x86 since 6.9 keeps two words free above them (FRED). */
	for (int gap = 0; gap <= 16; gap += 16) {
		struct pt_regs *regs = (void *)(top - gap - bpf_core_type_size(struct pt_regs));
		__u64 number = bee_syscall_number_core(regs);
		__u8 index;

#if defined(__TARGET_ARCH_x86)
		number &= ~0x40000000ull; /* x32 */
#endif
		if (number >= BEE_SYSCALLS)
			continue;
		index = compat ? bee_compat_calls[number] : bee_native_calls[number];
		if (!index || bee_calls[index & (CALL_ROOM - 1)].kind != BEE_KIND_OPEN)
			continue;
		*call = bee_pack(hook, index, compat, SLOT_KPROBE, result);
		return (__u64)regs;
	}
	return 0;
}

#define PF_KTHREAD   0x00200000
#define PF_IO_WORKER 0x00000010

/* The arguments are gone by now, and keeping them from the entry would cost every open:
 * the name is read again from the caller, as at the end of a system call. */
static __always_inline int bee_open_refused(struct file *file, __u16 hook)
{
	struct task_struct *task;
	bee_what call;
	__u64 regs;

	if (!bee_refusal((long)file) || !bee_active())
		return 0;
	task = (void *)bpf_get_current_task();
	regs = bee_caller(task, &call, hook, (long)file);
	if (regs)
		return bee_on_names(regs, call);
	/* Not of an open: an exec, swapon(2), … or io_uring, where no name is to be had. */
	if (BPF_CORE_READ(task, flags) & PF_IO_WORKER)
		bee_count(BEE_KIND_OPEN, BEE_CAUSE_UNREADABLE);
	return 0;
}

SEC("kretprobe/do_filp_open")
int BPF_KRETPROBE(kretprobe__do_filp_open, struct file *file)
{
	bee_open_refused(file, BEE_HOOK_KRETPROBE_DO_FILP_OPEN);
	bee_hand_on(ctx, opens_probed, BEE_READER_MEMORY);
	return 0;
}

SEC("kretprobe/do_file_open")
int BPF_KRETPROBE(kretprobe__do_file_open, struct file *file)
{
	bee_open_refused(file, BEE_HOOK_KRETPROBE_DO_FILE_OPEN);
	bee_hand_on(ctx, opens_probed, BEE_READER_MEMORY);
	return 0;
}
