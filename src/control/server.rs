//! The daemon's end: accepts, reads one request of each client, sends what the
//! daemon answers. Every call takes what is there and comes back at once.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{MsgFlags, Shutdown, SockFlag, accept4, recv, send, setsockopt, shutdown, sockopt};

use super::filter::Filter;
use super::protocol::{Answer, Format, MAX_REQUEST, Request, Why};
use super::socket::{Opened, Peer};
use super::watchers::Watchers;
use super::{MAX_CONNECTIONS, MAX_WATCHERS, RELOAD_TIME, REQUEST_TIME, RESERVED, Tap, status};
use crate::error::Result;

/// The listener's place in the epoll; tokens of clients begin above.
const LISTENER: u64 = 0;
/// Connections accepted in one turn, and events looked at.
const TURN: usize = 64;
/// Bytes the kernel keeps for a client that does not read; it doubles the number.
const SEND_BUFFER: usize = 64 * 1024;
/// Descriptors the daemon needs for itself: rings, programs, links, files.
const OWN_DESCRIPTORS: u64 = 512;
/// When descriptors were used up, new connections are tried again after this long.
const PAUSE: Duration = Duration::from_secs(1);
/// How long those who watch may take to read the end.
const FAREWELL: Duration = Duration::from_millis(200);

/// A request that may be carried out.
#[derive(Debug)]
pub struct Asked {
    /// Whom to answer.
    pub token: u64,
    /// Who asks.
    pub peer: Peer,
    /// What to do.
    pub request: Request,
}

#[derive(Debug)]
enum State {
    /// Its request has not come.
    Asking,
    /// Its request is being carried out.
    Waiting,
    /// It has not read the answer.
    Answering(Vec<u8>),
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    peer: Peer,
    deadline: Instant,
    state: State,
}

/// See the module.
pub struct Server {
    opened: Opened,
    epoll: Epoll,
    clients: BTreeMap<u64, Client>,
    watchers: Rc<RefCell<Watchers>>,
    deadlines: BTreeSet<(Instant, u64)>,
    own: u32,
    last: u64,
    room: usize,
    /// The listener is not waited for: descriptors are used up.
    paused: Option<Instant>,
    accepted: u64,
    refused: u64,
}

