//! The daemon's own words, on standard error. They are not events.
//!
//! Under systemd standard error is a socket of journald: lines then begin with their
//! priority (`<4>`, sd-daemon(3)), and are sent without waiting. A line that journald
//! has no room for is counted and told when there is room again, so that a journald
//! that hangs cannot hold the event loop up.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::os::fd::RawFd;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

use crate::error::Error;
use crate::{sys, text};

/// How much is said, and how much was asked for at the start.
struct Chosen {
    handle: reload::Handle<LevelFilter, Registry>,
    at_start: LevelFilter,
}

static CHOSEN: OnceLock<Chosen> = OnceLock::new();

/// Begins to log: warnings and what a user should know; with `-v` decisions and
/// reasons, with `-vv` the kernel's own words.
pub fn start(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let (filter, handle) = reload::Layer::new(level);
    let lines = fmt::layer().with_target(false).without_time();
    let lines = if sys::is_journal_stream(libc::STDERR_FILENO) {
        lines.with_ansi(false).event_format(Prefixed).with_writer(Stream::new(libc::STDERR_FILENO)).boxed()
    } else {
        lines.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).boxed()
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    // Set once: `init` has just refused to run a second time.
    let _ = CHOSEN.set(Chosen { handle, at_start: level });
}

/// Says more from now on (`debug`), or as much as at the start. Gives the word for the level that
/// is in force now.
pub fn set_debug(on: bool) -> String {
    if let Some(chosen) = CHOSEN.get() {
        let wanted = if on { chosen.at_start.max(LevelFilter::DEBUG) } else { chosen.at_start };
        // Fails only where the subscriber is gone, which lives as long as the program.
        let _ = chosen.handle.modify(|filter| *filter = wanted);
    }
    level()
}

/// The word for the level that is in force: `info`, `debug` or `trace`; `off` before `start`.
pub fn level() -> String {
    let level = CHOSEN.get().and_then(|chosen| chosen.handle.clone_current()).unwrap_or(LevelFilter::OFF);
    level.to_string().to_lowercase()
}

/// The last words of a program that cannot go on.
pub fn fatal(program: &str, error: &Error) {
    // It may hold the words of another process, or a name that somebody chose.
    let mut text = Vec::new();
    text::push_tame(&mut text, format!("{program}: {error}").as_bytes());
    let text = String::from_utf8_lossy(&text);
    // Nobody to tell it to when standard error is closed.
    let _ = if sys::is_journal_stream(libc::STDERR_FILENO) {
        let lines: String = text.lines().map(|line| format!("<3>{line}\n")).collect();
        io::stderr().write_all(lines.as_bytes())
    } else {
        writeln!(io::stderr(), "{text}")
    };
}

/// A line as journald takes it from a stream: priority, then the words.
struct Prefixed;

impl<S: Subscriber + for<'l> LookupSpan<'l>> FormatEvent<S, DefaultFields> for Prefixed {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, DefaultFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let mut text = String::new();
        context.format_fields(Writer::new(&mut text), event)?;
        let priority = priority(*event.metadata().level());
        // Each line of a message is an entry of its own to journald.
        text.lines().try_for_each(|line| writeln!(writer, "<{priority}>{line}"))
    }
}

/// syslog(3)'s number of a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// A socket, written to without waiting.
struct Stream {
    fd: RawFd,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Messages that found no room.
    dropped: u64,
    /// The last one was cut, so that the next must end its line first.
    cut: bool,
}

impl Stream {
    fn new(fd: RawFd) -> Self {
        Self { fd, state: Mutex::default() }
    }

    fn send(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = String::new();
        if state.cut {
            all.push('\n');
        }
        if state.dropped > 0 {
            // Writing to a String cannot fail.
            let _ = writeln!(all, "<4>the journal was full: {} of these messages are missing", state.dropped);
        }
        let mut all = all.into_bytes();
        all.extend_from_slice(bytes);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let took = loop {
            match send(self.fd, &all, flags) {
                Err(Errno::EINTR) => {}
                Err(_) => break 0,
                Ok(took) => break took,
            }
        };
        if took == all.len() {
            *state = State::default();
        } else {
            state.dropped += 1;
            state.cut = if took > 0 { all[took - 1] != b'\n' } else { state.cut };
        }
    }
}

/// One message; the formatter hands it over whole.
struct Message<'s>(&'s Stream);

impl Write for Message<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'s> MakeWriter<'s> for Stream {
    type Writer = Message<'s>;

    fn make_writer(&'s self) -> Message<'s> {
        Message(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_stream_that_is_full_costs_lines_and_says_how_many() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let stream = Stream::new(ours.as_raw_fd());
        let line = format!("<6>{}\n", "x".repeat(3001));
        let mut sent = 0;
        while stream.state.lock().unwrap().dropped < 3 {
            stream.send(line.as_bytes());
            sent += 1;
        }
        theirs.set_nonblocking(true).unwrap();
        let mut all = String::new();
        let _ = theirs.read_to_string(&mut all);
        stream.send(b"<4>after\n");
        let _ = theirs.read_to_string(&mut all);
        // What was cut is a line of its own; every other one is whole.
        let whole = all.lines().filter(|found| *found == line.trim_end()).count();
        assert_eq!(whole, sent - 3);
        assert!(
            all.ends_with("\n<4>the journal was full: 3 of these messages are missing\n<4>after\n"),
            "{}",
            all.len()
        );
        assert!(all.lines().all(|line| line.starts_with('<')));
    }

    #[test]
    fn every_line_of_a_message_has_its_priority() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .event_format(Prefixed)
            .with_writer(Stream::new(ours.as_raw_fd()))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("two\nlines");
            tracing::warn!(hook = "x/y", "not used");
            tracing::info!("so it is");
            tracing::debug!("why");
        });
        drop(ours);
        let mut all = String::new();
        theirs.read_to_string(&mut all).unwrap();
        assert_eq!(all, "<3>two\n<3>lines\n<4>not used hook=\"x/y\"\n<6>so it is\n<7>why\n");
    }
}
