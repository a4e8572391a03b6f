//! Where events go. A sink renders on the caller's thread into a buffer it
//! reuses, and writes from a thread of its own, so the event loop never waits
//! for a disk, a terminal or a pipe. A sink that fails is counted, says why, and
//! goes on; it never stops the others.
//!
//! What a sink still asks of the kernel once the daemon has let go of its
//! privileges, for the system call filter: to make its thread `clone3` or
//! `clone`, `mmap`, `mprotect`, `munmap`, `madvise`, `rt_sigprocmask`,
//! `sigaltstack`, `sched_getaffinity`, `set_robust_list`, `rseq`, `gettid`,
//! `prctl(PR_SET_NAME)`, `exit`; to write `write`, `sendto`, `poll` or `ppoll`,
//! `futex`; to rotate, all relative to a held directory, `fstat` or
//! `newfstatat`, `openat` with `O_CREAT | O_EXCL`, `renameat`, `unlinkat`,
//! `close`; for the journal `socket`, `connect`, `sendmsg`, `memfd_create` and `fcntl`.
//! A filter that answers a rotation with an errno only stops rotation.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::eventfd::EventFd;

use crate::config;
use crate::error::{Error, Result};
use crate::event::Event;

pub mod file;
pub mod fold;
mod form;
pub mod journal;
pub mod json;
mod lines;
pub mod pretty;
pub mod queue;
pub mod sentence;
pub mod stdout;
pub mod writer;

/// What has become of the events a sink was given, in lines, or entries of the
/// journal. At any moment `offered = accepted + queue_full + refused + folded + still
/// queued`; after [`Sink::drain`] nothing is queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkCounters {
    /// Events of a kind this sink was not asked for; they are in no other counter.
    pub unwanted: u64,
    /// Lines that came in.
    pub offered: u64,
    /// Lines that `write(2)` took whole, entries that journald's socket took.
    pub accepted: u64,
    /// Lines for which the queue had no room.
    pub queue_full: u64,
    /// Lines that could not be written: an error, or no time left at the end.
    pub refused: u64,
    /// Repeats that were counted with the ones before, and told together by an entry of
    /// their own. Journal only.
    pub folded: u64,
    /// Bytes that `write(2)` took, those of broken lines included.
    pub bytes: u64,
    /// Writes that failed for good.
    pub errors: u64,
    /// Times a file could not be rotated.
    pub rotate_failed: u64,
}

impl std::fmt::Display for SinkCounters {
    /// The balance, in words that are the names of the counters.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} offered = {} accepted + {} queue_full + {} refused + {} folded; {} unwanted",
            self.offered, self.accepted, self.queue_full, self.refused, self.folded, self.unwanted
        )
    }
}

/// How far a sink is with its lines, in the order they were put into its queue. What a sink
/// does not queue is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines that were put into its queue.
    pub pushed: u64,
    /// Of these, those that were written, or given up on after an error.
    pub settled: u64,
    /// Of the settled ones, those that were given up on.
    pub gave_up: u64,
    /// Its thread does not run, or has ended no line for a while although it has some.
    pub behind: bool,
    /// Its queue is three quarters full.
    pub crowded: bool,
    /// The counters at the same moment.
    pub counters: SinkCounters,
}

/// What somebody waits for at a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Nothing,
    /// That every line is settled.
    Settled,
    /// The same, or that a quarter of its room is taken at most.
    Room,
}

/// A place events go to.
pub trait Sink {
    /// Its name in counters, losses and messages: `stdout`, `file`, `journal`.
    fn name(&self) -> &'static str;
    /// Starts its thread. Until then lines are kept in the queue. Needs no
    /// privilege: `open` has opened everything.
    ///
    /// # Errors
    /// The thread could not be made, or was made before.
    fn start(&mut self) -> Result<()>;
    /// Takes one event. Never blocks; what becomes of it shows in the counters.
    fn write(&mut self, event: &Event);
    /// Takes from a new configuration what can change while it runs, such as the actions
    /// that are written; `loss`, `start` and `stop` always are.
    fn configure(&mut self, output: &config::Output);
    /// When [`tick`](Sink::tick) wants to be called next, if ever.
    fn due(&self) -> Option<Instant> {
        None
    }
    /// Does what is due at `now`. Never blocks.
    fn tick(&mut self, _now: Instant) {}
    /// The counters now.
    fn counters(&self) -> SinkCounters;
    /// Lines accepted by `write(2)` so far. Lines leave the queue in the order they
    /// came: the first `accepted + refused` of those that were queued are settled.
    fn written(&self) -> u64 {
        self.counters().accepted
    }
    /// How far it is. A sink without a queue has nothing that could be waited for.
    fn tally(&self) -> Tally {
        Tally { counters: self.counters(), ..Tally::default() }
    }
    /// Has `bell` rung, once, when that has come.
    fn ask(&self, _asked: Asked, _bell: &Arc<EventFd>) {}
    /// Goes on counting where an earlier life of the daemon ended. Before the first event.
    fn resume(&mut self, _counters: SinkCounters) {}
    /// What is wrong at present, in words; `None` where all is well.
    fn problem(&self) -> Option<String>;
    /// Writes what is queued until `deadline`; what is left then is refused and
    /// counted. The counters do not change afterwards.
    fn drain(&mut self, deadline: Instant);
}

/// What sinks are opened with beside the configuration.
pub struct Opening<'a> {
    /// `host.name`.
    pub host: &'a str,
    /// How many bytes each may fall behind.
    pub queue_bytes: usize,
    /// A person looks at standard output: colours.
    pub terminal: bool,
    /// systemd started this process and sends what it says to the journal.
    pub under_systemd: bool,
    /// journald's socket.
    pub journal: &'a Path,
}

/// Opens the sinks `output` asks for, in the order of [`config::Place`]. All
/// descriptors are opened here, with the privileges of the moment.
///
/// # Errors
/// The file or its directory cannot be opened, or others could change it.
pub fn open(output: &config::Output, with: &Opening<'_>) -> Result<Vec<Box<dyn Sink>>> {
    let places = output.places(with.under_systemd);
    places.into_iter().map(|place| open_one(place, output, with)).collect()
}

fn open_one(place: config::Place, output: &config::Output, with: &Opening<'_>) -> Result<Box<dyn Sink>> {
    use config::Format::{Json, Pretty};
    use config::Place;
    use lines::{Lines, Render};

    let (name, target): (_, Box<dyn writer::Target>) = match place {
        Place::Journal => {
            let journal =
                journal::Journal::open(with.journal, output, with.host.to_owned(), with.queue_bytes)
                    .map_err(|why| why.context("the journal's socket"))?;
            return Ok(Box::new(journal));
        }
        Place::Stdout => {
            use std::os::fd::AsFd as _;
            let target = stdout::Descriptor::new(std::io::stdout().as_fd(), "standard output")?;
            ("stdout", Box::new(target))
        }
        Place::File => {
            let path = output.file.as_deref().unwrap_or(Path::new(""));
            let limit = u64::from(output.rotate_mib) * 1024 * 1024;
            let target = file::Rotating::open(path, limit, output.rotate_keep)
                .map_err(|why| why.context(format_args!("output file {}", path.display())))?;
            ("file", Box::new(target))
        }
    };
    let render = match output.format {
        Json => Render::Json { host: with.host.to_owned() },
        Pretty => Render::Pretty(pretty::View::new(with.terminal && place == Place::Stdout)),
    };
    let lines = Lines::new(name, render, target, &output.actions, with.queue_bytes);
    Ok(Box::new(lines.map_err(|why: Error| why.context(name))?))
}
