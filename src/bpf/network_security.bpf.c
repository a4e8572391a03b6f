// SPDX-License-Identifier: GPL-2.0
/*
 * The network sensor, tiers `full` and `kprobe`: at the functions of the kernel that every
 * way of doing it goes through, io_uring and 32-bit calls included, with the kernel's own
 * copies of addresses.
 *
 *   security_socket_connect   a connection is asked for; the act waits in `net_acts`
 *   inet_stream_connect, inet_dgram_connect, unix_stream_connect, unix_dgram_connect
 *                             how that ended. Other protocols have functions of their own:
 *                             theirs is told when it begins
 *   security_socket_sendmsg   TCP Fast Open: a connection asked for by a first message
 *   udp_sendmsg, udpv6_sendmsg   a datagram, and whether it could be sent. sendmmsg asks the
 *                             security functions once for many; these run for each
 *   inet_listen               a listener
 *   security_sock_graft       a connection is accepted. A return probe of accept would take up
 *                             room for as long as it waits; this does not
 *   __sock_create             a socket is made
 */
#include "network_core.bpf.h"
#include "network_kinds.bpf.h"

#define SS_UNCONNECTED 1
#define MSG_FASTOPEN   0x20000000

/* The source of a connection or datagram, beside where it leads. */
static __always_inline void bee_net_source(struct bee_net_act *act,
					   const struct bee_socket_facts *own)
{
	act->facts.type = own->type;
	act->facts.protocol = own->protocol;
	act->facts.known |= own->known & BEE_KNOWN_PROTOCOL;
	if (!bee_internet(own) || own->family != act->facts.family)
		return;
	__builtin_memcpy(act->facts.source, own->source, sizeof(own->source));
	act->facts.source_port = own->source_port;
	act->facts.known |= BEE_KNOWN_SOURCE;
}

static __always_inline __u64 bee_net_by_worker(void)
{
	return bee_net_worker() ? BEE_FLAG_IO_URING : 0;
}

/* One whose end was not seen goes first. */
static __always_inline struct bee_net_act *bee_net_next(__u16 kind, __u16 hook)
{
	if (bee_net_noted())
		bee_net_tell(BEE_FLAG_RESULT_UNKNOWN, 0);
	return bee_net_begin(kind, hook);
}

/* Whether one of the functions above says how it ended. */
static __always_inline bool bee_net_ends(const struct bee_socket_facts *facts)
{
	if (facts->family == AF_UNIX)
		return true;
	if (!bee_internet(facts))
		return false;
	return facts->protocol == IPPROTO_TCP || facts->protocol == IPPROTO_UDP ||
	       facts->protocol == IPPROTO_UDPLITE || facts->type == SOCK_RAW ||
	       facts->type == SOCK_DGRAM;
}

/* A connection is asked for. `denied`: by a security module, which ends it. */
static __always_inline int bee_net_connecting(struct socket *socket, __u64 address, __u32 length,
					      __u16 hook, __s32 denied)
{
	struct sock *sock = BPF_CORE_READ(socket, sk);
	struct bee_net_act *act;

	if (!bee_active() || !sock)
		return 0;
	/* Asked again after an attempt that is under way, or done. */
	if (BPF_CORE_READ(sock, sk_type) != SOCK_DGRAM &&
	    BPF_CORE_READ(socket, state) > SS_UNCONNECTED) {
		bee_count(BEE_KIND_CONNECT, BEE_CAUSE_FILTERED);
		return 0;
	}
	act = bee_net_next(BEE_KIND_CONNECT, hook);
	if (!act)
		return 0;
	act->facts.type = BPF_CORE_READ(sock, sk_type);
	act->facts.protocol = BPF_CORE_READ(sock, sk_protocol);
	act->facts.known = BEE_KNOWN_PROTOCOL;
	if (bee_net_address(act, address, length, true))
		return bee_net_forget(BEE_KIND_CONNECT);
	act->socket = (__u64)sock;
	act->flags |= bee_net_by_worker();
	if (denied)
		return bee_net_tell(0, denied);
	if (!bee_net_ends(&act->facts))
		return bee_net_tell(BEE_FLAG_RESULT_UNKNOWN, 0);
	return 0;
}

