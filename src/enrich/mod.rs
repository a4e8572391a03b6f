//! Context a kernel record does not carry: processes, cgroups, users, wall time.
//! Here the first /proc scan is turned into tables; after that nothing below
//! reads a file but /etc/passwd.

pub mod cgroup;
pub mod proc_scan;
pub mod process;
mod target;
pub mod users;

use std::path::Path;

use crate::error::{Error, Result};
use crate::event::{Args, EntityId, Flags, Parent, Process, User};
use crate::sys::Clock;
use crate::wire::bee_header;
use cgroup::Cgroups;
use process::{Image, Known, Processes, Seen, trim};
use users::Users;

/// Nanoseconds in one clock tick of /proc (USER_HZ is 100 on every architecture
/// this runs on).
const TICK: u64 = 10_000_000;

/// cgroups remembered at most; the least used make room.
const CGROUPS: usize = 4096;

/// The tables.
#[derive(Debug)]
pub struct Enrich {
    /// Processes.
    pub processes: Processes,
    /// cgroups.
    pub cgroups: Cgroups,
    /// User names.
    pub users: Users,
    /// Boot time to wall time.
    pub clock: Clock,
    boot: u32,
    mnt_ns: u32,
    /// When /etc/passwd may be looked at again for an unknown uid, boot time.
    users_again: u64,
}

/// What is known of the process of one record, kept while its event is built.
#[derive(Debug)]
pub struct Actor {
    known: Known,
    /// When it began, nanoseconds since boot; `None` where that is not known.
    start: Option<u64>,
    /// Its parent; 0 where it has none or that is not known.
    ppid: u32,
    /// What could not be told.
    pub flags: Flags,
}

impl Actor {
    /// Its parent; 0 where it has none or that is not known.
    pub fn parent(&self) -> u32 {
        self.ppid
    }

    fn image(&self) -> Option<&Image> {
        match &self.known {
            Known::Image(image) => Some(image),
            Known::ExecMissed | Known::Unknown => None,
        }
    }

    /// True path of the image; `None` for kernel threads and unknown ones.
    pub fn executable(&self) -> Option<&[u8]> {
        self.image().map(|image| &*image.executable).filter(|path| !path.is_empty())
    }
}