impl Server {
    /// Serves clients of `opened`; `own` is the user the daemon will be, `host` is `host.name`. Raises
    /// the limit of open descriptors as far as may be.
    ///
    /// # Errors
    /// When descriptors are used up.
    pub fn new(opened: Opened, own: u32, host: String) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&opened.listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        let watchers = Rc::new(RefCell::new(Watchers::new(host)));
        Ok(Self {
            opened,
            epoll,
            clients: BTreeMap::new(),
            watchers,
            deadlines: BTreeSet::new(),
            own,
            last: LISTENER,
            room: room(),
            paused: None,
            accepted: 0,
            refused: 0,
        })
    }

    /// Readable when there is something to do.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// The sink that feeds those who watch.
    pub fn tap(&self) -> Tap {
        Tap(Rc::clone(&self.watchers))
    }

    /// Takes what came since the last turn.
    pub fn turn(&mut self, now: Instant) -> Vec<Asked> {
        let mut asked = Vec::new();
        let mut events = [EpollEvent::empty(); TURN];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in &events[..count] {
            match event.data() {
                LISTENER => self.accept(now),
                token if self.clients.contains_key(&token) => asked.extend(self.client(token, now)),
                token => self.watcher(token, event.events()),
            }
        }
        self.expire(now);
        asked
    }

    /// Sends those who watch what can be sent.
    pub fn flush(&mut self) {
        let (blocked, gone) = self.watchers.borrow_mut().flush();
        for token in blocked {
            self.interest(token, EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT);
        }
        for token in gone {
            self.leave(token);
        }
    }

    /// When to call [`turn`](Self::turn) though nothing came.
    pub fn due(&self) -> Option<Instant> {
        self.deadlines.first().map(|(when, _)| *when).into_iter().chain(self.paused).min()
    }

    /// Answers a request, and that is all for this client.
    pub fn reply(&mut self, token: u64, answer: &Answer) {
        if matches!(answer, Answer::Refused { .. }) {
            self.refused += 1;
        }
        let message = answer.encode();
        let Some(client) = self.clients.get_mut(&token) else { return };
        match post(&client.socket, &message) {
            Err(Errno::EAGAIN | Errno::ENOBUFS) => {
                client.state = State::Answering(message);
                self.set_deadline(token, Instant::now() + REQUEST_TIME);
                self.interest(token, EpollFlags::EPOLLOUT);
            }
            Err(Errno::EMSGSIZE) => {
                let short = Answer::refused(Why::Failed, "the answer is too long to be sent").encode();
                // It has just been seen that there is room.
                let _ = post(&client.socket, &short);
                self.close(token);
            }
            _ => {
                hang_up(&client.socket);
                self.close(token);
            }
        }
    }

    /// Sends this client events from now on.
    pub fn watch(&mut self, token: u64, filter: Filter, format: Format) {
        if self.watchers.borrow().len() >= MAX_WATCHERS {
            let why = format!("{MAX_WATCHERS} clients watch already; end one of them");
            return self.reply(token, &Answer::refused(Why::Busy, why));
        }
        let Some(client) = self.clients.remove(&token) else { return };
        self.deadlines.remove(&(client.deadline, token));
        if post(&client.socket, &Answer::Watching {}.encode()).is_ok() {
            self.watchers.borrow_mut().add(token, client.socket, filter, format);
        }
    }

    /// The numbers about itself.
    pub fn status(&self) -> status::Control {
        let watchers = self.watchers.borrow();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        status::Control {
            socket: self.opened.path.display().to_string(),
            connections: count(self.clients.len() + watchers.len()),
            watchers: count(watchers.len()),
            accepted: self.accepted,
            refused: self.refused,
            ..watchers.counts.clone()
        }
    }

    /// Says good-bye to everybody and takes the socket away.
    pub fn stop(&mut self) {
        let deadline = Instant::now() + FAREWELL;
        self.flush();
        while !self.watchers.borrow().is_idle() && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis();
            let mut events = [EpollEvent::empty(); TURN];
            let wait = EpollTimeout::from(u16::try_from(left).unwrap_or(0));
            let count = self.epoll.wait(&mut events, wait).unwrap_or(0);
            let tokens: Vec<u64> = self.watchers.borrow().tokens();
            // A new connection ends the waiting: there is nobody to serve it.
            if count == 0 || events[..count].iter().any(|event| !tokens.contains(&event.data())) {
                break;
            }
            for event in &events[..count] {
                self.watcher(event.data(), event.events());
            }
            self.flush();
        }
        let end = Answer::Stopping {}.encode();
        let tokens = self.watchers.borrow().tokens();
        for token in tokens {
            if let Some(socket) = self.watchers.borrow_mut().remove(token) {
                let _ = post(&socket, &end);
            }
        }
        for client in std::mem::take(&mut self.clients).into_values() {
            farewell(&client.socket, &Answer::refused(Why::Failed, "the daemon stops"));
        }
        if let Err(errno) = self.opened.remove() {
            tracing::debug!("{} stays behind: {}", self.opened.path.display(), errno.desc());
        }
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..TURN {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let socket = match accept4(self.opened.listener.as_raw_fd(), flags) {
                // SAFETY: the kernel has just made this descriptor for us alone.
                Ok(fd) => unsafe { OwnedFd::from_raw_fd(fd) },
                Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS) => {
                    // It stays readable: waited for, the loop would spin.
                    let _ = self.epoll.delete(&self.opened.listener);
                    self.paused = Some(now + PAUSE);
                    return;
                }
                // EAGAIN: nobody waits any more. The others are of one connection, which is gone.
                Err(Errno::ECONNABORTED | Errno::EINTR) => continue,
                Err(_) => return,
            };
            self.accepted += 1;
            let Ok(peer) = Peer::of(&socket) else { continue };
            let connections = self.clients.len() + self.watchers.borrow().len();
            let room = if peer.may_change(self.own) { self.room } else { self.room - RESERVED };
            if connections >= room {
                self.refused += 1;
                farewell(&socket, &Answer::refused(Why::Busy, "too many connections; try again later"));
                continue;
            }
            // The default, where it cannot be set, is more memory and nothing worse.
            let _ = setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER);
            self.last += 1;
            let token = self.last;
            if self.epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, token)).is_err() {
                continue;
            }
            let deadline = now + REQUEST_TIME;
            self.deadlines.insert((deadline, token));
            self.clients.insert(token, Client { socket, peer, deadline, state: State::Asking });
        }
    }

    /// A client sent something, left, or can be written to.
    fn client(&mut self, token: u64, now: Instant) -> Option<Asked> {
        let client = self.clients.get_mut(&token)?;
        if let State::Answering(message) = &client.state {
            if post(&client.socket, message) != Err(Errno::EAGAIN) {
                self.close(token);
            }
            return None;
        }
        let mut buffer = [0; MAX_REQUEST + 1];
        let flags = MsgFlags::MSG_DONTWAIT;
        let length = match recv(client.socket.as_raw_fd(), &mut buffer, flags) {
            Err(Errno::EAGAIN | Errno::EINTR) => return None,
            Ok(length) if length > 0 && matches!(client.state, State::Asking) => length,
            // It left, or says more than it may.
            _ => {
                self.close(token);
                return None;
            }
        };
        match Request::parse(&buffer[..length]) {
            Err(why) => self.reply(token, &Answer::refused(Why::BadRequest, why)),
            Ok(request) if request.changes() && !client.peer.may_change(self.own) => {
                let why = format!(
                    "{} is for root and the daemon's own user; you are uid {}. Use sudo",
                    request.name(),
                    client.peer.uid
                );
                self.reply(token, &Answer::refused(Why::NotPermitted, why));
            }
            Ok(request) => {
                let peer = client.peer;
                client.state = State::Waiting;
                self.set_deadline(token, now + RELOAD_TIME);
                return Some(Asked { token, peer, request });
            }
        }
        None
    }

    /// One that watches can take more, or left.
    fn watcher(&mut self, token: u64, events: EpollFlags) {
        if events.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            // Nothing it could say is wanted.
            return self.leave(token);
        }
        self.watchers.borrow_mut().unblock(token);
        self.interest(token, EpollFlags::EPOLLIN);
    }

    fn expire(&mut self, now: Instant) {
        if self.paused.is_some_and(|until| until <= now) {
            self.resume();
        }
        while let Some((when, token)) = self.deadlines.first().copied() {
            if when > now {
                return;
            }
            self.deadlines.remove(&(when, token));
            let Some(client) = self.clients.get(&token) else { continue };
            let why = match client.state {
                State::Asking => "no request came in time",
                State::Waiting => "it took too long; the daemon's log says more",
                State::Answering(_) => "",
            };
            self.refused += 1;
            farewell(&client.socket, &Answer::refused(Why::Late, why));
            self.close(token);
        }
    }

    fn resume(&mut self) {
        self.paused = None;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENER);
        if self.epoll.add(&self.opened.listener, event).is_err() {
            self.paused = Some(Instant::now() + PAUSE);
        }
    }

    fn set_deadline(&mut self, token: u64, deadline: Instant) {
        if let Some(client) = self.clients.get_mut(&token) {
            self.deadlines.remove(&(client.deadline, token));
            client.deadline = deadline;
            self.deadlines.insert((deadline, token));
        }
    }

    fn interest(&self, token: u64, flags: EpollFlags) {
        let mut event = EpollEvent::new(flags, token);
        let watchers = self.watchers.borrow();
        let socket = self.clients.get(&token).map(|client| &client.socket).or_else(|| watchers.socket(token));
        if let Some(socket) = socket {
            // It is registered; nothing can be refused.
            let _ = self.epoll.modify(socket, &mut event);
        }
    }

    fn close(&mut self, token: u64) {
        if let Some(client) = self.clients.remove(&token) {
            self.deadlines.remove(&(client.deadline, token));
        }
    }

    fn leave(&mut self, token: u64) {
        drop(self.watchers.borrow_mut().remove(token));
    }
}

