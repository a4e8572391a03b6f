//! The real daemon on a configuration of the test's, and what it writes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

/// The daemon, its output as it comes.
pub struct Daemon {
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

impl Daemon {
    pub fn start(state: &Path) -> Self {
        Self::start_with(state, &[])
    }

    pub fn start_with(state: &Path, arguments: &[&str]) -> Self {
        let (output, log) = (state.join("events.json"), state.join("log"));
        let child = Command::new(env!("CARGO_BIN_EXE_bee-traced"))
            .args(["--output", "json", "-v", "--config"])
            .arg(state.join("config.toml"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let daemon = Self { child, output, log };
        daemon.wait("the start event", || daemon.text().contains("\"action\":\"start\""));
        daemon
    }

    pub fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.child.id() as i32)
    }

    /// Stops it; it must end well. Gives its log.
    pub fn stop(mut self) -> String {
        kill(self.pid(), Signal::SIGTERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}\n{}", self.log());
        self.log()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    pub fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !done() {
            assert!(Instant::now() < end, "{what}: not within a minute\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn wait_scans(&self, count: usize) {
        self.wait("the scan", || self.log().matches("scan done").count() >= count);
    }

    pub fn reload(&self, count: usize) {
        kill(self.pid(), Signal::SIGHUP).unwrap();
        self.wait("the reload", || self.log().matches("configuration reloaded").count() >= count);
    }

    pub fn events(&self) -> Vec<Value> {
        let lines = BufReader::new(File::open(&self.output).unwrap()).lines();
        lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
