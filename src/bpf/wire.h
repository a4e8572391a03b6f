/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The record ABI between the kernel side and user space.
 *
 * Only __u8..__u64, __s32 and char[]; no pointer, no bool, no implicit padding
 * (-Wpadded is an error), so that a record means the same to every build of the
 * same BEE_WIRE_VERSION. Rust sees these types through the skeleton of
 * base.bpf.c and asserts their sizes again.
 *
 * A record is a fixed part followed by a tail of byte strings whose lengths the
 * fixed part holds. A *walked path* in a tail is a list of NUL-terminated names,
 * last component first, as the dentries were met on the way up.
 */
#pragma once

/* What differs between two versions: src/formats.rs. Builds for tests can have another. */
#ifdef BEE_TEST_FORMAT
#define BEE_WIRE_VERSION 2
#else
#define BEE_WIRE_VERSION 1
#endif

/* What a record tells. The order is ABI; src/event has the words. */
enum bee_kind {
	BEE_KIND_NONE = 0,
	BEE_KIND_EXEC = 1,
	BEE_KIND_FORK = 2,
	BEE_KIND_EXIT = 3,
	BEE_KIND_OPEN = 4,
	BEE_KIND_CREATE = 5,
	BEE_KIND_DELETE = 6,
	BEE_KIND_RENAME = 7,
	BEE_KIND_LINK = 8,
	BEE_KIND_SYMLINK = 9,
	BEE_KIND_CHMOD = 10,
	BEE_KIND_CHOWN = 11,
	BEE_KIND_TRUNCATE = 12,
	BEE_KIND_MKNOD = 13,
	BEE_KIND_IDENTITY = 14, /* the scanner showed a file to the kernel side */
	BEE_KIND_CGROUP = 15,	/* a cgroup was made or removed */
	BEE_KIND_CONNECT = 16,
	BEE_KIND_SEND = 17,
	BEE_KIND_ACCEPT = 18,
	BEE_KIND_LISTEN = 19,
	BEE_KIND_SOCKET = 20,
	BEE_KIND_PTRACE = 24,
	BEE_KIND_VM_READ = 25,
	BEE_KIND_VM_WRITE = 26,
	BEE_KIND_PROC_MEM = 27,
	BEE_KIND_PROC_ENVIRON = 28,
	BEE_KIND_PROC_MAPS = 29,
	BEE_KIND_PIDFD_GETFD = 30,
	BEE_KIND_MODULE_LOAD = 32,
	BEE_KIND_BPF = 33,
	BEE_KIND_IO_URING = 34,
	BEE_KIND_TIME_SET = 35,
	BEE_KIND_KILL = 36,
	BEE_KIND_COUNT = 64, /* room for later ones: the maps are stored across versions */
};

