/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * exec HOW COUNT PROGRAM [ARG...]: executes PROGRAM with the arguments, in one
 * child after the other; each line is "<child's pid> <its exit status>".
 */
#include "trigger.h"
#include <sys/mman.h>
#include <sys/wait.h>

extern char **environ;

static void copy(const char *from, int to)
{
	char buffer[65536];
	ssize_t got;
	int fd = open(from, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(from);
	while ((got = read(fd, buffer, sizeof(buffer))) > 0)
		if (write(to, buffer, (size_t)got) != got)
			die("write");
	close(fd);
}

static int memfd(const char *program)
{
	int fd = memfd_create("hidden", MFD_CLOEXEC);

	if (fd < 0)
		die("memfd_create");
	copy(program, fd);
	return fd;
}

/* A copy beside the program, removed again before it is executed. */
static int deleted(const char *program)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s.gone", program);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	if (fd < 0)
		die(path);
	copy(program, fd);
	close(fd); /* an open writer is ETXTBSY */
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || unlink(path))
		die(path);
	return fd;
}

static void act(const char *how, int fd, char **argv)
{
	if (!strcmp(how, "plain"))
		execve(argv[0], argv, environ);
	else if (!strcmp(how, "at"))
		syscall(SYS_execveat, AT_FDCWD, argv[0], argv, environ, 0);
	else
		syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		usage("exec plain|at|memfd|deleted COUNT PROGRAM [ARG...]");
	for (long n = atol(argv[2]); n > 0; n--) {
		int fd = -1, status;

		if (!strcmp(argv[1], "memfd"))
			fd = memfd(argv[3]);
		if (!strcmp(argv[1], "deleted"))
			fd = deleted(argv[3]);
		pid_t child = fork();

		if (child == 0) {
			act(argv[1], fd, argv + 3);
			_exit(errno);
		}
		if (child < 0 || waitpid(child, &status, 0) != child)
			die("fork");
		printf("%d %d\n", child,
		       WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
		close(fd);
	}
	return 0;
}
