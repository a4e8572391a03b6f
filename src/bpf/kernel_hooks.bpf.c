// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel sensor, tiers `full` and `kprobe`: at functions nobody else's call comes through,
 * so that a system call nobody watches costs nothing.
 *
 *   sys_bpf, sys_io_uring_setup, sys_init_module, sys_finit_module
 *                          that system call ends (fexit, kretprobe). The kernel calls these
 *                          functions __x64_sys_bpf, __arm64_sys_bpf, …; src/probe/calls.rs
 *   ia32_sys_bpf, …        the same of 32-bit programs on x86-64. On arm64 they come through
 *                          the ones above
 *   do_sys_settimeofday64  settimeofday, stime, clock_settime of the clock of the day
 *   do_adjtimex            adjtimex, clock_adjtime of that clock
 *   check_kill_permission  every signal that a system call sends, once for each process that is
 *                          to get it: kill of one, of a group and of all, tkill, tgkill,
 *                          rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal. It has the
 *                          target, and says whether it may be. kprobe and kretprobe: the first
 *                          has the target, the second the result
 *   module_load            a module was loaded: with its name, whichever way it came
 *
 * security_bpf and security_task_kill are not asked where the kernel's own check has refused
 * before; so they would miss refused tries. At a return probe the arguments are gone: what the
 * caller gave is in its registers.
 */
#define BEE_RARE
#include "kernel.bpf.h"
#include "caller.bpf.h"

/* Who builds a name in a scratch buffer. Programs of trampolines can be preempted; kprobes run
 * to their end and share the first. */
enum bee_slot { SLOT_MODULE, SLOT_MODULE_IA32, SLOT_LOADED };

/* The caller's structure was looked at where the kernel has its own copy: it adjusts. */
#define BEE_WHAT_ADJUSTS (1ull << 15)

/* No errno: the end of the act was not seen. */
#define BEE_END_UNSEEN 4096

/* The registers of the current system call, and which it is of the table; 0: of none. */
static __always_inline __u64 bee_caller(__u8 *call)
{
	return bee_caller_in(bee_kernel_native, bee_kernel_compat, call);
}

/* Fills in who and how, and sends. The kind and flags of the record are there. */
static __always_inline void bee_tell(struct bee_kernel *record, bee_what what)
{
	__s32 result = BEE_WHAT_RESULT(what);
	__u64 flags = record->header.flags;

	bee_fill_current(&record->header, record->header.kind, BEE_WHAT_HOOK(what));
	record->header.flags = flags;
	if (BEE_WHAT_COMPAT(what))
		record->header.flags |= BEE_FLAG_COMPAT;
	if (result == -BEE_END_UNSEEN)
		record->header.flags |= BEE_FLAG_RESULT_UNKNOWN;
	else if (result < 0)
		record->header.result = result;
	bee_send(&record->header, sizeof(*record), 1);
}

/*
 * A call that has ended: `what` has its number of the table for a kind. The record is made on
 * the stack: a scratch buffer for each of so many programs would be too much memory.
 */
__noinline int bee_on_ended(__u64 regs, bee_what what)
{
	struct bee_kernel record = {};
	__u8 call = BEE_WHAT_KIND(what);

	if (bee_ours(bpf_get_current_pid_tgid() >> 32))
		return 0;
	if (what & BEE_WHAT_ADJUSTS) {
		record.header.kind = BEE_KIND_TIME_SET;
		record.code = bee_time_code(call);
	} else if (!bee_kernel_facts(&record, regs, BEE_WHAT_COMPAT(what), call,
				     BEE_WHAT_RESULT(what))) {
		return 0;
	}
	bee_tell(&record, what);
	return 0;
}

/* A module that was to come from a file was refused. */
__noinline int bee_on_refused_module(__u64 regs, bee_what what)
{
	__u32 place = BEE_WHAT_PLACE(what);
	struct bee_scratch *buffer = bee_scratch(place);
	struct bee_kernel *record;

	if (bee_ours(bpf_get_current_pid_tgid() >> 32))
		return 0;
	if (!buffer) {
		bee_count(BEE_KIND_MODULE_LOAD, BEE_CAUSE_NO_SCRATCH);
		return 0;
	}
	record = bee_fixed(buffer, struct bee_kernel);
	bee_begin(place, BEE_KIND_MODULE_LOAD, BEE_WHAT_HOOK(what), sizeof(*record));
	if (BEE_WHAT_COMPAT(what))
		record->header.flags |= BEE_FLAG_COMPAT;
	record->header.result = BEE_WHAT_RESULT(what);
	record->name_length =
		bee_module_file(buffer, bee_kernel_arg(regs, BEE_WHAT_COMPAT(what), 0));
	return bee_submit(place, sizeof(*record), record->name_length, 1);
}

