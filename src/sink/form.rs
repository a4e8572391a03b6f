//! How a field of an event is written down. The walk over the fields is in
//! `json.rs`; it calls a form for each, in order, objects and arrays included.

use crate::text;

/// One way to write fields. Keys come as `"name":`, or empty for what stands in an
/// array; `string` says whether JSON would quote the value.
pub(super) trait Form {
    /// A value follows.
    fn begin(&mut self, out: &mut Vec<u8>, key: &str, string: bool);
    /// A value of our own making, or checked to be UTF-8.
    fn text(&self, out: &mut Vec<u8>, value: &str);
    /// A value that somebody outside chose; `false` if it is not UTF-8.
    fn bytes(&self, out: &mut Vec<u8>, value: &[u8]) -> bool;
    /// The value is complete.
    fn finish(&mut self, out: &mut Vec<u8>, string: bool);
    /// An object (`{`) or array (`[`) follows.
    fn open(&mut self, out: &mut Vec<u8>, key: &str, bracket: u8);
    /// It is complete.
    fn close(&mut self, out: &mut Vec<u8>, bracket: u8);
}

/// JSON on one line. Members end with a comma; closing an object turns the last
/// one into the brace.
pub(super) struct Json;

impl Json {
    /// Puts `byte` in the place of the last member's comma, if there is one.
    pub(super) fn end(out: &mut Vec<u8>, byte: u8) {
        match out.last_mut() {
            Some(last) if *last == b',' => *last = byte,
            _ => out.push(byte),
        }
    }
}

impl Form for Json {
    fn begin(&mut self, out: &mut Vec<u8>, key: &str, string: bool) {
        out.extend_from_slice(key.as_bytes());
        if string {
            out.push(b'"');
        }
    }

    fn text(&self, out: &mut Vec<u8>, value: &str) {
        text::push_json_str(out, value);
    }

    fn bytes(&self, out: &mut Vec<u8>, value: &[u8]) -> bool {
        text::push_json(out, value)
    }

    fn finish(&mut self, out: &mut Vec<u8>, string: bool) {
        out.extend_from_slice(if string { b"\"," } else { b"," });
    }

    fn open(&mut self, out: &mut Vec<u8>, key: &str, bracket: u8) {
        out.extend_from_slice(key.as_bytes());
        out.push(bracket);
    }

    fn close(&mut self, out: &mut Vec<u8>, bracket: u8) {
        Self::end(out, bracket);
        out.push(b',');
    }
}
