/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Acts on sockets, whichever hook brought them: what is asked for, datagrams folded into
 * flows, the record. And the programs of the root cgroup, which the kernel runs once for
 * each attempt to connect and each datagram with an address of its own, with its own copy
 * of that address, io_uring included:
 *
 *   cgroup/connect4, 6   inet_stream_connect, inet_dgram_connect, tcp_sendmsg_fastopen
 *   cgroup/sendmsg4, 6   udp_sendmsg, udpv6_sendmsg
 *
 * They do not know how it ends, so that they note the act in `net_acts` for the thread; the
 * end of the system call takes it from there. What is still noted when the thread does its
 * next act was made by io_uring, or is a message of sendmmsg with others after it: it is told
 * then. Threads of io_uring make no system call: theirs is told at once.
 *
 * No kernel structure is read here. In front of it stands core.bpf.h or nobtf.bpf.h, and
 *   bee_net_fill(header, kind, hook)   who acts
 *   bee_net_worker()                   it is a thread of io_uring
 */
#pragma once

#include <bpf/bpf_endian.h>
#include "bee.bpf.h"

#define AF_UNSPEC  0
#define AF_UNIX	   1
#define AF_INET	   2
#define AF_INET6   10
#define AF_NETLINK 16

#define EPERM	    1
#define EINTR	    4
#define EACCES	    13
#define EINPROGRESS 115
#define ERESTARTSYS 512 /* the call is made again, or fails with EINTR, after a signal */

#define BEE_NSEC_PER_MSEC 1000000ull

/* The address of IPv6 that stands for an IPv4 one: ::ffff:0:0/96. */
static __always_inline bool bee_mapped(const __u8 *address)
{
	const __u32 *words = (const __u32 *)address;

	return !words[0] && !words[1] && words[2] == bpf_htonl(0xffff);
}

static __always_inline bool bee_unspecified(const __u8 *address)
{
	const __u32 *words = (const __u32 *)address;

	return !words[0] && !words[1] && !words[2] && !words[3];
}

static __always_inline void bee_unmap(__u8 *address)
{
	__u32 *words = (__u32 *)address;

	words[0] = words[3];
	words[1] = words[2] = words[3] = 0;
}

/* An IPv6 socket that speaks IPv4 is told as what it is on the wire. */
static __always_inline void bee_normalise(struct bee_socket_facts *facts)
{
	bool source = bee_mapped(facts->source), destination = bee_mapped(facts->destination);

	if (facts->family != AF_INET6 || (!source && !destination))
		return;
	/* The other one is mapped too, or not known. */
	if ((!source && !bee_unspecified(facts->source)) ||
	    (!destination && !bee_unspecified(facts->destination)))
		return;
	facts->family = AF_INET;
	bee_unmap(facts->source);
	bee_unmap(facts->destination);
}

/* As who is asked: the peer is the source. */
static __always_inline void bee_turn(struct bee_socket_facts *facts)
{
	__u8 address[BEE_ADDRESS];
	__u16 port = facts->source_port;

	__builtin_memcpy(address, facts->source, sizeof(address));
	__builtin_memcpy(facts->source, facts->destination, sizeof(address));
	__builtin_memcpy(facts->destination, address, sizeof(address));
	facts->source_port = facts->destination_port;
	facts->destination_port = port;
}

static __always_inline bool bee_internet(const struct bee_socket_facts *facts)
{
	return facts->family == AF_INET || facts->family == AF_INET6;
}

/* This machine itself; 0.0.0.0 and :: lead there too. */
static __always_inline bool bee_loopback(const struct bee_socket_facts *facts, const __u8 *address)
{
	const __u32 *words = (const __u32 *)address;

	if (facts->family == AF_INET)
		return address[0] == 127 || !words[0];
	return !words[0] && !words[1] && !words[2] && (!words[3] || words[3] == bpf_htonl(1));
}

/* Whether the configuration asks for it. */
static __always_inline bool bee_net_wanted(__u16 kind, const struct bee_socket_facts *facts,
					   __u32 tgid)
{
	__u32 bit = BEE_NET_CONNECT << ((kind - BEE_KIND_CONNECT) & 7);

	if (tgid == settings.canary_tgid)
		return true;
	if (facts->family == AF_UNIX)
		bit = BEE_NET_UNIX;
	if (!(settings.network_kinds & bit))
		return false;
	if (settings.network_loopback || !bee_internet(facts))
		return true;
	if (kind == BEE_KIND_CONNECT || kind == BEE_KIND_SEND)
		return !bee_loopback(facts, facts->destination);
	return kind != BEE_KIND_ACCEPT || !bee_loopback(facts, facts->source);
}

const volatile struct bee_net_act bee_no_act = {};
const volatile struct bee_flow bee_no_flow = {};

/*
 * Room for an act of this thread, all zero but kind and hook; what was there before is
 * gone. NULL: there is none, which is counted as a loss.
 */
