/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel ACT COUNT [PID]: changes nothing, but tries to, COUNT times, by
 *   bpf       asks for a program with a number none has
 *   lookup    bpf too, with a command that is not told: the next map's number
 *   uring     io_uring_setup with no entries
 *   clock     clock_settime to a time that is none
 *   adjust    adjtimex with a mode that is none; adjtimex that only asks, before it
 *   module    finit_module of a descriptor that is none
 *   signal, tgsignal   SIGCONT to PID, which changes nothing for one that runs
 *   ask       signal 0 to PID
 */
#include "trigger.h"
#include <linux/bpf.h>
#include <signal.h>
#include <sys/timex.h>
#include <time.h>

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif

static long bpf(int command, unsigned int number)
{
	static union bpf_attr attributes;

	attributes.prog_id = number;
	return syscall(SYS_bpf, command, &attributes, sizeof(attributes));
}

static long adjust(void)
{
	struct timex it = {};

	/* arm64 may be built without this call for 32-bit programs (COMPAT_32BIT_TIME). */
	if (syscall(SYS_adjtimex, &it) < 0 && errno != ENOSYS)
		die("adjtimex");
	memset(&it, 0, sizeof(it));
	it.modes = ADJ_TICK; /* of 0 microseconds: refused */
	return syscall(SYS_adjtimex, &it);
}

static long act(const char *what, pid_t pid)
{
	struct timespec none = {.tv_sec = 1, .tv_nsec = -1};

	if (!strcmp(what, "bpf"))
		return bpf(BPF_PROG_GET_FD_BY_ID, 0xfffffff0u);
	if (!strcmp(what, "lookup"))
		return bpf(BPF_MAP_GET_NEXT_ID, 0xfffffff0u);
	if (!strcmp(what, "uring"))
		return syscall(SYS_io_uring_setup, 0, &none);
	if (!strcmp(what, "clock"))
		return syscall(SYS_clock_settime, CLOCK_REALTIME, &none);
	if (!strcmp(what, "adjust"))
		return adjust();
	if (!strcmp(what, "module"))
		return syscall(SYS_finit_module, -1, "", 0);
	if (!strcmp(what, "signal"))
		return kill(pid, SIGCONT);
	if (!strcmp(what, "tgsignal"))
		return syscall(SYS_tgkill, pid, pid, SIGCONT);
	if (!strcmp(what, "ask"))
		return kill(pid, 0);
	usage("kernel: no such ACT");
	return -1;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		usage("kernel ACT COUNT [PID]");
	for (long n = atol(argv[2]); n > 0; n--)
		say(act(argv[1], argc > 3 ? atoi(argv[3]) : 0));
	return 0;
}
