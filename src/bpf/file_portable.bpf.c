// SPDX-License-Identifier: GPL-2.0
/*
 * The file sensor, `portable` tier: by names alone, as their callers gave them.
 *
 *   sys_exit  every act on a name ends here, in native and in 32-bit calls. The kernel
 *             has read the name itself by then, so that its page is there
 *
 * Every open is tested by its name: there is no identity to reject it by. The directory
 * a relative name belongs to is not known; such a name is tested by what it has. Acts on
 * descriptors have no name and are not seen. All of it is in docs/blind-spots.md.
 */
#include "nobtf.bpf.h"
#include "names.bpf.h"
#include "call.bpf.h"
#include "passed.bpf.h"

#define O_PATH	    010000000 /* the same on x86 and arm64 */
#define __O_TMPFILE 020000000
#if defined(__TARGET_ARCH_x86)
#define O_DIRECTORY 0200000
#elif defined(__TARGET_ARCH_arm64)
#define O_DIRECTORY 040000
#endif

/* Opens that are no access to a file with a name. O_TMPFILE is in __O_TMPFILE. */
#define BEE_NO_ACCESS (O_PATH | O_DIRECTORY | __O_TMPFILE)

/* Beside the number of the name: it is what a symbolic link leads to; it is opened, and the name
 * may be one that is passed over. */
#define BEE_TEXT_OF_LINK 2
#define BEE_OF_OPEN	 4

/* What came of reading a name. */
enum bee_read {
	BEE_READ_TESTED,
	BEE_READ_NOTHING,
	BEE_READ_PASSED,
};

/* Whether a name, `length` bytes with its NUL in the tail, may be that of a file the memory sensor
 * looks at: mem, environ, maps, smaps, smaps_rollup, numa_maps. */
static __always_inline bool bee_for_memory(struct bee_scratch *buffer, __u32 length)
{
	__u16 end;

	if (length < sizeof("mem"))
		return false;
	end = buffer->tail[(length - 3) & BEE_TAIL_MASK] << 8 |
	      buffer->tail[(length - 2) & BEE_TAIL_MASK];
	return end == ('e' << 8 | 'm') || end == ('o' << 8 | 'n') || end == ('p' << 8 | 's') ||
	       end == ('u' << 8 | 'p');
}

/*
 * Reads one name argument into the tail at `place`, tests it, and leaves what it found in
 * given[which]: enum bee_read. A global function (see names.bpf.h), so it takes numbers only.
 */
__noinline int bee_read_given(__u32 place, __u64 address, __u32 which)
{
	struct bee_scratch *buffer = bee_scratch(place);
	struct bee_passed *passed = NULL;
	__u32 at = place & BEE_TAIL_MASK;
	struct bee_given *given;
	__u32 tested, length, policy;
	long size;

	if (!buffer)
		return BEE_READ_NOTHING;
	given = &buffer->given[which & 1];
	size = bpf_probe_read_user_str(&buffer->tail[at], BEE_PART_MAX, (void *)address);
	if (size <= 0)
		return BEE_READ_NOTHING;
	given->name_length = size & 0x1fff;
	length = given->name_length - 1;
	if (which & BEE_OF_OPEN) {
		passed = bee_passed_place(buffer, length);
		if (bee_is_passed(buffer, passed, length))
			return BEE_READ_PASSED;
	}
	policy = *(volatile __u32 *)&settings.policy;
	tested = bee_test_given(place, length);
	given->mask = tested & 0xf;
	if (!given->mask && !bee_for_memory(buffer, given->name_length))
		bee_pass(buffer, passed, length, policy);
	/* It is joined to the directory of the link: only user space can follow. */
	if (which & BEE_TEXT_OF_LINK && tested & BEE_NAME_ABOVE)
		given->mask |= BEE_WATCH_ANY | BEE_WATCH_WRITE;
	given->flags = BEE_FLAG_ARGS_RACY;
	if (buffer->tail[at] != '/' && !(which & BEE_TEXT_OF_LINK))
		given->flags |= BEE_FLAG_PATH_RELATIVE;
	return BEE_READ_TESTED;
}

/* Whether what was found is reason for an event. */
static __always_inline bool bee_wanted(__u16 kind, __u32 mask, __u8 access)
{
	if (kind == BEE_KIND_OPEN || kind == BEE_KIND_CREATE)
		return mask & BEE_WATCH_ANY || (mask && access & FMODE_WRITE);
	return mask;
}

