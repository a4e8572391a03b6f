//! Supervision: the order of the start, the loop, the end. Touches everything;
//! is touched by `main` only.
//!
//! Start: config → privileges there? → sinks opened → maps → scanner forked →
//! programs attached → /proc scan → canary seen → privileges gone, proven →
//! events flow → scan.

mod accounts;
mod control;
mod filesystems;
mod flows;
mod guard;
mod keep;
mod lessons;
mod life;
mod losses;
mod notify;
mod overlap;
mod own;
mod policy;
mod prove;
mod rate;
mod reload;
mod scans;
mod start;
mod status;
mod tell;
#[cfg(test)]
mod tests;
mod wait;

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

pub use reload::{Chosen, Overrides, build};
pub use start::{Options, start};

use crate::config::Config;
use crate::decode;
use crate::error::{Error, Result};
use crate::event::{Action, Body, Severity};
use crate::formats;
use crate::ledger::RINGS;
use crate::pipeline::{Errand, Fate, Pipeline, action};
use crate::probe::loader::Sensor;
use crate::ring::Ring;
use crate::shared::{Counters, Settings, State, emitted};
use accounts::{Accounts, STRIDE};
use control::Hands;
use filesystems::FileSystems;
use flows::Flows;
use guard::Guard;
use losses::Losses;
use notify::Notify;
use overlap::Overlap;
use policy::Policies;
use scans::Scans;
use wait::{Source, Waiter};

/// How long a batch may gather, alerts and bulk.
const GATHER: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(100)];
/// Records taken in one turn of the loop, so that signals are heard under any load.
const TURN: usize = 8192;
/// Losses are told at most this often.
const TELL: Duration = Duration::from_secs(1);
/// How long the sinks may take to write what is left at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// The signals, as descriptors.
pub(crate) struct Signals {
    stop: UnixStream,
    reload: UnixStream,
}

/// The running daemon.
pub struct Daemon<'a> {
    config: Config,
    overrides: Overrides,
    settings: &'a Settings,
    state: State,
    counters: Counters,
    policies: Policies<'a>,
    pipeline: Pipeline,
    /// Alerts, bulk; then those of a build before, as long as there is something in them.
    rings: Vec<Ring>,
    accounts: Accounts,
    /// What is in the rings is taken only as fast as the sinks take it.
    patient: bool,
    /// What another build has attached beside ours.
    overlap: Option<Overlap>,
    /// Descriptors the service manager keeps over a restart.
    stored: Option<usize>,
    /// This life has taken over what an earlier one loaded.
    adopted: bool,
    life: u64,
    due: [Option<Instant>; 2],
    sensors: Vec<Sensor>,
    scans: Scans,
    filesystems: FileSystems,
    mountinfo: File,
    losses: Losses,
    flows: Flows,
    tell: Instant,
    waiter: Waiter,
    signals: Signals,
    started: Instant,
    until: Option<Instant>,
    hands: Hands,
    notify: Notify,
    guard: Guard,
    /// Why the next turn is the last.
    ending: Option<Error>,
    /// Wall time, nanoseconds since 1970.
    begun: u64,
}