/* It has ended. */
static __always_inline int bee_net_end(__u16 kind, __s32 result)
{
	struct bee_net_act *act = bee_net_noted();
	struct bee_socket_facts own = {};

	if (!act || act->kind != kind)
		return 0;
	if (act->socket && kind == BEE_KIND_CONNECT) {
		bee_sock_facts((struct sock *)act->socket, &own);
		bee_normalise(&own);
		bee_net_source(act, &own);
	}
	return bee_net_tell(0, result);
}

/* What a socket is, into an act: it is as others see it after bee_turn. */
static __always_inline int bee_net_server(struct sock *sock, __u16 kind, __u16 hook)
{
	struct bee_socket_facts facts = {};
	struct bee_net_act *act;

	if (!bee_active() || !sock)
		return 0;
	bee_sock_facts(sock, &facts);
	if (!bee_internet(&facts)) {
		bee_count(kind, BEE_CAUSE_FILTERED);
		return 0;
	}
	bee_turn(&facts);
	if (kind == BEE_KIND_LISTEN)
		facts.known &= ~BEE_KNOWN_SOURCE;
	bee_normalise(&facts);
	act = bee_net_next(kind, hook);
	if (!act)
		return 0;
	act->facts = facts;
	act->flags = bee_net_by_worker();
	return 1;
}

/* The first message of a connection that is not made yet. */
static __always_inline int bee_net_fast_open(struct socket *socket, struct msghdr *message,
					     __u16 hook, __s32 denied)
{
	struct bee_net_act *act;
	struct sock *sock;
	__u64 name;

	/* This is asked for each message of each connection. */
	if (!(BPF_CORE_READ(message, msg_flags) & MSG_FASTOPEN))
		return 0;
	sock = BPF_CORE_READ(socket, sk);
	name = (__u64)BPF_CORE_READ(message, msg_name);
	if (!bee_active() || !name || BPF_CORE_READ(sock, sk_type) != SOCK_STREAM ||
	    BPF_CORE_READ(socket, state) > SS_UNCONNECTED)
		return 0;
	act = bee_net_next(BEE_KIND_CONNECT, hook);
	if (!act)
		return 0;
	act->facts.type = SOCK_STREAM;
	act->facts.protocol = BPF_CORE_READ(sock, sk_protocol);
	act->facts.known = BEE_KNOWN_PROTOCOL;
	if (bee_net_address(act, name, BPF_CORE_READ(message, msg_namelen), true))
		return bee_net_forget(BEE_KIND_CONNECT);
	act->flags |= BEE_FLAG_FAST_OPEN | bee_net_by_worker();
	return bee_net_tell(denied ? 0 : BEE_FLAG_RESULT_UNKNOWN, denied);
}

/* A datagram that could not be sent is told where that was forbidden. */
static __always_inline bool bee_net_forbidden(long result)
{
	return result == -EACCES || result == -EPERM;
}

/*
 * A datagram of udp_sendmsg, or of udpv6_sendmsg, which leaves those that go to an IPv4
 * address to the other: it then puts a struct sockaddr_in into the message. `ended`: with
 * `result`; else it has just begun, and waits in `net_acts` for its end.
 */
