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
    /// Start since boot in clock ticks of 10 ms; with the tgid the key. `None`: its beginning was
    /// not seen.
    pub start_ticks: Option<u64>,
    /// The start is a time taken near it, which may fall in the next tick.
    about: bool,
    /// Who made it; 0 where that is not known.
    parent: u32,
    /// Its comm at the last record.
    pub comm: [u8; 16],
    /// Its real user at the last record.
    pub uid: u32,
    /// `None`: unknown, because its exec was not seen.
    pub image: Option<Rc<Image>>,
    /// `self_exec_id` that goes with `image`; `None` until a record tells it.
    exec_id: Option<u64>,
    /// When its end was told, nanoseconds since boot.
    ended: Option<u64>,
}

impl Entry {
    /// The name without its NULs.
    pub fn name(&self) -> &[u8] {
        trim(&self.comm)
    }

    /// The true path of what it runs; `None` for kernel threads, and where it is not known.
    pub fn executable(&self) -> Option<&[u8]> {
        self.image.as_deref().map(|image| &*image.executable).filter(|path| !path.is_empty())
    }

    /// Whether it had ended at `time`.
    pub fn over(&self, time: u64) -> bool {
        self.ended.is_some_and(|ended| ended < time)
    }

    /// Whether it began in this tick, as far as that is known.
    fn began(&self, ticks: u64) -> bool {
        self.start_ticks.is_some_and(|own| own == ticks || (self.about && own.abs_diff(ticks) == 1))
    }

    /// Whether a record is about this process.
    fn is(&self, seen: Seen) -> bool {
        match (self.start_ticks, seen.start_ticks) {
            (Some(own), Some(start)) => {
                own == start || ((self.about || seen.about) && own.abs_diff(start) == 1)
            }
            // Told by its number alone. The first thread has ended when the process has: one that
            // acts later is another's, whose beginning was lost.
            (_, None) => self.ended.is_none_or(|ended| seen.time <= ended || !seen.leader),
            (None, Some(_)) => false,
        }
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
    /// When the record was made, nanoseconds since boot.
    pub time: u64,
    /// Start in clock ticks; `None`: not told, it is the process that has this number now.
    pub start_ticks: Option<u64>,
    /// The start is a time taken near it.
    pub about: bool,
    /// Parent at that time; 0: not told.
    pub parent: u32,
    /// `self_exec_id`; `None`: not told.
    pub exec_id: Option<u64>,
    /// comm of the thread.
    pub comm: [u8; 16],
    /// Real user.
    pub uid: u32,
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
        if found.ended || self.entries.get(&found.pid).is_some_and(|entry| entry.began(found.start_ticks)) {
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
                start_ticks: Some(found.start_ticks),
                about: false,
                parent: found.ppid,
                comm,
                uid: found.uid,
                image: Some(Rc::new(image)),
                exec_id: None,
                ended: None,
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
        while let Some((tgid, time)) = self.ended.pop_front() {
            if self.entries.get(&tgid).is_some_and(|entry| entry.ended == Some(time)) {
                self.entries.remove(&tgid);
                return;
            }
        }
    }

    /// `child` was forked by `maker`: it runs what that runs.
    pub fn forked(&mut self, child: Seen, maker: u32) {
        let (image, exec_id) = match self.entries.get(&maker) {
            Some(entry) => (entry.image.clone(), entry.exec_id.or(child.exec_id)),
            None => (None, child.exec_id),
        };
        let Seen { start_ticks, about, parent, comm, uid, .. } = child;
        self.put(child.tgid, Entry { start_ticks, about, parent, comm, uid, image, exec_id, ended: None });
    }

    /// The process runs `image` now.
    pub fn executed(&mut self, seen: Seen, image: Image) {
        let known = self.entries.get(&seen.tgid).filter(|entry| entry.is(seen));
        let (start_ticks, about, parent) = match known {
            Some(entry) => {
                (entry.start_ticks, entry.about, if seen.parent == 0 { entry.parent } else { seen.parent })
            }
            None => (seen.start_ticks, seen.about, seen.parent),
        };
        let entry = Entry {
            start_ticks,
            about,
            parent,
            comm: seen.comm,
            uid: seen.uid,
            image: Some(Rc::new(image)),
            exec_id: seen.exec_id,
            ended: None,
        };
        self.put(seen.tgid, entry);
    }

    /// The process ended. False when it had ended before: two threads that end
    /// in the same instant may each report it.
    pub fn exited(&mut self, seen: Seen) -> bool {
        let Some(entry) = self.entries.get_mut(&seen.tgid).filter(|entry| entry.is(seen)) else {
            return true;
        };
        if entry.ended.is_some() {
            return false;
        }
        entry.ended = Some(seen.time);
        self.ended.push_back((seen.tgid, seen.time));
        while self.ended.len() > ENDED_KEPT {
            self.forget_one_ended();
        }
        true
    }

    /// When the process of a record began (ticks) and who its parent is, as the table knows it:
    /// 0 where that is not known, or has ended and another took its place.
    pub fn origin(&self, seen: Seen) -> (Option<u64>, u32) {
        let Some(entry) = self.entries.get(&seen.tgid).filter(|entry| entry.is(seen)) else {
            return (seen.start_ticks, 0);
        };
        let own = entry.start_ticks.unwrap_or(u64::MAX);
        let there = |parent: &Entry| {
            parent.ended.is_none_or(|ended| seen.time <= ended)
                && parent.start_ticks.is_some_and(|start| start <= own)
        };
        let parent = self.entries.get(&entry.parent).filter(|parent| there(parent));
        (entry.start_ticks, parent.map_or(0, |_| entry.parent))
    }

    /// The parent of the process `tgid`, as it was told last; 0 where it is not known.
    pub fn parent_of(&self, tgid: u32) -> u32 {
        self.entries.get(&tgid).map_or(0, |entry| entry.parent)
    }

    /// What is known of the process of a record; remembers its present comm.
    pub fn know(&mut self, seen: Seen) -> Known {
        let Some(entry) = self.entries.get_mut(&seen.tgid).filter(|entry| entry.is(seen)) else {
            return Known::Unknown;
        };
        if seen.leader {
            entry.comm = seen.comm;
        }
        entry.uid = seen.uid;
        if let Some(exec_id) = seen.exec_id
            // Found in /proc: the first record says which exec that was.
            && *entry.exec_id.get_or_insert(exec_id) != exec_id
        {
            return Known::ExecMissed;
        }
        entry.image.clone().map_or(Known::Unknown, Known::Image)
    }

    /// The process `tgid` that began at `start_ticks`; `None`: whoever has or had the number last.
    pub fn target(&self, tgid: u32, start_ticks: Option<u64>) -> Option<&Entry> {
        self.entries.get(&tgid).filter(|entry| start_ticks.is_none_or(|ticks| entry.began(ticks)))
    }

    /// The process `tgid` as it is now, for the parent's name. `None` where it
    /// began after `before` (ticks): the number was given to another since.
    pub fn parent(&self, tgid: u32, before: u64) -> Option<&Entry> {
        self.entries.get(&tgid).filter(|entry| entry.start_ticks.is_some_and(|start| start <= before))
    }
}