/* The hook that made a record; probe/ has name and tier for each. */
enum bee_hook {
	BEE_HOOK_NONE = 0,
	BEE_HOOK_TP_BTF_SYS_EXIT = 1,
	BEE_HOOK_RAW_TP_SYS_EXIT = 2,
	BEE_HOOK_RAW_TP_EXEC = 6,
	BEE_HOOK_RAW_TP_FORK = 7,
	BEE_HOOK_RAW_TP_EXIT = 8,
	BEE_HOOK_CGROUP_MKDIR = 9,
	BEE_HOOK_CGROUP_RMDIR = 10,
	BEE_HOOK_FEXIT_DO_FILP_OPEN = 11,
	BEE_HOOK_FEXIT_DO_FILE_OPEN_ROOT = 12,
	BEE_HOOK_KPROBE_SECURITY_FILE_OPEN = 13,
	BEE_HOOK_KRETPROBE_DO_FILP_OPEN = 14,
	BEE_HOOK_FEXIT_SECURITY_PATH_UNLINK = 15,
	BEE_HOOK_FEXIT_SECURITY_PATH_RMDIR = 16,
	BEE_HOOK_FEXIT_SECURITY_PATH_RENAME = 17,
	BEE_HOOK_FEXIT_SECURITY_PATH_LINK = 18,
	BEE_HOOK_FEXIT_SECURITY_PATH_SYMLINK = 19,
	BEE_HOOK_FEXIT_SECURITY_PATH_MKNOD = 20,
	BEE_HOOK_FEXIT_SECURITY_PATH_CHMOD = 21,
	BEE_HOOK_FEXIT_SECURITY_PATH_CHOWN = 22,
	BEE_HOOK_FEXIT_SECURITY_PATH_TRUNCATE = 23,
	BEE_HOOK_FEXIT_SECURITY_FILE_TRUNCATE = 24,
	BEE_HOOK_FEXIT_SECURITY_PATH_NOTIFY = 25,
	BEE_HOOK_LSM_PATH_UNLINK = 26,
	BEE_HOOK_LSM_PATH_RMDIR = 27,
	BEE_HOOK_LSM_PATH_RENAME = 28,
	BEE_HOOK_LSM_PATH_LINK = 29,
	BEE_HOOK_LSM_PATH_SYMLINK = 30,
	BEE_HOOK_LSM_PATH_MKNOD = 31,
	BEE_HOOK_LSM_PATH_CHMOD = 32,
	BEE_HOOK_LSM_PATH_CHOWN = 33,
	BEE_HOOK_LSM_PATH_TRUNCATE = 34,
	BEE_HOOK_LSM_FILE_TRUNCATE = 35,
	BEE_HOOK_LSM_PATH_NOTIFY = 36,
	BEE_HOOK_KPROBE_SECURITY_PATH_UNLINK = 37,
	BEE_HOOK_KPROBE_SECURITY_PATH_RMDIR = 38,
	BEE_HOOK_KPROBE_SECURITY_PATH_RENAME = 39,
	BEE_HOOK_KPROBE_SECURITY_PATH_LINK = 40,
	BEE_HOOK_KPROBE_SECURITY_PATH_SYMLINK = 41,
	BEE_HOOK_KPROBE_SECURITY_PATH_MKNOD = 42,
	BEE_HOOK_KPROBE_SECURITY_PATH_CHMOD = 43,
	BEE_HOOK_KPROBE_SECURITY_PATH_CHOWN = 44,
	BEE_HOOK_KPROBE_SECURITY_PATH_TRUNCATE = 45,
	BEE_HOOK_KPROBE_SECURITY_FILE_TRUNCATE = 46,
	BEE_HOOK_KPROBE_SECURITY_PATH_NOTIFY = 47,
	BEE_HOOK_FEXIT_DO_FILE_OPEN = 48,
	BEE_HOOK_KRETPROBE_DO_FILE_OPEN = 49,
	BEE_HOOK_FENTRY_FINALIZE_EXEC = 64,
	BEE_HOOK_FENTRY_WAKE_UP_NEW_TASK = 65,
	BEE_HOOK_FENTRY_TASKSTATS_EXIT = 66,
	BEE_HOOK_KPROBE_FINALIZE_EXEC = 67,
	BEE_HOOK_KPROBE_WAKE_UP_NEW_TASK = 68,
	BEE_HOOK_KPROBE_TASKSTATS_EXIT = 69,
	/* Tier portable: from 96. */
	BEE_HOOK_PORTABLE_SYS_EXIT = 96,
	BEE_HOOK_PORTABLE_EXEC = 97,
	BEE_HOOK_PORTABLE_NEWTASK = 98,
	BEE_HOOK_PORTABLE_EXIT = 99,
	BEE_HOOK_PORTABLE_CGROUP_MKDIR = 100,
	BEE_HOOK_PORTABLE_CGROUP_RMDIR = 101,
	/* The network sensor: 128 to 191. A hook another sensor has too has a number here of its
	 * own, so that one does not prove the other. */
	BEE_HOOK_NET_TP_BTF_SYS_EXIT = 128,
	BEE_HOOK_NET_RAW_TP_SYS_EXIT = 129,
	BEE_HOOK_CGROUP_CONNECT4 = 130,
	BEE_HOOK_CGROUP_CONNECT6 = 131,
	BEE_HOOK_CGROUP_SENDMSG4 = 132,
	BEE_HOOK_CGROUP_SENDMSG6 = 133,
	BEE_HOOK_PORTABLE_NET_SYS_EXIT = 136,
	BEE_HOOK_PORTABLE_CONNECT4 = 137,
	BEE_HOOK_PORTABLE_CONNECT6 = 138,
	BEE_HOOK_PORTABLE_SENDMSG4 = 139,
	BEE_HOOK_PORTABLE_SENDMSG6 = 140,
	BEE_HOOK_FEXIT_SECURITY_SOCKET_CONNECT = 144,
	BEE_HOOK_LSM_SOCKET_CONNECT = 145,
	BEE_HOOK_KPROBE_SECURITY_SOCKET_CONNECT = 146,
	BEE_HOOK_FEXIT_UDP_SENDMSG = 147,
	BEE_HOOK_KPROBE_UDP_SENDMSG = 148,
	BEE_HOOK_FEXIT_UDPV6_SENDMSG = 149,
	BEE_HOOK_KPROBE_UDPV6_SENDMSG = 150,
	BEE_HOOK_FEXIT_INET_LISTEN = 151,
	BEE_HOOK_KPROBE_INET_LISTEN = 152,
	BEE_HOOK_FENTRY_SECURITY_SOCK_GRAFT = 153,
	BEE_HOOK_KPROBE_SECURITY_SOCK_GRAFT = 154,
	BEE_HOOK_FEXIT_SOCK_CREATE = 155,
	BEE_HOOK_KPROBE_SOCK_CREATE = 156,
	BEE_HOOK_FEXIT_SECURITY_SOCKET_SENDMSG = 157,
	BEE_HOOK_KPROBE_SECURITY_SOCKET_SENDMSG = 158,
	/* The memory sensor: from 192. */
	BEE_HOOK_MEMORY_TP_BTF_SYS_EXIT = 192,
	BEE_HOOK_MEMORY_RAW_TP_SYS_EXIT = 193,
	BEE_HOOK_MEMORY_PORTABLE_SYS_EXIT = 194,
	BEE_HOOK_MEMORY_FEXIT_DO_FILP_OPEN = 195,
	BEE_HOOK_FEXIT_PTRACE_ATTACH = 196,
	BEE_HOOK_FEXIT_SECURITY_PTRACE_TRACEME = 197,
	BEE_HOOK_FEXIT_PROCESS_VM_RW = 198,
	BEE_HOOK_FEXIT_MM_ACCESS = 199,
	BEE_HOOK_FEXIT_PTRACE_MAY_ACCESS = 200,
	BEE_HOOK_MEMORY_KRETPROBE_DO_FILP_OPEN = 201,
	BEE_HOOK_KRETPROBE_PTRACE_ATTACH = 202,
	BEE_HOOK_KRETPROBE_SECURITY_PTRACE_TRACEME = 203,
	BEE_HOOK_KRETPROBE_PROCESS_VM_RW = 204,
	BEE_HOOK_KRETPROBE_PTRACE_MAY_ACCESS = 205,
	BEE_HOOK_KRETPROBE_MEM_OPEN = 206,
	BEE_HOOK_KRETPROBE_ENVIRON_OPEN = 207,
	BEE_HOOK_KRETPROBE_PID_MAPS_OPEN = 208,
	BEE_HOOK_KRETPROBE_PID_SMAPS_OPEN = 209,
	BEE_HOOK_KRETPROBE_SMAPS_ROLLUP_OPEN = 210,
	BEE_HOOK_KRETPROBE_PID_NUMA_MAPS_OPEN = 211,
	BEE_HOOK_MEMORY_FEXIT_DO_FILE_OPEN = 212,
	BEE_HOOK_MEMORY_KRETPROBE_DO_FILE_OPEN = 213,
	/* The kernel sensor: from 224. */
	BEE_HOOK_KERNEL_TP_BTF_SYS_EXIT = 224,
	BEE_HOOK_KERNEL_RAW_TP_SYS_EXIT = 225,
	BEE_HOOK_KERNEL_PORTABLE_SYS_EXIT = 226,
	BEE_HOOK_RAW_TP_MODULE_LOAD = 228,
	BEE_HOOK_FEXIT_SYS_BPF = 229,
	BEE_HOOK_FEXIT_IA32_SYS_BPF = 230,
	BEE_HOOK_FEXIT_SYS_IO_URING_SETUP = 231,
	BEE_HOOK_FEXIT_IA32_SYS_IO_URING_SETUP = 232,
	BEE_HOOK_FEXIT_SYS_INIT_MODULE = 233,
	BEE_HOOK_FEXIT_IA32_SYS_INIT_MODULE = 234,
	BEE_HOOK_FEXIT_SYS_FINIT_MODULE = 235,
	BEE_HOOK_FEXIT_IA32_SYS_FINIT_MODULE = 236,
	BEE_HOOK_FEXIT_DO_SYS_SETTIMEOFDAY64 = 237,
	BEE_HOOK_FEXIT_DO_ADJTIMEX = 238,
	BEE_HOOK_FEXIT_CHECK_KILL_PERMISSION = 239,
	BEE_HOOK_FULL_MODULE_LOAD = 240,
	BEE_HOOK_KRETPROBE_SYS_BPF = 241,
	BEE_HOOK_KRETPROBE_IA32_SYS_BPF = 242,
	BEE_HOOK_KRETPROBE_SYS_IO_URING_SETUP = 243,
	BEE_HOOK_KRETPROBE_IA32_SYS_IO_URING_SETUP = 244,
	BEE_HOOK_KRETPROBE_SYS_INIT_MODULE = 245,
	BEE_HOOK_KRETPROBE_IA32_SYS_INIT_MODULE = 246,
	BEE_HOOK_KRETPROBE_SYS_FINIT_MODULE = 247,
	BEE_HOOK_KRETPROBE_IA32_SYS_FINIT_MODULE = 248,
	BEE_HOOK_KRETPROBE_DO_SYS_SETTIMEOFDAY64 = 249,
	BEE_HOOK_KRETPROBE_DO_ADJTIMEX = 250,
	BEE_HOOK_KPROBE_CHECK_KILL_PERMISSION = 251,
	BEE_HOOK_KPROBE_MODULE_LOAD = 252,
};

