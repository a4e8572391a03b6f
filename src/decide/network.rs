//! Which acts on sockets are events, and how grave: by the lists of `[network]`.

use super::{Decide, Verdict, is_about};
use crate::config::{self, AddressRange, PortRange};
use crate::event::{Action, Endpoint, Network, Severity};
use crate::watch::PatternSet;

/// The facts about an act on a socket that a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct NetworkFacts<'a> {
    /// What was done.
    pub action: Action,
    /// With which socket.
    pub network: &'a Network<'a>,
    /// True path of the image, where known and in the daemon's own mount namespace.
    pub executable: Option<&'a [u8]>,
    /// systemd unit.
    pub unit: Option<&'a str>,
}

/// The lists, ready to be asked.
#[derive(Debug)]
pub(super) struct Lists {
    suspicious: Both,
    monitored: Both,
    safe: Both,
    ignore: Vec<AddressRange>,
    unix: PatternSet,
}

/// Ports and addresses of one list.
#[derive(Debug)]
struct Both {
    ports: Vec<PortRange>,
    addresses: Vec<AddressRange>,
}

impl Lists {
    pub(super) fn new(config: &config::Network) -> Self {
        let both = |ports: &[PortRange], addresses: &[AddressRange]| Both {
            ports: ports.to_vec(),
            addresses: addresses.to_vec(),
        };
        Self {
            suspicious: both(&config.suspicious_ports, &config.suspicious_addresses),
            monitored: both(&config.monitored_ports, &config.monitored_addresses),
            safe: both(&config.safe_ports, &config.safe_addresses),
            ignore: config.ignore.clone(),
            unix: PatternSet::new(&config.unix),
        }
    }
}

impl Both {
    /// The port asked for, or the other side's address.
    fn has(&self, port: Option<u16>, peer: Option<Endpoint>) -> bool {
        port.is_some_and(|port| self.ports.iter().any(|range| range.contains(port)))
            || peer.is_some_and(|peer| contains(&self.addresses, peer))
    }
}

fn contains(ranges: &[AddressRange], end: Endpoint) -> bool {
    ranges.iter().any(|range| range.contains(end.ip))
}

impl Decide {
    /// Whether an act on a socket is an event, and how grave.
    pub fn network(&self, facts: &NetworkFacts<'_>) -> Verdict {
        let network = facts.network;
        let lists = &self.network;
        if let Some(path) = &network.path {
            if !lists.unix.matches(path) {
                return Verdict::NotWatched;
            }
            return self.unless_excluded(facts, None, Severity::Medium);
        }
        if network.family == UNIX {
            return Verdict::NotWatched;
        }
        // What is far away: of accept that is the source, and of listen nobody yet.
        let peer = match facts.action {
            Action::Accept => network.source,
            Action::Listen => None,
            _ => network.destination,
        };
        if peer.is_some_and(|peer| contains(&lists.ignore, peer)) {
            return Verdict::NotWatched;
        }
        let port = network.destination.map(|end| end.port).filter(|port| *port != 0);
        let severity = if facts.action == Action::Socket {
            Severity::Medium
        } else if lists.suspicious.has(port, peer) {
            Severity::High
        } else if lists.monitored.has(port, peer) {
            Severity::Medium
        } else if lists.safe.has(port, peer) {
            Severity::Info
        } else {
            Severity::Low
        };
        self.unless_excluded(facts, peer, severity)
    }

    /// An `[[exclude]]` is for networks where it names addresses of them or actions on them.
    fn unless_excluded(
        &self,
        facts: &NetworkFacts<'_>,
        peer: Option<Endpoint>,
        severity: Severity,
    ) -> Verdict {
        let excluded = self.exclude.iter().any(|(rule, paths)| {
            let listed = rule.actions.contains(&facts.action);
            let concerned = if rule.networks.is_empty() {
                listed && paths.patterns().is_empty()
            } else {
                peer.is_some_and(|peer| contains(&rule.networks, peer)) && (rule.actions.is_empty() || listed)
            };
            concerned && is_about(rule, facts.executable, facts.unit)
        });
        if excluded { Verdict::Excluded } else { Verdict::Deliver(severity) }
    }
}

/// AF_UNIX; one without a name leads nowhere.
const UNIX: u16 = 1;
