//! The daemon's own events: what was lost, datagrams that were counted, start and stop.

use std::time::Duration;

use super::Daemon;
use crate::event::{Action, Body, Event, Flags, Loss, Outcome, Severity};
use crate::pipeline::Pipeline;
use crate::probe::FAMILIES;

impl Daemon<'_> {
    /// An event of the daemon's own.
    pub(super) fn emit(&mut self, action: Action, severity: Severity, body: Body<'_>) {
        let made = self.accounts.ledger.next_made();
        let now = crate::sys::Clock::boot_now().unwrap_or(0);
        let event = Event {
            time: self.pipeline.enrich.clock.wall(now),
            // Below the positions of the rings, which are told apart by 0 and 1.
            sequence: made << 3 | 2,
            action,
            severity,
            outcome: Outcome::Success,
            hook: "daemon",
            tier: "none",
            flags: Flags::default(),
            process: None,
            body,
        };
        Pipeline::deliver(&mut self.pipeline.sinks, &event);
    }

    pub(super) fn tell_losses(&mut self) {
        let now = crate::sys::Clock::boot_now().unwrap_or(0);
        let now = self.pipeline.enrich.clock.wall(now);
        let sinks: Vec<_> = self.pipeline.sinks.iter().map(|sink| (sink.name(), sink.counters())).collect();
        let skipped: Vec<_> = self.sensors.iter().map(|sensor| (sensor.name, sensor.skipped())).collect();
        let losses = self.losses.take(&self.counters, &self.pipeline.stages, &sinks, &skipped, now);
        self.tell(&losses, now);
        for sink in &self.pipeline.sinks {
            if let Some(problem) = sink.problem() {
                tracing::warn!("{}: {problem}", sink.name());
            }
        }
    }

    /// Makes `loss` events of these; `now`: wall time, nanoseconds since 1970.
    pub(super) fn tell(&mut self, losses: &[Loss], now: u64) {
        for loss in losses {
            self.hands.lost += loss.count;
            self.hands.last_loss = Some(now);
            self.emit(Action::Loss, Severity::High, Body::Loss(loss.clone()));
        }
        if !losses.is_empty() {
            let mut told = self.losses.told();
            told.total = self.hands.lost;
            for (sensor, count) in self.sensors.iter().zip(self.losses.skipped()) {
                if let Some(at) = FAMILIES.iter().position(|family| family.name == sensor.name) {
                    told.skipped[at] = *count;
                }
            }
            self.accounts.told(told);
            self.accounts.mark(&self.rings, &mut self.pipeline);
        }
    }

    /// Tells of datagrams that were counted and not told; with `all`, at once.
    pub(super) fn tell_flows(&mut self, all: bool) {
        let ledger = &self.accounts.ledger;
        let sequence = || ledger.next_made() << 3 | 2;
        let window = Duration::from_secs(self.config.network.window.into());
        self.flows.tell(&self.counters, &mut self.pipeline, window, all, sequence);
    }
}
