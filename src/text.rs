//! Bytes to text: numbers, times and hostile strings, appended to a buffer the
//! caller reuses. Nothing here allocates on its own, does I/O or knows events.
//!
//! File names, process names and arguments are bytes chosen by whoever is being
//! watched. Two renderings exist: [`push_json`] loses nothing and always gives a
//! valid JSON string; [`push_shown`] and [`push_quoted`] are for a terminal and
//! leave no character in place that moves the cursor, is invisible or changes
//! the direction of writing. [`push_tame`] is for whole lines that another process
//! has rendered.

use std::str::from_utf8;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `value` in decimal.
pub fn push_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `value` in decimal with at least `width` digits (at most 20).
pub fn push_padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    let mut left = value;
    while left > 0 {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width.min(digits.len()))..]);
}

/// Appends `value` as eight hex digits.
pub fn push_hex8(out: &mut Vec<u8>, value: u32) {
    for shift in [28, 24, 20, 16, 12, 8, 4, 0] {
        out.push(HEX[(value >> shift & 15) as usize]);
    }
}

/// Appends permission bits as four octal digits: `0644`. Type bits are left out.
pub fn push_mode(out: &mut Vec<u8>, mode: u32) {
    for shift in [9, 6, 3, 0] {
        out.push(b'0' + (mode >> shift & 7) as u8);
    }
}

/// Appends nanoseconds since 1970 as `2026-11-23T20:17:04.123456789Z`.
pub fn push_rfc3339(out: &mut Vec<u8>, time: u64) {
    let seconds = time / 1_000_000_000;
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    push_padded(out, year, 4);
    let parts =
        [(b'-', month), (b'-', day), (b'T', of_day / 3600), (b':', of_day / 60 % 60), (b':', of_day % 60)];
    for (before, value) in parts {
        out.push(before);
        out.push(b'0' + (value / 10 % 10) as u8);
        out.push(b'0' + (value % 10) as u8);
    }
    out.push(b'.');
    push_padded(out, time % 1_000_000_000, 9);
    out.push(b'Z');
}

/// Year, month and day of a day since 1970 in the Gregorian calendar
/// (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Appends the name of an errno (`EACCES`), or its number where it has no name.
pub fn push_errno(out: &mut Vec<u8>, errno: i32) {
    use std::io::Write as _;
    match nix::errno::Errno::from_raw(errno) {
        nix::errno::Errno::UnknownErrno => push_u64(out, u64::from(errno.unsigned_abs())),
        // Writing to a Vec cannot fail.
        known => drop(write!(out, "{known:?}")),
    }
}

/// Appends the inside of a JSON string for bytes that need not be UTF-8.
/// Returns `false` if they were not.
///
/// A byte that is not part of valid UTF-8 becomes the text `\xNN` (lower-case
/// hex). So that this can be undone, a backslash that stands before an `x`
/// becomes `\x5c`: every `\x` in the resulting text begins such an escape and
/// replacing each `\xNN` by its byte gives back the original.
#[must_use]
pub fn push_json(out: &mut Vec<u8>, bytes: &[u8]) -> bool {
    if let Ok(text) = from_utf8(bytes) {
        escape_json::<true>(out, text);
        return true;
    }
    for chunk in bytes.utf8_chunks() {
        escape_json::<true>(out, chunk.valid());
        for byte in chunk.invalid() {
            out.push(b'\\');
            push_hex_escape(out, *byte);
        }
    }
    false
}

/// Appends the inside of a JSON string for text of our own making: nothing but
/// JSON's own escapes is applied.
pub fn push_json_str(out: &mut Vec<u8>, text: &str) {
    escape_json::<false>(out, text);
}