impl Enrich {
    /// Empty tables.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn new(proc: &Path, processes: usize) -> Result<Self> {
        let mnt_ns = std::fs::metadata("/proc/self/ns/mnt")
            .map(|meta| std::os::unix::fs::MetadataExt::ino(&meta))
            .map_err(|error| Error::from(error).context("/proc/self/ns/mnt"))?;
        Ok(Self {
            processes: Processes::new(processes),
            cgroups: Cgroups::new(CGROUPS),
            users: Users::open(Path::new("/etc"))
                .map_err(|error| Error::from(error).context("/etc/passwd"))?,
            clock: Clock::new()?,
            boot: crate::sys::boot_id(proc).map_err(|error| Error::from(error).context("boot id"))?,
            mnt_ns: u32::try_from(mnt_ns).unwrap_or(0),
            users_again: 0,
        })
    }

    /// Fills the tables from /proc and the cgroup tree. To be called after the
    /// rings are open and the programs attached, so that nothing falls between.
    ///
    /// # Errors
    /// When /proc cannot be read at all.
    pub fn prime(&mut self, proc: &Path, cgroup: Option<&Path>) -> Result<()> {
        self.users.refresh().map_err(|error| Error::from(error).context("/etc/passwd"))?;
        let processes = &mut self.processes;
        proc_scan::scan(proc, |found| {
            let mut flags = 0;
            for (set, flag) in [
                (found.exe_memfd, Flags::EXE_MEMFD),
                (found.exe_deleted && !found.exe_memfd, Flags::EXE_DELETED),
                (found.args_truncated, Flags::ARGS_TRUNCATED),
            ] {
                if set {
                    flags |= flag.0;
                }
            }
            processes.prime(found, flags);
        })
        .map_err(|error| Error::from(error).context(proc.display()))?;
        if let Some(mount) = cgroup {
            // A machine without the tree has no units to name; nothing else is lost.
            if let Err(error) = self.cgroups.prime(mount) {
                tracing::debug!(%error, "cgroups not primed");
            }
        }
        Ok(())
    }

    /// Looks up the process of a record.
    pub fn actor(&mut self, header: &bee_header) -> Actor {
        if header.time >= self.users_again && self.users.name(header.uid).is_none() {
            // A user made since: one look at /etc/passwd a second at most.
            self.users_again = header.time.saturating_add(1_000_000_000);
            if let Err(error) = self.users.refresh() {
                tracing::debug!(%error, "/etc/passwd cannot be read again");
            }
        }
        let known = self.processes.know(seen(header));
        let mut flags = match &known {
            Known::Image(image) => Flags(image.flags),
            Known::ExecMissed => Flags::EXEC_MISSED,
            Known::Unknown => Flags::PROCESS_UNKNOWN,
        };
        if self.is_foreign(header) {
            flags.insert(Flags::OTHER_MOUNT_NS);
        }
        // The kernel's word where there is one; else what was seen.
        let (start, ppid) = if is_partial(header) {
            let (ticks, parent) = self.processes.origin(seen(header));
            (ticks.map(|ticks| ticks.saturating_mul(TICK)), parent)
        } else {
            (Some(header.start), header.ppid)
        };
        Actor { known, start, ppid, flags }
    }

    /// The true path of the image, where that is sure: not one that was given, nor one of another
    /// mount namespace, where it could be anything.
    pub fn sure_path<'a>(&self, header: &bee_header, actor: &'a Actor) -> Option<&'a [u8]> {
        actor.executable().filter(|_| !is_partial(header) && !self.is_foreign(header))
    }

    /// Whether paths of this process are those of another mount namespace. A
    /// process that is ending has none any more: 0.
    pub fn is_foreign(&self, header: &bee_header) -> bool {
        header.mnt_ns != 0 && header.mnt_ns != self.mnt_ns
    }

    /// Puts together what is told of the process of a record.
    pub fn process<'a>(&'a self, header: &'a bee_header, actor: &'a Actor) -> Process<'a> {
        let (unit, container_id) = self.cgroups.get(header.cgroup).unwrap_or((None, None));
        let start_ticks = actor.start.map(|start| start / TICK);
        let parent = self.processes.parent(actor.ppid, start_ticks.unwrap_or(0));
        Process {
            pid: header.tgid,
            tid: header.tid,
            entity_id: start_ticks.map(|start_ticks| EntityId {
                boot: self.boot,
                pid: header.tgid,
                start_ticks,
            }),
            start: actor.start.map_or(0, |start| self.clock.wall(start)),
            name: trim(comm(header)).into(),
            executable: actor.executable(),
            args: Args { bytes: actor.image().map_or(&[], |image| &image.args) },
            user: User { id: header.uid, name: self.users.name(header.uid) },
            gid: header.gid,
            euid: (!is_partial(header)).then_some(header.euid),
            login_uid: (header.login_uid != u32::MAX).then_some(header.login_uid),
            parent: Parent {
                pid: actor.ppid,
                name: parent.map_or(&[][..], |entry| entry.name()).into(),
                executable: parent
                    .and_then(|entry| entry.image.as_deref())
                    .map(|image| &*image.executable)
                    .filter(|path| !path.is_empty()),
            },
            unit,
            container_id,
        }
    }
}

/// What the process table wants to know of a record.
pub fn seen(header: &bee_header) -> Seen {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(comm(header));
    let partial = is_partial(header);
    Seen {
        tgid: header.tgid,
        time: header.time,
        // Of a partial record only a fork's has one, and that is the time of the fork.
        start_ticks: (!partial || header.start != 0).then_some(header.start / TICK),
        about: partial,
        parent: header.ppid,
        exec_id: (!partial).then_some(header.exec_id),
        comm: bytes,
        uid: header.uid,
        leader: header.tid == header.tgid,
    }
}

/// Whether the kernel's own record of the process was not read.
fn is_partial(header: &bee_header) -> bool {
    Flags(header.flags).contains(Flags::PROCESS_PARTIAL)
}

fn comm(header: &bee_header) -> &[u8] {
    // SAFETY: i8 and u8 have the same size and every bit pattern is both; C's
    // char is signed on x86 and the skeleton says i8.
    unsafe { &*(std::ptr::from_ref(&header.comm) as *const [u8; 16]) }
}
