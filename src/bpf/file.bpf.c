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
#include "given.bpf.h"

/* An act on an open file: an open that succeeded, fchmod, fchown, ftruncate. Whether the memory
 * sensor wants it too. */
__noinline int bee_on_file(__u64 regs, bee_what call, __u64 address, __u32 look)
{
	struct bee_act unpacked, *act = &unpacked;
	__u64 value = 0, value_2 = 0;
	struct file *file = (struct file *)address;
	__u32 f_mode, says = 0;
	bee_what what;
	bool opened;

	bee_unpack(act, regs, call);
	what = (call & ~0xffull) | act->call->kind;
	opened = act->call->kind == BEE_KIND_OPEN;
	if (!opened)
		file = bee_descriptor_file(bee_arg(act, act->call->descriptor));
	else if (look == BEE_LOOK_ON)
		says = bee_misses_read((__u64)file);
	if (says & BEE_MISSES)
		return says & BEE_ON_PROC;
	f_mode = BPF_CORE_READ(file, f_mode);
	if (f_mode & FMODE_PATH) {
		if (bee_tgid() != settings.scanner_tgid)
			return 0;
		bee_taught(what, (__u64)BPF_CORE_READ(file, f_path.dentry),
			   (__u64)BPF_CORE_READ(file, f_path.mnt),
			   bee_arg(act, act->call->value_2));
		return 0;
	}
	if (!opened) {
		f_mode = BEE_NO_OPEN;
		value = bee_value(act);
		value_2 = bee_value_2(act);
	}
	bee_on_inode(what, (__u64)&file->f_path, f_mode, value, value_2);
	return says & BEE_ON_PROC;
}

/* `address` is the context's first word: the registers. Whether the memory sensor, which reads
 * opens too, wants this one. */
static __always_inline int bee_sys_exit(void *address, __u64 number, long ended, __u16 hook)
{
	/* Before 5.15 arm64 gives the result of a 32-bit call without its sign above bit 31; every
	 * call of the tables ends with a descriptor, 0 or -errno. */
	__s32 result = ended;
	const struct bee_call *call;
	__u8 native, compat, index;
	enum bee_look look = BEE_LOOK_ON;
	bool is_compat, opened, open;
	__u64 regs = 0, file = 0;
	bee_what what;

#if defined(__TARGET_ARCH_x86)
	number &= ~0x40000000ull; /* x32 */
#endif
	if (number >= BEE_SYSCALLS)
		return 0;
	native = bee_native_calls[number];
	compat = bee_compat_calls[number];
	if (!(native | compat))
		return 0;
	is_compat = bee_compat_current();
	index = is_compat ? compat : native;
	if (!index || !bee_active())
		return 0;
	call = &bee_calls[index & (CALL_ROOM - 1)];
	open = call->kind == BEE_KIND_OPEN;
	/* Other failures changed nothing and showed nothing. */
	if (result < 0 && result != -EACCES && result != -EPERM)
		return open;
	opened = open && result >= 0;
	if (opened) {
		/* exits.bpf.c has looked already. */
		if (!(bee_found.exits && hook == BEE_HOOK_TP_BTF_SYS_EXIT) && bee_typed &&
		    bee_is_usual_here(result))
			return 0;
		file = (__u64)bee_descriptor_file(result);
		look = bee_look(file);
		if (look == BEE_LOOK_USUAL)
			return 0;
	}
	what = bee_pack(hook, index, is_compat, 0, result);
	/* Of an open that succeeded only the scanner's has an argument of interest. */
	if (!opened || bee_tgid() == settings.scanner_tgid)
		/* A number, not a typed pointer, is what a global function takes. */
		bpf_probe_read_kernel(&regs, sizeof(regs), address);
	if (opened || call->descriptor != NO_ARG)
		return bee_on_file(regs, what, file, look);
	/* open_by_handle_at refused: the handle is not a name, and nothing was opened. */
	if (call->name == NO_ARG)
		return 0;
	bee_on_names(regs, what);
	return open;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(tp_btf__sys_exit, struct pt_regs *regs, long result)
{
	if (bee_sys_exit(ctx, bee_syscall_number(regs), result, BEE_HOOK_TP_BTF_SYS_EXIT))
		bee_hand_on(ctx, exits_typed, BEE_READER_MEMORY);
	return 0;
}

SEC("raw_tp/sys_exit")
int BPF_PROG(raw_tp__sys_exit, struct pt_regs *regs, long result)
{
	if (bee_sys_exit(ctx, bee_syscall_number_core(regs), result, BEE_HOOK_RAW_TP_SYS_EXIT))
		bee_hand_on(ctx, exits_raw, BEE_READER_MEMORY);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
