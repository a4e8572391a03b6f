/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Maps that every object shares. base.bpf.c creates them; the loader joins them
 * into each other object by name (reuse_fd), so all families fill the same two
 * rings and the same counters.
 */
#pragma once

/* Set by the loader before load; compared with settings.generation. */
const volatile __u32 bee_generation = 1;

/* What the loader found out, set before load: code for the other case is left out. */
struct bee_found {
	__u32 exits; /* programs lie in the arrays `exits_*`, and hand on */
	__u32 typed; /* the current task can be had with its type: its fields need no helper */
};
const volatile struct bee_found bee_found SEC(".rodata.found");

/* Rings: alerts apart from bulk, so that a flood of one cannot hide the other.
 * Sizes are set by the loader from limits.*_ring_kib. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
} alerts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 512 * 1024);
} bulk SEC(".maps");

/* counters[kind * BEE_CAUSE_COUNT + cause], mapped by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BEE_KIND_COUNT *BEE_CAUSE_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Maps of one value each, as `counters` in every way but that programs need not look them up:
 * a section of its own is a map of its own, joined by that name. */
struct bee_settings settings SEC(".data.settings");
struct bee_state state SEC(".data.state");

/* Token bucket of each process. LRU: when full, the process longest silent gets
 * a fresh bucket; it can gain alerts, never lose one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct bee_bucket);
} buckets SEC(".maps");

/* What watch/ compiled; key.policy says for which configuration. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct bee_rule_key);
	__type(value, __u32);
} rules SEC(".maps");

/* Watched files: a byte for each hash in front of the table, see inodes.bpf.h. */
#define BEE_FILTER_SIZE 32768 /* bytes, one per slot: setting a byte needs no atomic */

struct bee_filter {
	__u8 slot[BEE_FILTER_SIZE];
};

struct bee_filter filter SEC(".bss.filter");

/* Size set by the loader from limits.inodes. Preallocated: it is filled from
 * tracing programs, where allocating is not safe before 6.1. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct bee_inode_key);
	__type(value, struct bee_inode_value);
} inodes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct bee_device_key);
	__type(value, __u32);
} devices SEC(".maps");

/* A record is built here before it is copied to a ring: the length of a path is
 * only known at its end, and bpf_ringbuf_reserve wants a constant. Every object has
 * its own, and in it a buffer (slot) for each program that can be preempted
 * (tracepoints from 7.x on, trampolines): two on one CPU must not write to the same.
 * The kernel never runs one program twice at a time on one CPU. The loader sets the
 * number of slots. */
#define BEE_FIXED_MAX  256
#define BEE_PART_MAX   4096
#define BEE_TAIL_MASK  0x3fff /* offsets a string may begin at */
#define BEE_RECORD_MAX (BEE_FIXED_MAX + BEE_TAIL_MASK + 1 + BEE_PART_MAX)
#define BEE_TAIL_SIZE  (BEE_TAIL_MASK + 1 + BEE_PART_MAX + 256)

/* One name argument, as found in the tail. */
struct bee_given {
	__u32 name_length; /* with its NUL */
	__u32 walk_length;
	__u32 mask;
	__u32 reserved;
	__u64 flags;
};

/*
 * The beginning of a kernel structure, read at once: what is paid for is each reading, not its
 * bytes, and fields that are wanted together lie near each other in every kernel.
 */
#define BEE_NEAR 104

struct bee_near {
	__u8 bytes[BEE_NEAR] __attribute__((aligned(8)));
};

/* A walk under way: see path.bpf.h. */
struct bee_walk_state {
	__u64 dentry;
	__u64 mount;
	__u64 mount_root;
	__u32 at;
	__u32 mask;
	__u32 role;
	__u32 result;
};

/* An act on names whose dentries the kernel hands over: see file_security.bpf.c. */
struct bee_path_act {
	__u64 dentry[2]; /* what it is done to; 0: no second */
	__u64 mnt[2];
	__u64 text; /* what a symbolic link leads to */
	__u64 value;
	__u64 value_2;
};

/* The way through an environment: see process.bpf.c. */
struct bee_env_state {
	__u64 begin;
	__u64 end;
	__u64 address;
	__u32 at;
	__u32 reserved;
};

