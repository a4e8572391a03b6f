//! A machine worth watching: two people with keys, a tree with thousands of
//! secrets, and the configuration that is shipped.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use bee_trace::control::status::Status;
use nix::fcntl::{Flock, FlockArg};

use super::{Abi, Trigger, bee_trace};

/// The two users every fixture has.
const PEOPLE: [&str; 2] = ["bee-e2e-a", "bee-e2e-b"];

/// How many watched files lie in the tree; a prime, and more than two thousand.
const SECRETS: usize = 2003;

/// A user of the fixture; removed, with the home, when dropped.
pub struct User {
    /// Login name.
    pub name: &'static str,
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
}

/// Files, users and configuration of one test.
pub struct Fixture {
    /// All files but the homes; every user may enter it.
    pub dir: PathBuf,
    /// The people of `PEOPLE`.
    pub users: [User; 2],
    /// Dropped last: the users are the same ones in every run on this machine.
    _turn: Flock<fs::File>,
}

impl Fixture {
    /// Makes it anew; what a killed run left behind is removed first.
    pub fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "the end-to-end tests need root: make test-root");
        let turn = fs::File::create("/var/tmp/bee-e2e.lock").unwrap();
        let turn = Flock::lock(turn, FlockArg::LockExclusive).map_err(|(_, errno)| errno).unwrap();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Not /tmp: where that is a tmpfs it is another kind of file system than most secrets lie on.
        let dir = PathBuf::from(format!("/var/tmp/bee-e2e-{}-{number}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let fixture = Self { users: PEOPLE.map(User::add), dir, _turn: turn };
        for user in &fixture.users {
            user.fill();
        }
        for number in 0..SECRETS {
            fixture.write(&format!("tree/d{:02}/.env.{number:05}", number % 53), "SECRET=1\n");
        }
        fs::hard_link(fixture.secret(0), fixture.scan_probe()).unwrap();
        fixture
    }

    /// Watched file number `number` of the tree.
    pub fn secret(&self, number: usize) -> PathBuf {
        self.dir.join(format!("tree/d{:02}/.env.{number:05}", number % 53))
    }

    /// The hard link by which `Daemon::wait_scanned` knows that the scan is done.
    pub fn scan_probe(&self) -> PathBuf {
        self.dir.join("an-alias-nobody-watches")
    }

    /// The shipped configuration, with room for a drop-in beside it.
    pub fn config(&self) -> PathBuf {
        let file = self.dir.join("etc/config.toml");
        if !file.exists() {
            fs::create_dir_all(self.dir.join("etc/config.d")).unwrap();
            fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/config/bee-traced.toml"), &file).unwrap();
            // Not where a daemon of the machine's own would be.
            let socket = format!("[control]\nsocket = \"{}\"\n", self.socket().display());
            fs::write(self.dir.join("etc/config.d/01-socket.toml"), socket).unwrap();
        }
        file
    }

    /// Where a daemon with this fixture's configuration is reached.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("run/control")
    }

    /// What the daemon with this fixture's configuration says of itself, whose sums are exact.
    pub fn status(&self) -> Status {
        let output = bee_trace().args(["status", "--json", "--socket"]).arg(self.socket()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let status: Status = serde_json::from_slice(&output.stdout).unwrap();
        let sums = &status.sums;
        assert_eq!(sums.emitted, sums.submitted + sums.lost_in_kernel, "{sums:?}");
        let ends = sums.waiting + sums.delivered + sums.lost_in_daemon + sums.no_event;
        assert_eq!(sums.submitted, ends, "{sums:?}");
        for sink in &status.sinks {
            let count = |name: &str| sink.counters[name];
            let settled = count("accepted") + count("queue_full") + count("refused") + count("folded");
            assert_eq!(count("offered"), settled + sink.queued, "{sink:?}");
        }
        status
    }

    /// Writes the drop-in; a running daemon takes it with the next SIGHUP.
    pub fn set_drop_in(&self, text: &str) {
        fs::write(self.dir.join("etc/config.d/50-test.toml"), text).unwrap();
    }

    /// Makes a file and the directories it needs.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A trigger of this fixture.
    pub fn trigger(&self, name: &str, abi: Abi) -> Trigger {
        Trigger::new(self, name, abi)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Err(why) = fs::remove_dir_all(&self.dir) {
            eprintln!("{}: {why}", self.dir.display());
        }
    }
}

impl User {
    fn add(name: &'static str) -> Self {
        Self::remove(name);
        let home = Path::new("/home").join(name);
        let _ = fs::remove_dir_all(&home);
        let done =
            Command::new("useradd").args(["-m", "-U", "-s", "/bin/sh", "-d"]).arg(&home).arg(name).output();
        let done = done.expect("useradd");
        assert!(done.status.success(), "useradd {name}: {}", String::from_utf8_lossy(&done.stderr));
        let user = nix::unistd::User::from_name(name).unwrap().unwrap();
        Self { name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), home }
    }

    fn remove(name: &str) {
        let _ = Command::new("userdel").args(["-r", "-f", name]).output();
    }

    /// What lies in a home that somebody works in.
    fn fill(&self) {
        fs::set_permissions(&self.home, fs::Permissions::from_mode(0o755)).unwrap();
        let ssh = self.home.join(".ssh");
        fs::create_dir(&ssh).unwrap();
        for name in ["id_ed25519", "id_ed25519.pub", "id_rsa", "known_hosts", "config", "authorized_keys"] {
            self.own(&self.write(&format!(".ssh/{name}"), "not a real one\n"), 0o600);
        }
        self.own(&ssh, 0o700);
    }

    /// Writes a file in the home; it belongs to root until `own`.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Gives a file to this user.
    pub fn own(&self, path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        chown(path, Some(self.uid), Some(self.gid)).unwrap();
    }

    /// A file in `.ssh`.
    pub fn key(&self, name: &str) -> PathBuf {
        self.home.join(".ssh").join(name)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        Self::remove(self.name);
        let _ = fs::remove_dir_all(&self.home);
    }
}
