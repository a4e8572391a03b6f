//! The scanner, on real file systems in a mount namespace of the test's own.
//! What it opens is taken from its system calls (ptrace), not from what it says.
//! Needs root; without it the tests fail and say so.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use bee_trace::privilege::Account;
use bee_trace::scanner::mounts::{self, Class};
use bee_trace::scanner::{self, Answer, Coverage, Init, Request, Scanner, Summary};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Pid, Uid, fork, geteuid, pipe};

const ACCOUNT: Account = Account { uid: Uid::from_raw(54_321), gid: Gid::from_raw(54_322) };

/// Runs `body` in a child with one thread and mounts of its own, with a fresh
/// tmpfs at the path it is given.
fn in_namespace(body: impl FnOnce(&Path)) {
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

fn tmpfs(at: &Path) {
    mount(Some("bee"), at, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
}

fn bind(from: &Path, to: &Path) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}

fn put(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "secret").unwrap();
}

fn start(base: &Path) -> Scanner {
    spawn(base, "config.toml")
}

fn spawn(base: &Path, config: &str) -> Scanner {
    let init = Init { account: ACCOUNT, config: base.join(config), mountinfo: "/proc/self/mountinfo".into() };
    scanner::spawn(init).unwrap()
}

fn scan(id: u32, watch: &[&str], base: &Path) -> Request {
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
fn everything_but(base: &Path) -> Vec<PathBuf> {
    let top = Path::new("/").join(base.components().nth(1).unwrap());
    let mut skip: Vec<PathBuf> = fs::read_dir("/").unwrap().map(|entry| entry.unwrap().path()).collect();
    skip.retain(|path| *path != top);
    skip.extend(fs::read_dir(&top).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path != base));
    skip
}

