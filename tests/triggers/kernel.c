/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel ACT COUNT [PID]: changes nothing, but tries to, COUNT times, by
 *   bpf       asks for a program with a number none has
 *   lookup    bpf too, with a command that is not told: the next map's number
 *   uring     io_uring_setup with no entries
 *   clock     clock_settime to a time that is none
 *   day       settimeofday to a time before 1970
 *   adjust    adjtimex with a mode that is none; adjtimex that only asks, before it
 *   steer     the same by clock_adjtime
 *   module    finit_module of a descriptor that is none
 *   image     init_module of no bytes
 *   signal, tsignal, tgsignal, queue, pidsignal, group
 *             SIGCONT to PID, which changes nothing for one that runs, by kill, tkill, tgkill,
 *             rt_sigqueueinfo, pidfd_send_signal, and kill of the group of PID
 *   resize    SIGWINCH to PID, which nearly nobody hears. A user's SIGCONT to another's process of
 * the same session is allowed; this is not ask       signal 0 to PID
 */
#include "trigger.h"
#include <linux/bpf.h>
#include <signal.h>
#include <sys/time.h>
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

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static long timex(int clock, struct timex *it)
{
	return clock ? syscall(SYS_clock_adjtime, CLOCK_REALTIME, it) : syscall(SYS_adjtimex, it);
}

static long adjust(int clock)
{
	struct timex it = {};

	/* arm64 may be built without this call for 32-bit programs (COMPAT_32BIT_TIME). */
	if (timex(clock, &it) < 0 && errno != ENOSYS)
		die("adjtimex");
	memset(&it, 0, sizeof(it));
	it.modes = ADJ_TICK; /* of 0 microseconds: refused */
	return timex(clock, &it);
}

static long queue(pid_t pid)
{
	siginfo_t info = {.si_signo = SIGCONT, .si_code = SI_QUEUE};

	return syscall(SYS_rt_sigqueueinfo, pid, SIGCONT, &info);
}

static long by_descriptor(pid_t pid)
{
	int descriptor = syscall(SYS_pidfd_open, pid, 0);
	long ret;

	if (descriptor < 0)
		die("pidfd_open");
	ret = syscall(SYS_pidfd_send_signal, descriptor, SIGCONT, NULL, 0);
	close(descriptor);
	return ret;
}

static long act(const char *what, pid_t pid)
{
	struct timespec none = {.tv_sec = 1, .tv_nsec = -1};
	struct timeval before = {.tv_sec = -1};

	if (!strcmp(what, "bpf"))
		return bpf(BPF_PROG_GET_FD_BY_ID, 0xfffffff0u);
	if (!strcmp(what, "lookup"))
		return bpf(BPF_MAP_GET_NEXT_ID, 0xfffffff0u);
	if (!strcmp(what, "uring"))
		return syscall(SYS_io_uring_setup, 0, &none);
	if (!strcmp(what, "clock"))
		return syscall(SYS_clock_settime, CLOCK_REALTIME, &none);
	if (!strcmp(what, "adjust"))
		return adjust(0);
	if (!strcmp(what, "steer"))
		return adjust(1);
	if (!strcmp(what, "day"))
		return syscall(SYS_settimeofday, &before, NULL);
	if (!strcmp(what, "module"))
		return syscall(SYS_finit_module, -1, "", 0);
	if (!strcmp(what, "image"))
		return syscall(SYS_init_module, "", 0, "");
	if (!strcmp(what, "signal"))
		return kill(pid, SIGCONT);
	if (!strcmp(what, "tsignal"))
		return syscall(SYS_tkill, pid, SIGCONT);
	if (!strcmp(what, "queue"))
		return queue(pid);
	if (!strcmp(what, "pidsignal"))
		return by_descriptor(pid);
	if (!strcmp(what, "group"))
		return kill(-getpgid(pid), SIGCONT);
	if (!strcmp(what, "tgsignal"))
		return syscall(SYS_tgkill, pid, pid, SIGCONT);
	if (!strcmp(what, "resize"))
		return kill(pid, SIGWINCH);
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
