/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is done with an open file, or with the inode of a name, whichever hook
 * brought it: recognise it by identity, by its own path where the file system is
 * not complete, and make the record.
 */
#pragma once

#include "path.bpf.h"
#include "usual.bpf.h"
#include "act.bpf.h"

/* What is the same in every file record. */
static __always_inline struct bee_file *bee_file_record(bee_what what, struct bee_scratch *buffer,
							__u16 kind)
{
	struct bee_file *record = bee_fixed(buffer, struct bee_file);

	bee_begin(BEE_WHAT_PLACE(what), kind, BEE_WHAT_HOOK(what), sizeof(*record));
	if (bee_compat_current())
		record->header.flags |= BEE_FLAG_COMPAT;
	if (BEE_WHAT_RESULT(what) < 0)
		record->header.result = BEE_WHAT_RESULT(what);
	return record;
}

/* Whether a watched name may now lead to an inode that was never shown to us: names
 * count everywhere until the scanner has been there. */
static __always_inline bool bee_moves(__u16 kind, __s32 result)
{
	return result == 0 && (kind == BEE_KIND_RENAME || kind == BEE_KIND_LINK) &&
	       bpf_get_current_pid_tgid() >> 32 != settings.canary_tgid;
}

/* What the scanner notes; src/scanner/lesson.rs. */
#define BEE_NOTES (BEE_WATCH_ANY | BEE_WATCH_WRITE | BEE_WATCH_MOUNT)

