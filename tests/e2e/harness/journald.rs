//! A journald of our own: the machine's systemd-journald, started for a namespace that
//! nobody else uses, with its files in memory. It is given its socket as systemd gives it,
//! so that what was sent while it is away waits there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::wait_for;

const JOURNALD: &str = "/lib/systemd/systemd-journald";

/// A running journald; ended, with all its files, when dropped.
pub struct Journald {
    name: String,
    /// Where it takes entries.
    pub socket: PathBuf,
    listening: UnixDatagram,
    child: Child,
}

impl Journald {
    /// Starts it.
    ///
    /// # Panics
    /// Where the machine has no systemd-journald: scripts/setup.sh installs it.
    pub fn start() -> Self {
        let name = format!("bee-{}-{}", std::process::id(), super::next());
        let settings = PathBuf::from(format!("/run/systemd/journald@{name}.conf.d"));
        fs::create_dir_all(&settings).unwrap();
        let text = "[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nForwardToSyslog=no\nForwardToWall=no\n\
                    RuntimeMaxUse=128M\nRuntimeKeepFree=16M\n";
        fs::write(settings.join("bee.conf"), text).unwrap();
        let runtime = PathBuf::from(format!("/run/systemd/journal.{name}"));
        fs::create_dir_all(&runtime).unwrap();
        let socket = runtime.join("socket");
        let listening = UnixDatagram::bind(&socket).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        let child = launch(&name, &runtime, &listening);
        Self { name, socket, listening, child }
    }

    /// Stops it from doing anything, as if the machine were too busy for it; and lets it go on.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Ends it at once and starts it anew, on the socket it had.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = launch(&self.name, self.socket.parent().unwrap(), &self.listening);
    }

    /// Ends it, then its socket: what is sent from now on finds nobody. Gives how many entries
    /// had been taken by the socket and were written by nobody.
    pub fn go_away(&mut self) -> u64 {
        self.signal(Signal::SIGTERM);
        self.child.wait().unwrap();
        fs::remove_file(&self.socket).unwrap();
        self.listening.shutdown(std::net::Shutdown::Read).unwrap();
        self.listening.set_nonblocking(true).unwrap();
        let mut left = 0;
        while self.listening.recv(&mut [0]).is_ok() {
            left += 1;
        }
        left
    }

    /// Is there again, with a new socket of the same name.
    pub fn come_back(&mut self) {
        self.listening = UnixDatagram::bind(&self.socket).unwrap();
        fs::set_permissions(&self.socket, fs::Permissions::from_mode(0o666)).unwrap();
        self.child = launch(&self.name, self.socket.parent().unwrap(), &self.listening);
    }

    /// Waits until all that lies in its socket is written, and gives every entry of the daemon.
    pub fn entries(&self) -> Vec<Entry> {
        // Nothing is sent any more: what is asked for now comes after the rest.
        let probe = format!("{}-{}", self.name, super::next());
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&self.socket).unwrap();
        sender.send(format!("MESSAGE={probe}\nSYSLOG_IDENTIFIER=bee-probe\n").as_bytes()).unwrap();
        wait_for("the last entry", 20, || {
            let found = self.journalctl(&["SYSLOG_IDENTIFIER=bee-probe", "-o", "cat"]);
            found.lines().any(|line| line == probe)
        });
        let text = self.journalctl(&["SYSLOG_IDENTIFIER=bee-traced", "-o", "json", "--all"]);
        text.lines().map(Entry::parse).collect()
    }

    fn directory(&self) -> PathBuf {
        let machine = fs::read_to_string("/etc/machine-id").unwrap();
        PathBuf::from(format!("/run/log/journal/{}.{}", machine.trim(), self.name))
    }

    fn journalctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("journalctl");
        command.args(["--no-pager", "--quiet", "--directory"]).arg(self.directory()).args(arguments);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }
}

fn launch(name: &str, runtime: &Path, listening: &UnixDatagram) -> Child {
    let socket: OwnedFd = listening.try_clone().unwrap().into();
    let log = File::create(runtime.join("stderr")).unwrap();
    // sd_listen_fds(3): descriptor 3, for the process of this number.
    let script = format!("exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec {JOURNALD} {name}");
    let child = Command::new("/bin/sh")
        .args(["-c", &script])
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    assert!(Path::new(JOURNALD).exists(), "{JOURNALD} is missing; scripts/setup.sh installs it");
    child
}

impl Drop for Journald {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.socket.with_file_name("stderr")).unwrap_or_default());
        }
        let _ = fs::remove_dir_all(self.socket.parent().unwrap());
        let _ = fs::remove_dir_all(format!("/run/systemd/journald@{}.conf.d", self.name));
        let _ = fs::remove_dir_all(self.directory());
    }
}

/// An entry as journalctl shows it: of each field all its values, as bytes.
#[derive(Debug)]
pub struct Entry(BTreeMap<String, Vec<Vec<u8>>>);

impl Entry {
    /// One line of `journalctl -o json`.
    pub fn parse(line: &str) -> Self {
        let Value::Object(fields) = serde_json::from_str(line).unwrap() else { panic!("{line}") };
        let fields = fields.into_iter().map(|(name, value)| {
            let several = value.as_array().is_some_and(|list| list.iter().any(|one| !one.is_number()));
            let values = if several {
                value.as_array().unwrap().iter().map(bytes).collect()
            } else {
                vec![bytes(&value)]
            };
            (name, values)
        });
        Self(fields.collect())
    }

    /// All values of a field.
    pub fn all(&self, name: &str) -> &[Vec<u8>] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The only value of a field.
    pub fn bytes(&self, name: &str) -> &[u8] {
        let values = self.all(name);
        assert_eq!(values.len(), 1, "{name} of {self:?}");
        &values[0]
    }

    /// The same, as text.
    pub fn text(&self, name: &str) -> &str {
        std::str::from_utf8(self.bytes(name)).unwrap()
    }

    /// Names of the fields that are the daemon's.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|name| name.starts_with("BEE_"))
    }
}

/// journalctl shows what is not printable as numbers.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(bytes) => {
            bytes.iter().map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap()).collect()
        }
        other => panic!("{other}"),
    }
}
