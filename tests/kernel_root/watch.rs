//! The kernel side without the daemon: maps, settings, rules and sensors, and
//! the records as the kernel wrote them.

use std::os::fd::AsFd;

use bee_trace::config::{self, Config, Document};
use bee_trace::probe::loader::{self, Conditions, Maps, Sensor};
use bee_trace::ring::Ring;
use bee_trace::shared::{Counters, Settings};
use bee_trace::watch::{RuleKind, compile};
use bee_trace::wire::{self, bee_rule_key};
use libbpf_rs::{MapCore, MapFlags};

pub fn configuration(text: &str) -> Config {
    let document = Document { name: "test.toml".to_owned(), text: text.to_owned() };
    config::load(&[document]).unwrap_or_else(|problems| panic!("{problems:?}")).config
}

/// Sensors at work. Detached when dropped.
pub struct Watch {
    pub settings: Settings,
    pub counters: Counters,
    /// Alerts and bulk.
    pub rings: [Ring; 2],
    pub sensors: Vec<Sensor>,
    _maps: Maps,
}

impl Watch {
    /// Starts these sensors with the lists and limits of a configuration, in force at once.
    pub fn start(config: &Config, sensors: &[&str]) -> Self {
        let maps = Maps::create(&config.limits).unwrap();
        let settings = Settings::new(maps.get("settings").unwrap().as_fd()).unwrap();
        let counters = Counters::new(maps.get("counters").unwrap().as_fd()).unwrap();
        let rings = ["alerts", "bulk"].map(|name| {
            let map = maps.get(name).unwrap();
            Ring::new(map.as_fd().try_clone_to_owned().unwrap(), map.max_entries() as usize).unwrap()
        });
        let rules = compile(&config.file.watch, &config.file.watch_write);
        for rule in &rules.rules {
            let affix = matches!(rule.kind, RuleKind::Prefix | RuleKind::Suffix);
            let length = if affix { rule.length } else { 0 };
            let key = bee_rule_key { hash: rule.hash, policy: 1, rule: rule.kind as u8, length, reserved: 0 };
            let mask = u32::from(rule.mask).to_ne_bytes();
            maps.get("rules").unwrap().update(wire::bytes(&key), &mask, MapFlags::ANY).unwrap();
        }
        settings.set_prefix_lengths(rules.prefix_lengths);
        settings.set_suffix_lengths(rules.suffix_lengths);
        settings.set_edges(&rules.edges.0);
        settings.set_every_directory(rules.every_directory.into());
        settings.set_policy(1);
        settings.set_policy_before(1);
        settings.set_alerts_per_second(config.limits.alerts_per_second);
        settings.set_alert_burst(config.limits.alert_burst);
        settings.set_env_names(1);
        let cgroup = bee_trace::kernel::mounts::cgroup2(&bee_trace::kernel::Places::default());
        let conditions = Conditions { cgroup: cgroup.as_deref(), ..Conditions::new(&maps) };
        let sensors: Vec<Sensor> =
            sensors.iter().map(|name| loader::start(name, &conditions).unwrap()).collect();
        for sensor in &sensors {
            assert_eq!(sensor.failure, None, "{}", sensor.name);
        }
        settings.set_generation(1);
        Self { settings, counters, rings, sensors, _maps: maps }
    }

    /// Stops recording: nothing comes after this.
    pub fn hush(&mut self) {
        self.settings.set_generation(0);
        for sensor in &mut self.sensors {
            sensor.detach();
        }
    }

    /// Every record that waits in one ring, with its position; not given back.
    pub fn take(&mut self, ring: usize) -> Vec<(u64, Vec<u8>)> {
        let mut records = Vec::new();
        while let Some(record) = self.rings[ring].peek().unwrap() {
            records.push((record.position, record.bytes.to_vec()));
            self.rings[ring].advance();
        }
        records
    }
}
