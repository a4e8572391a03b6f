/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kernel's own structures say of a socket, for the tiers that read them.
 */
#pragma once

#include "core.bpf.h"

static __always_inline void bee_net_fill(struct bee_header *header, __u16 kind, __u16 hook)
{
	/* Not bee_fill_current: on the stack, what it loads makes each way through the callers one
	 * more to prove, four times as many in all. */
	bee_fill_current_untyped(header, kind, hook);
	if (bee_compat_current())
		header->flags |= BEE_FLAG_COMPAT;
}

#define PF_IO_WORKER 0x10 /* linux/sched.h: workers and the threads that poll for SQEs */

static __always_inline bool bee_net_worker(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, flags) & PF_IO_WORKER;
}

#include "network.bpf.h"

#define S_IFMT	 0170000
#define S_IFSOCK 0140000

/* The kernel's socket behind a descriptor of the current process; NULL: it is no socket. */
static __always_inline struct sock *bee_descriptor_sock(__u32 descriptor)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct socket *socket;
	struct file **slots;
	struct file *file;

	if (descriptor >= BPF_CORE_READ(table, max_fds))
		return NULL;
	slots = BPF_CORE_READ(table, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), slots + descriptor) || !file)
		return NULL;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	/* Nothing of one that was opened by its name with O_PATH. */
	socket = BPF_CORE_READ(file, private_data);
	return socket ? BPF_CORE_READ(socket, sk) : NULL;
}

/* Its own address as the source, the peer's as the destination. */
static __noinline int bee_sock_facts(struct sock *sock, struct bee_socket_facts *facts)
{
	facts->family = BPF_CORE_READ(sock, __sk_common.skc_family);
	facts->type = BPF_CORE_READ(sock, sk_type);
	facts->protocol = BPF_CORE_READ(sock, sk_protocol);
	facts->known |= BEE_KNOWN_PROTOCOL;
	if (facts->family == AF_INET) {
		*(__u32 *)facts->source = BPF_CORE_READ(sock, __sk_common.skc_rcv_saddr);
		*(__u32 *)facts->destination = BPF_CORE_READ(sock, __sk_common.skc_daddr);
	} else if (facts->family == AF_INET6) {
		BPF_CORE_READ_INTO(&facts->source, sock, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&facts->destination, sock, __sk_common.skc_v6_daddr);
	} else {
		return 0;
	}
	facts->source_port = BPF_CORE_READ(sock, __sk_common.skc_num);
	facts->destination_port = bpf_ntohs(BPF_CORE_READ(sock, __sk_common.skc_dport));
	facts->known |= BEE_KNOWN_SOURCE | BEE_KNOWN_DESTINATION;
	return 0;
}
