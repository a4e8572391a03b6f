//! Sockets that are neither TCP nor UDP, local sockets, and what is not told.

use crate::harness::{Abi, Daemon, Event, Fixture, Ran, Run};

fn network<'a>(run: &'a Run, ran: &Ran) -> Vec<&'a Event> {
    run.of(ran.pid).filter(|event| event.text("bee.sensor") == "network").collect()
}

/// See `KINDS`.
type Kind = (&'static str, &'static str, &'static str, Option<(&'static str, &'static str)>);

/// Family, type, protocol, and what they are told as; nothing: they are not.
const KINDS: &[Kind] = &[
    ("2", "3", "1", Some(("ipv4", "raw"))),
    ("10", "3", "58", Some(("ipv6", "raw"))),
    ("17", "3", "768", Some(("packet", "raw"))),
    ("2", "1", "0", None),
    ("2", "2", "0", None),
    ("10", "1", "6", None),
    ("1", "1", "0", None),
    ("16", "3", "0", None),
];

#[test]
fn root_sockets_are_told_by_their_kind() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let mut done = Vec::new();
    for abi in Abi::all() {
        for (family, kind, protocol, told) in KINDS {
            let args = ["direct", "socket", "3", family, kind, protocol];
            let ran = fixture.trigger("net", abi).args(args).run();
            done.push((ran, told));
        }
    }
    let run = daemon.stop();
    for (ran, told) in &done {
        let events = network(&run, ran);
        assert!(ran.acts.iter().all(|(result, _)| *result >= 0), "{:?}: {:?}", ran.args, ran.acts);
        let Some((family, kind)) = told else {
            assert!(events.is_empty(), "{:?}: {}", ran.args, events[0]);
            continue;
        };
        assert_eq!(events.len(), 3, "{:?}", ran.args);
        for event in events {
            assert_eq!(event.action(), "socket");
            assert_eq!(event.text("network.type"), *family, "{event}");
            assert_eq!(event.text("bee.socket.type"), *kind, "{event}");
            assert_eq!(event.number("bee.socket.family"), ran.args[4].parse().ok(), "{event}");
            assert_eq!(event.number("bee.socket.protocol"), ran.args[6].parse().ok(), "{event}");
            assert_eq!(event.has_flag("compat_32bit"), ran.abi == Abi::Compat, "{event}");
            assert_eq!(event.number("event.severity"), Some(47), "{event}");
        }
    }
    run.lossless();
}

#[test]
fn root_a_raw_socket_that_is_refused_is_told_too() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let trigger = fixture.trigger("net", Abi::Native).user(&fixture.users[0]);
    let ran = trigger.args(["direct", "socket", "2", "2", "3", "1"]).run().all_failed(2, libc::EPERM);
    let run = daemon.stop();
    let events = network(&run, &ran);
    assert_eq!(events.len(), 2);
    for event in events {
        assert_eq!((event.action(), event.text("event.code")), ("socket", "EPERM"), "{event}");
        assert_eq!(event.list("event.type"), ["start", "denied"], "{event}");
    }
    run.lossless();
}

#[test]
fn root_local_sockets_that_are_watched_and_no_others() {
    let fixture = Fixture::new();
    fixture.config();
    let watched = fixture.dir.join("watched.sock");
    fixture.set_drop_in(&format!("[network]\nunix = [\"{}\", \"@bee-e2e*\"]\n", watched.display()));
    let _server = std::os::unix::net::UnixListener::bind(&watched).unwrap();
    let watched = watched.to_str().unwrap();
    let daemon = Daemon::start(&fixture, &[]);
    let mut done = Vec::new();
    for abi in Abi::all() {
        for (path, told) in [(watched, true), ("@bee-e2e-nobody", true), ("/run/bee-e2e-other", false)] {
            let ran = fixture.trigger("net", abi).args(["direct", "unix", "3", path]).run();
            done.push((ran, path, told));
        }
    }
    let run = daemon.stop();
    for (ran, path, told) in &done {
        let events = network(&run, ran);
        assert_eq!(events.len(), if *told { 3 } else { 0 }, "{:?}", ran.args);
        for event in events {
            assert_eq!((event.action(), event.text("network.type")), ("connect", "unix"), "{event}");
            assert_eq!(event.text("destination.address"), *path, "{event}");
            let failed = path.starts_with('@');
            assert_eq!(event.text("event.code"), if failed { "ECONNREFUSED" } else { "" }, "{event}");
        }
    }
    run.lossless();
}

#[test]
fn root_what_a_machine_sends_itself_is_not_told_unless_asked_for() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let mut done = Vec::new();
    for family in ["4", "6", "mapped"] {
        for act in ["connect", "sendto", "sendmmsg", "send"] {
            done.push(fixture.trigger("net", Abi::Native).args(["direct", act, "3", family, "9"]).run());
        }
    }
    let run = daemon.stop();
    for ran in &done {
        assert!(network(&run, ran).is_empty(), "{:?}: {}", ran.args, network(&run, ran)[0]);
    }
    run.lossless();
}

#[test]
fn root_lists_and_excludes_decide() {
    let fixture = Fixture::new();
    fixture.config();
    let directory = fixture.dir.join("bin/32/net");
    fixture.set_drop_in(&format!(
        "[network]\nignore = []\nsuspicious_ports = [\"9\"]\nmonitored_ports = [\"9-11\"]\n\
         safe_ports = [\"12\"]\nactions = [\"connect\"]\n[[exclude]]\nexe = \"{}\"\nnetworks = [\"127.0.0.0/8\"]\n",
        directory.display()
    ));
    let daemon = Daemon::start(&fixture, &[]);
    let mut done = Vec::new();
    for (port, severity) in [("9", 73), ("10", 47), ("12", 1), ("13", 21)] {
        let ran = fixture.trigger("net", Abi::Native).args(["direct", "connect", "2", "4", port]).run();
        done.push((ran, Some(severity)));
    }
    // Not asked for; and a program that may.
    done.push((fixture.trigger("net", Abi::Native).args(["direct", "sendto", "2", "4", "9"]).run(), None));
    if Abi::all().contains(&Abi::Compat) {
        let ran = fixture.trigger("net", Abi::Compat).args(["direct", "connect", "2", "4", "9"]).run();
        done.push((ran, crate::harness::tier::EXCLUDE.here().then_some(73)));
        let ran = fixture.trigger("net", Abi::Compat).args(["direct", "connect", "2", "6", "9"]).run();
        done.push((ran, Some(73)));
    }
    let run = daemon.stop();
    for (ran, severity) in &done {
        let events = network(&run, ran);
        assert_eq!(events.len(), if severity.is_some() { 2 } else { 0 }, "{:?}", ran.args);
        assert!(events.iter().all(|event| event.number("event.severity") == *severity), "{:?}", ran.args);
    }
    run.lossless();
}
