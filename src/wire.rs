//! The record ABI as Rust sees it: the types come from the skeleton of
//! base.bpf.c, so they cannot drift from `src/bpf/wire.h`. The only place that
//! calls them plain data.

#![allow(missing_docs)]

pub use crate::skel::base::types::{
    bee_cgroup, bee_device_key, bee_exec, bee_file, bee_flow, bee_flow_key, bee_header, bee_inode_key,
    bee_kernel, bee_memory, bee_process, bee_rule_key, bee_settings, bee_socket, bee_socket_facts, bee_state,
};

/// `BEE_WIRE_VERSION` of wire.h; a test compares the two.
pub const WIRE_VERSION: u16 = if cfg!(bee_test_format) { 2 } else { 1 };
/// `BEE_KIND_COUNT`.
pub const KIND_COUNT: usize = 64;
/// `BEE_CAUSE_COUNT`.
pub const CAUSE_COUNT: usize = 16;
/// `BEE_SCANNED_MAX`.
pub const SCANNED_MAX: usize = 32;

pub const KIND_EXEC: u16 = 1;
pub const KIND_FORK: u16 = 2;
pub const KIND_EXIT: u16 = 3;
pub const KIND_OPEN: u16 = 4;
pub const KIND_CREATE: u16 = 5;
pub const KIND_DELETE: u16 = 6;
pub const KIND_RENAME: u16 = 7;
pub const KIND_LINK: u16 = 8;
pub const KIND_SYMLINK: u16 = 9;
pub const KIND_CHMOD: u16 = 10;
pub const KIND_CHOWN: u16 = 11;
pub const KIND_TRUNCATE: u16 = 12;
pub const KIND_MKNOD: u16 = 13;
pub const KIND_IDENTITY: u16 = 14;
pub const KIND_CGROUP: u16 = 15;
pub const KIND_CONNECT: u16 = 16;
pub const KIND_SEND: u16 = 17;
pub const KIND_ACCEPT: u16 = 18;
pub const KIND_LISTEN: u16 = 19;
pub const KIND_SOCKET: u16 = 20;
pub const KIND_PTRACE: u16 = 24;
pub const KIND_VM_READ: u16 = 25;
pub const KIND_VM_WRITE: u16 = 26;
pub const KIND_PROC_MEM: u16 = 27;
pub const KIND_PROC_ENVIRON: u16 = 28;
pub const KIND_PROC_MAPS: u16 = 29;
pub const KIND_PIDFD_GETFD: u16 = 30;
pub const KIND_MODULE_LOAD: u16 = 32;
pub const KIND_BPF: u16 = 33;
pub const KIND_IO_URING: u16 = 34;
pub const KIND_TIME_SET: u16 = 35;
pub const KIND_KILL: u16 = 36;

/// The scanner's note on a directory: its mount is complete (`BEE_WATCH_MOUNT`).
pub const WATCH_MOUNT: u64 = 4;
/// In place of a length (`BEE_LENGTH_UNKNOWN`).
pub const LENGTH_UNKNOWN: u64 = u64::MAX;
/// Every open is watched (`BEE_WATCH_ANY`).
pub const WATCH_ANY: u8 = 1;

/// Facts about a socket that are known (`BEE_KNOWN_*`).
pub const KNOWN_SOURCE: u8 = 1;
pub const KNOWN_DESTINATION: u8 = 2;
pub const KNOWN_PROTOCOL: u8 = 4;
/// What the network sensor is asked for (`BEE_NET_*`): connect, send, accept, listen, socket by their
/// places in this list, then connections to AF_UNIX sockets.
pub const NET_KINDS: [u16; 5] = [KIND_CONNECT, KIND_SEND, KIND_ACCEPT, KIND_LISTEN, KIND_SOCKET];
pub const NET_UNIX: u32 = 32;

/// `BEE_EDGE_FIRST`: a whole name begins with this byte.
pub const EDGE_FIRST: u8 = 1;
/// `BEE_EDGE_LAST`: a whole name ends with it.
pub const EDGE_LAST: u8 = 2;
/// `BEE_EDGE_PREFIX`: a rule for beginnings begins with it.
pub const EDGE_PREFIX: u8 = 4;
/// `BEE_EDGE_SUFFIX`: a rule for ends ends with it.
pub const EDGE_SUFFIX: u8 = 8;
/// Bits of `network_inet`: raw sockets, and those of protocols beside TCP and UDP.
pub const NET_RAW: u32 = 1;
pub const NET_PROTOCOL: u32 = 2;

/// A cause a record can end with in the kernel: column, name, and whether the
/// event is lost by it.
pub const CAUSES: &[(usize, &str, bool)] = &[
    (0, "submitted", false),
    (1, "ring_full", true),
    (2, "rate_limit", true),
    (3, "no_scratch", true),
    (4, "unreadable", true),
    (5, "too_long", true),
    (6, "map_full", false),
    (7, "self", false),
    (8, "demoted", false),
    (9, "unnamed", true),
    (10, "folded", false),
    (11, "filtered", false),
];

/// By how much every record is longer in builds for tests of an upgrade: see `formats.rs`.
const WIDER: usize = if cfg!(bee_test_format) { 8 } else { 0 };

macro_rules! plain {
    ($($name:ident = $size:expr),+ $(,)?) => {
        $(
            const _: () = assert!(std::mem::size_of::<$name>() == $size);
            // SAFETY: integers and byte arrays only, repr(C), no implicit padding
            // (wire.h is compiled so, and the size above leaves no room for any);
            // every bit pattern is a value.
            unsafe impl plain::Plain for $name {}
        )+
    };
}

plain! {
    bee_header = 104 + WIDER,
    bee_exec = 128 + WIDER,
    bee_process = 112 + WIDER,
    bee_file = 160 + WIDER,
    bee_cgroup = 120 + WIDER,
    bee_socket_facts = 56,
    bee_socket = 160 + WIDER,
    bee_flow_key = 24,
    bee_flow = 176 + WIDER,
    bee_memory = 152 + WIDER,
    bee_kernel = 120 + WIDER,
    bee_rule_key = 16,
    bee_inode_key = 16,
    bee_device_key = 16,
}

/// The bytes of a map key.
pub fn bytes<T: plain::Plain>(value: &T) -> &[u8] {
    // SAFETY: Plain types have no padding, so all their bytes are initialised.
    unsafe { plain::as_bytes(value) }
}
