//! Which acts are the same as one that was written a moment ago. The first of a
//! kind is always written; those that follow within a window are counted, and
//! told together when it is over. Knows no events: an act is a number that stands
//! for all that is told of it.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

/// Acts that are remembered at once; then the oldest is told, to make room.
pub const ACTS: usize = 512;
/// Bytes of entries that wait to be told; what would go beyond is not folded.
pub const WAITING: usize = 512 * 1024;

/// What an act is recognised by: two hashes under secret keys of this process, so
/// that nobody outside can make two acts look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u64, u64);

/// Repeats that are told together.
#[derive(Debug, PartialEq, Eq)]
pub struct Repeats {
    /// The entry of the last one, as the caller made it.
    pub entry: Vec<u8>,
    /// How many, without the first, which was written.
    pub count: u64,
    /// Event time of the first act, nanoseconds since 1970.
    pub first: u64,
    /// Event time of the last one.
    pub last: u64,
}

struct Act {
    /// When its window is over.
    until: Instant,
    repeats: Repeats,
}

/// The acts of the last moments.
pub struct Fold {
    window: Duration,
    keys: [RandomState; 2],
    acts: HashMap<Key, Act>,
    /// In the order in which their windows end.
    order: VecDeque<(Instant, Key)>,
    /// Bytes of all `repeats.entry`.
    waiting: usize,
}

impl Fold {
    /// Nothing is remembered yet. A `window` of zero: nothing ever is.
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            keys: [RandomState::new(), RandomState::new()],
            acts: HashMap::new(),
            order: VecDeque::new(),
            waiting: 0,
        }
    }

    /// Whether anything is folded at all.
    pub fn is_on(&self) -> bool {
        !self.window.is_zero()
    }

    /// Another window, for acts that come from now on.
    pub fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// The key of an act that is told by these pieces.
    pub fn key<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>) -> Key {
        let mut hashers = [self.keys[0].build_hasher(), self.keys[1].build_hasher()];
        for piece in pieces {
            hashers.iter_mut().for_each(|hasher| hasher.write(piece));
        }
        Key(hashers[0].finish(), hashers[1].finish())
    }

    /// Whether this act was written within the window that is still open at `now`.
    pub fn is_repeat(&self, key: Key, now: Instant) -> bool {
        self.acts.get(&key).is_some_and(|act| act.until > now)
    }

    /// The act was written: what follows is a repeat of it. Without room, or before the
    /// last window of it was told, it is not remembered, and the next one is written too.
    pub fn written(&mut self, key: Key, time: u64, now: Instant) {
        if !self.is_on() || self.acts.len() >= ACTS || self.acts.contains_key(&key) {
            return;
        }
        let until = now + self.window;
        let repeats = Repeats { entry: Vec::new(), count: 0, first: time, last: time };
        self.acts.insert(key, Act { until, repeats });
        self.order.push_back((until, key));
    }

    /// Counts a repeat, of event time `time`, told by `entry`. `false`: there is no room
    /// for that, it must be written.
    pub fn repeat(&mut self, key: Key, entry: &[u8], time: u64) -> bool {
        let Some(act) = self.acts.get_mut(&key) else { return false };
        let waiting = self.waiting - act.repeats.entry.len() + entry.len();
        if waiting > WAITING {
            return false;
        }
        self.waiting = waiting;
        act.repeats.entry.clear();
        act.repeats.entry.extend_from_slice(entry);
        act.repeats.count += 1;
        act.repeats.last = time;
        true
    }

    /// When the next window ends that has something to tell.
    pub fn due(&self) -> Option<Instant> {
        if self.waiting == 0 {
            return None;
        }
        let told = |(_, key): &&(Instant, Key)| self.acts.get(key).is_some_and(|act| act.repeats.count > 0);
        self.order.iter().find(told).map(|(until, _)| *until)
    }

    /// Of the windows that are over at `now`, or must make room, the next that has
    /// something to tell. `fits` says whether an entry of so many bytes can be told
    /// now; if not it stays, and grows.
    pub fn take(&mut self, now: Instant, mut fits: impl FnMut(usize) -> bool) -> Option<Repeats> {
        while let Some((until, key)) = self.order.front().copied() {
            if until > now && self.acts.len() < ACTS {
                return None;
            }
            let Some(act) = self.acts.get(&key) else {
                self.order.pop_front();
                continue;
            };
            if act.repeats.count > 0 && !fits(act.repeats.entry.len()) {
                return None;
            }
            self.order.pop_front();
            let act = self.acts.remove(&key);
            if let Some(act) = act.filter(|act| act.repeats.count > 0) {
                self.waiting -= act.repeats.entry.len();
                return Some(act.repeats);
            }
        }
        None
    }

    /// Ends all windows.
    pub fn take_all(&mut self) -> Vec<Repeats> {
        self.order.clear();
        self.waiting = 0;
        let mut all: Vec<Repeats> =
            self.acts.drain().map(|(_, act)| act.repeats).filter(|repeats| repeats.count > 0).collect();
        all.sort_by_key(|repeats| repeats.last);
        all
    }
}
