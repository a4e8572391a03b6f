/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which system calls the file sensor reads at sys_exit, per ABI, and where their
 * arguments are. A table over code paths: a call is added by one row in
 * bee_calls and one number per ABI.
 *
 * Everything is read at exit, not at entry: the registers still hold the
 * arguments (x86: pt_regs keeps them; arm64: orig_x0 and x1..x5), the kernel has
 * by then read the strings itself, so their pages are there, and calls nobody
 * asked about cost one program run instead of two.
 */
#pragma once

#include "registers.bpf.h"

enum bee_call_index {
	CALL_NONE,
	CALL_OPEN,
	CALL_CREAT,
	CALL_OPENAT,
	CALL_OPENAT2,
	CALL_BY_HANDLE,
	CALL_UNLINK, /* rmdir too */
	CALL_UNLINKAT,
	CALL_RENAME,
	CALL_RENAMEAT,
	CALL_LINK,
	CALL_LINKAT,
	CALL_SYMLINK,
	CALL_SYMLINKAT,
	CALL_CHMOD,
	CALL_FCHMODAT,
	CALL_FCHMOD,
	CALL_CHOWN, /* lchown too */
	CALL_FCHOWNAT,
	CALL_FCHOWN,
	CALL_TRUNCATE,
	CALL_FTRUNCATE,
	CALL_TRUNCATE64_32, /* a length in two 32-bit registers */
	CALL_FTRUNCATE64_32,
	CALL_MKNOD,
	CALL_MKNODAT,
	CALL_COUNT,
	CALL_ROOM = 32, /* a power of two: the verifier wants a mask */
};

#define NO_ARG 7

/* Argument numbers; NO_ARG where the call has none. */
struct bee_call {
	__u8 kind;
	__u8 descriptor; /* fd the act is on */
	__u8 directory;	 /* fd `name` is relative to */
	__u8 name;
	__u8 directory_2;
	__u8 name_2;
	__u8 value;   /* mode, uid, length */
	__u8 value_2; /* gid, device, high half of a length */
};