/* Where a record ended, or why it did not: the columns of `counters`. */
enum bee_cause {
	BEE_CAUSE_SUBMITTED = 0,  /* it is in a ring */
	BEE_CAUSE_RING_FULL = 1,  /* the reader is behind */
	BEE_CAUSE_RATE_LIMIT = 2, /* over limits.events_per_second */
	BEE_CAUSE_NO_SCRATCH = 3, /* no buffer to build it in */
	BEE_CAUSE_UNREADABLE = 4, /* a kernel or user pointer could not be read */
	BEE_CAUSE_TOO_LONG = 5,	  /* longer than a record may be */
	BEE_CAUSE_MAP_FULL = 6,	  /* identity table: names are checked instead */
	BEE_CAUSE_SELF = 7,	  /* an act of the daemon's own: not an event */
	BEE_CAUSE_DEMOTED = 8,	  /* submitted, but through the bulk ring: over the alert rate */
	BEE_CAUSE_UNNAMED = 9,	  /* tier portable: opened by handle, so there is no name to test */
	BEE_CAUSE_FOLDED = 10,	  /* a datagram that a later event counts */
	BEE_CAUSE_FILTERED = 11,  /* nothing the configuration asks for */
	BEE_CAUSE_COUNT = 16,	  /* room for later ones; the map is stored across versions */
};

