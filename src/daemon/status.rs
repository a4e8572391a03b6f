//! The numbers of a running daemon, gathered when somebody asks.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::Daemon;
use crate::control::status::{self, Counts, Status};
use crate::pipeline::{FATES, Fate, action};
use crate::probe::{FAMILIES, Tier};
use crate::shared::{Counters, Reading, emitted};
use crate::wire::{self, CAUSES, KIND_COUNT};
use crate::{docs, log};

/// Events given to the sinks so far, of each of `FAMILIES`.
pub(super) fn delivered(stages: &Counters) -> Vec<u64> {
    let mut counts = vec![0; FAMILIES.len()];
    for kind in 0..KIND_COUNT {
        let sensor = u16::try_from(kind).ok().and_then(action).map(|action| action.facts().sensor);
        if let Some(at) = FAMILIES.iter().position(|family| Some(family.name) == sensor) {
            counts[at] += stages.get(kind, Fate::Delivered as usize);
        }
    }
    counts
}

impl Daemon<'_> {
    pub(super) fn status(&self, now: Instant) -> Status {
        // User space first: what it has handled was submitted before.
        let stages = self.pipeline.stages.read();
        let kernel = self.counters.read();
        let seconds = self.seconds_now();
        let uptime = self.started.elapsed().as_secs();
        let sinks = self.sinks();
        let (interval_seconds, sensors) = self.sensors_now(now);
        let lost_in_sinks = sinks
            .iter()
            .map(|sink| {
                sink.counters.get("queue_full").unwrap_or(&0) + sink.counters.get("refused").unwrap_or(&0)
            })
            .sum();
        let last = self.hands.last_loss.map(|nanoseconds| Duration::from_nanos(nanoseconds).as_secs());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: seconds.saturating_sub(uptime),
            uptime_seconds: uptime,
            log_level: log::level(),
            restart: status::Restart {
                life: self.life,
                adopted: self.adopted,
                stored: count(self.stored.unwrap_or(0)),
            },
            config: status::Config {
                files: self.hands.sources.files.clone(),
                profiles: self.hands.sources.profiles.clone(),
                reloads: self.hands.reloads,
                last_reload: self.hands.last_reload.clone(),
                restart: self.waiting_settings(),
            },
            sensors,
            interval_seconds,
            rings: self.rings_now(),
            sums: status::Sums { lost_in_sinks, ..sums(&kernel, &stages) },
            kinds: kinds(&kernel, &stages),
            process: process(&sinks),
            sinks,
            losses: status::Losses {
                total: self.hands.lost,
                last,
                last_seconds_ago: last.map(|last| seconds.saturating_sub(last)),
            },
            scanner: status::Scanner {
                running: self.scans.fd().is_some(),
                idle: self.scans.is_idle(),
                filesystems: count(self.filesystems.list().len()),
            },
            guard: status::Guard {
                looks: self.guard.looks,
                well: self.guard.well,
                altered: self.guard.altered,
                last_well_seconds_ago: (self.guard.last_well > 0)
                    .then(|| seconds.saturating_sub(Duration::from_nanos(self.guard.last_well).as_secs())),
            },
            control: self.hands.server.as_ref().map(|server| server.status()).unwrap_or_default(),
        }
    }

    /// Every sensor that is switched on, and what its rate is over.
    fn sensors_now(&self, now: Instant) -> (f64, Vec<status::Sensor>) {
        let events = delivered(&self.pipeline.stages);
        let (span, rates) = self.hands.rate.read(now, &events);
        let mut rows = Vec::new();
        for ((family, events), rate) in FAMILIES.iter().zip(events).zip(rates) {
            let running = self.sensors.iter().find(|sensor| sensor.name == family.name);
            if running.is_none() && !self.config.sensors.has(family.name) {
                continue;
            }
            let absent = self.hands.absent.iter().find(|(name, _)| *name == family.name);
            let hooks =
                running.map(|sensor| sensor.attached.iter().map(|(_, variant)| variant.hook.to_owned()));
            let mut hooks: Vec<String> = hooks.into_iter().flatten().collect();
            hooks.sort();
            hooks.dedup();
            rows.push(status::Sensor {
                name: family.name.to_owned(),
                running: running.is_some(),
                tier: running.and_then(|sensor| sensor.tier()).map_or("none", Tier::name).to_owned(),
                hooks,
                failure: match (running, absent) {
                    (Some(_), _) => None,
                    (None, Some((_, why))) => Some(why.clone()),
                    (None, None) => Some("it was switched on after the start; restart the daemon".to_owned()),
                },
                events,
                events_per_second: (rate * 100.0).round() / 100.0,
                skipped: running.map_or(0, |sensor| sensor.skipped()),
            });
        }
        ((span * 100.0).round() / 100.0, rows)
    }

    fn rings_now(&self) -> Vec<status::Ring> {
        let rows = ["alerts", "bulk"].into_iter().zip(&self.rings).zip(self.hands.highest);
        rows.map(|((name, ring), highest)| status::Ring {
            name: name.to_owned(),
            size: ring.size(),
            used: ring.waiting(),
            highest: highest.max(ring.used()),
        })
        .collect()
    }

    fn sinks(&self) -> Vec<status::Sink> {
        let shown = self.pipeline.sinks.iter().filter(|sink| sink.name() != crate::control::TAP);
        shown
            .map(|sink| {
                let counters = sink.counters();
                let settled = counters.accepted + counters.queue_full + counters.refused + counters.folded;
                status::Sink {
                    name: sink.name().to_owned(),
                    counters: docs::sink_counts(&counters)
                        .map(|(name, value)| (name.to_owned(), value))
                        .into(),
                    queued: counters.offered.saturating_sub(settled),
                    problem: sink.problem(),
                }
            })
            .collect()
    }
}

