//! The way of an event, from bytes in a ring to the sinks, top down.
//!
//! `step` is all of it; each record ends in exactly one `Fate`, which is counted,
//! so that what the kernel submitted is what was delivered plus what was not, and why.

use std::collections::HashMap;
use std::rc::Rc;

use crate::canary::{self, Known};
use crate::decide::{Decide, FileFacts, Match, Verdict, exec_severity};
use crate::decode::{self, Body, File, Record, Undecodable};
use crate::enrich::process::Image;
use crate::enrich::{Enrich, seen};
use crate::event::{Access, Action, Device, Event, Exec, Flags, Outcome, Severity, Text};
use crate::probe::{self, Tier};
use crate::shared::Counters;
use crate::sink::Sink;
use crate::wire::{self, bee_file, bee_header};
use crate::{event, path};

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
    /// The exit of a process that had ended already.
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
    (Fate::NotWatched, "not_watched", false, "its name only looked like a watched one to the kernel side"),
    (Fate::Excluded, "excluded", false, "an [[exclude]] of the configuration"),
    (Fate::Duplicate, "duplicate", false, "the exit of a process that had ended already"),
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

/// A file whose identity the kernel side knows. An inode number is given again;
/// the generation tells.
#[derive(Debug)]
struct Learned {
    generation: u32,
    path: Rc<[u8]>,
}

/// Identities remembered with their paths at most.
const LEARNED: usize = 65_536;

/// What the canary's records showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canary {
    /// Its process; 0: none is expected.
    pub pid: u32,
    /// Hooks that reported an act of it rightly (`enum bee_hook`).
    pub hooks: Vec<u16>,
    /// What its records are compared with, where the types they are read with may be wrong.
    pub known: Option<Known>,
    /// The first thing that was not so.
    pub wrong: Option<String>,
}

impl Canary {
    /// Compares a record of the canary's with what is known of it.
    pub(crate) fn compare(&mut self, record: &Record<'_>) {
        let Some(known) = self.known.as_mut().filter(|_| self.pid != 0 && self.pid == record.header.tgid)
        else {
            return;
        };
        // Hooks that read no type of the kernel's have nothing wrong from there.
        let (hook, tier) = probe::hook(record.header.hook);
        if tier != Tier::Portable.name()
            && let Err(why) = known.check(record)
        {
            self.wrong.get_or_insert_with(|| format!("{hook}: {why}"));
        }
    }