/// How a byte of valid UTF-8 stands in JSON: 0 as it is, `u` as `\u00NN`, `2`
/// and `3` begin a character that may have to be escaped, anything else is the
/// letter after a backslash.
static JSON: [u8; 256] = {
    let mut table = [0_u8; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = b'u';
        byte += 1;
    }
    table[0x7f] = b'u';
    table[8] = b'b';
    table[9] = b't';
    table[10] = b'n';
    table[12] = b'f';
    table[13] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[0xc2] = b'2';
    table[0xe2] = b'3';
    table
};

/// `BYTES`: the text stands for bytes, so `\x` must be told from an escape.
fn escape_json<const BYTES: bool>(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let class = JSON[byte as usize];
        if class == 0 {
            continue;
        }
        // C1 controls, line separators and direction overrides mean nothing to
        // JSON, but a terminal that shows the raw line obeys them.
        let length = match class {
            b'2' if bytes[at + 1] < 0xa0 => 2,
            b'3' if unsafe_in_terminal(bytes[at + 1], bytes[at + 2]) => 3,
            b'2' | b'3' => continue,
            _ => 1,
        };
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + length;
        match class {
            b'u' => push_unicode(out, u32::from(byte)),
            b'2' => push_unicode(out, u32::from(bytes[at + 1])),
            b'3' => {
                let low = u32::from(bytes[at + 1] & 0x3f) << 6 | u32::from(bytes[at + 2] & 0x3f);
                push_unicode(out, 0x2000 | low);
            }
            b'\\' if BYTES && bytes.get(at + 1) == Some(&b'x') => out.extend_from_slice(b"\\\\x5c"),
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Whether `e2 second third` is one of U+2028..202E or U+2066..2069.
fn unsafe_in_terminal(second: u8, third: u8) -> bool {
    matches!((second, third), (0x80, 0xa8..=0xae) | (0x81, 0xa6..=0xa9))
}

/// Appends `\uNNNN`; `code` lies below 0x10000.
fn push_unicode(out: &mut Vec<u8>, code: u32) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(HEX[(code >> shift & 15) as usize]);
    }
}

/// Appends `\xNN`.
fn push_hex_escape(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

/// Whether a character may reach a terminal: it has a width, and does nothing.
fn is_shown(character: char) -> bool {
    !character.is_control()
        && !matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Appends text for a terminal without quotes: what must not be shown becomes
/// `\n`, `\x1b` or `\u{202e}`, and a backslash is doubled.
pub fn push_shown(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_shown_char(out, character, Dialect::Plain);
        }
        for byte in chunk.invalid() {
            push_hex_escape(out, *byte);
        }
    }
}

/// The same as text of its own: a path or a name in a message or a line of the log, which it can
/// neither end nor colour.
pub fn shown(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    push_shown(&mut out, bytes);
    // Nothing but whole characters is ever appended.
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends whole lines that somebody else has rendered, for a terminal: their ends and their colours
/// (`ESC [ … m`) stay, whatever else a terminal would obey becomes `\u202e`, which is right in JSON
/// too. Lines of a daemon that is what it should be come out as they went in.
pub fn push_tame(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find(is_obeyed) {
            let (before, from) = rest.split_at(at);
            out.extend_from_slice(before.as_bytes());
            let kept = if from.starts_with('\n') { 1 } else { color_length(from) };
            let (kept, after) = from.split_at(kept);
            out.extend_from_slice(kept.as_bytes());
            rest = after;
            if kept.is_empty() {
                let mut characters = rest.chars();
                characters.next().into_iter().for_each(|one| push_unicode(out, one.into()));
                rest = characters.as_str();
            }
        }
        out.extend_from_slice(rest.as_bytes());
        for byte in chunk.invalid() {
            push_hex_escape(out, *byte);
        }
    }
}

/// Whether a terminal does something for it: a control character, a separator of lines, or one that
/// turns the direction of writing.
fn is_obeyed(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How long the colour is that `text` begins with; 0 where it does not.
fn color_length(text: &str) -> usize {
    let Some(inside) = text.strip_prefix("\x1b[") else { return 0 };
    let numbers = inside.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    if inside.as_bytes().get(numbers) == Some(&b'm') { numbers + 3 } else { 0 }
}

/// Who reads the escapes: a person, or bash between `$'` and `'`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Plain,
    Ansi,
}

