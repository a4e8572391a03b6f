/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * names ACT PATH...: makes, moves and removes names. One path an act, or two
 * (from, to) for those that have two.
 */
#include "trigger.h"
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define HERE AT_FDCWD
#define MEM  makedev(1, 1)

/* arm64 has only the *at calls; those of x86 are tried where they are. */
#ifdef SYS_unlink
static long unlink_(const char *a, const char *b)
{
	(void)b;
	return syscall(SYS_unlink, a);
}
static long rmdir_(const char *a, const char *b)
{
	(void)b;
	return syscall(SYS_rmdir, a);
}
static long rename_(const char *a, const char *b)
{
	return syscall(SYS_rename, a, b);
}
static long link_(const char *a, const char *b)
{
	return syscall(SYS_link, a, b);
}
static long symlink_(const char *a, const char *b)
{
	return syscall(SYS_symlink, a, b);
}
static long mknod_(const char *a, const char *b)
{
	(void)b;
	return syscall(SYS_mknod, a, S_IFCHR | 0600, (unsigned int)MEM);
}
#endif
#ifdef SYS_renameat
static long renameat_(const char *a, const char *b)
{
	return syscall(SYS_renameat, HERE, a, HERE, b);
}
#endif
static long unlinkat_(const char *a, const char *b)
{
	(void)b;
	return syscall(SYS_unlinkat, HERE, a, 0);
}
static long renameat2_(const char *a, const char *b)
{
	return syscall(SYS_renameat2, HERE, a, HERE, b, RENAME_NOREPLACE);
}
static long exchange(const char *a, const char *b)
{
	return syscall(SYS_renameat2, HERE, a, HERE, b, RENAME_EXCHANGE);
}
static long linkat_(const char *a, const char *b)
{
	return syscall(SYS_linkat, HERE, a, HERE, b, 0);
}
static long symlinkat_(const char *a, const char *b)
{
	return syscall(SYS_symlinkat, a, HERE, b);
}
static long mknodat_(const char *a, const char *b)
{
	(void)b;
	return syscall(SYS_mknodat, HERE, a, S_IFCHR | 0600, (unsigned int)MEM);
}
/* A file without a name, written, and then given one. */
static long tmpfile_(const char *dir, const char *to)
{
	char path[64];
	int fd = open(dir, O_TMPFILE | O_RDWR, 0600);

	if (fd < 0)
		die("O_TMPFILE");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	long ret = syscall(SYS_linkat, HERE, path, HERE, to, AT_SYMLINK_FOLLOW);
	int saved = errno;

	close(fd);
	errno = saved;
	return ret;
}

static const struct act {
	const char *name;
	int paths;
	long (*act)(const char *, const char *);
} acts[] = {
#ifdef SYS_unlink
	{"unlink", 1, unlink_},	    {"rmdir", 1, rmdir_},	  {"rename", 2, rename_},
	{"link", 2, link_},	    {"symlink", 2, symlink_},	  {"mknod", 1, mknod_},
#endif
#ifdef SYS_renameat
	{"renameat", 2, renameat_},
#endif
	{"unlinkat", 1, unlinkat_}, {"renameat2", 2, renameat2_}, {"exchange", 2, exchange},
	{"linkat", 2, linkat_},	    {"symlinkat", 2, symlinkat_}, {"mknodat", 1, mknodat_},
	{"tmpfile", 2, tmpfile_},
};

int main(int argc, char **argv)
{
	if (argc < 3)
		usage("names ACT PATH...");
	for (size_t i = 0; i < COUNT(acts); i++) {
		if (strcmp(argv[1], acts[i].name))
			continue;
		for (int n = 2; n + acts[i].paths <= argc; n += acts[i].paths)
			say(acts[i].act(argv[n], acts[i].paths == 2 ? argv[n + 1] : NULL));
		return 0;
	}
	unsupported(argv[1]);
}
