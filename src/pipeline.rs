//! The way of an event, from bytes in a ring to the sinks, top down.
//!
//! `step` is all of it; each record ends in exactly one `Fate`, which is counted,
//! so that what the kernel submitted is what was delivered plus what was not, and why.
//! What is particular to a sensor's records is in the module of its name.

mod canary;
mod file;
mod kernel;
mod memory;
mod network;
mod process;

use std::collections::HashMap;
use std::rc::Rc;

use crate::decide::Decide;
use crate::decode::{self, Body, Record, Undecodable};
use crate::enrich::Enrich;
use crate::event::{self, Action, Event, Flags, Outcome, Severity};
use crate::probe;
use crate::shared::Counters;
use crate::sink::Sink;
use crate::wire::{self, bee_header};

pub use canary::Canary;
use file::Learned;
pub use kernel::OwnObjects;

/// How a record ended in user space: the columns of `stages`. The order is
/// stored across versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Given to every sink.
    Delivered = 0,
    /// Bytes that are no record; kind 0, for it cannot be told.
    Undecodable = 1,
    /// Its name only looked like a watched one.
    NotWatched = 2,
    /// `[[exclude]]` says so.
    Excluded = 3,
    /// The exit of a process that had ended already, or told by another build's programs too.
    Duplicate = 4,
    /// An act of the daemon's or the scanner's.
    Own = 5,
    /// The canary's.
    Canary = 6,
    /// Not an event: it told an identity or the name of a cgroup.
    Context = 7,
}

/// Every fate: name, whether an event was lost by it, meaning.
pub const FATES: &[(Fate, &str, bool, &str)] = &[
    (Fate::Delivered, "delivered", false, "given to every sink"),
    (Fate::Undecodable, "undecodable", true, "no record of this build's wire format"),
    (
        Fate::NotWatched,
        "not_watched",
        false,
        "its name only looked like a watched one to the kernel side, `network.ignore` has its address, or it is the environment of the first process",
    ),
    (Fate::Excluded, "excluded", false, "an [[exclude]] of the configuration"),
    (
        Fate::Duplicate,
        "duplicate",
        false,
        "the exit of a process that had ended already, or told by another build's programs too",
    ),
    (Fate::Own, "own", false, "an act of the daemon's own"),
    (Fate::Canary, "canary", false, "the self-test at the start"),
    (Fate::Context, "context", false, "told an identity or the name of a cgroup; no event"),
];

/// What the daemon has to do because of a record; the pipeline itself touches
/// neither maps nor processes.
#[derive(Debug, PartialEq, Eq)]
pub enum Errand {
    /// The identity of a file nobody watches is in the table: take it out.
    Unlearn {
        /// Inode number.
        inode: u64,
        /// `s_dev`.
        device: u32,
    },
    /// A watched name came to be here by rename or link: have it scanned.
    Rescan(Vec<u8>),
    /// Something nobody watches was renamed to here; a directory may have left
    /// what the scanner has yet to see.
    Moved(Vec<u8>),
    /// The identities are no longer all known here: have everything scanned.
    RescanAll,
    /// The scanner says that every watched file of the file system mounted
    /// here has been taught; `s_dev` as the kernel has it.
    Complete {
        /// Mount point.
        point: Vec<u8>,
        /// `s_dev`.
        device: u32,
    },
}

/// A counter's place: kind and fate.
pub type Cell = (usize, usize);

/// Everything between the rings and the sinks.
pub struct Pipeline {
    /// Context.
    pub enrich: Enrich,
    /// Lists.
    pub decide: Decide,
    /// Where events go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// User space's counters.
    pub stages: Counters,
    /// What is to be done; emptied by the daemon.
    pub errands: Vec<Errand>,
    /// The self-test.
    pub canary: Canary,
    /// The daemon's own processes: itself and the scanner.
    pub own: [u32; 2],
    /// The daemon's own programs, maps and links.
    pub own_objects: OwnObjects,
    /// The file the canary opens and executes.
    pub canary_path: Vec<u8>,
    /// Where the host's procfs is mounted, beside /proc.
    pub proc: Vec<u8>,
    /// Devices that are watched by number.
    pub devices: HashMap<u32, Rc<[u8]>>,
    /// Paths of the files whose identity the kernel side knows, by (s_dev, inode).
    learned: HashMap<(u32, u64), Learned>,
    undecodable: Option<Undecodable>,
    /// Counts since the last call of `take_counts`.
    fresh: Vec<(Cell, u64)>,
    path: Vec<u8>,
    other: Vec<u8>,
}

impl Pipeline {
    /// A pipeline that has seen nothing yet.
    pub fn new(
        enrich: Enrich,
        decide: Decide,
        sinks: Vec<Box<dyn Sink>>,
        stages: Counters,
        own: [u32; 2],
    ) -> Self {
        Self {
            enrich,
            decide,
            sinks,
            stages,
            errands: Vec::new(),
            canary: Canary::default(),
            own,
            own_objects: OwnObjects::default(),
            canary_path: Vec::new(),
            proc: b"/proc".to_vec(),
            devices: HashMap::new(),
            learned: HashMap::new(),
            undecodable: None,
            fresh: Vec::new(),
            path: Vec::new(),
            other: Vec::new(),
        }
    }

    /// One record, from bytes to its fate. `sequence` becomes `event.sequence`.
    pub fn step(&mut self, bytes: &[u8], sequence: u64) {
        let (kind, fate) = match decode::decode(bytes) {
            Ok(record) => (record.header.kind, self.record(&record, sequence)),
            Err(why) => {
                self.undecodable = Some(why);
                (0, Fate::Undecodable)
            }
        };
        self.count(kind, fate);
    }

