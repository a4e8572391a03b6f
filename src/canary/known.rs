//! What is known of the canary without asking any program of ours: to tell whether
//! what they read is true. With the types of another kernel they read garbage, and
//! nothing says so.

use std::fmt::Debug;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statfs::{self, FsType};
use nix::unistd::{SysconfVar, getegid, geteuid, getgid, getuid, sysconf};

use super::{ARGUMENTS, ELSEWHERE, REACHED, REFUSED, SCRATCH_NAME};
use crate::decode::{Body, Exec, File, Memory, Record, Walk};
use crate::error::Result;
use crate::event::Flags;
use crate::wire::{self, KIND_CREATE, KIND_MKNOD, KIND_OPEN, bee_header};

const NANOSECONDS: u64 = 1_000_000_000;
/// `FMODE_READ`
const READ: u8 = 1;

/// File systems that show user space the numbers that the kernel has.
const PLAIN: &[FsType] =
    &[statfs::EXT4_SUPER_MAGIC, statfs::XFS_SUPER_MAGIC, statfs::F2FS_SUPER_MAGIC, statfs::TMPFS_MAGIC];

/// Facts about a canary, from the system. `None`: it does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    pid: u32,
    parent: u32,
    /// uid, gid, euid.
    ids: Option<[u32; 3]>,
    login_uid: Option<u32>,
    mount_namespace: Option<u32>,
    cgroup: Option<u64>,
    /// When it began, in clock ticks since boot; and the nanoseconds of a tick.
    start: Option<(u64, u64)>,
    /// What it is called before and after its exec.
    names: [Vec<u8>; 2],
    /// This program's own file.
    own: Vec<u8>,
    /// Its inode number, device and mode.
    identity: Option<(u64, u32, u32)>,
    /// `task_struct.self_exec_id` before the exec, once it was told.
    exec_id: Option<u64>,
    /// What was told of what it did.
    shown: Shown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shown {
    executed: bool,
    opened: bool,
    opened_elsewhere: bool,
    refused: bool,
}

impl Known {
    /// Of the child `pid` that has not acted yet. `cgroups`: where cgroup v2 is mounted.
    ///
    /// # Errors
    /// When this program's own file has no name.
    pub fn of(pid: u32, cgroups: Option<&Path>) -> Result<Self> {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        // In a user namespace the kernel has other numbers for the same users.
        let same_users = text("/proc/self/uid_map").split_whitespace().eq(["0", "0", "4294967295"]);
        let ids = [getuid().as_raw(), getgid().as_raw(), geteuid().as_raw()];
        let effective_group = getegid().as_raw();
        Ok(Self {
            pid,
            parent: std::process::id(),
            ids: same_users.then_some(ids).filter(|ids| ids[1] == effective_group),
            login_uid: text("/proc/self/loginuid").trim().parse().ok().filter(|_| same_users),
            mount_namespace: mount_namespace(),
            cgroup: cgroups.and_then(|mount| cgroup(mount, &text("/proc/self/cgroup"))),
            start: start(&text(&format!("/proc/{pid}/stat")), &text("/proc/self/timens_offsets")),
            names: [text("/proc/thread-self/comm").trim_end().as_bytes().to_vec(), b"exe".to_vec()],
            own: std::fs::read_link("/proc/self/exe")?.as_os_str().as_bytes().to_vec(),
            identity: identity(),
            exec_id: None,
            shown: Shown::default(),
        })
    }

    /// Whether a record of the canary's says what is so.
    ///
    /// # Errors
    /// What is wrong in it, in words.
    pub fn check(&mut self, record: &Record<'_>) -> std::result::Result<(), String> {
        let header = record.header;
        let executed = self.header(header)?;
        match record.body {
            Body::Exec(exec) => self.exec(header, &exec),
            Body::File(file) if header.kind == KIND_OPEN && header.result < 0 => self.refused(&file),
            // After its exec it opens libraries.
            Body::File(file) if header.kind == KIND_OPEN && !executed => self.opened(header, &file),
            Body::File(file) if (KIND_CREATE..=KIND_MKNOD).contains(&header.kind) => named(&file),
            Body::Memory(memory) => self.reached(&memory),
            // Two bytes: status and signal.
            Body::Exit(status) if status > 0xffff || status & 0x7f != 0 => {
                Err(format!("its end: {status:#x} instead of an exit"))
            }
            _ => Ok(()),
        }
    }

