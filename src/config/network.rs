//! Ports, addresses and kinds of sockets as they stand in the configuration.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::event::FAMILIES;

/// A port, or all from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// `22` or `6660-6669`.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|port| digits && *port != 0)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self { first: number(first)?, last: number(last)? };
        (range.first <= range.last).then_some(range)
    }

    /// Whether a port is in it.
    pub fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// As it is written.
    pub fn text(self) -> String {
        if self.first == self.last { self.first.to_string() } else { format!("{}-{}", self.first, self.last) }
    }
}

/// An address, or all of a network. An IPv4 address that is written as IPv6 is an IPv4 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange(IpNet);

impl AddressRange {
    /// `192.0.2.1` or `2001:db8::/32`.
    pub fn parse(text: &str) -> Option<Self> {
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().ok()?,
        };
        let mapped = match net {
            IpNet::V6(six) if six.prefix_len() >= 96 => six.addr().to_ipv4_mapped(),
            _ => None,
        };
        match mapped {
            Some(four) => Some(Self(IpNet::new(four.into(), net.prefix_len() - 96).ok()?)),
            None => Some(Self(net)),
        }
    }

    /// Whether an address is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether all of another range is.
    pub fn covers(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// As it is written.
    pub fn text(self) -> String {
        let net = self.0;
        if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
    }
}

/// Kinds of sockets beside TCP and UDP that are told when they are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketKinds {
    /// Address families, by their bits.
    pub families: u64,
    /// Raw sockets of the Internet.
    pub raw: bool,
    /// Sockets of the Internet of a protocol beside TCP and UDP.
    pub protocol: bool,
}

/// Families everybody uses: of those no making of a socket is told.
const ORDINARY: [&str; 4] = ["unix", "ipv4", "ipv6", "netlink"];

impl SocketKinds {
    /// Every word, in the order of the documentation.
    pub fn words() -> impl Iterator<Item = &'static str> {
        let families = FAMILIES.iter().map(|row| row.1).filter(|word| !ORDINARY.contains(word));
        ["raw", "protocol"].into_iter().chain(families).chain(["other"])
    }

    /// Adds the kind of this word; false: there is none.
    pub fn add(&mut self, word: &str) -> bool {
        match word {
            "raw" => self.raw = true,
            "protocol" => self.protocol = true,
            "other" => {
                let named = FAMILIES.iter().fold(0, |bits, row| bits | 1u64 << row.0);
                self.families |= !named & !1;
            }
            _ => match FAMILIES.iter().find(|row| row.1 == word && !ORDINARY.contains(&word)) {
                Some(row) => self.families |= 1 << row.0,
                None => return false,
            },
        }
        true
    }

    /// The words of what it holds.
    pub fn list(self) -> Vec<String> {
        let held = |word: &&str| {
            let mut one = Self::default();
            one.add(word);
            self.families & one.families == one.families
                && (self.raw || !one.raw)
                && (self.protocol || !one.protocol)
        };
        Self::words().filter(held).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges_of_them() {
        let range = PortRange::parse("6660-6669").unwrap();
        assert!(range.contains(6660) && range.contains(6669) && !range.contains(6670) && !range.contains(0));
        assert_eq!(range.text(), "6660-6669");
        assert_eq!(PortRange::parse("22-22").unwrap().text(), "22");
        for bad in ["", "0", "65536", "+1", "2-1", "1-", "-1", "a", "1-2-3", "0-9", " 1"] {
            assert_eq!(PortRange::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_and_networks() {
        let range = |text| AddressRange::parse(text).unwrap();
        assert!(range("10.0.0.0/8").contains("10.255.0.1".parse().unwrap()));
        assert!(!range("10.0.0.0/8").contains("11.0.0.1".parse().unwrap()));
        assert!(range("::1").contains("::1".parse().unwrap()));
        assert!(!range("0.0.0.0/0").contains("::1".parse().unwrap()));
        // Mapped ones stand for what they are on the wire.
        assert_eq!(range("::ffff:127.0.0.1"), range("127.0.0.1"));
        assert_eq!(range("::ffff:10.0.0.0/104"), range("10.0.0.0/8"));
        assert!(
            range("127.0.0.0/8").covers(range("127.0.0.1"))
                && !range("127.0.0.1").covers(range("127.0.0.0/8"))
        );
        for bad in ["", "10", "10.0.0.0/33", "::/129", "example.org", "10.0.0.1:22", "fe80::1%eth0"] {
            assert_eq!(AddressRange::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn kinds_of_sockets_by_word() {
        let mut all = SocketKinds::default();
        for word in SocketKinds::words() {
            assert!(all.add(word), "{word}");
        }
        assert_eq!(all.list(), SocketKinds::words().collect::<Vec<_>>());
        // Unix, both of the Internet, netlink, and none at all.
        assert_eq!(!all.families, 1 | 1 << 1 | 1 << 2 | 1 << 10 | 1 << 16);
        let mut some = SocketKinds::default();
        assert!(some.add("packet") && some.add("raw") && !some.add("ipv4") && !some.add("tcp"));
        assert_eq!((some.families, some.raw, some.protocol), (1 << 17, true, false));
        assert_eq!(some.list(), ["raw", "packet"]);
    }
}
