/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * numbers DIR FIRST COUNT PAUSE_US: opens DIR/.env.00001 and so on for reading,
 * each once, with a pause between two.
 */
#include "trigger.h"

int main(int argc, char **argv)
{
	if (argc != 5)
		usage("numbers DIR FIRST COUNT PAUSE_US");
	long first = atol(argv[2]), count = atol(argv[3]);

	for (long n = first; n < first + count; n++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/.env.%05ld", argv[1], n);
		long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0);

		if (fd < 0)
			die(path);
		close((int)fd);
		if (atol(argv[4]))
			usleep((useconds_t)atol(argv[4]));
	}
	printf("%ld 0\n", count);
	return 0;
}
