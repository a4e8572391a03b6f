//! Another root takes out of the kernel what the daemon has put there, or changes it.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use bee_trace::store::object;
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, libbpf_sys};
use nix::sys::signal::Signal;

use crate::harness::{Abi, Daemon, Event, Fixture, Manager, Want, objects_left, tier, wait_for};

/// A look every second.
const WATCHED: [(&str, &str); 1] = [("WATCHDOG_USEC", "2000000")];

/// A map of the running daemon, as root gets at it: by its number.
fn map(manager: &Manager, name: &str) -> Option<MapHandle> {
    let ids = manager.kept("map").filter_map(|at| Some(object::map(manager.store[at].1.as_fd()).ok()?.id));
    ids.map(|id| MapHandle::from_map_id(id).unwrap()).find(|map| map.name() == name)
}

fn opens(manager: &Manager, path: &std::path::Path) -> usize {
    let path = path.to_str().unwrap();
    manager
        .events()
        .iter()
        .filter(|event| event.action() == "open" && event.text("file.path") == path)
        .count()
}

fn losses(manager: &Manager, cause: &str) -> Vec<Event> {
    let mut events = manager.events();
    events.retain(|event| event.action() == "loss" && event.text("bee.loss.cause") == cause);
    events
}

fn is_seen(manager: &Manager, path: &std::path::Path) {
    let before = opens(manager, path);
    drop(File::open(path).unwrap());
    wait_for("the open", 20, || opens(manager, path) == before + 1);
}

#[test]
fn root_what_another_root_changes_is_put_right_and_told() {
    let fixture = Fixture::new();
    let key = fixture.write(".ssh/id_ed25519", "");
    let mut manager = Manager::new(&fixture);
    manager.start(&WATCHED);
    is_seen(&manager, &key);
    let life = fixture.status().pid;

    // `generation` is the first word of `struct bee_settings`: programs of another do nothing.
    let settings = map(&manager, ".data.settings").unwrap();
    let zero = 0u32.to_ne_bytes();
    let mut value = settings.lookup(&zero, MapFlags::ANY).unwrap().unwrap();
    value[3] = 0x7f;
    settings.update(&zero, &value, MapFlags::ANY).unwrap();
    wait_for("the settings put right", 20, || {
        manager.hear_all();
        manager.log().contains("(settings: generation)")
    });
    is_seen(&manager, &key);

    let rules = map(&manager, "rules").unwrap();
    let keys: Vec<_> = rules.keys().collect();
    for key in &keys {
        rules.delete(key).unwrap();
    }
    // Nobody tells that it came into being, nor that it was opened.
    let born = fixture.write("born-meanwhile/.ssh/id_ed25519", "");
    wait_for("the rules put right", 20, || {
        manager.hear_all();
        manager.log().contains(&format!("({} rules of the watch lists)", keys.len()))
    });
    is_seen(&manager, &key);
    wait_for("what came into being meanwhile is watched", 20, || {
        drop(File::open(&born).unwrap());
        opens(&manager, &born) > 0
    });

    let found = fixture.status();
    assert_eq!((found.pid, found.guard.altered, found.losses.total), (life, 2, 2), "{:?}", found.guard);
    assert!(found.guard.well == found.guard.looks && found.guard.looks >= 2, "{:?}", found.guard);
    wait_for("both loss events", 20, || losses(&manager, "altered").len() >= 2);
    let told = losses(&manager, "altered");
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|loss| loss.text("bee.loss.stage") == "kernel"), "{told:?}");
    assert!(losses(&manager, "blind").is_empty());
    manager.end(Signal::SIGTERM);
}

/// Takes a sensor's programs out; gives its name, or nothing where this kernel has none such.
type Harm = fn(&Manager) -> Option<&'static str>;

/// The program of this place, from the array the ends of system calls are handed on by.
fn take_out(manager: &Manager, place: u32) -> Option<()> {
    let arrays = ["exits_typed", "exits_raw"].into_iter().filter_map(|name| map(manager, name));
    let mut filled =
        arrays.filter(|array| matches!(array.lookup(&place.to_ne_bytes(), MapFlags::ANY), Ok(Some(_))));
    let array = filled.next()?;
    array.delete(&place.to_ne_bytes()).unwrap();
    Some(())
}

