//! A watched file under a foreign name is still the watched file.

use std::fs;

use crate::harness::{Abi, Daemon, Fixture, Want, tier};

#[test]
fn root_a_hard_link_made_before_the_start() {
    if tier::IDENTITY.skips("root_a_hard_link_made_before_the_start") {
        return;
    }
    let fixture = Fixture::new();
    let (path, alias) = (fixture.secret(7), fixture.dir.join("holiday.jpg"));
    fs::hard_link(&path, &alias).unwrap();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let ran =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "11"]).args([&alias]).run().all_well(11);
    let run = daemon.stop();
    let want = Want::new("open").path(&alias).access("read").flag("by_identity");
    want.with("bee.known_as", path.to_str().unwrap()).exactly(11, &run, &ran);
    run.lossless();
}

#[test]
fn root_a_key_that_was_renamed_while_we_watch() {
    if tier::IDENTITY.skips("root_a_key_that_was_renamed_while_we_watch") {
        return;
    }
    let fixture = Fixture::new();
    let [user, _] = &fixture.users;
    let (key, elsewhere) = (user.key("id_ed25519"), user.home.join("holiday.jpg"));
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let moved =
        fixture.trigger("names", Abi::Native).args(["renameat2"]).args([&key, &elsewhere]).run().all_well(1);
    let ran =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "7"]).args([&elsewhere]).run().all_well(7);
    let run = daemon.stop();
    Want::new("rename")
        .named(&elsewhere)
        .with("bee.old_path", key.to_str().unwrap())
        .exactly(1, &run, &moved);
    let want = Want::new("open").path(&elsewhere).access("read").flag("by_identity");
    want.with("bee.known_as", key.to_str().unwrap()).exactly(7, &run, &ran);
    run.lossless();
}

#[test]
fn root_a_hard_link_made_while_we_watch() {
    if tier::IDENTITY.skips("root_a_hard_link_made_while_we_watch") {
        return;
    }
    let fixture = Fixture::new();
    let (path, alias) = (fixture.secret(9), fixture.dir.join("notes"));
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let linked =
        fixture.trigger("names", Abi::Native).args(["linkat"]).args([&path, &alias]).run().all_well(1);
    let ran =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "7"]).args([&alias]).run().all_well(7);
    let run = daemon.stop();
    assert_eq!(run.files(&linked).len(), 1);
    let want = Want::new("open").path(&alias).access("read").flag("by_identity");
    want.with("bee.known_as", path.to_str().unwrap()).exactly(7, &run, &ran);
}

#[test]
fn root_a_file_written_aside_and_moved_over_a_watched_name() {
    if tier::IDENTITY.skips("root_a_file_written_aside_and_moved_over_a_watched_name") {
        return;
    }
    let fixture = Fixture::new();
    let path = fixture.secret(11);
    let fresh = fixture.write("tree/d11/fresh.tmp", "a new secret");
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let call = if cfg!(target_arch = "x86_64") { "rename" } else { "renameat" };
    let moved = fixture.trigger("names", Abi::Native).args([call]).args([&fresh, &path]).run().all_well(1);
    // Known by its name, and from then on by its identity.
    let alias = fixture.dir.join("alias-of-fresh");
    let first =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "3"]).args([&path]).run().all_well(3);
    fs::hard_link(&path, &alias).unwrap();
    let second =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "5"]).args([&alias]).run().all_well(5);
    let run = daemon.stop();
    Want::new("rename").named(&path).with("bee.old_path", fresh.to_str().unwrap()).exactly(1, &run, &moved);
    Want::new("open").path(&path).access("read").exactly(3, &run, &first);
    Want::new("open")
        .path(&alias)
        .access("read")
        .flag("by_identity")
        .with("bee.known_as", path.to_str().unwrap())
        .exactly(5, &run, &second);
    run.lossless();
}

#[test]
fn root_an_inode_that_is_used_again_is_not_the_old_file() {
    let fixture = Fixture::new();
    let path = fixture.secret(13);
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let gone = fixture.trigger("names", Abi::Native).args(["unlinkat"]).args([&path]).run().all_well(1);
    // ext4 hands out the freed number again at once; where it does not, this proves less.
    let harmless = fixture.write("tree/d13/harmless", "x");
    let ran =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "5"]).args([&harmless]).run().all_well(5);
    let run = daemon.stop();
    assert_eq!(run.files(&gone).len(), 1);
    assert!(run.files(&ran).is_empty(), "a removed file's number was remembered: {}", run.files(&ran)[0]);
}
