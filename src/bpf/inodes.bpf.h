/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Watched files by identity. An open is rejected by one byte of a filter in
 * front of the table; a name is looked at only on file systems that were not
 * scanned. Keys carry the policy they belong to, so that a new one can be
 * learned beside the old.
 */
#pragma once

#include "core.bpf.h"

/* By the number alone: that of the device would be two loads more. File systems number their files
 * one after the other, which spreads them over the slots as a hash would. */
static __always_inline __u8 *bee_filter_slot(__u64 inode)
{
	return &filter.slot[inode & (BEE_FILTER_SIZE - 1)];
}

static __always_inline __u32 bee_inode_lookup(__u64 inode, __u32 device, __u32 policy,
					      __u32 generation)
{
	struct bee_inode_key key = {.inode = inode, .device = device, .policy = policy};
	struct bee_inode_value *value = bpf_map_lookup_elem(&inodes, &key);

	if (!value)
		return 0;
	if (value->generation != generation) {
		/* The number was given to another file since. */
		bpf_map_delete_elem(&inodes, &key);
		return 0;
	}
	return value->mask;
}

/* Returns 0, or -errno when the table is full: names are checked from then on
 * until user space has had the table made anew. */
static __always_inline long bee_inode_learn(__u64 inode, __u32 device, __u32 generation, __u32 mask)
{
	struct bee_inode_key key = {.inode = inode, .device = device, .policy = settings.policy};
	struct bee_inode_value value = {.generation = generation, .mask = mask};
	struct bee_inode_value *known = bpf_map_lookup_elem(&inodes, &key);
	long failed;

	/* Of a file with two names the one watched for less may come last. */
	if (known && known->generation == generation)
		value.mask |= known->mask;
	failed = bpf_map_update_elem(&inodes, &key, &value, BPF_ANY);

	*bee_filter_slot(inode) = 1;
	if (failed) {
		bee_count(BEE_KIND_IDENTITY, BEE_CAUSE_MAP_FULL);
		state.table_full = 1;
	}
	return failed;
}

/* Whether a device is the one most opens are of, and whatever of it is not in the filter is none of
 * ours: it is scanned, names count nowhere, the table has room, there is no canary. */
static __always_inline bool bee_usual(__u64 device)
{
	return *(volatile __u64 *)&state.usual == device;
}

/*
 * The same of its super block, which is one reading less: where it lies is noted when a file of it
 * comes by, mixed with those facts of that moment in one number, so that it holds for no others. It
 * is the root's file system, which the daemon itself keeps in use: no other comes to lie there.
 */
#define BEE_MIX 0x9e3779b97f4a7c15ull

static __always_inline bool bee_usual_super(__u64 super)
{
	__u64 usual = state.usual_super ^ *(volatile __u64 *)&state.usual * BEE_MIX;

	/* A typed pointer may be compared, and nothing else. */
	barrier_var(usual);
	return super == usual;
}

static __always_inline void bee_note_usual(__u64 super, __u32 device)
{
	if (bee_usual(device))
		state.usual_super = super ^ device * BEE_MIX;
}

/* Whether names need not be checked on this file system. */
__noinline int bee_scanned(__u32 device)
{
	if (settings.names_everywhere || state.names_everywhere || state.table_full)
		return 0;
	for (int i = 0; i < BEE_SCANNED_MAX; i++) {
		if (i >= settings.scanned_count)
			break;
		if (settings.scanned[i] == device)
			return 1;
	}
	return 0;
}
