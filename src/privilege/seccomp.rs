//! The system calls that remain. One table per process kind; everything that is
//! not in it fails with EPERM, and a call by another architecture's table (an
//! i386 `int 0x80` on x86-64) kills the process: the crate's first check.
//!
//! EPERM and not a kill, so that a path nobody thought of becomes a logged
//! error and not a dead sensor.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use crate::error::{Error, Result};

/// Which arguments of a call are allowed.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// All.
    Always,
    /// The low 32 bits of argument `.0` are one of these.
    OneOf(u8, &'static [u64]),
    /// The bits `.1` of argument `.0` (64 bits of it) have the value `.2`.
    Masked(u8, u64, u64),
    /// No bit of `.1` is set in the low 32 bits of argument `.0`: for flags the kernel takes as an `int`.
    Clear(u8, u64),
}

/// One allowed system call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its number here.
    pub number: i64,
    /// Its name.
    pub name: &'static str,
    /// With which arguments.
    pub when: When,
    /// What needs it.
    pub why: &'static str,
}

const fn any(number: i64, name: &'static str, why: &'static str) -> Row {
    Row { number, name, when: When::Always, why }
}

const fn only(number: i64, name: &'static str, when: When, why: &'static str) -> Row {
    Row { number, name, when, why }
}

#[cfg(not(target_arch = "aarch64"))]
const SYS_RENAMEAT: i64 = libc::SYS_renameat;
/// include/uapi/asm-generic/unistd.h; the libc crate has no name for it here.
#[cfg(target_arch = "aarch64")]
const SYS_RENAMEAT: i64 = 38;
const PROT_EXEC: u64 = 4;
const CLONE_THREAD: u64 = 0x0001_0000;
/// Every namespace clone(2) can make: cgroup, uts, ipc, user, pid, net, mount.
const CLONE_NEW: u64 = 0x7e02_0000;
const AF_UNIX: u64 = 1;
const SOL_SOCKET: u64 = 1;
const PR_SET_NAME: u64 = 15;
const TCGETS: u64 = 0x5401;
const TIOCGWINSZ: u64 = 0x5413;
const FIONBIO: u64 = 0x5421;
/// look-up, update, delete, next key, look-up and delete, and the batches of them; facts about a
/// held descriptor, which tell how often a program was skipped (include/uapi/linux/bpf.h,
/// `enum bpf_cmd`). No load, no create, no attach, no descriptor by id.
const HELD_COMMANDS: &[u64] = &[1, 2, 3, 4, 15, 21, 24, 25, 26, 27];

/// What any Rust program needs to live: memory, threads' locks, time, its end.
/// The scanner has no threads and gets no `clone`.
pub const RUNTIME: &[Row] = &[
    any(libc::SYS_brk, "brk", "heap"),
    only(libc::SYS_mmap, "mmap", When::Clear(2, PROT_EXEC), "heap and stacks; never executable"),
    only(libc::SYS_mprotect, "mprotect", When::Clear(2, PROT_EXEC), "guard pages; never executable"),
    any(libc::SYS_munmap, "munmap", "heap"),
    any(libc::SYS_mremap, "mremap", "growing buffers"),
    any(libc::SYS_madvise, "madvise", "giving memory back"),
    any(libc::SYS_futex, "futex", "locks"),
    any(libc::SYS_getrandom, "getrandom", "hash seeds"),
    any(libc::SYS_clock_gettime, "clock_gettime", "time, where the vDSO has no fast clock"),
    any(libc::SYS_rt_sigaction, "rt_sigaction", "signal handlers; abort"),
    any(libc::SYS_rt_sigprocmask, "rt_sigprocmask", "thread start; abort"),
    any(libc::SYS_rt_sigreturn, "rt_sigreturn", "end of a signal handler"),
    any(libc::SYS_sigaltstack, "sigaltstack", "stack overflow handler"),
    any(libc::SYS_restart_syscall, "restart_syscall", "a timed wait resumed by the kernel after a stop"),
    any(libc::SYS_getpid, "getpid", "abort, own /proc"),
    any(libc::SYS_gettid, "gettid", "abort"),
    any(libc::SYS_tgkill, "tgkill", "abort; other users' processes are refused by the kernel"),
    any(libc::SYS_exit, "exit", "end of a thread"),
    any(libc::SYS_exit_group, "exit_group", "end"),
];