static __always_inline int bee_net_datagram(struct sock *sock, struct msghdr *message, __u16 hook,
					    bool six, bool ended, long result)
{
	struct bee_socket_facts facts = {};
	struct bee_net_act *act;
	__u32 length;
	__u64 name;

	if (!bee_active())
		return 0;
	name = (__u64)BPF_CORE_READ(message, msg_name);
	length = BPF_CORE_READ(message, msg_namelen);
	if (six && name && length < 24)
		return 0;
	bee_sock_facts(sock, &facts);
	facts.count = 1;
	if (!six) {
		/* What an IPv6 socket has in common with an IPv4 one. */
		facts.family = AF_INET;
		if (!name) {
			if (bee_mapped(facts.destination))
				bee_unmap(facts.destination);
		} else {
			__u16 port = 0;

			__builtin_memset(facts.destination, 0, sizeof(facts.destination));
			bpf_probe_read_kernel(&port, sizeof(port), (void *)name + 2);
			bpf_probe_read_kernel(facts.destination, 4, (void *)name + 4);
			facts.destination_port = bpf_ntohs(port);
		}
		if (bee_mapped(facts.source))
			bee_unmap(facts.source);
	} else {
		__u16 family = AF_INET6, port = 0;

		if (name)
			bpf_probe_read_kernel(&family, sizeof(family), (void *)name);
		if (name && family == AF_INET6) {
			bpf_probe_read_kernel(&port, sizeof(port), (void *)name + 2);
			bpf_probe_read_kernel(facts.destination, sizeof(facts.destination),
					      (void *)name + 8);
			facts.destination_port = bpf_ntohs(port);
		}
		/* Told by udp_sendmsg. */
		if (bee_mapped(facts.destination))
			return 0;
	}
	if (ended && result < 0 && !bee_net_forbidden(result))
		return 0;
	if (ended && result >= 0 && bee_net_fold(&facts))
		return 0;
	act = bee_net_next(BEE_KIND_SEND, hook);
	if (!act)
		return 0;
	act->facts = facts;
	act->flags = bee_net_by_worker();
	return ended ? bee_net_tell(0, result < 0 ? result : 0) : 0;
}

/* The datagram this thread has begun to send is on its way, or not. */
static __always_inline int bee_net_sent(__s32 result)
{
	struct bee_net_act *act = bee_net_noted();

	/* One to an IPv4 address was told before the IPv6 function ends. */
	if (!act || act->kind != BEE_KIND_SEND)
		return 0;
	if (result < 0 && !bee_net_forbidden(result))
		return bee_net_forget(BEE_KIND_SEND);
	return bee_net_tell(0, result < 0 ? result : 0);
}

/* A socket is to be made. */
static __always_inline bool bee_net_making(__u32 family, __u32 type, __u32 protocol, __u32 kern,
					   __u16 hook)
{
	struct bee_socket_facts facts = {};
	struct bee_net_act *act;

	/* The kernel's own are nobody's act. */
	if (kern || !bee_active())
		return false;
	facts.family = family;
	facts.type = type & 0xf;
	facts.protocol = protocol;
	facts.known = BEE_KNOWN_PROTOCOL;
	if (!bee_net_kind_wanted(&facts)) {
		bee_count(BEE_KIND_SOCKET, BEE_CAUSE_FILTERED);
		return false;
	}
	act = bee_net_next(BEE_KIND_SOCKET, hook);
	if (!act)
		return false;
	act->facts = facts;
	act->flags = bee_net_by_worker();
	return true;
}

/* Of sockets that could not be made only what was forbidden is told. */
static __always_inline int bee_net_made(__s32 result)
{
	struct bee_net_act *act = bee_net_noted();

	if (!act || act->kind != BEE_KIND_SOCKET)
		return 0;
	if (result < 0 && result != -EACCES && result != -EPERM)
		return bee_net_forget(BEE_KIND_SOCKET);
	return bee_net_tell(0, result);
}

/* --- full ---------------------------------------------------------------------- */

SEC("fexit/security_socket_connect")
int BPF_PROG(fexit__security_socket_connect, struct socket *socket, struct sockaddr *address,
	     int length, int denied)
{
	return bee_net_connecting(socket, (__u64)address, length,
				  BEE_HOOK_FEXIT_SECURITY_SOCKET_CONNECT, denied);
}

SEC("lsm/socket_connect")
int BPF_PROG(lsm__socket_connect, struct socket *socket, struct sockaddr *address, int length,
	     int denied)
{
	bee_net_connecting(socket, (__u64)address, length, BEE_HOOK_LSM_SOCKET_CONNECT, denied);
	return denied;
}

