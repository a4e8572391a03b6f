//! Events for those who watch: chosen, rendered once for each look, kept for a
//! reader that is behind, dropped and counted for one that stays behind.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, sendmsg};

use super::filter::Filter;
use super::protocol::{Answer, Format};
use super::{WATCHER_BYTES, WATCHERS_BYTES, status};
use crate::config;
use crate::error::Result;
use crate::event::Event;
use crate::sink::{Sink, SinkCounters, json, pretty};

/// Lines are sent together up to this many bytes.
const CHUNK: usize = 32 * 1024;
/// A line longer than this does not fit a packet and is dropped.
const LINE: usize = 112 * 1024;

/// Lines that go out in one message.
#[derive(Debug, Default)]
struct Chunk {
    lines: Vec<u8>,
    count: u64,
    /// Events this client lost between the chunk before and this one.
    dropped: u64,
}

/// One client that watches.
struct Watcher {
    socket: OwnedFd,
    filter: Filter,
    format: Format,
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Lost since the last chunk was begun.
    dropped: u64,
    /// The kernel takes no more at present.
    blocked: bool,
    /// The server waits for the kernel to take more.
    awaited: bool,
    gone: bool,
}

/// Every client that watches, by its token.
pub(super) struct Watchers {
    list: BTreeMap<u64, Watcher>,
    host: String,
    plain: pretty::View,
    coloured: pretty::View,
    lines: [Option<Vec<u8>>; 3],
    bytes: usize,
    pub counts: status::Control,
}

impl Watchers {
    pub fn new(host: String) -> Self {
        Self {
            list: BTreeMap::new(),
            host,
            plain: pretty::View::new(false),
            coloured: pretty::View::new(true),
            lines: [None, None, None],
            bytes: 0,
            counts: status::Control::default(),
        }
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn add(&mut self, token: u64, socket: OwnedFd, filter: Filter, format: Format) {
        let watcher = Watcher {
            socket,
            filter,
            format,
            chunks: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            blocked: false,
            awaited: false,
            gone: false,
        };
        self.list.insert(token, watcher);
    }

    /// Takes an event for everybody who wants it. Never waits.
    fn offer(&mut self, event: &Event) {
        self.lines = [None, None, None];
        for watcher in self.list.values_mut().filter(|watcher| !watcher.gone) {
            if !watcher.filter.wants(event) {
                continue;
            }
            self.counts.offered += 1;
            let line = self.lines[watcher.format as usize].get_or_insert_with(|| {
                let mut line = Vec::new();
                match watcher.format {
                    Format::Json => json::render(event, &self.host, &mut line),
                    Format::Pretty => self.plain.render(event, &mut line),
                    Format::Colour => self.coloured.render(event, &mut line),
                }
                line
            });
            if line.len() > LINE
                || watcher.bytes + line.len() > WATCHER_BYTES
                || self.bytes + line.len() > WATCHERS_BYTES
            {
                watcher.dropped += 1;
                self.counts.dropped += 1;
                continue;
            }
            watcher.push(line);
            self.bytes += line.len();
            self.counts.queued += 1;
            if watcher.bytes >= CHUNK && !watcher.blocked {
                watcher.send(&mut self.bytes, &mut self.counts);
            }
        }
    }

    /// Sends what can be sent. Gives the clients that must be waited for now, and those who left.
    pub fn flush(&mut self) -> (Vec<u64>, Vec<u64>) {
        let (mut blocked, mut gone) = (Vec::new(), Vec::new());
        for (token, watcher) in &mut self.list {
            if !watcher.gone && !watcher.blocked {
                watcher.send(&mut self.bytes, &mut self.counts);
            }
            if watcher.gone {
                gone.push(*token);
            } else if watcher.blocked && !watcher.awaited {
                watcher.awaited = true;
                blocked.push(*token);
            }
        }
        (blocked, gone)
    }

    /// The client can take more.
    pub fn unblock(&mut self, token: u64) {
        if let Some(watcher) = self.list.get_mut(&token) {
            (watcher.blocked, watcher.awaited) = (false, false);
        }
    }

    /// Its descriptor, if it watches.
    pub fn socket(&self, token: u64) -> Option<&OwnedFd> {
        self.list.get(&token).map(|watcher| &watcher.socket)
    }

    /// Forgets a client; what waited for it is counted.
    pub fn remove(&mut self, token: u64) -> Option<OwnedFd> {
        let watcher = self.list.remove(&token)?;
        let left: u64 = watcher.chunks.iter().map(|chunk| chunk.count).sum();
        self.bytes -= watcher.bytes;
        self.counts.queued -= left;
        self.counts.abandoned += left;
        Some(watcher.socket)
    }

    /// Every client, to be told that this is the end.
    pub fn tokens(&self) -> Vec<u64> {
        self.list.keys().copied().collect()
    }

    /// Whether nothing waits to go out.
    pub fn is_idle(&self) -> bool {
        self.bytes == 0
    }
}

impl Watcher {
    fn push(&mut self, line: &[u8]) {
        let fits = |chunk: &Chunk| chunk.lines.len() + line.len() <= CHUNK;
        if self.dropped > 0 || !self.chunks.back().is_some_and(fits) {
            let dropped = std::mem::take(&mut self.dropped);
            self.chunks.push_back(Chunk { dropped, ..Chunk::default() });
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.lines.extend_from_slice(line);
            chunk.count += 1;
            self.bytes += line.len();
        }
    }

    fn send(&mut self, bytes: &mut usize, counts: &mut status::Control) {
        loop {
            if self.chunks.is_empty() && self.dropped > 0 {
                let dropped = std::mem::take(&mut self.dropped);
                self.chunks.push_back(Chunk { dropped, ..Chunk::default() });
            }
            let Some(chunk) = self.chunks.front() else { return };
            let head = Answer::Events { count: chunk.count, dropped: chunk.dropped }.encode();
            let parts = [IoSlice::new(&head), IoSlice::new(&chunk.lines)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.socket.as_raw_fd(), &parts, &[], flags, None) {
                Ok(_) => {
                    counts.sent += chunk.count;
                    counts.queued -= chunk.count;
                    self.bytes -= chunk.lines.len();
                    *bytes -= chunk.lines.len();
                    self.chunks.pop_front();
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN | Errno::ENOBUFS) => {
                    self.blocked = true;
                    return;
                }
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
    }
}

/// The name of [`Tap`].
pub const TAP: &str = "watch";

/// The watchers as a place events go to. It has no thread and counts for itself, in
/// [`status::Control`]: what a slow watcher loses is that watcher's affair and no `loss` event.
pub struct Tap(pub(super) Rc<RefCell<Watchers>>);

impl Sink for Tap {
    fn name(&self) -> &'static str {
        TAP
    }

    fn start(&mut self) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, event: &Event) {
        let mut watchers = self.0.borrow_mut();
        if !watchers.list.is_empty() {
            watchers.offer(event);
        }
    }

    fn configure(&mut self, _: &config::Output) {}

    fn counters(&self) -> SinkCounters {
        SinkCounters::default()
    }

    fn problem(&self) -> Option<String> {
        None
    }

    fn drain(&mut self, _: Instant) {}
}
