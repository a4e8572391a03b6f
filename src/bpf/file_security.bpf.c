// SPDX-License-Identifier: GPL-2.0
/*
 * The file sensor, tiers `full` and `kprobe`: at the functions of the kernel that every
 * way of doing it goes through, io_uring and handles included, with the kernel's own
 * copies of names.
 *
 *   do_filp_open         an open ends: the file, or why not (fexit; kretprobe for refused ones);
 *                        called do_file_open since 7.0
 *   do_file_open_root    the same for open_by_handle_at (fexit)
 *   security_file_open   an open is about to succeed (kprobe). Its return probe would run
 *                        out of room while others block in an open; this does not
 *   security_path_*      an act on names begins: unlink, rmdir, rename, link, symlink, mknod,
 *                        chmod, chown, truncate. The record waits in `pending`
 *   vfs_*, notify_change, do_rmdir
 *                        that act ends: the record is completed and sent
 *   security_path_notify the scanner shows a file
 *
 * do_unlinkat, do_renameat2, … look names up, then call security_path_X with the dentries,
 * then vfs_X, which checks permissions and acts: both run once for each act of a caller. A
 * kprobe at security_path_X does not know whether a security module refuses; fexit does,
 * and a return probe.
 *
 * Programs of trampolines can be preempted, so that each has a scratch buffer (slot) of
 * its own; kprobes run to their end and share the first.
 */
#include "given.bpf.h"

/* Programs that build a record. */
enum bee_slot {
	SLOT_KPROBE,
	SLOT_OPEN,
	SLOT_OPEN_ROOT,
	SLOT_UNLINK,
	SLOT_RMDIR,
	SLOT_RENAME,
	SLOT_LINK,
	SLOT_SYMLINK,
	SLOT_MKNOD,
	SLOT_CHMOD,
	SLOT_CHOWN,
	SLOT_TRUNCATE,
	SLOT_FILE_TRUNCATE,
	SLOT_NOTIFY,
	SLOT_COUNT,
};

#include "file_opens.bpf.h"

/* --- acts on names: their beginning ----------------------------------------------- */

/* An open that makes or truncates a file calls the same functions; it is one event. */
static __always_inline bool bee_in_open(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, nameidata) != NULL;
}

/* Whether the act is to be looked at; says how far it is: begun, or refused. */
static __always_inline bool bee_begun(bee_what *what, __u16 hook, __u8 kind, __u8 slot, int result)
{
	if (!bee_active() || (result && !bee_refusal(result)) || bee_in_open())
		return false;
	*what = bee_pack(hook, kind, false, slot, result) | (result ? 0 : BEE_WHAT_BEGUN);
	return true;
}

/* An act on one or two names, told by bee_scratch.act. */
__noinline int bee_on_paths(bee_what what)
{
	__u32 place = BEE_WHAT_PLACE(what);
	struct bee_scratch *buffer = bee_scratch(place);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u32 first, second = 0, at, mask, text = 0;
	__u16 kind = BEE_WHAT_KIND(what);
	struct bee_path_act *act;
	struct bee_file *record;
	long size;

	if (!buffer)
		return 0;
	act = &buffer->act;
	first = bee_walk(place, act->dentry[0], act->mnt[0], BEE_WALK_LEAF);
	mask = BEE_WALK_MASK(first);
	at = BEE_WALK_LENGTH(first);
	if (act->text) {
		size = bpf_probe_read_kernel_str(&buffer->tail[at & BEE_TAIL_MASK], BEE_PART_MAX,
						 (void *)act->text);
		if (size > 0) {
			text = size & 0x1fff;
			mask |= bee_test_name(place + (at & BEE_TAIL_MASK), text - 1);
		}
	}
	if (act->dentry[1]) {
		second = bee_walk(place + (at & BEE_TAIL_MASK), act->dentry[1], act->mnt[1],
				  BEE_WALK_LEAF);
		mask |= BEE_WALK_MASK(second);
	}
	mask = bee_act_mask(kind, mask, act->value, act->value_2);
	if (!mask)
		return 0;
	if (tgid == settings.self_tgid || tgid == settings.scanner_tgid) {
		bee_count(kind, BEE_CAUSE_SELF);
		return 0;
	}
	record = bee_file_record(what, buffer, kind);
	record->mask = mask;
	record->header.flags |= bee_walk_flags(first) | bee_walk_flags(second);
	bee_file_values(record, kind, act->value, act->value_2);
	record->length[BEE_PART_WALK] = BEE_WALK_LENGTH(first);
	record->length[BEE_PART_NAME_2] = text;
	record->length[BEE_PART_WALK_2] = BEE_WALK_LENGTH(second);
	return bee_finish(what, at + text + BEE_WALK_LENGTH(second));
}

/* The act in the scratch buffer, empty; NULL is counted. */
static __always_inline struct bee_path_act *bee_act_begin(bee_what what, const struct path *dir,
							  struct dentry *dentry)
{
	struct bee_scratch *buffer = bee_scratch(BEE_WHAT_PLACE(what));
	struct bee_path_act *act;