/* Flags a record may carry: the low bits of Flags in src/event. */
#define BEE_FLAG_PATH_TRUNCATED	 (1ull << 0)
#define BEE_FLAG_PATH_UNRESOLVED (1ull << 1)
#define BEE_FLAG_FILE_DELETED	 (1ull << 3)
#define BEE_FLAG_ARGS_TRUNCATED	 (1ull << 4)
#define BEE_FLAG_ARGS_UNREADABLE (1ull << 5)
#define BEE_FLAG_ENV_TRUNCATED	 (1ull << 6)
#define BEE_FLAG_ENV_UNREADABLE	 (1ull << 7)
#define BEE_FLAG_EXE_MEMFD	 (1ull << 8)
#define BEE_FLAG_EXE_DELETED	 (1ull << 9)
#define BEE_FLAG_EXE_TMPFS	 (1ull << 10)
#define BEE_FLAG_SETUID		 (1ull << 11)
#define BEE_FLAG_COMPAT		 (1ull << 12)
#define BEE_FLAG_BY_IDENTITY	 (1ull << 16)
#define BEE_FLAG_ARGS_RACY	 (1ull << 18)
#define BEE_FLAG_DEMOTED	 (1ull << 19)
#define BEE_FLAG_PATH_UNREADABLE (1ull << 20)
#define BEE_FLAG_RESULT_UNKNOWN	 (1ull << 21)
#define BEE_FLAG_PROCESS_PARTIAL (1ull << 32)
#define BEE_FLAG_PATH_RELATIVE	 (1ull << 33)
#define BEE_FLAG_EXE_AS_GIVEN	 (1ull << 34)
#define BEE_FLAG_STATUS_UNKNOWN	 (1ull << 35)
#define BEE_FLAG_IO_URING	 (1ull << 40)
#define BEE_FLAG_IN_PROGRESS	 (1ull << 41)
#define BEE_FLAG_FAST_OPEN	 (1ull << 42)
#define BEE_FLAG_TARGET_EXITED	 (1ull << 48)
#define BEE_FLAG_TARGET_AS_GIVEN (1ull << 49)

