/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a program was given: how much of its arguments is kept, and the names of its
 * environment's variables. Read from the process's own memory; no kernel structure.
 */
#pragma once

#include "bee.bpf.h"

#define BEE_ARGS_MAX	4096u
#define BEE_ENV_SCANNED 8192u /* bytes of the environment that are searched */
#define BEE_ENV_COUNT	192   /* variables looked at */
#define BEE_ENV_NAME	48    /* longest name kept */
#define BEE_ENV_NAMES	2048  /* bytes of names in a record */

/* Length of the variable's name at `place`: up to '=', at most BEE_ENV_NAME. */
__noinline __u32 bee_env_name_length(__u32 place)
{
	struct bee_scratch *buffer = bee_scratch(place);

	return buffer ? bee_find(buffer, place, '=', BEE_ENV_NAME) : 0;
}

/* What bee_env_names returns beside the length. */
#define BEE_ENV_CUT    0x10000u
#define BEE_ENV_FAILED 0x20000u

/* How a step through the environment ended. */
#define BEE_ENV_ON  0u
#define BEE_ENV_END 1u

/*
 * One variable: it is read to room behind the names, measured, and only its name
 * is moved; what user space gets holds no value. One step is proven once by the
 * verifier, not for each turn of the loop.
 */
__noinline __u32 bee_env_step(__u32 place)
{
	struct bee_scratch *buffer = bee_scratch(place);
	struct bee_env_state *env;
	__u32 at, room, length;
	long size;

	if (!buffer)
		return BEE_ENV_FAILED;
	env = &buffer->env;
	at = env->at & BEE_TAIL_MASK;
	room = (at + BEE_ENV_NAME + 8) & BEE_TAIL_MASK;
	if (env->address >= env->end || env->address - env->begin >= BEE_ENV_SCANNED)
		return BEE_ENV_END;
	size = bpf_probe_read_user_str(&buffer->tail[room], BEE_PART_MAX, (void *)env->address);
	if (size <= 0)
		return BEE_ENV_FAILED;
	/* Longer than the room: its rest would look like the next name. What is left of
	 * the environment is not searched; no byte of a value leaves. */
	if (size >= BEE_PART_MAX)
		return BEE_ENV_CUT;
	length = bee_env_name_length((place & ~0xffffu) | room);
	if (length > BEE_ENV_NAME)
		length = BEE_ENV_NAME;
	bpf_probe_read_kernel(&buffer->tail[at], length, &buffer->tail[room]);
	buffer->tail[(at + length) & BEE_TAIL_MASK] = 0;
	env->at = at + length + 1;
	env->address += size;
	return BEE_ENV_ON;
}

/* Some variables; `place` is where the names begin. Proven once too. */
#define BEE_ENV_BATCH 16
__noinline __u32 bee_env_batch(__u32 place)
{
	struct bee_scratch *buffer = bee_scratch(place);
	__u32 step;

	if (!buffer)
		return BEE_ENV_FAILED;
	for (int i = 0; i < BEE_ENV_BATCH; i++) {
		if (buffer->env.at - (place & BEE_TAIL_MASK) > BEE_ENV_NAMES - BEE_ENV_NAME - 1)
			return BEE_ENV_CUT;
		step = bee_env_step(place);
		if (step != BEE_ENV_ON)
			return step;
	}
	return BEE_ENV_ON;
}

/* Writes the names of the environment's variables to `place`. */
__noinline __u32 bee_env_names(__u32 place, __u64 begin, __u64 end)
{
	struct bee_scratch *buffer = bee_scratch(place);
	__u32 start = place & BEE_TAIL_MASK, step = BEE_ENV_ON;
	struct bee_env_state *env;

	if (!buffer)
		return BEE_ENV_FAILED;
	env = &buffer->env;
	env->begin = begin;
	env->end = end;
	env->address = begin;
	env->at = start;
	for (int i = 0; i < BEE_ENV_COUNT / BEE_ENV_BATCH; i++) {
		step = bee_env_batch(place);
		if (step != BEE_ENV_ON)
			break;
	}
	if (step == BEE_ENV_END)
		step = end - begin > BEE_ENV_SCANNED ? BEE_ENV_CUT : 0;
	else if (step == BEE_ENV_ON)
		step = BEE_ENV_CUT;
	return step | ((env->at - start) & 0xfff);
}
