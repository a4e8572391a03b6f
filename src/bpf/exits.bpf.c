// SPDX-License-Identifier: GPL-2.0
/*
 * The end of every system call, in front of the sensors' programs of tier `tracepoint` that are
 * `tp_btf`: see exits.bpf.h.
 */
#include "core.bpf.h"
#include "exits.bpf.h"
#include "hands_on.bpf.h"
#include "registers.bpf.h"

SEC("tp_btf/sys_exit")
int BPF_PROG(exits, struct pt_regs *regs)
{
	__u64 number = bee_syscall_number(regs);

#if defined(__TARGET_ARCH_x86)
	number &= ~0x40000000ull; /* x32 */
#endif
	if (!bee_exit_read(number))
		return 0;
	bee_exit_to(ctx, exits_typed, number, bee_compat_current());
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
