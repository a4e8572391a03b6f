//! Records of the formats before, brought to the one this build reads: what a build before has left
//! in its rings is read to its end (`docs/adr/0017-restart.md`).
//!
//! In every format `length`, `version`, `kind` and `time` lie where they do now, at the beginning.

use std::borrow::Cow;

use crate::wire::WIRE_VERSION;

/// Makes of a record of one format one of the next; `None` where it cannot be one.
type Step = fn(&[u8]) -> Option<Vec<u8>>;

/// By the version they begin at. A release that changes what `wire.h` lays out adds a row, and keeps
/// it as long as a running daemon may be replaced that is so old. There was one format so far; the
/// row of builds for tests is what such a row looks like.
const STEPS: &[(u16, Step)] = &[
    #[cfg(bee_test_format)]
    (1, widen),
];

/// Where `version` lies in every format.
const VERSION: std::ops::Range<usize> = 4..6;

fn version(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(VERSION)?.try_into().ok()?))
}

/// The record as this build reads it; as it is, where it is of this build's format or of one nobody
/// knows, which decoding will find out.
pub fn current(bytes: &[u8]) -> Cow<'_, [u8]> {
    lift(bytes, STEPS, WIRE_VERSION)
}

fn lift<'a>(bytes: &'a [u8], steps: &[(u16, Step)], wanted: u16) -> Cow<'a, [u8]> {
    let mut record = Cow::Borrowed(bytes);
    while let Some(step) = version(&record)
        .filter(|version| *version < wanted)
        .and_then(|version| steps.iter().find(|row| row.0 == version))
    {
        match (step.1)(&record) {
            // Each step leads on, so that this comes to an end.
            Some(next) if version(&next) > version(&record) => record = Cow::Owned(next),
            _ => return Cow::Borrowed(bytes),
        }
    }
    record
}

/// The format of builds for tests has eight bytes more at the end of what every record begins with.
#[cfg(bee_test_format)]
fn widen(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = std::mem::size_of::<crate::wire::bee_header>() - 8;
    let (header, rest) = bytes.split_at_checked(end)?;
    let length = u32::try_from(bytes.len() + 8).ok()?;
    let mut record = Vec::with_capacity(bytes.len() + 8);
    record.extend_from_slice(&length.to_ne_bytes());
    record.extend_from_slice(&2u16.to_ne_bytes());
    record.extend_from_slice(&header[VERSION.end..]);
    record.extend_from_slice(&[0; 8]);
    record.extend_from_slice(rest);
    Some(record)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of_version(version: u16) -> Vec<u8> {
        [&[9, 0, 0, 0][..], &version.to_ne_bytes(), b"rest"].concat()
    }

    fn next(bytes: &[u8]) -> Option<Vec<u8>> {
        Some([&bytes[..4], &(version(bytes)? + 1).to_ne_bytes(), &bytes[6..], b"+"].concat())
    }

    #[test]
    fn a_record_is_brought_on_step_by_step() {
        let steps: &[(u16, Step)] = &[(1, next), (2, next)];
        let record = of_version(1);
        let lifted = lift(&record, steps, 3);
        assert_eq!(version(&lifted), Some(3));
        assert!(lifted.ends_with(b"rest++"));
        assert!(matches!(lift(&of_version(3), steps, 3), Cow::Borrowed(_)));
    }

    #[test]
    fn what_cannot_be_brought_on_stays_as_it_is() {
        let steps: &[(u16, Step)] = &[(1, |_| None), (2, |bytes| Some(bytes.to_vec()))];
        for record in [of_version(0), of_version(1), of_version(2), of_version(4), vec![], vec![1; 5]] {
            assert_eq!(*lift(&record, steps, 3), *record);
        }
    }
}
