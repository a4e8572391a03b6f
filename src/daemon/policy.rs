//! A configuration turned into what the kernel side reads. Each has a number, the
//! policy, which is part of every key: a new one is written beside the old, then
//! the word that says which is in force is changed, then the old is deleted.

use libbpf_rs::{MapCore, MapFlags};

use crate::config::{self, AddressRange, Config};
use crate::error::{Error, Result};
use crate::event::Action;
use crate::pipeline::action;
use crate::probe::loader::Maps;
use crate::shared::Settings;
use crate::watch::{self, KernelRules};
use crate::wire::{self, bee_device_key, bee_inode_key, bee_rule_key};

/// Devices that are watched by number wherever their node lies: name, number as
/// the kernel keeps it (Documentation/admin-guide/devices.txt).
const MEMORY_DEVICES: &[(&str, u32)] =
    &[("/dev/mem", 1 << 20 | 1), ("/dev/kmem", 1 << 20 | 2), ("/dev/port", 1 << 20 | 4)];

/// What a machine sends itself: the kernel side passes over it where all of it is ignored.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1"];

/// The rules and numbers of the kernel side.
pub struct Policies<'a> {
    maps: &'a Maps,
    settings: &'a Settings,
    current: u32,
    rules: KernelRules,
}

impl<'a> Policies<'a> {
    /// Nothing is in force yet.
    pub fn new(maps: &'a Maps, settings: &'a Settings) -> Self {
        Self { maps, settings, current: 0, rules: KernelRules::default() }
    }

    /// Goes on from what an earlier life of the daemon has put in force, whose rules are all in the
    /// map and not known here.
    pub fn resume(maps: &'a Maps, settings: &'a Settings) -> Self {
        // Any rule may have any length until the first configuration is in force.
        let rules =
            KernelRules { prefix_lengths: u32::MAX, suffix_lengths: u32::MAX, ..KernelRules::default() };
        Self { maps, settings, current: settings.policy(), rules }
    }

    /// Takes all rules out that are not of the policy in force.
    pub fn clean(&self) {
        if let Ok(map) = self.maps.get("rules") {
            let at = std::mem::offset_of!(bee_rule_key, policy);
            let others = map.keys().filter(|key| word(key, at).is_some_and(|policy| policy != self.current));
            for key in others.collect::<Vec<_>>() {
                let _ = map.delete(&key);
            }
        }
    }

    /// Puts a configuration in force. Until `learned` is called the identities of
    /// the policy before stay good, and names are checked on every file system.
    ///
    /// # Errors
    /// When the rules do not fit; then the old policy stays in force.
    pub fn enforce(&mut self, config: &Config) -> Result<()> {
        let rules = watch::compile(&config.file.watch, &config.file.watch_write);
        let next = self.current.wrapping_add(1).max(1);
        let written = self.write(next, &rules, config);
        if let Err(error) = written {
            self.delete(next, &rules);
            return Err(error);
        }
        self.limits(config);
        let (prefixes, suffixes) = (rules.prefix_lengths, rules.suffix_lengths);
        let old = std::mem::replace(&mut self.rules, rules);
        // Both sets of lengths hold while the word changes: a superset tests more, never less.
        self.settings.set_prefix_lengths(prefixes | old.prefix_lengths);
        self.settings.set_suffix_lengths(suffixes | old.suffix_lengths);
        self.settings.set_edges(&self.rules.edges.with(&old.edges));
        self.settings.set_every_directory(u32::from(self.rules.every_directory));
        self.settings.set_scanned(&[], None);
        self.settings.set_policy_before(if self.current == 0 { next } else { self.current });
        self.settings.set_policy(next);
        self.settings.set_prefix_lengths(prefixes);
        self.settings.set_suffix_lengths(suffixes);
        self.settings.set_edges(&self.rules.edges.0);
        self.delete(self.current, &old);
        self.current = next;
        Ok(())
    }

    /// Puts back rules in force that somebody else has taken out or changed (root can, by the map's
    /// number); how many there were.
    pub fn put_right(&self) -> usize {
        let Ok(map) = self.maps.get("rules") else { return 0 };
        let mut wrong = 0;
        for rule in &self.rules.rules {
            let key = key(self.current, rule);
            let value = u32::from(rule.mask).to_ne_bytes();
            let is = map.lookup(wire::bytes(&key), MapFlags::ANY);
            if !matches!(is, Ok(Some(is)) if is == value) {
                wrong += 1;
                if let Err(error) = map.update(wire::bytes(&key), &value, MapFlags::ANY) {
                    tracing::error!("a rule of the watch lists cannot be put back: {error}");
                }
            }
        }
        wrong
    }

