// SPDX-License-Identifier: GPL-2.0
/*
 * The memory sensor, `tracepoint` tier.
 *
 *   sys_exit  ptrace, process_vm_readv, process_vm_writev, pidfd_getfd and opens end here, in
 *             native and in 32-bit calls. A number is looked up in the caller's pid namespace;
 *             the descriptor of an open leads to the file, and where that is one of procfs the
 *             name of its directory to the process
 *
 * What this tier cannot see is in docs/blind-spots.md.
 */
#include "memory.bpf.h"

static __always_inline int bee_memory_exit(void *address, __u64 number, long ended, __u16 hook)
{
	__s32 result = ended; /* 32-bit programs of old arm64 kernels get no more */
	__u8 native, compat, call;
	struct file *file;
	bool is_compat;
	__u64 regs = 0;
	__u32 f_mode;
	bee_what what;

#if defined(__TARGET_ARCH_x86)
	number &= ~0x40000000ull; /* x32 */
#endif
	if (number >= BEE_SYSCALLS)
		return 0;
	native = bee_memory_native[number];
	compat = bee_memory_compat[number];
	if (!(native | compat))
		return 0;
	is_compat = bee_compat_current();
	call = is_compat ? compat : native;
	if (!call || call == MEMORY_PIDFD || !bee_active())
		return 0;
	what = bee_pack(hook, call, is_compat, 0, result);
	if (!bee_is_open(call)) {
		/* A number, not a typed pointer, is what a global function takes. */
		bpf_probe_read_kernel(&regs, sizeof(regs), address);
		return bee_on_call(regs, what);
	}
	if (result >= 0) {
		file = bee_descriptor_file(result);
		f_mode = BPF_CORE_READ(file, f_mode);
		if (f_mode & FMODE_PATH)
			return 0;
		return bee_on_opened(what, (__u64)BPF_CORE_READ(file, f_path.dentry),
				     f_mode & (FMODE_READ | FMODE_WRITE));
	}
	if (!bee_refused(result))
		return 0;
	bpf_probe_read_kernel(&regs, sizeof(regs), address);
	return bee_on_refused_name(what, bee_memory_arg(regs, is_compat, bee_name_argument(call)),
				   bee_directory_of(regs, is_compat, call),
				   bee_access_of(bee_flags_of(regs, is_compat, call)));
}

SEC("tp_btf/sys_exit")
int BPF_PROG(tp_btf__sys_exit, struct pt_regs *regs, long result)
{
	return bee_memory_exit(ctx, bee_syscall_number(regs), result,
			       BEE_HOOK_MEMORY_TP_BTF_SYS_EXIT);
}

SEC("raw_tp/sys_exit")
int BPF_PROG(raw_tp__sys_exit, struct pt_regs *regs, long result)
{
	return bee_memory_exit(ctx, bee_syscall_number_core(regs), result,
			       BEE_HOOK_MEMORY_RAW_TP_SYS_EXIT);
}

char LICENSE[] SEC("license") = "GPL";
