//! Letting go: user, groups and capabilities, for good. The daemon keeps
//! nothing (or `CAP_BPF` where the kernel wants it for map updates); the
//! scanner uses the same steps to keep its one capability.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};

use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, fork};

use super::{Account, status};
use crate::error::{Error, Result};

/// Gives up every privilege: groups, bounding set, user, ambient, inheritable,
/// permitted and effective capabilities, and what execve or ptrace by the same
/// user could bring. `keep_bpf` keeps `CAP_BPF` permitted and effective, for
/// kernels where [`needs_cap_bpf`] says so. The seccomp filter is a step of its
/// own ([`super::seccomp::install`]).
///
/// Afterwards our own `/proc/self/{mem,environ,auxv,pagemap}` belong to root and
/// cannot be opened; `status`, `stat`, `maps`, `smaps_rollup`, `mountinfo`,
/// `exe` and `fd/` still can.
///
/// # Errors
/// When there is more than one thread (capabilities belong to threads), or when
/// a step fails. The process is then half way and must end.
pub fn drop_all(account: &Account, keep_bpf: bool) -> Result<()> {
    let mut keep = CapsHashSet::new();
    if keep_bpf {
        keep.insert(Capability::CAP_BPF);
    }
    reduce(account, &keep)
}

/// [`drop_all`] but for the capabilities in `keep`, which stay permitted and effective.
pub(crate) fn reduce(account: &Account, keep: &CapsHashSet) -> Result<()> {
    single_threaded()?;
    if account.uid.is_root() {
        return Err(Error::failure("the account to change to is root, which gives up nothing"));
    }
    drop_groups(account.gid)?;
    empty_bounding_set()?;
    step("keep capabilities across the change of user", nix::sys::prctl::set_keepcaps(!keep.is_empty()))?;
    let Account { uid, gid } = *account;
    step(&format!("change to gid {gid}"), nix::unistd::setresgid(gid, gid, gid))?;
    step(&format!("change to uid {uid}"), nix::unistd::setresuid(uid, uid, uid))?;
    capability("clear the ambient set", caps::clear(None, CapSet::Ambient))?;
    capability("clear the inheritable set", caps::clear(None, CapSet::Inheritable))?;
    capability("set the effective set", caps::set(None, CapSet::Effective, keep))?;
    capability("set the permitted set", caps::set(None, CapSet::Permitted, keep))?;
    step("switch keeping capabilities off", nix::sys::prctl::set_keepcaps(false))?;
    step("set no_new_privs", nix::sys::prctl::set_no_new_privs())?;
    // Another process of the same user could otherwise ptrace us and read the
    // events, or take the scanner over and with it its capability.
    step("clear the dumpable flag", nix::sys::prctl::set_dumpable(false))
}

fn step(what: &str, result: nix::Result<()>) -> Result<()> {
    result.map_err(|errno| Error::from(errno).context(format!("drop privileges: {what}")))
}

fn capability(what: &str, result: std::result::Result<(), caps::errors::CapsError>) -> Result<()> {
    result.map_err(|error| Error::failure(format!("drop privileges: {what}: {error}")))
}

fn single_threaded() -> Result<()> {
    let count = status::thread_count()?;
    if count == 1 {
        return Ok(());
    }
    Err(Error::failure(format!(
        "drop privileges: there are {count} threads, and a capability given up by one stays with the others; \
         threads may be started only afterwards"
    )))
}

/// Without `CAP_SETGID` (the unit starts us as our user) only our own group may be there.
fn drop_groups(gid: Gid) -> Result<()> {
    let Err(errno) = nix::unistd::setgroups(&[]) else {
        return Ok(());
    };
    let others: Vec<Gid> = nix::unistd::getgroups()?.into_iter().filter(|group| *group != gid).collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(Error::from(errno).context(format!(
        "drop privileges: give up the supplementary groups {others:?} (needs CAP_SETGID, or a unit without them)"
    )))
}

