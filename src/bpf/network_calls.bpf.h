/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The system calls of sockets, taken apart when they have ended, for the tiers that see
 * nothing else. In front of it stands network.bpf.h; behind it what a tier knows:
 *   bee_net_by_descriptor(descriptor, facts)   a socket: its own address is the source
 *   bee_net_served(call, kind, facts)          who waits for connections, or got one
 *   bee_net_connected(call, facts)             a datagram no cgroup program has seen
 *   bee_net_on_bind(call)
 *   BEE_SERVED_FLAGS   how far what bee_net_served says can be trusted
 */
#pragma once

#include "numbers.bpf.h"
#include "registers.bpf.h"

enum bee_net_index {
	NET_NONE,
	NET_SOCKET,
	NET_BIND,
	NET_CONNECT,
	NET_LISTEN,
	NET_ACCEPT, /* accept4 too */
	NET_SEND,   /* has no address */
	NET_SENDTO,
	NET_SENDMSG,
	NET_SENDMMSG,
	NET_IO_URING,
	NET_SOCKETCALL,
};

#define BEE_ROW(number, call) [number] = NET_##call,
const __u8 bee_net_native[BEE_SYSCALLS] = {BEE_NETWORK_NATIVE(BEE_ROW)};
const __u8 bee_net_compat[BEE_SYSCALLS] = {BEE_NETWORK_COMPAT(BEE_ROW)};
#undef BEE_ROW

/* The calls behind socketcall(2), by its first argument (linux/net.h). */
const __u8 bee_net_socketcall[32] = {
	[1] = NET_SOCKET,  [2] = NET_BIND,	[3] = NET_CONNECT, [4] = NET_LISTEN,
	[5] = NET_ACCEPT,  [9] = NET_SEND,	[11] = NET_SENDTO, [16] = NET_SENDMSG,
	[18] = NET_ACCEPT, [20] = NET_SENDMMSG,
};

/* One call that has ended. */
struct bee_net_call {
	__u64 regs;
	__u64 array; /* socketcall: where the arguments lie; 0: in registers */
	__s32 result;
	__u16 hook;
	__u8 index;
	__u8 compat;
};

static __always_inline bool bee_net_by_descriptor(__u32 descriptor, struct bee_socket_facts *facts);
static __always_inline bool bee_net_served(const struct bee_net_call *call, __u32 kind,
					   struct bee_socket_facts *facts);
static __always_inline bool bee_net_connected(const struct bee_net_call *call,
					      struct bee_socket_facts *facts);
static __always_inline int bee_net_on_bind(const struct bee_net_call *call);

static __always_inline __u64 bee_net_arg(const struct bee_net_call *call, __u8 number)
{
	__u64 value = 0;
	__u32 word = 0;

	if (call->array) {
		bpf_probe_read_user(&word, sizeof(word), (void *)call->array + 4 * number);
		return word;
	}
	bpf_probe_read_kernel(&value, sizeof(value),
			      (void *)call->regs + bee_registers[call->compat & 1][number & 7]);
	return call->compat ? (__u32)value : value;
}

/* An address in the caller's memory. */
static __noinline int bee_net_given(struct bee_net_act *act, __u64 address, __u32 length)
{
	return bee_net_address(act, address, length, false);
}

static __always_inline __u64 bee_net_flags(const struct bee_net_call *call)
{
	return call->compat ? BEE_FLAG_COMPAT : 0;
}

static __always_inline bool bee_net_refused(__s32 result)
{
	return result == -EACCES || result == -EPERM;
}

/* What the socket says of itself beside where it was to lead. */
static __always_inline void bee_net_add_source(struct bee_net_act *act, __u32 descriptor)
{
	struct bee_socket_facts facts = {};

	if (!bee_net_by_descriptor(descriptor, &facts))
		return;
	if (!(act->facts.known & BEE_KNOWN_PROTOCOL)) {
		act->facts.type = facts.type;
		act->facts.protocol = facts.protocol;
		act->facts.known |= BEE_KNOWN_PROTOCOL;
	}
	bee_normalise(&facts);
	/* Another thread may have put another socket in its place. */
	if (!(facts.known & BEE_KNOWN_SOURCE) || facts.family != act->facts.family ||
	    facts.protocol != act->facts.protocol)
		return;
	__builtin_memcpy(act->facts.source, facts.source, sizeof(facts.source));
	act->facts.source_port = facts.source_port;
	act->facts.known |= BEE_KNOWN_SOURCE;
}

/* Whether the cgroup programs see what this kind of socket does. */
static __always_inline bool bee_net_hooked(const struct bee_socket_facts *facts, __u64 bits)
{
	if (!bee_internet(facts))
		return false;
	if (facts->known & BEE_KNOWN_PROTOCOL && facts->protocol != IPPROTO_TCP &&
	    facts->protocol != IPPROTO_UDP && facts->protocol != IPPROTO_UDPLITE)
		return false;
	return state.network_hooks & bits;
}

