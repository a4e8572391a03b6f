// SPDX-License-Identifier: GPL-2.0
/*
 * The file sensor, `tracepoint` tier.
 *
 *   sys_exit  every act on files ends here, in native and in 32-bit calls. For an
 *             open the descriptor leads to the file, its inode and its true path;
 *             acts on names are read from the arguments, joined to the directory
 *             they are relative to (fs->pwd, fs->root, or the directory descriptor)
 *
 * An open nobody asked about ends at one byte of the identity filter: no path, no
 * copy. What this tier cannot see (io_uring, a descriptor swapped by another thread
 * before the call returns, symbolic links inside a given name) is in docs/blind-spots.md.
 */
#include "path.bpf.h"
#include "inodes.bpf.h"
#include "syscalls.bpf.h"

#define EPERM	 1
#define EACCES	 13
#define AT_FDCWD -100

#define FMODE_READ    0x1
#define FMODE_WRITE   0x2
#define FMODE_PATH    0x4000
#define FMODE_CREATED 0x100000

#define O_ACCMODE 3
#define O_WRONLY  1
#define O_TRUNC	  01000 /* the same on x86 and arm64 */

#define S_IFMT	      0170000
#define S_IFDIR	      0040000
#define S_IFCHR	      0020000
#define S_IFBLK	      0060000
#define S_ISDIR(mode) (((mode)&S_IFMT) == S_IFDIR)
#define S_ISDEV(mode) (((mode)&S_IFMT) == S_IFCHR || ((mode)&S_IFMT) == S_IFBLK)

/* One system call that may be an event, as it ended. */
struct bee_act {
	struct bee_settings *set;
	struct task_struct *task;
	struct pt_regs *regs;
	const struct bee_call *call;
	long result;
	__u16 hook;
	__u8 index; /* enum bee_call_index */
	bool compat;
};

static __always_inline __u64 bee_arg(const struct bee_act *act, __u8 number)
{
	__u64 value = 0;

	if (number == NO_ARG)
		return 0;
	bpf_probe_read_kernel(&value, sizeof(value),
			      (void *)act->regs + bee_registers[act->compat][number & 7]);
	return act->compat ? (__u32)value : value;
}

/* What a refused open asked for, as f_mode says it of one that succeeded. */
static __always_inline __u8 bee_wanted_access(const struct bee_act *act)
{
	__u64 flags = bee_arg(act, act->call->value);

	if (act->index == CALL_CREAT)
		return FMODE_WRITE;
	/* struct open_how begins with the flags. */
	if (act->index == CALL_OPENAT2 && bpf_probe_read_user(&flags, sizeof(flags), (void *)flags))
		return 0;
	if (flags & O_TRUNC)
		flags |= O_WRONLY;
	/* O_RDONLY 0, O_WRONLY 1, O_RDWR 2: one more is a bit for each. */
	return ((flags & O_ACCMODE) + 1) & (FMODE_READ | FMODE_WRITE);
}

static __always_inline struct file *bee_descriptor_file(struct task_struct *task, __u32 descriptor)
{
	struct file **slots = BPF_CORE_READ(task, files, fdt, fd);
	struct file *file = NULL;

	bpf_probe_read_kernel(&file, sizeof(file), slots + descriptor);
	return file;
}

static __always_inline __u32 bee_device_mask(const struct bee_settings *set, __u32 node, __u32 mode)
{
	struct bee_device_key key = {
		.node = node, .policy = set->policy, .block = (mode & S_IFMT) == S_IFBLK};
	__u32 *mask = bpf_map_lookup_elem(&devices, &key);

	if (!mask && set->policy_before != set->policy) {
		key.policy = set->policy_before;
		mask = bpf_map_lookup_elem(&devices, &key);
	}
	return mask ? *mask : 0;
}

/* What is the same in every file record. */
static __always_inline struct bee_file *bee_file_record(const struct bee_act *act,
							struct bee_scratch *buffer, __u16 kind)
{
	struct bee_file *record = bee_fixed(buffer, struct bee_file);

	bee_begin(kind, act->hook, sizeof(*record));
	if (act->compat)
		record->header.flags |= BEE_FLAG_COMPAT;
	if (act->result < 0)
		record->header.result = act->result;
	return record;
}

