/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The system call the current task is in, for programs at functions that are deeper in the
 * kernel: its registers and its number.
 */
#pragma once

#include "core.bpf.h"
#include "numbers.bpf.h"
#include "registers.bpf.h"

#define BEE_STACK (16 * 1024) /* THREAD_SIZE of both, for pages of 4 and of 16 KiB */

/*
 * The registers the current system call came with, and which call it is in one of two tables
 * of BEE_SYSCALLS: at the top of the task's stack (task_pt_regs of
 * arch/{x86,arm64}/include/asm/processor.h). Its size is not in the kernel's types; what is
 * found is therefore believed only if it is a call of the table. 0: none.
 */
static __always_inline __u64 bee_caller_in(const __u8 *native, const __u8 *compat, __u8 *call)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 top = (__u64)BPF_CORE_READ(task, stack) + BEE_STACK;
	bool is_compat = bee_compat(task);

	*call = 0;
	/* x86 since 6.9 keeps two words free above them (FRED). */
	for (int gap = 0; gap <= 16; gap += 16) {
		struct pt_regs *regs = (void *)(top - gap - bpf_core_type_size(struct pt_regs));
		__u64 number = bee_syscall_number_core(regs);

#if defined(__TARGET_ARCH_x86)
		number &= ~0x40000000ull; /* x32 */
#endif
		if (number >= BEE_SYSCALLS)
			continue;
		*call = is_compat ? compat[number] : native[number];
		if (*call)
			return (__u64)regs;
	}
	return 0;
}
