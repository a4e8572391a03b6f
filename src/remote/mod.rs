//! What a person asks of a running daemon: `bee-trace status`, `watch`, `reload`,
//! `debug`. Talks to the control socket; what is shown is made from what it says.

pub mod check;
mod number;
pub mod reload;
pub mod status;
pub mod watch;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, UnixAddr, connect, recv, send};

use crate::control::protocol::{Answer, MAX_MESSAGE, Request, Why};
use crate::control::{RELOAD_TIME, socket};
use crate::error::{Error, ExitStatus, Result};

/// How long an answer may take that the daemon has ready.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection to a daemon.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// What ended the wait for a message.
#[derive(Debug, PartialEq)]
pub enum Heard<'a> {
    /// A message: the answer, and the lines that follow it.
    Answer(Box<Answer>, &'a [u8]),
    /// The daemon closed the connection.
    Closed,
    /// The time is over.
    TimeOut,
    /// The other descriptor is readable.
    Stopped,
}

impl Connection {
    /// Connects to the daemon at `path`.
    ///
    /// # Errors
    /// In words, with what to do: nobody is there, or it is not permitted.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |errno: Errno| {
            let (status, why) = match errno {
                Errno::EACCES | Errno::EPERM => (
                    ExitStatus::NotPermitted,
                    "not permitted: use sudo, or have yourself added to the daemon's group (sudo usermod -aG \
                     bee-trace $USER) and log in again"
                        .to_owned(),
                ),
                Errno::ENOENT | Errno::ECONNREFUSED | Errno::ENOTDIR => (
                    ExitStatus::Failure,
                    "no daemon answers: it does not run (systemctl status bee-traced), or its socket is elsewhere \
                     (--socket, [control] socket in its configuration)"
                        .to_owned(),
                ),
                Errno::EAGAIN => (ExitStatus::Failure, "the daemon does not take connections".to_owned()),
                other => (ExitStatus::Failure, other.desc().to_owned()),
            };
            Error::new(status, why).context(path.display())
        };
        let socket = socket::connection().map_err(failed)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path).map_err(failed)?).map_err(failed)?;
        Ok(Self { socket, buffer: vec![0; MAX_MESSAGE] })
    }

    /// Sends the one request a connection has.
    ///
    /// # Errors
    /// send(2)'s; not when the daemon refuses the connection: its reason waits to be read.
    pub fn ask(&self, request: &Request) -> Result<()> {
        match send(self.socket.as_raw_fd(), &request.encode(), MsgFlags::MSG_NOSIGNAL) {
            Ok(_) | Err(Errno::EPIPE) => Ok(()),
            Err(errno) => Err(Error::from(errno).context("ask the daemon")),
        }
    }

    /// The next message, or what came before it.
    ///
    /// # Errors
    /// poll(2)'s and recv(2)'s, and a message that is none.
    pub fn hear(&mut self, deadline: Option<Instant>, stop: Option<BorrowedFd<'_>>) -> Result<Heard<'_>> {
        loop {
            let mut fds = vec![PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            fds.extend(stop.map(|stop| PollFd::new(stop, PollFlags::POLLIN)));
            match poll(&mut fds, timeout(deadline)) {
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(Error::from(errno).context("wait for the daemon")),
                Ok(_) => {}
            }
            let ready = |at: usize| fds.get(at).and_then(PollFd::any).unwrap_or(false);
            if ready(1) {
                return Ok(Heard::Stopped);
            }
            if ready(0) {
                break;
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(Heard::TimeOut);
            }
        }
        match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => Ok(Heard::Closed),
            Ok(length) => {
                let (answer, rest) = Answer::parse(&self.buffer[..length]).map_err(|why| {
                    Error::failure(format!(
                        "the daemon's answer cannot be read ({why}); is it of another version?"
                    ))
                })?;
                Ok(Heard::Answer(Box::new(answer), rest))
            }
            Err(errno) => Err(Error::from(errno).context("read from the daemon")),
        }
    }
}

/// A span for poll(2); too long a one wakes early, which is looked at.
fn timeout(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    PollTimeout::from(u16::try_from(left.as_millis()).unwrap_or(u16::MAX))
}

/// One request, one answer.
///
/// # Errors
/// In words, with the exit status for it.
pub fn ask(path: &Path, request: &Request) -> Result<Answer> {
    let mut connection = Connection::open(path)?;
    connection.ask(request)?;
    let time = if matches!(request, Request::Reload {}) { RELOAD_TIME + ANSWER } else { ANSWER };
    match connection.hear(Some(Instant::now() + time), None)? {
        Heard::Answer(answer, _) => refusal(*answer),
        Heard::Closed => Err(Error::failure("the daemon closed the connection without an answer")),
        Heard::TimeOut | Heard::Stopped => {
            Err(Error::failure(format!("the daemon does not answer within {} s", time.as_secs())))
        }
    }
}

/// Turns a refusal into an error.
fn refusal(answer: Answer) -> Result<Answer> {
    match answer {
        Answer::Refused { why, message } => Err(Error::new(
            match why {
                Why::BadRequest => ExitStatus::Usage,
                Why::NotPermitted => ExitStatus::NotPermitted,
                Why::Busy | Why::Failed | Why::Late => ExitStatus::Failure,
            },
            message,
        )),
        answer => Ok(answer),
    }
}

/// An answer to another question.
pub fn unexpected() -> Error {
    Error::failure("the daemon answers something else; is it of another version?")
}
