//! Every call that opens, in every mode, from 64- and 32-bit programs.

use std::fs;

use crate::harness::{Abi, Daemon, Fixture, Ran, Want, tier};

/// Modes of the `open` trigger and the access each gives.
const MODES: [(&str, &str); 4] = [("r", "read"), ("w", "write"), ("rw", "read-write"), ("append", "write")];

#[test]
fn root_every_call_and_mode_is_one_event_an_open() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut done: Vec<(Ran, Want)> = Vec::new();
    let mut number = 1;
    for abi in Abi::all() {
        for call in ["open", "openat", "openat2", "handle"] {
            if call == "handle" && tier::HANDLE.here() {
                continue; // tested below
            }
            if call == "open" && cfg!(target_arch = "aarch64") && abi == Abi::Native {
                continue; // arm64 never had it
            }
            for (mode, access) in MODES {
                // A file of its own for each, so that no event can stand for another.
                let path = fixture.secret(number);
                number += 1;
                let want = Want::new("open").path(&path).access(access);
                let ran = fixture.trigger("open", abi).args([call, mode, "7"]).args([&path]).run();
                done.push((ran.all_well(7), want));
            }
        }
    }
    let run = daemon.stop();
    for (ran, want) in &done {
        want.exactly(7, &run, ran);
    }
    run.lossless();
}

#[test]
fn root_opens_by_handle_that_cannot_be_told_are_counted() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut done = Vec::new();
    for abi in Abi::all() {
        let path = fixture.secret(1);
        done.push(fixture.trigger("open", abi).args(["handle", "r", "7"]).args([&path]).run().all_well(7));
    }
    let run = daemon.stop();
    let reported: usize = done.iter().map(|ran| run.files(ran).len()).sum();
    let opened = 7 * done.len();
    if !tier::HANDLE.here() {
        assert_eq!(reported, opened);
        return;
    }
    assert_eq!(reported, 0);
    assert_eq!(run.lost("open"), opened as u64);
    let causes: Vec<_> = run.action("loss").map(|loss| loss.text("bee.loss.cause")).collect();
    assert!(causes.iter().all(|cause| *cause == "unnamed"), "{causes:?}");
}

#[test]
fn root_creat_is_a_create_and_then_an_open_for_writing() {
    if cfg!(target_arch = "aarch64") {
        return; // creat is not a system call there; `openat` with O_CREAT is tested below
    }
    let fixture = Fixture::new();
    let path = fixture.dir.join("tree/.env.made");
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let ran = fixture.trigger("open", Abi::Native).args(["creat", "w", "5"]).args([&path]).run().all_well(5);
    let want = Want::new("open").path(&path).access("write");
    let run = daemon.stop();
    // The first call makes the file, the other four open what is there and cut it to nothing.
    let made = usize::from(!tier::CREATION.here());
    Want::new("create").path(&path).access("write").among(made, &run, &ran);
    want.among(5 - made, &run, &ran);
    assert_eq!(run.files(&ran).len(), 5);
    run.lossless();
}

#[test]
fn root_o_creat_makes_one_create_event_a_file() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut done = Vec::new();
    for abi in Abi::all() {
        for call in ["openat", "openat2"] {
            let path = fixture.dir.join(format!("tree/.env.{call}-{abi:?}"));
            let ran =
                fixture.trigger("open", abi).args([call, "create", "1"]).args([&path]).run().all_well(1);
            done.push((ran, Want::new("create").path(&path).access("write")));
        }
    }
    let run = daemon.stop();
    for (ran, want) in &done {
        want.exactly(1, &run, ran);
    }
    run.lossless();
}

#[test]
fn root_keys_of_two_users_and_system_secrets() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut done = Vec::new();
    let homes = fixture.users.iter().flat_map(|user| ["id_ed25519", "id_rsa"].map(|name| user.key(name)));
    let system = ["/etc/shadow", "/etc/gshadow"].map(std::path::PathBuf::from);
    for path in homes.chain(system) {
        let ran = fixture.trigger("open", Abi::Native).args(["openat", "r", "3"]).args([&path]).run();
        done.push((ran.all_well(3), Want::new("open").path(&path).access("read")));
    }
    let run = daemon.stop();
    for (ran, want) in &done {
        want.exactly(3, &run, ran);
    }
    run.lossless();
}

