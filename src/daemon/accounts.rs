//! What was read from the rings and is not accounted for: a ring's room is given back, and what
//! became of its records entered in the ledger, when every sink has written what it was handed
//! of them. Until then a daemon that is killed leaves the records in the ring, and they are
//! delivered once more, under the same numbers.
//!
//! Nobody is waited for who is behind: a sink that has ended no line for half a second, or one
//! for which a ring is already half full, has its lines in memory alone. What of these a kill
//! takes along is counted as refused by the next life.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::error::Result;
use crate::ledger::{Ledger, Page, RINGS, RingPlace, SINKS, SinkPlace, Told, sink_name};
use crate::pipeline::{Cell, Pipeline};
use crate::ring::Ring;
use crate::sink::{Asked, Sink, SinkCounters, Tally};

/// Records between two marks: this many can be delivered twice after a kill, beside those
/// the sinks had not written.
pub(super) const STRIDE: usize = 64;
/// Marks at most; more are joined, which only holds room a little longer.
const MARKS: usize = 512;

/// Up to here everything was handed to the sinks.
struct Mark {
    positions: [u64; RINGS],
    /// Of each sink: the lines it was handed, and its counters.
    sinks: Vec<(u64, SinkCounters)>,
    counts: Vec<(Cell, u64)>,
    told: Option<Box<Told>>,
}

/// See the module.
pub(super) struct Accounts {
    pub ledger: Ledger,
    page: Box<Page>,
    /// The counters each sink began with.
    began: Vec<SinkCounters>,
    marks: VecDeque<Mark>,
    told: Option<Box<Told>>,
    bell: Arc<EventFd>,
}

impl Accounts {
    /// Goes on where the ledger ends: the sinks go on counting there, and the rings are read from
    /// there.
    ///
    /// # Errors
    /// When descriptors are used up.
    pub fn new(ledger: Ledger, sinks: &mut [Box<dyn Sink>]) -> Result<Self> {
        let mut page = ledger.read();
        let before = (page.sinks, page.told.sinks);
        let mut rows: Vec<(SinkPlace, [u64; 2])> = Vec::new();
        for sink in sinks.iter_mut() {
            let name = sink_name(sink.name());
            let at = before.0.iter().position(|place| place.name == name);
            let (mut place, told) = at.map_or_else(Default::default, |at| (before.0[at], before.1[at]));
            place.name = name;
            let counters = &mut place.counters;
            // Lines that were in memory alone when the life before ended.
            let settled = counters.accepted + counters.queue_full + counters.refused + counters.folded;
            counters.refused += counters.offered.saturating_sub(settled);
            sink.resume(*counters);
            rows.push((place, told));
        }
        let began = rows.iter().map(|(place, _)| place.counters).collect();
        let ours = |name| rows.iter().any(|(place, _)| place.name == name);
        let others =
            before.0.iter().zip(before.1).filter(|(place, _)| place.name != [0; 2] && !ours(place.name));
        let others: Vec<_> = others.map(|(place, told)| (*place, told)).collect();
        rows.extend(others);
        rows.resize(SINKS, Default::default());
        for (at, (place, told)) in rows.into_iter().take(SINKS).enumerate() {
            (page.sinks[at], page.told.sinks[at]) = (place, told);
        }
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = Arc::new(EventFd::from_flags(flags)?);
        Ok(Self { ledger, page, began, marks: VecDeque::new(), told: None, bell })
    }

    /// Readable when sinks have come as far as was asked.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Silences the bell.
    pub fn hear(&self) {
        // Nonblocking.
        let _ = self.bell.read();
    }

    /// What is in force.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// Whether something read is not accounted for.
    pub fn is_waiting(&self) -> bool {
        !self.marks.is_empty()
    }

    /// These are the rings from now on, in this order, with what their positions are counted from.
    pub fn set_rings(&mut self, rings: &[(u64, u64, &Ring)]) {
        self.page.rings = [RingPlace::default(); RINGS];
        for (place, (id, base, ring)) in self.page.rings.iter_mut().zip(rings) {
            *place = RingPlace { id: *id, base: *base, position: ring.position() };
        }
        self.ledger.commit(&mut self.page);
    }

    /// Only the first two rings are left.
    pub fn forget_old(&mut self) {
        self.page.rings[2..].fill(RingPlace::default());
        self.ledger.commit(&mut self.page);
    }

    /// What `loss` events have told is in force with what is marked next.
    pub fn told(&mut self, told: Told) {
        self.told = Some(Box::new(told));
    }

