/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A true path from the kernel's own structures: dentry by dentry up to the root
 * of the file system, from there through the mount point to the file system
 * above, up to the root of the mount namespace. bpf_d_path is not used: only
 * fentry and LSM programs on a short list of functions may call it.
 *
 * Names are written last component first, each ended by NUL; user space turns
 * them round. On the way each may be tested against the rules, which is how a
 * file on a file system nobody has scanned is recognised.
 */
#pragma once

#include "names.bpf.h"

#define BEE_DEPTH_MAX 64 /* components; more: BEE_WALK_TRUNCATED */

/* What bee_walk returns: bytes written, watch mask, and what went wrong. */
#define BEE_WALK_LENGTH(walk) ((walk)&0x1fff)
#define BEE_WALK_MASK(walk)   (((walk) >> 13) & 0xf)
#define BEE_WALK_TRUNCATED    (1u << 20)
#define BEE_WALK_UNRESOLVED   (1u << 21)

/* What the first component met is to the file asked about. */
#define BEE_WALK_LEAF	  0u /* the file itself */
#define BEE_WALK_PARENT	  1u /* the directory it lies in */
#define BEE_WALK_ANCESTOR 2u /* some directory above */
#define BEE_WALK_UNTESTED 3u /* only the path is wanted */

/* Tests one component by its role. Returns the mask, and above it the role of the next. */
#define BEE_NEXT_ROLE 8
__noinline __u32 bee_test_component(__u32 offset, __u32 length, __u32 role)
{
	switch (role) {
	case BEE_WALK_LEAF:
		return (bee_test_leaf(offset, length) & 0xf) | BEE_WALK_PARENT << BEE_NEXT_ROLE;
	case BEE_WALK_PARENT:
	case BEE_WALK_ANCESTOR:
		return (bee_test_directory(offset, length, role == BEE_WALK_PARENT) & 0xf) |
		       BEE_WALK_ANCESTOR << BEE_NEXT_ROLE;
	default:
		return BEE_WALK_UNTESTED << BEE_NEXT_ROLE;
	}
}

/*
 * Walks up from `dentry` on mount `vfsmount`, writing to the scratch tail from
 * `offset`. Mount points are followed by struct mount, which holds vfsmount.
 */
__noinline __u32 bee_walk(__u64 dentry_address, __u64 vfsmount, __u32 offset, __u32 role)
{
	struct dentry *dentry = (struct dentry *)dentry_address;
	struct mount *mount = (void *)(vfsmount - bpf_core_field_offset(struct mount, mnt));
	struct dentry *mount_root = BPF_CORE_READ(mount, mnt.mnt_root);
	struct bee_scratch *buffer = bee_scratch();
	struct bee_state *shared = bee_state();
	__u32 start = offset & BEE_TAIL_MASK, at, mask, result = 0;
	bool whole = false;

	if (!buffer || !shared)
		return BEE_WALK_UNRESOLVED;
	at = bee_unknown(shared, start);
	mask = bee_unknown(shared, 0);
	for (int i = 0; i < BEE_DEPTH_MAX; i++) {
		if (dentry == mount_root) {
			struct mount *above = BPF_CORE_READ(mount, mnt_parent);

			if (above == mount || !above) {
				whole = true;
				break;
			}
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = above;
			mount_root = BPF_CORE_READ(mount, mnt.mnt_root);
			continue;
		}
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

		if (parent == dentry || !parent) {
			/* The root of a file system this mount does not reach: opened
			 * by handle, or unmounted under its user. */
			result |= BEE_WALK_UNRESOLVED;
			whole = true;
			/* Such a file's own name is all there is: a memfd's. */
			if (i == 0) {
				long only = bpf_probe_read_kernel_str(
					&buffer->tail[start], 256,
					BPF_CORE_READ(dentry, d_name.name));
				at = start + (only > 0 ? only : 0);
			}
			break;
		}
		if (at - start > BEE_PART_MAX - 256)
			break;

		const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
		__u32 here = at & BEE_TAIL_MASK;
		long size = bpf_probe_read_kernel_str(&buffer->tail[here], 256, name);

		if (size <= 0 || size > 256) {
			result |= BEE_WALK_UNRESOLVED;
			break;
		}
		__u32 tested = bee_test_component(here, size - 1, role);

		mask = bee_unknown(shared, mask | (tested & 0xf));
		role = tested >> BEE_NEXT_ROLE;
		at = bee_unknown(shared, here + size);
		dentry = parent;
	}
	if (!whole) {
		result |= BEE_WALK_TRUNCATED;
		/* Rules above the cut are not tested: let user space look. */
		if (role <= BEE_WALK_ANCESTOR)
			mask |= BEE_WATCH_ANY | BEE_WATCH_WRITE;
	}
	return result | (mask & 0xf) << 13 | ((at - start) & 0x1fff);
}

static __always_inline __u64 bee_walk_flags(__u32 walk)
{
	__u64 flags = 0;

	if (walk & BEE_WALK_TRUNCATED)
		flags |= BEE_FLAG_PATH_TRUNCATED;
	if (walk & BEE_WALK_UNRESOLVED)
		flags |= BEE_FLAG_PATH_UNRESOLVED;
	return flags;
}