    /// What it did and was not told of; asked when all records are there. `process`, `file`:
    /// whether there is a sensor that had to.
    pub fn untold(&self, process: bool, file: bool) -> Option<&'static str> {
        let Shown { executed, opened, opened_elsewhere, refused } = self.shown;
        [
            (process && !executed, "its exec is not told"),
            (file && !opened, "the open of its own file is not told"),
            (file && !opened_elsewhere, "the open of a file in /proc is not told"),
            (file && !refused, "a refused open is not told"),
        ]
        .into_iter()
        .find_map(|(missed, what)| missed.then_some(what))
    }

    fn exec(&mut self, header: &bee_header, exec: &Exec<'_>) -> std::result::Result<(), String> {
        let flags = Flags(header.flags);
        self.path("the file it executes", header, exec.image)?;
        self.identity("the file it executes", exec.inode, exec.device, None)?;
        same("its arguments", &text(exec.args), &text(ARGUMENTS))?;
        same("the script it executes", &text(exec.script), &String::new())?;
        if flags.contains(Flags::EXE_MEMFD)
            || flags.contains(Flags::EXE_DELETED) != self.own.ends_with(b" (deleted)")
        {
            return Err("its file is told to have no name".to_owned());
        }
        if let Some(before) = self.exec_id {
            same("the number of its execs", &header.exec_id, &(before + 1))?;
        }
        self.shown.executed = true;
        Ok(())
    }

    fn opened(&mut self, header: &bee_header, file: &File<'_>) -> std::result::Result<(), String> {
        if Flags(header.flags).contains(Flags::PATH_UNRESOLVED) && !self.leads_to_its(file.walk) {
            // Since 6.9 a descriptor of a process is a file without a place (pidfs), and made by an open.
            // Wrong types are told all the same: the two opens below must be seen.
            return Ok(());
        }
        let path = self.path("a file it opens", header, file.walk)?;
        same("how it opens a file", &file.fixed.access, &READ)?;
        if path == self.own {
            let fixed = file.fixed;
            self.identity("the file it opens", fixed.inode, fixed.device, Some(fixed.mode))?;
            self.shown.opened = true;
        } else {
            self.shown.opened_elsewhere = true;
        }
        Ok(())
    }

    /// What it reaches for is this process, which made it.
    fn reached(&self, memory: &Memory<'_>) -> std::result::Result<(), String> {
        let fixed = memory.fixed;
        same("the process it reaches for", &fixed.target_tgid, &self.parent)?;
        if let Some(ids) = self.ids {
            same("the user of that", &fixed.target_uid, &ids[0])?;
        }
        Ok(())
    }

    fn refused(&mut self, file: &File<'_>) -> std::result::Result<(), String> {
        let mut path = Vec::new();
        file.walk.write(&mut path);
        if [file.name, &path].iter().all(|name| *name != REFUSED.as_bytes() && !self.of_the_reached(name)) {
            return Err(format!("a refused open: {} instead of {REFUSED}", text(file.name)));
        }
        self.shown.refused = true;
        Ok(())
    }

    /// Whether this is a file of the process it reaches for.
    fn of_the_reached(&self, path: &[u8]) -> bool {
        REACHED.iter().any(|name| path == format!("/proc/{}/{name}", self.parent).as_bytes())
    }

    /// Whether a walked path is that of its own file.
    fn leads_to_its(&self, walk: Walk<'_>) -> bool {
        let mut path = Vec::new();
        walk.write(&mut path);
        path == self.own
    }

    /// Checks a walked path: it must be one of its files', and whole.
    fn path(&self, what: &str, header: &bee_header, walk: Walk<'_>) -> std::result::Result<Vec<u8>, String> {
        let mut path = Vec::new();
        walk.write(&mut path);
        let elsewhere = format!("/proc/{}/{ELSEWHERE}", self.pid);
        let flags = Flags(header.flags);
        if flags.contains(Flags::PATH_UNRESOLVED) || flags.contains(Flags::PATH_TRUNCATED) {
            return Err(format!("{what}: its path does not lead to the root"));
        }
        if path == self.own || path == elsewhere.as_bytes() || self.of_the_reached(&path) {
            return Ok(path);
        }
        Err(format!("{what}: {} instead of {} or {elsewhere}", text(&path), text(&self.own)))
    }

    fn identity(
        &self,
        what: &str,
        inode: u64,
        device: u32,
        mode: Option<u32>,
    ) -> std::result::Result<(), String> {
        let Some(known) = self.identity else { return Ok(()) };
        same(what, &(inode, device, mode.unwrap_or(known.2)), &known)
    }

    /// Checks what every record says; whether it is from after the exec.
    fn header(&mut self, header: &bee_header) -> std::result::Result<bool, String> {
        let known = |what, said: u32, known: Option<u32>| match known {
            Some(known) => same(what, &said, &known),
            None => Ok(()),
        };
        same("its thread", &header.tid, &self.pid)?;
        same("its parent", &header.ppid, &self.parent)?;
        known("its user", header.uid, self.ids.map(|ids| ids[0]))?;
        known("its group", header.gid, self.ids.map(|ids| ids[1]))?;
        known("its effective user", header.euid, self.ids.map(|ids| ids[2]))?;
        known("its login user", header.login_uid, self.login_uid)?;
        known("its mount namespace", header.mnt_ns, self.mount_namespace)?;
        if let Some(cgroup) = self.cgroup {
            same("its cgroup", &header.cgroup, &cgroup)?;
        }
        if let Some((ticks, length)) = self.start {
            same("its start", &(header.start / length), &ticks)?;
        }
        let name = name(header);
        let [before, after] = &self.names;
        if name == before {
            same("the number of its execs", &header.exec_id, self.exec_id.get_or_insert(header.exec_id))?;
        } else if name != after {
            return Err(format!("its name: {} instead of {}", text(name), text(before)));
        }
        Ok(name == after)
    }
}

