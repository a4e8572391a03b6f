//! Mode, owner and length of watched files.

use std::path::PathBuf;

use crate::harness::{Abi, Daemon, Fixture, Ran, Want, tier};

/// Acts that open the file first make an open event, by this access, as well.
const ACTS: &[(&str, &str, Option<&str>)] = &[
    ("chmod", "chmod", None),
    ("chmod", "fchmod", Some("read")),
    ("chmod", "fchmodat", None),
    ("chown", "chown", None),
    ("chown", "lchown", None),
    ("chown", "fchown", Some("read")),
    ("chown", "fchownat", None),
    ("truncate", "truncate", None),
    ("truncate", "ftruncate", Some("write")),
];

/// Calls only 32-bit x86 has: user numbers of 32 bits and lengths of 64.
const COMPAT_ACTS: &[(&str, &str, Option<&str>)] = &[
    ("chown", "chown32", None),
    ("chown", "lchown32", None),
    ("chown", "fchown32", Some("read")),
    ("truncate", "truncate64", None),
];

fn acts(abi: Abi) -> Vec<(&'static str, &'static str, Option<&'static str>)> {
    let gone = ["chmod", "chown", "lchown"];
    let native_arm = cfg!(target_arch = "aarch64") && abi == Abi::Native;
    let usual = ACTS.iter().filter(|(_, call, _)| !(native_arm && gone.contains(call)));
    let more = if abi == Abi::Compat && cfg!(target_arch = "x86_64") { COMPAT_ACTS } else { &[] };
    usual.chain(more).copied().collect()
}

#[test]
fn root_mode_owner_and_length() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut done: Vec<(Ran, PathBuf, &str, Option<&str>)> = Vec::new();
    let mut number = 1;
    for abi in Abi::all() {
        for (action, call, opens) in acts(abi) {
            let path = fixture.secret(number);
            number += 1;
            let value = match action {
                "chmod" => "0640",
                "chown" => "4242",
                _ => "3",
            };
            let paths = [&path, &path, &path, &path, &path];
            let ran = fixture.trigger("attrs", abi).args([call, value]).args(paths).run().all_well(5);
            done.push((ran, path, action, opens));
        }
    }
    let run = daemon.stop();
    for (ran, path, action, opens) in &done {
        // Those that open the file first act on it by its descriptor.
        let want = Want::new(action);
        let want = if opens.is_some() { want.path(path) } else { want.named(path) };
        let want = match *action {
            "chmod" => want.with("file.mode", "0640"),
            "chown" => want.with("file.uid", "4242"),
            _ => want,
        };
        let unseen = opens.is_some() && tier::DESCRIPTOR.here();
        let count = if unseen { 0 } else { 5 };
        want.among(count, &run, ran);
        if *action == "truncate" {
            assert!(
                run.files(ran)
                    .iter()
                    .filter(|event| event.action() == "truncate")
                    .all(|event| event.number("file.size") == Some(3))
            );
        }
        let opened = run.files(ran).iter().filter(|event| event.action() == "open").count();
        assert_eq!(opened, if opens.is_some() { 5 } else { 0 }, "{:?}", ran.args);
        assert_eq!(run.files(ran).len(), count + opened, "{:?}", ran.args);
        if let Some(access) = opens {
            assert!(
                run.files(ran)
                    .iter()
                    .filter(|event| event.action() == "open")
                    .all(|event| event.text("bee.access") == *access)
            );
        }
    }
    run.lossless();
}

#[test]
fn root_the_same_on_what_nobody_watches_makes_no_event() {
    let fixture = Fixture::new();
    let path = fixture.write("tree/plain", "x");
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut done = Vec::new();
    for (action, call, _) in acts(Abi::Native) {
        let value = if action == "chmod" { "0600" } else { "1" };
        done.push(fixture.trigger("attrs", Abi::Native).args([call, value]).args([&path]).run().all_well(1));
    }
    let run = daemon.stop();
    for ran in &done {
        assert!(run.files(ran).is_empty(), "{:?}: {}", ran.args, run.files(ran)[0]);
    }
}
