//! All events of one life of the daemon.

use std::collections::HashSet;
use std::path::Path;

use super::{Event, Ran, tally};

/// What the daemon wrote from start to stop.
pub struct Run {
    /// In the order of the output.
    pub events: Vec<Event>,
}

impl Run {
    /// Reads the output; what holds for every event is asserted here.
    pub fn read(output: &Path) -> Self {
        let text = std::fs::read_to_string(output).unwrap();
        assert!(text.ends_with('\n'), "the last line is not complete");
        let run = Self { events: text.lines().map(Event::parse).collect() };
        let mut sequences = HashSet::new();
        for event in &run.events {
            let sequence = event.number("event.sequence").unwrap_or_else(|| panic!("no sequence: {event}"));
            assert!(sequences.insert(sequence), "sequence {sequence} twice: {event}");
            assert!(!event.text("@timestamp").is_empty(), "no time: {event}");
            assert!(!event.text("host.name").is_empty(), "no host: {event}");
        }
        run
    }

    /// Events of one process.
    pub fn of(&self, pid: u32) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.pid() == Some(u64::from(pid)))
    }

    /// File events of a trigger.
    pub fn files(&self, ran: &Ran) -> Vec<&Event> {
        self.of(ran.pid).filter(|event| event.text("bee.sensor") == "file").collect()
    }

    /// Events with this action.
    pub fn action(&self, action: &str) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.action() == action)
    }

    /// What `loss` events report as lost, of this action.
    pub fn lost(&self, action: &str) -> u64 {
        let of_action = self.action("loss").filter(|event| event.text("bee.loss.action") == action);
        of_action.map(|event| event.number("bee.loss.count").unwrap()).sum()
    }

    /// Asserts that nothing was lost, and not even a little. Runs of a program that the kernel
    /// skipped are counted apart where it may do that (`BEE_MAY_SKIP`): an event that is missing for
    /// it fails the test all the same.
    pub fn lossless(&self) -> &Self {
        let may_skip = std::env::var_os("BEE_MAY_SKIP").is_some();
        for loss in self.action("loss") {
            assert!(may_skip && loss.text("bee.loss.cause") == "skipped", "events were lost: {loss}");
            let count = loss.number("bee.loss.count").unwrap();
            tally::skipped(loss.text("bee.loss.stage"), count);
        }
        self
    }

    /// Asserts that no event of the file sensor is about `path`.
    pub fn nothing_about(&self, path: &Path) {
        let path = path.to_str().unwrap();
        if let Some(event) = self.events.iter().find(|event| event.text("file.path") == path) {
            panic!("an event about a file nobody watches: {event}");
        }
    }
}
