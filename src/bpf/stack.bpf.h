/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stack a program begins with, which is ABI of ELF: argc, the pointers of argv, NULL,
 * those of the environment, NULL, the auxiliary vector (fs/binfmt_elf.c, create_elf_tables).
 * The kernel has put the strings above it, in this order and without gaps: arguments,
 * environment, the name the program was executed by (fs/exec.c, do_execveat_common). So
 * that each ends where the next begins.
 */
#pragma once

#include "env.bpf.h"

/* linux/auxvec.h */
#define AT_NULL	  0
#define AT_UID	  11
#define AT_EUID	  12
#define AT_EXECFN 31

#define BEE_STACK_CHUNK	 32  /* pointers read at once */
#define BEE_STACK_CHUNKS 128 /* together 4096 variables */
#define BEE_STACK_AUX	 48  /* entries; the kernel has some 20 */

/* Where in the tail chunks are read to: behind all that a record can have there yet. */
#define BEE_STACK_ROOM 0x3000

/* The word of the program's width at `address`; 0 where it cannot be read. */
static __always_inline __u64 bee_stack_word(const struct bee_stack_state *stack, __u64 address)
{
	__u64 word = 0;

	bpf_probe_read_user(&word, stack->width == 4 ? 4 : 8, (void *)address);
	return word;
}

/* Looks for the end of the environment's pointers in the next chunk: 0 it is found, and
 * `at` behind it; 1 go on; -1 it cannot be read. */
__noinline int bee_stack_chunk(__u32 place)
{
	struct bee_scratch *buffer = bee_scratch(place);
	__u32 width, i;
	__u64 *words;

	if (!buffer)
		return -1;
	words = (__u64 *)&buffer->tail[BEE_STACK_ROOM];
	width = buffer->stack.width == 4 ? 4 : 8;
	if (bpf_probe_read_user(words, BEE_STACK_CHUNK * width, (void *)buffer->stack.at))
		return -1;
	for (i = 0; i < BEE_STACK_CHUNK; i++) {
		__u64 word = width == 8 ? words[i] : ((__u32 *)words)[i];

		if (!word)
			break;
	}
	if (i < BEE_STACK_CHUNK) {
		buffer->stack.at += (i + 1) * width;
		return 0;
	}
	buffer->stack.at += BEE_STACK_CHUNK * width;
	return 1;
}

/* One entry of the auxiliary vector; nonzero at its end. */
__noinline int bee_stack_aux(__u32 place)
{
	struct bee_scratch *buffer = bee_scratch(place);
	struct bee_stack_state *stack;
	__u64 kind, value;

	if (!buffer)
		return 1;
	stack = &buffer->stack;
	kind = bee_stack_word(stack, stack->at);
	value = bee_stack_word(stack, stack->at + stack->width);
	stack->at += stack->width * 2;
	if (kind == AT_UID)
		stack->uid = value;
	else if (kind == AT_EUID)
		stack->euid = value;
	else if (kind == AT_EXECFN)
		stack->name = value;
	return kind == AT_NULL;
}

/*
 * Finds the strings of the program whose stack begins at `pointer`, and leaves where they
 * are in buffer->stack. What is not there is 0. `narrow`: it is a 32-bit program.
 */
__noinline int bee_stack(__u32 place, __u64 pointer, __u32 narrow)
{
	struct bee_scratch *buffer = bee_scratch(place);
	struct bee_stack_state *stack;
	__u64 count = 0;
	int on = 1;

	if (!buffer)
		return 0;
	stack = &buffer->stack;
	__builtin_memset(stack, 0, sizeof(*stack));
	stack->uid = stack->euid = ~0u;
	if (bpf_probe_read_user(&count, sizeof(count), (void *)pointer))
		return 0;
	/* In its upper half are pointers, of any program whose pointers are that small: x32
	 * programs too, which no register tells. */
	stack->width = narrow || count >> 32 ? 4 : 8;
	count = (__u32)count;
	if (count)
		stack->args = bee_stack_word(stack, pointer + stack->width);
	stack->at = pointer + stack->width * (count + 2);
	stack->env = bee_stack_word(stack, stack->at);
	for (int i = 0; i < BEE_STACK_CHUNKS; i++) {
		on = bee_stack_chunk(place);
		if (on <= 0)
			break;
	}
	for (int i = 0; on == 0 && i < BEE_STACK_AUX; i++) {
		if (bee_stack_aux(place))
			break;
	}
	stack->args_end = stack->env ? stack->env : stack->name;
	/* More variables than were looked at: more, too, than are searched. */
	stack->env_end = stack->name ? stack->name : stack->env + BEE_ENV_SCANNED + 1;
	/* A tracer may have been at work. */
	if (stack->args_end < stack->args)
		stack->args = 0;
	if (stack->env_end < stack->env)
		stack->env = 0;
	return 0;
}
