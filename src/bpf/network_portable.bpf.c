// SPDX-License-Identifier: GPL-2.0
/*
 * The network sensor, `portable` tier: no kernel structure is read.
 *
 *   sys_exit                  connect, accept, bind, listen, socket, and the ways of sending,
 *                             by their arguments, in native and in 32-bit calls
 *   cgroup/connect, sendmsg   see network.bpf.h: destination and protocol, by the kernel
 *
 * A descriptor says nothing here: where a socket is bound to is remembered from bind(2), and
 * datagrams on a connected socket are not seen.
 */
#include "nobtf.bpf.h"

static __always_inline void bee_net_fill(struct bee_header *header, __u16 kind, __u16 hook)
{
	bee_fill(header, kind, hook);
}

/* The kernel names its threads so; who takes such a name is told as one of them. */
static __always_inline bool bee_net_worker(void)
{
	char comm[16] = {};

	bpf_get_current_comm(comm, sizeof(comm));
	return comm[0] == 'i' && comm[1] == 'o' && comm[2] == 'u' && comm[3] == '-' &&
	       ((comm[4] == 'w' && comm[5] == 'r' && comm[6] == 'k') ||
		(comm[4] == 's' && comm[5] == 'q' && comm[6] == 'p'));
}

#include "network.bpf.h"
#include "network_kinds.bpf.h"

#define BEE_SERVED_FLAGS BEE_FLAG_ARGS_RACY
#include "network_calls.bpf.h"

static __always_inline bool bee_net_by_descriptor(__u32 descriptor, struct bee_socket_facts *facts)
{
	return false;
}

static __always_inline __u64 bee_bound_key(__u32 descriptor)
{
	return (bpf_get_current_pid_tgid() & ~0xffffffffull) | descriptor;
}

/* An address from the caller's memory, without the record of an act. */
static __noinline int bee_net_read(struct bee_socket_facts *facts, __u64 address, __u32 length)
{
	struct bee_net_act *act = bee_net_begin(BEE_KIND_NONE, 0);
	__u64 key = bpf_get_current_pid_tgid();
	int failed;

	if (!act)
		return 1;
	failed = bee_net_given(act, address, length);
	*facts = act->facts;
	bpf_map_delete_elem(&net_acts, &key);
	return failed;
}

static __always_inline int bee_net_on_bind(const struct bee_net_call *call)
{
	__u64 key = bee_bound_key(bee_net_arg(call, 0));
	struct bee_socket_facts facts = {};

	if (call->result < 0)
		return 0;
	if (bee_net_read(&facts, bee_net_arg(call, 1), bee_net_arg(call, 2)))
		bpf_map_delete_elem(&net_bound, &key);
	else
		bpf_map_update_elem(&net_bound, &key, &facts, BPF_ANY);
	return 0;
}

static __always_inline bool bee_net_served(const struct bee_net_call *call, __u32 kind,
					   struct bee_socket_facts *facts)
{
	__u64 key = bee_bound_key(bee_net_arg(call, 0));
	struct bee_socket_facts *bound = bpf_map_lookup_elem(&net_bound, &key);
	__u64 address = bee_net_arg(call, 1);

	if (kind == BEE_KIND_LISTEN) {
		if (bound)
			*facts = *bound;
		return bound;
	}
	/* Who accepts and does not ask who it is, is not told of. */
	if (!address || bee_net_read(facts, address, 28))
		return false;
	bee_turn(facts);
	facts->known = BEE_KNOWN_SOURCE;
	if (bound && bound->family == facts->family) {
		__builtin_memcpy(facts->destination, bound->destination,
				 sizeof(bound->destination));
		facts->destination_port = bound->destination_port;
		facts->known |= BEE_KNOWN_DESTINATION;
	}
	return true;
}

static __always_inline bool bee_net_connected(const struct bee_net_call *call,
					      struct bee_socket_facts *facts)
{
	return false;
}

SEC("raw_tp/sys_exit")
int BPF_PROG(raw_tp__sys_exit, __u64 regs, long ended)
{
	struct bee_net_call call = {
		.regs = regs, .result = ended, .hook = BEE_HOOK_PORTABLE_NET_SYS_EXIT};
	__u8 native, compat;
	struct bee_saved saved;

	if (bee_saved_read(&saved, regs))
		return 0;
	if (!bee_net_number(bee_saved_number(&saved), &native, &compat))
		return 0;
	call.compat = bee_saved_compat(&saved);
	call.index = call.compat ? compat : native;
	if (!call.index || !bee_active())
		return 0;
	return bee_net_ended(&call);
}

BEE_NET_CGROUP(connect4, CONNECT, BEE_HOOK_PORTABLE_CONNECT4, BEE_HOOKED_CONNECT4, false)
BEE_NET_CGROUP(connect6, CONNECT, BEE_HOOK_PORTABLE_CONNECT6, BEE_HOOKED_CONNECT6, true)
BEE_NET_CGROUP(sendmsg4, SEND, BEE_HOOK_PORTABLE_SENDMSG4, BEE_HOOKED_SENDMSG4, false)
BEE_NET_CGROUP(sendmsg6, SEND, BEE_HOOK_PORTABLE_SENDMSG6, BEE_HOOKED_SENDMSG6, true)

char LICENSE[] SEC("license") = "GPL";
