//! The daemon's own words, on standard error. They are not events.

use std::io::{IsTerminal, Write};
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use crate::error::Error;

/// How much is said, and how much was asked for at the start.
struct Level {
    handle: reload::Handle<LevelFilter, Registry>,
    at_start: LevelFilter,
}

static LEVEL: OnceLock<Level> = OnceLock::new();

/// Begins to log: warnings and what a user should know; with `-v` decisions and
/// reasons, with `-vv` the kernel's own words.
pub fn start(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let (filter, handle) = reload::Layer::new(level);
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time();
    tracing_subscriber::registry().with(filter).with(lines).init();
    // Set once: `init` has just refused to run a second time.
    let _ = LEVEL.set(Level { handle, at_start: level });
}

/// Says more from now on (`debug`), or as much as at the start. Gives the word for the level that
/// is in force now.
pub fn set_debug(on: bool) -> String {
    if let Some(level) = LEVEL.get() {
        let wanted = if on { level.at_start.max(LevelFilter::DEBUG) } else { level.at_start };
        // Fails only where the subscriber is gone, which lives as long as the program.
        let _ = level.handle.modify(|filter| *filter = wanted);
    }
    level()
}

/// The word for the level that is in force: `info`, `debug` or `trace`; `off` before `start`.
pub fn level() -> String {
    let level = LEVEL.get().and_then(|level| level.handle.clone_current()).unwrap_or(LevelFilter::OFF);
    level.to_string().to_lowercase()
}

/// The last words of a program that cannot go on.
pub fn fatal(program: &str, error: &Error) {
    // Nobody to tell it to when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{program}: {error}");
}
