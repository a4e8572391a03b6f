/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * memory ACT COUNT PID [ADDRESS]: reaches for another process COUNT times, by
 *   attach, seize         ptrace, and lets go again
 *   traceme               (no PID) a child each asks to be traced, and ends; says its pid
 *   read, write           process_vm_readv and process_vm_writev of 8 bytes at ADDRESS
 *   getfd                 pidfd_getfd of its standard output
 *   own                   (no PID) all of it with itself
 * memory target: waits to be reached for; says where 8 bytes of its are, and then does
 *   what it is told on standard input: `name NAME`, `exec PROGRAM`, `end`; says `done`.
 */
#include "trigger.h"
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

static char bytes[8] = "1234567";

static long vm(int write, pid_t pid, unsigned long address)
{
	char here[8] = "abcdefg";
	struct iovec local = {here, sizeof(here)}, remote = {(void *)address, sizeof(here)};

	return syscall(write ? SYS_process_vm_writev : SYS_process_vm_readv, pid, &local, 1UL,
		       &remote, 1UL, 0UL);
}

static long attach(pid_t pid)
{
	long ret = ptrace(PTRACE_ATTACH, pid, 0, 0);
	int saved = errno;

	if (!ret && (waitpid(pid, NULL, __WALL) != pid || ptrace(PTRACE_DETACH, pid, 0, 0)))
		die("PTRACE_DETACH");
	errno = saved;
	return ret;
}

static long seize(pid_t pid)
{
	long ret = ptrace(PTRACE_SEIZE, pid, 0, 0);
	int saved = errno;

	if (!ret && (ptrace(PTRACE_INTERRUPT, pid, 0, 0) || waitpid(pid, NULL, __WALL) != pid ||
		     ptrace(PTRACE_DETACH, pid, 0, 0)))
		die("PTRACE_DETACH");
	errno = saved;
	return ret;
}

static long getfd(pid_t pid)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0), saved;
	long ret;

	if (pidfd < 0)
		die("pidfd_open");
	ret = syscall(SYS_pidfd_getfd, pidfd, 1, 0);
	saved = errno;
	close(pidfd);
	if (ret >= 0)
		close((int)ret);
	errno = saved;
	return ret;
}

static void traceme(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, 0, 0) ? 1 : 0);
	if (child < 0 || waitpid(child, NULL, 0) != child)
		die("fork");
	printf("%d 0\n", child);
}

static void own(void)
{
	static const char *const names[] = {"/proc/self/mem", "/proc/self/environ",
					    "/proc/self/maps", "/proc/thread-self/maps"};
	char name[64];

	for (size_t i = 0; i < COUNT(names); i++)
		close((int)say(open(names[i], O_RDONLY)));
	snprintf(name, sizeof(name), "/proc/%d/mem", getpid());
	close((int)say(open(name, O_RDWR)));
	snprintf(name, sizeof(name), "/proc/%d/task/%d/environ", getpid(), getpid());
	close((int)say(open(name, O_RDONLY)));
	say(vm(0, getpid(), (unsigned long)bytes));
	say(vm(1, getpid(), (unsigned long)bytes));
	say(getfd(getpid()));
	ptrace(PTRACE_ATTACH, getpid(), 0, 0); /* refused */
}

static void target(char *self)
{
	char line[4096];

	printf("%lu\n", (unsigned long)bytes);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (!strncmp(line, "name ", 5) && prctl(PR_SET_NAME, line + 5))
			die("PR_SET_NAME");
		if (!strncmp(line, "exec ", 5)) {
			execl(line + 5, self, "target", NULL);
			die(line + 5);
		}
		if (!strcmp(line, "end"))
			return;
		printf("done\n");
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	pid_t pid = argc > 3 ? atoi(argv[3]) : 0;
	unsigned long address = argc > 4 ? strtoul(argv[4], NULL, 0) : 0;

	if (argc == 2 && !strcmp(argv[1], "target")) {
		target(argv[0]);
		return 0;
	}
	if (argc < 3)
		usage("memory ACT COUNT PID [ADDRESS] | memory target");
	for (long n = atol(argv[2]); n > 0; n--) {
		if (!strcmp(argv[1], "traceme"))
			traceme();
		else if (!strcmp(argv[1], "own"))
			own();
		else if (!strcmp(argv[1], "attach"))
			say(attach(pid));
		else if (!strcmp(argv[1], "seize"))
			say(seize(pid));
		else if (!strcmp(argv[1], "read"))
			say(vm(0, pid, address));
		else if (!strcmp(argv[1], "write"))
			say(vm(1, pid, address));
		else if (!strcmp(argv[1], "getfd"))
			say(getfd(pid));
		else
			usage("memory: no such ACT");
	}
	return 0;
}