/// What the daemon still does after start, beside [`RUNTIME`].
pub const DAEMON: &[Row] = &[
    // eBPF: held maps only
    only(
        libc::SYS_bpf,
        "bpf",
        When::OneOf(0, HELD_COMMANDS),
        "read and update held maps, facts about held programs",
    ),
    // the loop
    any(libc::SYS_epoll_create1, "epoll_create1", "waiting"),
    any(libc::SYS_epoll_ctl, "epoll_ctl", "waiting"),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_epoll_wait, "epoll_wait", "waiting"),
    any(libc::SYS_epoll_pwait, "epoll_pwait", "waiting"),
    any(libc::SYS_epoll_pwait2, "epoll_pwait2", "waiting with nanoseconds"),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_poll, "poll", "waiting for one descriptor"),
    any(libc::SYS_ppoll, "ppoll", "waiting for one descriptor"),
    any(libc::SYS_pselect6, "pselect6", "waiting for one descriptor"),
    any(libc::SYS_eventfd2, "eventfd2", "waking the loop"),
    any(libc::SYS_timerfd_create, "timerfd_create", "the loop's timer"),
    any(libc::SYS_timerfd_settime, "timerfd_settime", "the loop's timer"),
    any(libc::SYS_signalfd4, "signalfd4", "signals"),
    any(libc::SYS_clock_nanosleep, "clock_nanosleep", "waiting"),
    any(libc::SYS_clock_getres, "clock_getres", "time"),
    // descriptors and files; what may be opened is the unprivileged user's affair
    any(
        libc::SYS_openat,
        "openat",
        "log rotation, /etc/passwd, /proc of new processes, the scanner's config",
    ),
    any(libc::SYS_close, "close", "descriptors"),
    any(libc::SYS_read, "read", "files, timers, signals"),
    any(libc::SYS_readv, "readv", "files"),
    any(libc::SYS_pread64, "pread64", "config descriptors"),
    any(libc::SYS_write, "write", "output"),
    any(libc::SYS_writev, "writev", "output"),
    any(libc::SYS_pwrite64, "pwrite64", "a scan request in its memfd"),
    any(libc::SYS_lseek, "lseek", "append position, config descriptors"),
    any(libc::SYS_fstat, "fstat", "size of the output file"),
    any(libc::SYS_newfstatat, "newfstatat", "files, by libc"),
    any(libc::SYS_statx, "statx", "files, by std"),
    any(libc::SYS_getdents64, "getdents64", "/proc, config.d"),
    any(libc::SYS_readlinkat, "readlinkat", "/proc links"),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_readlink, "readlink", "/proc links"),
    any(libc::SYS_fcntl, "fcntl", "descriptor flags, duplicates, seals of a memfd"),
    any(libc::SYS_dup, "dup", "descriptors, by std"),
    any(libc::SYS_dup3, "dup3", "descriptors"),
    any(libc::SYS_fsync, "fsync", "output kept across a power cut"),
    any(libc::SYS_fdatasync, "fdatasync", "output kept across a power cut"),
    any(libc::SYS_ftruncate, "ftruncate", "a half-written last line taken back"),
    any(libc::SYS_renameat2, "renameat2", "log rotation"),
    any(SYS_RENAMEAT, "renameat", "log rotation; what rename of libc is on arm64"),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_rename, "rename", "log rotation"),
    any(libc::SYS_unlinkat, "unlinkat", "log rotation, the control socket at the end"),
    #[cfg(target_arch = "x86_64")]
    any(libc::SYS_unlink, "unlink", "log rotation"),
    any(
        libc::SYS_memfd_create,
        "memfd_create",
        "a scan request or an entry of the journal too long for a datagram",
    ),
    only(
        libc::SYS_ioctl,
        "ioctl",
        When::OneOf(1, &[TCGETS, TIOCGWINSZ, FIONBIO]),
        "is it a terminal, how wide, non-blocking sockets",
    ),
    // sockets: sd_notify, journald, the scanner
    only(libc::SYS_socket, "socket", When::OneOf(0, &[AF_UNIX]), "sd_notify and journald"),
    only(libc::SYS_socketpair, "socketpair", When::OneOf(0, &[AF_UNIX]), "signal pipe"),
    any(libc::SYS_connect, "connect", "sd_notify and journald; there is no socket of another family"),
    any(libc::SYS_accept4, "accept4", "clients of the control socket, which was bound before"),
    any(
        libc::SYS_sendto,
        "sendto",
        "sd_notify, entries of the journal, log lines to it, answers on the control socket",
    ),
    any(
        libc::SYS_sendmsg,
        "sendmsg",
        "the scanner, events on the control socket; the memfd of an entry too long for a datagram",
    ),
    any(libc::SYS_recvfrom, "recvfrom", "signal pipe, requests on the control socket"),
    any(libc::SYS_recvmsg, "recvmsg", "the scanner"),
    any(libc::SYS_shutdown, "shutdown", "the scanner's end, clients that are refused"),
    only(libc::SYS_setsockopt, "setsockopt", When::OneOf(1, &[SOL_SOCKET]), "send buffers"),
    only(
        libc::SYS_getsockopt,
        "getsockopt",
        When::OneOf(1, &[SOL_SOCKET]),
        "why a send failed, who a client is",
    ),
    // threads of the sinks
    only(
        libc::SYS_clone,
        "clone",
        When::Masked(0, CLONE_THREAD | CLONE_NEW, CLONE_THREAD),
        "sink threads; no process, no namespace",
    ),
    any(libc::SYS_clone3, "clone3", "refused with ENOSYS (see NO_CLONE3), so that libc takes clone"),
    any(libc::SYS_set_robust_list, "set_robust_list", "thread start"),
    any(libc::SYS_rseq, "rseq", "thread start"),
    any(libc::SYS_sched_getaffinity, "sched_getaffinity", "thread start, number of CPUs"),
    any(libc::SYS_sched_yield, "sched_yield", "locks"),
    only(libc::SYS_prctl, "prctl", When::OneOf(0, &[PR_SET_NAME]), "thread names"),
    only(
        libc::SYS_prlimit64,
        "prlimit64",
        When::Masked(2, u64::MAX, 0),
        "asking for a limit, not setting one",
    ),
    // the scanner's end
    any(libc::SYS_wait4, "wait4", "reaping the scanner"),
    any(libc::SYS_waitid, "waitid", "reaping the scanner by its pidfd"),
    any(
        libc::SYS_pidfd_send_signal,
        "pidfd_send_signal",
        "ending the scanner, by the descriptor held since its fork",
    ),
    // who and where
    any(libc::SYS_getppid, "getppid", "own identity"),
    any(libc::SYS_getuid, "getuid", "own identity"),
    any(libc::SYS_geteuid, "geteuid", "own identity"),
    any(libc::SYS_getgid, "getgid", "own identity"),
    any(libc::SYS_getegid, "getegid", "own identity"),
    any(libc::SYS_uname, "uname", "host name in events"),
];

