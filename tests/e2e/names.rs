//! Names that come, go and move.

use std::fs;
use std::path::PathBuf;

use crate::harness::{Abi, Daemon, Event, Fixture, Ran, Run, Want, tier};

/// Calls of the `names` trigger that this architecture has for this ABI.
fn calls<'a>(abi: Abi, old: &[&'a str], all: &[&'a str]) -> Vec<&'a str> {
    let old = if cfg!(target_arch = "aarch64") && abi == Abi::Native { &[][..] } else { old };
    old.iter().chain(all).copied().collect()
}

/// Five watched files `tree/<name>/.env.N`.
fn five(fixture: &Fixture, name: &str) -> Vec<PathBuf> {
    (0..5).map(|number| fixture.write(&format!("tree/{name}/.env.{number}"), "x")).collect()
}

/// Asserts one event for each of `wants`, in order.
fn in_order(wants: &[Want], run: &Run, ran: &Ran) {
    let events = run.files(ran);
    assert_eq!(
        events.len(),
        wants.len(),
        "{:?}: {:?}",
        ran.args,
        events.iter().map(|e| e.action()).collect::<Vec<_>>()
    );
    for (want, event) in wants.iter().zip(events) {
        want.check(event, run, ran);
    }
}

#[test]
fn root_removing() {
    let fixture = Fixture::new();
    let mut cases = Vec::new();
    for abi in Abi::all() {
        for call in calls(abi, &["unlink"], &["unlinkat"]) {
            let paths = five(&fixture, &format!("{call}-{abi:?}"));
            let wants: Vec<_> = paths.iter().map(|path| Want::new("delete").named(path)).collect();
            cases.push((abi, call, paths, wants));
        }
    }
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let done: Vec<_> = cases
        .iter()
        .map(|(abi, call, paths, _)| {
            fixture.trigger("names", *abi).args([call]).args(paths).run().all_well(5)
        })
        .collect();
    let run = daemon.stop();
    for (ran, (.., wants)) in done.iter().zip(&cases) {
        in_order(wants, &run, ran);
    }
    run.lossless();
}

#[test]
fn root_renaming_away_and_back() {
    let fixture = Fixture::new();
    let mut cases = Vec::new();
    for abi in Abi::all() {
        for call in calls(abi, &["rename", "renameat"], &["renameat2"]) {
            if call == "renameat" && !cfg!(target_arch = "x86_64") {
                continue;
            }
            let path = fixture.write(&format!("tree/{call}-{abi:?}/.env"), "x");
            let other = path.with_file_name("harmless");
            cases.push((abi, call, path, other));
        }
    }
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let done: Vec<_> = cases
        .iter()
        .map(|(abi, call, a, b)| {
            let trigger = fixture.trigger("names", *abi).args([call]);
            trigger.args([a, b, b, a, a, b]).run().all_well(3)
        })
        .collect();
    let wants: Vec<_> = cases
        .iter()
        .map(|(_, _, a, b)| {
            let one = |from: &PathBuf, to: &PathBuf| {
                Want::new("rename").named(to).with("bee.old_path", from.to_str().unwrap())
            };
            // One of the two names is a watched one each time.
            [one(a, b), one(b, a), one(a, b)]
        })
        .collect();
    let run = daemon.stop();
    for (ran, wants) in done.iter().zip(&wants) {
        in_order(wants, &run, ran);
    }
    run.lossless();
}

#[test]
fn root_exchanging_two_files() {
    let fixture = Fixture::new();
    let (secret, plain) = (fixture.write("tree/x/.env", "secret"), fixture.write("tree/x/plain", "plain"));
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let ran =
        fixture.trigger("names", Abi::Native).args(["exchange"]).args([&secret, &plain]).run().all_well(1);
    let opened =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "3"]).args([&plain]).run().all_well(3);
    let reopened =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "3"]).args([&secret]).run().all_well(3);
    let run = daemon.stop();
    let events = run.files(&ran);
    assert!((1..=2).contains(&events.len()), "{events:#?}");
    assert!(events.iter().all(|event| event.action() == "rename"), "{events:#?}");
    // What was the secret is known by its identity under the new name, and the old name is
    // a watched one whatever lies there now.
    let moved = if tier::IDENTITY.here() { 0 } else { 3 };
    for (ran, path, count) in [(&opened, &plain, moved), (&reopened, &secret, 3)] {
        let events = run.files(ran);
        assert_eq!(events.len(), count, "{}", path.display());
        for event in events {
            assert_eq!(event.text("file.path"), path.to_str().unwrap(), "{event}");
        }
    }
}