/* The scanner shows a file: learn its identity as the kernel knows it. */
__noinline int bee_taught(bee_what what, __u64 dentry, __u64 mnt, __u64 noted)
{
	struct bee_scratch *buffer = bee_scratch(BEE_WHAT_PLACE(what));
	struct inode *inode = BPF_CORE_READ((struct dentry *)dentry, d_inode);
	__u32 device = BPF_CORE_READ(inode, i_sb, s_dev);
	__u32 mode = BPF_CORE_READ(inode, i_mode);
	__u64 note = noted & BEE_NOTES;
	__u32 mask = note & (BEE_WATCH_ANY | BEE_WATCH_WRITE);
	struct bee_file *record;
	__u32 walk;

	if (!note)
		return 0;
	if (!buffer) {
		bee_count(BEE_KIND_IDENTITY, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	record = bee_file_record(what, buffer, BEE_KIND_IDENTITY);
	record->value = note;
	record->mode = mode;
	record->device = device;
	record->inode = BPF_CORE_READ(inode, i_ino);
	record->inode_generation = BPF_CORE_READ(inode, i_generation);
	if (mask && S_ISDEV(mode)) {
		struct bee_device_key key = {.node = BPF_CORE_READ(inode, i_rdev),
					     .policy = settings.policy,
					     .block = (mode & S_IFMT) == S_IFBLK};

		record->node = key.node;
		bpf_map_update_elem(&devices, &key, &mask, BPF_ANY);
	} else if (mask) {
		bee_inode_learn(record->inode, device, record->inode_generation, mask);
	}
	walk = bee_walk(BEE_WHAT_PLACE(what), dentry, mnt, BEE_WALK_UNTESTED);
	record->header.flags |= bee_walk_flags(walk);
	record->length[BEE_PART_WALK] = BEE_WALK_LENGTH(walk);
	bee_submit(BEE_WHAT_PLACE(what), sizeof(*record), BEE_WALK_LENGTH(walk), 0);
	return 0;
}

/* In place of a length. */
#define BEE_LENGTH_UNKNOWN (~0ull)

/* No errno: the end of the act was not seen. */
#define BEE_END_UNSEEN 4096

/* The act this thread had begun has ended: its record is sent, where there is one. */
__noinline int bee_ended(__s32 result)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct bee_held *held = bpf_map_lookup_elem(&pending, &key);
	struct bee_file *record;
	struct inode *inode;
	__u32 length;
	bool moved;

	if (!held)
		return 0;
	record = bee_fixed(held, struct bee_file);
	moved = bee_moves(record->header.kind, result);
	if (record->header.kind == BEE_KIND_TRUNCATE) {
		inode = (struct inode *)record->value;
		record->value = result ? BEE_LENGTH_UNKNOWN : BPF_CORE_READ(inode, i_size);
	}
	if (result == -BEE_END_UNSEEN)
		record->header.flags |= BEE_FLAG_RESULT_UNKNOWN;
	else if (result < 0)
		record->header.result = result;
	/* Once more after the record: user space may clear it before that is in the ring. */
	if (moved)
		state.names_everywhere = 1;
	length = record->header.length;
	barrier_var(length);
	/* Other failures changed nothing and showed nothing. */
	if ((result >= 0 || result == -EACCES || result == -EPERM || result == -BEE_END_UNSEEN) &&
	    length >= sizeof(*record) && length <= sizeof(*record) + BEE_HELD_TAIL)
		bee_send(&record->header, length, 1);
	if (moved)
		state.names_everywhere = 1;
	bpf_map_delete_elem(&pending, &key);
	return 0;
}

/*
 * The record is made: it goes into the ring, or waits for the act to end. A thread
 * has one act under way; an older record of its own is of an act whose end was not
 * seen (a return probe the kernel had no room for), and is sent as it is.
 */
__noinline int bee_finish(bee_what what, __u32 tail)
{
	struct bee_scratch *buffer = bee_scratch(BEE_WHAT_PLACE(what));
	struct bee_file *record;
	__u64 key;

	if (!buffer)
		return 0;
	record = bee_fixed(buffer, struct bee_file);
	if (what & BEE_WHAT_BEGUN) {
		key = bpf_get_current_pid_tgid();
		record->header.length = sizeof(*record) + tail;
		bee_ended(-BEE_END_UNSEEN);
		if (tail <= BEE_HELD_TAIL &&
		    !bpf_map_update_elem(&pending, &key, &buffer->fixed, BPF_ANY))
			return 0;
		record->header.flags |= BEE_FLAG_RESULT_UNKNOWN;
		if (record->header.kind == BEE_KIND_TRUNCATE)
			record->value = BEE_LENGTH_UNKNOWN;
	}
	bee_submit(BEE_WHAT_PLACE(what), sizeof(*record), tail, 1);
	return 0;
}

/*
 * Whether an open file is none of ours, in as few steps as can be: most opens of a machine end
 * here. A regular file whose identity is not in the filter, on a file system whose watched files
 * are all known, that was not made by this open. Anything else is for bee_on_inode to tell.
 */
static __always_inline bool bee_passes(__u32 mode, __u64 number, __u32 device, __u32 f_mode)
{
	return !*bee_filter_slot(number) && S_ISREG(mode) &&
	       !(f_mode & (FMODE_CREATED | FMODE_PATH)) && !settings.canary_tgid &&
	       bee_scanned(device);
}

/* Of a file whose fields the verifier lets a program load. */
static __always_inline bool bee_misses(struct file *file)
{
	struct inode *inode = file->f_inode;
	struct super_block *super = inode->i_sb;

	bee_note_usual(bee_number(super), super->s_dev);
	return bee_passes(inode->i_mode, inode->i_ino, super->s_dev, file->f_mode);
}

/* What bee_misses_read says of an open file. */
#define BEE_MISSES  1 /* it is none of ours */
#define BEE_ON_PROC 2 /* it is of /proc, where the memory sensor looks too */

/* Two fields of a structure at some address, by one reading where they lie near each other:
 * what it costs is the call, and then each eight bytes. */
#define BEE_SPAN 48

#define bee_two(bytes, address, type, field, value, other, other_value)                           \
	({                                                                                        \
		__u32 at_ = bpf_core_field_offset(type, field);                                   \
		__u32 other_at_ = bpf_core_field_offset(type, other);                             \
		__u32 from_ = (at_ < other_at_ ? at_ : other_at_) & ~7u;                          \
		__u32 more_ = at_ - from_, other_more_ = other_at_ - from_;                       \
		__u32 size_ = (more_ > other_more_ ? more_ : other_more_) + 8;                    \
		long failed_ = 0;                                                                 \
                                                                                                  \
		/* Not to be added to the stack's address one by one. */                          \
		barrier_var(more_);                                                               \
		barrier_var(other_more_);                                                         \
		if (more_ <= BEE_SPAN - 8 && other_more_ <= BEE_SPAN - 8) {                       \
			failed_ = bpf_probe_read_kernel(bytes, size_, (void *)(address) + from_); \
			value = (typeof(value))*(typeof(((type *)0)->field) *)((bytes) + more_);  \
			other_value = (typeof(other_value))*(                                     \
				typeof(((type *)0)->other) *)((bytes) + other_more_);             \
		} else {                                                                          \
			value = (typeof(value))BPF_CORE_READ((type *)(address), field);           \
			other_value =                                                             \
				(typeof(other_value))BPF_CORE_READ((type *)(address), other);     \
		}                                                                                 \
		failed_;                                                                          \
	})

/* What a first look at an open file says. */
enum bee_look {
	BEE_LOOK_ON,	/* nothing yet: bee_misses_read knows */
	BEE_LOOK_USUAL, /* none of ours: bee_is_usual */
	BEE_LOOK_KNOWN, /* in the filter, on the file system most opens are of */
};

/* Of a file at some address. */
static __always_inline enum bee_look bee_look(__u64 file)
{
	__u8 bytes[BEE_SPAN] __attribute__((aligned(8)));
	__u64 inode, super, number;
	__u32 f_mode;

	if (bee_two(bytes, file, struct file, f_mode, f_mode, f_inode, inode) || !bee_plain(f_mode))
		return BEE_LOOK_ON;
	if (bee_two(bytes, inode, struct inode, i_ino, number, i_sb, super) ||
	    !bee_usual_super(super))
		return BEE_LOOK_ON;
	return *bee_filter_slot(number) ? BEE_LOOK_KNOWN : BEE_LOOK_USUAL;
}

/* Of a file at some address. By itself, because its copies would lie on the stack of whoever
 * goes on from here. */
__noinline int bee_misses_read(__u64 file)
{
	struct bee_near near;
	__u32 f_mode, mode, device, says = 0;
	__u64 number, inode, super;

	if (!bee_near_read(&near, file))
		return BEE_ON_PROC;
	inode = (__u64)bee_near(&near, file, struct file, f_inode);
	f_mode = (__u32)bee_near(&near, file, struct file, f_mode);
	if (!bee_near_read(&near, inode))
		return BEE_ON_PROC;
	mode = bee_near(&near, inode, struct inode, i_mode);
	number = bee_near(&near, inode, struct inode, i_ino);
	super = (__u64)bee_near(&near, inode, struct inode, i_sb);
	if (!bee_near_read(&near, super))
		return BEE_ON_PROC;
	device = bee_near(&near, super, struct super_block, s_dev);
	bee_note_usual(super, device);
	if (bee_near(&near, super, struct super_block, s_magic) == PROC_SUPER_MAGIC)
		says = BEE_ON_PROC;
	return says | (bee_passes(mode, number, device, f_mode) ? BEE_MISSES : 0);
}

/* Of an inode that is not that of an open. */
#define BEE_NO_OPEN 0

/*
 * An act on the inode a dentry leads to: an open that succeeded (`f_mode` says for
 * what), or a change of its mode, owner or length.
 */
__noinline int bee_on_inode(bee_what what, __u64 path, __u32 f_mode, __u64 value, __u64 value_2)
{
	struct bee_scratch *buffer = bee_scratch(BEE_WHAT_PLACE(what));
	__u16 kind = BEE_WHAT_KIND(what);
	bool created = kind == BEE_KIND_OPEN && f_mode & FMODE_CREATED;
	__u32 tgid = bee_tgid();
	__u32 mask = 0, walk = 0, mode, node, links, device, generation;
	struct super_block *super;
	struct bee_file *record;
	struct dentry *dentry;
	struct bee_near *near;
	struct inode *inode;
	__u32 known = 0;
	__u64 number;
	bool names = created;

	if (!buffer) {
		bee_count(kind, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	near = &buffer->near;
	bpf_probe_read_kernel(near->bytes, bpf_core_type_size(struct path), (void *)path);
	/* Not on the stack, which has no room left. */
	buffer->walk.mount = (__u64)bee_near(near, path, struct path, mnt);
	dentry = bee_near(near, path, struct path, dentry);
	inode = BPF_CORE_READ(dentry, d_inode);
	if (!inode || !bee_near_read(near, (__u64)inode)) {
		bee_count(kind, BEE_CAUSE_UNREADABLE);
		return 0;
	}
	mode = bee_near(near, inode, struct inode, i_mode);
	if (S_ISDIR(mode))
		return 0;
	number = bee_near(near, inode, struct inode, i_ino);
	node = bee_near(near, inode, struct inode, i_rdev);
	links = bee_near(near, inode, struct inode, i_nlink);
	super = bee_near(near, inode, struct inode, i_sb);
	device = BPF_CORE_READ(super, s_dev);
	generation = BPF_CORE_READ(inode, i_generation);
	if (S_ISDEV(mode))
		mask = bee_device_mask(node, mode);
	mask = bee_blur(mask, tgid);
	if (*bee_filter_slot(number)) {
		known = bee_inode_lookup(number, device, settings.policy, generation);

		if (!known && settings.policy_before != settings.policy)
			known = bee_inode_lookup(number, device, settings.policy_before,
						 generation);
		mask |= known;
	}
	known = bee_blur(known, tgid);
	if (tgid == settings.canary_tgid)
		mask |= BEE_WATCH_ANY;
	mask = bee_blur(mask, tgid);
	/* Known for writes alone, by other lists or under another of its names: on a file
	 * system that is not scanned its present name may be watched for more. */
	if (!(mask & BEE_WATCH_ANY) && !bee_scanned(device))
		names = true;
	names = bee_blur(names, tgid);
	if (!names && !mask)
		return 0;
	if (!names && !(mask & BEE_WATCH_ANY) && kind == BEE_KIND_OPEN && !(f_mode & FMODE_WRITE))
		return 0;
	mask = bee_blur(mask, tgid);

	walk = bee_walk(BEE_WHAT_PLACE(what), (__u64)dentry, buffer->walk.mount,
			names ? BEE_WALK_LEAF : BEE_WALK_UNTESTED);
	mask |= BEE_WALK_MASK(walk) & (BEE_WATCH_ANY | BEE_WATCH_WRITE);
	if (!mask)
		return 0;
	if (!(mask & BEE_WATCH_ANY) && kind == BEE_KIND_OPEN && !(f_mode & FMODE_WRITE))
		return 0;
	if (tgid == settings.self_tgid || tgid == settings.scanner_tgid) {
		bee_count(kind, BEE_CAUSE_SELF);
		return 0;
	}
	if (created)
		kind = BEE_KIND_CREATE;
	kind = bee_blur(kind, tgid);
	/* Recognised by name: from now on by identity too, under any name it gets. User
	 * space takes it out again if its exact decision is another. */
	if (mask & ~known && tgid != settings.canary_tgid && !S_ISDEV(mode))
		bee_inode_learn(number, device, generation, mask);
	record = bee_file_record(what, buffer, kind);
	record->inode = number;
	record->inode_generation = generation;
	record->device = device;
	record->mode = mode;
	if (S_ISDEV(mode))
		record->node = node;
	record->access = f_mode & (FMODE_READ | FMODE_WRITE);
	record->mask = mask;
	bee_file_values(record, kind, value, value_2);
	record->header.flags |= bee_walk_flags(walk);
	if (known)
		record->header.flags |= BEE_FLAG_BY_IDENTITY;
	if (!links)
		record->header.flags |= BEE_FLAG_FILE_DELETED;
	record->length[BEE_PART_WALK] = BEE_WALK_LENGTH(walk);
	return bee_finish(what, BEE_WALK_LENGTH(walk));
}
