/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * where HOW COUNT DIR NAME: opens DIR/NAME for reading, naming it in a way that
 * does not say where it is.
 */
#include "trigger.h"
#include <sys/mman.h>

static const char *dir, *name;

static int open_dir(void)
{
	int fd = open(dir, O_PATH | O_DIRECTORY);

	if (fd < 0)
		die(dir);
	return fd;
}

static long openat_(int fd, const char *path)
{
	return syscall(SYS_openat, fd, path, O_RDONLY, 0);
}

static void go_there(void)
{
	if (chdir(dir))
		die(dir);
}

static long relative(void)
{
	go_there();
	return openat_(AT_FDCWD, name);
}

static long dot(void)
{
	char path[4096];

	go_there();
	snprintf(path, sizeof(path), ".//./%s", name);
	return openat_(AT_FDCWD, path);
}

static long dotdot(void)
{
	char path[4096];

	go_there();
	snprintf(path, sizeof(path), "../%s/../%s/%s", strrchr(dir, '/') + 1, strrchr(dir, '/') + 1,
		 name);
	return openat_(AT_FDCWD, path);
}

static long by_fchdir(void)
{
	int fd = open_dir();

	if (fchdir(fd))
		die("fchdir");
	close(fd);
	return openat_(AT_FDCWD, name);
}

static long dirfd_(void)
{
	int fd = open_dir();
	long ret = openat_(fd, name);
	int saved = errno;

	close(fd);
	errno = saved;
	return ret;
}

/* The current directory must not matter for an absolute path or a dirfd. */
static long elsewhere(void)
{
	if (chdir("/proc"))
		die("/proc");
	return dirfd_();
}

static long proc_cwd(void)
{
	char path[4096];

	go_there();
	snprintf(path, sizeof(path), "/proc/self/cwd/%s", name);
	return openat_(AT_FDCWD, path);
}

static long proc_root(void)
{
	char path[4096];

	snprintf(path, sizeof(path), "/proc/self/root%s/%s", dir, name);
	return openat_(AT_FDCWD, path);
}

/* Opened as O_PATH first, then through /proc/self/fd. */
static long reopen(void)
{
	char path[4096];
	long ret;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_PATH);
	if (fd < 0)
		die(path);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ret = openat_(AT_FDCWD, path);
	close(fd);
	return ret;
}

/*
 * The path lies in a page of a file that is mapped and has never been touched:
 * a tracer that reads it at the entry of the call finds nothing there, and the
 * kernel, which may sleep, reads it all the same.
 */
static long cold(void)
{
	static int fd = -1;
	long ret;
	char *page;
	int saved;

	if (fd < 0) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", dir, name);
		fd = memfd_create("path", 0);
		if (fd < 0 || write(fd, path, strlen(path) + 1) < 0)
			die("memfd");
	}
	page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		die("mmap");
	ret = openat_(AT_FDCWD, page);
	saved = errno;
	munmap(page, 4096);
	errno = saved;
	return ret;
}

static const struct how {
	const char *name;
	long (*act)(void);
} hows[] = {
	{"relative", relative}, {"dot", dot},
	{"dotdot", dotdot},	{"fchdir", by_fchdir},
	{"dirfd", dirfd_},	{"elsewhere", elsewhere},
	{"proc-cwd", proc_cwd}, {"proc-root", proc_root},
	{"reopen", reopen},	{"cold", cold},
};

int main(int argc, char **argv)
{
	if (argc != 5 || argv[3][0] != '/')
		usage("where HOW COUNT DIR NAME");
	dir = argv[3];
	name = argv[4];
	for (size_t i = 0; i < COUNT(hows); i++) {
		if (strcmp(argv[1], hows[i].name))
			continue;
		for (long n = atol(argv[2]); n > 0; n--) {
			long fd = say(hows[i].act());

			if (fd >= 0)
				close((int)fd);
		}
		return 0;
	}
	usage("where: no such HOW");
}
