//! Who reaches for whose memory: each of the seven by itself, exactly, with both processes.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Abi, Daemon, Event, Fixture, Ran, Reach, Target, is_target, reaches, tier};

/// Each of the seven, three times, as this trigger's user.
fn each(fixture: &Fixture, abi: Abi, target: &Target) -> Vec<(Ran, Reach)> {
    let pid = target.pid();
    let trigger = |act: &str| fixture.trigger("memory", abi).args([act, "3", &pid]);
    let open = |call: &str, mode: &str, file: &str| {
        let trigger = fixture.trigger("open", abi).args([call, mode, "3"]);
        trigger.args([target.file(file)]).run().all_well(3)
    };
    let maps = |call: &str, file: &'static str| {
        (open(call, "r", file), Reach::new("proc-maps", 21).request(file).access("read"))
    };
    let mut made = vec![
        (trigger("attach").run().all_well(3), Reach::new("ptrace", 73).request("PTRACE_ATTACH")),
        (trigger("seize").run().all_well(3), Reach::new("ptrace", 73).request("PTRACE_SEIZE")),
        (trigger("read").args([&target.address]).run().all_well(3), Reach::new("vm-read", 73)),
        (trigger("write").args([&target.address]).run().all_well(3), Reach::new("vm-write", 73)),
        (trigger("getfd").run().all_well(3), Reach::new("pidfd-getfd", 73)),
        (open("openat", "r", "mem"), Reach::new("proc-mem", 73).request("mem").access("read")),
        (open("openat2", "rw", "mem"), Reach::new("proc-mem", 73).request("mem").access("read-write")),
        (open("openat", "r", "environ"), Reach::new("proc-environ", 47).request("environ").access("read")),
        maps("openat", "maps"),
    ];
    // A kernel may be built without these (PROC_PAGE_MONITOR).
    if std::path::Path::new("/proc/self/smaps").exists() {
        made.extend([maps("openat2", "smaps"), maps("openat", "smaps_rollup")]);
    }
    made
}

#[test]
fn root_each_of_the_seven_with_both_processes() {
    let fixture = Fixture::new();
    // Older than the daemon, and younger.
    let old = Target::start(&fixture, Abi::Native, None);
    let daemon = Daemon::start(&fixture, &[]);
    let young = Target::start(&fixture, Abi::Native, Some(&fixture.users[0]));
    let mut done = Vec::new();
    for target in [&old, &young] {
        done.extend(each(&fixture, Abi::Native, target).into_iter().map(|made| (made, target)));
    }
    let narrow = Abi::all().contains(&Abi::Compat).then(|| Target::start(&fixture, Abi::Compat, None));
    if let Some(target) = &narrow {
        done.extend(each(&fixture, Abi::Compat, target).into_iter().map(|made| (made, target)));
    }
    let run = daemon.stop();
    for ((ran, want), target) in &done {
        want.exactly(3, &run, ran, target);
    }
    run.lossless();
}

#[test]
fn root_a_child_that_asks_to_be_traced() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let mut done = Vec::new();
    for abi in Abi::all() {
        done.push(fixture.trigger("memory", abi).args(["traceme", "3"]).run().all_well(3));
    }
    let run = daemon.stop();
    for ran in &done {
        for (child, _) in &ran.acts {
            let events = reaches(&run, u32::try_from(*child).unwrap());
            assert_eq!(events.len(), 1, "{events:#?}");
            let event = events[0];
            assert_eq!(event.action(), "ptrace", "{event}");
            assert_eq!(event.text("bee.request"), "PTRACE_TRACEME", "{event}");
            assert_eq!(event.number("event.severity"), Some(21), "{event}");
            assert_eq!(event.number("bee.target.process.pid"), Some(ran.pid.into()), "{event}");
            assert_eq!(event.text("bee.target.process.name"), "memory", "{event}");
            let program = ran.program.to_str().unwrap();
            assert_eq!(event.text("bee.target.process.executable"), program, "{event}");
        }
    }
    run.lossless();
}

