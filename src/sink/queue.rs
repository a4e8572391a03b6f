//! The bounded queue between the event loop and a descriptor that can block.
//!
//! The loop's side never waits: [`Queue::push`] copies the line under a lock
//! that is never held for longer than a copy, or counts it as lost. The other
//! end is `writer.rs`. Nothing here writes lines or knows what one holds.
//!
//! Every line that is offered ends in exactly one counter. At any moment
//! `offered = accepted + queue_full + refused + what is still queued`, and after
//! [`Queue::drain`] nothing is queued.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Asked, SinkCounters, Tally};
use crate::error::Result;

/// Bytes handed to the writer at once, unless a single line is longer.
pub(super) const CHUNK: usize = 64 * 1024;
/// Queued bytes that wake the writer before its gathering time is over.
const EAGER: usize = CHUNK / 2;
/// How long the writer lets lines gather after the first one. One write for many
/// lines is what makes the sink cheap; nobody notices five milliseconds.
const GATHER: Duration = Duration::from_millis(5);
/// A line is stored with its length in front, so that counting lines needs no search.
const PREFIX: usize = size_of::<u32>();
/// Bytes kept for what the daemon says of itself: a second of `loss` events is less.
pub const RESERVE: usize = 16 * 1024;
/// A writer that has lines and ended none for so long is behind: nobody waits for it.
const STALL: Duration = Duration::from_millis(500);
/// How long `drain` waits beyond its deadline for a `write(2)` that is under way:
/// whether its lines were written is known only when it returns.
const GRACE: Duration = Duration::from_millis(200);

/// The queue has no room for the line, or is closed; the line has been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The event loop's end; clones share one queue.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// The writer waits here for lines, or for the end of a pause.
    work: Condvar,
    /// `drain` waits here for the writer.
    done: Condvar,
    /// Readable once the queue is closed; ends a wait for the descriptor.
    stop: EventFd,
    limit: usize,
}

/// What both ends see.
struct State {
    ring: VecDeque<u8>,
    /// Lines the writer has taken and not yet counted.
    in_flight: u64,
    /// Lines in the ring.
    queued: u64,
    counters: SinkCounters,
    /// Lines that were ever put into the ring, and of these, in the same order, those that
    /// were written or given up on after an error.
    pushed: u64,
    settled: u64,
    gave_up: u64,
    /// When a line last was settled, or the first one came.
    moved: Instant,
    asked: Asked,
    /// Rung for who asked.
    bell: Option<Arc<EventFd>>,
    /// Why the last write or rotation failed, until one succeeds.
    write_problem: Option<String>,
    rotate_problem: Option<String>,
    waiting: Waiting,
    /// There is a writer, and it has not returned.
    running: bool,
    /// The writer is inside `write(2)`.
    writing: bool,
    /// `drain` was called: write what is there, then return.
    ending: bool,
    /// Everything is counted; nothing may be written any more.
    closed: bool,
}

/// What would wake the writer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// It is busy and looks by itself.
    No,
    /// Any line.
    ForLine,
    /// Enough lines, or time.
    ForMore,
}

impl State {
    /// Counts everything that is left as refused.
    fn close(&mut self) {
        self.closed = true;
        self.counters.refused += self.queued + self.in_flight;
        self.queued = 0;
        self.in_flight = 0;
        self.ring.clear();
    }

    /// The writer has done with `lines` lines.
    fn settle(&mut self, lines: u64) {
        self.in_flight -= lines;
        self.settled += lines;
        if lines > 0 {
            self.moved = Instant::now();
        }
    }

    /// Rings for who waits, where what it waits for has come.
    fn ring_bell(&mut self, limit: usize) {
        let empty = self.queued == 0 && self.in_flight == 0;
        let come = match self.asked {
            Asked::Nothing => false,
            Asked::Settled => empty,
            Asked::Room => empty || self.ring.len() <= limit / 4,
        };
        if let Some(bell) = self.bell.as_ref().filter(|_| come) {
            // Cannot fail: the counter is far from full.
            let _ = bell.write(1);
            self.asked = Asked::Nothing;
        }
    }
}