fn empty_bounding_set() -> Result<()> {
    // Asked of the kernel, not of a list of ours: a newer one may have more.
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .ok()
        .and_then(|text| text.trim().parse::<libc::c_ulong>().ok())
        .unwrap_or(63);
    for number in 0..=last {
        // SAFETY: these prctl operations take numbers only.
        let present = unsafe { libc::prctl(libc::PR_CAPBSET_READ, number, 0, 0, 0) };
        if present != 1 {
            continue;
        }
        // SAFETY: as above.
        Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) }).map_err(|errno| {
            Error::from(errno)
                .context(format!("drop privileges: take capability {number} out of the bounding set"))
        })?;
    }
    Ok(())
}

/// Whether this kernel refuses a look-up in a held map to a process without
/// `CAP_BPF`, found by trying it in a child. So it was before 5.19 with
/// `kernel.unprivileged_bpf_disabled` set (commit c8644cd0efe7). `map` must be
/// readable; nothing in it changes.
///
/// # Errors
/// When there is more than one thread, the map cannot be asked about, or the
/// child could not let go.
pub fn needs_cap_bpf(map: BorrowedFd<'_>, account: &Account) -> Result<bool> {
    let (key, value) = map_sizes(map)?;
    let child = fork_child(|| {
        if drop_all(account, false).is_err() {
            return 3;
        }
        let key = vec![0u8; key];
        let mut value = vec![0u8; value];
        match look_up(map, &key, &mut value) {
            Err(Errno::EPERM) => 1,
            _ => 0,
        }
    })?;
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, 0)) => return Ok(false),
            Ok(WaitStatus::Exited(_, 1)) => return Ok(true),
            Err(Errno::EINTR) => {}
            other => {
                return Err(Error::failure(format!(
                    "try a map look-up without privilege: the child ended unexpectedly ({other:?})"
                )));
            }
        }
    }
}

/// Runs `body` in a forked child and ends it with the status it returns; a
/// panic in it ends it too and never reaches the parent's stack. For a parent
/// with one thread only: the child may then allocate.
pub(crate) fn fork_child(body: impl FnOnce() -> i32) -> Result<Pid> {
    single_threaded()?;
    // SAFETY: there is one thread, so no lock is held by another in the child.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
            // SAFETY: _exit runs no handlers and flushes no buffers that belong to the parent.
            unsafe { libc::_exit(status) }
        }
    }
}

/// `struct bpf_map_info` up to `max_entries` (include/uapi/linux/bpf.h).
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

/// Bytes a look-up's key and value need. Per-CPU maps give a value for each
/// possible CPU, rounded up to 8 bytes.
fn map_sizes(map: BorrowedFd<'_>) -> Result<(usize, usize)> {
    const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    #[repr(C)]
    struct Attr {
        fd: u32,
        info_len: u32,
        info: u64,
    }
    let mut info = MapInfo::default();
    let attr = Attr {
        fd: map.as_raw_fd().unsigned_abs(),
        info_len: u32::try_from(size_of::<MapInfo>()).unwrap_or(0),
        info: (&raw mut info) as u64,
    };
    // SAFETY: attr and info live across the call and have the sizes given.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw const attr, size_of::<Attr>()) };
    Errno::result(result).map_err(|errno| Error::from(errno).context("ask for the size of a map"))?;
    let cpus = fs::read_to_string("/sys/devices/system/cpu/possible")
        .ok()
        .and_then(|text| text.trim().rsplit(['-', ',']).next()?.parse::<usize>().ok())
        .unwrap_or(1023)
        + 1;
    Ok((info.key_size as usize, (info.value_size as usize).next_multiple_of(8) * cpus))
}

fn look_up(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> std::result::Result<(), Errno> {
    const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
    #[repr(C)]
    struct Attr {
        fd: u32,
        pad: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let attr = Attr {
        fd: map.as_raw_fd().unsigned_abs(),
        pad: 0,
        key: key.as_ptr() as u64,
        value: value.as_mut_ptr() as u64,
        flags: 0,
    };
    // SAFETY: key and value are as long as map_sizes found, attr as long as said.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_LOOKUP_ELEM, &raw const attr, size_of::<Attr>()) };
    Errno::result(result).map(drop)
}
