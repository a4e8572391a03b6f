//! The scanner's own process: shut in, then answering until the daemon is gone.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use caps::Capability;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use super::scan::{Patterns, Scan};
use super::walk::Flow;
use super::wire::{Answer, Malformed, Request};
use super::{Init, config_files, socket};
use crate::error::{Error, Result};
use crate::privilege::seccomp::{self, Row, When};
use crate::privilege::{self, status};

/// Requests that wait; a daemon that sends more is told, and can ask for a whole scan.
const MAX_WAITING: usize = 256;
/// `CAP_DAC_READ_SEARCH` (include/uapi/linux/capability.h).
const KEPT: u64 = 1 << 2;

/// Everything in open(2) that writes, makes or empties a file. `__O_TMPFILE` is
/// `O_TMPFILE` without its `O_DIRECTORY`.
const WRITES: u64 = (libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_TRUNC
    | libc::O_APPEND
    | (libc::O_TMPFILE & !libc::O_DIRECTORY))
    .unsigned_abs() as u64;

const F_GETFD: u64 = 1;
const F_GETFL: u64 = 3;

const fn row(number: i64, name: &'static str, when: When, why: &'static str) -> Row {
    Row { number, name, when, why }
}

/// What the scanner still does, beside [`seccomp::RUNTIME`].
pub const TABLE: &[Row] = &[
    row(
        libc::SYS_openat,
        "openat",
        When::Clear(2, WRITES),
        "directories, lessons, config files; never to write",
    ),
    row(libc::SYS_close, "close", When::Always, "descriptors"),
    row(libc::SYS_getdents64, "getdents64", When::Always, "directories"),
    row(libc::SYS_statx, "statx", When::Always, "mount ids, owners of links"),
    row(libc::SYS_newfstatat, "newfstatat", When::Always, "opendir of libc, on some architectures"),
    row(libc::SYS_fstat, "fstat", When::Always, "opendir of libc"),
    row(libc::SYS_fcntl, "fcntl", When::OneOf(1, &[F_GETFD, F_GETFL]), "std checks descriptors it closes"),
    row(libc::SYS_readlinkat, "readlinkat", When::Always, "watched names that are links"),
    row(libc::SYS_read, "read", When::Always, "mountinfo"),
    row(libc::SYS_inotify_init1, "inotify_init1", When::Always, "lessons"),
    row(libc::SYS_inotify_add_watch, "inotify_add_watch", When::Always, "lessons"),
    row(libc::SYS_inotify_rm_watch, "inotify_rm_watch", When::Always, "lessons"),
    row(libc::SYS_pread64, "pread64", When::Always, "a long request in its memfd"),
    row(libc::SYS_lseek, "lseek", When::Always, "std asks for the position before reading a file"),
    row(libc::SYS_recvmsg, "recvmsg", When::Always, "requests"),
    row(libc::SYS_sendmsg, "sendmsg", When::Always, "answers"),
    #[cfg(target_arch = "x86_64")]
    row(libc::SYS_poll, "poll", When::Always, "is there a newer request"),
    row(libc::SYS_ppoll, "ppoll", When::Always, "is there a newer request"),
];

/// Runs in the forked child; its return value is the exit status.
pub fn main(socket: OwnedFd, init: &Init, parent: nix::unistd::Pid) -> i32 {
    let socket = match confine(socket, init, parent) {
        Ok(socket) => socket,
        Err((socket, error)) => {
            answer(socket.as_fd(), &Answer::Failed { id: 0, why: error.to_string() });
            return 1;
        }
    };
    answer(socket.as_fd(), &Answer::Ready);
    Server { socket: Rc::new(socket), init, waiting: VecDeque::new(), patterns: None, closed: false }.serve();
    0
}

fn confine(
    mut socket: OwnedFd,
    init: &Init,
    parent: nix::unistd::Pid,
) -> std::result::Result<OwnedFd, (OwnedFd, Error)> {
    // Where the daemon was started without standard descriptors the socket can be one of them.
    let moved = match nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3)) {
        // SAFETY: the kernel has just made this descriptor for us alone.
        Ok(fd) => unsafe { OwnedFd::from_raw_fd(fd) },
        Err(errno) => return Err((socket, errno.into())),
    };
    drop(std::mem::replace(&mut socket, moved));
    let steps = || -> Result<()> {
        signals()?;
        nix::sys::prctl::set_name(c"bee-scanner")?;
        close_others(socket.as_fd())?;
        be_unobtrusive();
        std::env::set_current_dir("/")?;
        privilege::reduce(&init.account, &[Capability::CAP_DAC_READ_SEARCH].into_iter().collect())?;
        // After the change of user, which clears it.
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        if nix::unistd::getppid() != parent {
            return Err(Error::failure("the daemon ended meanwhile"));
        }
        seccomp::install(TABLE)?;
        let excess: Vec<_> = status::threads()?.iter().flat_map(|thread| thread.excess(KEPT)).collect();
        if excess.is_empty() { Ok(()) } else { Err(Error::failure(excess.join(", "))) }
    };
    match steps() {
        Ok(()) => Ok(socket),
        Err(error) => Err((socket, error)),
    }
}

