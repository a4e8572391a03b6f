// SPDX-License-Identifier: GPL-2.0
/*
 * The memory sensor, `portable` tier: by numbers and names as their callers gave them.
 *
 *   sys_exit  ptrace, process_vm_readv, process_vm_writev, pidfd_getfd and opens end here, in
 *             native and in 32-bit calls
 *
 * Which pid namespace a number is one of is not known; user space takes it for its own.
 * All of it is in docs/blind-spots.md.
 */
#include "nobtf.bpf.h"
#include "memory_calls.bpf.h"

static __always_inline __u64 bee_pidfd(__u32 descriptor)
{
	return (bpf_get_current_pid_tgid() & ~0xffffffffull) | descriptor;
}

/* An act on the process with this number, or on the one that is in the name in the tail. */
__noinline int bee_on_given_target(bee_what what, __u32 request, __u32 number, __u32 name_length)
{
	struct bee_scratch *buffer = bee_scratch(0);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u16 kind = BEE_WHAT_KIND(what);
	struct bee_memory *record;

	if (tgid == settings.self_tgid || tgid == settings.scanner_tgid) {
		bee_count(kind, BEE_CAUSE_SELF);
		return 0;
	}
	if (!buffer) {
		bee_count(kind, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	record = bee_fixed(buffer, struct bee_memory);
	bee_begin(0, kind, BEE_WHAT_HOOK(what), sizeof(*record));
	record->target_uid = ~0u;
	record->target_number = number;
	record->request = request & 0xffffff;
	record->access = request >> 24;
	record->name_length = name_length;
	if (name_length)
		record->header.flags |= BEE_FLAG_ARGS_RACY;
	if (BEE_WHAT_COMPAT(what))
		record->header.flags |= BEE_FLAG_COMPAT;
	if (BEE_WHAT_RESULT(what) < 0)
		record->header.result = BEE_WHAT_RESULT(what);
	return bee_submit(0, sizeof(*record), name_length, 1);
}

static __always_inline bee_what bee_of_kind(bee_what what, __u8 kind)
{
	return (what & ~0xffull) | kind;
}

/* A system call that has ended: `call` has its number of the table for a kind. */
__noinline int bee_on_given_call(__u64 regs, bee_what call)
{
	bool compat = BEE_WHAT_COMPAT(call);
	__u32 request, size, *made_of;
	__u64 flags, key;
	__u8 index = BEE_WHAT_KIND(call), which;

	switch (index) {
	case MEMORY_PTRACE:
		request = bee_memory_arg(regs, compat, 0);
		if (request != PTRACE_TRACEME && request != PTRACE_ATTACH &&
		    request != PTRACE_SEIZE)
			return 0;
		return bee_on_given_target(
			bee_of_kind(call, BEE_KIND_PTRACE), request,
			request == PTRACE_TRACEME ? 0 : (__u32)bee_memory_arg(regs, compat, 1), 0);
	case MEMORY_VM_READ:
		return bee_on_given_target(bee_of_kind(call, BEE_KIND_VM_READ), 0,
					   bee_memory_arg(regs, compat, 0), 0);
	case MEMORY_VM_WRITE:
		return bee_on_given_target(bee_of_kind(call, BEE_KIND_VM_WRITE), 0,
					   bee_memory_arg(regs, compat, 0), 0);
	case MEMORY_PIDFD:
		if (BEE_WHAT_RESULT(call) < 0)
			return 0;
		key = bee_pidfd(BEE_WHAT_RESULT(call));
		size = bee_memory_arg(regs, compat, 0);
		bpf_map_update_elem(&pidfds, &key, &size, BPF_ANY);
		return 0;
	case MEMORY_GETFD:
		key = bee_pidfd(bee_memory_arg(regs, compat, 0));
		made_of = bpf_map_lookup_elem(&pidfds, &key);
		return bee_on_given_target(bee_of_kind(call, BEE_KIND_PIDFD_GETFD), 0,
					   made_of ? *made_of : 0, 0);
	}
	size = bee_proc_name(0, bee_memory_arg(regs, compat, bee_name_argument(index)), false,
			     &which);
	if (!size || !which)
		return 0;
	flags = bee_flags_of(regs, compat, index);
	if (flags & O_PATH)
		return 0;
	return bee_on_given_target(bee_of_kind(call, bee_proc_kind(which)),
				   which | (__u32)bee_access_of(flags) << 24, 0, size);
}

SEC("raw_tp/sys_exit")
int BPF_PROG(raw_tp__sys_exit, __u64 regs, long ended)
{
	__s32 result = ended; /* 32-bit programs of old arm64 kernels get no more */
	__u8 native, compat, call;
	struct bee_saved saved;
	bool is_compat;
	__u64 number;

	if (!bee_reached(result) || bee_saved_read(&saved, regs))
		return 0;
	number = bee_saved_number(&saved);
	if (number >= BEE_SYSCALLS)
		return 0;
	native = bee_memory_native[number];
	compat = bee_memory_compat[number];
	if (!(native | compat))
		return 0;
	is_compat = bee_saved_compat(&saved);
	call = is_compat ? compat : native;
	if (!call || !bee_active())
		return 0;
	if (bee_is_open(call) && (result == -EFAULT || result == -EBADF))
		return 0;
	return bee_on_given_call(
		regs, bee_pack(BEE_HOOK_MEMORY_PORTABLE_SYS_EXIT, call, is_compat, 0, result));
}

char LICENSE[] SEC("license") = "GPL";
