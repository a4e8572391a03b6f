//! Whether the daemon does its work, for the service manager: what runs in words, and a
//! canary that goes the whole way from an open through the kernel's program and a ring
//! back to here. See `docs/adr/0015-watchdog.md`.

use std::time::Instant;

use super::Daemon;
use super::guard::Canary;
use crate::error::Result;
use crate::probe::Tier;

/// Turns of the loop that a canary's record may wait behind others.
const TURNS: usize = 8;

impl Daemon<'_> {
    /// Sensors with their tiers, then what is wrong.
    pub(super) fn in_words(&self) -> String {
        let runs: Vec<String> = self
            .sensors
            .iter()
            .map(|sensor| format!("{} ({})", sensor.name, sensor.tier().map_or("off", Tier::name)))
            .collect();
        let mut text = format!("watches: {}", runs.join(", "));
        for (name, _) in &self.hands.absent {
            text.push_str(&format!("; the {name} sensor cannot run"));
        }
        for sink in &self.pipeline.sinks {
            if let Some(problem) = sink.problem() {
                text.push_str(&format!("; {}: {problem}", sink.name()));
            }
        }
        if self.scans.fd().is_none() {
            text.push_str("; the scanner has ended");
        }
        if self.hands.last_reload.as_ref().is_some_and(|last| last.error.is_some()) {
            text.push_str("; the last reload was refused, the old configuration is in force");
        }
        text
    }

    /// Tells the manager what changed, and that it lives if that is due and true.
    ///
    /// # Errors
    /// When a sensor is blind.
    pub(super) fn show_life(&mut self, now: Instant) -> Result<()> {
        if !self.notify.is_heard() {
            return Ok(());
        }
        let words = self.in_words();
        self.notify.status(&words);
        if self.notify.due().is_some_and(|due| due <= now) {
            let alive = self.look()?;
            self.notify.feed(alive, now);
        }
        Ok(())
    }

    /// Opens a file and waits for the file sensor's record of it. Where no file sensor
    /// runs, that the loop turns is all there is to show.
    pub(super) fn canary(&mut self) -> Canary {
        let hooks: Vec<u16> = self
            .sensors
            .iter()
            .filter(|sensor| sensor.name == "file")
            .flat_map(|sensor| sensor.attached.iter().map(|(_, variant)| variant.id))
            .collect();
        if hooks.is_empty() {
            return Canary::Back;
        }
        self.drain();
        let turned_away = self.turned_away();
        let own = std::process::id();
        self.pipeline.canary = crate::pipeline::Canary { pid: own, ..Default::default() };
        self.settings.set_canary_tgid(own);
        // What it does is no event to the kernel side, but for this moment.
        self.settings.set_self_tgid(0);
        // Opened or refused makes no difference: both are reported.
        let _opened = std::fs::File::open("/proc/self/exe");
        self.settings.set_self_tgid(own);
        self.settings.set_canary_tgid(0);
        let mut heard = false;
        for _ in 0..TURNS {
            self.drain();
            heard = self.pipeline.canary.hooks.iter().any(|hook| hooks.contains(hook));
            if heard {
                break;
            }
        }
        self.pipeline.canary = Default::default();
        match heard {
            true => Canary::Back,
            false if self.turned_away() != turned_away => Canary::NoRoom,
            false => Canary::Away,
        }
    }
}
