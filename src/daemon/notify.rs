//! What the service manager is told: sd_notify(3), as datagrams of our own socket.
//!
//! The crate words the messages. The socket is ours, because the crate's waits where
//! the manager does not read, and the loop must not; and it is connected before
//! privileges are dropped.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, RawFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use sd_notify::NotifyState;

use crate::error::{Error, Result};

/// After a canary that did not come back the next one is tried this much later.
const AGAIN: Duration = Duration::from_secs(1);
/// A status line is cut to this many bytes.
const MAX_STATUS: usize = 1024;
/// How long the manager may take to make room for descriptors, in milliseconds.
const PATIENCE: u16 = 5000;

/// See the module. Without a service manager it does nothing.
#[derive(Debug, Default)]
pub struct Notify {
    socket: Option<UnixDatagram>,
    /// How often the watchdog is fed.
    every: Option<Duration>,
    feed_at: Option<Instant>,
    /// The last status that was sent.
    status: String,
}

impl Notify {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    ///
    /// # Errors
    /// When `NOTIFY_SOCKET` is set and nobody listens there.
    pub fn from_environment() -> Result<Self> {
        match std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) {
            Some(name) => Self::connect(&name, sd_notify::watchdog_enabled()),
            None => Ok(Self::default()),
        }
    }

    /// To the socket `name`, a path or `@` and an abstract name; `watchdog`: how long
    /// the manager waits for a sign of life.
    fn connect(name: &OsStr, watchdog: Option<Duration>) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::failure(format!(
                "tell the service manager (NOTIFY_SOCKET={}): {error}",
                name.to_string_lossy()
            ))
        };
        let address = match name.as_bytes().split_first() {
            Some((b'@', rest)) => SocketAddr::from_abstract_name(rest),
            _ => SocketAddr::from_pathname(name),
        };
        let socket = UnixDatagram::unbound().map_err(failed)?;
        address.and_then(|address| socket.connect_addr(&address)).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let every = watchdog.map(|span| span / 2).filter(|span| !span.is_zero());
        Ok(Self { socket: Some(socket), every, ..Self::default() })
    }

    /// All that is wanted runs and is proven. The watchdog is fed from now on.
    pub fn ready(&mut self, status: &str, now: Instant) {
        self.feed_at = self.every.map(|every| now + every);
        let status = self.changed(status);
        // Lost, it would make the manager end a daemon that runs.
        self.wait_for_room();
        self.send(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// A reload begins; [`Notify::reloaded`] must follow.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(time) => self.send(&[NotifyState::Reloading, time]),
            Err(error) => tracing::debug!("the clock cannot be read: {error}"),
        }
    }

    /// The reload is over, however it went.
    pub fn reloaded(&mut self, status: &str) {
        let status = self.changed(status);
        self.send(&[NotifyState::Ready, NotifyState::Status(&status)]);
    }

    /// What runs, in words; sent if it is not what was sent last.
    pub fn status(&mut self, status: &str) {
        if self.socket.is_some() && cut(status) != self.status {
            let status = self.changed(status);
            self.send(&[NotifyState::Status(&status)]);
        }
    }

    /// Has the manager keep these descriptors under `name`, over restarts. They need not be polled:
    /// a map that is would be dropped at once. Waits where the manager is slow: not for the loop.
    ///
    /// # Errors
    /// When it does not take them. That it has no room for them is not told.
    pub fn keep(&self, name: &str, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let text = format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}\n");
        let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let failed = |errno: Errno| Error::from(errno).context("hand descriptors to the service manager");
        loop {
            let parts = [IoSlice::new(text.as_bytes())];
            match sendmsg::<()>(socket.as_raw_fd(), &parts, &rights, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let mut room = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
                    if poll(&mut room, PATIENCE).map_err(failed)? == 0 {
                        return Err(failed(Errno::EAGAIN));
                    }
                }
                Err(errno) => return Err(failed(errno)),
            }
        }
    }

    /// The manager need not keep what has this name any more. Waits as [`Notify::keep`] does.
    pub fn forget(&self, name: &str) {
        self.wait_for_room();
        self.send(&[NotifyState::Custom("FDSTOREREMOVE=1"), NotifyState::Custom(&format!("FDNAME={name}"))]);
    }

    /// The end begins.
    pub fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.socket.is_some()
    }

    /// When the next sign of life is due; `None` without a watchdog.
    pub fn due(&self) -> Option<Instant> {
        self.feed_at
    }

    /// A sign of life, given only where one can be: `alive`.
    pub fn feed(&mut self, alive: bool, now: Instant) {
        if alive {
            self.send(&[NotifyState::Watchdog]);
        }
        self.feed_at = self.every.map(|every| now + if alive { every } else { every.min(AGAIN) });
    }

    fn changed(&mut self, status: &str) -> String {
        self.status = cut(status);
        self.status.clone()
    }

    /// Waits until the manager has room for a message, but not for ever; what cannot be waited for is
    /// found by who sends.
    fn wait_for_room(&self) {
        if let Some(socket) = &self.socket {
            let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)], PATIENCE);
        }
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        let text: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = socket.send(text.as_bytes()) {
            tracing::debug!("the service manager did not take {text:?}: {error}");
        }
    }
}

