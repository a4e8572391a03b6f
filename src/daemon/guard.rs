//! Whether what was put into the kernel is still as it was: root can write to the maps of
//! others, take programs out of them and detach links. Looked at whenever a sign of life is due.
//! What can be put right is; where a sensor is blind the daemon ends, for it has no privilege
//! left to load anything with, and its next life does. See `docs/faults.md`.

use super::Daemon;
use crate::error::{Error, Result};
use crate::event::Loss;
use crate::wire::{CAUSES, KIND_COUNT};

/// Canaries in a row that must stay away before the file sensor counts as blind.
const MISSED: u32 = 3;
/// `bee.loss.cause`: the kernel side's settings or rules were changed by somebody else.
pub(super) const ALTERED: &str = "altered";
/// `bee.loss.cause`: a sensor's programs do not report any more.
pub(super) const BLIND: &str = "blind";

/// What became of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Canary {
    /// It came back, or there is no file sensor to bring it.
    Back,
    /// It did not, and a ring had no room for what happened meanwhile.
    NoRoom,
    /// It did not.
    Away,
}

/// What was found so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guard {
    /// Looks so far.
    pub looks: u64,
    /// Of these, those that found all well.
    pub well: u64,
    /// Times that settings or rules had to be put right.
    pub altered: u64,
    /// The last that found all well, wall time in nanoseconds; 0: none yet.
    pub last_well: u64,
    /// Canaries that stayed away since the last that came back.
    missed: u32,
}

impl Guard {
    /// Takes in how a canary went; whether so many have stayed away that nobody is behind.
    fn took(&mut self, canary: Canary) -> bool {
        match canary {
            Canary::Back => self.missed = 0,
            Canary::NoRoom => {}
            Canary::Away => self.missed += 1,
        }
        self.missed >= MISSED
    }
}

impl Daemon<'_> {
    /// Looks at all of it. True: it is well, and a sign of life can be given.
    ///
    /// # Errors
    /// When a sensor is blind: the daemon must be started anew.
    pub(super) fn look(&mut self) -> Result<bool> {
        self.guard.looks += 1;
        let now = self.wall_now();
        let since = if self.guard.last_well == 0 { self.begun } else { self.guard.last_well };
        let settings = self.settings.put_right();
        let rules = self.policies.put_right();
        if !settings.is_empty() || rules > 0 {
            self.guard.altered += 1;
            tracing::error!(
                "somebody else has changed what the programs in the kernel are told ({}); it is put right, but what \
                 happened since {} may not have been seen. Events with the action `bpf` say who reached for it",
                changed(&settings, rules),
                time(since)
            );
            self.tell_of("kernel", ALTERED, since, now);
            // What came into being meanwhile was not learned, and names were passed over that are watched.
            self.enforce();
        }
        let maps = self.policies.maps();
        let found = self.sensors.iter().find_map(|sensor| Some((sensor.name, sensor.detached(maps)?)));
        if let Some((sensor, (hook, why))) = found {
            return Err(self.blind(sensor, &format!("{hook} of the {sensor} sensor: {why}"), since, now));
        }
        let canary = self.canary();
        if self.guard.took(canary) {
            let why = format!("{MISSED} opens of the daemon's own in a row were not reported to it");
            return Err(self.blind("file", &why, since, now));
        }
        if canary != Canary::Back {
            let full = if canary == Canary::NoRoom { ": a ring had no room" } else { "" };
            tracing::warn!(
                "an open of the daemon's own was not reported to it{full}; the service manager is given no sign of life"
            );
            return Ok(false);
        }
        self.guard.well += 1;
        self.guard.last_well = now;
        Ok(true)
    }

    /// Tells that a sensor is blind and has the next life load everything anew.
    fn blind(&mut self, sensor: &'static str, why: &str, since: u64, now: u64) -> Error {
        self.tell_of(sensor, BLIND, since, now);
        self.accounts.ledger.distrust(true);
        Error::failure(format!(
            "{why}: somebody took programs out of the kernel or switched off what calls them, and what happened since \
             {} may not have been seen. This daemon has no privilege left to load it anew and ends, so that the service manager starts one that does",
            time(since)
        ))
    }

    /// Of how many events nobody knows: it is one time without them.
    fn tell_of(&mut self, stage: &'static str, cause: &'static str, since: u64, now: u64) {
        self.tell_losses();
        self.losses.told_until(now);
        self.tell(&[Loss { stage, action: None, cause, count: 1, since }], now);
    }

    /// Wall time, nanoseconds since 1970.
    pub(super) fn wall_now(&self) -> u64 {
        let now = crate::sys::Clock::boot_now().unwrap_or(0);
        self.pipeline.enrich.clock.wall(now)
    }

    /// Records the kernel had no room for so far.
    pub(super) fn turned_away(&self) -> u64 {
        let full = CAUSES.iter().find(|row| row.1 == "ring_full").map_or(0, |row| row.0);
        (0..KIND_COUNT).map(|kind| self.counters.get(kind, full)).sum()
    }
}

fn time(nanoseconds: u64) -> String {
    let mut text = Vec::new();
    crate::text::push_rfc3339(&mut text, nanoseconds);
    String::from_utf8_lossy(&text).into_owned()
}

fn changed(settings: &[&str], rules: usize) -> String {
    let mut parts = Vec::new();
    if !settings.is_empty() {
        parts.push(format!("settings: {}", settings.join(", ")));
    }
    if rules > 0 {
        parts.push(format!("{rules} rules of the watch lists"));
    }
    parts.join("; ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_canaries_that_stay_away_in_a_row_make_a_sensor_blind() {
        let mut guard = Guard::default();
        let tries = [
            (Canary::Away, false),
            (Canary::Away, false),
            (Canary::Back, false),
            (Canary::Away, false),
            (Canary::NoRoom, false),
            (Canary::Away, false),
            (Canary::NoRoom, false),
            (Canary::Away, true),
        ];
        for (number, (canary, blind)) in tries.into_iter().enumerate() {
            assert_eq!(guard.took(canary), blind, "{number}");
        }
    }

    #[test]
    fn what_was_changed_is_named() {
        assert_eq!(changed(&["generation", "policy"], 0), "settings: generation, policy");
        assert_eq!(changed(&[], 3), "3 rules of the watch lists");
        assert_eq!(changed(&["scanned"], 1), "settings: scanned; 1 rules of the watch lists");
    }
}
