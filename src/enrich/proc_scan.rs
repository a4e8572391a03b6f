//! What /proc tells of processes that were there before us. Read once at
//! start, after the rings are open, and for a single process that was missed.
//!
//! Every file of a process is opened below one descriptor of its directory, so
//! all of them belong to the same process: when it ends and its number is given
//! to another, the rest of the reads fail instead of mixing the two.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{Mode, fstatat, stat};

/// As much of argv is kept as of a live exec.
const ARGS_LIMIT: usize = 4096;
/// `status` has about 1.5 KiB and grows with the number of CPUs and groups; what we need stands at its beginning.
const STATUS_LIMIT: usize = 16 << 10;
/// A cgroup path and the v1 lines in front of it.
const CGROUP_LIMIT: usize = 64 << 10;
/// One line; the comm in it may be of up to 64 bytes.
const STAT_LIMIT: usize = 4096;
/// PF_KTHREAD of include/linux/sched.h.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// One process as /proc shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Thread group id, in the pid namespace of the procfs.
    pub pid: u32,
    /// Parent; 0 for the first processes.
    pub ppid: u32,
    /// Start since boot in clock ticks of 10 ms.
    pub start_ticks: u64,
    /// The kernel's comm; may hold any byte but NUL.
    pub comm: Vec<u8>,
    /// True path of the image, without ` (deleted)`; `None` for a kernel thread, a process that is
    /// ending, or one we may not look at.
    pub exe: Option<Vec<u8>>,
    /// The image's name was removed.
    pub exe_deleted: bool,
    /// The image was never in a file system.
    pub exe_memfd: bool,
    /// argv, each ended by NUL; empty for kernel threads.
    pub args: Vec<u8>,
    /// argv was longer than 4 KiB.
    pub args_truncated: bool,
    /// Real uid, as this process's user namespace sees it.
    pub uid: u32,
    /// Effective uid.
    pub euid: u32,
    /// Real gid.
    pub gid: u32,
    /// Effective gid.
    pub egid: u32,
    /// Who logged in; `None` where nobody did or the kernel has no audit.
    pub login_uid: Option<u32>,
    /// Path in the cgroup v2 tree; `None` where there is none, and for kernel threads.
    pub cgroup: Option<Vec<u8>>,
    /// A thread of the kernel's own.
    pub kernel_thread: bool,
    /// It has ended and waits for its parent: no exit of it will be seen any more.
    pub ended: bool,
}

/// Calls `each` with every process of `proc_root` (`/proc`). Those that vanish
/// meanwhile are passed over. Returns how many were found; fails only where
/// `proc_root` itself cannot be read. The buffers are reused from one to the next.
pub fn scan(proc_root: &Path, mut each: impl FnMut(&Found)) -> io::Result<usize> {
    let mut reader = Reader::new(proc_root)?;
    let mut found = Found::default();
    let mut count = 0;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut directory = Dir::open(proc_root, flags, Mode::empty())?;
    for entry in directory.iter() {
        let entry = entry?;
        let Some(pid) = number(entry.file_name().to_bytes()) else { continue };
        if reader.read(pid, &mut found).is_some() {
            count += 1;
            each(&found);
        }
    }
    Ok(count)
}

/// One process; `None` where there is none (any more). A thread's number finds nothing.
pub fn one(proc_root: &Path, pid: u32) -> Option<Found> {
    let mut found = Found::default();
    Reader::new(proc_root).ok()?.read(pid, &mut found)?;
    Some(found)
}

struct Reader {
    proc: OwnedFd,
    buffer: Vec<u8>,
}

