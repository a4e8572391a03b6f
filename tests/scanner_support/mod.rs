//! What the scanner's tests share: a mount namespace with a tmpfs of its own, and
//! the scanner's system calls as ptrace shows them.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use bee_trace::privilege::Account;
use bee_trace::scanner::{self, Answer, Coverage, Init, Request, Scanner, Summary};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fork, geteuid, pipe};

/// Nobody of this machine.
pub const ACCOUNT: Account = Account { uid: Uid::from_raw(54_321), gid: Gid::from_raw(54_322) };

/// Runs `body` in a child with one thread and mounts of its own, with a fresh
/// tmpfs at the path it is given.
pub fn in_namespace(body: impl FnOnce(&Path)) {
    assert!(geteuid().is_root(), "this test needs root");
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let base = std::env::temp_dir().join(format!("bee-scanner-{}-{number}", std::process::id()));
    fs::create_dir(&base).unwrap();
    let (reader, writer) = pipe().unwrap();
    // SAFETY: the child only runs `body`, writes to the pipe and ends; glibc's malloc is usable after fork.
    let status = match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            drop(reader);
            let said = File::from(writer);
            std::panic::set_hook(Box::new(move |info| {
                let _ = writeln!(&said, "{info}");
            }));
            let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                unshare(CloneFlags::CLONE_NEWNS).unwrap();
                mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                    .unwrap();
                tmpfs(&base);
                body(&base);
            }))
            .is_ok();
            // SAFETY: ends the child without the test harness's exit handlers.
            unsafe { libc::_exit(if ok { 0 } else { 1 }) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut text = String::new();
            File::from(reader).read_to_string(&mut text).unwrap();
            (waitpid(child, None).unwrap(), child, text)
        }
    };
    fs::remove_dir(&base).unwrap();
    assert_eq!(status.0, WaitStatus::Exited(status.1, 0), "{}", status.2);
}

pub fn tmpfs(at: &Path) {
    mount(Some("bee"), at, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
}

pub fn bind(from: &Path, to: &Path) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}

pub fn put(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "secret").unwrap();
}

pub fn start(base: &Path) -> Scanner {
    spawn(base, "config.toml")
}

pub fn spawn(base: &Path, config: &str) -> Scanner {
    let init = Init { account: ACCOUNT, config: base.join(config), mountinfo: "/proc/self/mountinfo".into() };
    scanner::spawn(init).unwrap()
}

pub fn scan(id: u32, watch: &[&str], base: &Path) -> Request {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Request::Scan {
        id,
        watch: texts(watch),
        watch_write: vec![format!("{}/w/**", base.display())],
        ignore: texts(&["*.pub"]),
        skip: everything_but(base),
    }
}

/// Keeps the machine the test runs on out of it.
pub fn everything_but(base: &Path) -> Vec<PathBuf> {
    let top = Path::new("/").join(base.components().nth(1).unwrap());
    let mut skip: Vec<PathBuf> = fs::read_dir("/").unwrap().map(|entry| entry.unwrap().path()).collect();
    skip.retain(|path| *path != top);
    skip.extend(fs::read_dir(&top).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path != base));
    skip
}

/// Waits for replies until one is neither a `Mount` nor anything for another request.
pub fn finish(scanner: &Scanner, id: u32) -> (Answer, Vec<(PathBuf, Coverage, String)>) {
    let mut mounts = Vec::new();
    loop {
        let mut fds = [PollFd::new(scanner.fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::try_from(120_000).unwrap()).unwrap(), 1, "no reply in 120 s");
        while let Some(reply) = scanner.read_reply().unwrap() {
            match reply.answer {
                Answer::Mount { id: of, point, coverage, why } if of == id => {
                    mounts.push((point, coverage, why))
                }
                Answer::Done { id: of, .. }
                | Answer::Failed { id: of, .. }
                | Answer::Superseded { id: of }
                    if of == id =>
                {
                    return (reply.answer, mounts);
                }
                _ => {}
            }
        }
    }
}

pub fn summary(answer: Answer) -> Summary {
    match answer {
        Answer::Done { summary, .. } => summary,
        other => panic!("{other:?}"),
    }
}

/// `PTRACE_GET_SYSCALL_INFO`, ptrace(2).
#[repr(C)]
#[derive(Default)]
struct SyscallInfo {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction: u64,
    stack: u64,
    /// Entry: number and six arguments. Exit: result and whether it is an error.
    data: [u64; 7],
    rest: [u64; 2],
}

fn syscall_info(pid: Pid) -> SyscallInfo {
    let mut info = SyscallInfo::default();
    // SAFETY: the structure is as long as said and at least as long as the kernel's.
    let length = unsafe {
        libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid.as_raw(), size_of::<SyscallInfo>(), &raw mut info)
    };
    assert!(length > 0);
    info
}

/// Every successful openat of the scanner with a non-zero mode while it does
/// `request`: (mode, true path, flags).
pub fn lessons(scanner: &Scanner, request: &Request) -> BTreeSet<(u64, PathBuf, u64)> {
    let pid = scanner.pid();
    ptrace::seize(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD).unwrap();
    ptrace::interrupt(pid).unwrap();
    let mut lessons = BTreeSet::new();
    let mut entry = None;
    let mut sent = false;
    let mut replied = false;
    while !replied {
        match waitpid(pid, None).unwrap() {
            WaitStatus::PtraceSyscall(_) => {
                let info = syscall_info(pid);
                if info.op == 1 {
                    entry = Some(info);
                } else if let Some(entry) = entry.take()
                    && entry.data[0] == libc::SYS_openat as u64
                    && entry.data[4] != 0
                    && info.data[0] < 1 << 31
                {
                    let path = fs::read_link(format!("/proc/{pid}/fd/{}", info.data[0])).unwrap();
                    lessons.insert((entry.data[4], path, entry.data[3]));
                }
                while let Some(reply) = scanner.read_reply().unwrap() {
                    replied |= matches!(reply.answer, Answer::Done { .. } | Answer::Failed { .. });
                }
            }
            WaitStatus::PtraceEvent(..) => {}
            other => panic!("{other:?}"),
        }
        if !sent {
            assert!(scanner.request(request).unwrap());
            sent = true;
        }
        if replied {
            ptrace::detach(pid, None).unwrap();
        } else {
            ptrace::syscall(pid, None).unwrap();
        }
    }
    lessons
}
