/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel ACT COUNT [PID | NUMBER... | FILE NAME]: changes nothing, but tries to, COUNT times
 * (file and bytes change it, and back), by
 *   bpf       asks for a program with a number none has
 *   program, map, link
 *             opens each eBPF program, map, link with one of the numbers that follow, and closes it
 *   foreign   makes a map of its own and opens that by its number
 *   lookup    bpf too, with a command that is not told: the next map's number
 *   uring     io_uring_setup with no entries
 *   clock     clock_settime to a time that is none
 *   day       settimeofday to a time before 1970
 *   adjust    adjtimex with a mode that is none; adjtimex that only asks, before it
 *   steer     the same by clock_adjtime
 *   module    finit_module of a descriptor that is none
 *   image     init_module of no bytes
 *   file, bytes
 *             loads the module in the FILE by finit_module, by init_module, and, if that
 *             succeeds, removes it again by its NAME
 *   signal, tsignal, tgsignal, queue, pidsignal, group
 *             SIGCONT to PID, which changes nothing for one that runs, by kill, tkill, tgkill,
 *             rt_sigqueueinfo, pidfd_send_signal, and kill of the group of PID
 *   resize    SIGWINCH to PID, which nearly nobody hears. A user's SIGCONT to another's process of
 * the same session is allowed; this is not ask       signal 0 to PID
 */
#include "trigger.h"
#include <fcntl.h>
#include <linux/bpf.h>
#include <signal.h>
#include <sys/stat.h>
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

static long opened(int command, unsigned int number)
{
	long descriptor = bpf(command, number);
	int saved = errno;

	if (descriptor >= 0)
		close((int)descriptor);
	errno = saved;
	return descriptor;
}

/* The number of a new map, which lives as long as this process. */
static unsigned int foreign(void)
{
	union bpf_attr attributes = {};
	struct bpf_map_info info = {};
	int map;

	attributes.map_type = BPF_MAP_TYPE_ARRAY;
	attributes.key_size = attributes.value_size = 4;
	attributes.max_entries = 1;
	map = syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof(attributes));
	if (map < 0)
		die("BPF_MAP_CREATE");
	memset(&attributes, 0, sizeof(attributes));
	attributes.info.bpf_fd = map;
	attributes.info.info_len = sizeof(info);
	attributes.info.info = (unsigned long)&info;
	if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attributes, sizeof(attributes)))
		die("BPF_OBJ_GET_INFO_BY_FD");
	return info.id;
}

static long loaded(int by_bytes, const char *path, const char *name)
{
	int file = open(path, O_RDONLY), saved;
	struct stat facts;
	char *bytes;
	long ret;

	if (file < 0 || fstat(file, &facts))
		die(path);
	if (by_bytes) {
		bytes = malloc((size_t)facts.st_size);
		if (!bytes || read(file, bytes, (size_t)facts.st_size) != facts.st_size)
			die(path);
		ret = syscall(SYS_init_module, bytes, (unsigned long)facts.st_size, "");
		saved = errno;
		free(bytes);
	} else {
		ret = syscall(SYS_finit_module, file, "", 0);
		saved = errno;
	}
	close(file);
	if (!ret && syscall(SYS_delete_module, name, O_NONBLOCK))
		die(name);
	errno = saved;
	return ret;
}

/* Each of these numbers, COUNT times; whether `what` is such an act. */
static int by_numbers(const char *what, long count, char **numbers)
{
	int command = !strcmp(what, "program") ? BPF_PROG_GET_FD_BY_ID
		      : !strcmp(what, "map")   ? BPF_MAP_GET_FD_BY_ID
		      : !strcmp(what, "link")  ? BPF_LINK_GET_FD_BY_ID
					       : -1;

	if (!strcmp(what, "foreign")) {
		for (unsigned int map = foreign(); count > 0; count--)
			say(opened(BPF_MAP_GET_FD_BY_ID, map));
		return 1;
	}
	if (command < 0)
		return 0;
	for (; *numbers; numbers++)
		for (long n = count; n > 0; n--)
			say(opened(command, (unsigned int)strtoul(*numbers, NULL, 0)));
	return 1;
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
		usage("kernel ACT COUNT [PID | NUMBER... | FILE NAME]");
	if (argc == 5 && (!strcmp(argv[1], "file") || !strcmp(argv[1], "bytes"))) {
		for (long n = atol(argv[2]); n > 0; n--)
			say(loaded(argv[1][0] == 'b', argv[3], argv[4]));
		return 0;
	}
	if (by_numbers(argv[1], atol(argv[2]), argv + 3))
		return 0;
	for (long n = atol(argv[2]); n > 0; n--)
		say(act(argv[1], argc > 3 ? atoi(argv[3]) : 0));
	return 0;
}
