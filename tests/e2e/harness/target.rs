//! Processes that are reached for, and what must be told of it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{Abi, Event, Fixture, Ran, Run, User, check_process, tally};

/// A process that waits to be reached for.
pub struct Target {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// What it runs.
    pub program: PathBuf,
    /// Its comm.
    pub name: String,
    uid: u32,
    /// Where eight bytes of it are.
    pub address: String,
}

impl Target {
    /// Starts one, older than what is started after it.
    pub fn start(fixture: &Fixture, abi: Abi, user: Option<&User>) -> Self {
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

    /// Has it do something, and gives what it says then.
    pub fn tell(&mut self, what: &str) -> String {
        writeln!(self.input.as_ref().unwrap(), "{what}").unwrap();
        self.line()
    }

    /// Its process id, for an argument.
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Lets it end; it stays a zombie.
    pub fn end(&mut self) {
        drop(self.input.take());
    }

    /// Waits for its end.
    pub fn wait(&mut self) {
        self.child.wait().unwrap();
    }

    /// `/proc/PID/FILE`
    pub fn file(&self, file: &str) -> PathBuf {
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
#[derive(Debug)]
pub struct Reach {
    /// `event.action`.
    pub action: &'static str,
    request: &'static str,
    access: &'static str,
    severity: u64,
    errno: Option<i32>,
    flags: Vec<&'static str>,
}

impl Reach {
    /// This action, as grave as that.
    pub fn new(action: &'static str, severity: u64) -> Self {
        Self { action, request: "", access: "", severity, errno: None, flags: Vec::new() }
    }

    /// With this `bee.request`.
    pub fn request(mut self, request: &'static str) -> Self {
        self.request = request;
        self
    }

    /// With this `bee.access`.
    pub fn access(mut self, access: &'static str) -> Self {
        self.access = access;
        self
    }

    /// Refused with this errno.
    pub fn errno(mut self, errno: i32) -> Self {
        self.errno = Some(errno);
        self
    }

    /// The target is known by a name that was read of the caller, or of the kernel's copy of it.
    pub fn named(mut self) -> Self {
        self.flags.push("target_as_given");
        self
    }

    /// Asserts that a trigger made exactly `count` events, all of them this and about `target`.
    pub fn exactly(&self, count: usize, run: &Run, ran: &Ran, target: &Target) {
        tally::wanted("memory", count);
        let events = reaches(run, ran.pid);
        for event in &events {
            self.check(event, ran, target);
            check_process(event, run, ran);
        }
        assert_eq!(events.len(), count, "{} events of {:?}", self.action, ran.args);
        tally::right("memory", count);
    }

    /// Asserts what is told of the act and its target.
    pub fn check(&self, event: &Event, ran: &Ran, target: &Target) {
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
pub fn is_target(event: &Event, target: &Target) {
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
pub fn reaches(run: &Run, pid: u32) -> Vec<&Event> {
    run.of(pid).filter(|event| event.text("bee.sensor") == "memory").collect()
}