/* A device number as user space passes it (new_decode_dev of linux/kdev_t.h) to
 * what the kernel keeps. */
static __always_inline __u32 bee_decode_device(__u64 device)
{
	return (device & 0xfff00) << 12 | (device & 0xff) | (device >> 12 & 0xfff00);
}

static __always_inline void bee_file_values(const struct bee_act *act, struct bee_file *record,
					    __u16 kind)
{
	__u64 value, value_2;

	if (act->call->kind == BEE_KIND_OPEN)
		return;
	value = bee_arg(act, act->call->value);
	value_2 = bee_arg(act, act->call->value_2);

	switch (kind) {
	case BEE_KIND_CHMOD:
		record->mode = (record->mode & S_IFMT) | (value & 07777);
		break;
	case BEE_KIND_CHOWN:
		record->owner_uid = value;
		record->owner_gid = value_2;
		break;
	case BEE_KIND_TRUNCATE:
		record->value = act->call->value_2 == NO_ARG ? value : value | value_2 << 32;
		break;
	case BEE_KIND_MKNOD:
		record->mode = value;
		if (S_ISDEV(value))
			record->node = bee_decode_device(value_2);
		break;
	}
}

/* The scanner showed us a file by opening it with O_PATH and a note where a mode
 * would be: learn its identity as the kernel knows it. */
static __always_inline int bee_taught(const struct bee_act *act, struct file *file,
				      struct inode *inode, __u32 device)
{
	struct bee_settings *set = act->set;
	__u64 note = bee_arg(act, act->call->value_2) &
		     (BEE_WATCH_ANY | BEE_WATCH_WRITE | BEE_WATCH_MOUNT);
	struct bee_scratch *buffer = bee_scratch();
	__u32 mode = BPF_CORE_READ(inode, i_mode);
	__u32 mask = note & (BEE_WATCH_ANY | BEE_WATCH_WRITE);
	struct bee_file *record;
	__u32 walk;