impl Reader {
    fn new(proc_root: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self { proc: open(proc_root, flags, Mode::empty())?, buffer: Vec::new() })
    }

    /// Fills `found`; `None` if the process is gone before all of it was read.
    fn read(&mut self, pid: u32, found: &mut Found) -> Option<()> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = openat(&self.proc, pid.to_string().as_str(), flags, Mode::empty()).ok()?;

        found.pid = pid;
        self.load(&directory, "stat", STAT_LIMIT).ok()?;
        parse_stat(&self.buffer, found)?;
        if found.kernel_thread {
            // Two in three of an idle machine's processes, and nothing more to tell of them.
            *found = Found {
                pid,
                ppid: found.ppid,
                start_ticks: found.start_ticks,
                comm: std::mem::take(&mut found.comm),
                kernel_thread: true,
                ended: found.ended,
                ..Found::default()
            };
            return Some(());
        }
        self.load(&directory, "status", STATUS_LIMIT).ok()?;
        parse_status(&self.buffer, found)?;
        read_exe(&directory, found);

        // One byte more than is kept tells whether there is more.
        found.args.clear();
        found.args_truncated = false;
        if self.load(&directory, "cmdline", ARGS_LIMIT + 1).is_ok() {
            found.args_truncated = self.buffer.len() > ARGS_LIMIT;
            found.args.extend_from_slice(&self.buffer[..self.buffer.len().min(ARGS_LIMIT)]);
        }
        found.login_uid = match self.load(&directory, "loginuid", 32) {
            Ok(()) => number(self.buffer.trim_ascii()).filter(|uid| *uid != u32::MAX),
            Err(_) => None,
        };
        found.cgroup = match self.load(&directory, "cgroup", CGROUP_LIMIT) {
            Ok(()) => parse_cgroup(&self.buffer).map(<[u8]>::to_vec),
            Err(_) => None,
        };
        // Still the same process, so all of the above was about it. After its
        // end no file of the directory opens (pid_revalidate of fs/proc/base.c).
        openat(&directory, "stat", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok().map(drop)
    }

    /// Reads at most `limit` bytes of a file of the process into the buffer.
    fn load(&mut self, directory: &OwnedFd, name: &str, limit: usize) -> io::Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = File::from(openat(directory, name, flags, Mode::empty())?);
        self.buffer.clear();
        file.take(limit as u64).read_to_end(&mut self.buffer)?;
        Ok(())
    }
}

/// `1234 (comm) S ppid …`: the comm may hold spaces, parentheses and newlines,
/// so the numbers are counted from the last `)`.
fn parse_stat(text: &[u8], found: &mut Found) -> Option<()> {
    let open = text.iter().position(|byte| *byte == b'(')?;
    let close = text.iter().rposition(|byte| *byte == b')')?;
    found.comm.clear();
    found.comm.extend_from_slice(text.get(open + 1..close)?);
    let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
    // Fields as numbered by proc_pid_stat(5); the first after the comm is 3.
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    found.ppid = fields.next()?.parse().ok()?;
    let flags: u64 = fields.nth(9 - 5)?.parse().ok()?;
    let threads: i64 = fields.nth(20 - 10)?.parse().ok()?;
    found.start_ticks = fields.nth(22 - 21)?.parse().ok()?;
    found.kernel_thread = flags & KERNEL_THREAD != 0;
    // A leader that ended before its other threads is a zombie too, but lives on in them.
    found.ended = matches!(state, "Z" | "X" | "x") && threads <= 1;
    Some(())
}

/// `Uid:` and `Gid:` have the real, effective, saved and file system number.
/// The name in the first line is escaped by the kernel and cannot make a line of its own.
/// A number that is a thread and not a process is refused.
fn parse_status(text: &[u8], found: &mut Found) -> Option<()> {
    let value = |key: &[u8]| text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(key));
    let two = |line: &[u8]| {
        let mut numbers = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(number);
        Some((numbers.next()??, numbers.next()??))
    };
    if number(value(b"Tgid:")?.trim_ascii())? != found.pid {
        return None;
    }
    (found.uid, found.euid) = two(value(b"Uid:")?)?;
    (found.gid, found.egid) = two(value(b"Gid:")?)?;
    Some(())
}

/// The line of the v2 tree, `0::/path`; a cgroup that was removed while processes
/// were ending in it has ` (deleted)` behind.
fn parse_cgroup(text: &[u8]) -> Option<&[u8]> {
    let path = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    Some(path.strip_suffix(b" (deleted)").unwrap_or(path))
}

fn read_exe(directory: &OwnedFd, found: &mut Found) {
    (found.exe, found.exe_deleted, found.exe_memfd) = (None, false, false);
    // Refused, or a kernel thread's or a zombie's: there is no image to name.
    let Ok(link) = readlinkat(directory, "exe") else { return };
    let mut path = link.into_vec();
    if let Some(stem) = path.strip_suffix(b" (deleted)").filter(|_| !is_named_so(directory, &path)) {
        found.exe_memfd = stem.starts_with(b"/memfd:");
        found.exe_deleted = true;
        path.truncate(path.len() - b" (deleted)".len());
    }
    found.exe = Some(path);
}

