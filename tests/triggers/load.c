/* SPDX-License-Identifier: GPL-2.0-only */
/* load getpid|open COUNT [PATH]: a loop of one call; prints nanoseconds for all. */
#include "trigger.h"
#include <time.h>

static long long now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int argc, char **argv)
{
	int opens = argc == 4 && !strcmp(argv[1], "open");

	if (!opens && !(argc == 3 && !strcmp(argv[1], "getpid")))
		usage("load getpid|open COUNT [PATH]");
	long count = atol(argv[2]);
	long long start = now_ns();

	for (long n = 0; n < count; n++) {
		if (!opens) {
			syscall(SYS_getpid);
			continue;
		}
		int fd = open(argv[3], O_RDONLY);

		if (fd < 0)
			die(argv[3]);
		close(fd);
	}
	printf("%lld 0\n", now_ns() - start);
	return 0;
}
