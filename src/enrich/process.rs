//! The process table: who each process is beyond what a record carries. Keyed
//! by (tgid, start time), primed from /proc after the rings are open, bounded,
//! cleaned on exit. Pure; nothing here does I/O.
//!
//! Executable and arguments are an `Image`, shared by a process and the children
//! that have not executed anything yet.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::proc_scan::Found;

/// Processes that have ended are kept for a while: the other ring may still hold
/// records of theirs, and their children name them as parent. At most this many.
const ENDED_KEPT: usize = 512;

/// What a process runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// True path; empty for kernel threads.
    pub executable: Box<[u8]>,
    /// argv, NUL after each.
    pub args: Box<[u8]>,
    /// Flags that describe it: `exe_memfd`, `exe_deleted`, `exe_tmpfs`, `args_truncated`.
    pub flags: u64,
}

/// One process.
#[derive(Debug)]
pub struct Entry {
    /// Start since boot in clock ticks of 10 ms; with the tgid the key.
    pub start_ticks: u64,
    /// Its comm at the last record.
    pub comm: [u8; 16],
    /// `None`: unknown, because its exec was not seen.
    pub image: Option<Rc<Image>>,
    /// `self_exec_id` that goes with `image`; `None` until a record tells it.
    exec_id: Option<u64>,
    ended: bool,
}

impl Entry {
    /// The name without its NULs.
    pub fn name(&self) -> &[u8] {
        trim(&self.comm)
    }
}

/// A comm without its NULs.
pub fn trim(comm: &[u8]) -> &[u8] {
    comm.split(|byte| *byte == 0).next().unwrap_or(comm)
}

/// What a record says of a process; see `struct bee_header`.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Thread group id.
    pub tgid: u32,
    /// Start in clock ticks.
    pub start_ticks: u64,
    /// `self_exec_id`.
    pub exec_id: u64,
    /// comm of the thread.
    pub comm: [u8; 16],
    /// The thread is the first one, whose comm is the process's name.
    pub leader: bool,
}

/// What the table knows of the process of a record.
#[derive(Debug)]
pub enum Known {
    /// This.
    Image(Rc<Image>),
    /// It executed something whose event was lost.
    ExecMissed,
    /// Nothing.
    Unknown,
}

/// See the module.
#[derive(Debug)]
pub struct Processes {
    capacity: usize,
    entries: HashMap<u32, Entry>,
    ended: VecDeque<(u32, u64)>,
    refused: u64,
}

impl Processes {
    /// A table for at most `capacity` processes.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), entries: HashMap::new(), ended: VecDeque::new(), refused: 0 }
    }

    /// How many could not be remembered because the table was full of living ones.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Changes the bound; what is over it stays until it ends.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity.max(1);
    }

    /// Remembers a process found in /proc. A process whose events were seen
    /// first is known better already.
    pub fn prime(&mut self, found: &Found, flags: u64) {
        if found.ended
            || self.entries.get(&found.pid).is_some_and(|entry| entry.start_ticks == found.start_ticks)
        {
            return;
        }
        let mut comm = [0; 16];
        for (to, from) in comm.iter_mut().zip(found.comm.iter().take(15)) {
            *to = *from;
        }
        let image = Image {
            executable: found.exe.clone().unwrap_or_default().into_boxed_slice(),
            args: found.args.clone().into_boxed_slice(),
            flags,
        };
        self.put(
            found.pid,
            Entry {
                start_ticks: found.start_ticks,
                comm,
                image: Some(Rc::new(image)),
                exec_id: None,
                ended: false,
            },
        );
    }

    fn put(&mut self, tgid: u32, entry: Entry) {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&tgid) {
            self.forget_one_ended();
            if self.entries.len() >= self.capacity {
                self.refused += 1;
                return;
            }
        }
        self.entries.insert(tgid, entry);
    }

    fn forget_one_ended(&mut self) {
        while let Some((tgid, start_ticks)) = self.ended.pop_front() {
            if self.entries.get(&tgid).is_some_and(|entry| entry.start_ticks == start_ticks && entry.ended) {
                self.entries.remove(&tgid);
                return;
            }
        }
    }

    /// `child` was forked by `parent`: it runs what the parent runs.
    pub fn forked(&mut self, child: Seen, parent: u32) {
        let (image, exec_id) = match self.entries.get(&parent) {
            Some(entry) => (entry.image.clone(), entry.exec_id.or(Some(child.exec_id))),
            None => (None, Some(child.exec_id)),
        };
        self.put(
            child.tgid,
            Entry { start_ticks: child.start_ticks, comm: child.comm, image, exec_id, ended: false },
        );
    }

    /// The process runs `image` now.
    pub fn executed(&mut self, seen: Seen, image: Image) {
        let entry = Entry {
            start_ticks: seen.start_ticks,
            comm: seen.comm,
            image: Some(Rc::new(image)),
            exec_id: Some(seen.exec_id),
            ended: false,
        };
        self.put(seen.tgid, entry);
    }

    /// The process ended. False when it had ended before: two threads that end
    /// in the same instant may each report it.
    pub fn exited(&mut self, seen: Seen) -> bool {
        let Some(entry) = self.entries.get_mut(&seen.tgid) else { return true };
        if entry.start_ticks != seen.start_ticks {
            return true;
        }
        if entry.ended {
            return false;
        }
        entry.ended = true;
        self.ended.push_back((seen.tgid, seen.start_ticks));
        while self.ended.len() > ENDED_KEPT {
            self.forget_one_ended();
        }
        true
    }

    /// What is known of the process of a record; remembers its present comm.
    pub fn know(&mut self, seen: Seen) -> Known {
        let Some(entry) = self.entries.get_mut(&seen.tgid) else { return Known::Unknown };
        if entry.start_ticks != seen.start_ticks {
            return Known::Unknown;
        }
        if seen.leader {
            entry.comm = seen.comm;
        }
        // Found in /proc: the first record says which exec that was.
        let exec_id = *entry.exec_id.get_or_insert(seen.exec_id);
        if exec_id != seen.exec_id {
            return Known::ExecMissed;
        }
        entry.image.clone().map_or(Known::Unknown, Known::Image)
    }

    /// The process `tgid` as it is now, for the parent's name. `None` where it
    /// began after `before` (ticks): the number was given to another since.
    pub fn parent(&self, tgid: u32, before: u64) -> Option<&Entry> {
        self.entries.get(&tgid).filter(|entry| entry.start_ticks <= before)
    }
}
