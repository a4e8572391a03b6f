//! A service manager as far as a descriptor store needs one: it takes what it is handed, keeps
//! it by name, and starts the next daemon with it, as systemd does.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::unistd::Pid;

use super::{Event, Fixture, bee_traced, patience, tier};

/// Descriptors in one message at most.
const MESSAGE: usize = 253;
/// Above those a child is given.
const HIGH: RawFd = 400;

/// See the module.
pub struct Manager {
    socket: UnixDatagram,
    name: String,
    /// What is kept, by name, in the order it came.
    pub store: Vec<(String, OwnedFd)>,
    /// Of the daemons, beside those all have.
    pub arguments: Vec<&'static str>,
    child: Option<Child>,
    fixture_dir: std::path::PathBuf,
    config: std::path::PathBuf,
}

impl Manager {
    /// Nothing is kept and nobody runs.
    pub fn new(fixture: &Fixture) -> Self {
        let name = format!("bee-store-{}-{}", std::process::id(), super::next());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Self {
            socket,
            name,
            store: Vec::new(),
            arguments: Vec::new(),
            child: None,
            fixture_dir: fixture.dir.clone(),
            config: fixture.config(),
        }
    }

    /// Starts a daemon with what is kept and waits until it is ready.
    pub fn start(&mut self, environment: &[(&str, &str)]) {
        self.spawn(environment);
        let end = Instant::now() + patience(60);
        while !self.hear(end.saturating_duration_since(Instant::now())) {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "{ended:?}: not ready\n{}", self.log());
        }
    }

    fn spawn(&mut self, environment: &[(&str, &str)]) {
        let append = |name: &str| {
            OpenOptions::new().append(true).create(true).open(self.fixture_dir.join(name)).unwrap()
        };
        let program = bee_traced().get_program().to_owned();
        // The number of the process is known to the process alone: a shell that becomes the daemon.
        let mut command = Command::new("sh");
        let script = "[ -z \"$LISTEN_FDS\" ] || export LISTEN_PID=$$; exec \"$0\" \"$@\"";
        command.arg("-c").arg(script).arg(program).arg("--config").arg(&self.config);
        command.args(["--output", "json"]).args(&self.arguments);
        if let Some(tier) = tier::forced() {
            command.args(["--force-tier", &tier]);
        }
        command.env("NOTIFY_SOCKET", format!("@{}", self.name)).envs(environment.iter().copied());
        if !self.store.is_empty() {
            let names: Vec<&str> = self.store.iter().map(|(name, _)| name.as_str()).collect();
            command.env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        }
        let high = |fd: &OwnedFd| nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(HIGH)).unwrap();
        // SAFETY: each is new and ours.
        let copies: Vec<OwnedFd> =
            self.store.iter().map(|(_, fd)| unsafe { OwnedFd::from_raw_fd(high(fd)) }).collect();
        let numbers: Vec<RawFd> = copies.iter().map(|fd| fd.as_raw_fd()).collect();
        assert!(numbers.len() < 300);
        // SAFETY: dup2 alone, on descriptors that are open and places below them.
        unsafe {
            command.pre_exec(move || {
                for (to, from) in (3..).zip(&numbers) {
                    if libc::dup2(*from, to) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let output = (append("events.json"), append("daemon.log"));
        command.stdin(Stdio::null()).stdout(output.0).stderr(output.1);
        self.child = Some(command.spawn().unwrap());
    }

    /// Takes one message, if one comes in this time; true: somebody is ready.
    fn hear(&mut self, time: Duration) -> bool {
        self.socket
            .set_read_timeout(Some(time.clamp(Duration::from_millis(1), Duration::from_millis(200))))
            .unwrap();
        let mut bytes = [0; 8192];
        let mut space = cmsg_space!([RawFd; MESSAGE]);
        let (text, descriptors) = {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let Ok(message) = recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags)
            else {
                return false;
            };
            assert!(!message.flags.contains(MsgFlags::MSG_CTRUNC), "more descriptors than a message has");
            let mut descriptors: Vec<OwnedFd> = Vec::new();
            for part in message.cmsgs().unwrap() {
                if let ControlMessageOwned::ScmRights(numbers) = part {
                    // SAFETY: the kernel has just given them to us.
                    descriptors.extend(numbers.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                }
            }
            let length = message.bytes;
            (String::from_utf8(bytes[..length].to_vec()).unwrap(), descriptors)
        };
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
        };
        if value("FDSTORE").is_some() {
            assert_eq!(value("FDPOLL").as_deref(), Some("0"), "a map that is polled is dropped: {text}");
            let name = value("FDNAME").unwrap();
            assert!(name.len() <= 255 && !name.contains(':'), "{name}");
            for fd in descriptors {
                // As systemd: what is there already stays as it is, under the name it has.
                if !self.store.iter().any(|(_, kept)| is_same(kept, &fd)) {
                    self.store.push((name.clone(), fd));
                }
            }
        } else if value("FDSTOREREMOVE").is_some() {
            let name = value("FDNAME").unwrap();
            self.store.retain(|(kept, _)| *kept != name);
        } else {
            assert!(descriptors.is_empty(), "{text}");
        }
        value("READY").is_some()
    }

    /// Takes what has come.
    pub fn hear_all(&mut self) {
        let end = Instant::now() + Duration::from_millis(50);
        while Instant::now() < end {
            self.hear(Duration::from_millis(10));
        }
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().unwrap().id();
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
    }

    /// Ends the daemon by this signal.
    pub fn end(&mut self, signal: Signal) {
        self.signal(signal);
        let mut child = self.child.take().unwrap();
        let end = Instant::now() + patience(30);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                let well = if signal == Signal::SIGKILL { status.code().is_none() } else { status.success() };
                assert!(well, "{signal}: {status}\n{}", self.log());
                return;
            }
            assert!(Instant::now() < end, "{signal}: it goes on\n{}", self.log());
            self.hear(Duration::from_millis(5));
        }
    }

    /// Waits until the daemon ends by itself; its exit status.
    pub fn ended(&mut self) -> Option<i32> {
        let end = Instant::now() + patience(30);
        loop {
            // Left to `drop`, should it not end.
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.child = None;
                self.hear_all();
                return status.code();
            }
            assert!(Instant::now() < end, "it goes on\n{}", self.log());
            self.hear(Duration::from_millis(5));
        }
    }

    /// What all lives have written to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.fixture_dir.join("daemon.log")).unwrap_or_default()
    }

    /// The events of all lives.
    pub fn events(&self) -> Vec<Event> {
        let text = std::fs::read_to_string(self.fixture_dir.join("events.json")).unwrap();
        text.lines().map(Event::parse).collect()
    }

    /// The descriptors kept under names that end so.
    pub fn kept(&self, role: &str) -> impl Iterator<Item = usize> {
        let end = format!("-{role}");
        self.store.iter().enumerate().filter(move |(_, (name, _))| name.ends_with(&end)).map(|(at, _)| at)
    }

    /// An environment with another build.
    pub fn other_build(name: &str) -> [(&str, &str); 1] {
        [("BEE_TEST_BUILD", name)]
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the daemons' log:\n{}", self.log());
        }
    }
}

/// Whether both are one open file (kcmp(2)).
fn is_same(one: &OwnedFd, two: &OwnedFd) -> bool {
    const KCMP_FILE: libc::c_int = 0;
    let pid = std::process::id();
    // SAFETY: numbers only.
    unsafe { libc::syscall(libc::SYS_kcmp, pid, pid, KCMP_FILE, one.as_raw_fd(), two.as_raw_fd()) == 0 }
}

/// A file that holds this much of nothing.
pub fn memory(bytes: &[u8]) -> OwnedFd {
    use std::io::Write as _;
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let mut file = File::from(nix::sys::memfd::memfd_create(OsString::from("x").as_os_str(), flags).unwrap());
    file.write_all(bytes).unwrap();
    file.into()
}
