//! exec, fork and exit.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{Abi, Daemon, Event, Fixture, Ran, Run, tally, tier};

/// The single event with this action of a child that a trigger named.
fn of_child<'r>(run: &'r Run, child: i64, action: &str) -> &'r Event {
    let events: Vec<_> =
        run.of(u32::try_from(child).unwrap()).filter(|event| event.action() == action).collect();
    assert_eq!(events.len(), 1, "{action} of {child}: {events:#?}");
    events[0]
}

/// Asserts fork, exec and exit of every child; gives the exec events.
fn children<'r>(run: &'r Run, ran: &Ran, args: &[&str]) -> Vec<&'r Event> {
    let mut execs = Vec::new();
    tally::wanted("process", 3 * ran.acts.len());
    for (child, status) in &ran.acts {
        let fork = of_child(run, *child, "fork");
        assert_eq!(fork.number("process.parent.pid"), Some(ran.pid.into()), "{fork}");
        assert_eq!(fork.text("process.executable"), ran.program.to_str().unwrap(), "{fork}");
        let exec = of_child(run, *child, "exec");
        assert_eq!(exec.list("process.args"), args, "{exec}");
        assert_eq!(exec.text("event.kind"), "event", "{exec}");
        assert_eq!(exec.list("event.category"), ["process"], "{exec}");
        assert_eq!(exec.text("event.outcome"), "success", "{exec}");
        assert_eq!(exec.number("process.parent.pid"), Some(ran.pid.into()), "{exec}");
        assert_eq!(exec.text("process.parent.executable"), ran.program.to_str().unwrap(), "{exec}");
        assert_eq!(exec.text("process.user.id"), ran.uid.to_string(), "{exec}");
        assert!(!exec.text("bee.hook").is_empty() && !exec.text("bee.tier").is_empty(), "{exec}");
        let exit = of_child(run, *child, "exit");
        if tier::STATUS.here() {
            assert!(exit.has_flag("status_unknown") && exit.number("process.exit_code").is_none(), "{exit}");
        } else {
            assert_eq!(exit.number("process.exit_code"), Some(u64::from(status.unsigned_abs())), "{exit}");
        }
        // One process, one identity, from beginning to end.
        assert_eq!(fork.text("process.entity_id"), exec.text("process.entity_id"));
        assert_eq!(exec.text("process.entity_id"), exit.text("process.entity_id"));
        assert!(fork.number("event.sequence") < exec.number("event.sequence"), "{fork} {exec}");
        assert!(exec.number("event.sequence") < exit.number("event.sequence"), "{exec} {exit}");
        execs.push(exec);
    }
    tally::right("process", 3 * execs.len());
    execs
}

#[test]
fn root_exec_with_arguments() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let mut done = Vec::new();
    for abi in Abi::all() {
        let noop = fixture.trigger("noop", abi).run().program;
        for how in ["plain", "at"] {
            let trigger = fixture.trigger("exec", abi).args([how, "7"]).args([&noop]);
            done.push((
                trigger.args(["hello world", "", "-x", "\t\u{1b}[31m"]).run().all_well(7),
                noop.clone(),
            ));
        }
    }
    let run = daemon.stop();
    for (ran, noop) in &done {
        let noop = noop.to_str().unwrap();
        for exec in children(&run, ran, &[noop, "hello world", "", "-x", "\t\u{1b}[31m"]) {
            assert_eq!(exec.text("process.executable"), noop, "{exec}");
            assert_eq!(exec.text("process.name"), "noop", "{exec}");
            for flag in ["args_truncated", "exe_memfd", "exe_deleted", "exe_tmpfs", "setuid"] {
                assert!(!exec.has_flag(flag), "{flag}: {exec}");
            }
        }
    }
    run.lossless();
}