/*
 * Who: the same in front of every record. With BEE_FLAG_PROCESS_PARTIAL the kernel's own
 * record of the process was not read: start (but of a fork), exec_id, ppid (but of a fork)
 * and mnt_ns are 0, euid and login_uid ~0.
 */
struct bee_header {
	__u32 length;  /* of the whole record, tail included */
	__u16 version; /* BEE_WIRE_VERSION */
	__u16 kind;    /* enum bee_kind */
	__u64 time;    /* CLOCK_BOOTTIME, ns */
	__u64 start;   /* of the process (thread group leader), CLOCK_BOOTTIME, ns */
	__u64 cgroup;  /* cgroup v2 id */
	__u64 exec_id; /* task_struct.self_exec_id: goes up by one with each exec */
	__u64 flags;   /* BEE_FLAG_* */
	__u16 hook;    /* enum bee_hook */
	__u16 generation;
	__s32 result; /* 0, or -errno of a refused act */
	__u32 tgid;
	__u32 tid;
	__u32 ppid; /* tgid of the parent */
	__u32 uid;
	__u32 gid;
	__u32 euid;
	__u32 login_uid; /* ~0: nobody logged in */
	__u32 mnt_ns;	 /* inode number of the mount namespace */
	char comm[16];
#ifdef BEE_TEST_FORMAT
	__u64 test_format;
#endif
};

/*
 * exec. Tail: walked path of the image, script path, argv, environment names. With
 * BEE_FLAG_EXE_AS_GIVEN there is no image, and the second is the name it was executed by.
 */
struct bee_exec {
	struct bee_header header;
	__u64 inode;
	__u32 device;
	__u16 image_length;
	__u16 script_length; /* bprm->filename, where it is not the image */
	__u16 args_length;   /* NUL after each */
	__u16 env_length;    /* names only, NUL after each; values never leave the kernel */
	__u32 reserved;
};

/* fork (header: the child) and exit. */
struct bee_process {
	struct bee_header header;
	__u32 status; /* exit: wait status as of wait(2); fork: nonzero if ppid made the
			 child for its own parent (CLONE_PARENT) */
	__u32 reserved;
};

/* The strings of a file record, in this order in its tail. */
enum bee_part {
	BEE_PART_NAME = 0,   /* the name as the caller gave it, with its NUL */
	BEE_PART_WALK = 1,   /* walked path: the file, or the directory the name is relative to */
	BEE_PART_NAME_2 = 2, /* second name of rename and link; what a symlink leads to */
	BEE_PART_WALK_2 = 3,
	BEE_PART_COUNT = 4,
};

/* Everything about files, and identities. */
struct bee_file {
	struct bee_header header;
	__u64 inode; /* 0: not known (the act was on a name) */
	__u64 value; /* truncate: new length; identity: what the scanner noted */
	__u32 inode_generation;
	__u32 device; /* of the file system, as in super_block.s_dev */
	__u32 node;   /* the device a node stands for, same encoding */
	__u32 mode;
	__u32 owner_uid; /* chown: ~0 leaves it */
	__u32 owner_gid;
	__u8 access; /* bit 0 read, bit 1 write; 0: no open */
	__u8 mask;   /* BEE_WATCH_* that made it a candidate */
	__u16 reserved;
	__u16 length[BEE_PART_COUNT];
	__u32 reserved_2;
};

/* cgroup made (or removed). Tail: its path below the cgroup mount, filled up with NUL. */
struct bee_cgroup {
	struct bee_header header;
	__u64 id;
	__u32 removed;
	__u16 path_length;
	__u16 reserved;
};

/* An address of an IPv4 socket, or one mapped into IPv6, is in the first 4 bytes. */
#define BEE_ADDRESS 16

/* Which facts about a socket are known. */
#define BEE_KNOWN_SOURCE      1u
#define BEE_KNOWN_DESTINATION 2u
#define BEE_KNOWN_PROTOCOL    4u /* type and protocol */

