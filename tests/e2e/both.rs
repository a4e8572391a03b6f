//! Acts that two sensors read: each tells them, once.

use crate::harness::{Abi, Daemon, Fixture, Run};

/// Events of one trigger by what they say was done, and their outcomes.
fn told(run: &Run, pid: u32, action: &str) -> Vec<String> {
    let of_trigger = run.events.iter().filter(|event| event.number("process.pid") == Some(pid.into()));
    of_trigger
        .filter(|event| event.action() == action)
        .map(|event| format!("{} {}", event.text("bee.sensor"), event.text("event.outcome")))
        .collect()
}

/// The environment of a process, which is a file somebody watches as well: the file sensor and the
/// memory sensor share the end of the call where they read it there (docs/adr/0016-exits.md).
#[test]
fn root_an_open_that_two_sensors_read_is_an_event_of_each() {
    let fixture = Fixture::new();
    let [user, _] = &fixture.users;
    let environ = format!("/proc/{}/environ", std::process::id());
    fixture.config();
    fixture.set_drop_in(&format!("[file]\nwatch_add = [\"{environ}\"]\n"));
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut done = Vec::new();
    for abi in Abi::all() {
        let open = || fixture.trigger("open", abi).args(["openat", "r", "5"]).args([&environ]);
        done.push((open().run().all_well(5), "success"));
        done.push((open().user(user).run().all_failed(5, libc::EACCES), "failure"));
    }
    let run = daemon.stop();
    for (ran, outcome) in &done {
        assert_eq!(told(&run, ran.pid, "open"), vec![format!("file {outcome}"); 5], "{:?}", ran.args);
        assert_eq!(
            told(&run, ran.pid, "proc-environ"),
            vec![format!("memory {outcome}"); 5],
            "{:?}",
            ran.args
        );
    }
    run.lossless();
}