    /// Notes the hook of a record of the canary's; `right`: the record says what was done.
    fn hears(&mut self, header: &bee_header, right: bool) {
        if self.pid != 0 && self.pid == header.tgid && right {
            self.hooks.push(header.hook);
        }
    }
}

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
    /// The file the canary opens and executes.
    pub canary_path: Vec<u8>,
    /// Devices that are watched by number.
    pub devices: HashMap<u32, Rc<[u8]>>,
    /// Paths of the files whose identity the kernel side knows, by (s_dev, inode).
    learned: HashMap<(u32, u64), Learned>,
    undecodable: Option<Undecodable>,
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
            canary_path: Vec::new(),
            devices: HashMap::new(),
            learned: HashMap::new(),
            undecodable: None,
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
        self.stages.add(usize::from(kind), fate as usize, 1);
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
            Body::File(file) if header.kind == wire::KIND_IDENTITY => self.identity(&file),
            Body::File(file) => self.file(header, &file, sequence),
            Body::Exec(exec) => self.exec(header, &exec, sequence),
            Body::Fork { sibling } => {
                let mut child = seen(header);
                if sibling {
                    child.parent = self.enrich.processes.parent_of(header.ppid);
                }
                self.enrich.processes.forked(child, header.ppid);
                self.canary.hears(header, true);
                self.process(header, event::Body::Fork, sequence)
            }
            Body::Exit(status) => {
                self.canary.hears(header, true);
                if !self.enrich.processes.exited(seen(header)) {
                    return Fate::Duplicate;
                }
                let signal = status & 0x7f;
                let known = !Flags(header.flags).contains(Flags::STATUS_UNKNOWN);
                let body = event::Body::Exit {
                    code: (known && signal == 0).then_some(status >> 8 & 0xff),
                    signal: (known && signal != 0).then_some(signal),
                };
                self.process(header, body, sequence)
            }
        }
    }

    /// Whose act it was, where that ends the matter.
    fn own_act(&self, header: &bee_header) -> Option<Fate> {
        if self.canary.pid != 0 && header.tgid == self.canary.pid {
            return Some(Fate::Canary);
        }
        (self.own.contains(&header.tgid) && header.tgid != 0).then_some(Fate::Own)
    }

    fn process(&mut self, header: &bee_header, body: event::Body<'_>, sequence: u64) -> Fate {
        if let Some(fate) = self.own_act(header) {
            return fate;
        }
        let actor = self.enrich.actor(header);
        let action = action(header.kind);
        let mut event = frame(&self.enrich, header, action, Severity::Info, sequence, body);
        event.flags.insert(actor.flags);
        event.process = Some(self.enrich.process(header, &actor));
        Self::deliver(&mut self.sinks, &event)
    }

    fn exec(&mut self, header: &bee_header, exec: &decode::Exec<'_>, sequence: u64) -> Fate {
        self.path.clear();
        exec.image.write(&mut self.path);
        let as_given = Flags(header.flags).contains(Flags::EXE_AS_GIVEN);
        if as_given {
            self.path.extend_from_slice(exec.script);
        }
        self.canary.hears(header, self.path == self.canary_path || self.path == canary::FILE);
        let kept = Flags::EXE_MEMFD.0 | Flags::EXE_DELETED.0 | Flags::EXE_TMPFS.0 | Flags::EXE_AS_GIVEN.0;
        let image = Image {
            executable: self.path.as_slice().into(),
            args: exec.args.into(),
            flags: header.flags & (kept | Flags::ARGS_TRUNCATED.0 | Flags::ARGS_UNREADABLE.0),
        };
        self.enrich.processes.executed(seen(header), image);
        if let Some(fate) = self.own_act(header) {
            return fate;
        }
        let secret_env: Vec<Text<'_>> = exec
            .env
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty() && self.decide.secret_env(name))
            .map(Text::from)
            .collect();
        let severity = exec_severity(Flags(header.flags), !secret_env.is_empty());
        let script = (!as_given && !exec.script.is_empty()).then(|| exec.script.into());
        let body = event::Body::Exec(Exec { script, secret_env });
        let actor = self.enrich.actor(header);
        let mut event = frame(&self.enrich, header, Action::Exec, severity, sequence, body);
        event.flags.insert(actor.flags);
        event.process = Some(self.enrich.process(header, &actor));
        Self::deliver(&mut self.sinks, &event)
    }

    /// The scanner showed a file to the kernel side.
    fn identity(&mut self, file: &File<'_>) -> Fate {
        let fixed = file.fixed;
        self.path.clear();
        file.walk.write(&mut self.path);
        if fixed.value & wire::WATCH_MOUNT != 0 {
            self.errands.push(Errand::Complete { point: self.path.clone(), device: fixed.device });
            return Fate::Context;
        }
        if fixed.node != 0 {
            self.devices.insert(fixed.node, self.path.as_slice().into());
        } else {
            self.learn(fixed);
        }
        Fate::Context
    }

    /// The file at `self.path` is a watched one with this identity.
    fn learn(&mut self, fixed: &bee_file) {
        let (device, inode, generation) = (fixed.device, fixed.inode, fixed.inode_generation);
        // Of several names of one file that whose every open is watched says the most.
        let known = self.learned.get(&(device, inode)).filter(|known| known.generation == generation);
        if known.is_some_and(|known| self.decide.watched(&known.path, false)) {
            return;
        }
        if self.learned.len() >= LEARNED && !self.learned.contains_key(&(device, inode)) {
            // Most are of files long gone: begin anew, and be shown those that are there.
            self.learned.clear();
            self.errands.push(Errand::RescanAll);
        }
        self.learned.insert((device, inode), Learned { generation, path: self.path.as_slice().into() });
    }

    fn file(&mut self, header: &bee_header, file: &File<'_>, sequence: u64) -> Fate {
        let fixed = file.fixed;
        let action = action(header.kind);
        let mut flags = Flags(header.flags);
        let by_name = !file.name.is_empty();

        // Which paths: of the file itself, or given names joined to their directories.
        self.path.clear();
        self.other.clear();
        // Where nothing is known of the process, neither is its directory.
        let join = if flags.contains(Flags::PROCESS_PARTIAL) { path::alone } else { path::join };
        match action {
            Action::Rename | Action::Link => {
                join(file.walk, file.name, &mut self.other);
                join(file.walk_2, file.name_2, &mut self.path);
            }
            _ if by_name => join(file.walk, file.name, &mut self.path),
            _ => file.walk.write(&mut self.path),
        }
        if action == Action::Symlink && !file.name_2.is_empty() {
            path::resolve_link(&self.path, file.name_2, &mut self.other);
        }
        if by_name {
            flags.insert(Flags::PATH_FROM_ARGS);
            if [&self.path, &self.other].iter().any(|path| path.first().is_some_and(|byte| *byte != b'/')) {
                flags.insert(Flags::PATH_RELATIVE);
            }
        }
        if self.canary.pid != 0 && self.canary.pid == header.tgid {
            // Of the other acts it does what was done is not compared: they have names of its own.
            let right = action != Action::Open
                || header.result < 0
                || self.path == self.canary_path
                || self.path == canary::FILE;
            self.canary.hears(header, right);
            return Fate::Canary;
        }
        if self.own.contains(&header.tgid) {
            return Fate::Own;
        }

        // Whether it is an event.
        let node = (fixed.node != 0).then_some(fixed.node);
        let known = match node {
            Some(node) => self.devices.get(&node),
            None => self
                .learned
                .get(&(fixed.device, fixed.inode))
                .filter(|known| fixed.inode != 0 && known.generation == fixed.inode_generation)
                .map(|known| &known.path),
        };
        let known = known.cloned();
        let known_as = known.as_deref();
        let actor = self.enrich.actor(header);
        let facts = FileFacts {
            action,
            path: &self.path,
            other: &self.other,
            known_as,
            writes: fixed.access & 2 != 0,
            refused: header.result < 0,
            executable: self.enrich.sure_path(header, &actor),
            unit: self.enrich.cgroups.get(header.cgroup).and_then(|(unit, _)| unit),
        };
        let (verdict, by) = self.decide.file(&facts);
        if matches!(action, Action::Rename | Action::Link) && header.result == 0 {
            let to = self.path.clone();
            self.errands.push(if verdict == Verdict::NotWatched {
                Errand::Moved(to)
            } else {
                Errand::Rescan(to)
            });
        }
        if fixed.inode != 0 && node.is_none() && known_as.is_none() && verdict != Verdict::NotWatched {
            // The kernel side learned it at once; other names of it are known by this.
            self.learn(fixed);
        }
        let severity = match verdict {
            Verdict::Deliver(severity) => severity,
            Verdict::Excluded => return Fate::Excluded,
            Verdict::NotWatched => {
                if fixed.inode != 0 && known_as.is_none() {
                    self.errands.push(Errand::Unlearn { inode: fixed.inode, device: fixed.device });
                }
                return Fate::NotWatched;
            }
        };

        // What it looks like to a reader.
        if by == Match::Identity {
            flags.insert(Flags::BY_IDENTITY);
        } else {
            flags.0 &= !Flags::BY_IDENTITY.0;
        }
        flags.insert(actor.flags);
        let other = || Some(Text::from(&*self.other));
        let body = event::Body::File(event::File {
            path: (&*self.path).into(),
            target_path: match action {
                Action::Symlink => Some(file.name_2.into()),
                Action::Link => other(),
                _ => None,
            },
            old_path: if action == Action::Rename { other() } else { None },
            known_as: known_as.filter(|_| by == Match::Identity).map(Text::from),
            inode: fixed.inode,
            device: (fixed.inode != 0).then(|| device(fixed.device)),
            node: node.map(device),
            mode: (fixed.mode != 0 || action == Action::Chmod).then_some(fixed.mode),
            owner: (action == Action::Chown).then(|| (owner(fixed.owner_uid), owner(fixed.owner_gid))),
            size: (action == Action::Truncate && fixed.value != wire::LENGTH_UNKNOWN).then_some(fixed.value),
            access: match fixed.access & 3 {
                1 => Some(Access::Read),
                2 => Some(Access::Write),
                3 => Some(Access::ReadWrite),
                _ => None,
            },
        });
        let mut event = frame(&self.enrich, header, action, severity, sequence, body);
        event.flags = flags;
        event.process = Some(self.enrich.process(header, &actor));
        Self::deliver(&mut self.sinks, &event)
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
        } else if Flags(header.flags).contains(Flags::RESULT_UNKNOWN) {
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

/// The action of a record's kind. Kinds without one never get here.
pub fn action(kind: u16) -> Action {
    match kind {
        wire::KIND_EXEC => Action::Exec,
        wire::KIND_FORK => Action::Fork,
        wire::KIND_EXIT => Action::Exit,
        wire::KIND_CREATE => Action::Create,
        wire::KIND_DELETE => Action::Delete,
        wire::KIND_RENAME => Action::Rename,
        wire::KIND_LINK => Action::Link,
        wire::KIND_SYMLINK => Action::Symlink,
        wire::KIND_CHMOD => Action::Chmod,
        wire::KIND_CHOWN => Action::Chown,
        wire::KIND_TRUNCATE => Action::Truncate,
        wire::KIND_MKNOD => Action::Mknod,
        _ => Action::Open,
    }
}

/// `s_dev` and `i_rdev` as the kernel keeps them: MKDEV of linux/kdev_t.h.
fn device(number: u32) -> Device {
    Device { major: number >> 20, minor: number & 0xfffff }
}

/// chown(2): -1 leaves it.
fn owner(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}
