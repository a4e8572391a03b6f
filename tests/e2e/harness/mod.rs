//! What every end-to-end test uses: a fixture (files, users, configuration), the
//! daemon on it, triggers, and the events that came of them.

mod daemon;
mod event;
mod fixture;
mod journald;
mod kernel;
mod manager;
mod run;
pub mod tally;
mod target;
pub mod tier;
mod trigger;
mod want;

pub use daemon::{Daemon, bee_trace, bee_traced};
pub use event::Event;
pub use fixture::{Fixture, User};
pub use journald::{Entry, Journald};
pub use kernel::{dmesg, objects, objects_left, settled};
pub use manager::{Manager, memory};
pub use run::Run;
pub use target::{Reach, Target, is_target, reaches};
pub use trigger::{Abi, Ran, Trigger};
pub use want::{Want, check_process};

/// How long to wait for what takes a good machine less than `seconds`; `BEE_PATIENCE` is
/// how many times slower this one may be (1). An emulated one verifies programs 30 times slower.
pub fn patience(seconds: u64) -> std::time::Duration {
    let times =
        std::env::var("BEE_PATIENCE").map_or(1, |text| text.parse().expect("BEE_PATIENCE is a number"));
    std::time::Duration::from_secs(seconds * times)
}

/// A number nobody else in this run has.
pub fn next() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Waits until `done` says so, looking every few milliseconds.
///
/// # Panics
/// After `seconds` (see [`patience`]), naming `what`.
pub fn wait_for(what: &str, seconds: u64, mut done: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + patience(seconds);
    while !done() {
        assert!(std::time::Instant::now() < end, "{what}: not within {seconds} s");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Writes past libtest's capture, so that a reader of a passing run sees it;
/// `scripts/test.sh` counts these lines.
pub fn skipped(why: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
