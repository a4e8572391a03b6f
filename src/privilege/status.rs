//! What the kernel says each of our threads may do: /proc/self/task/*/status.

use std::fs;

use crate::error::{Error, Result};

/// The bit of `CAP_BPF` (include/uapi/linux/capability.h).
pub const CAP_BPF_BIT: u64 = 1 << 39;

/// One thread's privileges, from proc_pid_status(5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadStatus {
    /// Thread id.
    pub tid: u32,
    /// Inheritable capabilities, a bit each.
    pub inheritable: u64,
    /// Permitted.
    pub permitted: u64,
    /// Effective.
    pub effective: u64,
    /// Bounding set.
    pub bounding: u64,
    /// Ambient.
    pub ambient: u64,
    /// Real, effective, saved and file system uid.
    pub uids: Vec<u32>,
    /// The same for the gid.
    pub gids: Vec<u32>,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Whether execve can gain anything.
    pub no_new_privs: bool,
    /// 0: none, 1: strict, 2: filter.
    pub seccomp: u32,
}

impl ThreadStatus {
    /// Parses one status file; a line that is missing is an error, so that an
    /// unknown never passes for a zero.
    ///
    /// # Errors
    /// Names the line.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self {
            tid: decimal(text, "Pid")?.first().copied().unwrap_or_default(),
            inheritable: mask(text, "CapInh")?,
            permitted: mask(text, "CapPrm")?,
            effective: mask(text, "CapEff")?,
            bounding: mask(text, "CapBnd")?,
            ambient: mask(text, "CapAmb")?,
            uids: four(text, "Uid")?,
            gids: four(text, "Gid")?,
            groups: decimal(text, "Groups")?,
            no_new_privs: one(text, "NoNewPrivs")? == 1,
            seccomp: one(text, "Seccomp")?,
        })
    }

    /// What this thread still has and should not; empty is right. `keep` holds
    /// the capabilities that were kept on purpose.
    pub fn excess(&self, keep: u64) -> Vec<String> {
        let mut excess = Vec::new();
        let sets = [
            ("CapInh", self.inheritable, 0),
            ("CapPrm", self.permitted, keep),
            ("CapEff", self.effective, keep),
            ("CapBnd", self.bounding, 0),
            ("CapAmb", self.ambient, 0),
        ];
        for (name, value, allowed) in sets {
            if value & !allowed != 0 {
                excess.push(format!("{name} is {value:016x}"));
            }
        }
        for (name, ids) in [("Uid", &self.uids), ("Gid", &self.gids)] {
            if ids.contains(&0) || ids.iter().any(|id| *id != ids[0]) {
                excess.push(format!("{name} is {ids:?}"));
            }
        }
        if self.groups.iter().any(|group| !self.gids.contains(group)) {
            excess.push(format!("Groups is {:?}", self.groups));
        }
        if !self.no_new_privs {
            excess.push("NoNewPrivs is 0".into());
        }
        if self.seccomp != 2 {
            excess.push(format!("Seccomp is {}", self.seccomp));
        }
        excess
    }
}

/// Every thread of this process.
///
/// # Errors
/// When /proc cannot be read. A thread that ends meanwhile is left out.
pub fn threads() -> Result<Vec<ThreadStatus>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc/self/task").map_err(|error| context("/proc/self/task", error))? {
        let path = entry?.path().join("status");
        match fs::read_to_string(&path) {
            Ok(text) => threads.push(ThreadStatus::parse(&text)?),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(context(&path.display().to_string(), error)),
        }
    }
    Ok(threads)
}

/// How many threads this process has.
///
/// # Errors
/// When /proc cannot be read.
pub fn thread_count() -> Result<usize> {
    let entries = fs::read_dir("/proc/self/task").map_err(|error| context("/proc/self/task", error))?;
    Ok(entries.filter(std::result::Result::is_ok).count())
}

/// That no thread has a capability (but `CAP_BPF` if it was kept), is root, can
/// gain anything by execve, or runs without the filter.
///
/// # Errors
/// Names each thread and what it still has.
pub fn verify_all_threads(keep_bpf: bool) -> Result<()> {
    let keep = if keep_bpf { CAP_BPF_BIT } else { 0 };
    let threads = threads()?;
    if threads.is_empty() {
        return Err(Error::failure("/proc/self/task shows no thread, so privileges cannot be verified"));
    }
    let excess: Vec<String> = threads
        .iter()
        .map(|thread| (thread.tid, thread.excess(keep)))
        .filter(|(_, excess)| !excess.is_empty())
        .map(|(tid, excess)| format!("thread {tid}: {}", excess.join(", ")))
        .collect();
    if excess.is_empty() {
        return Ok(());
    }
    Err(Error::failure(format!("privileges are not gone: {}", excess.join("; "))))
}

