//! Letting go of privileges, tried for real. Every test forks: what is given up
//! does not come back. Needs root; without it the tests say so and fail.
#![allow(clippy::unwrap_used, clippy::cast_sign_loss)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use bee_trace::privilege::{self, Account, seccomp, selftest, status};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Gid, Uid, fork, geteuid, pipe};

/// Nobody of this machine; no passwd entry is needed to become it.
const ACCOUNT: Account = Account { uid: Uid::from_raw(54_321), gid: Gid::from_raw(54_322) };

/// Runs `body` in a child with one thread and returns what it said; a failed
/// assertion in it fails the test with its text.
fn in_child(body: impl FnOnce(&mut File)) -> String {
    assert!(geteuid().is_root(), "this test needs root");
    let (reader, writer) = pipe().unwrap();
    let mut writer = File::from(writer);
    // SAFETY: the child only runs `body`, writes to the pipe and ends; glibc's malloc is usable after fork.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            drop(reader);
            let said = writer.try_clone().unwrap();
            std::panic::set_hook(Box::new(move |info| {
                let _ = writeln!(&said, "{info}");
            }));
            let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(&mut writer))).is_ok();
            // SAFETY: ends the child without the test harness's exit handlers.
            unsafe { libc::_exit(if ok { 0 } else { 1 }) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut text = String::new();
            File::from(reader).read_to_string(&mut text).unwrap();
            assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0), "{text}");
            text
        }
    }
}

#[repr(C)]
struct MapElement {
    fd: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// An array of three u64.
fn make_map() -> OwnedFd {
    let attr: [u32; 5] = [2, 4, 8, 3, 0];
    // SAFETY: BPF_MAP_CREATE with an attribute of the size given.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 0, attr.as_ptr(), size_of_val(&attr)) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: just made, owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap()) }
}

fn map_call(command: i32, map: BorrowedFd<'_>, key: u32, value: &mut u64) -> i64 {
    let attr = MapElement {
        fd: map.as_raw_fd() as u32,
        pad: 0,
        key: (&raw const key) as u64,
        value: std::ptr::from_mut(value) as u64,
        flags: 0,
    };
    // SAFETY: key and value have the sizes the map was made with.
    unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size_of::<MapElement>()) }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap()
}