static __always_inline struct bee_net_act *bee_net_begin(__u16 kind, __u16 hook)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct bee_net_act *act = NULL;

	if (!bpf_map_update_elem(&net_acts, &key, (const void *)&bee_no_act, BPF_ANY))
		act = bpf_map_lookup_elem(&net_acts, &key);
	if (!act) {
		bee_count(kind, BEE_CAUSE_NO_SCRATCH);
		return NULL;
	}
	act->kind = kind;
	act->hook = hook;
	return act;
}

/* The act this thread has under way. */
static __always_inline struct bee_net_act *bee_net_noted(void)
{
	__u64 key = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&net_acts, &key);
}

/* It is nothing to tell. */
static __always_inline int bee_net_forget(__u16 kind)
{
	__u64 key = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&net_acts, &key);
	bee_count(kind, BEE_CAUSE_FILTERED);
	return 0;
}

static __always_inline void bee_flow_key(struct bee_flow_key *key,
					 const struct bee_socket_facts *facts)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->tgid = bpf_get_current_pid_tgid() >> 32;
	key->port = facts->destination_port;
	key->family = facts->family;
	key->protocol = facts->protocol;
	__builtin_memcpy(key->destination, facts->destination, sizeof(key->destination));
}

/*
 * Adds datagrams to their flow, if that was told within the window. `facts->count` is how
 * many. This is all that most datagrams cost.
 */
static __always_inline bool bee_net_fold(const struct bee_socket_facts *facts)
{
	__u32 index = BEE_KIND_SEND * BEE_CAUSE_COUNT + BEE_CAUSE_FOLDED;
	__u64 now = bpf_ktime_get_boot_ns(), *counter;
	struct bee_flow_key key;
	struct bee_flow *flow;

	if (!settings.network_window)
		return false;
	bee_flow_key(&key, facts);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow || now - flow->record.header.time >= settings.network_window * BEE_NSEC_PER_MSEC)
		return false;
	__sync_fetch_and_add(&flow->folded, facts->count);
	flow->last = now;
	counter = bpf_map_lookup_elem(&counters, &index);
	if (counter)
		__sync_fetch_and_add(counter, facts->count);
	return true;
}

/*
 * The first datagram of a flow, or of a new window: the count that waited goes with it. What
 * waits when nothing more comes is told by user space. Those that failed are no part of a flow.
 */
static __always_inline void bee_net_flow(struct bee_socket *record)
{
	struct bee_flow_key key;
	struct bee_flow *flow;
	__u64 folded;

	bee_flow_key(&key, &record->facts);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow) {
		bpf_map_update_elem(&flows, &key, (const void *)&bee_no_flow, BPF_NOEXIST);
		flow = bpf_map_lookup_elem(&flows, &key);
		if (!flow)
			return;
	}
	folded = flow->folded;
	/* Two threads of a process that meet here both tell, and both take it off: what is below
	 * zero then was told too often, and what comes next makes up for it. */
	if ((__s64)folded < 0)
		folded = 0;
	record->facts.count += folded;
	__builtin_memcpy(&flow->record, record, sizeof(*record));
	__sync_fetch_and_add(&flow->folded, -folded);
	flow->last = record->header.time;
}

struct bee_socket_named {
	struct bee_socket fixed;
	char path[BEE_UNIX_PATH];
};

static __always_inline void bee_net_submit(struct bee_net_act *act, __u64 flags, __s32 result)
{
	struct bee_socket_named *named;
	struct bee_socket record = {};
	__u16 kind = act->kind;
	long failed;

	bee_net_fill(&record.header, kind, act->hook);
	record.header.flags |= act->flags | flags;
	if (kind == BEE_KIND_CONNECT &&
	    (result == -EINPROGRESS || result == -EINTR || result <= -ERESTARTSYS))
		record.header.flags |= BEE_FLAG_IN_PROGRESS;
	else if (result < 0)
		record.header.result = result;
	record.facts = act->facts;
	if (act->facts.path_length) {
		named = bee_reserve(kind, struct bee_socket_named);
		if (!named)
			return;
		named->fixed = record;
		__builtin_memcpy(named->path, act->path, sizeof(named->path));
		bee_commit(&named->fixed.header, kind, sizeof(*named));
		return;
	}
	record.header.length = sizeof(record);
	if (kind == BEE_KIND_SEND && result >= 0 && settings.network_window)
		bee_net_flow(&record);
	failed = bpf_ringbuf_output(&bulk, &record, sizeof(record),
				    bee_wakeup(&bulk, record.header.time, 1));
	bee_count(kind, failed ? BEE_CAUSE_RING_FULL : BEE_CAUSE_SUBMITTED);
}

/*
 * The act this thread has under way has ended so: it is told, if it is asked for, and
 * forgotten. A global function (see names.bpf.h): proven once.
 */
__noinline int bee_net_tell(__u64 flags, __s32 result)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct bee_net_act *act = bpf_map_lookup_elem(&net_acts, &key);
	__u32 tgid = key >> 32;

	if (!act)
		return 0;
	if (tgid == settings.self_tgid || tgid == settings.scanner_tgid)
		bee_count(act->kind, BEE_CAUSE_SELF);
	else if (!bee_net_wanted(act->kind, &act->facts, tgid))
		bee_count(act->kind, BEE_CAUSE_FILTERED);
	else if (act->kind != BEE_KIND_SEND || result < 0 || !bee_net_fold(&act->facts))
		bee_net_submit(act, flags, result);
	bpf_map_delete_elem(&net_acts, &key);
	return 0;
}

