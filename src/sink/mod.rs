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
//! `close`. A filter that answers a rotation with an errno only stops rotation.

use std::time::Instant;

use crate::config;
use crate::error::{Error, Result};
use crate::event::{Action, Event};

pub mod file;
mod form;
pub mod json;
mod lines;
pub mod pretty;
pub mod queue;
pub mod stdout;
pub mod writer;

/// What has become of the events a sink was given, in lines. At any moment
/// `offered = accepted + queue_full + refused + still queued`; after
/// [`Sink::drain`] nothing is queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkCounters {
    /// Events of a kind this sink was not asked for; they are in no other counter.
    pub unwanted: u64,
    /// Lines that came in.
    pub offered: u64,
    /// Lines that `write(2)` took whole.
    pub accepted: u64,
    /// Lines for which the queue had no room.
    pub queue_full: u64,
    /// Lines that could not be written: an error, or no time left at the end.
    pub refused: u64,
    /// Bytes that `write(2)` took, those of broken lines included.
    pub bytes: u64,
    /// Writes that failed for good.
    pub errors: u64,
    /// Times a file could not be rotated.
    pub rotate_failed: u64,
}

/// A place events go to.
pub trait Sink {
    /// Its name in counters, losses and messages: `stdout`, `file`.
    fn name(&self) -> &'static str;
    /// Starts its thread. Until then lines are kept in the queue. Needs no
    /// privilege: `open` has opened everything.
    ///
    /// # Errors
    /// The thread could not be made, or was made before.
    fn start(&mut self) -> Result<()>;
    /// Takes one event. Never blocks; what becomes of it shows in the counters.
    fn write(&mut self, event: &Event);
    /// Changes which actions are written; `loss`, `start` and `stop` always are.
    fn set_actions(&mut self, actions: &[Action]);
    /// The counters now.
    fn counters(&self) -> SinkCounters;
    /// Lines accepted by `write(2)` so far. Lines leave the queue in the order they
    /// came: the first `accepted + refused` of those that were queued are settled.
    fn written(&self) -> u64 {
        self.counters().accepted
    }
    /// What is wrong at present, in words; `None` where all is well.
    fn problem(&self) -> Option<String>;
    /// Writes what is queued until `deadline`; what is left then is refused and
    /// counted. The counters do not change afterwards.
    fn drain(&mut self, deadline: Instant);
}

/// Opens the sink `output` asks for. `host` is `host.name`, `queue_bytes` how far
/// it may fall behind, `terminal` whether a person looks at standard output
/// (colours). All descriptors are opened here, with the privileges of the moment.
///
/// # Errors
/// The file or its directory cannot be opened, or others could change it.
pub fn open(
    output: &config::Output,
    host: String,
    queue_bytes: usize,
    terminal: bool,
) -> Result<Box<dyn Sink>> {
    use config::Format::{Json, Pretty};
    use lines::{Lines, Render};

    let render = match (output.format, &output.file) {
        (Json, _) => Render::Json { host },
        (Pretty, None) => Render::Pretty(pretty::View::new(terminal)),
        (Pretty, Some(_)) => Render::Pretty(pretty::View::new(false)),
    };
    let (name, target): (_, Box<dyn writer::Target>) = match &output.file {
        None => {
            use std::os::fd::AsFd as _;
            let target = stdout::Descriptor::new(std::io::stdout().as_fd(), "standard output")?;
            ("stdout", Box::new(target))
        }
        Some(path) => {
            let limit = u64::from(output.rotate_mib) * 1024 * 1024;
            let target = file::Rotating::open(path, limit, output.rotate_keep)
                .map_err(|why| why.context(format_args!("output file {}", path.display())))?;
            ("file", Box::new(target))
        }
    };
    Ok(Box::new(
        Lines::new(name, render, target, &output.actions, queue_bytes)
            .map_err(|why: Error| why.context(name))?,
    ))
}