#[test]
fn root_a_user_reads_the_own_key() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let [user, _] = &fixture.users;
    let path = user.key("id_ed25519");
    let trigger = fixture.trigger("open", Abi::Native).user(user);
    let ran = trigger.args(["openat", "r", "11"]).args([&path]).run().all_well(11);
    let run = daemon.stop();
    Want::new("open").path(&path).access("read").exactly(11, &run, &ran);
    run.lossless();
}

#[test]
fn root_what_nobody_watches_makes_no_event() {
    let fixture = Fixture::new();
    let mut quiet = vec![fixture.write("tree/environment", ""), fixture.write("notes.txt", "")];
    for user in &fixture.users {
        quiet.extend(["id_ed25519.pub", "known_hosts"].map(|name| user.key(name)));
    }
    quiet.extend(["/etc/passwd", "/etc/hostname"].map(std::path::PathBuf::from));
    quiet.extend(
        fs::read_dir("/etc/ssl/certs").into_iter().flatten().flatten().take(3).map(|entry| entry.path()),
    );
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut done = Vec::new();
    for path in &quiet {
        done.push(
            fixture.trigger("open", Abi::Native).args(["openat", "r", "7"]).args([path]).run().all_well(7),
        );
    }
    let run = daemon.stop();
    for ran in &done {
        assert!(run.files(ran).is_empty(), "{:?} is not watched: {}", ran.args, run.files(ran)[0]);
    }
    for path in &quiet {
        run.nothing_about(path);
    }
}

#[test]
fn root_a_descriptor_that_cannot_read_is_no_open() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let path = fixture.secret(1);
    // O_PATH names a file and gives no access to what is in it.
    let ran =
        fixture.trigger("open", Abi::Native).args(["openat", "path", "3"]).args([&path]).run().all_well(3);
    let run = daemon.stop();
    assert!(run.files(&ran).is_empty(), "O_PATH is no access: {}", run.files(&ran)[0]);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn root_the_32_bit_gate_from_a_64_bit_process() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let path = fixture.secret(1);
    let ran = fixture.trigger("int80", Abi::Native).args(["13"]).args([&path]).run().all_well(13);
    let run = daemon.stop();
    Want::new("open").path(&path).access("read").flag("compat_32bit").exactly(13, &run, &ran);
    run.lossless();
}

#[test]
fn root_devices_are_known_by_number_not_by_name() {
    let fixture = Fixture::new();
    let node = fixture.dir.join("innocent");
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let made = fixture.trigger("names", Abi::Native).args(["mknodat"]).args([&node]).run().all_well(1);
    let want = Want::new("open")
        .path(&node)
        .access("read")
        .with("bee.device_node", "1:1")
        .with("bee.known_as", "/dev/mem")
        .flag("by_identity");
    let ran = fixture.trigger("open", Abi::Native).args(["openat", "r", "3"]).args([&node]).run();
    let run = daemon.stop();
    Want::new("mknod")
        .named(&node)
        .with("file.mode", "0600")
        .with("bee.device_node", "1:1")
        .with("bee.known_as", "/dev/mem")
        .flag("by_identity")
        .exactly(1, &run, &made);
    // Some kernels (lockdown, no CONFIG_DEVMEM) refuse: that is an event all the same.
    match ran.acts[0] {
        _ if tier::IDENTITY.here() => assert!(run.files(&ran).is_empty()),
        (result, _) if result >= 0 => want.exactly(3, &run, &ran),
        (_, errno @ (libc::EPERM | libc::EACCES)) => want.errno(errno).exactly(3, &run, &ran),
        (_, errno) => {
            // No driver behind the number (ENXIO, ENODEV): nothing was there to be refused.
            assert!([libc::ENXIO, libc::ENODEV].contains(&errno), "unexpected errno {errno}");
            assert!(run.files(&ran).len() == 3 || run.files(&ran).is_empty());
        }
    }
}