	if (!buffer) {
		bee_count(BEE_WHAT_KIND(what), BEE_CAUSE_NO_SCRATCH);
		return NULL;
	}
	act = &buffer->act;
	__builtin_memset(act, 0, sizeof(*act));
	act->dentry[0] = (__u64)dentry;
	act->mnt[0] = (__u64)BPF_CORE_READ(dir, mnt);
	return act;
}

/* unlink and rmdir. */
static __always_inline int bee_delete(__u16 hook, __u8 slot, const struct path *dir,
				      struct dentry *dentry, int result)
{
	bee_what what;

	if (!bee_begun(&what, hook, BEE_KIND_DELETE, slot, result) ||
	    !bee_act_begin(what, dir, dentry))
		return 0;
	return bee_on_paths(what);
}

/* Rename and link: two names. */
static __always_inline int bee_two_names(__u16 hook, __u8 slot, __u8 kind, const struct path *dir,
					 struct dentry *dentry, const struct path *new_dir,
					 struct dentry *new_dentry, int result)
{
	struct bee_path_act *act;
	bee_what what;

	if (!bee_begun(&what, hook, kind, slot, result))
		return 0;
	act = bee_act_begin(what, dir, dentry);
	if (!act)
		return 0;
	act->dentry[1] = (__u64)new_dentry;
	act->mnt[1] = (__u64)BPF_CORE_READ(new_dir, mnt);
	return bee_on_paths(what);
}

static __always_inline int bee_symlink(__u16 hook, __u8 slot, const struct path *dir,
				       struct dentry *dentry, const char *target, int result)
{
	struct bee_path_act *act;
	bee_what what;

	if (!bee_begun(&what, hook, BEE_KIND_SYMLINK, slot, result))
		return 0;
	act = bee_act_begin(what, dir, dentry);
	if (!act)
		return 0;
	act->text = (__u64)target;
	return bee_on_paths(what);
}

/* `device` is as the caller gave it: do_mknodat decodes it later. */
static __always_inline int bee_mknod(__u16 hook, __u8 slot, const struct path *dir,
				     struct dentry *dentry, __u32 mode, __u32 device, int result)
{
	struct bee_path_act *act;
	bee_what what;

	if (!bee_begun(&what, hook, BEE_KIND_MKNOD, slot, result))
		return 0;
	act = bee_act_begin(what, dir, dentry);
	if (!act)
		return 0;
	act->value = mode & 0xffff;
	act->value_2 = bee_decode_device(device);
	return bee_on_paths(what);
}

/* A change of what an inode says of itself. */
static __always_inline int bee_change(__u16 hook, __u8 slot, __u8 kind, const struct path *path,
				      __u64 value, __u64 value_2, int result)
{
	bee_what what;

	if (!bee_begun(&what, hook, kind, slot, result))
		return 0;
	return bee_on_inode(what, bee_number(path), BEE_NO_OPEN, value, value_2);
}

/* The new length is in no argument: until the act ends its record holds the inode. */
static __always_inline int bee_truncate(__u16 hook, __u8 slot, const struct path *path, int result)
{
	__u64 inode = result ? BEE_LENGTH_UNKNOWN : (__u64)BPF_CORE_READ(path, dentry, d_inode);

	return bee_change(hook, slot, BEE_KIND_TRUNCATE, path, inode, 0, result);
}

/* src/scanner/lesson.rs marks what it shows; the mask is the note (linux/inotify.h). */
#define IN_ATTRIB      0x00000004
#define IN_DELETE_SELF 0x00000400
#define IN_MOVE_SELF   0x00000800

static __always_inline int bee_shown(__u16 hook, __u8 slot, const struct path *path, __u64 mask,
				     int result)
{
	__u32 note = 0;

	if (result || !bee_active() || bpf_get_current_pid_tgid() >> 32 != settings.scanner_tgid)
		return 0;
	if (mask & IN_ATTRIB)
		note |= BEE_WATCH_ANY;
	if (mask & IN_MOVE_SELF)
		note |= BEE_WATCH_WRITE;
	if (mask & IN_DELETE_SELF)
		note |= BEE_WATCH_MOUNT;
	return bee_taught(bee_pack(hook, BEE_KIND_IDENTITY, false, slot, 0),
			  (__u64)BPF_CORE_READ(path, dentry), (__u64)BPF_CORE_READ(path, mnt),
			  note);
}

/*
 * The hooks of one act: fexit knows that a security module refused it, an LSM program
 * and a kprobe only that it was asked; a return probe beside the kprobe tells. `proto` are the
 * function's arguments; `body` is called with the numbers of hook and slot, `arguments`, and the
 * result.
 */
