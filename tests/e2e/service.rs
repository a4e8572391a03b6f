//! What a service manager is told, on a socket of the test's own.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Daemon, Fixture, patience, wait_for};

/// The manager's side; its name is abstract, so that no permission of a directory matters.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn new(name: &str) -> Self {
        let name = format!("bee-manager-{}-{name}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Self { socket, name: format!("@{name}") }
    }

    /// The next message within `time`.
    fn next(&self, time: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    }

    /// The next that begins so; what comes before it may only be status or signs of life.
    fn wait(&self, begins: &str, seconds: u64) -> String {
        let end = Instant::now() + patience(seconds);
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let message = self.next(left).unwrap_or_else(|| panic!("no {begins} within {seconds} s"));
            if message.starts_with(begins) {
                return message;
            }
            let passing = ["STATUS=", "WATCHDOG=1\n", "FDSTORE=1\n"];
            assert!(passing.iter().any(|begin| message.starts_with(begin)), "{message} before {begins}");
        }
    }

    /// Takes what has come so far.
    fn empty(&self) {
        while self.next(Duration::from_millis(1)).is_some() {}
    }
}

#[test]
fn root_a_manager_is_told_in_order() {
    let fixture = Fixture::new();
    let manager = Manager::new("order");
    let daemon = Daemon::start_as(&fixture, &[], &[("NOTIFY_SOCKET", &manager.name)]);
    let ready = manager.wait("READY=1\n", 30);
    for sensor in ["process (", "file (", "memory ("] {
        assert!(ready.contains("\nSTATUS=watches: ") && ready.contains(sensor), "{ready}");
    }
    // Ready means that the privileges are gone.
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    assert!(status.contains("CapEff:\t0000000000000000\n") && status.contains("Seccomp:\t2\n"), "{status}");
    assert!(!status.contains("Uid:\t0\t"), "{status}");

    daemon.signal(Signal::SIGHUP);
    let reloading = manager.wait("RELOADING=1\n", 30);
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    let again = manager.wait("READY=1\n", 30);
    assert!(!again.contains("refused"), "{again}");

    let good = std::fs::read(fixture.config()).unwrap();
    std::fs::write(fixture.config(), "nonsense = 1\n").unwrap();
    daemon.signal(Signal::SIGHUP);
    manager.wait("RELOADING=1\n", 30);
    let refused = manager.wait("READY=1\n", 30);
    assert!(refused.contains("the last reload was refused"), "{refused}");
    std::fs::write(fixture.config(), good).unwrap();

    daemon.stop();
    manager.wait("STOPPING=1\n", 1);
}

#[test]
fn root_a_loop_that_is_frozen_gives_no_sign_of_life() {
    let fixture = Fixture::new();
    let manager = Manager::new("frozen");
    let every = Duration::from_secs(2);
    let watchdog = (every * 2).as_micros().to_string();
    let environment = [("NOTIFY_SOCKET", manager.name.as_str()), ("WATCHDOG_USEC", &watchdog)];
    let daemon = Daemon::start_as(&fixture, &[], &environment);
    manager.wait("READY=1\n", 30);
    let clock = Instant::now();
    for _ in 0..3 {
        manager.wait("WATCHDOG=1\n", 10);
    }
    assert!(clock.elapsed() > every * 2, "three signs within {:?}", clock.elapsed());

    daemon.signal(Signal::SIGSTOP);
    wait_for("the stop", 5, || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    });
    manager.empty();
    assert_eq!(manager.next(every * 3), None);
    daemon.signal(Signal::SIGCONT);
    manager.wait("WATCHDOG=1\n", 10);
    assert!(!daemon.log().contains("no sign of life"), "{}", daemon.log());
    daemon.stop();
}
