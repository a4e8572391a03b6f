//! Acts on sockets: whether it is an event, how grave, and what it looks like.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Fate, Pipeline, frame};
use crate::decide::{NetworkFacts, Verdict};
use crate::decode::Socket;
use crate::event::{self, Action, Endpoint, Flags, Network, Text};
use crate::wire::{self, bee_header, bee_socket_facts};

/// linux/socket.h
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

impl Pipeline {
    pub(super) fn socket(&mut self, header: &bee_header, socket: &Socket<'_>, sequence: u64) -> Fate {
        let Some(action) = super::action(header.kind) else { return Fate::Context };
        let facts = &socket.fixed.facts;
        let network = network(action, facts, socket.path);
        if self.canary.pid != 0 && self.canary.pid == header.tgid {
            let right = self.canary.right(action, &network);
            self.canary.hears(header, right);
            return Fate::Canary;
        }
        if self.own.contains(&header.tgid) {
            return Fate::Own;
        }
        let actor = self.enrich.actor(header);
        let verdict = self.decide.network(&NetworkFacts {
            action,
            network: &network,
            executable: self.enrich.sure_path(header, &actor),
            unit: self.enrich.cgroups.get(header.cgroup).and_then(|(unit, _)| unit),
        });
        let severity = match verdict {
            Verdict::Deliver(severity) => severity,
            Verdict::Excluded => return Fate::Excluded,
            Verdict::NotWatched => return Fate::NotWatched,
        };
        let body = event::Body::Network(network);
        let mut event = frame(&self.enrich, header, action, severity, sequence, body);
        event.flags.insert(actor.flags);
        if facts.family == AF_UNIX && socket.path.first().is_some_and(|byte| !matches!(byte, 0 | b'/')) {
            event.flags.insert(Flags::PATH_RELATIVE);
        }
        event.process = Some(self.enrich.process(header, &actor));
        Self::deliver(&mut self.sinks, &event)
    }
}

/// A record's facts for readers.
fn network<'a>(action: Action, facts: &bee_socket_facts, path: &'a [u8]) -> Network<'a> {
    let known = |bit: u8| facts.known & bit != 0;
    let end = |bit, address: &[u8; 16], port| {
        known(bit).then(|| ip(facts.family, address)).flatten().map(|ip| Endpoint { ip, port })
    };
    Network {
        source: end(wire::KNOWN_SOURCE, &facts.source, facts.source_port)
            // Not chosen yet, or not one for all.
            .filter(|end| !end.ip.is_unspecified()),
        destination: end(wire::KNOWN_DESTINATION, &facts.destination, facts.destination_port),
        path: (facts.family == AF_UNIX && !path.is_empty()).then(|| name(path)),
        family: facts.family,
        protocol: known(wire::KNOWN_PROTOCOL).then_some((facts.r#type, facts.protocol)),
        count: (action == Action::Send).then_some(facts.count),
        egress: match action {
            Action::Connect | Action::Send => Some(true),
            Action::Accept | Action::Listen => Some(false),
            _ => None,
        },
    }
}

/// The address; `None` of a family without such.
fn ip(family: u16, address: &[u8; 16]) -> Option<IpAddr> {
    let [a, b, c, d, ..] = *address;
    match family {
        AF_INET => Some(Ipv4Addr::new(a, b, c, d).into()),
        AF_INET6 => Some(Ipv6Addr::from(*address).into()),
        _ => None,
    }
}

/// `sun_path` as unix(7) has it: up to a NUL; with one in front it is abstract, and all of it is
/// the name.
fn name(path: &[u8]) -> Text<'_> {
    match path {
        [0, rest @ ..] => [b"@", rest].concat().into(),
        _ => path.split(|byte| *byte == 0).next().unwrap_or(path).into(),
    }
}