// clang-format off
const struct bee_call bee_calls[CALL_ROOM] = {
	/* kind, descriptor, directory, name, directory_2, name_2, value, value_2 */
	[CALL_OPEN] = {BEE_KIND_OPEN, NO_ARG, NO_ARG, 0, NO_ARG, NO_ARG, 1, NO_ARG},
	[CALL_CREAT] = {BEE_KIND_OPEN, NO_ARG, NO_ARG, 0, NO_ARG, NO_ARG, NO_ARG, NO_ARG},
	[CALL_OPENAT] = {BEE_KIND_OPEN, NO_ARG, 0, 1, NO_ARG, NO_ARG, 2, 3},
	[CALL_OPENAT2] = {BEE_KIND_OPEN, NO_ARG, 0, 1, NO_ARG, NO_ARG, 2, NO_ARG},
	[CALL_BY_HANDLE] = {BEE_KIND_OPEN, NO_ARG, NO_ARG, NO_ARG, NO_ARG, NO_ARG, 2, NO_ARG},
	[CALL_UNLINK] = {BEE_KIND_DELETE, NO_ARG, NO_ARG, 0, NO_ARG, NO_ARG, NO_ARG, NO_ARG},
	[CALL_UNLINKAT] = {BEE_KIND_DELETE, NO_ARG, 0, 1, NO_ARG, NO_ARG, NO_ARG, NO_ARG},
	[CALL_RENAME] = {BEE_KIND_RENAME, NO_ARG, NO_ARG, 0, NO_ARG, 1, NO_ARG, NO_ARG},
	[CALL_RENAMEAT] = {BEE_KIND_RENAME, NO_ARG, 0, 1, 2, 3, NO_ARG, NO_ARG},
	[CALL_LINK] = {BEE_KIND_LINK, NO_ARG, NO_ARG, 0, NO_ARG, 1, NO_ARG, NO_ARG},
	[CALL_LINKAT] = {BEE_KIND_LINK, NO_ARG, 0, 1, 2, 3, NO_ARG, NO_ARG},
	[CALL_SYMLINK] = {BEE_KIND_SYMLINK, NO_ARG, NO_ARG, 1, NO_ARG, 0, NO_ARG, NO_ARG},
	[CALL_SYMLINKAT] = {BEE_KIND_SYMLINK, NO_ARG, 1, 2, NO_ARG, 0, NO_ARG, NO_ARG},
	[CALL_CHMOD] = {BEE_KIND_CHMOD, NO_ARG, NO_ARG, 0, NO_ARG, NO_ARG, 1, NO_ARG},
	[CALL_FCHMODAT] = {BEE_KIND_CHMOD, NO_ARG, 0, 1, NO_ARG, NO_ARG, 2, NO_ARG},
	[CALL_FCHMOD] = {BEE_KIND_CHMOD, 0, NO_ARG, NO_ARG, NO_ARG, NO_ARG, 1, NO_ARG},
	[CALL_CHOWN] = {BEE_KIND_CHOWN, NO_ARG, NO_ARG, 0, NO_ARG, NO_ARG, 1, 2},
	[CALL_FCHOWNAT] = {BEE_KIND_CHOWN, NO_ARG, 0, 1, NO_ARG, NO_ARG, 2, 3},
	[CALL_FCHOWN] = {BEE_KIND_CHOWN, 0, NO_ARG, NO_ARG, NO_ARG, NO_ARG, 1, 2},
	[CALL_TRUNCATE] = {BEE_KIND_TRUNCATE, NO_ARG, NO_ARG, 0, NO_ARG, NO_ARG, 1, NO_ARG},
	[CALL_FTRUNCATE] = {BEE_KIND_TRUNCATE, 0, NO_ARG, NO_ARG, NO_ARG, NO_ARG, 1, NO_ARG},
#if defined(__TARGET_ARCH_x86)
	[CALL_TRUNCATE64_32] = {BEE_KIND_TRUNCATE, NO_ARG, NO_ARG, 0, NO_ARG, NO_ARG, 1, 2},
	[CALL_FTRUNCATE64_32] = {BEE_KIND_TRUNCATE, 0, NO_ARG, NO_ARG, NO_ARG, NO_ARG, 1, 2},
#else /* arm: a 64-bit argument begins at an even register */
	[CALL_TRUNCATE64_32] = {BEE_KIND_TRUNCATE, NO_ARG, NO_ARG, 0, NO_ARG, NO_ARG, 2, 3},
	[CALL_FTRUNCATE64_32] = {BEE_KIND_TRUNCATE, 0, NO_ARG, NO_ARG, NO_ARG, NO_ARG, 2, 3},
#endif
	[CALL_MKNOD] = {BEE_KIND_MKNOD, NO_ARG, NO_ARG, 0, NO_ARG, NO_ARG, 1, 2},
	[CALL_MKNODAT] = {BEE_KIND_MKNOD, NO_ARG, 0, 1, NO_ARG, NO_ARG, 2, 3},
};

// clang-format on

#define BEE_SYSCALLS 512 /* numbers looked at; x32's bit is taken off first */

#if defined(__TARGET_ARCH_x86)

/* arch/x86/entry/syscalls/syscall_64.tbl */
const __u8 bee_native_calls[BEE_SYSCALLS] = {
	[2] = CALL_OPEN,	[76] = CALL_TRUNCATE,	[77] = CALL_FTRUNCATE,
	[82] = CALL_RENAME,	[84] = CALL_UNLINK, /* rmdir */
	[85] = CALL_CREAT,	[86] = CALL_LINK,	[87] = CALL_UNLINK,
	[88] = CALL_SYMLINK,	[90] = CALL_CHMOD,	[91] = CALL_FCHMOD,
	[92] = CALL_CHOWN,	[93] = CALL_FCHOWN,	[94] = CALL_CHOWN, /* lchown */
	[133] = CALL_MKNOD,	[257] = CALL_OPENAT,	[259] = CALL_MKNODAT,
	[260] = CALL_FCHOWNAT,	[263] = CALL_UNLINKAT,	[264] = CALL_RENAMEAT,
	[265] = CALL_LINKAT,	[266] = CALL_SYMLINKAT, [268] = CALL_FCHMODAT,
	[304] = CALL_BY_HANDLE, [316] = CALL_RENAMEAT, /* renameat2 */
	[437] = CALL_OPENAT2,	[452] = CALL_FCHMODAT, /* fchmodat2 */
};

