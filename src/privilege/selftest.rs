//! The proof that nothing is left: each forbidden act is tried. An act counts
//! as refused only if the answer is the refusal expected of it; any other
//! answer, a harmless-looking error included, means that the call was looked at.
//!
//! The filter decides before the kernel looks at an argument, so the acts that
//! would do harm if they succeeded are tried with arguments that cannot: EFAULT
//! or EINVAL then says "not refused".

use std::ptr::{null, null_mut};

use nix::errno::Errno;

/// One act that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The act, completing "this process could still …".
    pub what: &'static str,
    /// Whether it was refused as it must be.
    pub refused: bool,
    /// The answer, in words.
    pub detail: String,
}

struct Act {
    what: &'static str,
    /// The only answers that count as a refusal.
    refusals: &'static [Errno],
    attempt: fn() -> Result<(), Errno>,
}

const FILTER: &[Errno] = &[Errno::EPERM];
const FILE: &[Errno] = &[Errno::EACCES];

const ACTS: &[Act] = &[
    act("attach to another process with ptrace", FILTER, || {
        // SAFETY: SEIZE without options stops nothing; if it worked the proof fails and we end, which detaches.
        check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, 1, null_mut::<u8>(), null_mut::<u8>()) })
    }),
    act("read another process's memory", FILTER, || {
        // SAFETY: no memory is named (zero vectors).
        check(unsafe { libc::syscall(libc::SYS_process_vm_readv, 1, null::<u8>(), 0, null::<u8>(), 0, 0) })
    }),
    act("load an eBPF program", FILTER, load_program),
    act("make an eBPF map", FILTER, make_map),
    act("read the password hashes", FILE, read_secret),
    act("open a network connection", FILTER, || {
        // SAFETY: takes numbers only.
        close_if_open(unsafe { libc::syscall(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0) })
    }),
    act("talk netlink", FILTER, || {
        // SAFETY: takes numbers only.
        close_if_open(unsafe { libc::syscall(libc::SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, 0) })
    }),
    act("execute a program", FILTER, || {
        // SAFETY: a null path is EFAULT where the call is not refused; nothing can be executed by it.
        check(unsafe { libc::syscall(libc::SYS_execve, null::<u8>(), null::<u8>(), null::<u8>()) })
    }),
    act("execute a descriptor", FILTER, || {
        // SAFETY: as above.
        check(unsafe { libc::syscall(libc::SYS_execveat, -1, null::<u8>(), null::<u8>(), null::<u8>(), 0) })
    }),
    act("start a process", FILTER, fork_try),
    act("make memory executable", FILTER, || {
        // SAFETY: an anonymous mapping that nobody uses; it is unmapped with the process, which ends if this works.
        check(unsafe {
            libc::syscall(
                libc::SYS_mmap,
                null::<u8>(),
                1usize,
                libc::PROT_READ | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        })
    }),
    act("mount a file system", FILTER, || {
        // SAFETY: a null target is EFAULT where the call is not refused.
        check(unsafe {
            libc::syscall(libc::SYS_mount, null::<u8>(), null::<u8>(), null::<u8>(), 0, null::<u8>())
        })
    }),
    act("become root", FILTER, || {
        // SAFETY: takes a number; the process ends if it works.
        check(unsafe { libc::syscall(libc::SYS_setuid, 0) })
    }),
    act("make a user namespace", FILTER, || {
        // SAFETY: takes a number; the process ends if it works.
        check(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER) })
    }),
    act("load a kernel module", FILTER, || {
        // SAFETY: descriptor -1 is EBADF where the call is not refused.
        check(unsafe { libc::syscall(libc::SYS_finit_module, -1, null::<u8>(), 0) })
    }),
    act("open perf events", FILTER, || {
        // SAFETY: a null attribute is EFAULT where the call is not refused.
        check(unsafe { libc::syscall(libc::SYS_perf_event_open, null::<u8>(), 0, -1, -1, 0) })
    }),
    act("use io_uring", FILTER, || {
        // SAFETY: null parameters are EFAULT where the call is not refused.
        check(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, null::<u8>()) })
    }),
    act("read the kernel's keys", FILTER, || {
        // SAFETY: an operation that does not exist is EOPNOTSUPP where the call is not refused.
        check(unsafe { libc::syscall(libc::SYS_keyctl, i32::MAX, 0, 0, 0, 0) })
    }),
];

const fn act(what: &'static str, refusals: &'static [Errno], attempt: fn() -> Result<(), Errno>) -> Act {
    Act { what, refusals, attempt }
}

/// Tries every act. To be called after the filter is in place; without it some
/// of the attempts do what they say.
pub fn prove() -> Vec<Proof> {
    ACTS.iter()
        .map(|act| {
            let answer = (act.attempt)();
            Proof {
                what: act.what,
                refused: answer.is_err_and(|errno| act.refusals.contains(&errno)),
                detail: match answer {
                    Ok(()) => "it succeeded".into(),
                    Err(errno) => format!("{errno:?}: {}", errno.desc()),
                },
            }
        })
        .collect()
}

fn check(result: libc::c_long) -> Result<(), Errno> {
    Errno::result(result).map(drop)
}

fn close_if_open(result: libc::c_long) -> Result<(), Errno> {
    let fd = Errno::result(result)?;
    // SAFETY: the descriptor was just made here and nobody else knows it.
    check(unsafe { libc::syscall(libc::SYS_close, fd) })
}

fn load_program() -> Result<(), Errno> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    /// `r0 = 0; exit`: what the verifier accepts for any socket filter.
    const PROGRAM: [u64; 2] = [0xb7, 0x95];
    #[repr(C)]
    struct Attr {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log: [u64; 2],
    }
    let attr = Attr {
        kind: 1,
        count: 2,
        instructions: PROGRAM.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log: [0; 2],
    };
    // SAFETY: attr and what it points to live across the call; its size is given.
    close_if_open(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attr, size_of::<Attr>()) })
}

fn make_map() -> Result<(), Errno> {
    const BPF_MAP_CREATE: libc::c_int = 0;
    /// An array of one `u32`: kind, key size, value size, entries.
    const ATTR: [u32; 4] = [2, 4, 4, 1];
    // SAFETY: the attribute is a constant of the size given.
    close_if_open(unsafe { libc::syscall(libc::SYS_bpf, BPF_MAP_CREATE, ATTR.as_ptr(), size_of_val(&ATTR)) })
}

/// The first that is there; `/proc/1/environ` always is, unless we are 1.
fn read_secret() -> Result<(), Errno> {
    let mut answer = Err(Errno::ENOENT);
    for path in [c"/etc/shadow", c"/etc/gshadow", c"/proc/1/environ"] {
        // SAFETY: the path is a C string.
        answer = close_if_open(unsafe {
            libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC)
        });
        if answer != Err(Errno::ENOENT) {
            break;
        }
    }
    answer
}

fn fork_try() -> Result<(), Errno> {
    // SAFETY: a child, if there is one, does nothing but end.
    let child = Errno::result(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) })?;
    if child == 0 {
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: a null status is allowed.
    check(unsafe { libc::syscall(libc::SYS_wait4, child, null_mut::<u8>(), 0, null_mut::<u8>()) })
}