    /// Everything read so far was handed to the sinks.
    pub fn mark(&mut self, rings: &[Ring], pipeline: &mut Pipeline) {
        let mut positions = [0; RINGS];
        for (to, ring) in positions.iter_mut().zip(rings) {
            *to = ring.position();
        }
        let counts = pipeline.take_counts();
        let told = self.told.take();
        if counts.is_empty() && told.is_none() && self.last_positions() == positions {
            return;
        }
        let sinks = pipeline.sinks.iter().map(|sink| sink.tally());
        let sinks = sinks.map(|tally| (tally.pushed, tally.counters)).collect();
        let full = self.marks.len() >= MARKS;
        match self.marks.back_mut().filter(|_| full) {
            Some(last) => {
                (last.positions, last.sinks) = (positions, sinks);
                last.counts.extend(counts);
                last.told = told.or(last.told.take());
            }
            None => self.marks.push_back(Mark { positions, sinks, counts, told }),
        }
    }

    fn last_positions(&self) -> [u64; RINGS] {
        self.marks.back().map_or_else(|| self.page.rings.map(|ring| ring.position), |mark| mark.positions)
    }

    /// Accounts for what the sinks have written. `strict`: for nothing else. Otherwise sinks that
    /// are behind are not waited for.
    pub fn settle(&mut self, rings: &mut [Ring], sinks: &[Box<dyn Sink>], strict: bool) {
        let tallies: Vec<Tally> = sinks.iter().map(|sink| sink.tally()).collect();
        let mut done = false;
        while let Some(mark) = self.marks.front() {
            let written = |((pushed, _), tally): (&(u64, SinkCounters), &Tally)| {
                tally.settled >= *pushed || (tally.behind && !strict)
            };
            let all = mark.sinks.iter().zip(&tallies).all(written);
            if !all && (strict || !self.pressed(rings)) {
                break;
            }
            if let Some(mark) = self.marks.pop_front() {
                self.enter(mark, &tallies);
                done = true;
            }
        }
        if done {
            self.ledger.commit(&mut self.page);
            for (ring, place) in rings.iter_mut().zip(&self.page.rings) {
                ring.release_to(place.position);
            }
        }
        if !self.marks.is_empty() {
            for sink in sinks {
                sink.ask(Asked::Settled, &self.bell);
            }
        }
    }

    /// A ring is half full, not counting what is going to be given back.
    fn pressed(&self, rings: &[Ring]) -> bool {
        let mut both = rings.iter().zip(&self.page.rings);
        both.any(|(ring, place)| {
            let read = ring.position().saturating_sub(place.position);
            ring.waiting() + read > ring.size() / 2
        })
    }

    fn enter(&mut self, mark: Mark, tallies: &[Tally]) {
        for (place, position) in self.page.rings.iter_mut().zip(mark.positions) {
            place.position = position;
        }
        for ((kind, fate), count) in mark.counts {
            self.page.stages.0[kind][fate] += count;
        }
        let rows = self.page.sinks.iter_mut().zip(&self.began).zip(mark.sinks).zip(tallies);
        for (((place, began), (pushed, counters)), tally) in rows {
            let settled = tally.settled.min(pushed);
            let gave_up = tally.gave_up.min(settled);
            place.counters = SinkCounters {
                accepted: began.accepted + settled - gave_up,
                refused: began.refused + gave_up,
                bytes: tally.counters.bytes,
                errors: tally.counters.errors,
                rotate_failed: tally.counters.rotate_failed,
                ..counters
            };
        }
        if let Some(told) = mark.told {
            self.page.told = *told;
        }
    }

    /// Whether sinks have as much as they can take for now, and are about to have room again. With
    /// `patient` they are waited for even where a ring fills meanwhile.
    pub fn crowded(&self, rings: &[Ring], sinks: &[Box<dyn Sink>], patient: bool) -> bool {
        if !patient && rings.iter().any(|ring| ring.waiting() > ring.size() / 2) {
            return false;
        }
        let mut crowded = false;
        for sink in sinks {
            let tally = sink.tally();
            if tally.crowded && !tally.behind {
                crowded = true;
            }
        }
        crowded
    }

    /// Has the bell rung when there is room.
    pub fn ask_for_room(&self, sinks: &[Box<dyn Sink>]) {
        for sink in sinks {
            sink.ask(Asked::Room, &self.bell);
        }
    }
}