/* arch/x86/entry/syscalls/syscall_32.tbl */
const __u8 bee_compat_calls[BEE_SYSCALLS] = {
	[5] = CALL_OPEN,
	[8] = CALL_CREAT,
	[9] = CALL_LINK,
	[10] = CALL_UNLINK,
	[14] = CALL_MKNOD,
	[15] = CALL_CHMOD,
	[16] = CALL_CHOWN, /* lchown16 */
	[38] = CALL_RENAME,
	[40] = CALL_UNLINK, /* rmdir */
	[83] = CALL_SYMLINK,
	[92] = CALL_TRUNCATE,
	[93] = CALL_FTRUNCATE,
	[94] = CALL_FCHMOD,
	[95] = CALL_FCHOWN,
	[182] = CALL_CHOWN, /* chown16 */
	[193] = CALL_TRUNCATE64_32,
	[194] = CALL_FTRUNCATE64_32,
	[198] = CALL_CHOWN, /* lchown32 */
	[207] = CALL_FCHOWN,
	[212] = CALL_CHOWN,
	[295] = CALL_OPENAT,
	[297] = CALL_MKNODAT,
	[298] = CALL_FCHOWNAT,
	[301] = CALL_UNLINKAT,
	[302] = CALL_RENAMEAT,
	[303] = CALL_LINKAT,
	[304] = CALL_SYMLINKAT,
	[306] = CALL_FCHMODAT,
	[342] = CALL_BY_HANDLE,
	[353] = CALL_RENAMEAT, /* renameat2 */
	[437] = CALL_OPENAT2,
	[452] = CALL_FCHMODAT, /* fchmodat2 */
};

#elif defined(__TARGET_ARCH_arm64)

/* include/uapi/asm-generic/unistd.h */
const __u8 bee_native_calls[BEE_SYSCALLS] = {
	[33] = CALL_MKNODAT,	[35] = CALL_UNLINKAT,  [36] = CALL_SYMLINKAT, [37] = CALL_LINKAT,
	[38] = CALL_RENAMEAT,	[45] = CALL_TRUNCATE,  [46] = CALL_FTRUNCATE, [52] = CALL_FCHMOD,
	[53] = CALL_FCHMODAT,	[54] = CALL_FCHOWNAT,  [55] = CALL_FCHOWN,    [56] = CALL_OPENAT,
	[265] = CALL_BY_HANDLE, [276] = CALL_RENAMEAT, /* renameat2 */
	[437] = CALL_OPENAT2,	[452] = CALL_FCHMODAT, /* fchmodat2 */
};

/* arch/arm/tools/syscall.tbl */
const __u8 bee_compat_calls[BEE_SYSCALLS] = {
	[5] = CALL_OPEN,
	[8] = CALL_CREAT,
	[9] = CALL_LINK,
	[10] = CALL_UNLINK,
	[14] = CALL_MKNOD,
	[15] = CALL_CHMOD,
	[16] = CALL_CHOWN, /* lchown16 */
	[38] = CALL_RENAME,
	[40] = CALL_UNLINK, /* rmdir */
	[83] = CALL_SYMLINK,
	[92] = CALL_TRUNCATE,
	[93] = CALL_FTRUNCATE,
	[94] = CALL_FCHMOD,
	[95] = CALL_FCHOWN,
	[182] = CALL_CHOWN, /* chown16 */
	[193] = CALL_TRUNCATE64_32,
	[194] = CALL_FTRUNCATE64_32,
	[198] = CALL_CHOWN, /* lchown32 */
	[207] = CALL_FCHOWN,
	[212] = CALL_CHOWN,
	[322] = CALL_OPENAT,
	[324] = CALL_MKNODAT,
	[325] = CALL_FCHOWNAT,
	[328] = CALL_UNLINKAT,
	[329] = CALL_RENAMEAT,
	[330] = CALL_LINKAT,
	[331] = CALL_SYMLINKAT,
	[333] = CALL_FCHMODAT,
	[371] = CALL_BY_HANDLE,
	[382] = CALL_RENAMEAT, /* renameat2 */
	[437] = CALL_OPENAT2,
	[452] = CALL_FCHMODAT, /* fchmodat2 */
};
#endif
