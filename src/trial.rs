//! What `bee-trace check` finds out by trying: every sensor is loaded and
//! attached for a moment, under maps of its own, and taken away again.

use crate::check::SensorReport;
use crate::config::Config;
use crate::error::Result;
use crate::privilege;
use crate::probe::loader::{self, Maps, Sensor};
use crate::probe::{BLIND, FAMILIES, Tier};

/// Tries every sensor that is switched on. The programs stay silent: no
/// generation of theirs is put in force.
///
/// # Errors
/// Exit status 77 where a privilege is missing; otherwise when the shared maps
/// cannot be made.
pub fn sensors(config: &Config) -> Result<Vec<SensorReport>> {
    privilege::require()?;
    let maps = Maps::create(&config.limits)?;
    let mut reports = Vec::new();
    for family in FAMILIES {
        let wanted = if family.name == "process" { config.sensors.process } else { config.sensors.file };
        if !wanted {
            continue;
        }
        if let Some(mut sensor) = loader::start(family.name, &maps, None) {
            reports.push(report(&sensor));
            sensor.detach();
        }
    }
    Ok(reports)
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
            let tried: Vec<String> = sensor
                .refused
                .iter()
                .filter(|refused| refused.tier == *better)
                .map(|refused| format!("{}: {}", refused.hook, refused.reason))
                .collect();
            let why = if tried.is_empty() {
                "this release has no programs for it".to_owned()
            } else {
                tried.join("; ")
            };
            (better.name(), why)
        })
        .collect()
}