SEC("fexit/inet_stream_connect")
int BPF_PROG(fexit__inet_stream_connect, struct socket *socket, struct sockaddr *address,
	     int length, int flags, int result)
{
	return bee_net_end(BEE_KIND_CONNECT, result);
}

SEC("fexit/inet_dgram_connect")
int BPF_PROG(fexit__inet_dgram_connect, struct socket *socket, struct sockaddr *address, int length,
	     int flags, int result)
{
	return bee_net_end(BEE_KIND_CONNECT, result);
}

SEC("fexit/unix_stream_connect")
int BPF_PROG(fexit__unix_stream_connect, struct socket *socket, struct sockaddr *address,
	     int length, int flags, int result)
{
	return bee_net_end(BEE_KIND_CONNECT, result);
}

SEC("fexit/unix_dgram_connect")
int BPF_PROG(fexit__unix_dgram_connect, struct socket *socket, struct sockaddr *address, int length,
	     int flags, int result)
{
	return bee_net_end(BEE_KIND_CONNECT, result);
}

SEC("fexit/security_socket_sendmsg")
int BPF_PROG(fexit__security_socket_sendmsg, struct socket *socket, struct msghdr *message,
	     int size, int denied)
{
	return bee_net_fast_open(socket, message, BEE_HOOK_FEXIT_SECURITY_SOCKET_SENDMSG, denied);
}

SEC("fexit/udp_sendmsg")
int BPF_PROG(fexit__udp_sendmsg, struct sock *sock, struct msghdr *message, size_t length,
	     int result)
{
	return bee_net_datagram(sock, message, BEE_HOOK_FEXIT_UDP_SENDMSG, false, true, result);
}

SEC("fexit/udpv6_sendmsg")
int BPF_PROG(fexit__udpv6_sendmsg, struct sock *sock, struct msghdr *message, size_t length,
	     int result)
{
	return bee_net_datagram(sock, message, BEE_HOOK_FEXIT_UDPV6_SENDMSG, true, true, result);
}

SEC("fexit/inet_listen")
int BPF_PROG(fexit__inet_listen, struct socket *socket, int backlog, int result)
{
	if (result < 0 && result != -EACCES && result != -EPERM)
		return 0;
	if (bee_net_server(BPF_CORE_READ(socket, sk), BEE_KIND_LISTEN, BEE_HOOK_FEXIT_INET_LISTEN))
		bee_net_tell(0, result);
	return 0;
}

SEC("fentry/security_sock_graft")
int BPF_PROG(fentry__security_sock_graft, struct sock *sock, struct socket *parent)
{
	if (bee_net_server(sock, BEE_KIND_ACCEPT, BEE_HOOK_FENTRY_SECURITY_SOCK_GRAFT))
		bee_net_tell(0, 0);
	return 0;
}

SEC("fexit/__sock_create")
int BPF_PROG(fexit____sock_create, struct net *net, int family, int type, int protocol,
	     struct socket **made, int kern, int result)
{
	if (bee_net_making(family, type, protocol, kern, BEE_HOOK_FEXIT_SOCK_CREATE))
		bee_net_made(result);
	return 0;
}

/* --- kprobe -------------------------------------------------------------------- */

SEC("kprobe/security_socket_connect")
int BPF_KPROBE(kprobe__security_socket_connect, struct socket *socket, struct sockaddr *address,
	       int length)
{
	return bee_net_connecting(socket, (__u64)address, length,
				  BEE_HOOK_KPROBE_SECURITY_SOCKET_CONNECT, 0);
}

SEC("kretprobe/security_socket_connect")
int BPF_KRETPROBE(kretprobe__security_socket_connect, int denied)
{
	return denied ? bee_net_end(BEE_KIND_CONNECT, denied) : 0;
}

SEC("kretprobe/inet_stream_connect")
int BPF_KRETPROBE(kretprobe__inet_stream_connect, int result)
{
	return bee_net_end(BEE_KIND_CONNECT, result);
}