/// The daemon's end is our end: what a terminal or systemd sends to the whole
/// group must not take us away while the daemon still drains.
fn signals() -> Result<()> {
    use nix::sys::signal::{SigHandler, signal};
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGPIPE] {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe { signal(number, SigHandler::SigIgn) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(())
}

/// Everything but the socket, the daemon's maps and links included; 0 to 2
/// become /dev/null so that no later descriptor is taken for an output.
fn close_others(socket: BorrowedFd<'_>) -> Result<()> {
    use std::os::fd::AsRawFd;
    let null = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    for standard in 0..3 {
        if null.as_raw_fd() != standard {
            // SAFETY: dup2 takes numbers; the standard descriptors belong to nobody in this process.
            Errno::result(unsafe { libc::dup2(null.as_raw_fd(), standard) })?;
        }
    }
    drop(null);
    let kept = socket.as_raw_fd().unsigned_abs();
    for (first, last) in [(3, kept - 1), (kept + 1, u32::MAX)] {
        if first <= last {
            // SAFETY: takes numbers; no value of this process that owns a descriptor is used again but the socket.
            Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })
                .map_err(|errno| Error::from(errno).context("close the daemon's descriptors"))?;
        }
    }
    Ok(())
}

/// Failing here costs politeness, not safety.
fn be_unobtrusive() {
    const IOPRIO_WHO_PROCESS: i32 = 1;
    const IDLE: i32 = 3 << 13;
    // SAFETY: takes numbers.
    unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IDLE) };
    // SAFETY: takes numbers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
    if let Ok((soft, hard)) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE) {
        let wanted = hard.min(1024).max(soft.min(hard));
        let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, wanted, hard);
    }
}

/// A daemon that is gone is noticed at the next request.
fn answer(socket: BorrowedFd<'_>, answer: &Answer) {
    let _ = socket::send(socket, &answer.encode(), &[]);
}

struct Server<'a> {
    socket: Rc<OwnedFd>,
    init: &'a Init,
    waiting: VecDeque<Request>,
    patterns: Option<Patterns>,
    closed: bool,
}

impl Server<'_> {
    fn serve(&mut self) {
        while !self.closed {
            match self.waiting.pop_front() {
                Some(request) => self.handle(request),
                None => self.receive(),
            }
        }
    }

    fn handle(&mut self, request: Request) {
        let (id, below) = match request {
            Request::Config { id } => return self.config(id),
            Request::Tree { id, path } => (id, Some(path)),
            Request::Scan { id, watch, watch_write, ignore, skip } => {
                match Patterns::parse(&watch, &watch_write, &ignore, &skip) {
                    Ok(patterns) => self.patterns = Some(patterns),
                    Err(why) => return self.answer(&Answer::Failed { id, why }),
                }
                (id, None)
            }
        };
        // Taken out for the walk, which asks the rest of us for newer requests.
        let Some(patterns) = self.patterns.take() else {
            return self.answer(&Answer::Failed { id, why: "there has been no scan request yet".into() });
        };
        let result = self.scan(id, &patterns, below);
        self.patterns = Some(patterns);
        match result {
            Ok(Flow::Continue) => {}
            Ok(Flow::Stop) => self.answer(&Answer::Superseded { id }),
            Err(why) => self.answer(&Answer::Failed { id, why }),
        }
    }

    fn scan(
        &mut self,
        id: u32,
        patterns: &Patterns,
        below: Option<PathBuf>,
    ) -> std::result::Result<Flow, String> {
        let mountinfo = &self.init.mountinfo;
        let out = Rc::clone(&self.socket);
        let emit = |message: &Answer| answer(out.as_fd(), message);
        let mut pause = || self.pause();
        Scan { id, patterns, emit: &emit, pause: &mut pause }.run(mountinfo, below.as_deref())
    }

    /// Looks for a newer request; only a whole scan (or the end) stops the one that runs.
    fn pause(&mut self) -> Flow {
        loop {
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if !matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1)) {
                return Flow::Continue;
            }
            self.receive();
            if self.closed || matches!(self.waiting.back(), Some(Request::Scan { .. })) {
                return Flow::Stop;
            }
        }
    }

    /// Takes one request in; a `Config` is answered at once, for a reload waits for it.
    fn receive(&mut self) {
        let message = match socket::receive(self.socket.as_fd()) {
            Ok(Some(message)) => message,
            Err(Errno::EMSGSIZE) => return self.refuse("malformed message: it is too long"),
            Ok(None) | Err(_) => {
                self.closed = true;
                return;
            }
        };
        let request = match socket::unwrap_long(message) {
            Ok(bytes) => Request::decode(&bytes),
            Err(_) => Err(Malformed("its memfd cannot be read")),
        };
        match request {
            Ok(Request::Config { id }) => self.config(id),
            Ok(scan @ Request::Scan { .. }) => {
                for older in std::mem::take(&mut self.waiting) {
                    if let Request::Scan { id, .. } | Request::Tree { id, .. } = older {
                        self.answer(&Answer::Superseded { id });
                    }
                }
                self.waiting.push_back(scan);
            }
            Ok(Request::Tree { id, .. }) if self.waiting.len() >= MAX_WAITING => {
                let why = format!("{MAX_WAITING} requests wait already; ask for a whole scan");
                self.answer(&Answer::Failed { id, why });
            }
            Ok(tree) => self.waiting.push_back(tree),
            Err(malformed) => self.refuse(&malformed.to_string()),
        }
    }

    fn config(&self, id: u32) {
        let files = match config_files::open(&self.init.config) {
            Ok(files) => files,
            Err(why) => return self.answer(&Answer::Failed { id, why }),
        };
        let (paths, files): (Vec<_>, Vec<_>) = files.into_iter().unzip();
        let descriptors: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let message = Answer::Config { id, paths }.encode();
        if let Err(errno) = socket::send(self.socket.as_fd(), &message, &descriptors) {
            self.answer(&Answer::Failed { id, why: format!("send the configuration: {}", errno.desc()) });
        }
    }

    fn refuse(&self, why: &str) {
        self.answer(&Answer::Failed { id: 0, why: why.into() });
    }

    fn answer(&self, message: &Answer) {
        answer(self.socket.as_fd(), message);
    }
}
