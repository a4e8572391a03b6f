// SPDX-License-Identifier: GPL-2.0
/*
 * The memory sensor, tiers `full` and `kprobe`: at the functions of the kernel that tell
 * which of the ways it was, each asked only where it is gone.
 *
 *   do_filp_open             an open of any file ends (fexit); called do_file_open since 7.0.
 *                            kretprobe: refused ones only
 *   mem_open, environ_open,  an open of that file of /proc/PID ends (kretprobe). The name
 *   pid_maps_open, …         look-up is still under way: task_struct.nameidata has the file
 *   ptrace_attach            PTRACE_ATTACH and PTRACE_SEIZE, after the target was found
 *   security_ptrace_traceme  PTRACE_TRACEME
 *   process_vm_rw            process_vm_readv and process_vm_writev. Where a trampoline cannot
 *                            have seven arguments: mm_access, in one of these two calls
 *   ptrace_may_access        of those that ask: in pidfd_getfd, whose own functions are
 *                            inlined
 *
 * security_ptrace_access_check has the target of all of them, and is not asked where the
 * kernel's own check of users has refused before it; so it would miss refused tries.
 * At a return probe the arguments are gone: what the caller gave is in its registers.
 */
#include "memory.bpf.h"
#include "caller.bpf.h"

/* Programs of trampolines can be preempted; kprobes run to their end and share the first. */
enum bee_slot { SLOT_KPROBE, SLOT_OPEN, SLOT_ATTACH, SLOT_TRACEME, SLOT_VM, SLOT_GETFD };

static __always_inline bool bee_in_compat(void)
{
	return bee_compat_current();
}

/* What happened by this hook, and how it ended; the kind comes later. */
static __always_inline bee_what bee_ended_so(__u16 hook, __u8 slot, __u8 kind, __s32 result)
{
	return bee_pack(hook, kind, bee_in_compat(), slot, result);
}

/* The registers of the current system call, and which it is of the table; 0: of none. */
static __always_inline __u64 bee_caller(__u8 *call)
{
	return bee_caller_in(bee_memory_native, bee_memory_compat, call);
}

/* --- opens --------------------------------------------------------------------- */

/* An open ended, with the file or with why there is none. */
static __always_inline int bee_open_ended(int dfd, struct filename *pathname,
					  const struct open_flags *op, struct file *opened,
					  __u16 hook)
{
	struct file *file;
	__u64 result;
	__u32 f_mode;

	/* Nearly every open of the machine ends here, by loads that cost an instruction each. */
	if (!bee_is_error((__u64)opened) && opened->f_inode->i_sb->s_magic != PROC_SUPER_MAGIC)
		return 0;
	if (!bee_active())
		return 0;
	result = bee_number(opened);
	file = (void *)result;
	if (bee_is_error(result)) {
		if (!bee_refused(result))
			return 0;
		return bee_on_refused_name(bee_ended_so(hook, SLOT_OPEN, 0, result) |
						   BEE_WHAT_OF_KERNEL,
					   (__u64)BPF_CORE_READ(pathname, name), dfd,
					   bee_access_of(BPF_CORE_READ(op, open_flag)));
	}
	f_mode = BPF_CORE_READ(file, f_mode);
	if (f_mode & FMODE_PATH)
		return 0;
	return bee_on_opened(bee_ended_so(hook, SLOT_OPEN, 0, 0),
			     (__u64)BPF_CORE_READ(file, f_path.dentry),
			     f_mode & (FMODE_READ | FMODE_WRITE));
}

SEC("fexit/do_filp_open")
int BPF_PROG(fexit__do_filp_open, int dfd, struct filename *pathname, const struct open_flags *op,
	     struct file *file)
{
	return bee_open_ended(dfd, pathname, op, file, BEE_HOOK_MEMORY_FEXIT_DO_FILP_OPEN);
}

SEC("fexit/do_file_open")
int BPF_PROG(fexit__do_file_open, int dfd, struct filename *pathname, const struct open_flags *op,
	     struct file *file)
{
	return bee_open_ended(dfd, pathname, op, file, BEE_HOOK_MEMORY_FEXIT_DO_FILE_OPEN);
}

