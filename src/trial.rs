//! What `bee-trace check` finds out by trying: every sensor is loaded, attached and
//! proven for a moment, under maps of its own, and taken away again.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::canary::{Acted, Child};
use crate::check::SensorReport;
use crate::config::Config;
use crate::decode::decode;
use crate::error::Result;
use crate::privilege;
use crate::probe::loader::{self, Conditions, Maps, Sensor};
use crate::probe::{BLIND, FAMILIES, GENERATION, Tier};
use crate::ring::Ring;
use crate::shared::Settings;

/// How long a hook may take to report the canary.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tries every sensor that is switched on: loads it, attaches it, and has a child do
/// what it must report. A hook that stays silent is given up for the next.
///
/// # Errors
/// Exit status 77 where a privilege is missing; otherwise when the shared maps
/// cannot be made.
pub fn sensors(config: &Config) -> Result<Vec<SensorReport>> {
    privilege::require()?;
    let maps = Maps::create(&config.limits)?;
    let settings = Settings::new(maps.get("settings")?.as_fd())?;
    settings.set_self_tgid(std::process::id());
    settings.set_generation(GENERATION);
    let mut rings = [Ring::of(maps.get("alerts")?)?, Ring::of(maps.get("bulk")?)?];
    let mut reports = Vec::new();
    for family in FAMILIES {
        let wanted = if family.name == "process" { config.sensors.process } else { config.sensors.file };
        if !wanted {
            continue;
        }
        let mut given_up: Vec<u16> = Vec::new();
        loop {
            let conditions = Conditions { silent: &given_up, ..Conditions::new(&maps) };
            let Some(mut sensor) = loader::start(family.name, &conditions) else { break };
            let silent: Vec<_> = if sensor.failure.is_none() {
                let (acted, heard) = hear(&settings, &mut rings)?;
                sensor.unproven(acted, &heard).map(|variant| variant.id).collect()
            } else {
                Vec::new()
            };
            if silent.is_empty() {
                reports.push(report(&sensor));
                sensor.detach();
                break;
            }
            given_up.extend(silent);
        }
    }
    Ok(reports)
}

/// What a canary did, and the hooks that reported it.
fn hear(settings: &Settings, rings: &mut [Ring]) -> Result<(Acted, Vec<u16>)> {
    let child = Child::fork()?;
    let pid = child.pid();
    settings.set_canary_tgid(pid);
    let acted = child.act()?;
    let deadline = Instant::now() + PATIENCE;
    let mut heard = Vec::new();
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
                    heard.push(record.header.hook);
                    quiet = 0;
                }
                ring.advance();
            }
            ring.release();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    settings.set_canary_tgid(0);
    Ok((acted, heard))
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