fn context(path: &str, error: std::io::Error) -> Error {
    Error::from(error).context(format!("read {path}"))
}

fn line<'a>(text: &'a str, name: &str) -> Result<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
        .ok_or_else(|| Error::failure(format!("/proc/self/status has no line {name}")))
}

fn malformed(name: &str, value: &str) -> Error {
    Error::failure(format!("/proc/self/status: {name} is '{value}', which is no number"))
}

fn mask(text: &str, name: &str) -> Result<u64> {
    let value = line(text, name)?;
    u64::from_str_radix(value, 16).map_err(|_| malformed(name, value))
}

fn decimal(text: &str, name: &str) -> Result<Vec<u32>> {
    let value = line(text, name)?;
    value.split_ascii_whitespace().map(|word| word.parse().map_err(|_| malformed(name, value))).collect()
}

fn one(text: &str, name: &str) -> Result<u32> {
    decimal(text, name)?.first().copied().ok_or_else(|| malformed(name, ""))
}

fn four(text: &str, name: &str) -> Result<Vec<u32>> {
    let ids = decimal(text, name)?;
    if ids.len() == 4 { Ok(ids) } else { Err(malformed(name, line(text, name)?)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const BARE: &str = "Name:\tbee-traced\nPid:\t812\nUid:\t998\t998\t998\t998\nGid:\t997\t997\t997\t997\n\
        Groups:\t \nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
        CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n\
        Seccomp_filters:\t2\n";

    #[test]
    fn a_bare_thread_has_no_excess() {
        let status = ThreadStatus::parse(BARE).unwrap();
        assert_eq!(status.tid, 812);
        assert_eq!(status.seccomp, 2);
        assert_eq!(status.excess(0), Vec::<String>::new());
    }

    #[test]
    fn each_privilege_alone_is_noticed() {
        let changes = [
            ("CapInh:\t0", "CapInh:\t1", "CapInh"),
            ("CapPrm:\t0", "CapPrm:\t2", "CapPrm"),
            ("CapEff:\t0", "CapEff:\t4", "CapEff"),
            ("CapBnd:\t0", "CapBnd:\t8", "CapBnd"),
            ("CapAmb:\t0", "CapAmb:\t1", "CapAmb"),
            ("998\t998\nGid", "0\t998\nGid", "Uid"),
            ("Gid:\t997\t997", "Gid:\t997\t996", "Gid"),
            ("Groups:\t ", "Groups:\t42 ", "Groups"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0", "NoNewPrivs"),
            ("Seccomp:\t2", "Seccomp:\t0", "Seccomp"),
        ];
        for (from, to, named) in changes {
            let text = BARE.replacen(from, to, 1);
            assert_ne!(text, BARE, "{from}");
            let excess = ThreadStatus::parse(&text).unwrap().excess(0);
            assert_eq!(excess.len(), 1, "{excess:?}");
            assert!(excess[0].starts_with(named), "{excess:?}");
        }
    }

    #[test]
    fn a_kept_capability_is_no_excess_but_never_in_the_bounding_set() {
        let text = BARE.replace("CapPrm:\t0000000000", "CapPrm:\t0000008000");
        assert!(ThreadStatus::parse(&text).unwrap().excess(CAP_BPF_BIT).is_empty());
        assert_eq!(ThreadStatus::parse(&text).unwrap().excess(0).len(), 1);
        let text = BARE.replace("CapBnd:\t0000000000", "CapBnd:\t0000008000");
        assert_eq!(ThreadStatus::parse(&text).unwrap().excess(CAP_BPF_BIT).len(), 1);
    }

    #[test]
    fn a_missing_or_broken_line_is_an_error_not_a_zero() {
        for name in ["CapBnd", "Uid", "NoNewPrivs", "Seccomp", "Groups"] {
            let text: String = BARE
                .lines()
                .filter(|line| !line.starts_with(&format!("{name}:")))
                .collect::<Vec<_>>()
                .join("\n");
            let error = ThreadStatus::parse(&text).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(ThreadStatus::parse(&BARE.replace("998\t998\t998\t998", "998")).is_err());
        assert!(ThreadStatus::parse(&BARE.replace("CapEff:\t", "CapEff:\tx")).is_err());
    }
}