SEC("kretprobe/inet_dgram_connect")
int BPF_KRETPROBE(kretprobe__inet_dgram_connect, int result)
{
	return bee_net_end(BEE_KIND_CONNECT, result);
}

SEC("kretprobe/unix_stream_connect")
int BPF_KRETPROBE(kretprobe__unix_stream_connect, int result)
{
	return bee_net_end(BEE_KIND_CONNECT, result);
}

SEC("kretprobe/unix_dgram_connect")
int BPF_KRETPROBE(kretprobe__unix_dgram_connect, int result)
{
	return bee_net_end(BEE_KIND_CONNECT, result);
}

SEC("kprobe/security_socket_sendmsg")
int BPF_KPROBE(kprobe__security_socket_sendmsg, struct socket *socket, struct msghdr *message)
{
	return bee_net_fast_open(socket, message, BEE_HOOK_KPROBE_SECURITY_SOCKET_SENDMSG, 0);
}

SEC("kprobe/udp_sendmsg")
int BPF_KPROBE(kprobe__udp_sendmsg, struct sock *sock, struct msghdr *message)
{
	return bee_net_datagram(sock, message, BEE_HOOK_KPROBE_UDP_SENDMSG, false, false, 0);
}

SEC("kretprobe/udp_sendmsg")
int BPF_KRETPROBE(kretprobe__udp_sendmsg, int result)
{
	return bee_net_sent(result);
}

SEC("kprobe/udpv6_sendmsg")
int BPF_KPROBE(kprobe__udpv6_sendmsg, struct sock *sock, struct msghdr *message)
{
	return bee_net_datagram(sock, message, BEE_HOOK_KPROBE_UDPV6_SENDMSG, true, false, 0);
}

SEC("kretprobe/udpv6_sendmsg")
int BPF_KRETPROBE(kretprobe__udpv6_sendmsg, int result)
{
	return bee_net_sent(result);
}

/* The port may be chosen on the way: which it is, is asked at the end. */
SEC("kprobe/inet_listen")
int BPF_KPROBE(kprobe__inet_listen, struct socket *socket)
{
	struct bee_net_act *act;

	if (!bee_active())
		return 0;
	act = bee_net_next(BEE_KIND_LISTEN, BEE_HOOK_KPROBE_INET_LISTEN);
	if (act)
		act->socket = (__u64)BPF_CORE_READ(socket, sk);
	return 0;
}

SEC("kretprobe/inet_listen")
int BPF_KRETPROBE(kretprobe__inet_listen, int result)
{
	__u64 key = bpf_get_current_pid_tgid(), sock;
	struct bee_net_act *act = bee_net_noted();

	if (!act || act->kind != BEE_KIND_LISTEN)
		return 0;
	sock = act->socket;
	/* bee_net_server would take it for one whose end was not seen. */
	bpf_map_delete_elem(&net_acts, &key);
	if (result < 0 && result != -EACCES && result != -EPERM)
		return 0;
	if (bee_net_server((struct sock *)sock, BEE_KIND_LISTEN, BEE_HOOK_KPROBE_INET_LISTEN))
		bee_net_tell(0, result);
	return 0;
}

SEC("kprobe/security_sock_graft")
int BPF_KPROBE(kprobe__security_sock_graft, struct sock *sock)
{
	if (bee_net_server(sock, BEE_KIND_ACCEPT, BEE_HOOK_KPROBE_SECURITY_SOCK_GRAFT))
		bee_net_tell(0, 0);
	return 0;
}

SEC("kprobe/__sock_create")
int BPF_KPROBE(kprobe____sock_create, struct net *net, int family, int type, int protocol)
{
	bee_net_making(family, type, protocol, PT_REGS_PARM6(ctx), BEE_HOOK_KPROBE_SOCK_CREATE);
	return 0;
}

SEC("kretprobe/__sock_create")
int BPF_KRETPROBE(kretprobe____sock_create, int result)
{
	return bee_net_made(result);
}

char LICENSE[] SEC("license") = "GPL";