/* An act on one or two names, done or refused. Nonzero: the memory sensor may want it too. */
__noinline int bee_on_given(__u64 regs, bee_what call)
{
	struct bee_act unpacked, *act = &unpacked;
	struct bee_scratch *buffer = bee_scratch(0);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct bee_given *first, *second;
	struct bee_file *record;
	__u64 value = 0, value_2 = 0;
	__u8 access = 0;
	__u32 mask;
	__u16 kind;
	int on;

	bee_unpack(act, regs, call);
	kind = act->call->kind;
	on = kind == BEE_KIND_OPEN;
	if (!buffer) {
		bee_count(kind, BEE_CAUSE_NO_SCRATCH);
		return on;
	}
	if (kind == BEE_KIND_OPEN) {
		__u64 flags = bee_open_flags(act);

		if (flags & BEE_NO_ACCESS)
			return on;
		access = bee_flags_access(flags);
		/* Without O_EXCL it may have been there before. */
		if (flags & O_CREAT && flags & O_EXCL && BEE_WHAT_RESULT(call) >= 0)
			kind = BEE_KIND_CREATE;
	} else {
		value = bee_value(act);
		value_2 = bee_value_2(act);
	}
	first = &buffer->given[0];
	second = &buffer->given[1];
	__builtin_memset(second, 0, sizeof(*second));
	switch (bee_read_given(0, bee_arg(act, act->call->name),
			       on && tgid != settings.canary_tgid ? BEE_OF_OPEN : 0)) {
	case BEE_READ_PASSED:
		return 0;
	case BEE_READ_NOTHING:
		bee_count(kind, BEE_CAUSE_UNREADABLE);
		return on;
	}
	if (on)
		on = bee_for_memory(buffer, first->name_length);
	if (act->call->name_2 != NO_ARG &&
	    bee_read_given(first->name_length, bee_arg(act, act->call->name_2),
			   kind == BEE_KIND_SYMLINK ? 1 | BEE_TEXT_OF_LINK : 1) ==
		    BEE_READ_NOTHING) {
		if (kind != BEE_KIND_SYMLINK) {
			bee_count(kind, BEE_CAUSE_UNREADABLE);
			return 0;
		}
		second->flags = BEE_FLAG_PATH_UNREADABLE;
	}
	mask = bee_act_mask(kind, first->mask | second->mask, value, value_2);
	if (!bee_wanted(kind, mask, access))
		return on;
	if (tgid == settings.self_tgid || tgid == settings.scanner_tgid) {
		bee_count(kind, BEE_CAUSE_SELF);
		return on;
	}
	record = bee_fixed(buffer, struct bee_file);
	bee_begin(0, kind, BEE_WHAT_HOOK(call), sizeof(*record));
	record->mask = mask;
	record->access = access;
	record->header.flags |= first->flags | second->flags;
	if (act->compat)
		record->header.flags |= BEE_FLAG_COMPAT;
	if (BEE_WHAT_RESULT(call) < 0)
		record->header.result = BEE_WHAT_RESULT(call);
	bee_file_values(record, kind, value, value_2);
	record->length[BEE_PART_NAME] = first->name_length;
	record->length[BEE_PART_NAME_2] = second->name_length;
	bee_submit(0, sizeof(*record), first->name_length + second->name_length, 1);
	return on;
}

/* Nonzero: the memory sensor may want it too. */
static __always_inline int bee_sys_exit(__u64 regs, long ended)
{
	const struct bee_call *call;
	struct bee_saved saved;
	__u8 native, compat, index;
	__s32 result = ended; /* 32-bit programs of old arm64 kernels get no more */
	__u64 number;
	bool is_compat;

	/* Other failures changed nothing and showed nothing. */
	if (result < 0 && result != -EACCES && result != -EPERM)
		return 1;
	if (bee_saved_read(&saved, regs))
		return 0;
	number = bee_saved_number(&saved);
	if (number >= BEE_SYSCALLS)
		return 0;
	native = bee_native_calls[number];
	compat = bee_compat_calls[number];
	if (!(native | compat))
		return 0;
	is_compat = bee_saved_compat(&saved);
	index = is_compat ? compat : native;
	if (!index || !bee_active())
		return 0;
	call = &bee_calls[index & (CALL_ROOM - 1)];
	if (call->name == NO_ARG) {
		/* Of all the calls without a name this one opens what it likes. */
		if (index == CALL_BY_HANDLE && result >= 0)
			bee_count(BEE_KIND_OPEN, BEE_CAUSE_UNNAMED);
		return 0;
	}
	return bee_on_given(regs,
			    bee_pack(BEE_HOOK_PORTABLE_SYS_EXIT, index, is_compat, 0, result));
}

SEC("raw_tp/sys_exit")
int BPF_PROG(raw_tp__sys_exit, __u64 regs, long ended)
{
	if (bee_sys_exit(regs, ended))
		bee_hand_on(ctx, exits_raw, BEE_READER_MEMORY);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