	if (!note)
		return 0;
	if (!buffer) {
		bee_count(BEE_KIND_IDENTITY, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	record = bee_file_record(act, buffer, BEE_KIND_IDENTITY);
	record->value = note;
	record->mode = mode;
	record->device = device;
	record->inode = BPF_CORE_READ(inode, i_ino);
	record->inode_generation = BPF_CORE_READ(inode, i_generation);
	if (mask && S_ISDEV(mode)) {
		struct bee_device_key key = {.node = BPF_CORE_READ(inode, i_rdev),
					     .policy = set->policy,
					     .block = (mode & S_IFMT) == S_IFBLK};

		record->node = key.node;
		bpf_map_update_elem(&devices, &key, &mask, BPF_ANY);
	} else if (mask) {
		bee_inode_learn(set, record->inode, device, record->inode_generation, mask);
	}
	walk = bee_walk((__u64)BPF_CORE_READ(file, f_path.dentry),
			(__u64)BPF_CORE_READ(file, f_path.mnt), 0, BEE_WALK_UNTESTED);
	record->header.flags |= bee_walk_flags(walk);
	record->length[BEE_PART_WALK] = BEE_WALK_LENGTH(walk);
	bee_submit(sizeof(*record), BEE_WALK_LENGTH(walk), 0);
	return 0;
}

/* The act a program packed into numbers for a global function. */
#define BEE_WHAT(index, compat, hook) ((__u32)(index) | (__u32)(compat) << 8 | (__u32)(hook) << 16)

static __always_inline void bee_unpack(struct bee_act *act, __u64 regs, __u32 what, long result)
{
	act->set = bee_settings();
	act->task = (void *)bpf_get_current_task();
	act->regs = (void *)regs;
	act->index = what;
	act->compat = what >> 8 & 1;
	act->hook = what >> 16;
	act->result = result;
	act->call = &bee_calls[act->index & (CALL_ROOM - 1)];
}

/* An act on an open descriptor: an open that succeeded, fchmod, fchown, ftruncate. */
__noinline int bee_on_descriptor(__u64 regs, __u32 what, __s64 result)
{
	struct bee_act unpacked, *act = &unpacked;
	__u32 descriptor;

	bee_unpack(act, regs, what, result);
	if (!act->set)
		return 0;
	descriptor = act->call->kind == BEE_KIND_OPEN ? (__u32)result
						      : (__u32)bee_arg(act, act->call->descriptor);
	struct bee_settings *set = act->set;
	struct file *file = bee_descriptor_file(act->task, descriptor);
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	__u32 f_mode = BPF_CORE_READ(file, f_mode);
	__u32 device = BPF_CORE_READ(inode, i_sb, s_dev);
	__u64 number = BPF_CORE_READ(inode, i_ino);
	__u16 kind = act->call->kind;
	bool created = kind == BEE_KIND_OPEN && f_mode & FMODE_CREATED;
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u32 mask = 0, walk = 0, mode, generation = 0;
	struct bee_scratch *buffer;
	struct bee_file *record;
	__u32 known = 0;
	bool names = created;
	__u8 *slot;

	if (!inode) {
		bee_count(kind, BEE_CAUSE_UNREADABLE);
		return 0;
	}
	if (f_mode & FMODE_PATH)
		return tgid == set->scanner_tgid ? bee_taught(act, file, inode, device) : 0;
	mode = BPF_CORE_READ(inode, i_mode);
	if (S_ISDIR(mode))
		return 0;
	if (S_ISDEV(mode))
		mask = bee_device_mask(set, BPF_CORE_READ(inode, i_rdev), mode);
	slot = bee_filter_slot(number, device);
	if (!slot || *slot) {
		generation = BPF_CORE_READ(inode, i_generation);
		known = bee_inode_lookup(number, device, set->policy, generation);

		if (!known && set->policy_before != set->policy)
			known = bee_inode_lookup(number, device, set->policy_before, generation);
		mask |= known;
	}
	if (tgid == set->canary_tgid)
		mask |= BEE_WATCH_ANY;
	/* Known for writes alone, by other lists or under another of its names: on a file
	 * system that is not scanned its present name may be watched for more. */
	if (!(mask & BEE_WATCH_ANY) && !bee_scanned(device))
		names = true;
	if (!names && !mask)
		return 0;
	if (!names && !(mask & BEE_WATCH_ANY) && kind == BEE_KIND_OPEN && !(f_mode & FMODE_WRITE))
		return 0;

	buffer = bee_scratch();
	if (!buffer) {
		bee_count(kind, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	walk = bee_walk((__u64)BPF_CORE_READ(file, f_path.dentry),
			(__u64)BPF_CORE_READ(file, f_path.mnt), 0,
			names ? BEE_WALK_LEAF : BEE_WALK_UNTESTED);
	mask |= BEE_WALK_MASK(walk) & (BEE_WATCH_ANY | BEE_WATCH_WRITE);
	if (!mask)
		return 0;
	if (!(mask & BEE_WATCH_ANY) && kind == BEE_KIND_OPEN && !(f_mode & FMODE_WRITE))
		return 0;
	if (tgid == set->self_tgid || tgid == set->scanner_tgid) {
		bee_count(kind, BEE_CAUSE_SELF);
		return 0;
	}
	if (created)
		kind = BEE_KIND_CREATE;
	/* Recognised by name: from now on by identity too, under any name it gets. User
	 * space takes it out again if its exact decision is another. */
	if (mask & ~known && tgid != set->canary_tgid && !S_ISDEV(mode))
		bee_inode_learn(set, number, device, BPF_CORE_READ(inode, i_generation), mask);
	record = bee_file_record(act, buffer, kind);
	record->inode = number;
	record->inode_generation = BPF_CORE_READ(inode, i_generation);
	record->device = device;
	record->mode = mode;
	if (S_ISDEV(mode))
		record->node = BPF_CORE_READ(inode, i_rdev);
	if (act->call->kind == BEE_KIND_OPEN)
		record->access = f_mode & (FMODE_READ | FMODE_WRITE);
	record->mask = mask;
	bee_file_values(act, record, kind);
	record->header.flags |= bee_walk_flags(walk);
	if (known)
		record->header.flags |= BEE_FLAG_BY_IDENTITY;
	if (BPF_CORE_READ(inode, i_nlink) == 0)
		record->header.flags |= BEE_FLAG_FILE_DELETED;
	record->length[BEE_PART_WALK] = BEE_WALK_LENGTH(walk);
	bee_submit(sizeof(*record), BEE_WALK_LENGTH(walk), 1);
	return 0;
}

/*
 * Reads one name argument and the directory it is relative to into the tail at
 * `at`, tests both, and leaves what it found in given[which]. The string lies in
 * memory its owner can change: flagged, and never the only ground for trusting an
 * open. Returns nonzero when there is no name to read. A global function (see
 * names.bpf.h), so it takes numbers only.
 */
__noinline int bee_read_name(__u64 address, __u32 directory, __u32 at, __u32 which)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct bee_scratch *buffer = bee_scratch();
	struct bee_given *given;
	const struct path *start;
	__u32 tested, walk, role;
	struct file *file;
	long size;
	char first;

	if (!buffer)
		return 1;
	at &= BEE_TAIL_MASK;
	given = &buffer->given[which & 1];
	size = bpf_probe_read_user_str(&buffer->tail[at], BEE_PART_MAX, (void *)address);
	if (size <= 0)
		return 1;
	given->name_length = size & 0x1fff;
	tested = bee_test_name(at, given->name_length - 1);
	first = buffer->tail[at];
	role = tested & BEE_NAME_SLASH ? BEE_WALK_ANCESTOR : BEE_WALK_PARENT;

	if (first == '/') {
		/* Nothing outside a chroot. */
		start = &BPF_CORE_READ(task, fs)->root;
	} else if ((int)directory == AT_FDCWD) {
		start = &BPF_CORE_READ(task, fs)->pwd;
	} else {
		file = bee_descriptor_file(task, directory);
		start = &file->f_path;
		/* linkat(fd, "", …, AT_EMPTY_PATH): the descriptor is the file. */
		if (!first)
			role = BEE_WALK_LEAF;
	}
	walk = bee_walk((__u64)BPF_CORE_READ(start, dentry), (__u64)BPF_CORE_READ(start, mnt),
			at + given->name_length, role);
	given->walk_length = BEE_WALK_LENGTH(walk);
	given->flags = BEE_FLAG_ARGS_RACY | bee_walk_flags(walk);
	given->mask = (tested & 0xf) | BEE_WALK_MASK(walk);
	return 0;
}

static __always_inline __u32 bee_directory(const struct bee_act *act, __u8 argument)
{
	return argument == NO_ARG ? (__u32)AT_FDCWD : (__u32)bee_arg(act, argument);
}

/* An act on one or two names, done or refused. */
__noinline int bee_on_names(__u64 regs, __u32 what, __s64 result)
{
	struct bee_act unpacked, *act = &unpacked;

	bee_unpack(act, regs, what, result);
	if (!act->set)
		return 0;
	struct bee_settings *set = act->set;
	struct bee_scratch *buffer = bee_scratch();
	__u16 kind = act->call->kind;
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct bee_given *first, *second;
	struct bee_file *record;
	struct bee_state *shared;
	__u32 mask;
	__u8 access = 0;
	bool moved;

	if (!buffer) {
		bee_count(kind, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	first = &buffer->given[0];
	second = &buffer->given[1];
	__builtin_memset(second, 0, sizeof(*second));
	if (bee_read_name(bee_arg(act, act->call->name), bee_directory(act, act->call->directory),
			  0, 0)) {
		bee_count(kind, BEE_CAUSE_UNREADABLE);
		return 0;
	}
	__u32 at = first->name_length + first->walk_length;

	if (kind == BEE_KIND_SYMLINK) {
		/* What a symbolic link leads to is text; nothing is looked up. */
		long size = bpf_probe_read_user_str(&buffer->tail[at & BEE_TAIL_MASK], BEE_PART_MAX,
						    (void *)bee_arg(act, act->call->name_2));
		if (size > 0) {
			second->name_length = size & 0x1fff;
			second->mask = bee_test_name(at & BEE_TAIL_MASK, second->name_length - 1);
		} else {
			second->flags = BEE_FLAG_PATH_UNREADABLE;
		}
	} else if (act->call->name_2 != NO_ARG) {
		if (bee_read_name(bee_arg(act, act->call->name_2),
				  bee_directory(act, act->call->directory_2), at, 1)) {
			bee_count(kind, BEE_CAUSE_UNREADABLE);
			return 0;
		}
	}
	mask = (first->mask | second->mask) & (BEE_WATCH_ANY | BEE_WATCH_WRITE);
	/* While the scanner is on its way to a name, a directory above must not be moved unseen. */
	shared = bee_state();
	if (kind == BEE_KIND_RENAME &&
	    ((first->mask | second->mask) & BEE_WATCH_ANCHOR || set->every_directory ||
	     (shared && shared->names_everywhere)))
		mask |= BEE_WATCH_ANCHOR;
	if (kind == BEE_KIND_MKNOD) {
		__u64 mode = bee_arg(act, act->call->value);

		if (S_ISDEV(mode))
			mask |= bee_device_mask(
				set, bee_decode_device(bee_arg(act, act->call->value_2)), mode);
	}
	if (tgid == set->canary_tgid)
		mask |= BEE_WATCH_ANY;
	if (!mask)
		return 0;
	if (kind == BEE_KIND_OPEN) {
		access = bee_wanted_access(act);
		if (!(mask & BEE_WATCH_ANY) && !(access & FMODE_WRITE))
			return 0;
	}
	if (tgid == set->self_tgid || tgid == set->scanner_tgid) {
		bee_count(kind, BEE_CAUSE_SELF);
		return 0;
	}
	/* A watched name now leads to an inode that was never shown to us: names
	 * count everywhere until the scanner has been there. */
	moved = shared && act->result == 0 && tgid != set->canary_tgid &&
		(kind == BEE_KIND_RENAME || kind == BEE_KIND_LINK);
	if (moved)
		shared->names_everywhere = 1;
	record = bee_file_record(act, buffer, kind);
	record->mask = mask;
	record->access = access;
	record->header.flags |= first->flags | second->flags;
	bee_file_values(act, record, kind);
	record->length[BEE_PART_NAME] = first->name_length;
	record->length[BEE_PART_WALK] = first->walk_length;
	record->length[BEE_PART_NAME_2] = second->name_length;
	record->length[BEE_PART_WALK_2] = second->walk_length;
	bee_submit(sizeof(*record), at + second->name_length + second->walk_length, 1);
	/* Once more: user space may have cleared it before this record was in the ring. */
	if (moved)
		shared->names_everywhere = 1;
	return 0;
}

/* `address` is the context's first word: the registers. */
static __always_inline int bee_sys_exit(void *address, __u64 number, long result, __u16 hook)
{
	const struct bee_settings *set;
	const struct bee_call *call;
	__u8 native, compat, index;
	bool is_compat, opened;
	__u64 regs = 0;
	__u32 what;

#if defined(__TARGET_ARCH_x86)
	number &= ~0x40000000ull; /* x32 */
#endif
	if (number >= BEE_SYSCALLS)
		return 0;
	native = bee_native_calls[number];
	compat = bee_compat_calls[number];
	if (!(native | compat))
		return 0;
	is_compat = bee_compat((void *)bpf_get_current_task());
	index = is_compat ? compat : native;
	set = bee_settings();
	if (!index || !bee_active(set))
		return 0;
	call = &bee_calls[index & (CALL_ROOM - 1)];
	/* Other failures changed nothing and showed nothing. */
	if (result < 0 && result != -EACCES && result != -EPERM)
		return 0;
	what = BEE_WHAT(index, is_compat, hook);
	/* Of an open that succeeded only the scanner's has an argument of interest. */
	opened = call->kind == BEE_KIND_OPEN && result >= 0;
	if (!opened || bpf_get_current_pid_tgid() >> 32 == set->scanner_tgid)
		/* A number, not a typed pointer, is what a global function takes. */
		bpf_probe_read_kernel(&regs, sizeof(regs), address);
	if (opened || call->descriptor != NO_ARG)
		return bee_on_descriptor(regs, what, result);
	/* open_by_handle_at refused: the handle is not a name, and nothing was opened. */
	if (call->name == NO_ARG)
		return 0;
	return bee_on_names(regs, what, result);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(tp_btf__sys_exit, struct pt_regs *regs, long result)
{
	return bee_sys_exit(ctx, bee_syscall_number(regs), result, BEE_HOOK_TP_BTF_SYS_EXIT);
}

SEC("raw_tp/sys_exit")
int BPF_PROG(raw_tp__sys_exit, struct pt_regs *regs, long result)
{
	return bee_sys_exit(ctx, bee_syscall_number_core(regs), result, BEE_HOOK_RAW_TP_SYS_EXIT);
}

char LICENSE[] SEC("license") = "GPL";