    /// The maps the rules are in, and all others.
    pub fn maps(&self) -> &'a Maps {
        self.maps
    }

    /// Whether the lists in force want every rename told.
    pub fn every_directory(&self) -> bool {
        self.rules.every_directory
    }

    /// The scan for the policy in force is done: what was learned before is dropped.
    pub fn learned(&self) {
        self.settings.set_policy_before(self.current);
        let tables = [
            ("inodes", std::mem::offset_of!(bee_inode_key, policy)),
            ("devices", std::mem::offset_of!(bee_device_key, policy)),
        ];
        for (name, at) in tables {
            if let Ok(map) = self.maps.get(name) {
                let old: Vec<Vec<u8>> = map
                    .keys()
                    .filter(|key| word(key, at).is_some_and(|policy| policy != self.current))
                    .collect();
                for key in old {
                    // A key that is gone already is as good.
                    let _ = map.delete(&key);
                }
            }
        }
    }

    /// Takes an identity nobody watches out of the table.
    pub fn unlearn(&self, inode: u64, device: u32) {
        let key = bee_inode_key { inode, device, policy: self.current };
        if let Ok(map) = self.maps.get("inodes") {
            // Not there: the kernel side has dropped it itself.
            let _ = map.delete(wire::bytes(&key));
        }
    }

    /// Tells the kernel side the limits.
    pub fn limits(&self, config: &Config) {
        self.settings.set_alerts_per_second(config.limits.alerts_per_second);
        self.settings.set_alert_burst(config.limits.alert_burst);
        self.settings.set_events_per_second(config.limits.events_per_second);
        self.settings.set_env_names(u32::from(!config.process.secret_env_patterns.is_empty()));
        self.network(&config.network);
    }

    /// Tells the kernel side what acts on sockets are asked for.
    fn network(&self, network: &config::Network) {
        let mut kinds = 0;
        for (bit, kind) in wire::NET_KINDS.iter().enumerate() {
            if action(*kind).is_some_and(|action| network.actions.contains(&action)) {
                kinds |= 1 << bit;
            }
        }
        if network.actions.contains(&Action::Connect) && !network.unix.is_empty() {
            kinds |= wire::NET_UNIX;
        }
        // Loopback in the kernel's words: all of 127.0.0.0/8, and ::1.
        let ignored = LOOPBACK.iter().all(|text| {
            AddressRange::parse(text)
                .is_some_and(|loopback| network.ignore.iter().any(|range| range.covers(loopback)))
        });
        let [low, high] = [network.sockets.families & u64::from(u32::MAX), network.sockets.families >> 32];
        self.settings.set_network_loopback(u32::from(!ignored));
        self.settings.set_network_window(network.window * 1000);
        self.settings.set_network_families(u32::try_from(low).unwrap_or(0));
        self.settings.set_network_families_2(u32::try_from(high).unwrap_or(0));
        let raw = if network.sockets.raw { wire::NET_RAW } else { 0 };
        let protocol = if network.sockets.protocol { wire::NET_PROTOCOL } else { 0 };
        self.settings.set_network_inet(raw | protocol);
        self.settings.set_network_kinds(kinds);
    }

    fn write(&self, policy: u32, rules: &KernelRules, config: &Config) -> Result<()> {
        let map = self.maps.get("rules")?;
        for rule in &rules.rules {
            let value = u32::from(rule.mask).to_ne_bytes();
            map.update(wire::bytes(&key(policy, rule)), &value, MapFlags::ANY).map_err(|error| {
                Error::from(error).context("the watch lists do not fit into the kernel's table of name rules")
            })?;
        }
        let devices = self.maps.get("devices")?;
        for (name, node) in MEMORY_DEVICES {
            if config.file.watch.iter().any(|pattern| pattern.matches(name.as_bytes())) {
                let key = bee_device_key { node: *node, policy, block: 0, reserved: 0 };
                devices.update(
                    wire::bytes(&key),
                    &u32::from(wire::WATCH_ANY).to_ne_bytes(),
                    MapFlags::ANY,
                )?;
            }
        }
        Ok(())
    }

    fn delete(&self, policy: u32, rules: &KernelRules) {
        if let Ok(map) = self.maps.get("rules") {
            for rule in &rules.rules {
                let _ = map.delete(wire::bytes(&key(policy, rule)));
            }
        }
    }
}

/// The devices that are watched by number from the start, with their names.
pub fn memory_devices() -> impl Iterator<Item = (u32, &'static str)> {
    MEMORY_DEVICES.iter().map(|(name, node)| (*node, *name))
}

fn key(policy: u32, rule: &watch::Rule) -> bee_rule_key {
    let length =
        if matches!(rule.kind, watch::RuleKind::Prefix | watch::RuleKind::Suffix) { rule.length } else { 0 };
    bee_rule_key { hash: rule.hash, policy, rule: rule.kind as u8, length, reserved: 0 }
}

fn word(key: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(key.get(at..at + 4)?.try_into().ok()?))
}