/// The acts on names are all in a directory of its own.
fn named(file: &File<'_>) -> std::result::Result<(), String> {
    let mut path = Vec::new();
    file.walk.write(&mut path);
    path.push(b'/');
    path.extend_from_slice(file.name);
    if path.windows(SCRATCH_NAME.len()).any(|part| part == SCRATCH_NAME.as_bytes()) {
        return Ok(());
    }
    Err(format!("what it does with names: {}", text(&path)))
}

/// Of this program's own file, where they are the kernel's numbers.
fn identity() -> Option<(u64, u32, u32)> {
    let path = "/proc/self/exe";
    let kind = statfs::statfs(path).ok()?.filesystem_type();
    let facts = std::fs::metadata(path).ok().filter(|_| PLAIN.contains(&kind))?;
    // As the kernel keeps it: MKDEV of linux/kdev_t.h.
    let (major, minor) = (libc::major(facts.dev()), libc::minor(facts.dev()));
    Some((facts.ino(), major << 20 | minor, facts.mode()))
}

/// `comm`, as bytes and without what follows its end.
fn name(header: &bee_header) -> &[u8] {
    let all = wire::bytes(header).get(std::mem::offset_of!(bee_header, comm)..).unwrap_or_default();
    all.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn same<T: PartialEq + Debug>(what: &str, said: &T, known: &T) -> std::result::Result<(), String> {
    if said == known { Ok(()) } else { Err(format!("{what}: {said:?} instead of {known:?}")) }
}

/// Bytes for a message: they may be garbage.
fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// `mnt:[4026531841]`
fn mount_namespace() -> Option<u32> {
    let link = std::fs::read_link("/proc/self/ns/mnt").ok()?;
    link.to_str()?.strip_prefix("mnt:[")?.strip_suffix(']')?.parse().ok()
}

/// The id of a cgroup is the inode number of its directory (since 5.5, where a long has 64 bits).
fn cgroup(mount: &Path, own: &str) -> Option<u64> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(std::fs::metadata(mount.join(path)).ok()?.ino())
}

/// The 22nd field of proc_pid_stat(5). In a time namespace it is moved against the kernel's.
fn start(stat: &str, offsets: &str) -> Option<(u64, u64)> {
    let moved = |line: &str| {
        line.starts_with("boottime") && line.split_whitespace().skip(1).any(|number| number != "0")
    };
    if offsets.lines().any(moved) {
        return None;
    }
    let ticks = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let second = sysconf(SysconfVar::CLK_TCK).ok()??;
    Some((ticks, NANOSECONDS / u64::try_from(second).ok().filter(|second| *second > 0)?))
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
