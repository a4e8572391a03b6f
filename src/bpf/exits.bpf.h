/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One program at the end of every system call, whichever sensors run: it looks the number up
 * and goes on to the sensor that reads the call. A call that nobody reads, as nearly all are,
 * costs one program and two bytes of a table.
 *
 * A sensor's program lies in a place of its own of a PROG_ARRAY. bpf_tail_call never comes
 * back; where the place is empty it does nothing, and the line after it is next.
 */
#pragma once

#include "numbers.bpf.h"

/* Who reads a call. */
enum bee_exit {
	EXIT_NOBODY,
	EXIT_OPENS, /* the file sensor, and it hands on to the memory sensor */
	EXIT_FILE,
	EXIT_MEMORY,
	EXIT_NETWORK,
	EXIT_KERNEL,
};

/* By number: read together where a call may be of either ABI, which is known later. */
struct bee_exit_of {
	__u8 native;
	__u8 compat;
} __attribute__((aligned(2)));

#define OPENS_NATIVE_ROW(number, call)	 [number].native = EXIT_OPENS,
#define FILE_NATIVE_ROW(number, call)	 [number].native = EXIT_FILE,
#define MEMORY_NATIVE_ROW(number, call)	 [number].native = EXIT_MEMORY,
#define NETWORK_NATIVE_ROW(number, call) [number].native = EXIT_NETWORK,
#define KERNEL_NATIVE_ROW(number, call)	 [number].native = EXIT_KERNEL,
#define OPENS_COMPAT_ROW(number, call)	 [number].compat = EXIT_OPENS,
#define FILE_COMPAT_ROW(number, call)	 [number].compat = EXIT_FILE,
#define MEMORY_COMPAT_ROW(number, call)	 [number].compat = EXIT_MEMORY,
#define NETWORK_COMPAT_ROW(number, call) [number].compat = EXIT_NETWORK,
#define KERNEL_COMPAT_ROW(number, call)	 [number].compat = EXIT_KERNEL,
#define BEE_EXITS(abi)                                                                      \
	BEE_OPENS_##abi(OPENS_##abi##_ROW) BEE_FILE_##abi(FILE_##abi##_ROW)                 \
		BEE_MEMORY_##abi(MEMORY_##abi##_ROW) BEE_NETWORK_##abi(NETWORK_##abi##_ROW) \
			BEE_KERNEL_##abi(KERNEL_##abi##_ROW)

const struct bee_exit_of bee_exits[BEE_SYSCALLS] = {BEE_EXITS(NATIVE) BEE_EXITS(COMPAT)};

/* Whether a call of this number may be read by somebody. */
static __always_inline bool bee_exit_read(__u64 number)
{
	return number < BEE_SYSCALLS && *(const __u16 *)&bee_exits[number];
}

/* Who reads it. */
static __always_inline __u8 bee_exit_reader(__u64 number, bool is_compat)
{
	return is_compat ? bee_exits[number].compat : bee_exits[number].native;
}

/* A macro, because the verifier wants to see which array it is, and the JIT which place: then it
 * is a plain jump. */
#define bee_exit_to(ctx, array, reader)                                        \
	do {                                                                   \
		switch (reader) {                                              \
		case EXIT_OPENS:                                               \
			bpf_tail_call_static(ctx, &array, BEE_READER_FILE);    \
			bpf_tail_call_static(ctx, &array, BEE_READER_MEMORY);  \
			break;                                                 \
		case EXIT_FILE:                                                \
			bpf_tail_call_static(ctx, &array, BEE_READER_FILE);    \
			break;                                                 \
		case EXIT_MEMORY:                                              \
			bpf_tail_call_static(ctx, &array, BEE_READER_MEMORY);  \
			break;                                                 \
		case EXIT_NETWORK:                                             \
			bpf_tail_call_static(ctx, &array, BEE_READER_NETWORK); \
			break;                                                 \
		case EXIT_KERNEL:                                              \
			bpf_tail_call_static(ctx, &array, BEE_READER_KERNEL);  \
			break;                                                 \
		}                                                              \
	} while (0)
