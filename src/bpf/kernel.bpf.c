// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel sensor, `tracepoint` tier.
 *
 *   sys_exit     bpf, io_uring_setup, calls that set the clock, signals for the daemon, and
 *                modules that are refused
 *   module_load  a module was loaded: with its name, whichever way it came
 */
#define BEE_RARE
#include "memory.bpf.h"
#include "kernel.bpf.h"

/* The daemon or its scanner, if the process `task` is one of them. */
static __always_inline __u32 bee_target_of(__u64 task)
{
	__u32 tgid = task ? BPF_CORE_READ((struct task_struct *)task, tgid) : 0;

	return bee_ours(tgid) ? tgid : 0;
}

/* A system call that has ended: `call` has its number of the table for a kind. */
__noinline int bee_on_kernel_call(__u64 regs, bee_what call)
{
	struct bee_scratch *buffer = bee_scratch(0);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__s32 result = BEE_WHAT_RESULT(call), number;
	bool compat = BEE_WHAT_COMPAT(call);
	__u8 index = BEE_WHAT_KIND(call);
	struct bee_kernel *record;
	__u64 target;

	if (bee_ours(tgid))
		return 0;
	if (!buffer) {
		bee_count(BEE_KIND_BPF, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	record = bee_fixed(buffer, struct bee_kernel);
	bee_begin(0, BEE_KIND_KILL, BEE_WHAT_HOOK(call), sizeof(*record));
	if (compat)
		record->header.flags |= BEE_FLAG_COMPAT;
	if (result < 0)
		record->header.result = result;
	if (index >= KERNEL_KILL) {
		record->code = bee_sent(regs, compat, index, &number);
		if (!record->code)
			return 0;
		if (index == KERNEL_PIDFD_SIGNAL)
			target = bee_descriptor_task(number);
		else
			target = number > 0 ? bee_numbered(bee_namespace(), number) : 0;
		record->target = bee_target_of(target);
		/* -1 is every process. */
		if (!record->target && (index != KERNEL_KILL || number != -1))
			return 0;
	} else {
		if (!bee_kernel_facts(record, regs, compat, index, result))
			return 0;
	}
	if (index == KERNEL_INIT_MODULE || index == KERNEL_FINIT_MODULE) {
		/* The other hook has those that were loaded. */
		if (result >= 0)
			return 0;
		if (index == KERNEL_FINIT_MODULE)
			record->name_length =
				bee_module_file(buffer, bee_kernel_arg(regs, compat, 0));
	}
	return bee_submit(0, sizeof(*record), record->name_length, 1);
}

static __always_inline int bee_kernel_exit(void *address, __u64 number, long ended, __u16 hook)
{
	__s32 result = ended; /* 32-bit programs of old arm64 kernels get no more */
	__u8 native, compat, call;
	bool is_compat;
	__u64 regs = 0;

#if defined(__TARGET_ARCH_x86)
	number &= ~0x40000000ull; /* x32 */
#endif
	if (number >= BEE_SYSCALLS)
		return 0;
	native = bee_kernel_native[number];
	compat = bee_kernel_compat[number];
	if (!(native | compat))
		return 0;
	is_compat = bee_compat_current();
	call = is_compat ? compat : native;
	if (!call || !bee_active())
		return 0;
	/* A number, not a typed pointer, is what a global function takes. */
	bpf_probe_read_kernel(&regs, sizeof(regs), address);
	return bee_on_kernel_call(regs, bee_pack(hook, call, is_compat, 0, result));
}

SEC("tp_btf/sys_exit")
int BPF_PROG(tp_btf__sys_exit, struct pt_regs *regs, long result)
{
	return bee_kernel_exit(ctx, bee_syscall_number(regs), result,
			       BEE_HOOK_KERNEL_TP_BTF_SYS_EXIT);
}

SEC("raw_tp/sys_exit")
int BPF_PROG(raw_tp__sys_exit, struct pt_regs *regs, long result)
{
	return bee_kernel_exit(ctx, bee_syscall_number_core(regs), result,
			       BEE_HOOK_KERNEL_RAW_TP_SYS_EXIT);
}

SEC("raw_tp/module_load")
int BPF_PROG(raw_tp__module_load, struct module *module)
{
	return bee_module(module, BEE_HOOK_RAW_TP_MODULE_LOAD, 0);
}

char LICENSE[] SEC("license") = "GPL";