/* --- system calls of their own --------------------------------------------------------- */

static __always_inline int bee_call_ended(__u64 regs, __s32 result, __u16 hook, __u8 call,
					  __u8 slot)
{
	bee_what what = bee_pack(hook, call, bee_compat_current(), slot, result);

	if (call != KERNEL_INIT_MODULE && call != KERNEL_FINIT_MODULE)
		return bee_on_ended(regs, what);
	/* The other hook has those that were loaded. */
	if (result >= 0)
		return 0;
	return call == KERNEL_INIT_MODULE ? bee_on_ended(regs, what)
					  : bee_on_refused_module(regs, what);
}

/* At a return probe. */
static __always_inline int bee_call_returned(__s32 result, __u16 hook, __u8 wanted)
{
	__u64 regs;
	__u8 call;

	if (!bee_active())
		return 0;
	regs = bee_caller(&call);
	if (!regs || call != wanted)
		return 0;
	return bee_call_ended(regs, result, hook, wanted, SLOT_MODULE);
}

#define BEE_CALL(name, NAME, call, slot)                                                     \
	SEC("fexit/" #name)                                                                  \
	int BPF_PROG(fexit__##name, struct pt_regs *regs, long result)                       \
	{                                                                                    \
		if (!bee_active())                                                           \
			return 0;                                                            \
		return bee_call_ended(bee_number(regs), result, BEE_HOOK_FEXIT_##NAME, call, \
				      slot);                                                 \
	}                                                                                    \
	SEC("kretprobe/" #name)                                                              \
	int BPF_KRETPROBE(kretprobe__##name, long result)                                    \
	{                                                                                    \
		return bee_call_returned(result, BEE_HOOK_KRETPROBE_##NAME, call);           \
	}

BEE_CALL(sys_bpf, SYS_BPF, KERNEL_BPF, 0)
BEE_CALL(ia32_sys_bpf, IA32_SYS_BPF, KERNEL_BPF, 0)
BEE_CALL(sys_io_uring_setup, SYS_IO_URING_SETUP, KERNEL_IO_URING, 0)
BEE_CALL(ia32_sys_io_uring_setup, IA32_SYS_IO_URING_SETUP, KERNEL_IO_URING, 0)
BEE_CALL(sys_init_module, SYS_INIT_MODULE, KERNEL_INIT_MODULE, 0)
BEE_CALL(ia32_sys_init_module, IA32_SYS_INIT_MODULE, KERNEL_INIT_MODULE, 0)
BEE_CALL(sys_finit_module, SYS_FINIT_MODULE, KERNEL_FINIT_MODULE, SLOT_MODULE)
BEE_CALL(ia32_sys_finit_module, IA32_SYS_FINIT_MODULE, KERNEL_FINIT_MODULE, SLOT_MODULE_IA32)

SEC("tp_btf/module_load")
int BPF_PROG(tp_btf__module_load, struct module *module)
{
	return bee_module(module, BEE_HOOK_FULL_MODULE_LOAD, BEE_PLACE(SLOT_LOADED, 0));
}

/* Not preempted before 7.0. */
SEC("raw_tp/module_load")
int BPF_PROG(raw_tp__module_load, struct module *module)
{
	return bee_module(module, BEE_HOOK_KPROBE_MODULE_LOAD, 0);
}

/* --- the clock --------------------------------------------------------------------------- */

static __always_inline int bee_clock_set(__s32 result, __u16 hook)
{
	__u64 regs;
	__u8 call;

	if (!bee_active())
		return 0;
	/* The kernel sets it too, from the hardware's. */
	regs = bee_caller(&call);
	if (!regs ||
	    (call != KERNEL_SETTIMEOFDAY && call != KERNEL_STIME && call != KERNEL_CLOCK_SETTIME))
		return 0;
	return bee_on_ended(regs, bee_pack(hook, call, bee_compat_current(), 0, result));
}

SEC("fexit/do_sys_settimeofday64")
int BPF_PROG(fexit__do_sys_settimeofday64, const struct timespec64 *time,
	     const struct timezone *zone, int result)
{
	return bee_clock_set(result, BEE_HOOK_FEXIT_DO_SYS_SETTIMEOFDAY64);
}

SEC("kretprobe/do_sys_settimeofday64")
int BPF_KRETPROBE(kretprobe__do_sys_settimeofday64, int result)
{
	return bee_clock_set(result, BEE_HOOK_KRETPROBE_DO_SYS_SETTIMEOFDAY64);
}

static __always_inline int bee_clock_adjusted(__s32 result, __u16 hook, __u64 known)
{
	__u64 regs;
	__u8 call;

	if (!bee_active())
		return 0;
	regs = bee_caller(&call);
	if (!regs || (call != KERNEL_ADJTIMEX && call != KERNEL_CLOCK_ADJTIME))
		return 0;
	return bee_on_ended(regs, bee_pack(hook, call, bee_compat_current(), 0, result) | known);
}

/* struct __kernel_timex begins with its modes, as that of the caller does. */
SEC("fexit/do_adjtimex")
int BPF_PROG(fexit__do_adjtimex, struct __kernel_timex *timex, int result)
{
	__u32 modes = 0;

	bpf_probe_read_kernel(&modes, sizeof(modes), timex);
	/* It only asks. */
	if (!modes)
		return 0;
	return bee_clock_adjusted(result, BEE_HOOK_FEXIT_DO_ADJTIMEX, BEE_WHAT_ADJUSTS);
}

SEC("kretprobe/do_adjtimex")
int BPF_KRETPROBE(kretprobe__do_adjtimex, int result)
{
	return bee_clock_adjusted(result, BEE_HOOK_KRETPROBE_DO_ADJTIMEX, 0);
}

/* --- signals ------------------------------------------------------------------------------ */

/* A signal, and above 32 bits the process it is for. */
__noinline int bee_on_signal(bee_what what, __u64 sent)
{
	struct bee_kernel record = {};

	record.header.kind = BEE_KIND_KILL;
	record.code = sent;
	record.target = sent >> 32;
	bee_tell(&record, what);
	return 0;
}

/* Whether a signal is one that somebody else sends the daemon, by a system call. Signal 0 only
 * asks whether there is somebody. */
static __always_inline bool bee_is_for_us(int signal, __u32 target)
{
	__u8 call;

	return signal && bee_active() && bee_ours(target) &&
	       !bee_ours(bpf_get_current_pid_tgid() >> 32) && bee_caller(&call) &&
	       call >= KERNEL_KILL;
}

static __always_inline __u64 bee_sent_to(int signal, __u32 target)
{
	return (__u64)target << 32 | (__u32)signal;
}

SEC("fexit/check_kill_permission")
int BPF_PROG(fexit__check_kill_permission, int signal, struct kernel_siginfo *info,
	     struct task_struct *task, int result)
{
	__u32 target = task->tgid;

	if (!bee_is_for_us(signal, target))
		return 0;
	return bee_on_signal(
		bee_pack(BEE_HOOK_FEXIT_CHECK_KILL_PERMISSION, 0, bee_compat_current(), 0, result),
		bee_sent_to(signal, target));
}

/* What this thread has begun to send is told, and forgotten. */
static __always_inline void bee_signalled(__u64 key, __s32 result)
{
	__u64 *sent = bpf_map_lookup_elem(&kills, &key);

	if (!sent)
		return;
	bee_on_signal(
		bee_pack(BEE_HOOK_KPROBE_CHECK_KILL_PERMISSION, 0, bee_compat_current(), 0, result),
		*sent);
	bpf_map_delete_elem(&kills, &key);
}

SEC("kprobe/check_kill_permission")
int BPF_KPROBE(kprobe__check_kill_permission, int signal, struct kernel_siginfo *info,
	       struct task_struct *task)
{
	__u64 key = bpf_get_current_pid_tgid(), sent;
	__u32 target = BPF_CORE_READ(task, tgid);

	if (!bee_is_for_us(signal, target))
		return 0;
	/* One whose end was not seen: there was no room for its return probe. */
	bee_signalled(key, -BEE_END_UNSEEN);
	sent = bee_sent_to(signal, target);
	if (bpf_map_update_elem(&kills, &key, &sent, BPF_ANY))
		bee_on_signal(bee_pack(BEE_HOOK_KPROBE_CHECK_KILL_PERMISSION, 0,
				       bee_compat_current(), 0, -BEE_END_UNSEEN),
			      sent);
	return 0;
}

SEC("kretprobe/check_kill_permission")
int BPF_KRETPROBE(kretprobe__check_kill_permission, int result)
{
	if (bee_active())
		bee_signalled(bpf_get_current_pid_tgid(), result);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