/// Waits for replies until one is neither a `Mount` nor anything for another request.
fn finish(scanner: &Scanner, id: u32) -> (Answer, Vec<(PathBuf, Coverage, String)>) {
    let mut mounts = Vec::new();
    loop {
        let mut fds = [PollFd::new(scanner.fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(20_000u16)).unwrap(), 1, "no reply in 20 s");
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

fn summary(answer: Answer) -> Summary {
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
fn lessons(scanner: &Scanner, request: &Request) -> BTreeSet<(u64, PathBuf, u64)> {
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

#[test]
fn root_every_watched_file_is_opened_with_its_mode_and_nothing_else() {
    in_namespace(|base| {
        for file in [
            "home/ann/.ssh/id_ed25519",
            "home/ann/.ssh/id_ed25519.pub",
            "home/ann/.ssh/other",
            "w/settings",
            "w/deep/er/file",
            "etc/shadow",
            "etc/passwd",
            "my disk/a\nb.kdbx",
            "sub/mount/key.kdbx",
        ] {
            put(&base.join(file));
        }
        // Hidden by a mount: not to be seen, and what covers it is.
        tmpfs(&base.join("sub/mount"));
        put(&base.join("sub/mount/inner.kdbx"));
        fs::set_permissions(base.join("home/ann"), PermissionsExt::from_mode(0o700)).unwrap();
        nix::sys::stat::mknod(
            &base.join("etc/disk.kdbx"),
            nix::sys::stat::SFlag::S_IFBLK,
            nix::sys::stat::Mode::S_IRUSR,
            nix::sys::stat::makedev(7, 200),
        )
        .unwrap();
        // Directories are walked, not taught, whatever their name.
        fs::create_dir(base.join("dir.kdbx")).unwrap();

        let scanner = start(base);
        let shadow = base.join("etc/shadow");
        let request = scan(1, &["~/.ssh/id_*", "*.kdbx", shadow.to_str().unwrap()], base);
        let found = lessons(&scanner, &request);

        let lesson = (libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64;
        let of_mode = |mode: u64| -> BTreeSet<PathBuf> {
            let found = found.iter().filter(|(m, ..)| *m == mode && found.len() < 100);
            found
                .map(|(_, path, _)| path.strip_prefix(base).map_or(path.clone(), Path::to_path_buf))
                .collect()
        };
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
        assert_eq!(
            of_mode(1),
            paths(&[
                "home/ann/.ssh/id_ed25519",
                "etc/shadow",
                "etc/disk.kdbx",
                "my disk/a\nb.kdbx",
                "sub/mount/inner.kdbx"
            ])
        );
        assert_eq!(of_mode(2), paths(&["w/settings", "w/deep/er/file"]));
        assert!(of_mode(4).is_superset(&paths(&["", "sub/mount"])), "{:?}", of_mode(4));
        for (mode, path, flags) in &found {
            let wanted = if *mode == 4 { lesson | libc::O_DIRECTORY as u64 } else { lesson };
            assert_eq!(*flags, wanted, "{mode} {}", path.display());
        }
    });
}

#[test]
fn root_links_are_taught_by_their_target_unless_somebody_else_owns_it() {
    in_namespace(|base| {
        for file in ["store/real", "store/roots", "store/far"] {
            put(&base.join(file));
        }
        let keys = base.join("keys");
        fs::create_dir(&keys).unwrap();
        chown(base.join("store/real"), Some(1000), Some(1000)).unwrap();
        let link = |target: &str, name: &str| {
            symlink(target, keys.join(name)).unwrap();
            std::os::unix::fs::lchown(keys.join(name), Some(1000), Some(1000)).unwrap();
        };
        link("../store/./real", "good.kdbx");
        link("../store/roots", "bad.kdbx");
        link("loop.kdbx", "loop.kdbx");
        link("/proc/self/mem", "away.kdbx");
        link("../store", "directory.kdbx");
        link("nowhere", "dangling.kdbx");
        symlink(base.join("store/far"), keys.join("absolute.kdbx")).unwrap();
        let scanner = start(base);
        let found = lessons(&scanner, &scan(1, &["*.kdbx"], base));
        let taught: BTreeSet<_> =
            found.into_iter().filter(|(mode, ..)| *mode == 1).map(|(_, path, _)| path).collect();
        let mut wanted = BTreeSet::from([base.join("store/real")]);
        // The absolute one leads through every directory above; on an overlay root it is not followed.
        let (mounts, _) = mounts::parse(&fs::read("/proc/self/mountinfo").unwrap());
        let walked = |path: &Path| {
            let point = path.as_os_str().as_encoded_bytes();
            let point = if point == b"/" { b"" } else { point };
            let mount = mounts.iter().rfind(|mount| mount.point == point);
            mount.is_none_or(|mount| mounts::class(&mount.kind, mount.device.0) == Class::Walk)
        };
        if base.ancestors().all(walked) {
            wanted.insert(base.join("store/far"));
        }
        assert_eq!(taught, wanted);
    });
}

#[test]
fn root_a_mount_is_complete_only_if_all_of_it_was_seen() {
    in_namespace(|base| {
        for directory in ["whole", "part", "hidden", "skipped", "alias"] {
            fs::create_dir(base.join(directory)).unwrap();
        }
        tmpfs(&base.join("whole"));
        put(&base.join("whole/inside/a.kdbx"));
        bind(&base.join("whole/inside"), &base.join("alias"));
        tmpfs(&base.join("hidden"));
        tmpfs(&base.join("hidden"));
        // Only a part of this file system stays mounted.
        tmpfs(&base.join("skipped"));
        put(&base.join("skipped/sub/b.kdbx"));
        bind(&base.join("skipped/sub"), &base.join("part"));
        nix::mount::umount(&base.join("skipped")).unwrap();

        let scanner = start(base);
        let alias = base.join("alias/*.kdbx");
        assert!(scanner.request(&scan(3, &["*.kdbx", alias.to_str().unwrap()], base)).unwrap());
        let (answer, mounts) = finish(&scanner, 3);
        let summary = summary(answer);
        let of = |name: &str| -> Vec<Coverage> {
            mounts
                .iter()
                .filter(|(point, ..)| *point == base.join(name))
                .map(|(_, coverage, _)| *coverage)
                .collect()
        };
        assert_eq!(of("whole"), [Coverage::Complete]);
        assert_eq!(of("part"), [Coverage::Partial]);
        assert_eq!(of("hidden"), [Coverage::Partial, Coverage::Complete]);
        assert_eq!(
            summary.mounts_complete + summary.mounts_partial + summary.mounts_skipped,
            mounts.len() as u32
        );
        // a.kdbx by both of its paths, for a pattern names the second; b.kdbx where it is to be seen.
        assert_eq!(summary.files_taught, 3, "{mounts:?}");
        for (point, coverage, why) in &mounts {
            assert_eq!(why.is_empty(), *coverage == Coverage::Complete, "{}: {why}", point.display());
        }
    });
}

#[test]
fn root_pseudo_file_systems_are_looked_up_and_never_walked() {
    in_namespace(|base| {
        let at = base.join("proc");
        fs::create_dir(&at).unwrap();
        mount(Some("proc"), &at, Some("proc"), MsFlags::empty(), None::<&str>).unwrap();
        let version = at.join("version");
        let scanner = start(base);
        let found = lessons(&scanner, &scan(1, &[version.to_str().unwrap(), "~/.ssh/*"], base));
        let taught: Vec<_> =
            found.iter().filter(|(mode, ..)| *mode == 1).map(|(_, path, _)| path.clone()).collect();
        assert_eq!(taught, [version]);

        let wild = format!("{}/*/mem", at.display());
        assert!(scanner.request(&scan(2, &[&wild], base)).unwrap());
        let (answer, mounts) = finish(&scanner, 2);
        assert_eq!(summary(answer).files_taught, 0);
        let why =
            mounts.iter().find(|(_, coverage, why)| *coverage == Coverage::Partial && why.contains(&wild));
        assert!(why.is_some(), "{mounts:?}");
    });
}

#[test]
fn root_a_tree_is_taught_again_by_the_last_patterns() {
    in_namespace(|base| {
        put(&base.join("a/one.kdbx"));
        let scanner = start(base);
        assert!(scanner.request(&Request::Tree { id: 1, path: base.join("a") }).unwrap());
        assert!(
            matches!(finish(&scanner, 1).0, Answer::Failed { why, .. } if why.contains("no scan request"))
        );
        assert!(scanner.request(&scan(2, &["*.kdbx"], base)).unwrap());
        assert_eq!(summary(finish(&scanner, 2).0).files_taught, 1);

        put(&base.join("b/c/two.kdbx"));
        put(&base.join("b/three.kdbx"));
        fs::create_dir(base.join("b/new")).unwrap();
        tmpfs(&base.join("b/new"));
        put(&base.join("b/new/four.kdbx"));
        let tree = |id, path: &str| {
            assert!(scanner.request(&Request::Tree { id, path: base.join(path) }).unwrap());
            let (answer, mounts) = finish(&scanner, id);
            (summary(answer), mounts)
        };
        let (all, mounts) = tree(3, "b");
        assert_eq!((all.files_taught, all.mounts_complete, all.errors), (3, 1, 0));
        assert_eq!(mounts[0].0, base.join("b/new"));
        let (new, mounts) = tree(4, "b/new");
        assert_eq!((new.files_taught, mounts[0].1), (1, Coverage::Complete));
        assert_eq!(tree(5, "b/three.kdbx").0.files_taught, 1);
        assert_eq!(tree(6, "gone").0.files_taught, 0);
    });
}

#[test]
fn root_deep_and_wide_trees_are_survived() {
    in_namespace(|base| {
        for number in 0..3_001 {
            put(&base.join(format!("wide/d{number}/k.kdbx")));
        }
        // Deeper than any path can be long; built downwards, as an attacker would.
        fs::create_dir(base.join("deep")).unwrap();
        std::env::set_current_dir(base.join("deep")).unwrap();
        for _ in 0..700 {
            fs::create_dir("dddddddd").unwrap();
            std::env::set_current_dir("dddddddd").unwrap();
        }
        fs::write("too-deep.kdbx", "").unwrap();
        std::env::set_current_dir("/").unwrap();
        let scanner = start(base);
        assert!(scanner.request(&scan(1, &["*.kdbx"], base)).unwrap());
        let (answer, mounts) = finish(&scanner, 1);
        let summary = summary(answer);
        assert_eq!(summary.files_taught, 3_001);
        assert_eq!(summary.errors, 1);
        let (_, coverage, why) = mounts.iter().find(|(point, ..)| point == base).unwrap();
        assert_eq!((*coverage, why.as_str()), (Coverage::Partial, "1 entries could not be read"));
    });
}

#[test]
fn root_a_newer_scan_takes_the_place_of_the_older() {
    in_namespace(|base| {
        for number in 0..2_000 {
            fs::create_dir_all(base.join(format!("d{number}/e"))).unwrap();
        }
        put(&base.join("d7/a.kdbx"));
        put(&base.join("d8/b.key"));
        let scanner = start(base);
        // Stopped, so that both wait when it looks.
        nix::sys::signal::kill(scanner.pid(), nix::sys::signal::Signal::SIGSTOP).unwrap();
        assert!(scanner.request(&scan(1, &["*.kdbx"], base)).unwrap());
        assert!(scanner.request(&Request::Tree { id: 2, path: base.join("d8") }).unwrap());
        assert!(scanner.request(&scan(3, &["*.key", "*.kdbx"], base)).unwrap());
        nix::sys::signal::kill(scanner.pid(), nix::sys::signal::Signal::SIGCONT).unwrap();
        let mut ends = Vec::new();
        while ends.len() < 3 {
            let mut fds = [PollFd::new(scanner.fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, PollTimeout::from(20_000u16)).unwrap(), 1);
            while let Some(reply) = scanner.read_reply().unwrap() {
                if !matches!(reply.answer, Answer::Mount { .. }) {
                    ends.push(reply.answer);
                }
            }
        }
        ends.sort_by_key(|answer| match answer {
            Answer::Superseded { id } | Answer::Done { id, .. } => *id,
            other => panic!("{other:?}"),
        });
        assert_eq!(ends[..2], [Answer::Superseded { id: 1 }, Answer::Superseded { id: 2 }]);
        assert_eq!(summary(ends.remove(2)).files_taught, 2);
    });
}

#[test]
fn root_config_gives_the_fixed_files_and_only_them() {
    in_namespace(|base| {
        let home = base.join("home");
        put(&home.join("etc/config.toml"));
        for file in
            ["config.d/10.toml", "config.d/20.toml", "config.d/readme", "config.d/.hidden.toml", "other.toml"]
        {
            put(&home.join("etc").join(file));
        }
        fs::set_permissions(&home, PermissionsExt::from_mode(0o700)).unwrap();
        let scanner = spawn(base, "home/etc/config.toml");
        let ask = |id| {
            assert!(scanner.request(&Request::Config { id }).unwrap());
            let mut fds = [PollFd::new(scanner.fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, PollTimeout::from(20_000u16)).unwrap(), 1);
            scanner.read_reply().unwrap().unwrap()
        };
        let reply = ask(9);
        let etc = home.join("etc");
        let names = vec![etc.join("config.toml"), etc.join("config.d/10.toml"), etc.join("config.d/20.toml")];
        assert_eq!(reply.answer, Answer::Config { id: 9, paths: names });
        for fd in reply.files {
            let flags = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_GETFL).unwrap();
            assert_eq!(flags & libc::O_ACCMODE, libc::O_RDONLY);
            let mut text = String::new();
            File::from(fd).read_to_string(&mut text).unwrap();
            assert_eq!(text, "secret");
        }
        // Whoever may write there gets nothing of another owner's by a link, and no FIFO keeps us waiting.
        symlink("/etc/shadow", etc.join("config.d/30.toml")).unwrap();
        std::os::unix::fs::lchown(etc.join("config.d/30.toml"), Some(1000), Some(1000)).unwrap();
        assert!(matches!(ask(10).answer, Answer::Failed { id: 10, why } if why.contains("another owner")));
        fs::remove_file(etc.join("config.d/30.toml")).unwrap();
        nix::unistd::mkfifo(&etc.join("config.d/40.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(
            matches!(ask(11).answer, Answer::Failed { id: 11, why } if why.contains("not a regular file"))
        );
        fs::remove_file(etc.join("config.d/40.toml")).unwrap();
        for number in 0..64 {
            put(&etc.join(format!("config.d/n{number}.toml")));
        }
        assert!(matches!(ask(12).answer, Answer::Failed { id: 12, why } if why.contains("at most 63")));
    });
}

fn field(pid: Pid, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name}")).trim().to_owned()
}

#[test]
fn root_the_process_has_one_capability_and_nothing_of_the_daemons() {
    in_namespace(|base| {
        let kept = File::open("/etc/passwd").unwrap();
        let scanner = start(base);
        let pid = scanner.pid();
        assert_eq!(field(pid, "Name"), "bee-scanner");
        for (name, value) in [("CapPrm", 4), ("CapEff", 4), ("CapInh", 0), ("CapBnd", 0), ("CapAmb", 0)] {
            assert_eq!(field(pid, name), format!("{value:016x}"), "{name}");
        }
        assert_eq!(field(pid, "Uid"), "54321\t54321\t54321\t54321");
        assert_eq!(field(pid, "Groups"), "");
        assert_eq!((field(pid, "NoNewPrivs").as_str(), field(pid, "Seccomp").as_str()), ("1", "2"));
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        assert_eq!(stat.rsplit(") ").next().unwrap().split(' ').nth(16), Some("19"), "nice: {stat}");
        let open: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .map(|entry| fs::read_link(entry.unwrap().path()).unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(open.iter().filter(|path| *path == "/dev/null").count(), 3, "{open:?}");
        assert_eq!(open.iter().filter(|path| path.starts_with("socket:")).count(), 1, "{open:?}");
        assert_eq!(open.len(), 4, "{open:?}");
        assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), Path::new("/"));
        drop(kept);
    });
}

#[test]
fn root_the_table_refuses_every_open_that_writes() {
    in_namespace(|base| {
        let file = base.join("file");
        put(&file);
        fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
        let path = std::ffi::CString::new(file.to_str().unwrap()).unwrap();
        let directory = std::ffi::CString::new(base.to_str().unwrap()).unwrap();
        bee_trace::privilege::seccomp::install(scanner::TABLE).unwrap();
        let open = |path: &std::ffi::CStr, flags: i32| {
            // SAFETY: the path is a C string; what is opened is left to the end of the process.
            let fd = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600) };
            if fd < 0 { std::io::Error::last_os_error().raw_os_error().unwrap() } else { 0 }
        };
        assert_eq!(open(&path, libc::O_RDONLY), 0);
        assert_eq!(open(&path, libc::O_PATH | libc::O_NOFOLLOW), 0);
        assert_eq!(open(&directory, libc::O_RDONLY | libc::O_DIRECTORY), 0);
        for flags in [
            libc::O_WRONLY,
            libc::O_RDWR,
            libc::O_ACCMODE,
            libc::O_CREAT,
            libc::O_TRUNC,
            libc::O_APPEND,
            libc::O_PATH | libc::O_WRONLY,
        ] {
            assert_eq!(open(&path, flags), libc::EPERM, "{flags:o}");
        }
        assert_eq!(open(&directory, libc::O_TMPFILE | libc::O_RDWR), libc::EPERM);
        assert_eq!(open(&directory, libc::O_TMPFILE), libc::EPERM);
        // SAFETY: a null name is EFAULT where the call is not refused.
        let calls = [
            libc::SYS_openat2,
            libc::SYS_write,
            libc::SYS_execve,
            libc::SYS_socket,
            libc::SYS_clone,
            libc::SYS_unlinkat,
        ];
        for call in calls {
            // SAFETY: null pointers are EFAULT where the call is not refused.
            let result = unsafe { libc::syscall(call, -1, std::ptr::null::<u8>(), 0, 0) };
            assert_eq!(
                (result, std::io::Error::last_os_error().raw_os_error()),
                (-1, Some(libc::EPERM)),
                "{call}"
            );
        }
    });
}

#[test]
fn root_hostile_messages_are_refused_and_the_next_is_answered() {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    use std::io::IoSlice;
    use std::os::fd::AsRawFd;
    in_namespace(|base| {
        put(&base.join("a.kdbx"));
        let scanner = start(base);
        let raw = |bytes: &[u8], files: &[i32]| {
            let rights = [ControlMessage::ScmRights(files)];
            let control = if files.is_empty() { &[][..] } else { &rights[..] };
            sendmsg::<()>(scanner.fd().as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::empty(), None)
                .unwrap();
            let mut fds = [PollFd::new(scanner.fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, PollTimeout::from(20_000u16)).unwrap(), 1, "no reply to {bytes:?}");
            match scanner.read_reply().unwrap().unwrap().answer {
                Answer::Failed { id: 0, why } => why,
                other => panic!("{other:?}"),
            }
        };
        let big = File::options().read(true).open("/dev/zero").unwrap();
        let write_only = File::create(base.join("sink")).unwrap();
        for (bytes, files) in [
            (&b"\x63\0\0\0\0"[..], &[][..]),
            (b"\x01", &[]),
            (b"\x02\0\0\0\0\xff\xff\xff\xff/", &[]),
            (&[7u8; 40_000], &[]),
            (b"\xff", &[]),
            (b"\xff", &[write_only.as_fd().as_raw_fd()]),
            (b"\xff", &[big.as_fd().as_raw_fd()]),
        ] {
            assert!(raw(bytes, files).contains("malformed message"));
        }
        assert!(scanner.request(&scan(5, &["*.kdbx"], base)).unwrap());
        assert_eq!(summary(finish(&scanner, 5).0).files_taught, 1);
        assert!(scanner.request(&scan(6, &["**"], base)).unwrap());
        assert!(matches!(finish(&scanner, 6).0, Answer::Failed { why, .. } if why.contains("'**'")));
    });
}

#[test]
fn root_a_long_request_travels_whole() {
    in_namespace(|base| {
        put(&base.join("last.kdbx"));
        let scanner = start(base);
        let mut patterns: Vec<String> = (0..8_000).map(|n| format!("/nowhere/file-number-{n}")).collect();
        patterns.push("last.kdbx".into());
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let request = scan(1, &patterns, base);
        assert!(request.encode().unwrap().len() > 100_000);
        assert!(scanner.request(&request).unwrap());
        assert_eq!(summary(finish(&scanner, 1).0).files_taught, 1);
    });
}

#[test]
fn root_either_end_notices_that_the_other_is_gone() {
    in_namespace(|base| {
        let scanner = start(base);
        let pid = scanner.pid();
        // What a terminal sends to the whole group does not end it.
        for signal in [nix::sys::signal::Signal::SIGINT, nix::sys::signal::Signal::SIGTERM] {
            nix::sys::signal::kill(pid, signal).unwrap();
        }
        assert!(scanner.request(&scan(1, &["*.kdbx"], base)).unwrap());
        assert!(matches!(finish(&scanner, 1).0, Answer::Done { .. }));
        scanner.kill();
        let mut fds = [PollFd::new(scanner.fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(20_000u16)).unwrap(), 1);
        let error = scanner.read_reply().unwrap_err().to_string();
        assert!(error.contains("the scanner is gone: it was ended by SIGKILL"), "{error}");
        assert!(scanner.request(&Request::Config { id: 1 }).is_err());
        drop(scanner);

        let scanner = start(base);
        let pid = scanner.pid();
        drop(scanner);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    });
}

/// The whole machine, with the patterns of a default configuration; prints how long it took.
#[test]
fn root_the_whole_machine() {
    in_namespace(|base| {
        let scanner = start(base);
        let watch: Vec<String> =
            ["/etc/shadow", "~/.ssh/*", "*.kdbx", ".env*", "/proc/kcore", "/dev/mem", "id_rsa"]
                .map(str::to_owned)
                .to_vec();
        let request =
            Request::Scan { id: 1, watch, watch_write: vec![], ignore: vec!["*.pub".into()], skip: vec![] };
        for id in 0..2 {
            assert!(scanner.request(&request).unwrap());
            let (answer, mounts) = finish(&scanner, 1);
            let summary = summary(answer);
            assert!(summary.directories > 100, "{summary:?}");
            assert!(summary.files_taught > 0);
            println!("walk {id}: {summary:?}\n{mounts:?}");
        }
    });
}