const HARMS: &[Harm] = &[
    |manager| take_out(manager, 0).map(|()| "file"),
    |manager| take_out(manager, 1).map(|()| "memory"),
    |manager| {
        for at in manager.kept("link") {
            let link = &manager.store[at].1;
            // Only links of cgroups let themselves be detached.
            // SAFETY: the descriptor is open.
            if unsafe { libbpf_sys::bpf_link_detach(link.as_raw_fd()) } == 0 {
                assert!(!object::is_attached(link.as_fd()).unwrap());
                return Some("network");
            }
        }
        None
    },
];

#[test]
fn root_what_another_root_takes_out_ends_the_daemon_and_the_next_has_it_again() {
    let fixture = Fixture::new();
    let key = fixture.write(".ssh/id_ed25519", "");
    let mut done = 0;
    for harm in HARMS {
        let left = objects_left(|| {
            let mut manager = Manager::new(&fixture);
            // Where functions are watched nothing can be taken out.
            if tier::forced().is_none() {
                manager.arguments = vec!["--force-tier", "tracepoint"];
            }
            let _ = std::fs::remove_file(fixture.dir.join("events.json"));
            manager.start(&WATCHED);
            is_seen(&manager, &key);
            let before = fixture.status();
            let Some(sensor) = harm(&manager) else {
                manager.end(Signal::SIGTERM);
                return;
            };
            done += 1;
            assert_eq!(manager.ended(), Some(1), "{sensor}: {}", manager.log());
            let told = losses(&manager, "blind");
            assert_eq!(told.len(), 1, "{sensor}: {}", manager.log());
            assert_eq!(told[0].text("bee.loss.stage"), sensor);
            assert!(manager.log().contains("no privilege left to load it anew"), "{}", manager.log());

            manager.start(&WATCHED);
            is_seen(&manager, &key);
            let after = fixture.status();
            assert!(!after.restart.adopted && after.restart.life == 2, "{:?}", after.restart);
            assert!(after.sensors.iter().all(|sensor| sensor.running), "{:?}", after.sensors);
            assert!(after.losses.total == 1 && after.losses.last.is_some(), "{:?}", after.losses);
            assert!(after.sums.emitted > before.sums.emitted, "counters go on");
            wait_for("a look", 20, || {
                manager.hear_all();
                fixture.status().guard.well > 0
            });
            // What was loaded anew is trusted: a kill is followed by a start that takes it over.
            manager.end(Signal::SIGKILL);
            manager.start(&WATCHED);
            assert!(fixture.status().restart.adopted, "{}", manager.log());
            is_seen(&manager, &key);
            manager.end(Signal::SIGTERM);
        });
        assert!(left.is_empty(), "left in the kernel: {left:?}");
    }
    assert!(done > 0, "nothing could be taken out");
}

/// Whoever detaches programs as soon as they are attached makes a hook that is silent, as far as the
/// daemon can see: it says so, goes on with what there is besides, and the other sensors run.
#[test]
fn root_hooks_that_are_detached_at_the_start_are_given_up_and_named() {
    let fixture = Fixture::new();
    let path = fixture.secret(1);
    let meddle = fixture.trigger("meddle", Abi::Native).program();
    let done = AtomicBool::new(false);
    let daemon = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // 1 is what it ends with when there was nothing to detach.
                Command::new(&meddle).arg("detach").stdout(Stdio::null()).status().unwrap();
            }
        });
        let daemon = Daemon::start_scanned(&fixture, &[]);
        done.store(true, Ordering::Relaxed);
        daemon
    });
    assert!(daemon.log().contains("it attaches here, but reports nothing"), "{}", daemon.log());
    let ran = fixture.trigger("open", Abi::Native).args(["openat", "r", "5"]).args([&path]).run().all_well(5);
    let run = daemon.stop();
    Want::new("open").path(&path).access("read").exactly(5, &run, &ran);
}
