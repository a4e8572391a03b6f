/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * net GATE ACT COUNT FAMILY PORT: acts on sockets. GATE is how it calls the kernel: `direct`,
 * `socketcall` (32-bit x86 only) or `int80` (64-bit x86 only). FAMILY is 4, 6, mapped,
 * or broadcast and mapped-broadcast, to which a socket may not send unless it asks to.
 *
 *   connect    COUNT TCP connections
 *   nonblock   COUNT TCP connections without waiting; asked again when they are made
 *   udpconnect COUNT UDP sockets are given their address
 *   sendto, sendmsg   COUNT datagrams, with their address
 *   sendmmsg   COUNT datagrams in one call
 *   send       connects a UDP socket, then COUNT datagrams
 *   fastopen   COUNT TCP connections by MSG_FASTOPEN
 *   listen     COUNT listeners at PORT, one after the other
 *   serve      a listener at PORT, then COUNT times a connection to it and its acceptance
 *   uring      COUNT TCP connections through io_uring; uringasync: by its threads
 *   uringsend  COUNT datagrams through io_uring, a call of io_uring_enter for each
 * net GATE socket COUNT FAMILY TYPE PROTOCOL: COUNT sockets of these numbers
 * net GATE unix COUNT PATH: COUNT connections to a local socket
 */
#include "trigger.h"
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

enum call {
	SOCKET = 1,
	BIND,
	CONNECT,
	LISTEN,
	ACCEPT,
	SEND = 9,
	SENDTO = 11,
	SENDMSG = 16,
	SENDMMSG = 20
};

enum gate { DIRECT, SOCKETCALL, INT80 } gate;

/* What the kernel is pointed at lies below 4 GiB, for int80. */
static struct low {
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
		struct sockaddr_un local;
	} address;
	char data[16];
} * low;
static socklen_t length;

#if defined(__x86_64__)
static long gate32(long number, long a, long b, long c, long d, long e)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "memory", "r8", "r9", "r10", "r11");
	if ((int)ret < 0) {
		errno = -(int)ret;
		return -1;
	}
	return (int)ret;
}
#endif

static long call(enum call which, long a, long b, long c, long d, long e)
{
#if defined(__i386__)
	if (gate == SOCKETCALL) {
		long arguments[6] = {a, b, c, d, e, length};

		return syscall(SYS_socketcall, which, arguments);
	}
#endif
#if defined(__x86_64__)
	if (gate == INT80) {
		static const int numbers[] = {[SOCKET] = 359,
					      [BIND] = 361,
					      [CONNECT] = 362,
					      [LISTEN] = 363,
					      [SENDTO] = 369};

		/* The sixth argument has no register here: sendto has its length by socketcall. */
		if (which == SENDTO) {
			uint32_t *arguments = (uint32_t *)(low + 1);
			long values[6] = {a, b, c, d, e, length};

			for (int i = 0; i < 6; i++)
				arguments[i] = (uint32_t)values[i];
			return gate32(102, which, (long)arguments, 0, 0, 0);
		}
		if (which >= COUNT(numbers) || !numbers[which])
			unsupported("this call by int80");
		return gate32(numbers[which], a, b, c, d, e);
	}
#endif
	switch (which) {
	case SOCKET:
		return syscall(SYS_socket, a, b, c);
	case BIND:
		return syscall(SYS_bind, a, b, c);
	case CONNECT:
		return syscall(SYS_connect, a, b, c);
	case LISTEN:
		return syscall(SYS_listen, a, b);
	case ACCEPT:
#ifdef SYS_accept
		return syscall(SYS_accept, a, b, c);
#else
		return syscall(SYS_accept4, a, b, c, 0);
#endif
	case SEND:
	case SENDTO:
		return syscall(SYS_sendto, a, b, c, d, e, e ? length : 0);
	case SENDMSG:
		return syscall(SYS_sendmsg, a, b, c);
	case SENDMMSG:
		return syscall(SYS_sendmmsg, a, b, c, d);
	}
	return -1;
}

