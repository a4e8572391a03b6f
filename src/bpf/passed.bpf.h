/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tier portable: names that were tested and that no sensor wants. A machine opens the same few
 * names again and again, and to take one apart costs ten times what reading it does.
 *
 * A name is passed over only if it is one of these to the last byte. Each processor has its own,
 * and one program uses them, which the kernel never runs twice at a time on one processor.
 */
#pragma once

#include "bee.bpf.h"

#define BEE_PASSED_WORDS 7
#define BEE_PASSED_NAMES 128 /* of a processor: 8 KiB */

struct bee_passed {
	__u32 policy; /* the one whose rules have nothing about it */
	__u32 length;
	__u64 words[BEE_PASSED_WORDS]; /* filled up with zeros */
};

/* Direct mapped: a name takes the place of another with the same hash, which is tested anew when it
 * comes by. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BEE_PASSED_NAMES);
	__type(key, __u32);
	__type(value, struct bee_passed);
} passed SEC(".maps");

/*
 * The place of the name at the beginning of the tail, `length` bytes without its NUL, after which
 * the tail is cleared as far as a word goes; NULL for one that is too long.
 */
static __always_inline struct bee_passed *bee_passed_place(struct bee_scratch *buffer, __u32 length)
{
	__u64 *words = (__u64 *)buffer->tail, hash = length;
	__u32 place, end;

	if (!length || length > sizeof(*words) * BEE_PASSED_WORDS)
		return NULL;
	/* Not to be known by clang, which would leave the mask out; nor is it to clear byte by
	 * byte. */
	end = length;
	barrier_var(end);
	asm volatile("*(u64 *)(%0 + 0) = %1"
		     :
		     : "r"(&buffer->tail[end & BEE_TAIL_MASK]), "r"(0ull)
		     : "memory");
	for (int i = 0; i < BEE_PASSED_WORDS && i * sizeof(*words) < length; i++)
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ull;
	place = hash >> 57; /* as many as BEE_PASSED_NAMES */
	return bpf_map_lookup_elem(&passed, &place);
}

/* Whether it is the name that lies in its place. */
static __always_inline bool bee_is_passed(struct bee_scratch *buffer, struct bee_passed *place,
					  __u32 length)
{
	const __u64 *words = (const __u64 *)buffer->tail;

	if (!place || place->length != length || place->policy != settings.policy)
		return false;
	for (int i = 0; i < BEE_PASSED_WORDS && i * sizeof(*words) < length; i++) {
		if (words[i] != place->words[i])
			return false;
	}
	return true;
}

/* `policy`: that in force when its test began. */
static __always_inline void bee_pass(struct bee_scratch *buffer, struct bee_passed *place,
				     __u32 length, __u32 policy)
{
	const __u64 *words = (const __u64 *)buffer->tail;

	if (!place)
		return;
	place->policy = policy;
	place->length = length;
	for (int i = 0; i < BEE_PASSED_WORDS && i * sizeof(*words) < length; i++)
		place->words[i] = words[i];
}
