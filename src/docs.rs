//! The parts of `docs/` that follow from tables in the code, but those of
//! `events.md` (`event_docs.rs`) and `configuration.md` (`config::reference`).
//! Pure; `tests/docs.rs` holds the files to it.

use std::fmt::Write as _;

use crate::cli::EXIT_STATUS;
use crate::error::{Error, Result};
use crate::pipeline::FATES;
use crate::probe::{BLIND, FAMILIES, Tier};
use crate::remote::check::RULES;
use crate::sink::SinkCounters;
use crate::wire::CAUSES;

/// The documents with generated parts, and the parts each must have.
pub const DOCUMENTS: &[(&str, &[&str])] = &[
    ("docs/ARCHITECTURE.md", &["sensors"]),
    ("docs/blind-spots.md", &["blind"]),
    ("docs/operations.md", &["exit-status", "monitoring", "causes", "fates", "sink-counters"]),
];

/// What each of `wire::CAUSES` means.
pub const CAUSE_MEANINGS: &[(&str, &str)] = &[
    ("submitted", "it is in a ring"),
    ("ring_full", "the ring had no room: the reader was behind"),
    ("rate_limit", "the process was over `limits.events_per_second`"),
    ("no_scratch", "there was no buffer to build it in"),
    ("unreadable", "memory that names the file, or the inode itself, could not be read"),
    ("too_long", "longer than a record may be"),
    ("map_full", "the table of watched files is full; names are checked instead"),
    ("self", "a file event of the daemon or its scanner: none"),
    ("demoted", "over `limits.alerts_per_second`, so it went to the bulk ring; counted there a second time"),
    ("unnamed", "tier `portable`: a file was opened by handle, and which is not to be told"),
    ("folded", "a datagram that a later event of its flow counts"),
    ("filtered", "an act on a socket that the configuration does not ask for, or that was asked for again"),
];

/// `text` with its generated parts written anew. A part lies between
/// `<!-- generated: NAME -->` and `<!-- end -->`, each on a line of its own.
///
/// # Errors
/// A part has an unknown name or no end, or one of `wanted` is missing.
pub fn refresh(text: &str, wanted: &[&str]) -> Result<String> {
    let mut out = String::new();
    let mut missing = wanted.to_vec();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let _ = writeln!(out, "{line}");
        let Some(name) = line.strip_prefix("<!-- generated: ").and_then(|rest| rest.strip_suffix(" -->"))
        else {
            continue;
        };
        out.push_str(&part(name)?);
        missing.retain(|other| *other != name);
        if !lines.any(|line| line == "<!-- end -->") {
            return Err(Error::failure(format!("the generated part {name} has no end")));
        }
        out.push_str("<!-- end -->\n");
    }
    if missing.is_empty() {
        return Ok(out);
    }
    Err(Error::failure(format!("generated parts that are not there: {}", missing.join(", "))))
}

fn part(name: &str) -> Result<String> {
    match name {
        "sensors" => Ok(sensors()),
        "blind" => Ok(blind()),
        "exit-status" => Ok(exit_status()),
        "monitoring" => Ok(monitoring()),
        "causes" => Ok(causes()),
        "fates" => Ok(fates()),
        "sink-counters" => Ok(sink_counters()),
        _ => Err(Error::failure(format!("no generated part is called {name}"))),
    }
}

fn sensors() -> String {
    let mechanisms =
        FAMILIES.iter().flat_map(|family| family.mechanisms.iter().map(move |mechanism| (family, mechanism)));
    let rows = mechanisms.flat_map(|(family, mechanism)| {
        mechanism.points.iter().map(|point| {
            let mut tried = Vec::new();
            for variant in point.variants {
                let hook = format!("`{}` (`{}`)", variant.hook, variant.tier.name());
                // Two programs for one hook, for kernels that differ.
                if tried.last() != Some(&hook) {
                    tried.push(hook);
                }
            }
            let needed = if point.required { "the object is not used" } else { "only this is missing" };
            [
                family.name.to_owned(),
                format!("`{}`", mechanism.object),
                point.name.to_owned(),
                tried.join(", then "),
                needed.to_owned(),
            ]
        })
    });
    table(["sensor", "object", "what", "hooks, in the order they are tried", "if none works"], rows)
}

