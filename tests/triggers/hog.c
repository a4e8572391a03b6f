/* SPDX-License-Identifier: GPL-2.0-only */
/* hog MILLISECONDS PATH: opens PATH as fast as it can; prints how often it did. */
#include "trigger.h"
#include <time.h>

static long now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000L + time.tv_nsec / 1000000L;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		usage("hog MILLISECONDS PATH");
	long end = now_ms() + atol(argv[1]), count = 0;

	do {
		for (int i = 0; i < 64; i++, count++) {
			int fd = open(argv[2], O_RDONLY);

			if (fd < 0)
				die(argv[2]);
			close(fd);
		}
	} while (now_ms() < end);
	printf("%ld 0\n", count);
	return 0;
}