/// Its arguments are in memory, where no filter can see a missing `CLONE_THREAD`.
const NO_CLONE3: &[Row] =
    &[any(libc::SYS_clone3, "clone3", "libc falls back to clone, whose flags can be seen")];

/// Installs [`RUNTIME`] and `rows` for this thread and all it will start. It
/// cannot be undone. The process must have one thread.
///
/// # Errors
/// When the architecture has no table or the kernel refuses the filter
/// (`CONFIG_SECCOMP_FILTER` is off).
pub fn install(rows: &[Row]) -> Result<()> {
    // Both filters run and the stricter answer wins, so the allow-list's clone3
    // row does not weaken this; the crate's filters know one refusal each.
    apply(&compile(NO_CLONE3, SeccompAction::Allow, refuse(libc::ENOSYS))?)?;
    let all: Vec<Row> = RUNTIME.iter().chain(rows).copied().collect();
    apply(&compile(&all, refuse(libc::EPERM), SeccompAction::Allow)?)
}

fn refuse(errno: i32) -> SeccompAction {
    SeccompAction::Errno(errno.unsigned_abs())
}

fn apply(program: &BpfProgram) -> Result<()> {
    seccompiler::apply_filter(program)
        .map_err(|error| Error::failure(format!("install the seccomp filter: {error}")))
}

