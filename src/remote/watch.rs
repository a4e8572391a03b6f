//! `bee-trace watch`: events as they come, until somebody ends it.

use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::{ANSWER, Connection, Heard, refusal, unexpected};
use crate::control::protocol::{Answer, Request, Watch};
use crate::error::{Error, Result};
use crate::text;

/// Messages that are taken after the end was asked for: more than the socket holds, so that only
/// an endless stream is cut.
const LEFT: usize = 64;

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    events: u64,
    dropped: u64,
}

/// Writes events to `out` until the time is over, a signal comes, nobody reads, or the daemon stops.
/// What is no event goes to `notes`.
///
/// # Errors
/// The daemon cannot be reached, refuses, or is gone without a word.
pub fn run(
    path: &Path,
    watch: Watch,
    duration: Option<Duration>,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<()> {
    let (stop, stop_in) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::low_level::pipe::register(signal, stop_in.try_clone()?)?;
    }
    let mut connection = Connection::open(path)?;
    connection.ask(&Request::Watch(watch))?;
    match connection.hear(Some(Instant::now() + ANSWER), Some(stop.as_fd()))? {
        Heard::Answer(answer, _) => match refusal(*answer)? {
            Answer::Watching {} => {}
            _ => return Err(unexpected()),
        },
        Heard::Stopped => return Ok(()),
        Heard::Closed => return Err(Error::failure("the daemon closed the connection")),
        Heard::TimeOut => return Err(Error::failure("the daemon does not answer")),
    }
    let deadline = duration.map(|span| Instant::now() + span);
    let mut seen = Seen::default();
    let result = follow(&mut connection, deadline, &stop, &mut seen, out, notes);
    // Notes are for people: where nobody reads them nothing is missed.
    let _ = writeln!(notes, "{} events, {} dropped", seen.events, seen.dropped);
    result
}

fn follow(
    connection: &mut Connection,
    deadline: Option<Instant>,
    stop: &UnixStream,
    seen: &mut Seen,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<()> {
    // Set once the end was asked for: what had come before it is shown too.
    let mut left = None;
    let mut shown = Vec::new();
    loop {
        if left.is_none() && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            left = Some(LEFT);
        }
        let heard = match &mut left {
            None => connection.hear(deadline, Some(stop.as_fd()))?,
            Some(0) => return Ok(()),
            Some(left) => {
                *left -= 1;
                connection.hear(Some(Instant::now()), None)?
            }
        };
        match heard {
            Heard::Answer(answer, lines) => match *answer {
                Answer::Events { count, dropped } => {
                    seen.events += count;
                    seen.dropped += dropped;
                    if dropped > 0 {
                        let _ =
                            writeln!(notes, "{dropped} events were dropped: they are read too slowly here");
                    }
                    shown.clear();
                    text::push_tame(&mut shown, lines);
                    match out.write_all(&shown).and_then(|()| out.flush()) {
                        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                        result => result?,
                    }
                }
                Answer::Stopping {} => {
                    let _ = writeln!(notes, "the daemon stops");
                    return Ok(());
                }
                other => {
                    refusal(other)?;
                    return Err(unexpected());
                }
            },
            Heard::Closed => return Err(Error::failure("the daemon is gone, without a word")),
            Heard::TimeOut | Heard::Stopped if left.is_none() => left = Some(LEFT),
            Heard::TimeOut | Heard::Stopped => return Ok(()),
        }
    }
}
