/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Testing names against the rules watch/ compiled from the patterns. The test
 * may say yes too often (user space decides exactly), never no too often.
 *
 * The functions that loop are global, not static: the verifier then proves each
 * one once instead of at every call. Such a function may only take numbers, so
 * names lie in the scratch buffer's tail and are told by their place.
 */
#pragma once

#include "bee.bpf.h"

#define BEE_NAME_HASHED 64 /* watch/ hashes no more either */
#define BEE_AFFIX_MAX	16
#define BEE_FNV_BASIS	0xcbf29ce484222325ull
#define BEE_FNV_PRIME	0x100000001b3ull

/* The mask of the rule of this kind over these bytes; 0: there is none. */
static __always_inline __u32 bee_rule(__u32 rule, __u32 length, __u64 hash)
{
	struct bee_rule_key key = {.hash = hash, .rule = rule, .length = length};
	__u32 *mask;

	key.policy = settings.policy;
	mask = bpf_map_lookup_elem(&rules, &key);
	return mask ? *mask : 0;
}

/* FNV-1a of the name at `place`, its first 64 bytes. */
__noinline __u64 bee_hash(__u32 place, __u32 length)
{
	struct bee_scratch *buffer = bee_scratch(place);
	__u64 hash;

	if (!buffer)
		return 0;
	hash = bee_unknown(&state, BEE_FNV_BASIS);
	for (__u32 i = 0; i < BEE_NAME_HASHED; i++) {
		if (i >= length)
			break;
		hash = (hash ^ buffer->tail[(place + i) & BEE_TAIL_MASK]) * BEE_FNV_PRIME;
	}
	return hash;
}

/*
 * One byte more of a prefix (from the first on) or of a suffix (from the last on);
 * where a rule has that length it is looked up. Nonzero: there is no longer one. State lies in
 * the scratch buffer.
 */
__noinline int bee_affix_step(__u32 place, __u32 length, __u32 i, __u32 rule)
{
	struct bee_scratch *buffer = bee_scratch(place);
	__u32 at, lengths;

	if (!buffer || i >= length || i >= BEE_AFFIX_MAX)
		return 1;
	at = rule == BEE_RULE_PREFIX ? place + i : place + length - 1 - i;
	lengths = rule == BEE_RULE_PREFIX ? settings.prefix_lengths : settings.suffix_lengths;
	lengths >>= i + 1;
	if (!lengths)
		return 1;
	buffer->affix.hash =
		(buffer->affix.hash ^ buffer->tail[at & BEE_TAIL_MASK]) * BEE_FNV_PRIME;
	if (lengths & 1)
		buffer->affix.mask |= bee_rule(rule, i + 1, buffer->affix.hash);
	return 0;
}

/* Which rules may be about the name at `place`, by its first and last byte, as BEE_EDGE_FIRST,
 * BEE_EDGE_PREFIX and BEE_EDGE_SUFFIX: of most names that is all that is looked at. */
static __always_inline __u32 bee_edges(struct bee_scratch *buffer, __u32 place, __u32 length)
{
	__u8 first = settings.edges[buffer->tail[place & BEE_TAIL_MASK]];
	__u8 last = settings.edges[buffer->tail[(place + length - 1) & BEE_TAIL_MASK]];

	if (!(last & BEE_EDGE_LAST))
		first &= ~BEE_EDGE_FIRST;
	return (first & (BEE_EDGE_FIRST | BEE_EDGE_PREFIX)) | (last & BEE_EDGE_SUFFIX);
}

/* A whole name that was cut is one that begins so. */
#define BEE_EDGE_WHOLE (BEE_EDGE_FIRST | BEE_EDGE_PREFIX)

/* Last component: exact name, prefixes, suffixes, anchors. */
__noinline __u32 bee_test_leaf(__u32 place, __u32 length)
{
	struct bee_scratch *buffer = bee_scratch(place);

	if (!buffer || !length)
		return 0;
	buffer->affix.mask = 0;
	buffer->affix.edges = bee_edges(buffer, place, length);
	if (buffer->affix.edges & BEE_EDGE_WHOLE) {
		__u64 hash = bee_hash(place, length);

		buffer->affix.mask = bee_rule(BEE_RULE_EXACT, 0, hash);
		if (bee_rule(BEE_RULE_ANCHOR, 0, hash))
			buffer->affix.mask |= BEE_WATCH_ANCHOR;
	}
	if (buffer->affix.edges & BEE_EDGE_PREFIX) {
		buffer->affix.hash = BEE_FNV_BASIS;
		for (__u32 i = 0; i < BEE_AFFIX_MAX; i++) {
			if (bee_affix_step(place, length, i, BEE_RULE_PREFIX))
				break;
		}
	}
	if (buffer->affix.edges & BEE_EDGE_SUFFIX) {
		buffer->affix.hash = BEE_FNV_BASIS;
		for (__u32 i = 0; i < BEE_AFFIX_MAX; i++) {
			if (bee_affix_step(place, length, i, BEE_RULE_SUFFIX))
				break;
		}
	}
	return buffer->affix.mask;
}

/* A directory on the way to the last component: what holds of all that is below it,
 * and above BEE_DIRECT what holds of what lies directly in it. */
#define BEE_DIRECT 4