/*
 * A socket and what was done with it. The source is who asks for the connection, the
 * destination who is asked: of accept and listen that is this machine.
 */
struct bee_socket_facts {
	__u8 source[BEE_ADDRESS];
	__u8 destination[BEE_ADDRESS];
	__u64 count;	   /* send: datagrams this stands for */
	__u16 source_port; /* 0: not known, or none; the host's order of bytes */
	__u16 destination_port;
	__u16 family;
	__u16 type;
	__u16 protocol;
	__u16 path_length; /* of the tail that counts: the name of an AF_UNIX socket */
	__u8 known;	   /* BEE_KNOWN_* */
	__u8 reserved[3];
};

/* connect, send, accept, listen, socket. Tail: a name, filled up with NUL, or nothing. */
struct bee_socket {
	struct bee_header header;
	struct bee_socket_facts facts;
};

/* Datagrams of one process to one destination are one flow. */
struct bee_flow_key {
	__u32 tgid;
	__u16 port;
	__u8 family;
	__u8 protocol;
	__u8 destination[BEE_ADDRESS];
};

struct bee_flow {
	__u64 last;		  /* time of the last datagram, CLOCK_BOOTTIME, ns */
	__u64 folded;		  /* datagrams since the last event */
	struct bee_socket record; /* that event */
};

/* Bits of settings.network_kinds. */
#define BEE_NET_CONNECT 1u
#define BEE_NET_SEND	2u
#define BEE_NET_ACCEPT	4u
#define BEE_NET_LISTEN	8u
#define BEE_NET_SOCKET	16u
#define BEE_NET_UNIX	32u /* connections to AF_UNIX sockets */

/* Bits of settings.network_inet: Internet sockets that are neither TCP nor UDP. */
#define BEE_NET_RAW	 1u
#define BEE_NET_PROTOCOL 2u

/* The files of /proc/PID that show a process's memory: bee_memory.request of an open. */
enum bee_proc_file {
	BEE_PROC_NONE = 0,
	BEE_PROC_MEM = 1,
	BEE_PROC_ENVIRON = 2,
	BEE_PROC_MAPS = 3,
	BEE_PROC_SMAPS = 4,
	BEE_PROC_SMAPS_ROLLUP = 5,
	BEE_PROC_NUMA_MAPS = 6,
};

/*
 * One process reached for the memory or the descriptors of another. Of an open that is
 * known by its name alone the tail is that name, and the target the process the directory
 * belongs to that a relative name begins in, where it is one of a process.
 */
struct bee_memory {
	struct bee_header header;
	__u64 target_start;  /* of the process, CLOCK_BOOTTIME, ns; 0: not known */
	__u32 target_tgid;   /* 0: not known */
	__u32 target_tid;    /* the thread that was named; 0: not known */
	__u32 target_uid;    /* real; ~0: not known */
	__u32 target_number; /* as the caller gave it; 0: it gave none */
	__u32 request;	     /* ptrace: PTRACE_*; opens: enum bee_proc_file */
	__u8 access;	     /* opens: bit 0 read, bit 1 write; 0: not known */
	__u8 reserved;
	__u16 name_length;
	char target_comm[16];
};

/* What changes the kernel or its keeper. Tail: the name of a module, or nothing. */
struct bee_kernel {
	struct bee_header header;
	__u32 code;   /* bpf: command; io-uring: entries; time-set: enum bee_time_call; kill: signal
		       */
	__u32 detail; /* bpf: type of program or of attachment, or id of what is asked for */
	__u32 target; /* kill: thread group; 0: every process */
	__u16 name_length;
	__u16 reserved;
};

enum bee_time_call {
	BEE_TIME_SETTIMEOFDAY = 0,
	BEE_TIME_CLOCK_SETTIME = 1,
	BEE_TIME_ADJTIMEX = 2,
	BEE_TIME_CLOCK_ADJTIME = 3,
	BEE_TIME_STIME = 4,
};

/* What may be done with a watched inode before it is an event. */
#define BEE_WATCH_ANY	 1u /* every open */
#define BEE_WATCH_WRITE	 2u /* opens for writing */
#define BEE_WATCH_MOUNT	 4u /* scanner's note: the mount of this directory is complete */
#define BEE_WATCH_ANCHOR 8u /* name test only: a directory that leads to watched names */