#[test]
fn root_arguments_are_cut_at_four_kibibytes_and_it_says_so() {
    let fixture = Fixture::new();
    let noop = fixture.trigger("noop", Abi::Native).run().program;
    let daemon = Daemon::start(&fixture, &[]);
    let first = noop.to_str().unwrap().len() + 1;
    // With its ending NUL, the most that is kept; and one more.
    let fits = "f".repeat(4096 - first - 1);
    let long = "l".repeat(4096 - first);
    let many = vec!["many"; 3000];
    let trigger = || fixture.trigger("exec", Abi::Native).args(["plain", "3"]).args([&noop]);
    let (fitting, cut) =
        (trigger().args([&fits]).run().all_well(3), trigger().args([&long]).run().all_well(3));
    let lots = trigger().args(&many).run().all_well(3);
    let run = daemon.stop();
    for exec in children(&run, &fitting, &[noop.to_str().unwrap(), &fits]) {
        assert!(!exec.has_flag("args_truncated"), "{exec}");
    }
    for (ran, whole) in [(&cut, vec![long.as_str()]), (&lots, many)] {
        for (child, _) in &ran.acts {
            let exec = of_child(&run, *child, "exec");
            assert!(exec.has_flag("args_truncated"), "{exec}");
            let args = exec.list("process.args");
            let bytes: usize = args.iter().map(|arg| arg.len() + 1).sum();
            assert!((3840..=4097).contains(&bytes), "{bytes} bytes were kept");
            // What is there is right: each argument is, but for the last, the one that was given.
            for (kept, given) in args[1..].iter().zip(&whole) {
                assert!(given.starts_with(kept), "{kept}");
            }
        }
    }
}

#[test]
fn root_programs_that_lie_nowhere() {
    let fixture = Fixture::new();
    let noop = fixture.trigger("noop", Abi::Native).run().program;
    let daemon = Daemon::start(&fixture, &[]);
    let trigger = |how| fixture.trigger("exec", Abi::Native).args([how, "5"]).args([&noop]).run().all_well(5);
    let (memfd, deleted) = (trigger("memfd"), trigger("deleted"));
    let run = daemon.stop();
    let args = [noop.to_str().unwrap()];
    if tier::IMAGE.here() {
        // What it is called by the kernel where it has no name; the file is not known.
        for exec in children(&run, &memfd, &args).into_iter().chain(children(&run, &deleted, &args)) {
            assert!(exec.text("process.executable").starts_with("/dev/fd/"), "{exec}");
            assert!(exec.has_flag("exe_as_given"), "{exec}");
        }
        return;
    }
    for exec in children(&run, &memfd, &args) {
        assert!(exec.has_flag("exe_memfd"), "{exec}");
        assert_eq!(exec.text("process.name"), "memfd:hidden", "{exec}");
    }
    for exec in children(&run, &deleted, &args) {
        assert!(exec.has_flag("exe_deleted") && !exec.has_flag("exe_memfd"), "{exec}");
        assert!(exec.text("process.executable").contains("noop.gone"), "{exec}");
    }
}

#[test]
fn root_a_program_in_memory_backed_storage() {
    let Ok(true) = fs::exists("/dev/shm") else {
        return crate::harness::skipped("no /dev/shm");
    };
    let fixture = Fixture::new();
    let noop = fixture.trigger("noop", Abi::Native).run().program;
    let shm = std::path::PathBuf::from(format!("/dev/shm/bee-e2e-{}", std::process::id()));
    fs::copy(&noop, &shm).unwrap();
    let daemon = Daemon::start(&fixture, &[]);
    let ran = fixture.trigger("exec", Abi::Native).args(["plain", "3"]).args([&shm]).run();
    fs::remove_file(&shm).unwrap();
    let run = daemon.stop();
    if ran.acts.iter().all(|(_, status)| *status == libc::EACCES) {
        return crate::harness::skipped("/dev/shm is mounted noexec");
    }
    for exec in children(&run, &ran, &[shm.to_str().unwrap()]) {
        if tier::IMAGE.here() {
            assert_eq!(exec.text("process.executable"), shm.to_str().unwrap());
            continue;
        }
        assert!(exec.has_flag("exe_tmpfs") && !exec.has_flag("exe_memfd"), "{exec}");
    }
}

