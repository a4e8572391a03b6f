//! What is told of a socket.

use std::net::IpAddr;

use super::Text;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `source.ip`, `destination.ip`; an IPv4 address in IPv6 is told as IPv4.
    pub ip: IpAddr,
    /// `source.port`, `destination.port`; 0: none, or not known.
    pub port: u16,
}

/// The socket an event is about, and what was done with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network<'a> {
    /// `source`: who asks for the connection.
    pub source: Option<Endpoint>,
    /// `destination`: who is asked; of `listen` and `accept` this machine.
    pub destination: Option<Endpoint>,
    /// `destination.address`: the name of a local socket; an abstract one begins with `@`.
    pub path: Option<Text<'a>>,
    /// Address family (linux/socket.h).
    pub family: u16,
    /// Type and protocol of the socket, where known.
    pub protocol: Option<(u16, u16)>,
    /// `bee.count`: datagrams this event stands for.
    pub count: Option<u64>,
    /// `network.direction`.
    pub egress: Option<bool>,
}

/// Address families: number (linux/socket.h), and the word in `network.type` and `network.sockets`.
pub const FAMILIES: &[(u16, &str)] = &[
    (1, "unix"),
    (2, "ipv4"),
    (3, "ax25"),
    (4, "ipx"),
    (5, "appletalk"),
    (9, "x25"),
    (10, "ipv6"),
    (15, "key"),
    (16, "netlink"),
    (17, "packet"),
    (21, "rds"),
    (24, "pppox"),
    (26, "llc"),
    (27, "ib"),
    (28, "mpls"),
    (29, "can"),
    (30, "tipc"),
    (31, "bluetooth"),
    (33, "rxrpc"),
    (35, "phonet"),
    (36, "ieee802154"),
    (37, "caif"),
    (38, "alg"),
    (39, "nfc"),
    (40, "vsock"),
    (41, "kcm"),
    (42, "qipcrtr"),
    (43, "smc"),
    (44, "xdp"),
    (45, "mctp"),
];

/// Protocols of Internet sockets: number (IANA), and the word in `network.transport`.
const TRANSPORTS: &[(u16, &str)] = &[
    (1, "icmp"),
    (2, "igmp"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (47, "gre"),
    (50, "esp"),
    (58, "ipv6-icmp"),
    (132, "sctp"),
    (136, "udplite"),
    (255, "raw"),
    (262, "mptcp"),
];

/// Types of sockets (linux/net.h), and the word in `bee.socket.type`.
const TYPES: &[(u16, &str)] =
    &[(1, "stream"), (2, "datagram"), (3, "raw"), (4, "rdm"), (5, "seqpacket"), (6, "dccp"), (10, "packet")];

fn word(table: &[(u16, &'static str)], number: u16) -> Option<&'static str> {
    table.iter().find(|row| row.0 == number).map(|row| row.1)
}

impl Network<'_> {
    /// `network.type`; `None` of a family that has no word.
    pub fn family_name(&self) -> Option<&'static str> {
        word(FAMILIES, self.family)
    }

    /// `network.transport`, of Internet sockets.
    pub fn transport(&self) -> Option<&'static str> {
        let (_, protocol) = self.protocol.filter(|_| matches!(self.family, 2 | 10))?;
        word(TRANSPORTS, protocol)
    }

    /// `bee.socket.type`, where it has a word.
    pub fn type_name(&self) -> Option<&'static str> {
        word(TYPES, self.protocol?.0)
    }

    /// `network.direction`.
    pub fn direction(&self) -> Option<&'static str> {
        self.egress.map(|egress| if egress { "egress" } else { "ingress" })
    }
}
