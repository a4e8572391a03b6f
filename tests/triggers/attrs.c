/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * attrs ACT VALUE PATH...: changes mode (octal), owner (uid; the group stays) or
 * length. For the calls that take a descriptor the file is opened O_PATH where
 * the call allows it, and else for writing.
 */
#include "trigger.h"
#include <sys/stat.h>

static long with_fd(long call, const char *path, int flags, long a, long b)
{
	int fd = open(path, flags);

	if (fd < 0)
		die(path);
	long ret = syscall(call, fd, a, b);
	int saved = errno;

	close(fd);
	errno = saved;
	return ret;
}

static long act(const char *name, const char *path, const char *value)
{
	long mode = strtol(value, NULL, 8), number = strtol(value, NULL, 10);

	if (!strcmp(name, "fchmod"))
		return with_fd(SYS_fchmod, path, O_RDONLY, mode, 0);
	if (!strcmp(name, "fchmodat"))
		return syscall(SYS_fchmodat, AT_FDCWD, path, mode);
#ifdef SYS_fchmodat2
	if (!strcmp(name, "fchmodat2"))
		return syscall(SYS_fchmodat2, AT_FDCWD, path, mode, 0);
#endif
	if (!strcmp(name, "fchown"))
		return with_fd(SYS_fchown, path, O_RDONLY, number, -1);
	if (!strcmp(name, "fchownat"))
		return syscall(SYS_fchownat, AT_FDCWD, path, number, -1, 0);
	if (!strcmp(name, "truncate"))
		return truncate(path, number);
	if (!strcmp(name, "ftruncate")) {
		int fd = open(path, O_WRONLY);

		if (fd < 0)
			die(path);
		long ret = ftruncate(fd, number);

		close(fd);
		return ret;
	}
#ifdef SYS_chmod
	if (!strcmp(name, "chmod"))
		return syscall(SYS_chmod, path, mode);
	if (!strcmp(name, "chown"))
		return syscall(SYS_chown, path, number, -1);
	if (!strcmp(name, "lchown"))
		return syscall(SYS_lchown, path, number, -1);
#endif
#ifdef SYS_chown32
	/* i386 has each of these twice, for 16-bit and 32-bit user numbers. */
	if (!strcmp(name, "chown32"))
		return syscall(SYS_chown32, path, number, -1);
	if (!strcmp(name, "lchown32"))
		return syscall(SYS_lchown32, path, number, -1);
	if (!strcmp(name, "fchown32"))
		return with_fd(SYS_fchown32, path, O_RDONLY, number, -1);
#endif
#ifdef SYS_truncate64
	if (!strcmp(name, "truncate64"))
		return syscall(SYS_truncate64, path, number, 0);
#endif
	unsupported(name);
	return -1;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		usage("attrs ACT VALUE PATH...");
	for (int i = 3; i < argc; i++)
		say(act(argv[1], argv[i], argv[2]));
	return 0;
}
