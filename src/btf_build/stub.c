// SPDX-License-Identifier: GPL-2.0
/*
 * What `bee-trace btf build` compiles against a kernel's headers: nothing but the
 * types our programs read, so that the compiler describes how they lie in that
 * kernel. Every type that src/bpf asks for must be kept here; a test holds that.
 */
#include <linux/version.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/binfmts.h>
#include <linux/cgroup-defs.h>
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/kernfs.h>
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/net.h>
#include <linux/ns_common.h>
#include <linux/nsproxy.h>
#include <linux/path.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/proc_fs.h>
#include <linux/ptrace.h>
#include <linux/socket.h>
#include <linux/un.h>
#include <linux/xarray.h>
#include <net/inet_sock.h>
#include <net/sock.h>

/*
 * A tree that a kernel was built in has the private headers of fs/. Packages of headers
 * do not: there the members up to the last we read are declared as they are in 5.10 to
 * 7.3. `make test-btf` compares them with what Debian's kernels say of themselves, and
 * the daemon's self-test with what the running one does.
 */
#if __has_include(<fs/mount.h>)
#include <fs/mount.h>
#else
struct mount {
	struct hlist_node mnt_hash;
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct mnt_namespace {
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
	atomic_t count;
#endif
	struct ns_common ns;
};
#endif

#if __has_include(<fs/internal.h>)
#include <fs/internal.h>
#else
struct open_flags {
	int open_flag;
	umode_t mode;
	int acc_mode;
	int intent;
	int lookup_flags;
};
#endif

/* A pointer is enough to have a type described, with all that it holds. */
#define KEEP(type) struct type *bee_keep_##type

KEEP(cgroup);
KEEP(cgroup_root);
KEEP(cred);
KEEP(css_set);
KEEP(dentry);
KEEP(fdtable);
KEEP(file);
KEEP(filename);
KEEP(files_struct);
KEEP(fs_struct);
KEEP(inet_sock);
KEEP(inode);
KEEP(kernfs_node);
KEEP(linux_binprm);
KEEP(mm_struct);
KEEP(mnt_namespace);
KEEP(module);
KEEP(mount);
KEEP(msghdr);
KEEP(nsproxy);
KEEP(open_flags);
KEEP(path);
KEEP(pid);
KEEP(pid_namespace);
KEEP(proc_fs_info);
KEEP(pt_regs);
KEEP(qstr);
KEEP(signal_struct);
KEEP(sock);
KEEP(sockaddr_in);
KEEP(sockaddr_in6);
KEEP(sockaddr_un);
KEEP(socket);
KEEP(super_block);
KEEP(task_struct);
KEEP(thread_info);
KEEP(upid);
KEEP(vfsmount);
KEEP(xa_node);
