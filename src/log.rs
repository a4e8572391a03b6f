//! The daemon's own words, on standard error. They are not events.

use std::io::{IsTerminal, Write};

use tracing::level_filters::LevelFilter;

use crate::error::Error;

/// Begins to log: warnings and what a user should know; with `-v` decisions and
/// reasons, with `-vv` the kernel's own words.
pub fn start(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .init();
}

/// The last words of a program that cannot go on.
pub fn fatal(program: &str, error: &Error) {
    // Nobody to tell it to when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{program}: {error}");
}