static __always_inline long bee_read(void *to, __u32 length, __u64 from, bool kernel)
{
	if (kernel)
		return bpf_probe_read_kernel(to, length, (void *)from);
	return bpf_probe_read_user(to, length, (void *)from);
}

/*
 * Reads the address at `address` as the destination: the kernel's own copy, or that in the
 * caller's memory, which another thread may have changed since. Nonzero: there is none.
 */
static __always_inline int bee_net_address(struct bee_net_act *act, __u64 address, __u32 length,
					   bool kernel)
{
	struct bee_socket_facts *facts = &act->facts;
	struct {
		__u16 family;
		__u16 port;
		__u32 four; /* or flow */
		__u8 six[BEE_ADDRESS];
	} internet = {};

	if (length < sizeof(__u16) || length > 128 ||
	    bee_read(&internet.family, sizeof(__u16), address, kernel))
		return 1;
	facts->family = internet.family;
	if (!kernel)
		act->flags |= BEE_FLAG_ARGS_RACY;
	if (facts->family == AF_INET && length >= 16) {
		if (bee_read(&internet, 8, address, kernel))
			return 1;
		*(__u32 *)facts->destination = internet.four;
	} else if (facts->family == AF_INET6 && length >= 24) {
		if (bee_read(&internet, sizeof(internet), address, kernel))
			return 1;
		__builtin_memcpy(facts->destination, internet.six, sizeof(internet.six));
	} else if (facts->family == AF_UNIX) {
		length -= sizeof(__u16);
		if (length > 108)
			length = 108;
		/* Never 0: an address without a name leads nowhere. */
		if (!length || bee_read(act->path, length, address + 2, kernel))
			return 1;
		facts->path_length = length;
		facts->known |= BEE_KNOWN_DESTINATION;
		return 0;
	} else {
		return facts->family == AF_UNSPEC || facts->family == AF_INET ||
		       facts->family == AF_INET6;
	}
	facts->destination_port = bpf_ntohs(internet.port);
	facts->known |= BEE_KNOWN_DESTINATION;
	bee_normalise(facts);
	return 0;
}

/* struct bpf_sock_addr of linux/bpf.h, as far as it is read: its layout is ABI. */
struct bee_sock_addr {
	__u32 user_family;
	__u32 user_ip4;
	__u32 user_ip6[4];
	__u32 user_port;
	__u32 family;
	__u32 type;
	__u32 protocol;
};

/* An attempt to connect, or a datagram. Always 1: it may go on. */
static __always_inline int bee_net_sock_addr(struct bee_sock_addr *ctx, __u16 kind, __u16 hook,
					     __u64 bit, bool six)
{
	struct bee_socket_facts facts = {};
	__u32 *destination = (__u32 *)facts.destination;
	struct bee_net_act *act;

	if (!bee_active())
		return 1;
	if (!(state.network_hooks & bit))
		state.network_hooks |= bit;
	if (six) {
		destination[0] = ctx->user_ip6[0];
		destination[1] = ctx->user_ip6[1];
		destination[2] = ctx->user_ip6[2];
		destination[3] = ctx->user_ip6[3];
	} else {
		destination[0] = ctx->user_ip4;
	}
	facts.destination_port = bpf_ntohs((__u16)ctx->user_port);
	facts.family = six ? AF_INET6 : AF_INET;
	facts.type = ctx->type;
	facts.protocol = ctx->protocol;
	facts.known = BEE_KNOWN_DESTINATION | BEE_KNOWN_PROTOCOL;
	facts.count = kind == BEE_KIND_SEND;
	bee_normalise(&facts);
	if (kind == BEE_KIND_SEND && bee_net_fold(&facts))
		return 1;
	act = bee_net_noted();
	/* A message with others after it has been sent; how else it ended is not known. */
	if (act)
		bee_net_tell(act->kind == BEE_KIND_SEND ? 0 : BEE_FLAG_RESULT_UNKNOWN, 0);
	act = bee_net_begin(kind, hook);
	if (!act)
		return 1;
	act->facts = facts;
	if (bee_net_worker())
		bee_net_tell(BEE_FLAG_IO_URING | BEE_FLAG_RESULT_UNKNOWN, 0);
	return 1;
}

/* Bits of state.network_hooks. */
#define BEE_HOOKED_CONNECT4 1u
#define BEE_HOOKED_CONNECT6 2u
#define BEE_HOOKED_SENDMSG4 4u
#define BEE_HOOKED_SENDMSG6 8u

#define BEE_NET_CGROUP(hook, kind, id, bit, six)                              \
	SEC("cgroup/" #hook)                                                  \
	int cgroup__##hook(struct bee_sock_addr *ctx)                         \
	{                                                                     \
		return bee_net_sock_addr(ctx, BEE_KIND_##kind, id, bit, six); \
	}
