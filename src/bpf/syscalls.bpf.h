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

#include "numbers.bpf.h"
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

#define BEE_ROW(number, call) [number] = CALL_##call,
const __u8 bee_native_calls[BEE_SYSCALLS] = {BEE_OPENS_NATIVE(BEE_ROW) BEE_FILE_NATIVE(BEE_ROW)};
const __u8 bee_compat_calls[BEE_SYSCALLS] = {BEE_OPENS_COMPAT(BEE_ROW) BEE_FILE_COMPAT(BEE_ROW)};
#undef BEE_ROW
