//! How many events were to come and how many came with every field right, for the table of
//! kernels: a line "SENSOR wanted|right COUNT" for each, in the file `BEE_TALLY` names; and
//! "SENSOR skipped COUNT", runs of its programs that the kernel skipped.

use std::fs::OpenOptions;
use std::io::Write as _;

/// So many events of this sensor are about to be looked at.
pub fn wanted(sensor: &str, count: usize) {
    note(sensor, "wanted", count);
}

/// So many were there, and every field that the test asserts was right.
pub fn right(sensor: &str, count: usize) {
    note(sensor, "right", count);
}

/// The kernel skipped so many runs of this sensor's programs.
pub fn skipped(sensor: &str, count: u64) {
    note(sensor, "skipped", usize::try_from(count).unwrap());
}

fn note(sensor: &str, what: &str, count: usize) {
    if let Some(path) = std::env::var_os("BEE_TALLY") {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{sensor} {what} {count}").unwrap();
    }
}