/// Whether the image really lies in a file whose own name ends in ` (deleted)`.
fn is_named_so(directory: &OwnedFd, path: &[u8]) -> bool {
    let image = fstatat(directory.as_fd(), "exe", AtFlags::empty());
    let file = stat(OsStr::from_bytes(path));
    let same = |a: nix::sys::stat::FileStat, b: nix::sys::stat::FileStat| {
        (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
    };
    matches!((image, file), (Ok(image), Ok(file)) if same(image, file))
}

/// A number in digits alone.
fn number(text: &[u8]) -> Option<u32> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use super::*;

    const PROC: &str = "/proc";

    #[test]
    fn a_comm_of_any_bytes_does_not_move_the_fields() {
        let tail = ") S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 99 1 2\n";
        for comm in [&b"sh"[..], b") (", b"a) R 1 2", b"\n\n", b"", b"(((", b"\xff) S 1"] {
            let text = [b"12 (", comm, tail.as_bytes()].concat();
            let mut found = Found::default();
            parse_stat(&text, &mut found).unwrap();
            assert_eq!((&found.comm[..], found.ppid, found.start_ticks), (comm, 7, 99), "{comm:?}");
            assert!(!found.kernel_thread && !found.ended);
        }
    }

    #[test]
    fn broken_texts_are_refused() {
        for text in [
            &b""[..],
            b"1",
            b"1 (x",
            b"1 x)",
            b") 1 (x",
            b"1 (x) S",
            b"1 (x) S a",
            b"1 (x) S 1 2 3",
            b"1 (x) \xff",
        ] {
            assert_eq!(parse_stat(text, &mut Found::default()), None, "{text:?}");
        }
        for text in
            [&b""[..], b"Tgid:\t0\n", b"Tgid:\t0\nUid:\t1\nGid:\t1\t2", b"Tgid:\t1\nUid:\t1\t1\nGid:\t1\t1\n"]
        {
            assert_eq!(parse_status(text, &mut Found::default()), None, "{text:?}");
        }
        let mut found = Found { pid: 5, ..Found::default() };
        parse_status(b"Name:\tUid:\\n\nTgid:\t5\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n", &mut found).unwrap();
        assert_eq!((found.uid, found.euid, found.gid, found.egid), (1, 2, 5, 6));
    }

    #[test]
    fn no_mutation_of_a_real_text_panics() {
        let read = |name: &str| fs::read(Path::new("/proc/self").join(name)).unwrap();
        for text in [read("stat"), read("status"), read("cgroup")] {
            for at in 0..text.len() {
                for byte in [0, b'(', b')', b' ', b'\n', b':', b'-', b'9', 0xff] {
                    let mut changed = text.clone();
                    changed[at] = byte;
                    let mut found = Found::default();
                    let _ = parse_stat(&changed, &mut found);
                    let _ = parse_status(&changed, &mut found);
                    let _ = parse_cgroup(&changed);
                    let _ = crate::enrich::cgroup::identify(&String::from_utf8_lossy(&changed));
                }
                let _ = parse_stat(&text[at..], &mut Found::default());
                let _ = parse_stat(&text[..at], &mut Found::default());
            }
        }
    }

    #[test]
    fn the_v2_line_is_found_among_those_of_v1() {
        let hybrid = b"9:name=systemd:/a\n4:memory:/b:c\n0::/system.slice/ssh.service\n";
        assert_eq!(parse_cgroup(hybrid), Some(&b"/system.slice/ssh.service"[..]));
        assert_eq!(parse_cgroup(b"0::/a.service (deleted)\n"), Some(&b"/a.service"[..]));
        assert_eq!(parse_cgroup(b"1:cpu:/0::/x\n"), None);
    }

    #[test]
    fn zombies_and_kernel_threads_are_told() {
        let stat = |state: &str, flags: u64, threads: u32| {
            let text = format!("2 (k) {state} 0 0 0 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 {threads} 0 3 0");
            let mut found = Found::default();
            parse_stat(text.as_bytes(), &mut found).unwrap();
            (found.ended, found.kernel_thread)
        };
        assert_eq!(stat("S", 2_129_984, 1), (false, true));
        assert_eq!(stat("Z", 4_194_560, 1), (true, false));
        assert_eq!(stat("Z", 4_194_560, 4), (false, false));
    }

    #[test]
    fn this_process_is_found_as_it_is() {
        let pid = std::process::id();
        let me = one(Path::new(PROC), pid).unwrap();
        assert_eq!(me.pid, pid);
        assert_eq!(me.ppid, std::os::unix::process::parent_id());
        assert_eq!(me.exe.as_deref(), Some(std::env::current_exe().unwrap().as_os_str().as_bytes()));
        assert_eq!(me.args, fs::read("/proc/self/cmdline").unwrap());
        assert_eq!((me.uid, me.euid), (nix::unistd::getuid().as_raw(), nix::unistd::geteuid().as_raw()));
        assert_eq!((me.gid, me.egid), (nix::unistd::getgid().as_raw(), nix::unistd::getegid().as_raw()));
        assert!(!me.exe_deleted && !me.exe_memfd && !me.kernel_thread && !me.ended && me.start_ticks > 0);
    }

    /// The process once its exec is through: a spawn returns when the new memory is in place, which is
    /// a moment before the kernel notes where the arguments lie in it.
    fn settled(child: &Child) -> Found {
        loop {
            let found = one(Path::new(PROC), child.id()).unwrap();
            if !found.args.is_empty() || found.ended {
                return found;
            }
        }
    }

    /// A copy of sleep(1) that can be named and removed.
    fn sleeper(name: &str) -> (Child, std::path::PathBuf) {
        let directory = std::env::temp_dir().join(format!("bee-proc-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join(name);
        fs::copy("/bin/sleep", &path).unwrap();
        // Another test may fork while our copy is still open for writing there.
        for _ in 0..100 {
            match Command::new(&path).arg0("sleep").arg("60").stdout(Stdio::null()).spawn() {
                Ok(child) => return (child, path),
                Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("{}: still busy", path.display());
    }

    #[test]
    fn a_removed_image_is_told_from_one_that_is_only_named_so() {
        let (mut gone, gone_path) = sleeper("gone");
        let (mut named, named_path) = sleeper("x (deleted)");
        fs::remove_file(&gone_path).unwrap();
        let found = settled(&gone);
        let kept = settled(&named);
        gone.kill().unwrap();
        named.kill().unwrap();
        assert_eq!((found.exe.as_deref(), found.exe_deleted), (Some(gone_path.as_os_str().as_bytes()), true));
        assert_eq!(found.args, b"sleep\x0060\0");
        assert_eq!((kept.exe.as_deref(), kept.exe_deleted), (Some(named_path.as_os_str().as_bytes()), false));
        // Killed and not yet waited for.
        let mut dead = one(Path::new(PROC), gone.id()).unwrap();
        while !dead.ended {
            dead = one(Path::new(PROC), gone.id()).unwrap();
        }
        assert_eq!((dead.exe, dead.args), (None, vec![]));
        gone.wait().unwrap();
        named.wait().unwrap();
        assert_eq!(one(Path::new(PROC), gone.id()), None);
        fs::remove_dir_all(gone_path.parent().unwrap()).unwrap();
    }

    #[test]
    fn long_arguments_are_cut_and_flagged() {
        let mut child =
            Command::new("sleep").arg("60").arg("0".repeat(5000)).stdout(Stdio::null()).spawn().unwrap();
        let found = settled(&child);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((found.args.len(), found.args_truncated), (ARGS_LIMIT, true));
        assert!(found.args.starts_with(b"sleep\x0060\x00000"));
    }

    #[test]
    fn a_scan_finds_all_while_processes_come_and_go() {
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    Command::new("true").status().unwrap();
                }
            });
            for _ in 0..5 {
                let mut pids = Vec::new();
                let count = scan(Path::new(PROC), |found| pids.push(found.pid)).unwrap();
                assert_eq!(count, pids.len());
                assert!(pids.contains(&std::process::id()) && pids.contains(&1));
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn what_is_no_process_is_none() {
        assert_eq!(one(Path::new(PROC), 0), None);
        assert_eq!(one(Path::new("/nonexistent"), 1), None);
        assert!(scan(Path::new("/nonexistent"), |_| ()).is_err());
        let thread = std::thread::spawn(|| {
            let tid = nix::unistd::gettid().as_raw().unsigned_abs();
            (tid != std::process::id()).then(|| one(Path::new(PROC), tid))
        });
        assert_eq!(thread.join().unwrap(), Some(None));
    }
}
