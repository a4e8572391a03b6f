//! Waiting: one epoll over rings, signals, a timer, the scanner, the mount
//! table and the control socket. No sleep, no polling; an idle daemon does not wake.
//!
//! A ring is watched edge-triggered. The kernel side wakes its reader for the
//! first record after idle; the reader then lets a batch gather before it takes
//! them all. A second wake-up in that time means that the ring fills up.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::error::{Error, Result};

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Source {
    /// The alert ring has a first record, or fills up.
    Alerts = 0,
    /// The bulk ring.
    Bulk = 1,
    /// The timer set by `wake_at`.
    Timer = 2,
    /// SIGTERM or SIGINT.
    Stop = 3,
    /// SIGHUP.
    Reload = 4,
    /// The scanner answered.
    Scanner = 5,
    /// Something was mounted or unmounted.
    Mounts = 6,
    /// A client of the control socket.
    Control = 7,
    /// The sinks are as far as was asked.
    Sinks = 8,
}

const SOURCES: [Source; 9] = [
    Source::Alerts,
    Source::Bulk,
    Source::Timer,
    Source::Stop,
    Source::Reload,
    Source::Scanner,
    Source::Mounts,
    Source::Control,
    Source::Sinks,
];

/// See the module.
#[derive(Debug)]
pub struct Waiter {
    epoll: Epoll,
    timer: TimerFd,
    wake_at: Option<Instant>,
}

impl Waiter {
    /// Nothing is waited for yet.
    ///
    /// # Errors
    /// When descriptors are used up.
    pub fn new() -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer =
            TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let waiter = Self { epoll, timer, wake_at: None };
        waiter.epoll.add(waiter.timer.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, Source::Timer as u64))?;
        Ok(waiter)
    }

    /// Waits for `fd` too; rings by edges, the mount table for its own kind of event.
    ///
    /// # Errors
    /// epoll_ctl(2)'s.
    pub fn add(&self, fd: BorrowedFd<'_>, source: Source) -> Result<()> {
        let flags = match source {
            Source::Alerts | Source::Bulk => EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
            Source::Mounts => EpollFlags::EPOLLPRI | EpollFlags::EPOLLET,
            _ => EpollFlags::EPOLLIN,
        };
        self.epoll
            .add(fd, EpollEvent::new(flags, source as u64))
            .map_err(|error| Error::from(error).context(format!("waiting for {source:?}")))
    }

    /// No longer waits for `fd`.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        // Closed already: then epoll has forgotten it by itself.
        let _ = self.epoll.delete(fd);
    }

    /// Wakes at `when`, unless it wakes earlier already.
    pub fn wake_at(&mut self, when: Instant) {
        if self.wake_at.is_some_and(|set| set <= when) {
            return;
        }
        self.wake_at = Some(when);
        // A timer of zero is no timer.
        let span = when.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
        let set = self.timer.set(Expiration::OneShot(TimeSpec::from(span)), TimerSetTimeFlags::empty());
        if let Err(error) = set {
            tracing::warn!(%error, "the timer cannot be set; events may come late");
        }
    }

    /// Sleeps until something happens.
    ///
    /// # Errors
    /// epoll_wait(2)'s, but an interrupting signal.
    pub fn wait(&mut self, into: &mut Vec<Source>) -> Result<()> {
        into.clear();
        let mut events = [EpollEvent::empty(); SOURCES.len()];
        let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(Error::from(error).context("epoll_wait")),
        };
        for event in &events[..count] {
            let Some(source) = usize::try_from(event.data()).ok().and_then(|at| SOURCES.get(at)) else {
                continue;
            };
            if *source == Source::Timer {
                self.wake_at = None;
                // Nonblocking: read only to silence it.
                let mut expirations = [0; 8];
                let _ = nix::unistd::read(&self.timer, &mut expirations);
            }
            into.push(*source);
        }
        Ok(())
    }
}