#[test]
fn root_a_directory_moved_into_place() {
    let fixture = Fixture::new();
    let [user, _] = &fixture.users;
    let staged = fixture.write("staging/id_custom", "a key");
    let ssh = user.home.join(".ssh");
    fs::rename(&ssh, user.home.join("was-ssh")).unwrap();
    let mut daemon = Daemon::start_scanned(&fixture, &[]);
    let staging = staged.parent().unwrap();
    let ran =
        fixture.trigger("names", Abi::Native).args(["renameat2"]).args([staging, &ssh]).run().all_well(1);
    // Known by its name at once.
    let path = ssh.join("id_custom");
    let opened =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "3"]).args([&path]).run().all_well(3);
    // And by identity, under any name, when the scanner has been there again.
    if !tier::IDENTITY.here() {
        let alias = fixture.dir.join("alias-of-custom");
        fs::hard_link(&path, &alias).unwrap();
        daemon.wait_scanned(&alias);
    }
    let run = daemon.stop();
    let moves: Vec<_> = run.files(&ran);
    assert_eq!(moves.len(), 1, "{moves:#?}");
    assert_eq!((moves[0].action(), moves[0].text("file.path")), ("rename", ssh.to_str().unwrap()));
    assert_eq!(moves[0].text("bee.old_path"), staging.to_str().unwrap());
    let opens = run.files(&opened);
    assert_eq!(opens.len(), 3);
    assert!(opens.iter().all(|event| event.text("file.path") == path.to_str().unwrap()), "{opens:#?}");
}

#[test]
fn root_links() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut done = Vec::new();
    let mut number = 1;
    for abi in Abi::all() {
        for call in calls(abi, &["link", "symlink"], &["linkat", "symlinkat"]) {
            let target = fixture.secret(number);
            number += 1;
            let links: Vec<_> =
                (0..3).map(|number| fixture.dir.join(format!("tree/{call}-{abi:?}-{number}"))).collect();
            let pairs = links.iter().flat_map(|link| [&target, link]);
            let ran = fixture.trigger("names", abi).args([call]).args(pairs).run().all_well(3);
            let action = if call.starts_with("sym") { "symlink" } else { "link" };
            let wants: Vec<_> = links
                .iter()
                .map(|link| Want::new(action).named(link).with("file.target_path", target.to_str().unwrap()))
                .collect();
            done.push((ran, wants));
        }
    }
    let run = daemon.stop();
    for (ran, wants) in &done {
        in_order(wants, &run, ran);
    }
    run.lossless();
}

#[test]
fn root_a_file_without_a_name_gets_a_watched_one() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let to = fixture.dir.join("tree/.env.tmpfile");
    let dir = fixture.dir.join("tree");
    let ran = fixture.trigger("names", Abi::Native).args(["tmpfile"]).args([&dir, &to]).run().all_well(1);
    let opened =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "5"]).args([&to]).run().all_well(5);
    let run = daemon.stop();
    let links: Vec<&Event> = run.files(&ran).into_iter().filter(|event| event.action() == "link").collect();
    assert_eq!(links.len(), 1, "{:#?}", run.files(&ran));
    assert_eq!(links[0].text("file.path"), to.to_str().unwrap());
    Want::new("open").path(&to).access("read").exactly(5, &run, &opened);
}

#[test]
fn root_device_nodes() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut done = Vec::new();
    for abi in Abi::all() {
        for call in calls(abi, &["mknod"], &["mknodat"]) {
            let nodes: Vec<_> =
                (0..3).map(|number| fixture.dir.join(format!("{call}-{abi:?}-{number}"))).collect();
            let ran = fixture.trigger("names", abi).args([call]).args(&nodes).run().all_well(3);
            let wants: Vec<_> = nodes
                .iter()
                .map(|node| {
                    Want::new("mknod")
                        .named(node)
                        .with("file.mode", "0600")
                        .with("bee.device_node", "1:1")
                        .with("bee.known_as", "/dev/mem")
                        .flag("by_identity")
                })
                .collect();
            done.push((ran, wants));
        }
    }
    let run = daemon.stop();
    for (ran, wants) in &done {
        in_order(wants, &run, ran);
    }
    run.lossless();
}
