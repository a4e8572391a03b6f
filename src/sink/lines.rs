//! The sink for lines: an event becomes a line, the line goes into a queue, a
//! thread writes it.

use std::sync::Arc;
use std::time::Instant;

use nix::sys::eventfd::EventFd;

use super::queue::Queue;
use super::writer::{self, Target};
use super::{Asked, Sink, SinkCounters, Tally, json, pretty};
use crate::config;
use crate::error::{Error, Result};
use crate::event::{Action, Event};

/// How an event becomes a line.
pub(super) enum Render {
    Json { host: String },
    Pretty(pretty::View),
}

pub(super) struct Lines {
    name: &'static str,
    render: Render,
    /// One bit per [`crate::event::Action`] that is written.
    actions: u64,
    unwanted: u64,
    line: Vec<u8>,
    queue: Queue,
    /// Until `start` gives it to the thread.
    target: Option<Box<dyn Target>>,
}

impl Lines {
    pub(super) fn new(
        name: &'static str,
        render: Render,
        target: Box<dyn Target>,
        actions: &[Action],
        queue_bytes: usize,
    ) -> Result<Self> {
        let queue = Queue::new(queue_bytes)?;
        Ok(Self {
            name,
            render,
            actions: bits(actions),
            unwanted: 0,
            line: Vec::with_capacity(2048),
            queue,
            target: Some(target),
        })
    }
}

/// What the daemon says of itself is always written; a `loss` that fell to a full queue
/// would take the number it tells along.
pub(super) const ALWAYS: [Action; 3] = [Action::Loss, Action::Start, Action::Stop];

/// One bit for each of `actions`, and for those that are always written.
pub(super) fn bits(actions: &[Action]) -> u64 {
    actions.iter().chain(&ALWAYS).fold(0, |bits, action| bits | 1 << *action as u64)
}

impl Sink for Lines {
    fn name(&self) -> &'static str {
        self.name
    }

    fn start(&mut self) -> Result<()> {
        let target = self.target.take();
        let target = target.ok_or_else(|| Error::failure("its thread runs already").context(self.name))?;
        writer::start(&self.queue, target, &format!("sink-{}", self.name))
    }

    fn write(&mut self, event: &Event) {
        if self.actions & 1 << event.action as u64 == 0 {
            self.unwanted += 1;
            return;
        }
        self.line.clear();
        match &mut self.render {
            Render::Json { host } => json::render(event, host, &mut self.line),
            Render::Pretty(view) => view.render(event, &mut self.line),
        }
        // A line that does not fit has been counted by the queue.
        let _ = if ALWAYS.contains(&event.action) {
            self.queue.push_reserved(&self.line)
        } else {
            self.queue.push(&self.line)
        };
    }

    fn configure(&mut self, output: &config::Output) {
        self.actions = bits(&output.actions);
    }

    fn counters(&self) -> SinkCounters {
        SinkCounters { unwanted: self.unwanted, ..self.queue.counters() }
    }

    fn tally(&self) -> Tally {
        let tally = self.queue.tally();
        Tally { counters: SinkCounters { unwanted: self.unwanted, ..tally.counters }, ..tally }
    }

    fn ask(&self, asked: Asked, bell: &Arc<EventFd>) {
        self.queue.ask(asked, bell);
    }

    fn resume(&mut self, counters: SinkCounters) {
        self.unwanted = counters.unwanted;
        self.queue.resume(SinkCounters { unwanted: 0, ..counters });
    }

    fn problem(&self) -> Option<String> {
        self.queue.problem()
    }

    fn drain(&mut self, deadline: Instant) {
        self.queue.drain(deadline);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // Ends the thread of a sink that nobody drained.
        self.queue.drain(Instant::now());
    }
}