/* How a name rule is tested; watch/ compiles patterns to these. */
enum bee_rule {
	BEE_RULE_EXACT = 0,
	BEE_RULE_PREFIX = 1,
	BEE_RULE_SUFFIX = 2,
	BEE_RULE_DIRECTORY = 3,
	BEE_RULE_PARENT = 4,
	BEE_RULE_ANCHOR = 5,
};

struct bee_rule_key {
	__u64 hash; /* FNV-1a 64 of the bytes; of a suffix: from its last byte to its first */
	__u32 policy;
	__u8 rule;   /* enum bee_rule */
	__u8 length; /* bytes hashed, for prefix and suffix; else 0 */
	__u16 reserved;
};

struct bee_inode_key {
	__u64 inode;
	__u32 device;
	__u32 policy;
};

struct bee_inode_value {
	__u32 generation;
	__u32 mask; /* BEE_WATCH_ANY, BEE_WATCH_WRITE */
};

struct bee_device_key {
	__u32 node;
	__u32 policy;
	__u32 block; /* 1 block, 0 character */
	__u32 reserved;
};

struct bee_bucket {
	__u64 refilled;	 /* CLOCK_BOOTTIME, ns */
	__u64 tokens;	 /* of the alert ring, in units of 1/1e9 event */
	__u64 second;	 /* start of the second counted for the hard limit */
	__u64 in_second; /* events in it */
};

#define BEE_SCANNED_MAX 32 /* file systems checked by identity; more are checked by name */

/* Everything that can change while running; one mapped page, written by user space only. */
/* What a rule tells of the first and the last byte of a name it may be about. */
#define BEE_EDGE_FIRST	1 /* a whole name begins with it */
#define BEE_EDGE_LAST	2 /* a whole name ends with it */
#define BEE_EDGE_PREFIX 4 /* a rule that asks for nothing but the beginning begins with it */
#define BEE_EDGE_SUFFIX 8 /* a rule that asks for nothing but the end ends with it */

struct bee_settings {
	__u32 generation;    /* objects of another generation do nothing */
	__u32 policy;	     /* keys of the rules and identities in force */
	__u32 policy_before; /* identities still good while a new policy is being learned */
	__u32 self_tgid;
	__u32 scanner_tgid;
	__u32 canary_tgid;    /* every open of this process is an event */
	__u32 prefix_lengths; /* bit n: some prefix rule has length n */
	__u32 suffix_lengths;
	__u32 names_everywhere; /* nonzero: check names on every file system */
	__u32 alerts_per_second;
	__u32 alert_burst;
	__u32 events_per_second; /* 0: no hard limit */
	__u32 env_names;	 /* nonzero: collect names of environment variables at exec */
	__u32 every_directory;	 /* nonzero: any renamed directory may bring watched names along */
	__u32 scanned_count;
	__u32 scanned[BEE_SCANNED_MAX]; /* s_dev */
	__u32 network_kinds;		/* BEE_NET_*: what is asked for */
	__u32 network_loopback;		/* zero: what a machine sends itself is no event */
	__u32 network_window;		/* ms in which datagrams of a flow are one event; 0: none */
	__u32 network_families;		/* sockets of address family n are told: bit n */
	__u32 network_families_2;	/* of 32 + n */
	__u32 network_inet;		/* BEE_NET_RAW, BEE_NET_PROTOCOL */
	__u8 edges[256];		/* BEE_EDGE_*: what may begin or end with this byte */
};

/* Written by the kernel side, read by user space. */
struct bee_state {
	/* These three are read as one number, which is that of a device only while the two others
	 * are 0: see bee_usual. User space writes the first: s_dev of the file system most opens
	 * are of, while it needs no name check and nothing else asks for one; else 0. */
	__u32 usual;
	__u16 names_everywhere; /* set when a directory or name came that must be scanned; user
				   space clears it */
	__u16 table_full;	/* the identity table could not take one */
	__u64 woken[2];		/* when the reader of each ring was last woken by force */
	__u64 zero;		/* always 0, which the verifier cannot know: see bee_unknown */
	__u64 network_hooks;	/* cgroup hooks that have run: see network.bpf.h */
	__u64 quarter[2];	/* of each ring's bytes, once they were asked for */
	__u64 usual_super;	/* the super block of `usual`, mixed with it: see bee_usual_super */
};