impl Queue {
    /// A queue of `limit` bytes, of which each line takes its own and four. The
    /// memory is taken as it is first used, and kept.
    ///
    /// # Errors
    /// eventfd(2) failed.
    pub fn new(limit: usize) -> Result<Self> {
        let state = State {
            ring: VecDeque::with_capacity(limit),
            in_flight: 0,
            queued: 0,
            counters: SinkCounters::default(),
            pushed: 0,
            settled: 0,
            gave_up: 0,
            moved: Instant::now(),
            asked: Asked::Nothing,
            bell: None,
            write_problem: None,
            rotate_problem: None,
            waiting: Waiting::No,
            running: false,
            writing: false,
            ending: false,
            closed: false,
        };
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let shared =
            Shared { state: Mutex::new(state), work: Condvar::new(), done: Condvar::new(), stop, limit };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Queues one line, its newline included. Never blocks. No bytes are no
    /// line and are not counted.
    ///
    /// # Errors
    /// [`Full`] where there is no room or the queue was drained; the line is counted.
    pub fn push(&self, line: &[u8]) -> std::result::Result<(), Full> {
        self.push_below(self.shared.limit, line)
    }

    /// The same for a line that must not fall to what it tells of: it may use
    /// [`RESERVE`] bytes beyond the limit.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_reserved(&self, line: &[u8]) -> std::result::Result<(), Full> {
        self.push_below(self.shared.limit + RESERVE, line)
    }

    fn push_below(&self, limit: usize, line: &[u8]) -> std::result::Result<(), Full> {
        if line.is_empty() {
            return Ok(());
        }
        let shared = &*self.shared;
        let mut state = shared.lock();
        state.counters.offered += 1;
        if state.closed {
            state.counters.refused += 1;
            return Err(Full);
        }
        let fits = state.ring.len() + PREFIX + line.len() <= limit;
        let Some(length) = u32::try_from(line.len()).ok().filter(|_| fits) else {
            state.counters.queue_full += 1;
            return Err(Full);
        };
        if state.ring.is_empty() {
            // Back to the bottom: a queue that is mostly empty touches few pages.
            state.ring.clear();
        }
        state.ring.extend(length.to_ne_bytes());
        state.ring.extend(line);
        if state.queued == 0 && state.in_flight == 0 {
            state.moved = Instant::now();
        }
        state.queued += 1;
        state.pushed += 1;
        let wake = match state.waiting {
            Waiting::No => false,
            Waiting::ForLine => true,
            Waiting::ForMore => state.ring.len() >= EAGER,
        };
        if wake {
            state.waiting = Waiting::No;
            drop(state);
            shared.work.notify_one();
        }
        Ok(())
    }

    /// Whether a line of so many bytes would be taken now. Only who pushes can make it untrue.
    pub fn has_room(&self, length: usize) -> bool {
        let state = self.shared.lock();
        !state.closed && state.ring.len() + PREFIX + length <= self.shared.limit
    }

    /// How far the writer is, and the counters.
    pub fn tally(&self) -> Tally {
        let state = self.shared.lock();
        Tally {
            pushed: state.pushed,
            settled: state.settled,
            gave_up: state.gave_up,
            behind: !state.running || state.moved.elapsed() >= STALL,
            crowded: state.ring.len() > self.shared.limit / 4 * 3,
            counters: state.counters,
        }
    }

    /// Has `bell` rung once what is asked for has come; the last question counts.
    pub fn ask(&self, asked: Asked, bell: &Arc<EventFd>) {
        let mut state = self.shared.lock();
        state.asked = asked;
        state.bell = Some(Arc::clone(bell));
        state.ring_bell(self.shared.limit);
    }

    /// Counters go on where those of an earlier life ended. Before anything is pushed.
    pub fn resume(&self, counters: SinkCounters) {
        self.shared.lock().counters = counters;
    }

    /// The counters now.
    pub fn counters(&self) -> SinkCounters {
        self.shared.lock().counters
    }

    /// What is wrong now, in words.
    pub fn problem(&self) -> Option<String> {
        let state = self.shared.lock();
        state.write_problem.clone().or_else(|| state.rotate_problem.clone())
    }

    /// Lets the writer finish until `deadline`; then whatever is left is counted
    /// as refused. Afterwards the counters are final. A write that hangs in the
    /// kernel holds this up by 200 ms at most; its lines then count as refused.
    pub fn drain(&self, deadline: Instant) {
        let shared = &*self.shared;
        let mut state = shared.lock();
        state.ending = true;
        shared.work.notify_one();
        while state.running && !state.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = shared.wait(&shared.done, state, left);
        }
        // From here on the writer begins no write; one that is under way is waited for.
        let was_open = !state.closed;
        state.closed = true;
        let late = Instant::now() + GRACE;
        while was_open && state.writing {
            let left = late.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = shared.wait(&shared.done, state, left);
        }
        state.close();
        drop(state);
        // Cannot fail: the counter is far from full.
        let _ = shared.stop.write(1);
        shared.work.notify_one();
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

/// A run of whole lines out of the queue.
#[derive(Default)]
pub(super) struct Batch {
    /// The lines, one after the other.
    pub bytes: Vec<u8>,
    /// Where each ends.
    pub ends: Vec<usize>,
}

/// The writer's end.
impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two updates under this lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, on: &Condvar, state: MutexGuard<'s, State>, time: Duration) -> MutexGuard<'s, State> {
        on.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Readable once nothing may be written any more.
    pub(super) fn stop(&self) -> BorrowedFd<'_> {
        self.stop.as_fd()
    }

