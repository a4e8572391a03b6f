/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Acts on names as their caller gave them: read from the arguments of a system call
 * when it has ended, joined to the directory they are relative to (fs->pwd, fs->root,
 * or the directory descriptor).
 */
#pragma once

#include "file.bpf.h"
#include "call.bpf.h"

/* Beside the number of the name: the string is the kernel's own copy. */
#define BEE_NAME_OF_KERNEL 2

/*
 * Reads one name argument and the directory it is relative to into the tail at
 * `place`, tests both, and leaves what it found in given[which]. A string of the
 * caller's lies in memory that can be changed: flagged, and never the only ground for
 * trusting an open. Returns nonzero when there is no name to read. A global function
 * (see names.bpf.h), so it takes numbers only.
 */
__noinline int bee_read_name(__u32 place, __u64 address, __u32 directory, __u32 which)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct bee_scratch *buffer = bee_scratch(place);
	__u32 at = place & BEE_TAIL_MASK;
	struct bee_given *given;
	const struct path *start;
	__u32 tested, walk, role;
	struct file *file;
	long size;
	char first;

	if (!buffer)
		return 1;
	given = &buffer->given[which & 1];
	if (which & BEE_NAME_OF_KERNEL)
		size = bpf_probe_read_kernel_str(&buffer->tail[at], BEE_PART_MAX, (void *)address);
	else
		size = bpf_probe_read_user_str(&buffer->tail[at], BEE_PART_MAX, (void *)address);
	if (size <= 0)
		return 1;
	given->name_length = size & 0x1fff;
	tested = bee_test_name(place, given->name_length - 1);
	first = buffer->tail[at];
	role = tested & BEE_NAME_SLASH ? BEE_WALK_ANCESTOR : BEE_WALK_PARENT;

	if (first == '/') {
		/* Nothing outside a chroot. */
		start = &BPF_CORE_READ(task, fs)->root;
	} else if ((int)directory == AT_FDCWD) {
		start = &BPF_CORE_READ(task, fs)->pwd;
	} else {
		file = bee_descriptor_file(directory);
		start = &file->f_path;
		/* linkat(fd, "", …, AT_EMPTY_PATH): the descriptor is the file. */
		if (!first)
			role = BEE_WALK_LEAF;
	}
	walk = bee_walk(place + given->name_length, (__u64)BPF_CORE_READ(start, dentry),
			(__u64)BPF_CORE_READ(start, mnt), role);
	given->walk_length = BEE_WALK_LENGTH(walk);
	given->flags = bee_walk_flags(walk);
	if (!(which & BEE_NAME_OF_KERNEL))
		given->flags |= BEE_FLAG_ARGS_RACY;
	given->mask = (tested & 0xf) | BEE_WALK_MASK(walk);
	return 0;
}

/* Beside what an open asked for: the name is the kernel's own copy. */
#define BEE_ACCESS_OF_KERNEL 0x100

/* An open that was refused, by the name it was tried under. */
__noinline int bee_on_refused(bee_what what, __u64 name, __u32 directory, __u32 access)
{
	__u32 place = BEE_WHAT_PLACE(what);
	struct bee_scratch *buffer = bee_scratch(place);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct bee_given *given;
	struct bee_file *record;
	__u32 mask;

	if (!buffer) {
		bee_count(BEE_KIND_OPEN, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	given = &buffer->given[0];
	if (bee_read_name(place, name, directory,
			  access & BEE_ACCESS_OF_KERNEL ? BEE_NAME_OF_KERNEL : 0)) {
		bee_count(BEE_KIND_OPEN, BEE_CAUSE_UNREADABLE);
		return 0;
	}
	mask = given->mask & (BEE_WATCH_ANY | BEE_WATCH_WRITE);
	if (tgid == settings.canary_tgid)
		mask |= BEE_WATCH_ANY;
	if (!(mask & BEE_WATCH_ANY) && !(mask && access & FMODE_WRITE))
		return 0;
	if (tgid == settings.self_tgid || tgid == settings.scanner_tgid) {
		bee_count(BEE_KIND_OPEN, BEE_CAUSE_SELF);
		return 0;
	}
	record = bee_file_record(what, buffer, BEE_KIND_OPEN);
	record->mask = mask;
	record->access = access & (FMODE_READ | FMODE_WRITE);
	record->header.flags |= given->flags;
	record->length[BEE_PART_NAME] = given->name_length;
	record->length[BEE_PART_WALK] = given->walk_length;
	return bee_finish(what, given->name_length + given->walk_length);
}

/* An act on one or two names, done or refused. */
__noinline int bee_on_names(__u64 regs, bee_what call)
{
	struct bee_act unpacked, *act = &unpacked;
	__u32 place = BEE_WHAT_PLACE(call);
	struct bee_scratch *buffer = bee_scratch(place);

	bee_unpack(act, regs, call);
	__u16 kind = act->call->kind;
	bee_what what = (call & ~0xffull) | kind;
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct bee_given *first, *second;
	struct bee_file *record;
	__u64 value, value_2;
	__u32 mask;
	bool moved;

	if (kind == BEE_KIND_OPEN)
		return bee_on_refused(what, bee_arg(act, act->call->name),
				      bee_directory(act, act->call->directory),
				      bee_wanted_access(act));
	if (!buffer) {
		bee_count(kind, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	first = &buffer->given[0];
	second = &buffer->given[1];
	__builtin_memset(second, 0, sizeof(*second));
	if (bee_read_name(place, bee_arg(act, act->call->name),
			  bee_directory(act, act->call->directory), 0)) {
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
			second->mask = bee_test_name(place + (at & BEE_TAIL_MASK),
						     second->name_length - 1);
		} else {
			second->flags = BEE_FLAG_PATH_UNREADABLE;
		}
	} else if (act->call->name_2 != NO_ARG) {
		if (bee_read_name(place + at, bee_arg(act, act->call->name_2),
				  bee_directory(act, act->call->directory_2), 1)) {
			bee_count(kind, BEE_CAUSE_UNREADABLE);
			return 0;
		}
	}
	value = bee_value(act);
	value_2 = bee_value_2(act);
	mask = bee_act_mask(kind, first->mask | second->mask, value, value_2);
	if (!mask)
		return 0;
	if (tgid == settings.self_tgid || tgid == settings.scanner_tgid) {
		bee_count(kind, BEE_CAUSE_SELF);
		return 0;
	}
	moved = bee_moves(kind, BEE_WHAT_RESULT(what));
	if (moved)
		state.names_everywhere = 1;
	record = bee_file_record(what, buffer, kind);
	record->mask = mask;
	record->header.flags |= first->flags | second->flags;
	bee_file_values(record, kind, value, value_2);
	record->length[BEE_PART_NAME] = first->name_length;
	record->length[BEE_PART_WALK] = first->walk_length;
	record->length[BEE_PART_NAME_2] = second->name_length;
	record->length[BEE_PART_WALK_2] = second->walk_length;
	bee_submit(place, sizeof(*record), at + second->name_length + second->walk_length, 1);
	/* Once more: user space may have cleared it before this record was in the ring. */
	if (moved)
		state.names_everywhere = 1;
	return 0;
}
