//! Counters turned into `loss` events. A loss is told once, with how many, of
//! what, why and since when; the sums of all `loss` events are the counters.

use crate::event::{Action, Loss};
use crate::ledger::Told;
use crate::pipeline::{FATES, action};
use crate::shared::{Counters, Reading};
use crate::sink::SinkCounters;
use crate::wire::{self, CAUSES, KIND_COUNT};

/// The cause of a run of a program that the kernel skipped; the stage is then the sensor.
pub const SKIPPED: &str = "skipped";

/// What was told already.
#[derive(Debug, Default)]
pub struct Losses {
    kernel: Option<Reading>,
    stages: Option<Reading>,
    sinks: Vec<SinkCounters>,
    /// Of each sensor.
    skipped: Vec<u64>,
    since: u64,
}

impl Losses {
    /// Nothing has been lost before `now` (wall time, ns): counters begin where they are.
    pub fn begin(kernel: &Counters, stages: &Counters, now: u64) -> Self {
        Self {
            kernel: Some(kernel.read()),
            stages: Some(stages.read()),
            sinks: Vec::new(),
            skipped: Vec::new(),
            since: now,
        }
    }

    /// Goes on where an earlier life ended. `skipped` is of each sensor that runs.
    pub fn resume(told: &Told, skipped: Vec<u64>) -> Self {
        let sinks = told.sinks.map(|[queue_full, refused]| SinkCounters {
            queue_full,
            refused,
            ..SinkCounters::default()
        });
        Self {
            kernel: Some(told.kernel),
            stages: Some(told.stages),
            sinks: sinks.into(),
            skipped,
            since: told.since,
        }
    }

    /// A loss that no counter here has was told at `now` (wall time, ns), and no other waits.
    pub fn told_until(&mut self, now: u64) {
        self.since = now;
    }

    /// All that was told; of the sensors the caller knows which they are.
    pub fn told(&self) -> Told {
        let mut told = Told { since: self.since, ..Told::default() };
        told.kernel = self.kernel.unwrap_or(told.kernel);
        told.stages = self.stages.unwrap_or(told.stages);
        for (to, from) in told.sinks.iter_mut().zip(&self.sinks) {
            *to = [from.queue_full, from.refused];
        }
        told
    }

    /// What was told of runs that were skipped, in the order of the sensors.
    pub fn skipped(&self) -> &[u64] {
        &self.skipped
    }

    /// Whether there is something to tell.
    pub fn waiting(&self, kernel: &Counters, stages: &Counters) -> bool {
        let kernel_columns: Vec<usize> = CAUSES.iter().filter(|row| row.2).map(|row| row.0).collect();
        let stage_columns: Vec<usize> = FATES.iter().filter(|row| row.2).map(|row| row.0 as usize).collect();
        moved(kernel, &self.kernel, &kernel_columns) || moved(stages, &self.stages, &stage_columns)
    }

    /// Every loss since the last call, one for each stage, action and cause.
    pub fn take(
        &mut self,
        kernel: &Counters,
        stages: &Counters,
        sinks: &[(&'static str, SinkCounters)],
        skipped: &[(&'static str, u64)],
        now: u64,
    ) -> Vec<Loss> {
        let mut losses = Vec::new();
        let since = self.since;
        let mut add = |stage, action, cause, count: u64| {
            if count > 0 {
                losses.push(Loss { stage, action, cause, count, since });
            }
        };
        let reading = kernel.read();
        let before = self.kernel.replace(reading).unwrap_or([[0; wire::CAUSE_COUNT]; KIND_COUNT]);
        for (kind, action) in kinds() {
            for (column, cause, lost) in CAUSES {
                if *lost {
                    add(
                        "kernel",
                        action,
                        cause,
                        reading[kind][*column].saturating_sub(before[kind][*column]),
                    );
                }
            }
        }
        let reading = stages.read();
        let before = self.stages.replace(reading).unwrap_or([[0; wire::CAUSE_COUNT]; KIND_COUNT]);
        for (kind, action) in kinds() {
            for (fate, name, lost, _) in FATES {
                if *lost {
                    let column = *fate as usize;
                    add("decode", action, name, reading[kind][column].saturating_sub(before[kind][column]));
                }
            }
        }
        self.sinks.resize(sinks.len(), SinkCounters::default());
        for ((name, counters), before) in sinks.iter().zip(&mut self.sinks) {
            add(name, None, "queue_full", counters.queue_full.saturating_sub(before.queue_full));
            add(name, None, "refused", counters.refused.saturating_sub(before.refused));
            *before = *counters;
        }
        self.skipped.resize(skipped.len(), 0);
        for ((sensor, count), before) in skipped.iter().zip(&mut self.skipped) {
            add(sensor, None, SKIPPED, count.saturating_sub(*before));
            *before = *count;
        }
        if !losses.is_empty() {
            self.since = now;
        }
        losses
    }
}

fn moved(counters: &Counters, before: &Option<Reading>, columns: &[usize]) -> bool {
    before.is_none_or(|before| {
        columns
            .iter()
            .any(|column| (0..KIND_COUNT).any(|kind| counters.get(kind, *column) != before[kind][*column]))
    })
}

/// Every kind of the wire, with its action where it has one.
fn kinds() -> impl Iterator<Item = (usize, Option<Action>)> {
    (0..KIND_COUNT).map(|kind| {
        let action = u16::try_from(kind).ok().and_then(action);
        (kind, action)
    })
}