__noinline __u32 bee_test_directories(__u32 place, __u32 length)
{
	struct bee_scratch *buffer = bee_scratch(place);
	__u64 hash;

	if (!buffer || !length || !(bee_edges(buffer, place, length) & BEE_EDGE_WHOLE))
		return 0;
	hash = bee_hash(place, length);
	return (bee_rule(BEE_RULE_DIRECTORY, 0, hash) & 0xf) |
	       (bee_rule(BEE_RULE_PARENT, 0, hash) & 0xf) << BEE_DIRECT;
}

/* The same, where it is known whether it lies directly in it. */
static __always_inline __u32 bee_test_directory(__u32 place, __u32 length, bool direct)
{
	__u32 tested = bee_test_directories(place, length);

	return (tested | (direct ? tested >> BEE_DIRECT : 0)) & 0xf;
}

/* Of a given name, how much is taken apart; one of more components is a candidate. */
#define BEE_NAME_SCAN  256 /* bytes of a component */
#define BEE_NAME_PARTS 64  /* components */

/* The result of bee_test_given beside the mask bits. */
#define BEE_NAME_SLASH 0x100u /* it has a directory in it */
#define BEE_NAME_ABOVE 0x200u /* it has ".." in it */

/* Bytes before the next '/' or the NUL that ends a name. */
__noinline __u32 bee_component_length(__u32 place)
{
	struct bee_scratch *buffer = bee_scratch(place);

	return buffer ? bee_find(buffer, place, '/', BEE_NAME_SCAN) : 0;
}

/* Whether the `length` bytes at `place` are "." (1) or ".." (2). */
__noinline __u32 bee_dots(__u32 place, __u32 length)
{
	struct bee_scratch *buffer = bee_scratch(place);

	if (!buffer || length == 0 || length > 2)
		return 0;
	if (buffer->tail[place & BEE_TAIL_MASK] != '.')
		return 0;
	if (length == 2 && buffer->tail[(place + 1) & BEE_TAIL_MASK] != '.')
		return 0;
	return length;
}

/* How a step through a name ended. */
#define BEE_NAME_ON   0u
#define BEE_NAME_LAST 1u /* the last component is reached */

/* One component of a name that is not the last; the verifier proves it once. */
__noinline __u32 bee_name_step(__u32 place)
{
	struct bee_scratch *buffer = bee_scratch(place);
	struct bee_name_state *name;
	__u32 begin, size, dots;

	if (!buffer)
		return BEE_NAME_LAST;
	name = &buffer->name;
	begin = name->begin;
	size = bee_component_length(place + begin);
	if (begin + size >= name->length)
		return BEE_NAME_LAST;
	dots = bee_dots(place + begin, size);
	/* "./x" and "/x" lie where the walk begins; "." leads nowhere. */
	if (dots == 2) {
		name->mask |= BEE_NAME_ABOVE | BEE_NAME_SLASH;
	} else if (size && !dots) {
		__u32 tested = bee_test_directories(place + begin, size);

		name->parent = tested >> BEE_DIRECT;
		name->parents |= name->parent;
		name->mask |= (tested & 0xf) | BEE_NAME_SLASH;
	}
	name->begin = begin + size + 1;
	return BEE_NAME_ON;
}

/*
 * A name as a caller gave it ("/x/../y/.ssh/id"), `length` bytes without its NUL at
 * `place`, against what is in the string itself. User space takes ".." out of it as
 * text, which leaves some of its components and adds none; only which of them is the
 * last directory is not known then, so each is tested as if it were.
 *
 * Goes by components, not by bytes: before 6.2 the verifier takes every number of a
 * program with subprograms for one whose exact value matters (kernel commit
 * be2ef8161572), and a loop over bytes with branches in it is a million steps there.
 */
__noinline __u32 bee_test_given(__u32 place, __u32 length)
{
	struct bee_scratch *buffer = bee_scratch(place);
	struct bee_name_state *name;

	if (!buffer)
		return 0;
	if (length > BEE_PART_MAX)
		return BEE_WATCH_ANY | BEE_WATCH_WRITE | BEE_NAME_SLASH | BEE_NAME_ABOVE;
	/* rename("a/b/", …): the slashes at the end are not part of the name. */
	for (__u32 i = 0; i < 8; i++) {
		if (length > 1 && buffer->tail[(place + length - 1) & BEE_TAIL_MASK] == '/')
			length = bee_unknown(&state, length - 1);
	}
	name = &buffer->name;
	__builtin_memset(name, 0, sizeof(*name));
	name->length = length;
	for (__u32 i = 0; i < BEE_NAME_PARTS; i++) {
		__u32 size;

		if (bee_name_step(place) == BEE_NAME_ON)
			continue;
		size = name->length - name->begin;
		name->mask |= name->mask & BEE_NAME_ABOVE ? name->parents : name->parent;
		/* "x/..", "x/.", "x//…": some directory of the name. */
		if ((!size || bee_dots(place + name->begin, size)) && name->mask & BEE_NAME_SLASH)
			name->mask |= BEE_WATCH_ANY | BEE_WATCH_WRITE;
		if (size)
			name->mask |= bee_test_leaf(place + name->begin, size);
		return name->mask;
	}
	return BEE_WATCH_ANY | BEE_WATCH_WRITE | BEE_NAME_SLASH | BEE_NAME_ABOVE;
}

/* The same of a name that is joined to a directory: ".." may lead out of that, and
 * then only user space can follow. */
static __always_inline __u32 bee_test_name(__u32 place, __u32 length)
{
	__u32 tested = bee_test_given(place, length);

	return tested & BEE_NAME_ABOVE ? tested | BEE_WATCH_ANY | BEE_WATCH_WRITE : tested;
}
