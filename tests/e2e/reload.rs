//! SIGHUP: a new configuration without privilege, or the old one and why.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;

use crate::harness::{Abi, Daemon, Event, Fixture, Want, tier, wait_for};

#[test]
fn root_a_reload_watches_new_files_in_directories_of_root() {
    let fixture = Fixture::new();
    let closed = fixture.write("closed/payroll.csv", "x");
    fs::set_permissions(closed.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
    let alias = fixture.dir.join("alias-of-payroll");
    fs::hard_link(&closed, &alias).unwrap();
    let mut daemon = Daemon::start_scanned(&fixture, &[]);
    let before =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "5"]).args([&closed]).run().all_well(5);

    fixture.set_drop_in(&format!("[file]\nwatch_add = [\"{}\"]\n", closed.display()));
    // By identity: only a scanner that may go where the daemon may not can have learned it.
    daemon.reload(&alias);
    let after =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "7"]).args([&closed]).run().all_well(7);
    // A file made after the reload, in that same directory.
    fs::remove_file(&closed).unwrap();
    fs::write(&closed, "made later").unwrap();
    let fresh =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "3"]).args([&closed]).run().all_well(3);
    let run = daemon.stop();
    assert!(run.files(&before).is_empty(), "{}", run.files(&before)[0]);
    let seen = run.files(&after);
    assert_eq!(seen.len(), 7);
    assert!(seen.iter().all(|event| event.text("file.path") == closed.to_str().unwrap()));
    Want::new("open").path(&closed).access("read").exactly(3, &run, &fresh);
}

#[test]
fn root_excludes_change_by_reload() {
    if tier::EXCLUDE.skips("root_excludes_change_by_reload") {
        return;
    }
    let fixture = Fixture::new();
    let path = fixture.secret(1);
    let mut daemon = Daemon::start_scanned(&fixture, &[]);
    let before =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "3"]).args([&path]).run().all_well(3);
    // What is still in the rings when the signal comes is judged by the new configuration.
    for _ in 0..3 {
        let open = |event: &Event| event.pid() == Some(before.pid.into()) && event.action() == "open";
        daemon.wait_event("the opens before", 5, open);
    }
    fixture.set_drop_in(&format!("[[exclude]]\nexe = \"{}\"\n", before.program.display()));
    daemon.reload(&fixture.scan_probe());
    let after =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "5"]).args([&path]).run().all_well(5);
    let other = fixture
        .trigger("open", Abi::all()[Abi::all().len() - 1])
        .args(["openat", "r", "7"])
        .args([&path])
        .run()
        .all_well(7);
    let run = daemon.stop();
    assert_eq!(run.files(&before).len(), 3);
    assert!(run.files(&after).is_empty(), "{}", run.files(&after)[0]);
    // Another program of the same name (and comm) is not excluded.
    if other.program != after.program {
        Want::new("open").path(&path).access("read").exactly(7, &run, &other);
    }
}

#[test]
fn root_a_wrong_configuration_keeps_the_old_one() {
    let fixture = Fixture::new();
    let path = fixture.secret(1);
    let mut daemon = Daemon::start_scanned(&fixture, &[]);
    fixture.set_drop_in("[file]\nwatch = [\n[nonsense]\nkey = 1\n");
    daemon.signal(Signal::SIGHUP);
    wait_for("why the reload was refused", 10, || daemon.log().contains("50-test.toml"));
    let ran = fixture.trigger("open", Abi::Native).args(["openat", "r", "5"]).args([&path]).run().all_well(5);
    // And a right one is taken afterwards.
    let extra = fixture.write("extra.csv", "x");
    fixture.set_drop_in(&format!("[file]\nwatch_add = [\"{}\"]\n", extra.display()));
    let alias = fixture.dir.join("alias-of-extra");
    fs::hard_link(&extra, &alias).unwrap();
    daemon.reload(&alias);
    let taken =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "3"]).args([&extra]).run().all_well(3);
    let run = daemon.stop();
    Want::new("open").path(&path).access("read").exactly(5, &run, &ran);
    Want::new("open").path(&extra).access("read").exactly(3, &run, &taken);
}

#[test]
fn root_a_configuration_that_is_gone_keeps_the_old_one() {
    let fixture = Fixture::new();
    let (path, main) = (fixture.secret(1), fixture.config());
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let aside = fixture.dir.join("aside.toml");
    fs::rename(&main, &aside).unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_for("why the reload was refused", 10, || daemon.log().contains("there is no configuration"));
    let ran = fixture.trigger("open", Abi::Native).args(["openat", "r", "5"]).args([&path]).run().all_well(5);
    // Nor does it say less where the name leads nowhere: that the scanner cannot open it.
    std::os::unix::fs::symlink(&main, &main).unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_for("why it was refused again", 10, || daemon.log().contains("the configuration stays as it was"));
    fs::remove_file(&main).unwrap();
    // Back again, it is taken.
    fs::rename(&aside, &main).unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_for("the reload", 10, || daemon.log().contains("configuration reloaded"));
    let run = daemon.stop();
    Want::new("open").path(&path).access("read").exactly(5, &run, &ran);
}
