//! One event as one entry of the journal's native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>). Pure.
//!
//! A field is `NAME=value\n` where the value is one line, else `NAME\n`, the length
//! of the value as 64 bits little-endian, the value, `\n`. Names come from the table
//! of keys and never from an event, and no value can end a field early: so nobody
//! who is watched can add a field or change one.

use std::ops::Range;

use crate::event::{Event, Severity};
use crate::sink::form::Form;
use crate::sink::json;
use crate::text;

/// `SYSLOG_IDENTIFIER`.
pub const IDENTIFIER: &str = "bee-traced";
/// The field that says how often an act was repeated; in none but such entries.
pub const REPEATED: &str = "BEE_REPEATED";
/// When the act was done first, in an entry that tells of repeats.
pub const REPEATED_FIRST: &str = "BEE_REPEATED_FIRST";
/// journald drops a field with a longer name (journal-file.c, `journal_field_valid`).
pub const NAME_MAX: usize = 64;
/// Keys whose elements are one field, a JSON array: their order counts, and the
/// journal keeps no order of fields.
const ORDERED: [&str; 1] = ["BEE_PROCESS_ARGS"];
/// What differs between two acts that are otherwise the same: when, which thread of the
/// process, and the port of who asks for a connection, which is another one each time.
const VOLATILE: [&str; 4] =
    ["BEE_TIMESTAMP", "BEE_EVENT_SEQUENCE", "BEE_PROCESS_THREAD_ID", "BEE_SOURCE_PORT"];

/// The field for a key of a JSON line, arrays with their `[]`: `process.executable`
/// becomes `BEE_PROCESS_EXECUTABLE`, `bee.flags[]` becomes `BEE_FLAGS`. `None` for
/// `message`, which is `MESSAGE`, as every entry has one.
pub fn field_name(key: &str) -> Option<String> {
    if key == "message" {
        return None;
    }
    let key = key.trim_end_matches("[]").trim_start_matches('@');
    let key = key.strip_prefix("bee.").unwrap_or(key);
    Some(format!("BEE_{}", key.replace('.', "_").to_ascii_uppercase()))
}

/// `PRIORITY` of syslog(3).
pub fn priority(severity: Severity) -> u8 {
    match severity {
        Severity::Info => b'6',
        Severity::Low => b'5',
        Severity::Medium => b'4',
        Severity::High => b'3',
        Severity::Critical => b'2',
    }
}

/// Builds entries; kept for its buffers.
#[derive(Default)]
pub struct Builder {
    fields: Fields,
}

impl Builder {
    /// Appends all fields of `event` but `MESSAGE` to `out`, which must be empty.
    pub fn render(&mut self, event: &Event, host: &str, out: &mut Vec<u8>) {
        self.fields.reset();
        plain(out, "MESSAGE_ID", event.action.facts().message_id().as_bytes());
        plain(out, "PRIORITY", &[priority(event.severity)]);
        plain(out, "SYSLOG_IDENTIFIER", IDENTIFIER.as_bytes());
        json::walk(event, host, out, &mut self.fields);
    }

    /// Of what was rendered last, in `entry`, the pieces that are the same whenever the
    /// same act is done again.
    pub fn same<'e>(&'e self, entry: &'e [u8]) -> impl Iterator<Item = &'e [u8]> {
        let ends = self.fields.volatile.iter().map(|range| range.start).chain([entry.len()]);
        let starts = [0].into_iter().chain(self.fields.volatile.iter().map(|range| range.end));
        starts.zip(ends).map(|(start, end)| &entry[start..end])
    }
}

/// Appends one field whose value is one line.
pub fn plain(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    for piece in [name.as_bytes(), b"=", value, b"\n"] {
        out.extend_from_slice(piece);
    }
}

