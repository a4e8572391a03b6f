/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a system call's number and arguments lie in the saved registers, native and of
 * 32-bit programs.
 */
#pragma once

#if defined(__TARGET_ARCH_x86)

/* Where the arguments lie in pt_regs, native and 32-bit. The layout is the ABI
 * of arch/x86/include/uapi/asm/ptrace.h. */
#define BEE_REGISTER(name) __builtin_offsetof(struct pt_regs, name)
const __u16 bee_registers[2][8] = {
	{BEE_REGISTER(di), BEE_REGISTER(si), BEE_REGISTER(dx), BEE_REGISTER(r10), BEE_REGISTER(r8)},
	{BEE_REGISTER(bx), BEE_REGISTER(cx), BEE_REGISTER(dx), BEE_REGISTER(si), BEE_REGISTER(di)},
};

/* tp_btf may read the registers directly, raw_tp by CO-RE only. */
#define bee_syscall_number(regs)      ((regs)->orig_ax)
#define bee_syscall_number_core(regs) BPF_CORE_READ(regs, orig_ax)

#elif defined(__TARGET_ARCH_arm64)

/* x0 holds the result by now; orig_x0 follows user_pt_regs (31 registers, sp, pc,
 * pstate) in arch/arm64/include/asm/ptrace.h. 32-bit callers use r0 to r5. */
#define BEE_ORIG_X0		      (34 * 8)
const __u16 bee_registers[2][8] = {
	{BEE_ORIG_X0, 8, 16, 24, 32},
	{BEE_ORIG_X0, 8, 16, 24, 32},
};

/* An int there. Made wider with its sign and compared without, it has no bounds to the verifier
 * of 6.1, which then refuses it as an index. */
#define bee_syscall_number(regs)      ((__u32)(regs)->syscallno)
#define bee_syscall_number_core(regs) ((__u32)BPF_CORE_READ(regs, syscallno))
#endif