/// How many connections there is room for, the limit of descriptors raised as far as may be.
fn room() -> usize {
    let wanted = u64::try_from(MAX_CONNECTIONS).unwrap_or(u64::MAX) + OWN_DESCRIPTORS;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return RESERVED };
    let limit = soft.max(wanted.min(hard));
    if limit > soft && setrlimit(Resource::RLIMIT_NOFILE, limit, hard).is_err() {
        return usize::try_from(soft.saturating_sub(OWN_DESCRIPTORS)).unwrap_or(0).max(RESERVED);
    }
    usize::try_from(limit.saturating_sub(OWN_DESCRIPTORS)).unwrap_or(0).clamp(RESERVED, MAX_CONNECTIONS)
}

fn post(socket: &OwnedFd, message: &[u8]) -> nix::Result<()> {
    loop {
        match send(socket.as_raw_fd(), message, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
            Err(Errno::EINTR) => {}
            result => return result.map(drop),
        }
    }
}

/// Last words to a client.
fn farewell(socket: &OwnedFd, answer: &Answer) {
    let _ = post(socket, &answer.encode());
    hang_up(socket);
}

/// Takes what a client has sent and nobody will read: else closing would turn the answer that
/// lies there for it into `ECONNRESET`.
fn hang_up(socket: &OwnedFd) {
    let _ = shutdown(socket.as_raw_fd(), Shutdown::Read);
    let mut byte = [0];
    for _ in 0..TURN {
        match recv(socket.as_raw_fd(), &mut byte, MsgFlags::MSG_DONTWAIT) {
            Ok(length) if length > 0 => {}
            _ => return,
        }
    }
}
