//! A descriptor that was handed to us: standard output, whatever it leads to.
//!
//! It is never made non-blocking: that flag belongs to the open file, which the
//! shell and other programs share. A pipe or terminal is opened a second time
//! through /proc instead; where that is refused we write in pieces that do not
//! block once poll(2) has said so.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::unistd::write;

use super::writer::{Room, Target};
use crate::error::{Error, Result};

/// Writes to an open descriptor; never rotates.
pub struct Descriptor {
    fd: OwnedFd,
    way: Way,
    name: &'static str,
}

/// How to write without being stuck in the call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A file or device that does not keep a writer waiting, or an open file of our own that is non-blocking.
    Plain,
    /// A socket: the wish not to block goes with each call.
    Socket,
    /// Somebody else's blocking pipe or terminal.
    Careful,
}

/// A pipe that poll(2) calls writable takes this much at once (pipe(7)).
const PIECE: usize = libc::PIPE_BUF;

impl Descriptor {
    /// Takes a copy of `fd`, called `name` in messages.
    ///
    /// # Errors
    /// The descriptor is closed.
    pub fn new(fd: BorrowedFd<'_>, name: &'static str) -> Result<Self> {
        let step = |why: std::io::Error| Error::from(why).context(name);
        let file = File::from(fd.try_clone_to_owned().map_err(step)?);
        let kind = file.metadata().map_err(step)?.file_type();
        if kind.is_socket() {
            return Ok(Self { fd: file.into(), way: Way::Socket, name });
        }
        // Regular files must not be opened again: a second offset would write over the first.
        if !kind.is_fifo() && !kind.is_char_device() {
            return Ok(Self { fd: file.into(), way: Way::Plain, name });
        }
        let again = std::fs::OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC)
            .open(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(match again {
            Ok(own) => Self { fd: own.into(), way: Way::Plain, name },
            Err(_) => Self { fd: file.into(), way: Way::Careful, name },
        })
    }

    fn poll(&self, stop: Option<BorrowedFd<'_>>, timeout: PollTimeout) -> bool {
        let mut fds = [
            PollFd::new(self.fd.as_fd(), PollFlags::POLLOUT),
            PollFd::new(stop.unwrap_or(self.fd.as_fd()), PollFlags::POLLIN),
        ];
        let watched = if stop.is_some() { 2 } else { 1 };
        match poll(&mut fds[..watched], timeout) {
            Ok(ready) => ready > 0,
            Err(Errno::EINTR) => false,
            // Nothing we know of; the caller comes back at once, and must not spin.
            Err(_) => {
                std::thread::sleep(std::time::Duration::from_millis(10));
                false
            }
        }
    }
}

impl Target for Descriptor {
    fn describe(&self) -> String {
        self.name.to_owned()
    }

    fn prepare(&mut self, _line: usize) -> Room {
        Room { bytes: usize::MAX, rotation: None }
    }

    fn write(&mut self, bytes: &[u8]) -> nix::Result<usize> {
        match self.way {
            Way::Plain => write(&self.fd, bytes),
            Way::Socket => send(self.fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL),
            Way::Careful if !self.poll(None, PollTimeout::ZERO) => Err(Errno::EAGAIN),
            Way::Careful => write(&self.fd, &bytes[..bytes.len().min(PIECE)]),
        }
    }

    fn wait(&mut self, stop: BorrowedFd<'_>) {
        self.poll(Some(stop), PollTimeout::NONE);
    }
}
