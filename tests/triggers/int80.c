/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * int80 COUNT PATH: a 64-bit process that opens by the 32-bit gate. Its code
 * segment says 64 bits; read by the 64-bit table, call 5 (open) is fstat.
 */
#include "trigger.h"
#include <sys/mman.h>

static long open32(const char *low_path, int flags)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(5L), "b"(low_path), "c"((long)flags), "d"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		usage("int80 COUNT PATH");
	/* The gate takes 32-bit pointers. */
	char *path = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (path == MAP_FAILED)
		die("mmap");
	snprintf(path, 4096, "%s", argv[2]);
	for (long n = atol(argv[1]); n > 0; n--) {
		long fd = open32(path, O_RDONLY);

		if (fd < 0) {
			errno = (int)-fd;
			fd = -1;
		}
		say(fd);
		if (fd >= 0)
			close((int)fd);
	}
	return 0;
}
