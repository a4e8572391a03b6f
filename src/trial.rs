//! What `bee-trace check` finds out by trying: every sensor is loaded, attached and
//! proven for a moment, under maps of its own, and taken away again.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::canary::{Acted, Child, Known};
use crate::check::SensorReport;
use crate::config::Config;
use crate::decode::decode;
use crate::error::Result;
use crate::kernel::{Places, mounts};
use crate::pipeline::Canary;
use crate::privilege;
use crate::probe::loader::{self, Conditions, Maps, Sensor};
use crate::probe::{BLIND, FAMILIES, GENERATION, Tier};
use crate::ring::Ring;
use crate::shared::Settings;

/// How long a hook may take to report the canary.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the trials found.
#[derive(Debug)]
pub struct Tried {
    /// One for each sensor that is switched on.
    pub sensors: Vec<SensorReport>,
    /// Why the types of a file are not this kernel's, as its records showed; the
    /// sensors are then those without it.
    pub untrue: Option<String>,
}

/// Tries every sensor that is switched on: loads it, attaches it, and has a child do
/// what it must report. A hook that stays silent is given up for the next. `types`:
/// a file, for a kernel that has none built in. `forced`: as with `--force-tier`.
///
/// # Errors
/// Exit status 77 where a privilege is missing; otherwise when the shared maps
/// cannot be made.
pub fn sensors(config: &Config, types: Option<&Path>, forced: Option<Tier>) -> Result<Tried> {
    privilege::require()?;
    match attempt(config, types, forced)? {
        (_, Some(why)) => Ok(Tried { sensors: attempt(config, None, forced)?.0, untrue: Some(why) }),
        (sensors, None) => Ok(Tried { sensors, untrue: None }),
    }
}

fn attempt(
    config: &Config,
    types: Option<&Path>,
    forced: Option<Tier>,
) -> Result<(Vec<SensorReport>, Option<String>)> {
    let maps = Maps::create(&config.limits)?;
    let settings = Settings::new(maps.get("settings")?.as_fd())?;
    settings.set_self_tgid(std::process::id());
    settings.set_generation(GENERATION);
    let mut rings = [Ring::of(maps.get("alerts")?)?, Ring::of(maps.get("bulk")?)?];
    let cgroup = config.host.cgroup.clone().or_else(|| {
        mounts::cgroup2(&Places {
            proc: config.host.proc.clone(),
            sys: config.host.sys.clone(),
            ..Places::default()
        })
    });
    let mut reports = Vec::new();
    for family in FAMILIES {
        if !config.sensors.has(family.name) {
            continue;
        }
        let mut given_up: Vec<u16> = Vec::new();
        loop {
            let conditions = Conditions {
                silent: &given_up,
                btf: types,
                forced,
                cgroup: cgroup.as_deref(),
                ..Conditions::new(&maps)
            };
            let Some(mut sensor) = loader::start(family.name, &conditions) else { break };
            let mut silent = Vec::new();
            if sensor.failure.is_none() {
                let (acted, canary) = hear(&settings, &mut rings, types.is_some())?;
                silent.extend(sensor.unproven(acted, &canary.hooks).map(|variant| variant.id));
                let typed = sensor.tier() < Some(Tier::Portable) && silent.is_empty();
                let untold = |known: &Known| {
                    known.untold(typed && family.name == "process", typed && family.name == "file")
                };
                let untold = canary.known.as_ref().and_then(untold).map(str::to_owned);
                if let Some(why) = canary.wrong.or(untold) {
                    return Ok((reports, Some(why)));
                }
            }
            if silent.is_empty() {
                reports.push(report(&sensor));
                sensor.detach();
                break;
            }
            given_up.extend(silent);
        }
    }
    Ok((reports, None))
}

/// What a canary did, and what was reported of it. `compare`: with what is known of it, too.
fn hear(settings: &Settings, rings: &mut [Ring], compare: bool) -> Result<(Acted, Canary)> {
    let child = Child::fork()?;
    let pid = child.pid();
    let known = compare.then(|| Known::of(pid, Some(Path::new("/sys/fs/cgroup")))).transpose()?;
    let mut canary = Canary { pid, known, ..Default::default() };
    settings.set_canary_tgid(pid);
    let acted = child.act()?;
    let deadline = Instant::now() + PATIENCE;
    // Every act is in a ring before the child's end is known; a kernel that defers
    // is given its time by the rings falling silent.
    let mut quiet = 0;
    while quiet < 3 && Instant::now() < deadline {
        quiet += 1;
        for ring in &mut *rings {
            while let Some(record) = ring.peek()? {
                if let Ok(record) = decode(record.bytes)
                    && record.header.tgid == pid
                {
                    canary.compare(&record);
                    canary.hooks.push(record.header.hook);
                    quiet = 0;
                }
                ring.advance();
            }
            ring.release();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    settings.set_canary_tgid(0);
    Ok((acted, canary))
}

fn report(sensor: &Sensor) -> SensorReport {
    let tier = sensor.tier();
    let mechanism: Vec<&str> = sensor.attached.iter().map(|(_, variant)| variant.hook).collect();
    let lost = BLIND.iter().filter(|(name, at, _)| *name == sensor.name && Some(*at) == tier);
    SensorReport {
        sensor: sensor.name,
        tier: tier.map(Tier::name),
        mechanism: mechanism.join(", "),
        lost: lost.map(|(.., text)| (*text).to_owned()).collect(),
        why_not_better: better(sensor, tier),
        remedy: sensor
            .failure
            .iter()
            .map(|_| "the reasons are above; `bee-traced -vv` shows the kernel's own words".to_owned())
            .collect(),
    }
}

/// Each better tier with the reason it is not taken.
fn better(sensor: &Sensor, tier: Option<Tier>) -> Vec<(&'static str, String)> {
    Tier::ALL
        .iter()
        .take_while(|better| tier.is_none_or(|tier| **better < tier))
        .map(|better| {
            let tried = sensor.refused.iter().filter(|refused| refused.tier == *better);
            // One reason may stand for every hook of a tier.
            let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
            for refused in tried {
                match reasons.iter_mut().find(|(reason, _)| *reason == refused.reason) {
                    Some((_, hooks)) if hooks.contains(&refused.hook) => {}
                    Some((_, hooks)) => hooks.push(refused.hook),
                    None => reasons.push((&refused.reason, vec![refused.hook])),
                }
            }
            let told = reasons.iter().map(|(reason, hooks)| match hooks[..] {
                [only] => format!("{only}: {reason}"),
                _ => format!("{} and {} more: {reason}", hooks[0], hooks.len() - 1),
            });
            let told: Vec<String> = told.collect();
            let why = if told.is_empty() {
                "this release has no programs for it".to_owned()
            } else {
                told.join("; ")
            };
            (better.name(), why)
        })
        .collect()
}
