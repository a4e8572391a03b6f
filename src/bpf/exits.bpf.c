// SPDX-License-Identifier: GPL-2.0
/*
 * The end of every system call, in front of the sensors' programs of tier `tracepoint` that are
 * `tp_btf`: see exits.bpf.h. An open that nobody has a use for, as nearly all are, ends here too;
 * what user space names as usual is never /proc, where the memory sensor looks.
 */
#include "usual.bpf.h"
#include "exits.bpf.h"
#include "hands_on.bpf.h"
#include "registers.bpf.h"

SEC("tp_btf/sys_exit")
int BPF_PROG(exits, struct pt_regs *regs, long ended)
{
	__u64 number = bee_syscall_number(regs);
	__s32 result = ended;
	__u8 reader;

#if defined(__TARGET_ARCH_x86)
	number &= ~0x40000000ull; /* x32 */
#endif
	if (!bee_exit_read(number))
		return 0;
	reader = bee_exit_reader(number, bee_compat_current());
	if (reader == EXIT_OPENS && bee_typed && result >= 0 && bee_is_usual_here(result))
		return 0;
	bee_exit_to(ctx, exits_typed, reader);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
