//! That each sensor reports: a child does what they are for, and its records must come.

use std::time::{Duration, Instant};

use super::Daemon;
use super::start::{cgroup_mount, sensors};
use crate::canary::{Child, Known};
use crate::error::{Error, ExitStatus, Result};
use crate::pipeline::Canary;
use crate::probe::loader::{self, Conditions};
use crate::probe::{Tier, Variant};

/// How long the canary's records may take.
const CANARY: Duration = Duration::from_secs(2);

impl Daemon<'_> {
    /// Has a child do what each sensor must report. A hook that stays silent is given
    /// up, and the sensor loaded again with what comes after it.
    pub(super) fn prove_sensors(&mut self, mut conditions: Conditions<'_>) -> Result<()> {
        let mut given_up: Vec<u16> = Vec::new();
        loop {
            let silent = self.silent_hooks(conditions.btf.is_some())?;
            if let Some((file, why)) = conditions.btf.zip(self.untrue(silent.is_empty())) {
                tracing::error!(
                    "the types in {} are not this kernel's ({why}); continuing without them",
                    file.display()
                );
                conditions.btf = None;
                given_up.clear();
                self.sensors.clear();
                (self.sensors, self.hands.absent) = sensors(&self.config, &conditions, || Ok(()))?;
                continue;
            }
            if silent.is_empty() {
                break;
            }
            let names: Vec<&'static str> = silent.iter().map(|(name, _)| *name).collect();
            given_up.extend(silent.iter().map(|(_, variant)| variant.id));
            for (name, variant) in silent {
                tracing::warn!(
                    "the {name} sensor does not use {}: it attaches here, but reports nothing",
                    variant.hook
                );
            }
            for name in names {
                let Some(at) = self.sensors.iter().position(|sensor| sensor.name == name) else { continue };
                self.sensors.remove(at);
                let conditions = Conditions { silent: &given_up, ..conditions };
                let Some(sensor) = loader::start(name, &conditions) else { continue };
                match &sensor.failure {
                    None => self.sensors.insert(at, sensor),
                    Some(why) => {
                        tracing::error!(
                            "the {name} sensor cannot run here: {why}; continuing without its events"
                        );
                        self.hands.absent.push((name, why.clone()));
                    }
                }
            }
        }
        self.pipeline.canary = Default::default();
        if self.sensors.is_empty() {
            return Err(Error::new(
                ExitStatus::Unavailable,
                "no sensor reports what is done on this machine, although they load and attach",
            ));
        }
        Ok(())
    }

    /// What the canary's records say otherwise than it is; of what they do not say at all only
    /// where `complete`: every hook is heard.
    fn untrue(&self, complete: bool) -> Option<String> {
        let canary = &self.pipeline.canary;
        let typed = |name| {
            let sensor = self.sensors.iter().find(|sensor| sensor.name == name);
            sensor.is_some_and(|sensor| sensor.tier() < Some(Tier::Portable))
        };
        let untold = || canary.known.as_ref()?.untold(typed("process"), typed("file")).map(str::to_owned);
        canary.wrong.clone().or_else(|| complete.then(untold).flatten())
    }

    /// One act of the canary; the hooks that did not report it, with their sensor. `compare`:
    /// its records with what is known of it, too.
    fn silent_hooks(&mut self, compare: bool) -> Result<Vec<(&'static str, &'static Variant)>> {
        let child = Child::fork()?;
        let cgroups = cgroup_mount(&self.config);
        let known = compare.then(|| Known::of(child.pid(), cgroups.as_deref())).transpose()?;
        self.pipeline.canary = Canary { pid: child.pid(), known, ..Default::default() };
        self.settings.set_canary_tgid(child.pid());
        if let Some(overlap) = &mut self.overlap {
            overlap.canaries.push(child.pid());
        }
        let acted = child.act()?;
        self.pipeline.canary.port = acted.port;
        let deadline = Instant::now() + CANARY;
        let silent = loop {
            self.drain();
            let heard = &self.pipeline.canary.hooks;
            let silent: Vec<_> = self
                .sensors
                .iter()
                .flat_map(|sensor| sensor.unproven(acted, heard).map(|variant| (sensor.name, variant)))
                .collect();
            if silent.is_empty() || Instant::now() > deadline {
                break silent;
            }
            // The records are in the ring before the child's end is known; only a busy
            // machine takes longer.
            std::thread::sleep(Duration::from_millis(1));
        };
        self.settings.set_canary_tgid(0);
        Ok(silent)
    }
}