/* One of the files was opened; what for is in the caller's arguments. */
static __always_inline int bee_proc_opened(int result, __u16 hook)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct path *path;
	__u32 access = 0;
	__u64 regs;
	__u8 call;

	/* A refusal is told by the one who tried, when the open ends. */
	if (result || !bee_active())
		return 0;
	/* The path is what struct nameidata begins with. */
	path = (void *)BPF_CORE_READ(task, nameidata);
	if (!path) {
		bee_count(BEE_KIND_PROC_MEM, BEE_CAUSE_UNREADABLE);
		return 0;
	}
	regs = bee_caller(&call);
	if (regs && bee_is_open(call))
		access = bee_access_of(bee_flags_of(regs, bee_in_compat(), call));
	return bee_on_opened(bee_ended_so(hook, SLOT_KPROBE, 0, 0),
			     (__u64)BPF_CORE_READ(path, dentry), access);
}

#define BEE_PROC_OPEN(function, FUNCTION)                                      \
	SEC("kretprobe/" #function)                                            \
	int BPF_KRETPROBE(kretprobe__##function, int result)                   \
	{                                                                      \
		return bee_proc_opened(result, BEE_HOOK_KRETPROBE_##FUNCTION); \
	}

BEE_PROC_OPEN(mem_open, MEM_OPEN)
BEE_PROC_OPEN(environ_open, ENVIRON_OPEN)
BEE_PROC_OPEN(pid_maps_open, PID_MAPS_OPEN)
BEE_PROC_OPEN(pid_smaps_open, PID_SMAPS_OPEN)
BEE_PROC_OPEN(smaps_rollup_open, SMAPS_ROLLUP_OPEN)
BEE_PROC_OPEN(pid_numa_maps_open, PID_NUMA_MAPS_OPEN)

static __always_inline int bee_open_refused(__u64 result, __u16 hook)
{
	bool compat = bee_in_compat();
	__u64 regs;
	__u8 call;

	if (!bee_is_error(result) || !bee_refused(result) || !bee_active())
		return 0;
	regs = bee_caller(&call);
	if (!regs || !bee_is_open(call))
		return 0;
	return bee_on_refused_name(bee_ended_so(hook, SLOT_KPROBE, 0, result),
				   bee_memory_arg(regs, compat, bee_name_argument(call)),
				   bee_directory_of(regs, compat, call),
				   bee_access_of(bee_flags_of(regs, compat, call)));
}

SEC("kretprobe/do_filp_open")
int BPF_KRETPROBE(kretprobe__do_filp_open, __u64 result)
{
	return bee_open_refused(result, BEE_HOOK_MEMORY_KRETPROBE_DO_FILP_OPEN);
}

SEC("kretprobe/do_file_open")
int BPF_KRETPROBE(kretprobe__do_file_open, __u64 result)
{
	return bee_open_refused(result, BEE_HOOK_MEMORY_KRETPROBE_DO_FILE_OPEN);
}

/* --- calls ---------------------------------------------------------------------- */

/* One of these two system calls, by the caller's registers. */
static __always_inline int bee_by_registers(__s32 result, __u8 one, __u8 other, __u16 hook)
{
	__u64 regs;
	__u8 call;

	if (!bee_active())
		return 0;
	regs = bee_caller(&call);
	if (!regs || (call != one && call != other))
		return 0;
	return bee_on_call(regs, bee_ended_so(hook, SLOT_KPROBE, call, result));
}

SEC("fexit/ptrace_attach")
int BPF_PROG(fexit__ptrace_attach, struct task_struct *task, long request, unsigned long addr,
	     unsigned long flags, int result)
{
	if (!bee_active() || !bee_reached(result))
		return 0;
	return bee_on_memory(
		bee_ended_so(BEE_HOOK_FEXIT_PTRACE_ATTACH, SLOT_ATTACH, BEE_KIND_PTRACE, result),
		bee_number(task), BEE_MEMORY(request, 0, 0), 0);
}

SEC("kretprobe/ptrace_attach")
int BPF_KRETPROBE(kretprobe__ptrace_attach, int result)
{
	return bee_by_registers(result, MEMORY_PTRACE, MEMORY_PTRACE,
				BEE_HOOK_KRETPROBE_PTRACE_ATTACH);
}

static __always_inline int bee_traceme(int result, __u16 hook, __u8 slot)
{
	if (!bee_active())
		return 0;
	return bee_on_memory(bee_ended_so(hook, slot, BEE_KIND_PTRACE, result), bee_tracer(),
			     BEE_MEMORY(PTRACE_TRACEME, 0, 0), 0);
}

SEC("fexit/security_ptrace_traceme")
int BPF_PROG(fexit__security_ptrace_traceme, struct task_struct *parent, int result)
{
	return bee_traceme(result, BEE_HOOK_FEXIT_SECURITY_PTRACE_TRACEME, SLOT_TRACEME);
}

SEC("kretprobe/security_ptrace_traceme")
int BPF_KRETPROBE(kretprobe__security_ptrace_traceme, int result)
{
	return bee_traceme(result, BEE_HOOK_KRETPROBE_SECURITY_PTRACE_TRACEME, SLOT_KPROBE);
}

SEC("fexit/process_vm_rw")
int BPF_PROG(fexit__process_vm_rw, int pid, void *local, unsigned long local_count, void *remote,
	     unsigned long remote_count, unsigned long flags, int write, long result)
{
	if (!bee_active())
		return 0;
	return bee_on_number(bee_ended_so(BEE_HOOK_FEXIT_PROCESS_VM_RW, SLOT_VM,
					  write ? BEE_KIND_VM_WRITE : BEE_KIND_VM_READ, result),
			     0, pid);
}

/* Of the access, not of the copying: an address that is not there is not told. NULL: the
 * target has no memory any more. */
SEC("fexit/mm_access")
int BPF_PROG(fexit__mm_access, struct task_struct *task, unsigned int mode, struct mm_struct *mm)
{
	__u64 memory = bee_number(mm);
	__s32 result = memory ? 0 : -ESRCH;
	__u8 call;

	if (!bee_active() || !bee_caller(&call) ||
	    (call != MEMORY_VM_READ && call != MEMORY_VM_WRITE))
		return 0;
	if (bee_is_error(memory))
		result = memory;
	/* process_vm_rw_core makes one of the other, for POSIX. */
	if (result == -EACCES)
		result = -EPERM;
	return bee_on_memory(
		bee_ended_so(BEE_HOOK_FEXIT_MM_ACCESS, SLOT_VM,
			     call == MEMORY_VM_WRITE ? BEE_KIND_VM_WRITE : BEE_KIND_VM_READ,
			     result),
		bee_number(task), 0, 0);
}

SEC("kretprobe/process_vm_rw")
int BPF_KRETPROBE(kretprobe__process_vm_rw, long result)
{
	return bee_by_registers(result, MEMORY_VM_READ, MEMORY_VM_WRITE,
				BEE_HOOK_KRETPROBE_PROCESS_VM_RW);
}

/* A bool: of its register only the lowest byte is said. */
SEC("fexit/ptrace_may_access")
int BPF_PROG(fexit__ptrace_may_access, struct task_struct *task, unsigned int mode, __u64 allowed)
{
	__u8 call;

	if (!bee_active() || !bee_caller(&call) || call != MEMORY_GETFD)
		return 0;
	return bee_on_memory(bee_ended_so(BEE_HOOK_FEXIT_PTRACE_MAY_ACCESS, SLOT_GETFD,
					  BEE_KIND_PIDFD_GETFD, allowed & 0xff ? 0 : -EPERM),
			     bee_number(task), 0, 0);
}

SEC("kretprobe/ptrace_may_access")
int BPF_KRETPROBE(kretprobe__ptrace_may_access, __u64 allowed)
{
	return bee_by_registers(allowed & 0xff ? 0 : -EPERM, MEMORY_GETFD, MEMORY_GETFD,
				BEE_HOOK_KRETPROBE_PTRACE_MAY_ACCESS);
}

char LICENSE[] SEC("license") = "GPL";
