/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The short way to tell that an open is none of ours, which most opens of a machine are: a file
 * that was there before, is not in the filter, and is of the root's file system, whose watched
 * files are all known. Anything else is for file.bpf.h to tell.
 */
#pragma once

#include "inodes.bpf.h"
#include "act.bpf.h"

/* Whether a file of this mode was there before it was opened, and is no device. */
static __always_inline bool bee_plain(__u32 f_mode)
{
	return (f_mode & (FMODE_CREATED | FMODE_ATOMIC_POS)) == FMODE_ATOMIC_POS;
}

/* That an open file, whose fields the verifier lets a program load, is none of ours. */
static __always_inline bool bee_is_usual(struct file *file)
{
	struct inode *inode;

	if (!bee_plain(file->f_mode))
		return false;
	inode = file->f_inode;
	return !*bee_filter_slot(inode->i_ino) && bee_usual_super((__u64)inode->i_sb);
}

/*
 * The same of what lies behind a descriptor of the current task, without a single helper. Typed
 * pointers lead as far as a table of pointers, at places known beforehand: that is so for the first
 * few descriptors of a process whose table is still the one in files_struct (NR_OPEN_DEFAULT of
 * linux/fdtable.h; a larger one has 128 at least). Most opens of a machine are such.
 */
#define BEE_SMALL_TABLE 64
#define BEE_DESCRIPTOR(number)                    \
	case number:                              \
		file = files->fd_array[(number)]; \
		break;

static __always_inline bool bee_is_usual_here(__s32 descriptor)
{
	struct files_struct *files = bpf_get_current_task_btf()->files;
	struct file *file;

	if (!bpf_core_field_exists(files->fd_array) || files->fdt->max_fds != BEE_SMALL_TABLE)
		return false;
	switch (descriptor) {
		BEE_DESCRIPTOR(0)
		BEE_DESCRIPTOR(1)
		BEE_DESCRIPTOR(2)
		BEE_DESCRIPTOR(3)
		BEE_DESCRIPTOR(4)
		BEE_DESCRIPTOR(5)
		BEE_DESCRIPTOR(6)
		BEE_DESCRIPTOR(7)
		BEE_DESCRIPTOR(8)
		BEE_DESCRIPTOR(9)
		BEE_DESCRIPTOR(10)
		BEE_DESCRIPTOR(11)
		BEE_DESCRIPTOR(12)
		BEE_DESCRIPTOR(13)
		BEE_DESCRIPTOR(14)
		BEE_DESCRIPTOR(15)
	default:
		return false;
	}
	return bee_is_usual(file);
}
