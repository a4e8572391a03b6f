/* SPDX-License-Identifier: GPL-2.0-only */
/* open CALL MODE COUNT PATH: opens PATH by one of the five calls that can. */
#include "trigger.h"
#include <linux/openat2.h>

static const struct mode {
	const char *name;
	int flags;
} modes[] = {
	{"r", O_RDONLY},
	{"w", O_WRONLY},
	{"rw", O_RDWR},
	{"append", O_WRONLY | O_APPEND},
	{"trunc", O_WRONLY | O_TRUNC},
	{"create", O_WRONLY | O_CREAT | O_EXCL},
	{"path", O_PATH},
	{"nofollow", O_RDONLY | O_NOFOLLOW},
};

static long by_handle(const char *path, int flags)
{
	static union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} it;
	static int mount = -1;

	if (mount < 0) {
		char dir[4096];
		int mount_id;

		snprintf(dir, sizeof(dir), "%s", path);
		char *slash = strrchr(dir, '/');
		if (!slash)
			die("an absolute path is needed");
		slash[slash == dir] = 0;
		mount = open(dir, O_RDONLY | O_DIRECTORY);
		if (mount < 0)
			die(dir);
		it.handle.handle_bytes = MAX_HANDLE_SZ;
		if (name_to_handle_at(AT_FDCWD, path, &it.handle, &mount_id, 0) < 0)
			die("name_to_handle_at");
	}
	return syscall(SYS_open_by_handle_at, mount, &it.handle, flags);
}

static long do_open(const char *call, const char *path, int flags)
{
	if (!strcmp(call, "openat"))
		return syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
	if (!strcmp(call, "openat2")) {
		struct open_how how = {.flags = (unsigned int)flags};

		if (flags & O_CREAT)
			how.mode = 0600;
		return syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	}
	if (!strcmp(call, "handle"))
		return by_handle(path, flags);
#ifdef SYS_open
	if (!strcmp(call, "open"))
		return syscall(SYS_open, path, flags, 0600);
	if (!strcmp(call, "creat"))
		return syscall(SYS_creat, path, 0600);
#endif
	unsupported(call);
	return -1;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		usage("open open|openat|openat2|creat|handle MODE COUNT PATH");
	for (size_t i = 0; i < COUNT(modes); i++) {
		if (strcmp(argv[2], modes[i].name))
			continue;
		for (long n = atol(argv[3]); n > 0; n--) {
			long fd = say(do_open(argv[1], argv[4], modes[i].flags));

			if (fd >= 0)
				close((int)fd);
		}
		return 0;
	}
	usage("open: no such MODE");
}
