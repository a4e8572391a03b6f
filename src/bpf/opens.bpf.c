// SPDX-License-Identifier: GPL-2.0
/*
 * The end of every open, in front of the programs of the file and of the memory sensor, tiers
 * `full` and `kprobe`: an open that neither has a use for, as nearly all are, costs one program.
 *
 *   do_filp_open   fexit and kretprobe; called do_file_open since 7.0
 *
 * As at the end of system calls the file sensor's program comes first, and hands on what the
 * memory sensor may want; where its place is empty the line after it is next: see exits.bpf.h.
 */
#include "usual.bpf.h"
#include "hands_on.bpf.h"

#define ESRCH 3

/* Both sensors tell of a refusal; the memory sensor of a process that has gone, too. */
static __always_inline bool bee_nobodys(long failed)
{
	/* clang would make arithmetic of it, which the verifier forbids with pointers. */
	if (failed == -EACCES)
		return false;
	barrier_var(failed);
	if (failed == -EPERM)
		return false;
	barrier_var(failed);
	return failed != -ESRCH;
}

/* A macro for the verifier, which wants to see which array it is. */
#define bee_opens_to(ctx, array)                                      \
	do {                                                          \
		bpf_tail_call_static(ctx, &array, BEE_READER_FILE);   \
		bpf_tail_call_static(ctx, &array, BEE_READER_MEMORY); \
	} while (0)

/* What user space names as usual is never /proc, where the memory sensor looks too. */
#define BEE_FEXIT(function)                                                                   \
	SEC("fexit/" #function)                                                               \
	int BPF_PROG(fexit__##function, int dfd, struct filename *name,                       \
		     const struct open_flags *op, struct file *file)                          \
	{                                                                                     \
		if (bee_is_error((__u64)file) ? bee_nobodys((long)file) : bee_is_usual(file)) \
			return 0;                                                             \
		bee_opens_to(ctx, opens_typed);                                               \
		return 0;                                                                     \
	}                                                                                     \
	SEC("kretprobe/" #function)                                                           \
	int BPF_KRETPROBE(kretprobe__##function, long file)                                   \
	{                                                                                     \
		if (!bee_is_error(file) || bee_nobodys(file))                                 \
			return 0;                                                             \
		bee_opens_to(ctx, opens_probed);                                              \
		return 0;                                                                     \
	}

BEE_FEXIT(do_filp_open)
BEE_FEXIT(do_file_open)

char LICENSE[] SEC("license") = "GPL";
