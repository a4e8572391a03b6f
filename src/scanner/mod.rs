//! The scanner: a small process with one capability, `CAP_DAC_READ_SEARCH`, that
//! finds watched files where the daemon itself may no longer look. This file is
//! the daemon's side of it. See `docs/adr/0003-scanner.md`.
//!
//! It tells the daemon counts, never a file: it opens each one in a way the
//! kernel side learns it from (see [`walk`]). The daemon must have written
//! [`Scanner::pid`] to the kernel's settings before the first request.

mod child;
mod config_files;
mod lesson;
pub mod mounts;
mod scan;
mod socket;
mod target;
pub mod walk;
pub mod wire;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::privilege::{self, Account};

pub use child::TABLE;
pub use wire::{Answer, Coverage, Request, Summary};

/// What the scanner is told before it is forked, and never again.
#[derive(Clone, Debug)]
pub struct Init {
    /// The user it becomes.
    pub account: Account,
    /// The configuration file; `config.d` beside it belongs to it. Made absolute.
    pub config: PathBuf,
    /// proc_pid_mountinfo(5) of a process in the mount namespace to scan: `/proc/self/mountinfo`.
    pub mountinfo: PathBuf,
}

/// One answer of the scanner's.
#[derive(Debug)]
pub struct Reply {
    /// What it says.
    pub answer: Answer,
    /// The open files of an [`Answer::Config`], one for each path; else empty.
    pub files: Vec<OwnedFd>,
}

/// The running scanner. When this is dropped it ends.
#[derive(Debug)]
pub struct Scanner {
    socket: OwnedFd,
    /// Held since the fork: signals and waiting by it cannot hit a stranger with the same number.
    process: OwnedFd,
    pid: Pid,
}

/// Forks the scanner. To be called with one thread, with the privileges still
/// there, and best before rings are mapped and anything large is in memory:
/// mappings are inherited.
///
/// # Errors
/// When it could not be forked, or did not manage to shut itself in.
pub fn spawn(init: Init) -> Result<Scanner> {
    let init = Init { config: std::path::absolute(&init.config)?, ..init };
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(starting)?;
    let parent = nix::unistd::getpid();
    let mut ends = Some((ours, theirs));
    let pid = privilege::fork_child(|| match ends.take() {
        Some((ours, theirs)) => {
            drop(ours);
            child::main(theirs, &init, parent)
        }
        None => 1,
    })?;
    let Some((socket, theirs)) = ends else {
        return Err(Error::failure("start the scanner: it took both ends"));
    };
    drop(theirs);
    // SAFETY: takes numbers.
    let process =
        Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) }).map_err(starting)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    let process =
        unsafe { OwnedFd::from_raw_fd(i32::try_from(process).map_err(|_| starting(Errno::EBADF))?) };
    let scanner = Scanner { socket, process, pid };
    match scanner.read_reply()?.map(|reply| reply.answer) {
        Some(Answer::Ready) => {}
        Some(Answer::Failed { why, .. }) => return Err(Error::failure(format!("start the scanner: {why}"))),
        other => return Err(Error::failure(format!("start the scanner: it began with {other:?}"))),
    }
    fcntl(&scanner.socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(starting)?;
    Ok(scanner)
}

fn starting(errno: Errno) -> Error {
    Error::from(errno).context("start the scanner")
}

impl Scanner {
    /// Readable when there is a reply, or when the scanner has ended.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Its process id in our pid namespace.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a request without waiting. `false`: its queue is full, it is to be
    /// sent again later (or, for a `Tree`, replaced by a whole `Scan`).
    ///
    /// # Errors
    /// When the request is longer than [`wire::MAX_REQUEST`] or the scanner has ended.
    pub fn request(&self, request: &Request) -> Result<bool> {
        let bytes = request
            .encode()
            .map_err(|malformed| Error::failure(format!("send a request to the scanner: {malformed}")))?;
        match socket::send_long(self.fd(), &bytes) {
            Ok(()) => Ok(true),
            Err(Errno::EAGAIN) => Ok(false),
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(self.ended()),
            Err(errno) => Err(Error::from(errno).context("send a request to the scanner")),
        }
    }

    /// The next reply; `None` when there is none now.
    ///
    /// # Errors
    /// When the scanner has ended (with how), or sent what is no reply.
    pub fn read_reply(&self) -> Result<Option<Reply>> {
        let (bytes, files) = match socket::receive(self.fd()) {
            Ok(Some(message)) => message,
            Ok(None) => return Err(self.ended()),
            Err(Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(Error::from(errno).context("read from the scanner")),
        };
        let answer = Answer::decode(&bytes)
            .map_err(|malformed| Error::failure(format!("read from the scanner: {malformed}")))?;
        let named = if let Answer::Config { paths, .. } = &answer { paths.len() } else { 0 };
        if named != files.len() {
            return Err(Error::failure(format!(
                "read from the scanner: {} descriptors for {named} files",
                files.len()
            )));
        }
        Ok(Some(Reply { answer, files }))
    }

    /// Ends it at once.
    pub fn kill(&self) {
        // SAFETY: takes numbers and a null siginfo, which is allowed.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.process.as_raw_fd(),
                libc::SIGKILL,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
    }

    fn ended(&self) -> Error {
        let how = match self.reap(1000) {
            Some(WaitStatus::Exited(_, status)) => format!("it ended with status {status}"),
            Some(WaitStatus::Signaled(_, signal, _)) => format!("it was ended by {signal}"),
            _ => "it closed its end".into(),
        };
        Error::failure(format!("the scanner is gone: {how}"))
    }

    /// Waits up to `milliseconds` for its end.
    fn reap(&self, milliseconds: u16) -> Option<WaitStatus> {
        let mut fds = [PollFd::new(self.process.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(milliseconds));
        waitid(Id::PIDFd(self.process.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG).ok()
    }
}

impl Drop for Scanner {
    fn drop(&mut self) {
        self.kill();
        self.reap(1000);
    }
}