fn compile(rows: &[Row], otherwise: SeccompAction, matched: SeccompAction) -> Result<BpfProgram> {
    let wrong =
        |error: seccompiler::BackendError| Error::failure(format!("build the seccomp filter: {error}"));
    let target = TargetArch::try_from(std::env::consts::ARCH).map_err(wrong)?;
    let mut table = std::collections::BTreeMap::new();
    for row in rows {
        let rules = rules(row.when).map_err(wrong)?;
        if table.insert(row.number, rules).is_some() {
            return Err(Error::failure(format!(
                "build the seccomp filter: {} is in the table twice",
                row.name
            )));
        }
    }
    SeccompFilter::new(table, otherwise, matched, target).and_then(TryInto::try_into).map_err(wrong)
}

/// An empty list is "always" to the crate.
fn rules(when: When) -> std::result::Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let rule = |argument, length, operator, value| {
        SeccompRule::new(vec![SeccompCondition::new(argument, length, operator, value)?])
    };
    match when {
        When::Always => Ok(Vec::new()),
        When::OneOf(argument, values) => values
            .iter()
            .map(|value| rule(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, *value))
            .collect(),
        When::Masked(argument, mask, value) => {
            Ok(vec![rule(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)?])
        }
        When::Clear(argument, mask) => {
            Ok(vec![rule(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), 0)?])
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_daemon_table_compiles_and_fits() {
        let all: Vec<Row> = RUNTIME.iter().chain(DAEMON).copied().collect();
        let program = compile(&all, refuse(libc::EPERM), SeccompAction::Allow).unwrap();
        assert!(program.len() < 4096, "{}", program.len());
    }

    #[test]
    fn a_row_given_twice_is_an_error() {
        let twice = [any(libc::SYS_read, "read", ""), any(libc::SYS_read, "read", "")];
        let error = compile(&twice, refuse(1), SeccompAction::Allow).unwrap_err().to_string();
        assert!(error.contains("read is in the table twice"), "{error}");
    }

    #[test]
    fn what_must_never_be_allowed_is_not_in_a_table() {
        let never = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_getfd,
            libc::SYS_pidfd_open,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_perf_event_open,
            libc::SYS_keyctl,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_kexec_load,
            libc::SYS_io_uring_setup,
            libc::SYS_setuid,
            libc::SYS_setresuid,
            libc::SYS_capset,
            libc::SYS_userfaultfd,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_seccomp,
            libc::SYS_personality,
            libc::SYS_pkey_mprotect,
            libc::SYS_shmat,
            libc::SYS_open_by_handle_at,
            libc::SYS_kill,
            libc::SYS_bind,
            libc::SYS_listen,
        ];
        for row in RUNTIME.iter().chain(DAEMON) {
            assert!(!never.contains(&row.number), "{}", row.name);
            assert!(!row.why.is_empty(), "{} has no reason", row.name);
        }
    }

    #[test]
    fn constants_are_those_of_libc() {
        assert_eq!(PROT_EXEC, libc::PROT_EXEC as u64);
        assert_eq!(CLONE_THREAD, libc::CLONE_THREAD as u64);
        let new = libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUSER
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWNS;
        assert_eq!(CLONE_NEW, u64::from(new.unsigned_abs()));
        assert_eq!((AF_UNIX, SOL_SOCKET), (libc::AF_UNIX as u64, libc::SOL_SOCKET as u64));
        assert_eq!(PR_SET_NAME, libc::PR_SET_NAME as u64);
        assert_eq!((TCGETS, TIOCGWINSZ, FIONBIO), (libc::TCGETS, libc::TIOCGWINSZ, libc::FIONBIO));
    }
}
