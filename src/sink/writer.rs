//! The thread that moves lines from the queue to a descriptor. It may wait as
//! long as the descriptor wants; it never ends because of an error, and it never
//! spins: after a failure it pauses, longer each time.
//!
//! What it promises is the count: a line is `accepted` when `write(2)` took its
//! last byte and `refused` otherwise. A line that was cut by an error is refused,
//! and what is written next begins on a line of its own.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use super::queue::{Batch, Queue, Shared};
use crate::error::Result;

/// Enough for this loop, a formatted error and what libc needs.
const STACK: usize = 128 * 1024;
/// The pause after the first failure; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// The longest pause: a full disk that was cleaned is noticed this soon.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What lines are written to.
pub trait Target: Send {
    /// Its name in a message: `standard output`, or a path.
    fn describe(&self) -> String;
    /// Called before a line of `line` bytes is written, at the beginning of a
    /// line. Says how many bytes of whole lines may follow before it wants to be
    /// asked again; a single line is written even if it is longer.
    fn prepare(&mut self, line: usize) -> Room;
    /// One `write(2)`. `EAGAIN` where it would block.
    ///
    /// # Errors
    /// The errno of the call.
    fn write(&mut self, bytes: &[u8]) -> nix::Result<usize>;
    /// Waits until it can be written to, or `stop` is readable.
    fn wait(&mut self, stop: BorrowedFd<'_>);
    /// Whether something is there that does not end with a newline.
    fn starts_mid_line(&self) -> bool {
        false
    }
    /// After a wait: why it is a long one, for people.
    fn trouble(&self) -> Option<&str> {
        None
    }
    /// Whether a write takes one line whole or not at all, so that a line that cannot
    /// be written says nothing about the next.
    fn takes_whole_lines(&self) -> bool {
        false
    }
}

/// What [`Target::prepare`] answers.
pub struct Room {
    /// Bytes that may be written.
    pub bytes: usize,
    /// Whether a rotation was tried, and if it failed, why.
    pub rotation: Option<std::result::Result<(), String>>,
}

/// Starts the thread, called `name`, that writes what comes through `queue`.
/// All signals are blocked in it. May be called after privileges were dropped.
///
/// # Errors
/// The thread could not be made.
pub fn start(queue: &Queue, target: Box<dyn Target>, name: &str) -> Result<()> {
    let shared = queue.shared();
    shared.set_running(true);
    let mut writer = Writer::new(target, queue.shared());
    // Blocked before the thread exists: it must not have them for a moment.
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
    let made =
        std::thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(move || writer.run());
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
    if let Err(why) = made {
        shared.set_running(false);
        return Err(crate::error::Error::from(why).context(format_args!("start the thread {name}")));
    }
    Ok(())
}

/// How what was written last ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// With a newline, or there is nothing.
    Clean,
    /// Inside a line that was given up.
    Cut,
    /// With a line that lacks only its newline; it is not counted yet.
    Owed,
}

struct Writer {
    target: Box<dyn Target>,
    shared: Arc<Shared>,
    tail: Tail,
    pause: Duration,
}

/// Why a batch was not written to its end.
enum Stopped {
    /// `drain` has counted everything.
    Closed,
    Failed(Errno),
}

impl Writer {
    fn new(target: Box<dyn Target>, shared: Arc<Shared>) -> Self {
        let tail = if target.starts_mid_line() { Tail::Cut } else { Tail::Clean };
        Self { target, shared, tail, pause: PAUSE_MIN }
    }

    fn run(&mut self) {
        let mut batch = Batch::default();
        'all: while self.shared.take(&mut batch) {
            let mut done = 0;
            while done < batch.ends.len() {
                match self.batch(&batch, &mut done) {
                    Ok(()) => self.pause = PAUSE_MIN,
                    Err(Stopped::Closed) => break 'all,
                    Err(Stopped::Failed(errno)) => {
                        let left = batch.ends.len() - done;
                        let lost = if self.target.takes_whole_lines() { left.min(1) } else { left };
                        done += lost;
                        let problem = format!("{}: {}", self.target.describe(), errno.desc());
                        if !self.shared.failed(problem, lost as u64, self.pause) {
                            break 'all;
                        }
                        self.pause = (self.pause * 2).min(PAUSE_MAX);
                    }
                }
            }
        }
        if self.tail == Tail::Owed {
            let _ = self.settle();
        }
        self.shared.finish();
    }

    /// Writes all lines of `batch`; `done` is how many were accepted or are owed
    /// no more than their newline.
    fn batch(&mut self, batch: &Batch, done: &mut usize) -> std::result::Result<(), Stopped> {
        while let Some(&first_end) = batch.ends.get(*done) {
            self.settle()?;
            let start = done.checked_sub(1).map_or(0, |before| batch.ends[before]);
            let room = self.target.prepare(first_end - start);
            if let Some(rotation) = room.rotation {
                self.shared.rotated(rotation.err());
            }
            let fit = batch.ends[*done..].iter().take_while(|end| **end - start <= room.bytes).count();
            let last = *done + fit.max(1);
            self.run_of_lines(&batch.bytes[start..batch.ends[last - 1]], start, &batch.ends[..last], done)?;
        }
        Ok(())
    }

    /// Writes `bytes`, which begin at `start` of the batch and hold the lines
    /// `ends[done..]` whole.
    fn run_of_lines(
        &mut self,
        bytes: &[u8],
        start: usize,
        ends: &[usize],
        done: &mut usize,
    ) -> std::result::Result<(), Stopped> {
        let mut written = 0;
        while written < bytes.len() {
            let result = self.write(&bytes[written..], |took| {
                let at = start + written + took;
                let lines = ends[*done..].iter().take_while(|end| **end <= at).count();
                *done += lines;
                lines as u64
            });
            match result {
                Ok(took) => written += took,
                Err(stopped) => {
                    let at = start + written;
                    let line_start = done.checked_sub(1).map_or(0, |before| ends[before]);
                    if at == line_start {
                        self.tail = Tail::Clean;
                    } else if ends.get(*done) == Some(&(at + 1)) {
                        self.tail = Tail::Owed;
                        *done += 1;
                    } else {
                        self.tail = Tail::Cut;
                    }
                    return Err(stopped);
                }
            }
        }
        Ok(())
    }

    /// Ends a line that was cut.
    fn settle(&mut self) -> std::result::Result<(), Stopped> {
        if self.tail != Tail::Clean {
            let owed = u64::from(self.tail == Tail::Owed);
            self.write(b"\n", |took| owed * took as u64)?;
            self.tail = Tail::Clean;
        }
        Ok(())
    }

    /// One `write(2)` that took something; `lines` says how many lines ended in that.
    fn write(
        &mut self,
        bytes: &[u8],
        mut lines: impl FnMut(usize) -> u64,
    ) -> std::result::Result<usize, Stopped> {
        loop {
            if !self.shared.may_write() {
                return Err(Stopped::Closed);
            }
            let result = self.target.write(bytes);
            let took = *result.as_ref().unwrap_or(&0);
            let ended = if took > 0 { lines(took) } else { 0 };
            self.shared.wrote(took, ended);
            match result {
                // write(2) promises this for no descriptor we have; it must not become a loop.
                Ok(0) => return Err(Stopped::Failed(Errno::EIO)),
                Ok(took) => return Ok(took),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    self.target.wait(self.shared.stop());
                    if let Some(problem) = self.target.trouble() {
                        self.shared.waits(problem);
                    }
                }
                Err(errno) => return Err(Stopped::Failed(errno)),
            }
        }
    }
}
