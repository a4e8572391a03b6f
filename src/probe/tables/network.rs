//! The network sensor: its mechanisms, best first.

use super::{load, required, variant};
use crate::canary::Proof;
use crate::probe::{Mechanism, Point, Tier};
use crate::skel;

pub(super) const MECHANISMS: &[Mechanism] = &[FULL, KPROBE, TRACEPOINT, PORTABLE];

/// A program of the root cgroup: without it destinations are what callers gave.
macro_rules! cgroup {
    ($what:literal, $hook:literal, $id:literal, $tier:expr, $proof:expr) => {
        Point {
            name: $what,
            required: false,
            proof: $proof,
            graded: true,
            variants: &[variant(concat!("cgroup__", $hook), concat!("cgroup/", $hook), $id, $tier)],
        }
    };
}

/// One hook of `network_security`: kind and function, number, tier.
macro_rules! socket {
    ($name:literal, $required:literal, $proof:ident, $kind:literal, $function:literal, $id:literal, $tier:ident) => {
        Point {
            name: $name,
            required: $required,
            proof: Proof::$proof,
            graded: true,
            variants: &[variant(
                concat!($kind, "__", $function),
                concat!($kind, "/", $function),
                $id,
                Tier::$tier,
            )],
        }
    };
}

const FULL: Mechanism = Mechanism {
    object: "network_security",
    slots: 1,
    points: &[
        required(
            "connections",
            Proof::Network,
            &[
                variant("fexit__security_socket_connect", "fexit/security_socket_connect", 144, Tier::Full),
                variant("lsm__socket_connect", "lsm/socket_connect", 145, Tier::Full),
            ],
        ),
        connected!("fexit", Tier::Full, "inet_stream_connect"),
        connected!("fexit", Tier::Full, "inet_dgram_connect"),
        connected!("fexit", Tier::Full, "unix_stream_connect"),
        connected!("fexit", Tier::Full, "unix_dgram_connect"),
        socket!(
            "connections with data in their first packet",
            false,
            None,
            "fexit",
            "security_socket_sendmsg",
            157,
            Full
        ),
        socket!("datagrams, IPv4", true, Network, "fexit", "udp_sendmsg", 147, Full),
        socket!("datagrams, IPv6", false, None, "fexit", "udpv6_sendmsg", 149, Full),
        socket!("listeners", true, Network, "fexit", "inet_listen", 151, Full),
        socket!("accepted connections", true, Network, "fentry", "security_sock_graft", 153, Full),
        socket!("sockets", true, Network, "fexit", "__sock_create", 155, Full),
    ],
    load: |btf, prepare, loaded| {
        load::<skel::network_security::NetworkSecuritySkelBuilder>(btf, prepare, loaded)
    },
};

const KPROBE: Mechanism = Mechanism {
    points: &[
        socket!("connections", true, Network, "kprobe", "security_socket_connect", 146, Kprobe),
        refusal!("socket_connect"),
        connected!("kretprobe", Tier::Kprobe, "inet_stream_connect"),
        connected!("kretprobe", Tier::Kprobe, "inet_dgram_connect"),
        connected!("kretprobe", Tier::Kprobe, "unix_stream_connect"),
        connected!("kretprobe", Tier::Kprobe, "unix_dgram_connect"),
        socket!(
            "connections with data in their first packet",
            false,
            None,
            "kprobe",
            "security_socket_sendmsg",
            158,
            Kprobe
        ),
        connected!("kretprobe", Tier::Kprobe, "udp_sendmsg"),
        socket!("datagrams, IPv4", true, Network, "kprobe", "udp_sendmsg", 148, Kprobe),
        connected!("kretprobe", Tier::Kprobe, "udpv6_sendmsg", false),
        socket!("datagrams, IPv6", false, None, "kprobe", "udpv6_sendmsg", 150, Kprobe),
        socket!("listeners", true, Network, "kprobe", "inet_listen", 152, Kprobe),
        connected!("kretprobe", Tier::Kprobe, "inet_listen"),
        socket!("accepted connections", true, Network, "kprobe", "security_sock_graft", 154, Kprobe),
        socket!("sockets", true, Network, "kprobe", "__sock_create", 156, Kprobe),
        connected!("kretprobe", Tier::Kprobe, "__sock_create"),
    ],
    ..FULL
};

const TRACEPOINT: Mechanism = Mechanism {
    object: "network",
    slots: 1,
    points: &[
        required(
            "calls of sockets",
            Proof::Network,
            &[
                variant("tp_btf__sys_exit", "tp_btf/sys_exit", 128, Tier::Tracepoint),
                variant("raw_tp__sys_exit", "raw_tp/sys_exit", 129, Tier::Tracepoint),
            ],
        ),
        cgroup!("connections, IPv4", "connect4", 130, Tier::Tracepoint, Proof::Network),
        cgroup!("connections, IPv6", "connect6", 131, Tier::Tracepoint, Proof::None),
        cgroup!("datagrams, IPv4", "sendmsg4", 132, Tier::Tracepoint, Proof::Network),
        cgroup!("datagrams, IPv6", "sendmsg6", 133, Tier::Tracepoint, Proof::None),
    ],
    load: |btf, prepare, loaded| load::<skel::network::NetworkSkelBuilder>(btf, prepare, loaded),
};

const PORTABLE: Mechanism = Mechanism {
    object: "network_portable",
    slots: 1,
    points: &[
        required(
            "calls of sockets",
            Proof::Network,
            &[variant("raw_tp__sys_exit", "raw_tp/sys_exit", 136, Tier::Portable)],
        ),
        cgroup!("connections, IPv4", "connect4", 137, Tier::Portable, Proof::Network),
        cgroup!("connections, IPv6", "connect6", 138, Tier::Portable, Proof::None),
        cgroup!("datagrams, IPv4", "sendmsg4", 139, Tier::Portable, Proof::Network),
        cgroup!("datagrams, IPv6", "sendmsg6", 140, Tier::Portable, Proof::None),
    ],
    load: |btf, prepare, loaded| {
        load::<skel::network_portable::NetworkPortableSkelBuilder>(btf, prepare, loaded)
    },
};