/// One line, not too long.
fn cut(status: &str) -> String {
    let end = (0..=status.len().min(MAX_STATUS)).rev().find(|at| status.is_char_boundary(*at));
    status[..end.unwrap_or(0)].replace('\n', "; ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A manager with an abstract name, and a daemon that is to show life every `watchdog`.
    fn pair(name: &str, watchdog: Option<Duration>) -> (UnixDatagram, Notify) {
        let name = format!("bee-notify-{}-{name}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        manager.set_nonblocking(true).unwrap();
        (manager, Notify::connect(OsStr::new(&format!("@{name}")), watchdog).unwrap())
    }

    fn next(manager: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 4096];
        let length = manager.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    }

    #[test]
    fn the_messages_are_those_of_sd_notify() {
        let (manager, mut notify) = pair("order", None);
        notify.ready("watching", Instant::now());
        notify.status("watching");
        notify.status("two\nlines");
        notify.reloading();
        notify.reloaded("anew");
        notify.stopping();
        assert_eq!(next(&manager).unwrap(), "READY=1\nSTATUS=watching\n");
        assert_eq!(next(&manager).unwrap(), "STATUS=two; lines\n");
        let reloading = next(&manager).unwrap();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().trim_end();
        assert!(time.parse::<u64>().unwrap() > 0);
        assert_eq!(next(&manager).unwrap(), "READY=1\nSTATUS=anew\n");
        assert_eq!(next(&manager).unwrap(), "STOPPING=1\n");
        assert_eq!(next(&manager), None);
    }

    #[test]
    fn the_watchdog_is_fed_at_half_its_time_and_only_alive() {
        let (manager, mut notify) = pair("watchdog", Some(Duration::from_secs(10)));
        assert_eq!(notify.due(), None, "before it is ready");
        let now = Instant::now();
        notify.ready("", now);
        next(&manager).unwrap();
        assert_eq!(notify.due(), Some(now + Duration::from_secs(5)));
        notify.feed(false, now);
        assert_eq!(next(&manager), None);
        assert_eq!(notify.due(), Some(now + AGAIN));
        notify.feed(true, now);
        assert_eq!(next(&manager).unwrap(), "WATCHDOG=1\n");
        assert_eq!(notify.due(), Some(now + Duration::from_secs(5)));
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nothing_up() {
        let (_manager, mut notify) = pair("full", None);
        for number in 0..2000 {
            notify.status(&number.to_string());
        }
    }

    #[test]
    fn the_word_that_all_is_well_waits_for_room() {
        let (manager, mut notify) = pair("late", None);
        while notify.socket.as_ref().unwrap().send(b"STATUS=x\n").is_ok() {}
        let reader = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            manager.set_nonblocking(false).unwrap();
            manager.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            while !next(&manager).expect("READY=1 comes").starts_with("READY=1") {}
        });
        notify.ready("watching", Instant::now());
        reader.join().unwrap();
    }

    #[test]
    fn without_a_watchdog_nothing_wakes() {
        let (_manager, mut notify) = pair("idle", None);
        notify.ready("", Instant::now());
        assert_eq!(notify.due(), None);
        assert_eq!(Notify::default().due(), None);
    }

    #[test]
    fn a_socket_that_is_not_there_is_said() {
        let error = Notify::connect(OsStr::new("/nowhere/notify"), None).unwrap_err().to_string();
        assert!(error.contains("/nowhere/notify"), "{error}");
    }

    #[test]
    fn a_long_status_is_cut_between_letters() {
        let text = "é".repeat(MAX_STATUS);
        assert_eq!(cut(&text).len(), MAX_STATUS);
        assert_eq!(cut(&format!("x{text}")).len(), MAX_STATUS - 1);
    }
}
