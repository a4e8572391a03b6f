/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which sockets are told when they are made: those by which a program gets round TCP and
 * UDP, the sockets everybody uses.
 */
#pragma once

#include "network.bpf.h"

#define IPPROTO_ICMPV6 58

static __always_inline bool bee_net_kind_wanted(const struct bee_socket_facts *facts)
{
	__u16 family = facts->family, protocol = facts->protocol;

	if (bpf_get_current_pid_tgid() >> 32 == settings.canary_tgid)
		return true;
	if (bee_internet(facts)) {
		if (facts->type != SOCK_STREAM && facts->type != SOCK_DGRAM &&
		    facts->type != SOCK_SEQPACKET)
			return settings.network_inet & BEE_NET_RAW;
		/* A datagram of ICMP can only be an echo. */
		return protocol != IPPROTO_IP && protocol != IPPROTO_TCP &&
		       protocol != IPPROTO_UDP && protocol != IPPROTO_UDPLITE &&
		       protocol != IPPROTO_MPTCP && protocol != IPPROTO_ICMP &&
		       protocol != IPPROTO_ICMPV6 && settings.network_inet & BEE_NET_PROTOCOL;
	}
	if (family < 32)
		return settings.network_families >> family & 1;
	return family < 64 && settings.network_families_2 >> (family - 32) & 1;
}
