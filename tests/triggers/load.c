/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * load WHAT COUNT [PATH]: a loop of one act; prints nanoseconds for all.
 *
 *   getpid   a call nobody watches
 *   open     and close, of PATH
 *   connect  by TCP to a listener of its own, accepted, both ends closed
 *   vm-read  of 64 bytes of another process, a child of its own that waits
 *   exec     of itself, doing nothing, by a child that is waited for
 *   exec+    the same with thirty arguments and as many variables of the environment
 */
#include "trigger.h"
#include <arpa/inet.h>
#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#define WORDS 30

extern char **environ;
static char *self, *path, *words[WORDS + 2], *variables[WORDS + 1];
static char target_bytes[64];
static struct sockaddr_in address = {.sin_family = AF_INET};
static int listener;
static pid_t target;

static long long now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void do_getpid(void)
{
	syscall(SYS_getpid);
}

static void do_open(void)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		die(path);
	close(fd);
}

static void prepare_connect(void)
{
	socklen_t length = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (void *)&address, sizeof(address)) ||
	    listen(listener, 1) || getsockname(listener, (void *)&address, &length))
		die("listen");
}

static void do_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), other;

	if (fd < 0 || connect(fd, (void *)&address, sizeof(address)))
		die("connect");
	other = accept(listener, NULL, NULL);
	if (other < 0)
		die("accept");
	close(fd);
	close(other);
}

static void prepare_vm_read(void)
{
	target = fork();
	if (target < 0)
		die("fork");
	if (target == 0) {
		pause();
		_exit(0);
	}
}

static void do_vm_read(void)
{
	char bytes[sizeof(target_bytes)];
	struct iovec local = {bytes, sizeof(bytes)}, remote = {target_bytes, sizeof(bytes)};

	if (process_vm_readv(target, &local, 1, &remote, 1, 0) != sizeof(bytes))
		die("process_vm_readv");
}

static void prepare_exec(void)
{
	words[0] = self;
	words[1] = "nothing";
	environ = variables;
}

static void prepare_exec_more(void)
{
	prepare_exec();
	for (int n = 0; n < WORDS; n++) {
		if (n > 1 && asprintf(&words[n], "--argument-number=%d", n) < 0)
			die("asprintf");
		if (asprintf(&variables[n], "VARIABLE_%d_TOKEN=value of it", n) < 0)
			die("asprintf");
	}
}

static void do_exec(void)
{
	pid_t child = vfork();

	if (child < 0)
		die("vfork");
	if (child == 0) {
		execv(self, words);
		_exit(1);
	}
	int status;

	if (waitpid(child, &status, 0) != child || status)
		die("the program that was executed");
}

static const struct {
	const char *name;
	void (*prepare)(void);
	void (*act)(void);
} acts[] = {
	{"getpid", NULL, do_getpid},
	{"open", NULL, do_open},
	{"connect", prepare_connect, do_connect},
	{"vm-read", prepare_vm_read, do_vm_read},
	{"exec", prepare_exec, do_exec},
	{"exec+", prepare_exec_more, do_exec},
};

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "nothing"))
		return 0;
	self = argv[0];
	path = argc > 3 ? argv[3] : NULL;
	for (size_t n = 0; argc > 2 && n < COUNT(acts); n++) {
		if (strcmp(argv[1], acts[n].name) || (acts[n].act == do_open && !path))
			continue;
		if (acts[n].prepare)
			acts[n].prepare();
		long count = atol(argv[2]);
		long long start = now_ns();

		for (long i = 0; i < count; i++)
			acts[n].act();
		printf("%lld 0\n", now_ns() - start);
		if (target)
			kill(target, SIGKILL);
		return 0;
	}
	usage("load getpid|open|connect|vm-read|exec|exec+ COUNT [PATH]");
}