fn blind() -> String {
    let mut out = String::new();
    for tier in Tier::ALL {
        let mut rows = BLIND.iter().filter(|(_, at, _)| at == tier).peekable();
        if rows.peek().is_none() {
            continue;
        }
        let rows = rows.map(|(sensor, _, what)| [(*sensor).to_owned(), (*what).to_owned()]);
        let _ = write!(
            out,
            "### Tier `{}`\n\n{}\n",
            tier.name(),
            table(["sensor", "what it does not see or cannot do"], rows)
        );
    }
    out
}

fn exit_status() -> String {
    table(
        ["status", "meaning"],
        EXIT_STATUS.iter().map(|(status, meaning)| [(*status as u8).to_string(), (*meaning).to_owned()]),
    )
}

fn monitoring() -> String {
    let rows = RULES
        .iter()
        .map(|(state, when)| [format!("{} ({})", state.word(), *state as u8), (*when).to_owned()]);
    table(["status", "when"], rows)
}

fn causes() -> String {
    let rows = CAUSES.iter().map(|(_, name, lost)| {
        let meaning = CAUSE_MEANINGS.iter().find(|(cause, _)| cause == name).map_or("", |(_, text)| text);
        [format!("`{name}`"), yes(*lost), meaning.to_owned()]
    });
    table(["counter", "an event is lost", "meaning"], rows)
}

fn fates() -> String {
    let rows =
        FATES.iter().map(|(_, name, lost, meaning)| [format!("`{name}`"), yes(*lost), (*meaning).to_owned()]);
    table(["counter", "an event is lost", "meaning"], rows)
}

/// Every counter of a sink: name, whether an event is lost, meaning.
pub fn sink_counter_rows() -> [(&'static str, bool, &'static str); 9] {
    // A counter that is added does not compile until it has a row.
    let SinkCounters {
        unwanted: _,
        offered: _,
        accepted: _,
        queue_full: _,
        refused: _,
        folded: _,
        bytes: _,
        errors: _,
        rotate_failed: _,
    } = SinkCounters::default();
    [
        (
            "unwanted",
            false,
            "events whose action is not in `output.actions`, for the journal `output.journal_actions`; in none of \
             the others",
        ),
        ("offered", false, "lines given to the sink; for the journal, entries and what was folded"),
        ("accepted", false, "lines that `write(2)` took whole, entries that journald's socket took"),
        ("queue_full", true, "lines or entries for which the queue had no room"),
        ("refused", true, "lines or entries that could not be written, or not in time at the end"),
        (
            "folded",
            false,
            "journal only: repeats that were counted with the first, and told by an entry of their own",
        ),
        ("bytes", false, "bytes that `write(2)` took, those of broken lines included"),
        ("errors", false, "writes that failed for good"),
        ("rotate_failed", false, "times the file could not be rotated; writing went on in the same file"),
    ]
}

/// The counters of a sink by their names.
pub fn sink_counts(counters: &SinkCounters) -> [(&'static str, u64); 9] {
    let SinkCounters {
        unwanted,
        offered,
        accepted,
        queue_full,
        refused,
        folded,
        bytes,
        errors,
        rotate_failed,
    } = *counters;
    // In the order of the rows.
    let values = [unwanted, offered, accepted, queue_full, refused, folded, bytes, errors, rotate_failed];
    let mut named = sink_counter_rows().map(|(name, ..)| (name, 0));
    for (row, value) in named.iter_mut().zip(values) {
        row.1 = value;
    }
    named
}

fn sink_counters() -> String {
    let rows =
        sink_counter_rows().map(|(name, lost, meaning)| [format!("`{name}`"), yes(lost), meaning.to_owned()]);
    table(["counter", "an event is lost", "meaning"], rows)
}

fn yes(it_is: bool) -> String {
    if it_is { "yes" } else { "no" }.to_owned()
}

fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    // Writing to a String cannot fail.
    let mut out = format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(N));
    for row in rows {
        let _ = writeln!(out, "| {} |", row.join(" | ").replace('\n', " "));
    }
    out
}