#[test]
fn root_keeps_nothing_in_any_thread() {
    in_child(|_| {
        nix::unistd::setgroups(&[Gid::from_raw(4), Gid::from_raw(6)]).unwrap();
        let before = status::threads().unwrap().remove(0);
        assert!(before.effective != 0 && before.bounding != 0, "{before:?}");
        assert_eq!(before.groups, [4, 6]);
        let proofs = privilege::lock_down(&ACCOUNT, false).unwrap();
        assert!(proofs.len() >= 18);

        let (go, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("sink".into()).spawn(move || wait.recv()).unwrap();
        let threads = status::threads().unwrap();
        assert_eq!(threads.len(), 2);
        for thread in &threads {
            assert_eq!(thread.excess(0), Vec::<String>::new());
            assert_eq!(thread.uids, [54_321; 4]);
            assert_eq!(thread.gids, [54_322; 4]);
            assert_eq!(thread.groups, Vec::<u32>::new());
            let sets =
                [thread.inheritable, thread.permitted, thread.effective, thread.bounding, thread.ambient];
            assert_eq!(sets, [0; 5]);
        }
        status::verify_all_threads(false).unwrap();
        go.send(()).unwrap();
        thread.join().unwrap().unwrap();
    });
}

#[test]
fn root_each_forbidden_act_is_refused_after_and_found_open_before() {
    in_child(|_| {
        privilege::drop_all(&ACCOUNT, false).unwrap();
        // Without the filter the same attempts must be seen as not refused, or the proof proves nothing.
        let open: Vec<_> =
            selftest::prove().into_iter().filter(|proof| !proof.refused).map(|proof| proof.what).collect();
        for what in [
            "open a network connection",
            "talk netlink",
            "execute a program",
            "execute a descriptor",
            "start a process",
            "make memory executable",
            "mount a file system",
            "use io_uring",
            "read the kernel's keys",
        ] {
            assert!(open.contains(&what), "{what} passed for refused without a filter; open: {open:?}");
        }
        // Refused by the kernel alone: the user is gone and the capabilities are.
        for what in ["read the password hashes", "become root", "attach to another process with ptrace"] {
            assert!(!open.contains(&what), "{what}");
        }
    });
    in_child(|_| {
        privilege::drop_all(&ACCOUNT, false).unwrap();
        seccomp::install(seccomp::DAEMON).unwrap();
        for proof in selftest::prove() {
            assert!(proof.refused, "{proof:?}");
        }
    });
}

#[test]
fn root_as_root_the_secrets_are_found_open() {
    in_child(|_| {
        let (reader, _writer) = pipe().unwrap();
        seccomp::install(&[
            seccomp::Row {
                number: libc::SYS_openat,
                name: "openat",
                when: seccomp::When::Always,
                why: "test",
            },
            seccomp::Row { number: libc::SYS_close, name: "close", when: seccomp::When::Always, why: "test" },
            seccomp::Row { number: libc::SYS_write, name: "write", when: seccomp::When::Always, why: "test" },
        ])
        .unwrap();
        let proofs = selftest::prove();
        let open: Vec<_> = proofs.iter().filter(|proof| !proof.refused).map(|proof| proof.what).collect();
        assert_eq!(open, ["read the password hashes"]);
        drop(reader);
    });
}

#[test]
fn root_held_maps_stay_usable_and_new_ones_are_refused() {
    let map = make_map();
    in_child(|_| {
        use std::os::fd::AsFd;
        privilege::lock_down(&ACCOUNT, false).unwrap();
        let mut value = 4711;
        assert_eq!(map_call(2, map.as_fd(), 1, &mut value), 0, "update: errno {}", errno());
        value = 0;
        assert_eq!(map_call(1, map.as_fd(), 1, &mut value), 0, "look-up: errno {}", errno());
        assert_eq!(value, 4711);
        for command in [0, 5, 6, 7, 8, 9, 10, 12, 13, 14, 17, 18, 19, 22, 23, 28, 29, 30, 32, 34, 35, 36] {
            assert_eq!(map_call(command, map.as_fd(), 1, &mut value), -1, "command {command}");
            assert_eq!(errno(), libc::EPERM, "command {command}");
        }
        // The kernel takes the command as an int: high bits must not smuggle one past the filter.
        // SAFETY: a refused call reads no memory; were it not refused, a null attribute is EFAULT.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, 0x1_0000_0005_u64, std::ptr::null::<u8>(), 72usize) };
        assert_eq!((result, errno()), (-1, libc::EPERM));
    });
}

#[test]
fn root_the_map_trial_tells_both_kinds_of_kernel_apart() {
    use std::os::fd::AsFd;
    let map = make_map();
    in_child(|_| {
        assert!(!privilege::needs_cap_bpf(map.as_fd(), &ACCOUNT).unwrap());
        assert!(geteuid().is_root(), "the trial must not cost the parent its privileges");
    });
    in_child(|_| {
        // An older kernel answers every bpf() of an unprivileged process with EPERM; so does this
        // filter look-ups, and lets the parent's question for the map's size pass.
        use seccompiler::{
            SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        };
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, 1).unwrap();
        let rules = [(libc::SYS_bpf, vec![SeccompRule::new(vec![condition]).unwrap()])].into_iter().collect();
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            SeccompAction::Errno(libc::EPERM as u32),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: seccompiler::BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        assert!(privilege::needs_cap_bpf(map.as_fd(), &ACCOUNT).unwrap());
    });
}

