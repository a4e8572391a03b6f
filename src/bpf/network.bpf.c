// SPDX-License-Identifier: GPL-2.0
/*
 * The network sensor, `tracepoint` tier.
 *
 *   sys_exit             connect, listen, accept, socket and every way of sending end here, in
 *                        native and in 32-bit calls (socketcall(2) included). The descriptor
 *                        leads to the socket, which has both addresses and the protocol
 *   cgroup/connect, sendmsg   see network.bpf.h: the destination from the kernel's own copy
 *
 * A call nobody asked about ends at two tables of bytes.
 */
#include "network_core.bpf.h"
#include "network_kinds.bpf.h"

#define BEE_SERVED_FLAGS 0
#include "network_calls.bpf.h"

static __always_inline bool bee_net_by_descriptor(__u32 descriptor, struct bee_socket_facts *facts)
{
	struct sock *sock = bee_descriptor_sock(descriptor);

	if (!sock)
		return false;
	bee_sock_facts(sock, facts);
	return true;
}

static __always_inline bool bee_net_served(const struct bee_net_call *call, __u32 kind,
					   struct bee_socket_facts *facts)
{
	__u32 descriptor = kind == BEE_KIND_ACCEPT ? call->result : bee_net_arg(call, 0);

	if (!bee_net_by_descriptor(descriptor, facts))
		return false;
	bee_turn(facts);
	/* Nobody has asked a listener yet. */
	if (kind == BEE_KIND_LISTEN)
		facts->known &= ~BEE_KNOWN_SOURCE;
	return true;
}

/* Whether the call names a destination of its own: the cgroup programs have seen it. */
static __always_inline bool bee_net_addressed(const struct bee_net_call *call)
{
	__u64 name = 0;

	if (call->index == NET_SEND || call->index == NET_SENDTO)
		return call->index == NET_SENDTO && bee_net_arg(call, 4);
	/* msg_name is the first word of struct msghdr. */
	bpf_probe_read_user(&name, call->compat ? 4 : 8, (void *)bee_net_arg(call, 1));
	return name;
}

/* A datagram through a socket that is connected: no cgroup program sees those. */
static __always_inline bool bee_net_connected(const struct bee_net_call *call,
					      struct bee_socket_facts *facts)
{
	struct sock *sock = bee_descriptor_sock(bee_net_arg(call, 0));
	bool mapped;

	if (!sock || BPF_CORE_READ(sock, sk_type) != SOCK_DGRAM)
		return false;
	bee_sock_facts(sock, facts);
	if (!bee_internet(facts) || !facts->destination_port ||
	    (facts->protocol != IPPROTO_UDP && facts->protocol != IPPROTO_UDPLITE))
		return false;
	/* A mapped address is made one of the message's own on the way: udpv6_sendmsg. */
	mapped = facts->family == AF_INET6 && bee_mapped(facts->destination);
	bee_normalise(facts);
	/* Without cgroup programs it is told as sent to where the socket is connected to. */
	return (!mapped && !bee_net_addressed(call)) ||
	       !bee_net_hooked(facts, BEE_HOOKED_SENDMSG4 | BEE_HOOKED_SENDMSG6);
}

static __always_inline int bee_net_on_bind(const struct bee_net_call *call)
{
	return 0;
}

static __always_inline int bee_net_sys_exit(void *address, __u64 number, long ended, __u16 hook)
{
	struct bee_net_call call = {.result = ended, .hook = hook};
	__u8 native, compat;

#if defined(__TARGET_ARCH_x86)
	number &= ~0x40000000ull; /* x32 */
#endif
	if (!bee_net_number(number, &native, &compat))
		return 0;
	call.compat = bee_compat_current();
	call.index = call.compat ? compat : native;
	if (!call.index || !bee_active())
		return 0;
	bpf_probe_read_kernel(&call.regs, sizeof(call.regs), address);
	return bee_net_ended(&call);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(tp_btf__sys_exit, struct pt_regs *regs, long result)
{
	return bee_net_sys_exit(ctx, bee_syscall_number(regs), result,
				BEE_HOOK_NET_TP_BTF_SYS_EXIT);
}

SEC("raw_tp/sys_exit")
int BPF_PROG(raw_tp__sys_exit, struct pt_regs *regs, long result)
{
	return bee_net_sys_exit(ctx, bee_syscall_number_core(regs), result,
				BEE_HOOK_NET_RAW_TP_SYS_EXIT);
}

BEE_NET_CGROUP(connect4, CONNECT, BEE_HOOK_CGROUP_CONNECT4, BEE_HOOKED_CONNECT4, false)
BEE_NET_CGROUP(connect6, CONNECT, BEE_HOOK_CGROUP_CONNECT6, BEE_HOOKED_CONNECT6, true)
BEE_NET_CGROUP(sendmsg4, SEND, BEE_HOOK_CGROUP_SENDMSG4, BEE_HOOKED_SENDMSG4, false)
BEE_NET_CGROUP(sendmsg6, SEND, BEE_HOOK_CGROUP_SENDMSG6, BEE_HOOKED_SENDMSG6, true)

char LICENSE[] SEC("license") = "GPL";
