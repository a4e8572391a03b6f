//! Any bytes as records of the ring, all the way to a line of JSON and an entry of
//! the journal: nothing panics, every record has exactly one fate, every line is one
//! JSON object, no entry has a field that is not the program's.
//!
//! The input is records one after the other, each with its length (two bytes,
//! little endian) in front. Version and length in a record's header are put
//! right here unless its length is odd: else nothing would get past the first check.
#![no_main]

use std::cell::RefCell;
use std::path::Path;
use std::time::Instant;

use bee_trace::config::{Config, Output};
use bee_trace::decide::Decide;
use bee_trace::enrich::Enrich;
use bee_trace::event::Event;
use bee_trace::pipeline::Pipeline;
use bee_trace::shared::Counters;
use bee_trace::sink::journal::Builder;
use bee_trace::sink::{Sink, SinkCounters, json, pretty, sentence};
use bee_trace::wire::{WIRE_VERSION, bee_header};
use libfuzzer_sys::fuzz_target;
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Renders as all sinks do, and looks at the result.
struct Check {
    line: Vec<u8>,
    view: pretty::View,
    builder: Builder,
    counters: SinkCounters,
}

impl Sink for Check {
    fn name(&self) -> &'static str {
        "check"
    }
    fn start(&mut self) -> bee_trace::error::Result<()> {
        Ok(())
    }
    fn write(&mut self, event: &Event) {
        self.counters.offered += 1;
        self.line.clear();
        json::render(event, "fuzz", &mut self.line);
        let (last, rest) = self.line.split_last().expect("a line");
        assert!(*last == b'\n' && !rest.contains(&b'\n'), "not one line");
        let value: serde_json::Value = serde_json::from_slice(rest).expect("JSON");
        assert!(value.is_object());
        self.line.clear();
        self.view.render(event, &mut self.line);
        let escapes = self.line.iter().filter(|byte| **byte < b' ' && **byte != b'\n').count();
        assert_eq!(escapes, 0, "a control character reached the terminal");
        self.line.clear();
        self.builder.render(event, "fuzz", &mut self.line);
        entry(&self.line);
        self.line.clear();
        sentence::render(event, &mut self.line);
        assert!(self.line.iter().all(|byte| *byte >= b' '), "not one line");
    }
    fn configure(&mut self, _: &Output) {}
    fn counters(&self) -> SinkCounters {
        self.counters
    }
    fn problem(&self) -> Option<String> {
        None
    }
    fn drain(&mut self, _: Instant) {}
}

/// Reads an entry as journald does; every name is one of ours, and PRIORITY is there once.
fn entry(mut bytes: &[u8]) {
    let mut priorities = 0;
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("a field ends");
        let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
        let name = match line.iter().position(|byte| *byte == b'=') {
            Some(equals) => {
                bytes = rest;
                &line[..equals]
            }
            None => {
                let (length, rest) = rest.split_first_chunk::<8>().expect("a length");
                let length = u64::from_le_bytes(*length) as usize;
                assert_eq!(rest[length], b'\n');
                bytes = &rest[length + 1..];
                line
            }
        };
        priorities += usize::from(name == b"PRIORITY");
        let own = [&b"PRIORITY"[..], b"MESSAGE_ID", b"SYSLOG_IDENTIFIER"];
        assert!(own.contains(&name) || name.starts_with(b"BEE_"), "{name:?}");
    }
    assert_eq!(priorities, 1);
}

fn pipeline() -> Pipeline {
    let enrich = Enrich::new(Path::new("/proc"), 64).expect("/proc");
    let check = Check {
        line: Vec::new(),
        view: pretty::View::new(false),
        builder: Builder::default(),
        counters: SinkCounters::default(),
    };
    let memory = memfd_create("stages", MFdFlags::empty()).expect("memfd");
    nix::unistd::ftruncate(&memory, 1 << 16).expect("ftruncate");
    let stages = Counters::new(std::os::fd::AsFd::as_fd(&memory)).expect("counters");
    Pipeline::new(enrich, Decide::new(&Config::default()), vec![Box::new(check)], stages, [1, 2])
}

fn fates(pipeline: &Pipeline) -> u64 {
    pipeline.stages.read().iter().flatten().sum()
}

thread_local! {
    // Made once: it opens files, and its tables are bounded anyway.
    static PIPELINE: RefCell<Pipeline> = RefCell::new(pipeline());
}

fuzz_target!(|input: &[u8]| {
    PIPELINE.with_borrow_mut(|pipeline| {
        let mut rest = input;
        let mut sequence = 0;
        while let Some((length, tail)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_le_bytes(*length)).min(tail.len());
            let (record, tail) = tail.split_at(length);
            rest = tail;
            // The ring's records begin at multiples of eight.
            let mut words = vec![0u64; length.div_ceil(8)];
            // SAFETY: integers without padding; the slice is no longer than the words.
            let bytes = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), length) };
            bytes.copy_from_slice(record);
            if length % 2 == 0
                && let Ok(header) = plain::from_mut_bytes::<bee_header>(bytes)
            {
                header.version = WIRE_VERSION;
                header.length = length as _;
            }
            let before = fates(pipeline);
            pipeline.step(bytes, sequence);
            sequence += 1;
            assert_eq!(fates(pipeline), before + 1, "a record without a fate, or with two");
            pipeline.errands.clear();
        }
    });
});
