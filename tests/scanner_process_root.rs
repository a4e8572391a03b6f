//! The scanner as a process: what it may do, what it gives away, what it does
//! with hostile messages, and how either end notices that the other is gone.
//! Needs root; without it the tests fail and say so.
#![allow(clippy::unwrap_used)]

mod scanner_support;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use bee_trace::privilege;
use bee_trace::scanner::{self, Answer, Init, Request};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use scanner_support::{ACCOUNT, finish, in_namespace, put, scan, spawn, start, summary};

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

#[test]
fn root_a_daemon_without_privilege_still_has_its_scanner() {
    in_namespace(|base| {
        let home = base.join("home");
        put(&home.join("config.toml"));
        put(&home.join("key.kdbx"));
        fs::set_permissions(&home, PermissionsExt::from_mode(0o700)).unwrap();
        let scanner = spawn(base, "home/config.toml");
        privilege::lock_down(&ACCOUNT, false).unwrap();
        assert!(File::open(home.join("config.toml")).is_err());

        // Long enough for the memfd; the filter has to let all of it through.
        let mut patterns: Vec<String> = (0..2_000).map(|n| format!("/nowhere/file-number-{n}")).collect();
        patterns.push("*.kdbx".into());
        let request = Request::Scan {
            id: 1,
            watch: patterns,
            watch_write: vec![],
            ignore: vec![],
            skip: vec!["/usr".into()],
        };
        assert!(scanner.request(&request).unwrap());
        assert!(summary(finish(&scanner, 1).0).files_taught >= 1);
        assert!(scanner.request(&Request::Config { id: 2 }).unwrap());
        let mut fds = [PollFd::new(scanner.fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(20_000u16)).unwrap(), 1);
        let reply = scanner.read_reply().unwrap().unwrap();
        assert_eq!(reply.answer, Answer::Config { id: 2, paths: vec![home.join("config.toml")] });
        let mut text = String::new();
        File::from(reply.files.into_iter().next().unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "secret");

        let pid = scanner.pid();
        scanner.kill();
        let mut fds = [PollFd::new(scanner.fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(20_000u16)).unwrap(), 1);
        let error = scanner.read_reply().unwrap_err().to_string();
        assert!(error.contains("ended by SIGKILL"), "{error}");
        drop(scanner);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    });
}

#[test]
fn root_a_scanner_that_cannot_shut_itself_in_is_an_error_with_the_reason() {
    in_namespace(|base| {
        nix::unistd::setuid(ACCOUNT.uid).unwrap();
        let init = Init {
            account: ACCOUNT,
            config: base.join("config.toml"),
            mountinfo: "/proc/self/mountinfo".into(),
        };
        let error = scanner::spawn(init).err().unwrap().to_string();
        assert!(error.starts_with("start the scanner: "), "{error}");
        assert!(error.contains("drop privileges: "), "{error}");
    });
}

#[test]
fn root_a_full_queue_is_told_and_nothing_in_it_is_lost() {
    in_namespace(|base| {
        put(&base.join("a/b.kdbx"));
        let scanner = start(base);
        assert!(scanner.request(&scan(1, &["*.kdbx"], base)).unwrap());
        assert!(matches!(finish(&scanner, 1).0, Answer::Done { .. }));
        nix::sys::signal::kill(scanner.pid(), nix::sys::signal::Signal::SIGSTOP).unwrap();
        let mut sent = 0;
        while scanner.request(&Request::Tree { id: 2, path: base.join("a") }).unwrap() {
            sent += 1;
            assert!(sent < 100_000, "the queue has no end");
        }
        assert!(sent > 10, "{sent}");
        nix::sys::signal::kill(scanner.pid(), nix::sys::signal::Signal::SIGCONT).unwrap();
        let mut answered = 0;
        while answered < sent {
            let mut fds = [PollFd::new(scanner.fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, PollTimeout::from(60_000u16)).unwrap(), 1, "{answered} of {sent}");
            while let Some(reply) = scanner.read_reply().unwrap() {
                assert_eq!(summary(reply.answer).files_taught, 1);
                answered += 1;
            }
        }
        assert!(scanner.request(&scan(3, &["*.kdbx"], base)).unwrap());
        assert!(matches!(finish(&scanner, 3).0, Answer::Done { .. }));
    });
}
