//! Tries that the kernel refuses are events too.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{Abi, Daemon, Fixture, Want};

#[test]
fn root_a_user_tries_files_of_root() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let [user, _] = &fixture.users;
    let mut done = Vec::new();
    for abi in Abi::all() {
        for call in ["openat", "openat2"] {
            for (mode, access) in [("r", "read"), ("w", "write"), ("rw", "read-write")] {
                let trigger = fixture.trigger("open", abi).user(user);
                let ran = trigger.args([call, mode, "5", "/etc/shadow"]).run();
                done.push((ran.all_failed(5, libc::EACCES), access));
            }
        }
    }
    let run = daemon.stop();
    for (ran, access) in &done {
        let want = Want::new("open").named("/etc/shadow".as_ref()).access(access).errno(libc::EACCES);
        want.exactly(5, &run, ran);
    }
    run.lossless();
}

#[test]
fn root_a_directory_on_the_way_is_closed() {
    let fixture = Fixture::new();
    let [thief, victim] = &fixture.users;
    let key = victim.key("id_ed25519");
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let ran = fixture.trigger("open", Abi::Native).user(thief).args(["openat", "r", "7"]).args([&key]).run();
    let ran = ran.all_failed(7, libc::EACCES);
    let run = daemon.stop();
    let want = Want::new("open").named(&key).access("read").errno(libc::EACCES);
    want.exactly(7, &run, &ran);
    run.lossless();
}

#[test]
fn root_a_refused_relative_name_is_completed() {
    let fixture = Fixture::new();
    let [user, _] = &fixture.users;
    let path = fixture.write("tree/open-dir/.env", "x");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut done = Vec::new();
    for how in ["relative", "dirfd", "fchdir", "cold"] {
        let trigger = fixture.trigger("where", Abi::Native).user(user);
        let ran = trigger.args([how, "3"]).args([path.parent().unwrap()]).args([".env"]).run();
        done.push(ran.all_failed(3, libc::EACCES));
    }
    let run = daemon.stop();
    for ran in &done {
        let want = Want::new("open").named(&path).access("read").errno(libc::EACCES);
        let want = if ran.args[1] == "cold" { want } else { want.given(".env") };
        want.exactly(3, &run, ran);
    }
    run.lossless();
}

#[test]
fn root_refusals_of_what_nobody_watches_make_no_event() {
    let fixture = Fixture::new();
    let [user, _] = &fixture.users;
    let path = fixture.write("tree/plain", "x");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let ran = fixture.trigger("open", Abi::Native).user(user).args(["openat", "r", "7"]).args([&path]).run();
    let ran = ran.all_failed(7, libc::EACCES);
    let run = daemon.stop();
    assert!(run.files(&ran).is_empty(), "{}", run.files(&ran)[0]);
}

#[test]
fn root_refused_changes_of_names_are_reported() {
    let fixture = Fixture::new();
    let [user, _] = &fixture.users;
    let path = fixture.write("tree/closed/.env", "x");
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let names = || fixture.trigger("names", Abi::Native).user(user);
    let attrs = || fixture.trigger("attrs", Abi::Native).user(user);
    let gone = names().args(["unlinkat"]).args([&path, &path, &path]).run().all_failed(3, libc::EACCES);
    let moved = names().args(["renameat2"]).args([&path, &fixture.dir.join("tree/closed/x")]).run();
    let moved = moved.all_failed(1, libc::EACCES);
    let mode = attrs().args(["fchmodat", "0777"]).args([&path]).run().all_failed(1, libc::EPERM);
    let cut = attrs().args(["truncate", "0"]).args([&path]).run().all_failed(1, libc::EACCES);
    let run = daemon.stop();
    for (ran, action, count, errno) in [
        (&gone, "delete", 3, libc::EACCES),
        (&moved, "rename", 1, libc::EACCES),
        (&mode, "chmod", 1, libc::EPERM),
        (&cut, "truncate", 1, libc::EACCES),
    ] {
        let events = run.files(ran);
        assert_eq!(events.len(), count, "{action}: {events:#?}");
        for event in events {
            assert_eq!(event.action(), action, "{event}");
            assert_eq!(event.text("event.outcome"), "failure", "{event}");
            let code = format!("{:?}", nix::errno::Errno::from_raw(errno));
            assert_eq!(event.text("event.code"), code, "{event}");
        }
    }
}
