//! The journal: each event is an entry with fields, sent to journald by its native
//! protocol. Rendering and folding are done by the caller, sending by a thread
//! behind the same bounded queue that lines go through.

mod catalog;
mod entry;
mod socket;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::eventfd::EventFd;

pub use catalog::catalog;
pub use entry::{Builder, IDENTIFIER, NAME_MAX, REPEATED, REPEATED_FIRST, field_name, plain, priority};
pub use socket::Socket;

use super::fold::{Fold, Repeats};
use super::lines::{ALWAYS, bits};
use super::queue::Queue;
use super::writer::{self, Target};
use super::{Asked, Sink, SinkCounters, Tally, sentence};
use crate::config;
use crate::error::{Error, Result};
use crate::event::{Action, Event};
use crate::text;

/// How soon repeats that found no room in the queue are tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// The sink.
pub struct Journal {
    host: String,
    builder: Builder,
    fold: Fold,
    folded: u64,
    /// Repeats that are due wait for room in the queue until then.
    again: Option<Instant>,
    actions: u64,
    unwanted: u64,
    entry: Vec<u8>,
    queue: Queue,
    /// Until `start` gives it to the thread.
    target: Option<Box<dyn Target>>,
}

impl Journal {
    /// A sink that sends to the socket at `path` what `output` says. `host` is
    /// `BEE_HOST_NAME`, `queue_bytes` how far journald may be behind.
    ///
    /// # Errors
    /// No socket can be had. That journald is not there is none: it may come.
    pub fn open(path: &Path, output: &config::Output, host: String, queue_bytes: usize) -> Result<Self> {
        let target = Socket::open(path).map_err(|why| why.context(path.display()))?;
        let mut journal = Self {
            host,
            builder: Builder::default(),
            fold: Fold::new(Duration::ZERO),
            folded: 0,
            again: None,
            actions: 0,
            unwanted: 0,
            entry: Vec::with_capacity(4096),
            queue: Queue::new(queue_bytes)?,
            target: Some(Box::new(target)),
        };
        journal.configure(output);
        Ok(journal)
    }

    /// Completes the entry. `MESSAGE` is its last field, and one line.
    fn add_message(&mut self, event: &Event) {
        self.entry.extend_from_slice(b"MESSAGE=");
        sentence::render(event, &mut self.entry);
        self.entry.push(b'\n');
    }

    /// Queues the entry. One that does not fit has been counted by the queue.
    fn push(&mut self, action: Action) -> bool {
        let done = if ALWAYS.contains(&action) {
            self.queue.push_reserved(&self.entry)
        } else {
            self.queue.push(&self.entry)
        };
        done.is_ok()
    }

    /// Queues what is told of repeats.
    fn tell(&mut self, repeats: Repeats, reserved: bool) {
        let entry = finished(repeats);
        let _ = if reserved { self.queue.push_reserved(&entry) } else { self.queue.push(&entry) };
    }

    fn tell_due(&mut self, now: Instant) {
        self.again = None;
        let mut full = false;
        loop {
            let queue = &self.queue;
            let repeats = self.fold.take(now, |length| {
                full = !queue.has_room(length + MORE);
                !full
            });
            match repeats {
                Some(repeats) => self.tell(repeats, false),
                None => break,
            }
        }
        self.again = full.then(|| now + AGAIN);
    }

    /// The queue's counters, with those of what never reaches it.
    fn with_folded(&self, queue: SinkCounters) -> SinkCounters {
        let offered = queue.offered + self.folded;
        SinkCounters { unwanted: self.unwanted, folded: self.folded, offered, ..queue }
    }

    fn tell_all(&mut self) {
        for repeats in self.fold.take_all() {
            self.tell(repeats, true);
        }
    }
}

/// What [`finished`] adds, in bytes, at most.
const MORE: usize = 256;

/// The entry for repeats: that of the last one, with how many there were. Its last
/// field is `MESSAGE`, which is one line.
fn finished(repeats: Repeats) -> Vec<u8> {
    let Repeats { mut entry, count, first, last } = repeats;
    entry.pop();
    sentence::repeated(count, last.saturating_sub(first), &mut entry);
    entry.push(b'\n');
    let mut value = Vec::new();
    text::push_u64(&mut value, count);
    plain(&mut entry, REPEATED, &value);
    value.clear();
    text::push_rfc3339(&mut value, first);
    plain(&mut entry, REPEATED_FIRST, &value);
    entry
}

impl Sink for Journal {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn start(&mut self) -> Result<()> {
        let target = self.target.take();
        let target = target.ok_or_else(|| Error::failure("its thread runs already").context(self.name()))?;
        writer::start(&self.queue, target, "sink-journal")
    }

    fn write(&mut self, event: &Event) {
        if self.actions & 1 << event.action as u64 == 0 {
            self.unwanted += 1;
            return;
        }
        if event.action == Action::Stop {
            self.tell_all();
        }
        self.entry.clear();
        self.builder.render(event, &self.host, &mut self.entry);
        // Who did it must be known for certain; the daemon's own events have no process.
        let known = event.process.as_ref().is_some_and(|process| process.entity_id.is_some());
        if !self.fold.is_on() || !known {
            self.add_message(event);
            self.push(event.action);
            return;
        }
        let now = Instant::now();
        self.tell_due(now);
        let key = self.fold.key(self.builder.same(&self.entry));
        let repeat = self.fold.is_repeat(key, now);
        self.add_message(event);
        if repeat && self.fold.repeat(key, &self.entry, event.time) {
            self.folded += 1;
        } else if self.push(event.action) {
            self.fold.written(key, event.time, now);
        }
    }

    fn configure(&mut self, output: &config::Output) {
        self.actions = bits(&output.journal_actions);
        let window = Duration::from_secs(output.journal_fold_seconds.into());
        if window.is_zero() {
            self.tell_all();
        }
        self.fold.set_window(window);
    }

    fn due(&self) -> Option<Instant> {
        self.again.or_else(|| self.fold.due())
    }

    fn tick(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            self.tell_due(now);
        }
    }

    fn counters(&self) -> SinkCounters {
        self.with_folded(self.queue.counters())
    }

    fn tally(&self) -> Tally {
        let tally = self.queue.tally();
        Tally { counters: self.with_folded(tally.counters), ..tally }
    }

    fn ask(&self, asked: Asked, bell: &Arc<EventFd>) {
        self.queue.ask(asked, bell);
    }

    fn resume(&mut self, counters: SinkCounters) {
        (self.unwanted, self.folded) = (counters.unwanted, counters.folded);
        let offered = counters.offered.saturating_sub(counters.folded);
        self.queue.resume(SinkCounters { unwanted: 0, folded: 0, offered, ..counters });
    }

    fn problem(&self) -> Option<String> {
        self.queue.problem()
    }

    fn drain(&mut self, deadline: Instant) {
        self.tell_all();
        self.queue.drain(deadline);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Ends the thread of a sink that nobody drained.
        self.queue.drain(Instant::now());
    }
}