static void set_address(const char *family, const char *port)
{
	in_port_t number = htons((in_port_t)atoi(port));

	const char *six = "::1";
	in_addr_t four = INADDR_LOOPBACK;

	if (family[0] == 'b')
		four = 0x7fffffffu;
	if (!strcmp(family, "4") || !strcmp(family, "broadcast")) {
		low->address.four.sin_family = AF_INET;
		low->address.four.sin_port = number;
		low->address.four.sin_addr.s_addr = htonl(four);
		length = sizeof(low->address.four);
		return;
	}
	low->address.six.sin6_family = AF_INET6;
	low->address.six.sin6_port = number;
	length = sizeof(low->address.six);
	if (!strcmp(family, "mapped"))
		six = "::ffff:127.0.0.1";
	else if (!strcmp(family, "mapped-broadcast"))
		six = "::ffff:127.255.255.255";
	if (inet_pton(AF_INET6, six, &low->address.six.sin6_addr) != 1)
		die("inet_pton");
}

static int new_socket(int type)
{
	long fd = call(SOCKET, low->address.any.sa_family, type, 0, 0, 0);
	int one = 1;

	if (fd < 0)
		die("socket");
	/* Ports of tests before this one are in TIME_WAIT. */
	setsockopt((int)fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return (int)fd;
}

/* --- io_uring, by its own system calls: no library is needed for this much ----- */

static int ring = -1;
static unsigned *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;

static void ring_open(void)
{
	struct io_uring_params params = {0};

	ring = (int)syscall(SYS_io_uring_setup, 8, &params);
	if (ring < 0)
		unsupported("io_uring");
	size_t sq = params.sq_off.array + params.sq_entries * sizeof(unsigned);
	size_t cq = params.cq_off.cqes + params.cq_entries * sizeof(*cqes);
	char *one = mmap(NULL, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			 ring, IORING_OFF_SQ_RING);

	sqes = mmap(NULL, params.sq_entries * sizeof(*sqes), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
	if (one == MAP_FAILED || sqes == MAP_FAILED || !(params.features & IORING_FEAT_SINGLE_MMAP))
		die("io_uring");
	sq_tail = (unsigned *)(one + params.sq_off.tail);
	sq_mask = (unsigned *)(one + params.sq_off.ring_mask);
	sq_array = (unsigned *)(one + params.sq_off.array);
	cq_head = (unsigned *)(one + params.cq_off.head);
	cq_tail = (unsigned *)(one + params.cq_off.tail);
	cq_mask = (unsigned *)(one + params.cq_off.ring_mask);
	cqes = (struct io_uring_cqe *)(one + params.cq_off.cqes);
}

static long ring_do(const struct io_uring_sqe *sqe)
{
	unsigned index = *sq_tail & *sq_mask;

	sqes[index] = *sqe;
	sq_array[index] = index;
	__atomic_store_n(sq_tail, *sq_tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		die("io_uring_enter");
	while (__atomic_load_n(cq_tail, __ATOMIC_ACQUIRE) == *cq_head)
		;
	int result = cqes[*cq_head & *cq_mask].res;

	__atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
	if (result < 0) {
		errno = -result;
		return -1;
	}
	return result;
}

static long ring_connect(int fd, unsigned char flags)
{
	struct io_uring_sqe sqe = {.opcode = IORING_OP_CONNECT,
				   .flags = flags,
				   .fd = fd,
				   .addr = (uintptr_t)&low->address,
				   .off = length};

	return ring_do(&sqe);
}

/* --- the acts ------------------------------------------------------------------ */

static void connections(const char *act, long count)
{
	int type = !strcmp(act, "udpconnect") ? SOCK_DGRAM : SOCK_STREAM;

	if (!strncmp(act, "uring", 5))
		ring_open();
	for (; count > 0; count--) {
		int fd = new_socket(!strcmp(act, "nonblock") ? type | SOCK_NONBLOCK : type);
		long at = (long)(uintptr_t)&low->address;
		struct pollfd ready = {.fd = fd, .events = POLLOUT};

		if (!strcmp(act, "fastopen"))
			say(call(SENDTO, fd, (long)(uintptr_t)low->data, 1, MSG_FASTOPEN, at));
		else if (!strcmp(act, "uring"))
			say(ring_connect(fd, 0));
		else if (!strcmp(act, "uringasync"))
			say(ring_connect(fd, IOSQE_ASYNC));
		else
			say(call(CONNECT, fd, at, length, 0, 0));
		if (!strcmp(act, "nonblock") && poll(&ready, 1, 1000) == 1)
			call(CONNECT, fd, at, length, 0, 0);
		close(fd);
	}
}

static void datagrams(const char *act, long count)
{
	int fd = new_socket(SOCK_DGRAM);
	long at = (long)(uintptr_t)&low->address, data = (long)(uintptr_t)low->data;
	struct iovec part = {.iov_base = low->data, .iov_len = 1};
	struct msghdr message = {.msg_name = &low->address,
				 .msg_namelen = length,
				 .msg_iov = &part,
				 .msg_iovlen = 1};
	struct mmsghdr messages[64];

	if (!strcmp(act, "send") && call(CONNECT, fd, at, length, 0, 0))
		die("connect");
	if (!strcmp(act, "sendmmsg")) {
		for (size_t i = 0; i < COUNT(messages); i++)
			messages[i].msg_hdr = message;
		long sent = call(SENDMMSG, fd, (long)(uintptr_t)messages, count, 0, 0);

		for (long n = 0; n < sent; n++)
			say(1);
		return;
	}
	for (; count > 0; count--) {
		struct io_uring_sqe sqe = {.opcode = IORING_OP_SENDMSG,
					   .fd = fd,
					   .addr = (uintptr_t)&message,
					   .len = 1};

		if (!strcmp(act, "sendto"))
			say(call(SENDTO, fd, data, 1, 0, at));
		else if (!strcmp(act, "sendmsg"))
			say(call(SENDMSG, fd, (long)(uintptr_t)&message, 0, 0, 0));
		else if (!strcmp(act, "uringsend")) {
			if (ring < 0)
				ring_open();
			say(ring_do(&sqe));
		} else
			say(call(SEND, fd, data, 1, 0, 0));
	}
	close(fd);
}

static void server(const char *act, long count)
{
	long at = (long)(uintptr_t)&low->address;
	int fd = -1;

	for (long n = 0; n < (strcmp(act, "serve") ? count : 1); n++) {
		if (fd >= 0)
			close(fd);
		fd = new_socket(SOCK_STREAM);
		if (call(BIND, fd, at, length, 0, 0))
			die("bind");
		say(call(LISTEN, fd, 8, 0, 0, 0));
	}
	for (; !strcmp(act, "serve") && count > 0; count--) {
		int client = new_socket(SOCK_STREAM);
		struct sockaddr_storage peer;
		socklen_t size = sizeof(peer);

		say(call(CONNECT, client, at, length, 0, 0));
		say(call(ACCEPT, fd, (long)(uintptr_t)&peer, (long)(uintptr_t)&size, 0, 0));
		close(client);
	}
	close(fd);
}

static void local(long count, const char *path)
{
	low->address.local.sun_family = AF_UNIX;
	snprintf(low->address.local.sun_path, sizeof(low->address.local.sun_path), "%s", path);
	length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
	/* An abstract one. */
	if (path[0] == '@') {
		low->address.local.sun_path[0] = 0;
		length--;
	}
	for (; count > 0; count--) {
		int fd = new_socket(SOCK_STREAM);

		say(call(CONNECT, fd, (long)(uintptr_t)&low->address, length, 0, 0));
		close(fd);
	}
}

static void set_gate(const char *word)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	if (!strcmp(word, "socketcall")) {
		gate = SOCKETCALL;
#if !defined(__i386__)
		unsupported(word);
#endif
	} else if (!strcmp(word, "int80")) {
		gate = INT80;
#if !defined(__x86_64__)
		unsupported(word);
#else
		flags |= MAP_32BIT;
#endif
	}
	low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (low == MAP_FAILED)
		die("mmap");
}

int main(int argc, char **argv)
{
	if (argc < 5)
		usage("net GATE ACT COUNT FAMILY PORT");
	const char *act = argv[2];
	long count = atol(argv[3]);

	set_gate(argv[1]);
	if (!strcmp(act, "unix")) {
		local(count, argv[4]);
		return 0;
	}
	if (!strcmp(act, "socket") && argc == 7) {
		for (; count > 0; count--) {
			long fd = say(
				call(SOCKET, atoi(argv[4]), atoi(argv[5]), atoi(argv[6]), 0, 0));

			if (fd >= 0)
				close((int)fd);
		}
		return 0;
	}
	if (argc != 6)
		usage("net GATE ACT COUNT FAMILY PORT");
	set_address(argv[4], argv[5]);
	if (!strcmp(act, "listen") || !strcmp(act, "serve"))
		server(act, count);
	else if (strstr(act, "send"))
		datagrams(act, count);
	else
		connections(act, count);
	return 0;
}
