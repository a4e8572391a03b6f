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

#define OPENS_ROW(number, call)	  [number] = EXIT_OPENS,
#define FILE_ROW(number, call)	  [number] = EXIT_FILE,
#define MEMORY_ROW(number, call)  [number] = EXIT_MEMORY,
#define NETWORK_ROW(number, call) [number] = EXIT_NETWORK,
#define KERNEL_ROW(number, call)  [number] = EXIT_KERNEL,
#define BEE_EXITS(abi)                                                                           \
	{                                                                                        \
		BEE_OPENS_##abi(OPENS_ROW) BEE_FILE_##abi(FILE_ROW) BEE_MEMORY_##abi(MEMORY_ROW) \
			BEE_NETWORK_##abi(NETWORK_ROW) BEE_KERNEL_##abi(KERNEL_ROW)              \
	}

const __u8 bee_exits_native[BEE_SYSCALLS] = BEE_EXITS(NATIVE);
const __u8 bee_exits_compat[BEE_SYSCALLS] = BEE_EXITS(COMPAT);

/* Whether a call of this number may be read by somebody. */
static __always_inline bool bee_exit_read(__u64 number)
{
	return number < BEE_SYSCALLS && (bee_exits_native[number] | bee_exits_compat[number]);
}

/* A macro, because the verifier wants to see which array it is, and the JIT which place: then it
 * is a plain jump. */
#define bee_exit_to(ctx, array, number, compat)                                           \
	do {                                                                              \
		switch ((compat) ? bee_exits_compat[number] : bee_exits_native[number]) { \
		case EXIT_OPENS:                                                          \
			bpf_tail_call_static(ctx, &array, BEE_READER_FILE);               \
			bpf_tail_call_static(ctx, &array, BEE_READER_MEMORY);             \
			break;                                                            \
		case EXIT_FILE:                                                           \
			bpf_tail_call_static(ctx, &array, BEE_READER_FILE);               \
			break;                                                            \
		case EXIT_MEMORY:                                                         \
			bpf_tail_call_static(ctx, &array, BEE_READER_MEMORY);             \
			break;                                                            \
		case EXIT_NETWORK:                                                        \
			bpf_tail_call_static(ctx, &array, BEE_READER_NETWORK);            \
			break;                                                            \
		case EXIT_KERNEL:                                                         \
			bpf_tail_call_static(ctx, &array, BEE_READER_KERNEL);             \
			break;                                                            \
		}                                                                         \
	} while (0)