#[test]
fn root_a_script_names_itself_and_its_interpreter() {
    let fixture = Fixture::new();
    let noop = fixture.trigger("noop", Abi::Native).run().program;
    let script = fixture.write("bin/script", &format!("#!{} one-word\n", noop.display()));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let daemon = Daemon::start(&fixture, &[]);
    let ran = fixture
        .trigger("exec", Abi::Native)
        .args(["plain", "5"])
        .args([&script])
        .args(["arg"])
        .run()
        .all_well(5);
    let run = daemon.stop();
    let (noop, script) = (noop.to_str().unwrap(), script.to_str().unwrap());
    for exec in children(&run, &ran, &[noop, "one-word", script, "arg"]) {
        let (executable, told) = if tier::IMAGE.here() { (script, "") } else { (noop, script) };
        assert_eq!(exec.text("process.executable"), executable, "{exec}");
        assert_eq!(exec.text("bee.script"), told, "{exec}");
        assert_eq!(exec.text("process.name"), "script", "{exec}");
    }
}

#[test]
fn root_names_of_secret_variables_and_never_their_values() {
    let fixture = Fixture::new();
    let noop = fixture.trigger("noop", Abi::Native).run().program;
    let daemon = Daemon::start(&fixture, &[]);
    let value = "hunter2-is-never-shown";
    let trigger = |filler: usize| {
        let trigger = fixture.trigger("exec", Abi::Native).args(["plain", "3"]).args([&noop]);
        trigger.env("AWS_SECRET_ACCESS_KEY", value).env("HARMLESS", value).env("ZZ_FILL", &"z".repeat(filler))
    };
    let (short, long) = (trigger(1).run().all_well(3), trigger(9000).run().all_well(3));
    let run = daemon.stop();
    for exec in children(&run, &short, &[noop.to_str().unwrap()]) {
        assert_eq!(exec.list("bee.secret_env"), ["AWS_SECRET_ACCESS_KEY"], "{exec}");
        assert!(!exec.has_flag("env_truncated"), "{exec}");
    }
    for exec in children(&run, &long, &[noop.to_str().unwrap()]) {
        assert!(exec.has_flag("env_truncated"), "{exec}");
    }
    for event in &run.events {
        assert!(!event.mentions(value), "a value came out: {event}");
    }
}

#[test]
fn root_forks_and_exits_are_counted_exactly() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let exits = fixture.trigger("forks", Abi::Native).args(["exit", "211"]).run().all_well(211);
    let kills = fixture.trigger("forks", Abi::Native).args(["kill", "13"]).run().all_well(13);
    let threads = fixture.trigger("forks", Abi::Native).args(["threads", "17"]).run().all_well(0);
    let run = daemon.stop();
    for (ran, code, signal) in [(&exits, Some(7), None), (&kills, None, Some(9))] {
        tally::wanted("process", 2 * ran.acts.len());
        for (child, _) in &ran.acts {
            let fork = of_child(&run, *child, "fork");
            assert_eq!(fork.number("process.parent.pid"), Some(ran.pid.into()), "{fork}");
            let exit = of_child(&run, *child, "exit");
            let wanted = if tier::STATUS.here() { (None, None) } else { (code, signal) };
            assert_eq!((exit.number("process.exit_code"), exit.number("bee.signal")), wanted, "{exit}");
        }
        let forks =
            run.action("fork").filter(|event| event.number("process.parent.pid") == Some(ran.pid.into()));
        assert_eq!(forks.count(), ran.acts.len());
        tally::right("process", 2 * ran.acts.len());
    }
    let of_threads: Vec<_> = run.of(threads.pid).map(Event::action).collect();
    assert_eq!(of_threads, ["fork", "exec", "exit"], "threads are not processes");
    run.lossless();
}