#[test]
fn root_cap_bpf_is_kept_only_when_asked_for_and_is_no_use_for_loading() {
    in_child(|_| {
        let proofs = privilege::lock_down(&ACCOUNT, true).unwrap();
        assert!(proofs.iter().any(|proof| proof.what == "load an eBPF program" && proof.refused));
        let thread = status::threads().unwrap().remove(0);
        assert_eq!((thread.permitted, thread.effective), (status::CAP_BPF_BIT, status::CAP_BPF_BIT));
        assert_eq!((thread.inheritable, thread.bounding, thread.ambient), (0, 0, 0));
        let error = status::verify_all_threads(false).unwrap_err().to_string();
        assert!(error.contains("CapPrm is 0000008000000000"), "{error}");
    });
}

#[test]
fn root_a_second_thread_stops_the_drop_before_anything_is_lost() {
    in_child(|_| {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        let error = privilege::drop_all(&ACCOUNT, false).unwrap_err().to_string();
        assert!(error.contains("there are 2 threads"), "{error}");
        assert!(geteuid().is_root());
        drop(go);
        assert!(thread.join().unwrap().is_err());
    });
}

#[test]
fn root_what_the_daemon_still_reads_of_itself_can_be_read() {
    in_child(|_| {
        privilege::lock_down(&ACCOUNT, false).unwrap();
        for path in ["status", "stat", "maps", "smaps_rollup", "mountinfo", "cgroup", "limits", "task"] {
            let path = format!("/proc/self/{path}");
            assert!(File::open(&path).is_ok(), "{path}: errno {}", errno());
        }
        assert!(std::fs::read_link("/proc/self/exe").is_ok());
        assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() > 0);
        // Not dumpable: memory and environment belong to root now, so nobody of our uid has them.
        for path in ["/proc/self/mem", "/proc/self/environ"] {
            assert!(File::open(path).is_err(), "{path}");
        }
    });
}