static __noinline int bee_net_on_connect(const struct bee_net_call *call)
{
	struct bee_net_act *act = bee_net_noted();
	__s32 result = call->result;

	if (act) {
		bee_net_add_source(act, bee_net_arg(call, 0));
		return bee_net_tell(bee_net_flags(call), result);
	}
	act = bee_net_begin(BEE_KIND_CONNECT, call->hook);
	if (!act)
		return 0;
	if (bee_net_given(act, bee_net_arg(call, 1), bee_net_arg(call, 2)))
		return bee_net_forget(BEE_KIND_CONNECT);
	bee_net_add_source(act, bee_net_arg(call, 0));
	/* Asked again after an attempt that is under way; or nothing was tried, unless that was
	 * forbidden before it came so far. */
	if (bee_net_hooked(&act->facts, BEE_HOOKED_CONNECT4 | BEE_HOOKED_CONNECT6) &&
	    !bee_net_refused(result))
		return bee_net_forget(BEE_KIND_CONNECT);
	return bee_net_tell(bee_net_flags(call), result);
}

static __noinline int bee_net_on_socket(const struct bee_net_call *call)
{
	struct bee_socket_facts facts = {};
	struct bee_net_act *act;

	facts.family = bee_net_arg(call, 0);
	facts.type = bee_net_arg(call, 1) & 0xf;
	facts.protocol = bee_net_arg(call, 2);
	facts.known = BEE_KNOWN_PROTOCOL;
	if (!bee_net_kind_wanted(&facts) || (call->result < 0 && !bee_net_refused(call->result))) {
		bee_count(BEE_KIND_SOCKET, BEE_CAUSE_FILTERED);
		return 0;
	}
	act = bee_net_begin(BEE_KIND_SOCKET, call->hook);
	if (!act)
		return 0;
	act->facts = facts;
	return bee_net_tell(bee_net_flags(call), call->result);
}

/* What accept and listen have in common: facts about this machine's side. */
static __noinline int bee_net_on_server(const struct bee_net_call *call, __u32 kind, __s32 result)
{
	struct bee_socket_facts facts = {};
	struct bee_net_act *act;

	if ((result < 0 && !bee_net_refused(result)) || !bee_net_served(call, kind, &facts) ||
	    !bee_internet(&facts)) {
		bee_count(kind, BEE_CAUSE_FILTERED);
		return 0;
	}
	bee_normalise(&facts);
	act = bee_net_begin(kind, call->hook);
	if (!act)
		return 0;
	act->facts = facts;
	act->flags = BEE_SERVED_FLAGS;
	return bee_net_tell(bee_net_flags(call), result);
}

/* send, sendto, sendmsg, sendmmsg. Most of them are of streams: nothing is counted for those. */
static __noinline int bee_net_on_send(const struct bee_net_call *call)
{
	struct bee_net_act *act = bee_net_noted();
	__s32 result = call->result < 0 ? call->result : 0;
	struct bee_socket_facts facts = {};

	if (act) {
		bee_net_add_source(act, bee_net_arg(call, 0));
		if (act->kind == BEE_KIND_CONNECT)
			act->flags |= BEE_FLAG_FAST_OPEN;
		return bee_net_tell(bee_net_flags(call), result);
	}
	if ((result < 0 && !bee_net_refused(result)) || !bee_net_connected(call, &facts))
		return 0;
	facts.count = call->index == NET_SENDMMSG && call->result > 0 ? call->result : 1;
	/* Before there is an act: this is how most of them end. */
	if (result >= 0 && bee_net_fold(&facts))
		return 0;
	act = bee_net_begin(BEE_KIND_SEND, call->hook);
	if (!act)
		return 0;
	act->facts = facts;
	return bee_net_tell(bee_net_flags(call), result);
}

static __always_inline int bee_net_ended(struct bee_net_call *call)
{
	if (call->index == NET_SOCKETCALL) {
		__u64 which = bee_net_arg(call, 0);

		call->array = bee_net_arg(call, 1);
		call->index = which < 32 ? bee_net_socketcall[which & 31] : NET_NONE;
	}
	switch (call->index) {
	case NET_CONNECT:
		return bee_net_on_connect(call);
	case NET_SOCKET:
		return bee_net_on_socket(call);
	case NET_LISTEN:
		return bee_net_on_server(call, BEE_KIND_LISTEN, call->result);
	case NET_ACCEPT:
		/* Of those that failed there is nobody to tell of. */
		return call->result < 0 ? 0 : bee_net_on_server(call, BEE_KIND_ACCEPT, 0);
	case NET_SEND:
	case NET_SENDTO:
	case NET_SENDMSG:
	case NET_SENDMMSG:
		return bee_net_on_send(call);
	case NET_IO_URING:
		/* Who entered io_uring has begun what is still noted. */
		return bee_net_tell(
			bee_net_flags(call) | BEE_FLAG_IO_URING | BEE_FLAG_RESULT_UNKNOWN, 0);
	case NET_BIND:
		return bee_net_on_bind(call);
	}
	return 0;
}

/* Whether a call of this number may be of interest; with the index it has. */
static __always_inline bool bee_net_number(__u64 number, __u8 *native, __u8 *compat)
{
	if (number >= BEE_SYSCALLS)
		return false;
	*native = bee_net_native[number];
	*compat = bee_net_compat[number];
	return *native | *compat;
}
