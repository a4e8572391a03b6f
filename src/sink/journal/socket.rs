//! The socket of journald: one datagram is one entry. Never blocks; where journald
//! is slow or away it says so and waits in the sink's thread, for as long as there
//! is nothing else to do for that thread.
//!
//! An entry that is too long for a datagram goes as a sealed memfd, as sd-journal(3)
//! does it. Everything here works without privileges and under the system call
//! filter: `socket`, `connect`, `sendto`, `sendmsg`, `memfd_create`, `write`, `fcntl`
//! with `F_ADD_SEALS`, `poll`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, sendmsg, socket,
};
use nix::unistd::write;

use crate::error::{Error, Result};
use crate::sink::writer::{Room, Target};

/// The first pause before journald is looked for again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause: a journald that is back is noticed this soon.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long journald may take no entry before it is said.
const SLOW: Duration = Duration::from_secs(1);
/// How often the kernel may be short of memory or descriptors for one entry before that
/// entry is refused: ten seconds and more.
const TRIES: u32 = 20;

/// journald's socket; a [`Target`] that takes one entry with each write.
pub struct Socket {
    path: PathBuf,
    address: UnixAddr,
    fd: Option<OwnedFd>,
    /// The entry that is under way, where it is too long for a datagram.
    large: Option<OwnedFd>,
    waits: Waits,
    pause: Duration,
    /// How often the entry that is under way was tried in vain, because of no other.
    tries: u32,
    trouble: Option<String>,
}

/// Why an entry was not handed over.
enum Failure {
    /// There is nobody to hand it to.
    Away(Errno),
    /// Anything else.
    Entry(Errno),
}

/// What has to happen before the next try.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// journald takes something out of its queue.
    Room,
    /// Some time passes.
    Pause,
}

impl Socket {
    /// Connects to `path`. If nobody is there yet that is tried again whenever there
    /// is something to write: journald may be started later, or anew.
    ///
    /// # Errors
    /// The path is longer than an address may be (107 bytes), or there is no socket to be had.
    pub fn open(path: &Path) -> Result<Self> {
        let address = UnixAddr::new(path).map_err(Error::from)?;
        let mut socket = Self {
            path: path.to_owned(),
            address,
            fd: None,
            large: None,
            waits: Waits::Room,
            pause: PAUSE_MIN,
            tries: 0,
            trouble: None,
        };
        drop(new_socket()?);
        if let Err(why) = socket.connect() {
            socket.away(why);
        }
        Ok(socket)
    }

    fn connect(&mut self) -> nix::Result<()> {
        let fd = new_socket()?;
        connect(fd.as_raw_fd(), &self.address)?;
        self.fd = Some(fd);
        Ok(())
    }

    fn away(&mut self, why: Errno) {
        self.fd = None;
        self.waits = Waits::Pause;
        self.trouble = Some(format!(
            "{}: {}; entries wait in the queue, the oldest first, until journald is there",
            self.describe(),
            why.desc()
        ));
    }

    /// Hands over one entry, at the second try where journald was started anew.
    fn hand_over(&mut self, entry: &[u8]) -> std::result::Result<(), Failure> {
        let mut fresh = false;
        loop {
            if self.fd.is_none() {
                self.connect().map_err(Failure::Away)?;
                fresh = true;
            }
            let Some(fd) = &self.fd else { return Err(Failure::Away(Errno::ENOTCONN)) };
            match send_entry(fd.as_fd(), entry, &mut self.large) {
                Ok(()) => return Ok(()),
                Err(why @ (Errno::ECONNREFUSED | Errno::ENOTCONN | Errno::ECONNRESET | Errno::EPIPE)) => {
                    if fresh {
                        return Err(Failure::Away(why));
                    }
                    self.fd = None;
                }
                Err(why) => return Err(Failure::Entry(why)),
            }
        }
    }
}

fn new_socket() -> nix::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
}

/// One try to send one entry. `large` keeps what had to be made for it.
fn send_entry(fd: BorrowedFd<'_>, entry: &[u8], large: &mut Option<OwnedFd>) -> nix::Result<()> {
    const FLAGS: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);
    if large.is_none() {
        match send(fd.as_raw_fd(), entry, FLAGS) {
            Err(Errno::EMSGSIZE) => {}
            done => return done.map(drop),
        }
    }
    let file = match large.take() {
        Some(file) => file,
        None => sealed(entry)?,
    };
    let sent = sendmsg::<UnixAddr>(
        fd.as_raw_fd(),
        &[],
        &[ControlMessage::ScmRights(&[file.as_raw_fd()])],
        FLAGS,
        None,
    );
    if sent == Err(Errno::EAGAIN) {
        *large = Some(file);
    }
    sent.map(drop)
}

/// A memfd that holds `entry` and can no longer be changed, so that journald may read
/// it without a copy.
fn sealed(entry: &[u8]) -> nix::Result<OwnedFd> {
    let file = memfd_create(c"bee-traced-entry", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut left = entry;
    while !left.is_empty() {
        match write(&file, left) {
            Ok(0) => return Err(Errno::EIO),
            Ok(took) => left = &left[took..],
            Err(Errno::EINTR) => {}
            Err(why) => return Err(why),
        }
    }
    let seals =
        SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

impl Target for Socket {
    fn describe(&self) -> String {
        format!("the journal ({})", self.path.display())
    }

    fn prepare(&mut self, line: usize) -> Room {
        self.large = None;
        self.tries = 0;
        // One entry at a time: it is what a write takes.
        Room { bytes: line, rotation: None }
    }

    fn write(&mut self, entry: &[u8]) -> nix::Result<usize> {
        match self.hand_over(entry) {
            Ok(()) => {
                self.trouble = None;
                self.pause = PAUSE_MIN;
                Ok(entry.len())
            }
            Err(Failure::Away(why)) => {
                self.away(why);
                Err(Errno::EAGAIN)
            }
            Err(Failure::Entry(Errno::EAGAIN)) => {
                self.waits = Waits::Room;
                Err(Errno::EAGAIN)
            }
            Err(Failure::Entry(why @ (Errno::ENOBUFS | Errno::ENOMEM | Errno::ENFILE | Errno::EMFILE)))
                if self.tries < TRIES =>
            {
                self.tries += 1;
                self.waits = Waits::Pause;
                self.trouble = Some(format!("{}: {}", self.describe(), why.desc()));
                Err(Errno::EAGAIN)
            }
            // It is about this entry: the next one may go.
            Err(Failure::Entry(why)) => Err(why),
        }
    }

    fn wait(&mut self, stop: BorrowedFd<'_>) {
        let (fd, events, time) = match (self.waits, &self.fd) {
            (Waits::Room, Some(fd)) => (fd.as_fd(), PollFlags::POLLOUT, SLOW),
            _ => (stop, PollFlags::POLLIN, self.pause),
        };
        let mut fds = [PollFd::new(stop, PollFlags::POLLIN), PollFd::new(fd, events)];
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        let ready = match poll(&mut fds, timeout) {
            Ok(ready) => ready > 0,
            Err(Errno::EINTR) => true,
            Err(_) => {
                // Nothing we know of; the caller comes back at once, and must not spin.
                std::thread::sleep(PAUSE_MIN);
                true
            }
        };
        match self.waits {
            Waits::Pause => self.pause = (self.pause * 2).min(PAUSE_MAX),
            Waits::Room if !ready => {
                self.trouble = Some(format!(
                    "{}: it takes nothing at present; entries wait in the queue",
                    self.describe()
                ));
            }
            Waits::Room => {}
        }
    }

    fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn takes_whole_lines(&self) -> bool {
        true
    }
}
