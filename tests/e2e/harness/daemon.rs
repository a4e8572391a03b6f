//! The daemon as a child process: started, waited for, told, stopped.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::kernel::{Objects, objects};
use super::{Event, Fixture, Run, tier, wait_for};

/// The daemon's program, as built with these tests.
pub fn bee_traced() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bee-traced"))
}

/// The command-line program.
pub fn bee_trace() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bee-trace"))
}

/// A running daemon. Dropped without `stop`, as when a test fails, it is killed.
pub struct Daemon {
    child: Child,
    output: PathBuf,
    log: PathBuf,
    /// How far `wait_line` has read.
    seen: u64,
    /// Read, and not yet looked at.
    unread: VecDeque<Event>,
    before: Objects,
    /// From the start of the process to its `start` event in the output.
    pub to_start: std::time::Duration,
}

impl Daemon {
    /// Starts the daemon on the fixture's configuration and waits for `start`.
    pub fn start(fixture: &Fixture, arguments: &[&str]) -> Self {
        Self::start_as(fixture, arguments, &[])
    }

    /// As `start`, with these variables in its environment.
    pub fn start_as(fixture: &Fixture, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let output = fixture.dir.join("events.json");
        let log = fixture.dir.join("daemon.log");
        let before = objects();
        let clock = Instant::now();
        let mut command = bee_traced();
        command.arg("--config").arg(fixture.config()).args(["--output", "json"]).args(arguments);
        if let Some(tier) = tier::forced().filter(|_| !arguments.contains(&"--force-tier")) {
            command.args(["--force-tier", &tier]);
        }
        let child = command
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut daemon =
            Self { child, output, log, seen: 0, unread: VecDeque::new(), before, to_start: clock.elapsed() };
        daemon.wait_event("the start event", 30, |event| event.action() == "start");
        daemon.to_start = clock.elapsed();
        daemon
    }

    /// As `start`, and waits until the scanner has taught the kernel the identities of the
    /// watched files: until then a file under a foreign name is not recognised, by design.
    pub fn start_scanned(fixture: &Fixture, arguments: &[&str]) -> Self {
        let mut daemon = Self::start(fixture, arguments);
        if !tier::IDENTITY.here() && !arguments.contains(&"portable") {
            daemon.wait_scanned(&fixture.scan_probe());
        }
        daemon
    }

    /// Waits until an open of `alias`, a hard link of a watched file under a name nobody
    /// watches, is reported.
    pub fn wait_scanned(&mut self, alias: &Path) {
        let me = u64::from(std::process::id());
        let end = Instant::now() + super::patience(60);
        loop {
            drop(File::open(alias).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(150));
            let seen = |event: &Event| {
                event.pid() == Some(me)
                    && event.text("file.path").as_bytes() == alias.as_os_str().as_encoded_bytes()
            };
            let new = self.new_events();
            self.unread.extend(new);
            if self.unread.drain(..).any(|event| seen(&event)) {
                return;
            }
            assert!(Instant::now() < end, "the scan did not reach {}:\n{}", alias.display(), self.log());
        }
    }

    /// Has it read its configuration again, and waits until it says that is in force, and until
    /// `alias` is known by identity, as `wait_scanned` does.
    pub fn reload(&mut self, alias: &Path) {
        let before = self.log().len();
        self.signal(Signal::SIGHUP);
        wait_for("word of the reload", 10, || self.log()[before..].contains("configuration reloaded"));
        if !tier::IDENTITY.here() {
            self.wait_scanned(alias);
        }
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for an event among those not yet looked at.
    pub fn wait_event(&mut self, what: &str, seconds: u64, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        let end = Instant::now() + super::patience(seconds);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{what}: the daemon ended, {status}:\n{}", self.log());
            }
            assert!(Instant::now() < end, "{what}: not within {seconds} s; its log:\n{}", self.log());
            let new = self.new_events();
            self.unread.extend(new);
            while let Some(event) = self.unread.pop_front() {
                if wanted(&event) {
                    return event;
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Complete lines that came since the last look.
    fn new_events(&mut self) -> Vec<Event> {
        let mut file = File::open(&self.output).unwrap();
        file.seek(SeekFrom::Start(self.seen)).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.seen += end as u64;
        std::str::from_utf8(&bytes[..end]).unwrap().lines().map(Event::parse).collect()
    }

    /// Sends a signal to the daemon, by its pid.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the end; `None` if it does not come in time.
    pub fn wait(&mut self, seconds: u64) -> ExitStatus {
        let mut status = None;
        wait_for("the daemon's end", seconds, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Stops it by SIGTERM; it must end with status 0 and a `stop` event, and leave nothing
    /// in the kernel. Gives all its events.
    pub fn stop(mut self) -> Run {
        self.signal(Signal::SIGTERM);
        let status = self.wait(30);
        self.finish(status)
    }

    /// As `stop`, for a daemon that ends by itself.
    pub fn finish(&mut self, status: ExitStatus) -> Run {
        let log = self.log();
        assert_eq!(status.code(), Some(0), "the daemon ended with {status}:\n{log}");
        let left = super::kernel::left_since(&self.before);
        assert!(left.is_empty(), "left in the kernel: {left:?}\n{log}");
        let run = Run::read(&self.output);
        // What happened between attaching and the word that all is well may come before it.
        assert_eq!(run.action("start").count(), 1, "start events");
        assert_eq!(run.events.last().map(Event::action), Some("stop"), "the last event");
        run
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}