fn push_shown_char(out: &mut Vec<u8>, character: char, dialect: Dialect) {
    use std::io::Write as _;
    match character {
        '\\' => out.extend_from_slice(b"\\\\"),
        '\'' if dialect == Dialect::Ansi => out.extend_from_slice(b"\\'"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\0'..='\x1f' | '\x7f' => push_hex_escape(out, (u32::from(character) & 0x7f) as u8),
        shown if is_shown(shown) => out.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes()),
        hidden if dialect == Dialect::Ansi => drop(write!(out, "\\U{:08x}", u32::from(hidden))),
        hidden => drop(write!(out, "\\u{{{:04x}}}", u32::from(hidden))),
    }
}

/// Appends one word as a shell would take it: bare where it can be, in single
/// quotes where it has blanks or signs, as `$'…'` where something in it must not
/// be shown. Blanks are always inside quotes, so a name cannot look like two.
pub fn push_quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    let text = from_utf8(bytes).ok();
    let bare = |character: char| {
        character.is_ascii_alphanumeric()
            || "/._-+:,@%=".contains(character)
            || (!character.is_ascii() && !character.is_whitespace() && is_shown(character))
    };
    match text {
        Some(text) if !text.is_empty() && text.chars().all(bare) => out.extend_from_slice(bytes),
        Some(text) if text.chars().all(is_shown) && !text.contains('\'') => {
            out.push(b'\'');
            out.extend_from_slice(bytes);
            out.push(b'\'');
        }
        _ => {
            out.extend_from_slice(b"$'");
            for chunk in bytes.utf8_chunks() {
                for character in chunk.valid().chars() {
                    push_shown_char(out, character, Dialect::Ansi);
                }
                for byte in chunk.invalid() {
                    push_hex_escape(out, *byte);
                }
            }
            out.push(b'\'');
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_in_full() {
        for value in [0, 7, 10, 99, 100, 12_345, u64::MAX] {
            assert_eq!(text(|out| push_u64(out, value)), value.to_string());
            assert_eq!(text(|out| push_padded(out, value, 9)), format!("{value:09}"));
        }
        assert_eq!(text(|out| push_mode(out, 0o100_644)), "0644");
        assert_eq!(text(|out| push_mode(out, 0o104_755)), "4755");
    }

    #[test]
    fn times_agree_with_the_c_library() {
        let mut time: u64 = 0;
        for step in 0..20_000_u64 {
            let seconds = libc::time_t::try_from(time / 1_000_000_000).unwrap();
            // SAFETY: tm is plain data for which all zeroes is a valid value.
            let mut tm: libc::tm = unsafe { std::mem::zeroed() };
            // SAFETY: both pointers are valid for the call.
            assert!(!unsafe { libc::gmtime_r(&raw const seconds, &raw mut tm) }.is_null());
            let want = format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z",
                tm.tm_year + 1900,
                tm.tm_mon + 1,
                tm.tm_mday,
                tm.tm_hour,
                tm.tm_min,
                tm.tm_sec,
                time % 1_000_000_000
            );
            assert_eq!(text(|out| push_rfc3339(out, time)), want);
            // About ten hours, and never the same nanosecond twice.
            time += 36_123_456_789_012 + step * 7919;
        }
        assert_eq!(text(|out| push_rfc3339(out, u64::MAX)), "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn errno_names() {
        assert_eq!(text(|out| push_errno(out, libc::EACCES)), "EACCES");
        assert_eq!(text(|out| push_errno(out, libc::ENOENT)), "ENOENT");
        assert_eq!(text(|out| push_errno(out, 512)), "512");
        assert_eq!(text(|out| push_errno(out, i32::MIN)), "2147483648");
    }

    #[test]
    fn json_escapes_what_a_terminal_would_obey() {
        let hostile = "a\"\\\n\u{1b}\u{7f}\u{85}\u{2028}\u{202e}\u{2069}é€\u{a0}";
        assert_eq!(
            text(|out| assert!(push_json(out, hostile.as_bytes()))),
            "a\\\"\\\\\\n\\u001b\\u007f\\u0085\\u2028\\u202e\\u2069é€\u{a0}"
        );
    }

    #[test]
    fn a_literal_backslash_x_is_told_from_an_escaped_byte() {
        assert_eq!(text(|out| assert!(!push_json(out, b"\xff"))), r"\\xff");
        assert_eq!(text(|out| assert!(push_json(out, br"\xff"))), r"\\x5cxff");
        assert_eq!(text(|out| assert!(!push_json(out, b"\\\xff"))), r"\\\\xff");
        assert_eq!(text(|out| assert!(push_json(out, br"\\xff"))), r"\\\\x5cxff");
        assert_eq!(text(|out| push_json_str(out, r"a\x2db")), r"a\\x2db");
    }

    #[test]
    fn quoting_is_what_a_shell_takes() {
        let cases: &[(&[u8], &str)] = &[
            (b"/etc/shadow", "/etc/shadow"),
            (b"", "''"),
            (b"hello world", "'hello world'"),
            (b"$(id)", "'$(id)'"),
            (b"it's", r"$'it\'s'"),
            (b"a\\b", r"'a\b'"),
            (b"a\x1b[2Jb", r"$'a\x1b[2Jb'"),
            (b"a\nb\\", r"$'a\nb\\'"),
            (b"\xff\xfe", r"$'\xff\xfe'"),
            ("x\u{202e}y".as_bytes(), r"$'x\U0000202ey'"),
            ("é".as_bytes(), "é"),
            ("a\u{a0}b".as_bytes(), "'a\u{a0}b'"),
        ];
        for (bytes, want) in cases {
            assert_eq!(text(|out| push_quoted(out, bytes)), *want);
        }
    }

    #[test]
    fn lines_of_others_keep_their_ends_and_colours_and_nothing_else() {
        let tame = |bytes: &[u8]| text(|out| push_tame(out, bytes));
        let good = "{\"a\":\"é\u{200b}\\n\"}\n\x1b[1;31mHIGH\x1b[0m open\n";
        assert_eq!(tame(good.as_bytes()), good);
        assert_eq!(
            tame(b"\x1b]0;x\x07 \x1b[2J \x1b[31 \xff\xc2\x9b \xe2\x80\xae \r\x1b"),
            r"\u001b]0;x\u0007 \u001b[2J \u001b[31 \xff\u009b \u202e \u000d\u001b"
        );
        assert_eq!(shown(b"a\nINFO all is well\x1b[2J\xff"), r"a\nINFO all is well\x1b[2J\xff");
    }

    #[test]
    fn nothing_dangerous_is_shown() {
        assert_eq!(
            text(|out| push_shown(out, b"a\\b\x1b]0;x\x07\r\n\xc2\x9b\xff")),
            r"a\\b\x1b]0;x\x07\r\n\u{009b}\xff"
        );
        for code in 0..=0x10_ffff_u32 {
            let Some(character) = char::from_u32(code) else { continue };
            let mut raw = [0; 4];
            let raw = character.encode_utf8(&mut raw).as_bytes();
            let mut out = Vec::new();
            push_shown(&mut out, raw);
            push_quoted(&mut out, raw);
            let shown = String::from_utf8(out).unwrap();
            assert!(
                !shown.chars().any(|c| c.is_control()
                    || ('\u{2028}'..='\u{202e}').contains(&c)
                    || ('\u{2066}'..='\u{2069}').contains(&c)),
                "U+{code:04X} gave {shown:?}"
            );
        }
    }
}
