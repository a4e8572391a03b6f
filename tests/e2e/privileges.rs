//! While it watches, the daemon can do nothing but watch.

use std::fs;

use crate::harness::{Abi, Daemon, Fixture, Want, bee_traced};

/// `/proc/PID/status` of every thread.
fn statuses(pid: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap()).collect()
}

fn field<'s>(status: &'s str, name: &str) -> &'s str {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim()
}

#[test]
fn root_every_thread_is_without_any_privilege() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let wanted =
        nix::unistd::User::from_name("bee-trace").unwrap().expect("the user bee-trace: scripts/setup.sh");
    let threads = statuses(daemon.pid());
    assert!(!threads.is_empty());
    for status in &threads {
        for set in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
            assert_eq!(
                u64::from_str_radix(field(status, set), 16),
                Ok(0),
                "{set} of {}",
                field(status, "Name")
            );
        }
        for ids in ["Uid", "Gid"] {
            let own = if ids == "Uid" { wanted.uid.as_raw() } else { wanted.gid.as_raw() };
            assert!(field(status, ids).split_whitespace().all(|id| id == own.to_string()), "{ids}: {status}");
        }
        assert!(!field(status, "Groups").split_whitespace().any(|id| id == "0"), "{status}");
        assert_eq!(field(status, "NoNewPrivs"), "1", "{status}");
        assert_eq!(field(status, "Seccomp"), "2", "{status}");
    }
    // And it still does its work.
    let path = fixture.secret(3);
    let ran = fixture.trigger("open", Abi::Native).args(["openat", "r", "3"]).args([&path]).run().all_well(3);
    let run = daemon.stop();
    Want::new("open").path(&path).access("read").exactly(3, &run, &ran);
}

#[test]
fn root_the_scanner_has_one_capability() {
    const DAC_READ_SEARCH: u64 = 1 << 2;
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let children = format!("/proc/{0}/task/{0}/children", daemon.pid());
    let children = match fs::read_to_string(&children) {
        Ok(children) => children,
        // Kernels without CONFIG_PROC_CHILDREN.
        Err(_) => String::from_utf8(
            std::process::Command::new("ps")
                .args(["-o", "pid=", "--ppid", &daemon.pid().to_string()])
                .output()
                .unwrap()
                .stdout,
        )
        .unwrap(),
    };
    for child in children.split_whitespace() {
        for status in statuses(child.parse().unwrap()) {
            for set in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
                let held = u64::from_str_radix(field(&status, set), 16).unwrap();
                assert_eq!(held & !DAC_READ_SEARCH, 0, "{set} {held:x} of the scanner");
            }
            assert_eq!(field(&status, "NoNewPrivs"), "1", "{status}");
        }
    }
    daemon.stop();
}

#[test]
fn root_without_privilege_it_says_what_is_missing() {
    use std::os::unix::process::CommandExt as _;
    let fixture = Fixture::new();
    let [user, _] = &fixture.users;
    // The build directory may lie where this user cannot go.
    let program = fixture.dir.join("bee-traced");
    fs::copy(bee_traced().get_program(), &program).unwrap();
    let mut command = std::process::Command::new(&program);
    command.arg("--config").arg(fixture.config()).args(["--output", "json"]);
    let output = command.uid(user.uid).gid(user.gid).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{errors}");
    assert!(errors.contains("CAP_BPF"), "{errors}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(errors.trim_end().lines().count() <= 3, "one clear message, not: {errors}");
}