#[test]
fn root_refused_tries_are_told_with_their_errno() {
    let fixture = Fixture::new();
    let [user, _] = &fixture.users;
    let target = Target::start(&fixture, Abi::Native, None);
    let daemon = Daemon::start(&fixture, &[]);
    let pid = target.pid();
    let mut done = Vec::new();
    for abi in Abi::all() {
        let trigger = |act: &str| fixture.trigger("memory", abi).user(user).args([act, "3", &pid, "4096"]);
        let open = |call: &str, mode: &str, file: &str| {
            let trigger = fixture.trigger("open", abi).user(user).args([call, mode, "3"]);
            trigger.args([target.file(file)]).run().all_failed(3, libc::EACCES)
        };
        let (acces, perm) = (libc::EACCES, libc::EPERM);
        let attach = Reach::new("ptrace", 47).request("PTRACE_ATTACH").errno(perm);
        done.push((trigger("attach").run().all_failed(3, perm), attach));
        let seize = Reach::new("ptrace", 47).request("PTRACE_SEIZE").errno(perm);
        done.push((trigger("seize").run().all_failed(3, perm), seize));
        done.push((trigger("read").run().all_failed(3, perm), Reach::new("vm-read", 47).errno(perm)));
        done.push((trigger("write").run().all_failed(3, perm), Reach::new("vm-write", 47).errno(perm)));
        done.push((trigger("getfd").run().all_failed(3, perm), Reach::new("pidfd-getfd", 47).errno(perm)));
        for (call, mode, access, file, action, severity) in [
            ("openat", "rw", "read-write", "mem", "proc-mem", 47),
            ("openat2", "r", "read", "environ", "proc-environ", 47),
            ("openat", "r", "read", "maps", "proc-maps", 21),
        ] {
            let want = Reach::new(action, severity).request(file).access(access).errno(acces).named();
            done.push((open(call, mode, file), want));
        }
    }
    let run = daemon.stop();
    for (ran, want) in &done {
        want.exactly(3, &run, ran, &target);
    }
    run.lossless();
}

#[test]
fn root_the_target_is_who_it_is_at_that_moment() {
    let fixture = Fixture::new();
    let mut target = Target::start(&fixture, Abi::Native, None);
    let daemon = Daemon::start(&fixture, &[]);
    let read = |target: &Target| {
        let trigger = fixture.trigger("memory", Abi::Native).args(["read", "3", &target.pid()]);
        trigger.args([&target.address]).run().all_well(3)
    };
    let want = Reach::new("vm-read", 73);
    assert_eq!(target.tell("name harmless"), "done");
    let renamed = read(&target);
    // The program it runs is another now, and names it anew.
    let other = fixture.dir.join("bin/another");
    std::fs::copy(&target.program, &other).unwrap();
    let address = target.tell(&format!("exec {}", other.display()));
    assert_eq!(address, target.address);
    let executed = read(&target);
    let run = daemon.stop();
    // A name that is told by the table alone is the last one that was seen.
    if !tier::TARGET.here() {
        target.name = "harmless".to_owned();
    }
    want.exactly(3, &run, &renamed, &target);
    target.name = "another".to_owned();
    target.program = other;
    want.exactly(3, &run, &executed, &target);
    run.lossless();
}

#[test]
fn root_a_target_that_has_ended_is_said_to_have() {
    let fixture = Fixture::new();
    let mut target = Target::start(&fixture, Abi::Native, None);
    let daemon = Daemon::start(&fixture, &[]);
    // It ends, and nobody waits for it: the number is still its own.
    target.end();
    let stat = target.file("stat");
    crate::harness::wait_for("the target's end", 10, || {
        std::fs::read_to_string(&stat).is_ok_and(|text| text.contains(") Z "))
    });
    let trigger = |act: &str| {
        let trigger = fixture.trigger("memory", Abi::Native).args([act, "3", &target.pid(), "4096"]);
        trigger.run()
    };
    let read = trigger("read").all_failed(3, libc::ESRCH);
    let attach = trigger("attach").all_failed(3, libc::EPERM);
    let pid = target.pid();
    // Nobody has this number: there is no one to tell of.
    let none = ["attach", "read"].map(|act| {
        let trigger = fixture.trigger("memory", Abi::Native).args([act, "3", "4194303", "4096"]);
        trigger.run().all_failed(3, libc::ESRCH)
    });
    let run = daemon.stop();
    for (ran, action) in [(&read, "vm-read"), (&attach, "ptrace")] {
        let events = reaches(&run, ran.pid);
        assert_eq!(events.len(), 3, "{action} of {pid}: {events:#?}");
        for event in events {
            assert_eq!(event.action(), action, "{event}");
            assert!(event.has_flag("target_exited"), "{event}");
            is_target(event, &target);
        }
    }
    for ran in &none {
        assert!(reaches(&run, ran.pid).is_empty(), "{}", reaches(&run, ran.pid)[0]);
    }
    run.lossless();
}

#[test]
fn root_nobody_is_told_for_what_is_the_own() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let mut done = Vec::new();
    for abi in Abi::all() {
        done.push(fixture.trigger("memory", abi).args(["own", "3"]).run().all_well(27));
    }
    let run = daemon.stop();
    for ran in &done {
        let events = reaches(&run, ran.pid);
        assert!(events.is_empty(), "{}", events[0]);
    }
    run.lossless();
}