/// The walk's way of writing fields.
#[derive(Default)]
struct Fields {
    /// `BEE_PROCESS_USER_` inside of that object, `BEE_EVENT_TYPE` inside of an array.
    path: Vec<u8>,
    /// How long `path` was before each object and array that is open.
    outer: Vec<usize>,
    /// Inside of an array that is one field.
    ordered: bool,
    /// Where the name and the value of the field that is being written begin.
    name_at: usize,
    value_at: usize,
    /// Where those of `VOLATILE` are, in order.
    volatile: Vec<Range<usize>>,
}

impl Fields {
    fn reset(&mut self) {
        self.path.clear();
        self.path.extend_from_slice(b"BEE_");
        self.outer.clear();
        self.volatile.clear();
        self.ordered = false;
    }

    /// `"name":` in capitals, onto the path or into the entry.
    fn push_name(into: &mut Vec<u8>, key: &str) {
        let name = key.trim_start_matches(['"', '@']).trim_end_matches(['"', ':']);
        into.extend(name.bytes().map(|byte| byte.to_ascii_uppercase()));
    }

    /// The field ends here: it gets its length where its value is more than a line.
    fn end(&mut self, out: &mut Vec<u8>) {
        let value = &out[self.value_at..];
        if value.iter().any(|byte| *byte < b' ') {
            let length = (value.len() as u64).to_le_bytes();
            out[self.value_at - 1] = b'\n';
            out.splice(self.value_at..self.value_at, length);
        }
        out.push(b'\n');
        let field = &out[self.name_at..];
        let name = field.split(|byte| matches!(byte, b'=' | b'\n')).next().unwrap_or_default();
        // That a process is over its rate changes nothing about what it did.
        if VOLATILE.iter().any(|volatile| volatile.as_bytes() == name) || field == b"BEE_FLAGS=demoted\n" {
            self.volatile.push(self.name_at..out.len());
        }
    }
}

impl Form for Fields {
    fn begin(&mut self, out: &mut Vec<u8>, key: &str, string: bool) {
        if self.ordered {
            return out.extend_from_slice(if string { b"\"" } else { b"" });
        }
        self.name_at = out.len();
        out.extend_from_slice(&self.path);
        Self::push_name(out, key);
        out.push(b'=');
        self.value_at = out.len();
    }

    fn text(&self, out: &mut Vec<u8>, value: &str) {
        if self.ordered {
            text::push_json_str(out, value);
        } else {
            out.extend_from_slice(value.as_bytes());
        }
    }

    fn bytes(&self, out: &mut Vec<u8>, value: &[u8]) -> bool {
        if self.ordered {
            return text::push_json(out, value);
        }
        out.extend_from_slice(value);
        std::str::from_utf8(value).is_ok()
    }

    fn finish(&mut self, out: &mut Vec<u8>, string: bool) {
        if self.ordered {
            return out.extend_from_slice(if string { b"\"," } else { b"," });
        }
        if &out[self.name_at..self.value_at] == b"BEE_MESSAGE=" {
            // It is the whole of MESSAGE, which the caller adds.
            return out.truncate(self.name_at);
        }
        self.end(out);
    }

    fn open(&mut self, out: &mut Vec<u8>, key: &str, bracket: u8) {
        self.outer.push(self.path.len());
        if bracket == b'[' {
            Self::push_name(&mut self.path, key);
            if ORDERED.iter().any(|name| name.as_bytes() == self.path) {
                self.begin(out, "", false);
                out.push(b'[');
                self.ordered = true;
            }
        } else if key != "\"bee\":" && !key.is_empty() {
            Self::push_name(&mut self.path, key);
            self.path.push(b'_');
        }
    }

    fn close(&mut self, out: &mut Vec<u8>, _: u8) {
        if self.ordered {
            self.ordered = false;
            match out.last_mut() {
                Some(last) if *last == b',' => *last = b']',
                _ => out.push(b']'),
            }
            self.end(out);
        }
        let length = self.outer.pop().unwrap_or(0);
        self.path.truncate(length);
    }
}