/* What lies on the stack of a program that begins: see stack.bpf.h. */
struct bee_stack_state {
	__u64 args; /* where the strings of argv begin; 0: none, or not to be told */
	__u64 args_end;
	__u64 env;
	__u64 env_end;
	__u64 name;  /* the name it was executed by; 0: not found */
	__u64 at;    /* what is looked at next */
	__u32 width; /* bytes of a pointer */
	__u32 uid;
	__u32 euid;
	__u32 reserved;
};

/* Prefixes and suffixes of a name: see names.bpf.h. */
struct bee_affix_state {
	__u64 hash;
	__u32 mask;
	__u32 edges; /* here and not on the stack, of which a walk uses all there is */
};

/* A name that is taken apart: see names.bpf.h. */
struct bee_name_state {
	__u32 length;
	__u32 begin;   /* of the component that is next */
	__u32 parent;  /* mask of the directory before it, for what lies directly in it */
	__u32 parents; /* the same of all of them */
	__u32 mask;
	__u32 reserved;
};

struct bee_scratch {
	struct bee_path_act act;
	struct bee_affix_state affix;
	struct bee_name_state name;
	struct bee_walk_state walk;
	struct bee_env_state env;
	struct bee_stack_state stack;
	struct bee_given given[2];
	struct bee_near near;
	__u8 fixed[BEE_FIXED_MAX];
	__u8 tail[BEE_TAIL_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bee_scratch);
} scratch SEC(".maps");

/* A record that waits for the act to end, so that it can say how: the same bytes as
 * in scratch, kept for the thread that acts. What finds no room is sent at once with
 * BEE_FLAG_RESULT_UNKNOWN. */
#define BEE_HELD_TAIL 9216 /* two paths of BEE_PART_MAX and a component more each */

struct bee_held {
	__u8 fixed[BEE_FIXED_MAX];
	__u8 tail[BEE_HELD_TAIL];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u64); /* thread group and thread */
	__type(value, struct bee_held);
} pending SEC(".maps");

/* Tier portable: threads between sched_process_exec and the end of their execve, and since
 * when. Where a thread finds no room (tracers hold others there), its exec is told at once,
 * without name and arguments. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64); /* thread group and thread */
	__type(value, __u64);
} execs SEC(".maps");

/* An act on a socket under way: what is known of it before it ends, see network.bpf.h. */
#define BEE_UNIX_PATH 112 /* sun_path, and filled up */

struct bee_net_act {
	__u64 socket; /* struct sock, or 0 */
	__u64 flags;
	__u16 kind;
	__u16 hook;
	__u32 reserved;
	struct bee_socket_facts facts;
	char path[BEE_UNIX_PATH];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64); /* thread group and thread */
	__type(value, struct bee_net_act);
} net_acts SEC(".maps");

/* Flows of datagrams; size set by the loader from limits.flows. LRU: when full, the flow
 * longest silent is forgotten, and its next datagram is an event at once. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct bee_flow_key);
	__type(value, struct bee_flow);
} flows SEC(".maps");

/* Tier portable: the addresses sockets were bound to, by process and descriptor. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u64); /* thread group and descriptor */
	__type(value, struct bee_socket_facts);
} net_bound SEC(".maps");

/* Tier portable: the numbers that descriptors of processes were made of, by process and
 * descriptor. LRU: of one that is forgotten the target is not known. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, __u64); /* thread group and descriptor */
	__type(value, __u32);
} pidfds SEC(".maps");

/* Tier kprobe: signals for the daemon whose permission is being asked for, by the thread that
 * sends; the signal, and above 32 bits whom it is for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64); /* thread group and thread */
	__type(value, __u64);
} kills SEC(".maps");

/* Sensors that read system calls at their end: places in the two arrays below. */
enum bee_reader {
	BEE_READER_FILE,
	BEE_READER_MEMORY,
	BEE_READER_NETWORK,
	BEE_READER_KERNEL,
	BEE_READER_COUNT,
};

/* Their programs, by kind: an array takes programs of one kind only. See exits.bpf.h. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, BEE_READER_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} exits_typed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, BEE_READER_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} exits_raw SEC(".maps");

/* The same at the end of opens: see opens.bpf.c. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, BEE_READER_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} opens_typed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, BEE_READER_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} opens_probed SEC(".maps");

/* For a program that has done with a call another sensor reads too. */
#define bee_hand_on(ctx, array, reader)                            \
	do {                                                       \
		if (bee_found.exits)                               \
			bpf_tail_call_static(ctx, &array, reader); \
	} while (0)
