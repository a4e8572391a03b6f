//! What the self-test's records showed, for who waits for them.

use std::net::{IpAddr, Ipv4Addr};

use crate::canary::Known;
use crate::decode::Record;
use crate::event::{Action, Endpoint, Network};
use crate::probe::{self, Tier};
use crate::wire::bee_header;

/// What the canary's records showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canary {
    /// Its process; 0: none is expected.
    pub pid: u32,
    /// The port it spoke to itself through.
    pub port: u16,
    /// Hooks that reported an act of it rightly (`enum bee_hook`).
    pub hooks: Vec<u16>,
    /// What its records are compared with, where the types they are read with may be wrong.
    pub known: Option<Known>,
    /// The first thing that was not so.
    pub wrong: Option<String>,
}

impl Canary {
    /// Compares a record of the canary's with what is known of it.
    pub(crate) fn compare(&mut self, record: &Record<'_>) {
        let Some(known) = self.known.as_mut().filter(|_| self.pid != 0 && self.pid == record.header.tgid)
        else {
            return;
        };
        // Hooks that read no type of the kernel's have nothing wrong from there.
        let (hook, tier) = probe::hook(record.header.hook);
        if tier != Tier::Portable.name()
            && let Err(why) = known.check(record)
        {
            self.wrong.get_or_insert_with(|| format!("{hook}: {why}"));
        }
    }

    /// Whether this is what it did with sockets.
    pub(super) fn right(&self, action: Action, network: &Network<'_>) -> bool {
        let itself = |end: Option<Endpoint>| {
            end.is_some_and(|end| end.ip == IpAddr::from(Ipv4Addr::LOCALHOST) && end.port == self.port)
        };
        match action {
            Action::Socket => network.family == 2 && network.protocol == Some((3, 1)),
            _ => itself(network.destination),
        }
    }

    /// Notes the hook of a record of the canary's; `right`: the record says what was done.
    pub(super) fn hears(&mut self, header: &bee_header, right: bool) {
        if self.pid != 0 && self.pid == header.tgid && right {
            self.hooks.push(header.hook);
        }
    }
}
