/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An act on files, in numbers: what it is, what it sets, and whether it may be an
 * event. No kernel structure is read here.
 */
#pragma once

#include "bee.bpf.h"

#define EPERM	 1
#define EACCES	 13
#define AT_FDCWD -100

#define FMODE_READ    0x1
#define FMODE_WRITE   0x2
#define FMODE_PATH    0x4000
#define FMODE_CREATED 0x100000

/* Of regular files and directories, unless they are streams: do_dentry_open of fs/open.c. */
#define FMODE_ATOMIC_POS 0x8000

/* The same on x86 and arm64, and for their 32-bit programs. */
#define O_ACCMODE 3
#define O_WRONLY  1
#define O_CREAT	  0100
#define O_EXCL	  0200
#define O_TRUNC	  01000

#define S_IFMT	      0170000
#define S_IFDIR	      0040000
#define S_IFCHR	      0020000
#define S_IFBLK	      0060000
#define S_IFREG	      0100000
#define S_ISREG(mode) (((mode)&S_IFMT) == S_IFREG)
#define S_ISDIR(mode) (((mode)&S_IFMT) == S_IFDIR)
#define S_ISDEV(mode) (((mode)&S_IFMT) == S_IFCHR || ((mode)&S_IFMT) == S_IFBLK)

/*
 * An act, in one number, because that is what global functions take (names.bpf.h):
 * what it is, by which hook it came, how it ended, and which scratch buffer belongs
 * to the program.
 */
typedef __u64 bee_what;

/* The act has only begun: its record waits until it is known how it ended. */
#define BEE_WHAT_BEGUN (1ull << 15)

static __always_inline bee_what bee_pack(__u16 hook, __u8 kind, bool compat, __u8 slot,
					 __s32 result)
{
	return (__u64)(__u32)result << 32 | (__u32)hook << 16 | (__u32)(slot & 0x3f) << 9 |
	       (__u32)compat << 8 | kind;
}

#define BEE_WHAT_KIND(what)   ((__u8)(what))
#define BEE_WHAT_COMPAT(what) ((what) >> 8 & 1)
#define BEE_WHAT_SLOT(what)   ((what) >> 9 & 0x3f)
#define BEE_WHAT_HOOK(what)   ((__u16)((what) >> 16))
#define BEE_WHAT_RESULT(what) ((__s32)((what) >> 32))
#define BEE_WHAT_PLACE(what)  BEE_PLACE(BEE_WHAT_SLOT(what), 0)

static __always_inline __u32 bee_device_mask(__u32 node, __u32 mode)
{
	struct bee_device_key key = {
		.node = node, .policy = settings.policy, .block = (mode & S_IFMT) == S_IFBLK};
	__u32 *mask = bpf_map_lookup_elem(&devices, &key);

	if (!mask && settings.policy_before != settings.policy) {
		key.policy = settings.policy_before;
		mask = bpf_map_lookup_elem(&devices, &key);
	}
	return mask ? *mask : 0;
}

/* A device number as user space passes it (new_decode_dev of linux/kdev_t.h) to
 * what the kernel keeps. */
static __always_inline __u32 bee_decode_device(__u64 device)
{
	return (device & 0xfff00) << 12 | (device & 0xff) | (device >> 12 & 0xfff00);
}

/* What the act sets: `value` and `value_2` are its mode, owner and group, length, or
 * device number as the kernel keeps it. */
static __always_inline void bee_file_values(struct bee_file *record, __u16 kind, __u64 value,
					    __u64 value_2)
{
	switch (kind) {
	case BEE_KIND_CHMOD:
		record->mode = (record->mode & S_IFMT) | (value & 07777);
		break;
	case BEE_KIND_CHOWN:
		record->owner_uid = value;
		record->owner_gid = value_2;
		break;
	case BEE_KIND_TRUNCATE:
		record->value = value;
		break;
	case BEE_KIND_MKNOD:
		record->mode = value;
		if (S_ISDEV(value))
			record->node = value_2;
		break;
	}
}

/* Why an act on names may be an event; `found` is what the tests of its names said. */
static __always_inline __u32 bee_act_mask(__u16 kind, __u32 found, __u64 mode, __u32 node)
{
	__u32 mask = found & (BEE_WATCH_ANY | BEE_WATCH_WRITE);

	/* While the scanner is on its way to a name, a directory above must not be moved unseen. */
	if (kind == BEE_KIND_RENAME &&
	    (found & BEE_WATCH_ANCHOR || settings.every_directory || (state.names_everywhere)))
		mask |= BEE_WATCH_ANCHOR;
	if (kind == BEE_KIND_MKNOD && S_ISDEV(mode))
		mask |= bee_device_mask(node, mode);
	if (bpf_get_current_pid_tgid() >> 32 == settings.canary_tgid)
		mask |= BEE_WATCH_ANY;
	return mask;
}