#[test]
fn root_files_can_be_rotated_and_the_clock_read_under_the_filter() {
    let directory = std::env::temp_dir().join(format!("bee-privilege-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    std::os::unix::fs::chown(&directory, Some(54_321), Some(54_322)).unwrap();
    in_child(|_| {
        privilege::lock_down(&ACCOUNT, false).unwrap();
        let (log, old) = (directory.join("log"), directory.join("log.1"));
        let mut file = File::options().append(true).create(true).open(&log).unwrap();
        file.write_all(b"line\n").unwrap();
        file.sync_all().unwrap();
        file.set_len(4).unwrap();
        assert_eq!(std::fs::metadata(&log).unwrap().len(), 4);
        std::fs::rename(&log, &old).unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        std::fs::remove_file(&old).unwrap();
        assert!(std::time::SystemTime::now() > std::time::UNIX_EPOCH);
        std::thread::sleep(std::time::Duration::from_millis(1));
        let (a, mut b) = std::os::unix::net::UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        (&a).write_all(b"x").unwrap();
        assert_eq!(b.read(&mut [0; 4]).unwrap(), 1);
        let map: std::collections::HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
        assert_eq!(map.len(), 10_000);
    });
    std::fs::remove_dir_all(&directory).unwrap();
}

#[cfg(target_arch = "x86_64")]
#[test]
fn root_a_call_by_the_i386_table_kills() {
    assert!(geteuid().is_root(), "this test needs root");
    // SAFETY: as in `in_child`; the child makes one call and ends.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let done = privilege::drop_all(&ACCOUNT, false).and_then(|()| seccomp::install(seccomp::DAEMON));
            if done.is_ok() {
                // SAFETY: getpid (20) of the 32-bit table touches no memory.
                unsafe {
                    std::arch::asm!("int 0x80", inlateout("rax") 20i64 => _, out("r8") _, out("r9") _, out("r10") _, out("r11") _)
                };
            }
            // SAFETY: ends the child; reached only if the kill did not come.
            unsafe { libc::_exit(7) }
        }
        ForkResult::Parent { child } => {
            let status = waitpid(child, None).unwrap();
            assert!(
                matches!(status, WaitStatus::Signaled(_, nix::sys::signal::Signal::SIGSYS, _)),
                "{status:?}"
            );
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn root_a_call_by_the_x32_table_is_refused() {
    in_child(|_| {
        privilege::lock_down(&ACCOUNT, false).unwrap();
        // Same architecture to the filter, other numbers: getpid, which is allowed, and execve of that table.
        for number in [0x4000_0000 | libc::SYS_getpid, 0x4000_0000 | 520] {
            // SAFETY: null pointers; getpid touches no memory.
            let result = unsafe { libc::syscall(number, 0, 0, 0) };
            assert_eq!((result, errno()), (-1, libc::EPERM), "{number:#x}");
        }
    });
}

#[test]
fn root_the_user_is_made_once_and_found_again() {
    assert!(geteuid().is_root(), "this test needs root");
    let name = format!("beetest{}", std::process::id());
    let made = privilege::ensure_user(&name);
    let again = privilege::ensure_user(&name);
    let removed = std::process::Command::new("userdel").arg(&name).output().unwrap();
    let made = made.unwrap();
    assert!(!made.uid.is_root() && made.gid.as_raw() != 0);
    assert_eq!(made, again.unwrap());
    assert!(removed.status.success(), "{removed:?}");
    let error = privilege::ensure_user("root").unwrap_err().to_string();
    assert!(error.contains("must not run as root"), "{error}");
}

/// As the unit does it: our user from the start, a few ambient capabilities.
fn become_the_units_process(groups: &[Gid]) {
    use caps::{CapSet, Capability, CapsHashSet};
    let wanted: CapsHashSet = [
        Capability::CAP_BPF,
        Capability::CAP_PERFMON,
        Capability::CAP_DAC_READ_SEARCH,
        Capability::CAP_SYS_PTRACE,
        Capability::CAP_SETPCAP,
    ]
    .into();
    nix::unistd::setgroups(groups).unwrap();
    nix::sys::prctl::set_keepcaps(true).unwrap();
    nix::unistd::setresgid(ACCOUNT.gid, ACCOUNT.gid, ACCOUNT.gid).unwrap();
    nix::unistd::setresuid(ACCOUNT.uid, ACCOUNT.uid, ACCOUNT.uid).unwrap();
    caps::set(None, CapSet::Effective, &wanted).unwrap();
    caps::set(None, CapSet::Permitted, &wanted).unwrap();
    caps::set(None, CapSet::Inheritable, &wanted).unwrap();
    caps::set(None, CapSet::Ambient, &wanted).unwrap();
}

#[test]
fn root_started_as_its_own_user_it_lets_go_just_as_well() {
    in_child(|_| {
        become_the_units_process(&[ACCOUNT.gid]);
        assert_eq!(privilege::missing(), Vec::<&str>::new());
        let before = status::threads().unwrap().remove(0);
        assert!(before.ambient != 0 && before.inheritable != 0 && before.bounding != 0, "{before:?}");
        let account = privilege::ensure_user("ignored-without-root").unwrap();
        assert_eq!(account, ACCOUNT);
        privilege::lock_down(&account, false).unwrap();
        assert_eq!(status::threads().unwrap().remove(0).excess(0), Vec::<String>::new());
    });
    in_child(|_| {
        become_the_units_process(&[ACCOUNT.gid, Gid::from_raw(42)]);
        let error = privilege::lock_down(&ACCOUNT, false).unwrap_err().to_string();
        assert!(error.contains("supplementary groups") && error.contains("42"), "{error}");
    });
}

#[test]
fn root_too_little_privilege_is_named_and_ends_with_77() {
    in_child(|_| {
        nix::unistd::setresuid(ACCOUNT.uid, ACCOUNT.uid, ACCOUNT.uid).unwrap();
        let error = privilege::require().unwrap_err();
        assert_eq!(error.status as u8, 77);
        for name in privilege::missing() {
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(privilege::missing().contains(&"CAP_BPF"));
    });
}