    /// Counts a record's fate.
    pub fn count(&mut self, kind: u16, fate: Fate) {
        let cell = (usize::from(kind), fate as usize);
        self.stages.add(cell.0, cell.1, 1);
        match self.fresh.iter_mut().find(|(known, _)| *known == cell) {
            Some((_, count)) => *count += 1,
            None => self.fresh.push((cell, 1)),
        }
    }

    /// What was counted since this was last asked.
    pub fn take_counts(&mut self) -> Vec<(Cell, u64)> {
        std::mem::take(&mut self.fresh)
    }

    /// Why the last record that could not be read was none.
    pub fn take_undecodable(&mut self) -> Option<Undecodable> {
        self.undecodable.take()
    }

    /// Hands an event to every sink; each counts for itself.
    pub fn deliver(sinks: &mut [Box<dyn Sink>], event: &Event<'_>) -> Fate {
        for sink in sinks {
            sink.write(event);
        }
        Fate::Delivered
    }

    fn record(&mut self, record: &Record<'_>, sequence: u64) -> Fate {
        let header = record.header;
        self.canary.compare(record);
        match record.body {
            Body::Cgroup { id, removed: false, path } => {
                self.enrich.cgroups.insert(id, path);
                Fate::Context
            }
            // Its name is asked for a little longer by what is under way; the table makes room by itself.
            Body::Cgroup { .. } => Fate::Context,
            Body::File(file) => match action(header.kind) {
                None => self.identity(&file),
                Some(action) => self.file(header, action, &file, sequence),
            },
            Body::Socket(socket) => self.socket(header, &socket, sequence),
            Body::Memory(memory) => match action(header.kind) {
                None => Fate::Context,
                Some(action) => self.memory(header, action, &memory, sequence),
            },
            Body::Kernel(kernel) => match action(header.kind) {
                None => Fate::Context,
                Some(action) => self.kernel(header, action, &kernel, sequence),
            },
            Body::Exec(exec) => self.exec(header, &exec, sequence),
            Body::Fork { sibling } => self.fork(header, sibling, sequence),
            Body::Exit(status) => self.exit(header, status, sequence),
        }
    }

    /// Whose act it was, where that ends the matter.
    fn own_act(&self, header: &bee_header) -> Option<Fate> {
        if self.canary.pid != 0 && header.tgid == self.canary.pid {
            return Some(Fate::Canary);
        }
        (self.own.contains(&header.tgid) && header.tgid != 0).then_some(Fate::Own)
    }
}

/// What every event of a record has.
fn frame<'a>(
    enrich: &Enrich,
    header: &bee_header,
    action: Action,
    severity: Severity,
    sequence: u64,
    body: event::Body<'a>,
) -> Event<'a> {
    let (hook, tier) = probe::hook(header.hook);
    Event {
        time: enrich.clock.wall(header.time),
        sequence,
        action,
        severity,
        outcome: if header.result < 0 {
            Outcome::Failure(header.result.saturating_neg())
        } else if Flags(header.flags).contains(Flags::RESULT_UNKNOWN)
            || Flags(header.flags).contains(Flags::IN_PROGRESS)
        {
            Outcome::Unknown
        } else {
            Outcome::Success
        },
        hook,
        tier,
        flags: Flags(header.flags),
        process: None,
        body,
    }
}

/// The kinds of records that are events, each with its action.
const KINDS: &[(u16, Action)] = &[
    (wire::KIND_EXEC, Action::Exec),
    (wire::KIND_FORK, Action::Fork),
    (wire::KIND_EXIT, Action::Exit),
    (wire::KIND_OPEN, Action::Open),
    (wire::KIND_CREATE, Action::Create),
    (wire::KIND_DELETE, Action::Delete),
    (wire::KIND_RENAME, Action::Rename),
    (wire::KIND_LINK, Action::Link),
    (wire::KIND_SYMLINK, Action::Symlink),
    (wire::KIND_CHMOD, Action::Chmod),
    (wire::KIND_CHOWN, Action::Chown),
    (wire::KIND_TRUNCATE, Action::Truncate),
    (wire::KIND_MKNOD, Action::Mknod),
    (wire::KIND_CONNECT, Action::Connect),
    (wire::KIND_SEND, Action::Send),
    (wire::KIND_ACCEPT, Action::Accept),
    (wire::KIND_LISTEN, Action::Listen),
    (wire::KIND_SOCKET, Action::Socket),
    (wire::KIND_PTRACE, Action::Ptrace),
    (wire::KIND_VM_READ, Action::VmRead),
    (wire::KIND_VM_WRITE, Action::VmWrite),
    (wire::KIND_PROC_MEM, Action::ProcMem),
    (wire::KIND_PROC_ENVIRON, Action::ProcEnviron),
    (wire::KIND_PROC_MAPS, Action::ProcMaps),
    (wire::KIND_PIDFD_GETFD, Action::PidfdGetfd),
    (wire::KIND_MODULE_LOAD, Action::ModuleLoad),
    (wire::KIND_BPF, Action::Bpf),
    (wire::KIND_IO_URING, Action::IoUring),
    (wire::KIND_TIME_SET, Action::TimeSet),
    (wire::KIND_KILL, Action::Kill),
];

/// The action of a record's kind; `None`: it is no event.
pub fn action(kind: u16) -> Option<Action> {
    KINDS.iter().find(|row| row.0 == kind).map(|row| row.1)
}
