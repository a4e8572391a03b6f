//! Who reaches for whose memory: each of the seven by itself, exactly, with both processes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::harness::{Abi, Daemon, Event, Fixture, Ran, Run, User, check_process, tally, tier};

/// A process that waits to be reached for.
struct Target {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    program: PathBuf,
    name: String,
    uid: u32,
    /// Where eight bytes of it are.
    address: String,
}

impl Target {
    fn start(fixture: &Fixture, abi: Abi, user: Option<&User>) -> Self {
        let program = fixture.trigger("memory", abi).program();
        let mut command = Command::new(&program);
        command.arg("target").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(user) = user {
            std::os::unix::process::CommandExt::uid(&mut command, user.uid);
            std::os::unix::process::CommandExt::gid(&mut command, user.gid);
        }
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let uid = user.map_or(0, |user| user.uid);
        let mut target =
            Self { child, input, output, program, name: "memory".into(), uid, address: String::new() };
        target.address = target.line();
        target
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn tell(&mut self, what: &str) -> String {
        writeln!(self.input.as_ref().unwrap(), "{what}").unwrap();
        self.line()
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// `/proc/PID/FILE`
    fn file(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.pid()).join(file)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one of the seven must look like.
struct Want {
    action: &'static str,
    request: &'static str,
    access: &'static str,
    severity: u64,
    errno: Option<i32>,
    flags: Vec<&'static str>,
}

impl Want {
    fn new(action: &'static str, severity: u64) -> Self {
        Self { action, request: "", access: "", severity, errno: None, flags: Vec::new() }
    }

    fn request(mut self, request: &'static str) -> Self {
        self.request = request;
        self
    }

    fn access(mut self, access: &'static str) -> Self {
        self.access = access;
        self
    }

    fn errno(mut self, errno: i32) -> Self {
        self.errno = Some(errno);
        self
    }

    /// The target is known by a name that was read of the caller, or of the kernel's copy of it.
    fn named(mut self) -> Self {
        self.flags.push("target_as_given");
        self
    }

    /// Asserts that a trigger made exactly `count` events, all of them this and about `target`.
    fn exactly(&self, count: usize, run: &Run, ran: &Ran, target: &Target) {
        tally::wanted("memory", count);
        let events = memory(run, ran.pid);
        for event in &events {
            self.check(event, ran, target);
            check_process(event, run, ran);
        }
        assert_eq!(events.len(), count, "{} events of {:?}", self.action, ran.args);
        tally::right("memory", count);
    }

    fn check(&self, event: &Event, ran: &Ran, target: &Target) {
        let same = |key: &str, wanted: &str| assert_eq!(event.text(key), wanted, "{key} of {event}");
        same("event.action", self.action);
        same("event.kind", "alert");
        assert_eq!(event.list("event.category"), ["process"], "{event}");
        assert_eq!(event.number("event.severity"), Some(self.severity), "{event}");
        same("event.outcome", if self.errno.is_some() { "failure" } else { "success" });
        let code = self.errno.map(|code| format!("{:?}", nix::errno::Errno::from_raw(code)));
        same("event.code", &code.unwrap_or_default());
        same("bee.sensor", "memory");
        same("bee.request", self.request);
        same("bee.access", self.access);
        self.flags(event, ran);
        is_target(event, target);
    }

    fn flags(&self, event: &Event, ran: &Ran) {
        let mut flags = self.flags.clone();
        let portable = event.text("bee.tier") == "portable";
        if portable {
            flags.extend(["process_partial", "exe_as_given", "target_as_given"]);
        }
        let by_name =
            self.action.starts_with("proc-") && (portable || self.flags.contains(&"target_as_given"));
        // `full` has the kernel's copy of a name.
        if by_name && !event.text("bee.hook").starts_with("fexit/") {
            flags.push("args_racy");
        }
        if ran.abi == Abi::Compat {
            flags.push("compat_32bit");
        }
        flags.sort_unstable();
        flags.dedup();
        let mut found = event.list("bee.flags");
        found.sort_unstable();
        assert_eq!(found, flags, "bee.flags of {event}");
    }
}

/// Asserts all that is told of a target.
fn is_target(event: &Event, target: &Target) {
    let same = |key: &str, wanted: &str| assert_eq!(event.text(key), wanted, "{key} of {event}");
    assert_eq!(event.number("bee.target.process.pid"), Some(target.child.id().into()), "{event}");
    same("bee.target.process.name", &target.name);
    same("bee.target.process.executable", target.program.to_str().unwrap());
    same("bee.target.process.user.id", &target.uid.to_string());
    let user = nix::unistd::User::from_uid(target.uid.into()).unwrap().unwrap();
    same("bee.target.process.user.name", &user.name);
    let id = event.text("bee.target.process.entity_id");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert!(id.starts_with(&format!("{}-{}-", &boot[..8], target.pid())), "entity_id of {event}");
    let start = event.text("bee.target.process.start");
    assert!(!start.is_empty() && start <= event.text("@timestamp"), "start of {event}");
}

/// Events of the memory sensor by this process.
fn memory(run: &Run, pid: u32) -> Vec<&Event> {
    run.of(pid).filter(|event| event.text("bee.sensor") == "memory").collect()
}

/// Each of the seven, three times, as this trigger's user.
fn each(fixture: &Fixture, abi: Abi, target: &Target) -> Vec<(Ran, Want)> {
    let pid = target.pid();
    let trigger = |act: &str| fixture.trigger("memory", abi).args([act, "3", &pid]);
    let open = |call: &str, mode: &str, file: &str| {
        let trigger = fixture.trigger("open", abi).args([call, mode, "3"]);
        trigger.args([target.file(file)]).run().all_well(3)
    };
    let maps = |call: &str, file: &'static str| {
        (open(call, "r", file), Want::new("proc-maps", 21).request(file).access("read"))
    };
    let mut made = vec![
        (trigger("attach").run().all_well(3), Want::new("ptrace", 73).request("PTRACE_ATTACH")),
        (trigger("seize").run().all_well(3), Want::new("ptrace", 73).request("PTRACE_SEIZE")),
        (trigger("read").args([&target.address]).run().all_well(3), Want::new("vm-read", 73)),
        (trigger("write").args([&target.address]).run().all_well(3), Want::new("vm-write", 73)),
        (trigger("getfd").run().all_well(3), Want::new("pidfd-getfd", 73)),
        (open("openat", "r", "mem"), Want::new("proc-mem", 73).request("mem").access("read")),
        (open("openat2", "rw", "mem"), Want::new("proc-mem", 73).request("mem").access("read-write")),
        (open("openat", "r", "environ"), Want::new("proc-environ", 47).request("environ").access("read")),
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
            let events = memory(&run, u32::try_from(*child).unwrap());
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
        let attach = Want::new("ptrace", 47).request("PTRACE_ATTACH").errno(perm);
        done.push((trigger("attach").run().all_failed(3, perm), attach));
        let seize = Want::new("ptrace", 47).request("PTRACE_SEIZE").errno(perm);
        done.push((trigger("seize").run().all_failed(3, perm), seize));
        done.push((trigger("read").run().all_failed(3, perm), Want::new("vm-read", 47).errno(perm)));
        done.push((trigger("write").run().all_failed(3, perm), Want::new("vm-write", 47).errno(perm)));
        done.push((trigger("getfd").run().all_failed(3, perm), Want::new("pidfd-getfd", 47).errno(perm)));
        for (call, mode, access, file, action, severity) in [
            ("openat", "rw", "read-write", "mem", "proc-mem", 47),
            ("openat2", "r", "read", "environ", "proc-environ", 47),
            ("openat", "r", "read", "maps", "proc-maps", 21),
        ] {
            let want = Want::new(action, severity).request(file).access(access).errno(acces).named();
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
    let want = Want::new("vm-read", 73);
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
    drop(target.input.take());
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
        let events = memory(&run, ran.pid);
        assert_eq!(events.len(), 3, "{action} of {pid}: {events:#?}");
        for event in events {
            assert_eq!(event.action(), action, "{event}");
            assert!(event.has_flag("target_exited"), "{event}");
            is_target(event, &target);
        }
    }
    for ran in &none {
        assert!(memory(&run, ran.pid).is_empty(), "{}", memory(&run, ran.pid)[0]);
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
        let events = memory(&run, ran.pid);
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
    let want = Want::new("proc-mem", 73).request("mem").access("read");
    if tier::PROC_NAMES.here() {
        for ran in &unknown {
            assert!(memory(&run, ran.pid).is_empty(), "{}", memory(&run, ran.pid)[0]);
        }
    } else {
        done.extend(unknown);
        let events = memory(&run, refused.pid);
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
    for command in ["top -bn1", "ls -l /proc/*/exe /proc/*/cwd", "cat /proc/*/stat /proc/*/cmdline", "ps aux"]
    {
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
    let events = memory(&run, seize.pid);
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
    Want::new("vm-write", 73).exactly(3, &run, &write, &target);
    if !tier::EXCLUDE.here() {
        assert!(memory(&run, read.pid).is_empty(), "{}", memory(&run, read.pid)[0]);
    }
}
