/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What all triggers share. A trigger makes one kind of system call a given
 * number of times and nothing else that a sensor could see; it says what each
 * call returned, so that a test knows what happened without asking the daemon.
 */
#ifndef TRIGGER_H
#define TRIGGER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* One line per act: "<return> <errno>". */
static inline long say(long ret)
{
	printf("%ld %d\n", ret, ret < 0 ? errno : 0);
	return ret;
}

/* The trigger itself is wrong or cannot work here: never an act's result. */
static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline void usage(const char *text)
{
	fprintf(stderr, "usage: %s\n", text);
	exit(64);
}

/* This machine has no such system call (arm64 has no open, for one). */
static inline void unsupported(const char *call)
{
	fprintf(stderr, "unsupported: %s\n", call);
	exit(3);
}

#endif