    /// To be called before the writer's thread begins, and if it could not.
    pub(super) fn set_running(&self, running: bool) {
        self.lock().running = running;
        self.done.notify_all();
    }

    /// Waits for lines and moves up to [`CHUNK`] bytes of them into `batch`, at
    /// least one line. `false`: there will be none any more.
    pub(super) fn take(&self, batch: &mut Batch) -> bool {
        batch.bytes.clear();
        batch.ends.clear();
        let mut state = self.lock();
        while state.ring.is_empty() {
            if state.ending || state.closed {
                return false;
            }
            state.waiting = Waiting::ForLine;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting = Waiting::No;
            if !state.ring.is_empty() && state.ring.len() < EAGER && !state.ending {
                state.waiting = Waiting::ForMore;
                state = self.wait(&self.work, state, GATHER);
                state.waiting = Waiting::No;
            }
        }
        while state.ring.len() >= PREFIX {
            let mut length = [0; PREFIX];
            for (to, from) in length.iter_mut().zip(state.ring.iter()) {
                *to = *from;
            }
            let length = u32::from_ne_bytes(length) as usize;
            if !batch.ends.is_empty() && batch.bytes.len() + length > CHUNK {
                break;
            }
            state.ring.drain(..PREFIX);
            let (front, back) = state.ring.as_slices();
            let in_front = length.min(front.len());
            batch.bytes.extend_from_slice(&front[..in_front]);
            batch.bytes.extend_from_slice(&back[..length - in_front]);
            state.ring.drain(..length);
            batch.ends.push(batch.bytes.len());
            state.queued -= 1;
            state.in_flight += 1;
        }
        true
    }

    /// Whether a write may begin; if so, [`Shared::wrote`] must follow it.
    pub(super) fn may_write(&self) -> bool {
        let mut state = self.lock();
        state.writing = !state.closed;
        state.writing
    }

    /// A write returned: it took `bytes` and with them the ends of `lines`.
    pub(super) fn wrote(&self, bytes: usize, lines: u64) {
        let mut state = self.lock();
        state.writing = false;
        // Lines that `drain` gave up on are counted already.
        let lines = lines.min(state.in_flight);
        state.settle(lines);
        state.counters.accepted += lines;
        state.ring_bell(self.limit);
        state.counters.bytes += bytes as u64;
        if bytes > 0 && state.write_problem.is_some() {
            state.write_problem = None;
        }
        if state.closed {
            self.done.notify_all();
        }
    }

    /// A write failed for good, and with it `lines` that will not be tried again.
    /// Waits for `pause` or the call of `drain`, whichever comes first. `false`
    /// where that came before: there is no time for a second failure.
    pub(super) fn failed(&self, problem: String, lines: u64, pause: Duration) -> bool {
        let mut state = self.lock();
        let lines = lines.min(state.in_flight);
        state.settle(lines);
        state.gave_up += lines;
        state.ring_bell(self.limit);
        state.counters.refused += lines;
        state.counters.errors += 1;
        state.write_problem = Some(problem);
        if state.ending || state.closed {
            return false;
        }
        let until = Instant::now() + pause;
        while !state.ending && !state.closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(&self.work, state, left);
        }
        true
    }

    /// Nothing is refused yet, but why nothing is written should be known.
    pub(super) fn waits(&self, problem: &str) {
        let mut state = self.lock();
        if state.write_problem.as_deref() != Some(problem) {
            state.write_problem = Some(problem.to_owned());
        }
    }

    /// A rotation was tried; `problem` says why it failed.
    pub(super) fn rotated(&self, problem: Option<String>) {
        let mut state = self.lock();
        state.counters.rotate_failed += u64::from(problem.is_some());
        state.rotate_problem = problem;
    }

    /// The writer returns; nothing will be written any more.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        state.close();
        state.running = false;
        drop(state);
        self.done.notify_all();
    }
}