#define BEE_ARGUMENTS(...) __VA_ARGS__
#define BEE_ACT(act, ACT, slot, body, proto, arguments)                                            \
	SEC("fexit/security_" #act)                                                                \
	int BPF_PROG(fexit__security_##act, BEE_ARGUMENTS proto, int result)                       \
	{                                                                                          \
		return body(BEE_HOOK_FEXIT_SECURITY_##ACT, slot, BEE_ARGUMENTS arguments, result); \
	}                                                                                          \
	SEC("lsm/" #act)                                                                           \
	int BPF_PROG(lsm__##act, BEE_ARGUMENTS proto, int result)                                  \
	{                                                                                          \
		body(BEE_HOOK_LSM_##ACT, slot, BEE_ARGUMENTS arguments, result);                   \
		return result;                                                                     \
	}                                                                                          \
	SEC("kprobe/security_" #act)                                                               \
	int BPF_KPROBE(kprobe__security_##act, BEE_ARGUMENTS proto)                                \
	{                                                                                          \
		return body(BEE_HOOK_KPROBE_SECURITY_##ACT, SLOT_KPROBE, BEE_ARGUMENTS arguments,  \
			    0);                                                                    \
	}

BEE_ACT(path_unlink, PATH_UNLINK, SLOT_UNLINK, bee_delete,
	(const struct path *dir, struct dentry *dentry), (dir, dentry))

BEE_ACT(path_rmdir, PATH_RMDIR, SLOT_RMDIR, bee_delete,
	(const struct path *dir, struct dentry *dentry), (dir, dentry))

BEE_ACT(path_rename, PATH_RENAME, SLOT_RENAME, bee_two_names,
	(const struct path *dir, struct dentry *dentry, const struct path *new_dir,
	 struct dentry *new_dentry, __u32 flags),
	(BEE_KIND_RENAME, dir, dentry, new_dir, new_dentry))

/* A hard link cannot leave its mount, so that of the new name is that of the old. */
BEE_ACT(path_link, PATH_LINK, SLOT_LINK, bee_two_names,
	(struct dentry * dentry, const struct path *new_dir, struct dentry *new_dentry),
	(BEE_KIND_LINK, new_dir, dentry, new_dir, new_dentry))

BEE_ACT(path_symlink, PATH_SYMLINK, SLOT_SYMLINK, bee_symlink,
	(const struct path *dir, struct dentry *dentry, const char *target), (dir, dentry, target))

BEE_ACT(path_mknod, PATH_MKNOD, SLOT_MKNOD, bee_mknod,
	(const struct path *dir, struct dentry *dentry, __u32 mode, __u32 device),
	(dir, dentry, mode, device))

BEE_ACT(path_chmod, PATH_CHMOD, SLOT_CHMOD, bee_change, (const struct path *path, __u32 mode),
	(BEE_KIND_CHMOD, path, mode, 0))

/* kuid_t and kgid_t are structs of one number. */
BEE_ACT(path_chown, PATH_CHOWN, SLOT_CHOWN, bee_change,
	(const struct path *path, __u32 uid, __u32 gid), (BEE_KIND_CHOWN, path, uid, gid))

BEE_ACT(path_truncate, PATH_TRUNCATE, SLOT_TRUNCATE, bee_truncate, (const struct path *path),
	(path))

/* Since 6.2, for open files. */
BEE_ACT(file_truncate, FILE_TRUNCATE, SLOT_FILE_TRUNCATE, bee_truncate, (struct file * file),
	(&file->f_path))

BEE_ACT(path_notify, PATH_NOTIFY, SLOT_NOTIFY, bee_shown,
	(const struct path *path, __u64 mask, __u32 type), (path, mask))

/* --- acts on names: their end ------------------------------------------------------ */

/* How many arguments these have differs between kernels, so fexit asks for the result. */
#define BEE_END(function)                                    \
	SEC("fexit/" #function)                              \
	int fexit__##function(void *ctx)                     \
	{                                                    \
		__u64 result = 0;                            \
                                                             \
		bpf_get_func_ret(ctx, &result);              \
		return bee_ended(result);                    \
	}                                                    \
	SEC("kretprobe/" #function)                          \
	int BPF_KRETPROBE(kretprobe__##function, int result) \
	{                                                    \
		return bee_ended(result);                    \
	}

/* A kprobe was asked, and a security module said no: there is no other end. Let
 * through, the end is that of vfs_*. */
#define BEE_REFUSAL(act)                                         \
	SEC("kretprobe/security_" #act)                          \
	int BPF_KRETPROBE(kretprobe__security_##act, int result) \
	{                                                        \
		return result ? bee_ended(result) : 0;           \
	}

BEE_REFUSAL(path_unlink)
BEE_REFUSAL(path_rmdir)
BEE_REFUSAL(path_rename)
BEE_REFUSAL(path_link)
BEE_REFUSAL(path_symlink)
BEE_REFUSAL(path_mknod)
BEE_REFUSAL(path_chmod)
BEE_REFUSAL(path_chown)
BEE_REFUSAL(path_truncate)
BEE_REFUSAL(file_truncate)

BEE_END(vfs_unlink)
BEE_END(vfs_rmdir)
BEE_END(do_rmdir) /* into which 5.10's compiler has put vfs_rmdir */
BEE_END(vfs_rename)
BEE_END(vfs_link)
BEE_END(vfs_symlink)
BEE_END(vfs_mknod)
BEE_END(vfs_create)    /* mknod(2) of a regular file */
BEE_END(notify_change) /* chmod, chown, truncate */

char LICENSE[] SEC("license") = "GPL";
