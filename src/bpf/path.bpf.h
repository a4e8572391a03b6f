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

#include "core.bpf.h"
#include "names.bpf.h"

#define BEE_DEPTH_MAX 64 /* components; more: BEE_WALK_TRUNCATED */

/* A name that lies in its dentry is shorter than this (DNAME_INLINE_LEN of linux/dcache.h is 40 on
 * both, or 32 before 6.14 with some debugging options: the NUL after it is looked for). */
#define BEE_SHORT 32

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
static __always_inline __u32 bee_test_component(__u32 place, __u32 length, __u32 role)
{
	switch (role) {
	case BEE_WALK_LEAF:
		return (bee_test_leaf(place, length) & 0xf) | BEE_WALK_PARENT << BEE_NEXT_ROLE;
	case BEE_WALK_PARENT:
	case BEE_WALK_ANCESTOR:
		return (bee_test_directory(place, length, role == BEE_WALK_PARENT) & 0xf) |
		       BEE_WALK_ANCESTOR << BEE_NEXT_ROLE;
	default:
		return BEE_WALK_UNTESTED << BEE_NEXT_ROLE;
	}
}

/* How a step of a walk ended. */
#define BEE_STEP_ON   0u /* one component or one mount point further */
#define BEE_STEP_TOP  1u /* at the root */
#define BEE_STEP_STOP 2u /* something could not be read, or there is no more room */

/*
 * The name of a dentry, whose beginning was just read, to the tail: its size with the NUL, or not
 * more than 0. A short name lies in the dentry itself, so has been read with it: it is copied
 * whole, and the reading of a string saved.
 */
static __always_inline long bee_component(struct bee_scratch *buffer)
{
	__u64 dentry = buffer->walk.dentry;
	__u32 here = buffer->walk.at & BEE_TAIL_MASK;
	__u64 name = (__u64)bee_near(&buffer->near, dentry, struct dentry, d_name.name);
	__u32 length = bee_near(&buffer->near, dentry, struct dentry, d_name.len);
	__u64 inside = name - dentry;

	if (inside <= BEE_NEAR - BEE_SHORT) {
		const __u8 *from = buffer->near.bytes + inside;
		__u8 *to = buffer->tail + here;
		__u64 eight, nuls = 0;
		__u32 i;

		for (i = 0; i < BEE_SHORT; i += 8) {
			eight = *(const __u64 *)(from + i);
			*(__u64 *)(to + i) = eight;
			nuls = bee_has_byte(eight, 0);
			if (nuls)
				break;
		}
		/* The name ends where its length says, or is being changed. */
		if (nuls && i == (length & ~7u) && (nuls & -nuls) == 0x80ull << (length & 7) * 8)
			return length + 1;
	}
	return bpf_probe_read_kernel_str(&buffer->tail[here], 256, (void *)name);
}

/* The directory of a dentry, whose beginning was just read; 0: it is a root. */
static __always_inline __u64 bee_parent(struct bee_scratch *buffer)
{
	__u64 dentry = buffer->walk.dentry;
	__u64 parent = (__u64)bee_near(&buffer->near, dentry, struct dentry, d_parent);

	return parent == dentry ? 0 : parent;
}

/*
 * One step up: a component is written and tested, or a mount point crossed. The
 * walk's state lies in the scratch buffer, so that the verifier proves this once
 * and not for each turn of the loop.
 */
__noinline __u32 bee_walk_step(__u32 place, __u32 first)
{
	struct bee_scratch *buffer = bee_scratch(place);
	struct bee_walk_state *walk;
	struct mount *mount, *above;
	__u32 here, tested;
	long size;

	if (!buffer)
		return BEE_STEP_STOP;
	walk = &buffer->walk;
	if (walk->dentry == walk->mount_root) {
		mount = (struct mount *)walk->mount;
		above = BPF_CORE_READ(mount, mnt_parent);
		if (above == mount || !above)
			return BEE_STEP_TOP;
		walk->dentry = (__u64)BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mount = (__u64)above;
		walk->mount_root = (__u64)BPF_CORE_READ(above, mnt.mnt_root);
		return BEE_STEP_ON;
	}
	bee_near_read(&buffer->near, walk->dentry);
	if (!bee_parent(buffer)) {
		/* The root of a file system this mount does not reach: opened by handle, or
		 * unmounted under its user. A memfd is such a root, and has only a name. */
		walk->result |= BEE_WALK_UNRESOLVED;
		if (!first)
			return BEE_STEP_TOP;
	}
	size = bee_component(buffer);
	if (size <= 0 || size > 256) {
		walk->result |= BEE_WALK_UNRESOLVED;
		return BEE_STEP_STOP;
	}
	here = walk->at & BEE_TAIL_MASK;
	walk->at = here + size;
	walk->dentry = bee_parent(buffer);
	if (!walk->dentry)
		return BEE_STEP_TOP;
	tested = bee_test_component((place & ~0xffffu) | here, size - 1, walk->role);
	walk->mask |= tested & 0xf;
	walk->role = tested >> BEE_NEXT_ROLE;
	return BEE_STEP_ON;
}

/*
 * Walks up from `dentry` on mount `vfsmount`, writing to `place`. Mount points are followed by
 * struct mount, which holds vfsmount.
 */
__noinline __u32 bee_walk(__u32 place, __u64 dentry, __u64 vfsmount, __u32 role)
{
	struct bee_scratch *buffer = bee_scratch(place);
	__u32 step = BEE_STEP_ON, start = place & BEE_TAIL_MASK;
	struct bee_walk_state *walk;

	if (!buffer)
		return BEE_WALK_UNRESOLVED;
	walk = &buffer->walk;
	walk->dentry = dentry;
	walk->mount = vfsmount - bpf_core_field_offset(struct mount, mnt);
	walk->mount_root = (__u64)BPF_CORE_READ((struct vfsmount *)vfsmount, mnt_root);
	walk->at = start;
	walk->mask = 0;
	walk->role = role;
	walk->result = 0;
	for (int i = 0; i < BEE_DEPTH_MAX; i++) {
		/* A name read here is at most 256 bytes long: the buffers have room for one more.
		 */
		if (walk->at - start > BEE_PART_MAX)
			break;
		step = bee_walk_step(place, i == 0);
		if (step != BEE_STEP_ON)
			break;
	}
	if (step != BEE_STEP_TOP) {
		walk->result |= BEE_WALK_TRUNCATED;
		/* Rules above the cut are not tested: let user space look. */
		if (role <= BEE_WALK_ANCESTOR)
			walk->mask |= BEE_WATCH_ANY | BEE_WATCH_WRITE;
	}
	return walk->result | (walk->mask & 0xf) << 13 | ((walk->at - start) & 0x1fff);
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