#[test]
fn root_files_of_processes_under_any_name() {
    let fixture = Fixture::new();
    let [user, _] = &fixture.users;
    let target = Target::start(&fixture, Abi::Native, None);
    let daemon = Daemon::start(&fixture, &[]);
    let elsewhere = fixture.dir.join("another proc");
    std::fs::create_dir(&elsewhere).unwrap();
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("proc"), &elsewhere, Some("proc"), flags, None::<&str>).unwrap();
    let open =
        |path: &Path| fixture.trigger("open", Abi::Native).args(["openat", "r", "3"]).args([path]).run();
    let at = |how: &str, directory: &Path, name: &str| {
        fixture.trigger("where", Abi::Native).args([how, "3"]).args([directory]).args([name]).run()
    };
    let thread = target.file("task").join(target.pid());
    let mut done = vec![open(&thread.join("mem")).all_well(3)];
    let unknown = [
        open(&elsewhere.join(target.pid()).join("mem")).all_well(3),
        at("relative", &target.file(""), "mem").all_well(3),
        at("dirfd", &target.file(""), "mem").all_well(3),
        at("fchdir", &thread, "mem").all_well(3),
    ];
    // Refused by the mode of the file, in the target's own directory.
    let refused = fixture.trigger("where", Abi::Native).user(user).args(["dirfd", "3"]);
    let refused = refused.args([target.file("")]).args(["mem"]).run().all_failed(3, libc::EACCES);
    nix::mount::umount(&elsewhere).unwrap();
    let run = daemon.stop();
    let want = Reach::new("proc-mem", 73).request("mem").access("read");
    if tier::PROC_NAMES.here() {
        for ran in &unknown {
            assert!(reaches(&run, ran.pid).is_empty(), "{}", reaches(&run, ran.pid)[0]);
        }
    } else {
        done.extend(unknown);
        let events = reaches(&run, refused.pid);
        assert_eq!(events.len(), 3, "{events:#?}");
        for event in events {
            assert_eq!(event.text("event.code"), "EACCES", "{event}");
            is_target(event, &target);
        }
    }
    for ran in &done {
        want.exactly(3, &run, ran, &target);
    }
    run.lossless();
}

#[test]
fn root_who_only_looks_at_processes_is_not_told() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let mut pids = Vec::new();
    for command in [
        "top -bn1",
        "ls -l /proc/*/exe /proc/*/cwd",
        "cat /proc/*/stat /proc/*/cmdline",
        "cat /proc/1/environ",
        "ps aux",
    ] {
        // ps opens every environment, whatever it is asked; by default that is excluded, where an
        // [[exclude]] by program holds.
        if command == "ps aux" && tier::EXCLUDE.here() {
            continue;
        }
        let mut shell = Command::new("/bin/sh");
        let command = format!("exec >/dev/null 2>&1; {command}; exit 0");
        shell.args(["-c", &command]).env("TERM", "dumb").stdin(Stdio::null());
        let mut child = shell.spawn().unwrap();
        pids.push(u64::from(child.id()));
        assert!(child.wait().unwrap().success(), "{command}");
    }
    let run = daemon.stop();
    let by = |event: &&Event| {
        event.number("process.parent.pid").into_iter().chain(event.pid()).any(|pid| pids.contains(&pid))
    };
    let told: Vec<_> =
        run.events.iter().filter(|event| event.text("bee.sensor") == "memory").filter(by).collect();
    assert!(told.is_empty(), "{}", told[0]);
    run.lossless();
}

#[test]
fn root_who_reaches_for_the_daemon() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let pid = daemon.pid().to_string();
    let seize = fixture.trigger("memory", Abi::Native).args(["seize", "3", &pid]).run().all_well(3);
    let run = daemon.stop();
    let events = reaches(&run, seize.pid);
    assert_eq!(events.len(), 3, "{events:#?}");
    for event in events {
        assert_eq!(event.number("event.severity"), Some(99), "{event}");
        assert_eq!(event.number("bee.target.process.pid"), Some(pid.parse().unwrap()), "{event}");
    }
}

#[test]
fn root_an_exclude_that_names_the_action() {
    let fixture = Fixture::new();
    let target = Target::start(&fixture, Abi::Native, None);
    fixture.config();
    let program = fixture.trigger("memory", Abi::Native).program();
    fixture.set_drop_in(&format!("[[exclude]]\nexe = \"{}\"\nactions = [\"vm-read\"]\n", program.display()));
    let daemon = Daemon::start(&fixture, &[]);
    let act = |act: &str| {
        let trigger = fixture.trigger("memory", Abi::Native).args([act, "3", &target.pid()]);
        trigger.args([&target.address]).run().all_well(3)
    };
    let (read, write) = (act("read"), act("write"));
    let run = daemon.stop();
    Reach::new("vm-write", 73).exactly(3, &run, &write, &target);
    if !tier::EXCLUDE.here() {
        assert!(reaches(&run, read.pid).is_empty(), "{}", reaches(&run, read.pid)[0]);
    }
}
