//! The daemon when something it relies on fails or fills up: it says so, goes on,
//! and misses nothing.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bee_trace::probe::FAMILIES;
use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::running::Daemon;
use crate::scanner_support::{everything_but, in_namespace, tmpfs};

/// A directory of keys, a configuration that watches them, and its place.
fn scene(mount: &Path, more: &str) -> (PathBuf, PathBuf) {
    let (base, state) = (mount.join("t"), mount.join("state"));
    fs::create_dir(&base).unwrap();
    fs::create_dir(&state).unwrap();
    fs::set_permissions(mount, PermissionsExt::from_mode(0o755)).unwrap();
    write(mount, more);
    (base, state)
}

fn write(mount: &Path, more: &str) {
    let skip: Vec<String> =
        everything_but(mount).iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    let lists = format!("[file]\nwatch = [\"*.key\"]\nscan_skip = {}\n", Value::from(skip));
    fs::write(mount.join("state/config.toml"), format!("{lists}{more}")).unwrap();
}

/// The opens for reading by this process that are told by now, in whole lines.
fn opens(daemon: &Daemon, of: impl Fn(&str) -> bool) -> usize {
    let me = u64::from(std::process::id());
    let text = daemon.text();
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let event = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    whole
        .lines()
        .map(event)
        .filter(|event| event["event"]["action"] == "open" && event["bee"]["access"] == "read")
        .filter(|event| event["process"]["pid"] == me)
        .filter(|event| event["file"]["path"].as_str().is_some_and(&of))
        .count()
}

/// Opens it and waits until that is told: one open more than before.
fn told(daemon: &Daemon, path: &Path) {
    let path = path.to_str().unwrap();
    let before = opens(daemon, |told| told == path);
    drop(File::open(path).unwrap());
    daemon.wait("the open", || opens(daemon, |told| told == path) > before);
}

#[test]
fn root_without_its_scanner_files_are_known_by_their_names() {
    in_namespace(|mount| {
        let (base, state) = scene(mount, "");
        let daemon = Daemon::start(&state);
        daemon.wait_scans(1);
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", daemon.pid())).unwrap();
        let scanner: i32 = children.trim().parse().unwrap();
        kill(nix::unistd::Pid::from_raw(scanner), Signal::SIGKILL).unwrap();
        daemon.wait("the word", || daemon.log().contains("by their names alone"));
        fs::write(base.join("a.key"), "").unwrap();
        told(&daemon, &base.join("a.key"));
        // It cannot be reloaded any more, and says so instead of ending.
        kill(daemon.pid(), Signal::SIGHUP).unwrap();
        daemon.wait("the refusal", || daemon.log().contains("the configuration stays as it was"));
        told(&daemon, &base.join("a.key"));
        let log = daemon.stop();
        assert!(log.contains("SIGKILL"), "{log}");
    });
}

#[test]
fn root_a_table_that_is_full_costs_speed_and_no_event() {
    in_namespace(|mount| {
        let (base, state) = scene(mount, "[limits]\ninodes = 256\nalert_burst = 1000\n");
        for number in 0..400 {
            fs::write(base.join(format!("{number}.key")), "").unwrap();
        }
        let daemon = Daemon::start(&state);
        daemon.wait_scans(1);
        for number in 0..400 {
            drop(File::open(base.join(format!("{number}.key"))).unwrap());
        }
        let key = |path: &str| path.ends_with(".key");
        daemon.wait("an open of each", || opens(&daemon, key) >= 400);
        daemon.stop();
    });
}

#[test]
fn root_what_is_mounted_later_is_watched_at_once() {
    in_namespace(|mount| {
        let (base, state) = scene(mount, "");
        let daemon = Daemon::start(&state);
        daemon.wait_scans(1);
        tmpfs(&base);
        fs::write(base.join("new.key"), "").unwrap();
        told(&daemon, &base.join("new.key"));
        nix::mount::umount(&base).unwrap();
        fs::write(base.join("under.key"), "").unwrap();
        told(&daemon, &base.join("under.key"));
        daemon.stop();
    });
}

#[test]
fn root_a_setting_that_needs_a_restart_is_named_and_the_others_hold() {
    in_namespace(|mount| {
        let (base, state) = scene(mount, "");
        let daemon = Daemon::start(&state);
        daemon.wait_scans(1);
        write(mount, "[limits]\nbulk_ring_kib = 64\nalert_burst = 7\n");
        daemon.reload(1);
        daemon.wait("the name", || daemon.log().contains("limits.bulk_ring_kib"));
        assert!(!daemon.log().contains("limits.alert_burst"), "{}", daemon.log());
        // One that is wrong changes nothing.
        fs::write(state.join("config.toml"), "[file]\nwatch = 3\n").unwrap();
        kill(daemon.pid(), Signal::SIGHUP).unwrap();
        daemon.wait("the refusal", || daemon.log().contains("the old configuration stays in force"));
        fs::write(base.join("a.key"), "").unwrap();
        told(&daemon, &base.join("a.key"));
        daemon.stop();
    });
}

#[test]
fn root_with_every_sensor_off_there_is_nothing_to_run() {
    in_namespace(|mount| {
        let off: String = FAMILIES.iter().map(|family| format!("{} = false\n", family.name)).collect();
        let (_, state) = scene(mount, &format!("[sensors]\n{off}"));
        let output = Command::new(env!("CARGO_BIN_EXE_bee-traced"))
            .arg("--config")
            .arg(state.join("config.toml"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(69), "{said}");
        assert!(said.contains("no sensor"), "{said}");
    });
}