fn sums(kernel: &Reading, stages: &Reading) -> status::Sums {
    let lost = |fate: &Fate| FATES.iter().any(|row| row.0 == *fate && row.2);
    let mut sums = status::Sums::default();
    for (kernel, stages) in kernel.iter().zip(stages) {
        sums.emitted += emitted(kernel);
        sums.submitted += kernel[0];
        for (fate, ..) in FATES {
            let count = stages[*fate as usize];
            match fate {
                Fate::Delivered => sums.delivered += count,
                fate if lost(fate) => sums.lost_in_daemon += count,
                _ => sums.no_event += count,
            }
        }
    }
    sums.lost_in_kernel = sums.emitted - sums.submitted;
    sums.waiting = sums.submitted.saturating_sub(sums.delivered + sums.lost_in_daemon + sums.no_event);
    sums
}

fn kinds(kernel: &Reading, stages: &Reading) -> Vec<status::Kind> {
    let mut rows = Vec::new();
    for (kind, (kernel, stages)) in kernel.iter().zip(stages).enumerate() {
        let nonzero = |name: &str, value: u64| (value > 0).then(|| (name.to_owned(), value));
        let kernel: Counts = CAUSES.iter().filter_map(|row| nonzero(row.1, kernel[row.0])).collect();
        let daemon: Counts = FATES.iter().filter_map(|row| nonzero(row.1, stages[row.0 as usize])).collect();
        if !kernel.is_empty() || !daemon.is_empty() {
            rows.push(status::Kind { kind: kind_name(kind), kernel, daemon });
        }
    }
    rows
}

fn kind_name(kind: usize) -> String {
    let number = u16::try_from(kind).unwrap_or(0);
    match (action(number), number) {
        (Some(action), _) => action.name().to_owned(),
        (None, 0) => "unreadable".to_owned(),
        (None, wire::KIND_IDENTITY) => "identity".to_owned(),
        (None, wire::KIND_CGROUP) => "cgroup".to_owned(),
        (None, number) => format!("kind-{number}"),
    }
}

fn process(sinks: &[status::Sink]) -> status::Process {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let kib = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    let cpu = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok();
    status::Process {
        rss_kib: kib("Rss:"),
        pss_kib: kib("Pss:"),
        cpu_seconds: cpu.map(|cpu| (Duration::from(cpu).as_secs_f64() * 1000.0).round() / 1000.0),
        bytes_written: sinks.iter().filter_map(|sink| sink.counters.get("bytes")).sum(),
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