impl Daemon<'_> {
    /// Watches until told to stop; then detaches, drains and says so.
    ///
    /// # Errors
    /// When waiting itself fails; when what was loaded does not report any more.
    pub fn run(mut self) -> Result<()> {
        let mut happened = Vec::new();
        if let Some(until) = self.until {
            self.waiter.wake_at(until);
        }
        loop {
            self.waiter.wait(&mut happened)?;
            let now = Instant::now();
            for source in happened.drain(..) {
                match source {
                    Source::Alerts | Source::Bulk => self.gather(source as usize, now),
                    Source::Timer => {}
                    Source::Stop => return self.stop(),
                    Source::Reload => self.ask_for_config(),
                    Source::Scanner => self.hear_scanner(),
                    Source::Control => self.serve(now),
                    Source::Sinks => {
                        self.accounts.hear();
                        self.settle(now);
                    }
                    Source::Mounts => {
                        if self.filesystems.changed(&mut self.mountinfo) {
                            self.scans.want(now);
                        }
                        self.settings.set_scanned(self.filesystems.list(), self.filesystems.usual());
                    }
                }
            }
            if self.until.is_some_and(|until| until <= now) {
                return self.stop();
            }
            if self.due.iter().flatten().any(|due| *due <= now) {
                self.drain();
            }
            if self.hands.due().is_some_and(|due| due <= now) {
                self.serve(now);
            }
            self.housekeeping(now);
            if let Err(blind) = self.show_life(now) {
                self.ending = Some(blind);
            }
            if let Some(why) = self.ending.take() {
                self.finish()?;
                return Err(why);
            }
            self.feed_watchers();
            let sinks = self.pipeline.sinks.iter().filter_map(|sink| sink.due());
            let others =
                [self.until, self.scans.due(), self.hands.due(), self.flows.due(), self.notify.due()];
            for when in self.due.into_iter().chain(others).flatten().chain(sinks) {
                self.waiter.wake_at(when);
            }
        }
    }

    /// A ring has a first record, or fills up while a batch gathers.
    fn gather(&mut self, ring: usize, now: Instant) {
        let full = self.rings[ring].used() >= self.rings[ring].size() / 4;
        let when = if full { now } else { now + GATHER[ring] };
        let due = &mut self.due[ring];
        *due = Some(due.map_or(when, |due| due.min(when)));
    }

    /// Takes what is in the rings, both together in the order of time: an alert
    /// must not come before the exec that explains it.
    fn drain(&mut self) {
        self.due = [None; 2];
        self.measure();
        if self.pipeline.enrich.clock.refresh().is_err() {
            tracing::debug!("the clocks cannot be read");
        }
        let (mut taken, mut crowded) = (0, false);
        while taken < TURN && self.take_one() {
            taken += 1;
            if taken % STRIDE == 0 {
                self.accounts.mark(&self.rings, &mut self.pipeline);
                crowded = self.accounts.crowded(&self.rings, &self.pipeline.sinks, self.patient);
                if crowded {
                    break;
                }
            }
        }
        self.accounts.mark(&self.rings, &mut self.pipeline);
        let now = Instant::now();
        self.settle(now);
        if taken == TURN {
            self.due = [Some(now); 2];
        }
        if crowded {
            self.accounts.ask_for_room(&self.pipeline.sinks);
        }
        if let Some(why) = self.pipeline.take_undecodable() {
            tracing::warn!("records that cannot be read are dropped and counted: {why}");
        }
        self.run_errands();
    }

    /// Accounts for what the sinks have written. Where something is still with them, or came
    /// meanwhile, the rings are looked at again: the kernel wakes nobody who has room to give back.
    fn settle(&mut self, now: Instant) {
        self.accounts.settle(&mut self.rings, &self.pipeline.sinks, false);
        let waits = self.accounts.is_waiting();
        for (ring, due) in self.due.iter_mut().enumerate() {
            if due.is_none() && (waits || self.rings[ring].waiting() > 0) {
                *due = Some(now + GATHER[ring]);
            }
        }
    }

    /// How full the rings became, and the beginning of a span that rates are over.
    fn measure(&mut self) {
        for (highest, ring) in self.hands.highest.iter_mut().zip(&self.rings) {
            *highest = (*highest).max(ring.used());
        }
        let stages = &self.pipeline.stages;
        self.hands.rate.before(Instant::now(), || status::delivered(stages));
    }

    fn take_one(&mut self) -> bool {
        let mut oldest: Option<(usize, u64)> = None;
        let mut heads = [const { None }; RINGS];
        // While ours are proven no sink runs yet that could take what the build before sees.
        let proving = self.overlap.as_ref().is_some_and(|overlap| overlap.until().is_none());
        let read = if proving { 2 } else { RINGS };
        for (index, ring) in self.rings.iter_mut().enumerate().take(read) {
            match ring.peek() {
                Ok(Some(record)) => {
                    let bytes =
                        if index < 2 { Cow::Borrowed(record.bytes) } else { formats::current(record.bytes) };
                    let time = decode::time(&bytes);
                    if oldest.is_none_or(|(_, first)| time < first) {
                        oldest = Some((index, time));
                    }
                    heads[index] = Some((bytes, record.position));
                }
                Ok(None) => {}
                Err(error) => {
                    // How many records that were cannot be told; that some are gone is.
                    self.pipeline.count(0, Fate::Undecodable);
                    tracing::error!("{error}");
                }
            }
        }
        let Some((index, _)) = oldest else { return false };
        if let Some((bytes, position)) = &heads[index] {
            // Positions are multiples of eight: the ring's number fits below.
            let base = self.accounts.page().rings[index].base;
            let double = |overlap: &mut Overlap| overlap.is_double(bytes, index >= 2);
            if self.overlap.as_mut().is_some_and(double) {
                self.pipeline.count(decode::header(bytes).map_or(0, |header| header.kind), Fate::Duplicate);
                self.rings[index].advance();
                return true;
            }
            self.pipeline.step(bytes, (base + position) | (index as u64 & 1));
        }
        self.rings[index].advance();
        true
    }

    fn run_errands(&mut self) {
        for errand in std::mem::take(&mut self.pipeline.errands) {
            match errand {
                // While the scanner is at work the identity may be one it has just taught, under a
                // name the file got since; the next event of this file asks again.
                Errand::Unlearn { inode, device }
                    if self.scans.is_idle() && !self.state.names_everywhere() =>
                {
                    self.policies.unlearn(inode, device);
                }
                Errand::Unlearn { .. } => {}
                Errand::Rescan(path) => self.scans.tree(path),
                Errand::Moved(path) if !self.scans.is_idle() => self.scans.tree(path),
                Errand::Moved(_) => {}
                Errand::RescanAll => self.scans.want(Instant::now()),
                Errand::Complete { point, device } => self.filesystems.mark(point, device),
            }
        }
    }

    /// What is not an event's business: losses, scans that are due.
    fn housekeeping(&mut self, now: Instant) {
        for sink in &mut self.pipeline.sinks {
            sink.tick(now);
        }
        self.end_overlap(now);
        if self.tell <= now {
            self.tell_losses();
            self.tell = now + TELL;
        } else if self.losses.waiting(&self.counters, &self.pipeline.stages) {
            self.waiter.wake_at(self.tell);
        }
        if self.state.table_full() && self.scans.may_start_over(now) {
            // Identities of files long gone fill the table: make it anew.
            tracing::warn!(
                "the table of watched files is full (limits.inodes = {}); it is made anew, until then every open is \
                 checked by name",
                self.config.limits.inodes
            );
            self.state.clear_table_full();
            self.enforce();
        }
        self.scan(now);
        self.tell_flows(false);
    }

    fn stop(self) -> Result<()> {
        self.notify.stopping();
        self.finish()
    }

    /// Detaches or leaves what runs, drains, says so.
    fn finish(mut self) -> Result<()> {
        self.tell_losses();
        if self.stored.is_none() {
            for sensor in &mut self.sensors {
                sensor.detach();
            }
        }
        self.catch_up(Instant::now() + FLUSH);
        self.tell_flows(true);
        self.tell_losses();
        let reading = self.counters.read();
        let mut sums = [0; 2];
        for (kind, row) in (0..).zip(&reading) {
            if action(kind).is_some() {
                sums[0] += emitted(row);
                sums[1] += row[0];
            }
        }
        let stays = if self.stored.is_some() {
            "; its programs stay with the service manager, which detaches them unless it starts the next"
        } else {
            ""
        };
        let text = format!(
            "bee-traced stopped after {} s: {} events in the kernel, {} through the rings, {} lost{stays}",
            self.started.elapsed().as_secs(),
            sums[0],
            sums[1],
            sums[0] - sums[1]
        );
        self.emit(Action::Stop, Severity::Info, Body::Note(text.into()));
        self.accounts.mark(&self.rings, &mut self.pipeline);
        if let Some(server) = &mut self.hands.server {
            server.stop();
        }
        let deadline = Instant::now() + FLUSH;
        for sink in &mut self.pipeline.sinks {
            sink.drain(deadline);
        }
        // What was not written stays in the rings for the next life.
        self.accounts.settle(&mut self.rings, &self.pipeline.sinks, self.stored.is_some());
        for sink in &self.pipeline.sinks {
            tracing::info!("{}: {}", sink.name(), sink.counters());
        }
        Ok(())
    }
}
