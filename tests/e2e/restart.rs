//! Restart without a gap: a test that plays the service manager keeps what the daemon hands it,
//! and ends and starts daemons while numbered opens go on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bee_trace::store::Manifest;
use nix::sys::signal::Signal;

use crate::harness::{Abi, Fixture, Manager, bee_trace, memory, objects, objects_left, settled, wait_for};

/// Opens in all, and how many a second.
fn opens() -> usize {
    std::env::var("BEE_RESTART_OPENS").map_or(6000, |text| text.parse().expect("a number"))
}
const RATE: u32 = 1000;

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.config();
    let limits = "[limits]\nalerts_per_second = 20000\nalert_burst = 100000\n";
    let watch = format!("[file]\nwatch = [\"{}/*\"]\n", numbered(&fixture, 0).parent().unwrap().display());
    fixture.set_drop_in(&format!("{watch}{limits}"));
    fixture
}

fn numbered(fixture: &Fixture, number: usize) -> PathBuf {
    fixture.dir.join(format!("numbered/{number:06}"))
}

/// Opens every numbered file once, evenly.
fn open_all(first: &Path, count: usize) {
    let directory = first.parent().unwrap();
    let begin = Instant::now();
    for number in 0..count {
        drop(File::open(directory.join(format!("{number:06}"))).unwrap());
        let due = begin + Duration::from_secs(1) * u32::try_from(number + 1).unwrap() / RATE;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Kill,
    Restart,
    Reload,
    Replace,
    KillAndReplace,
}

/// How often each numbered file was told, with the numbers of the events.
fn told(manager: &Manager) -> BTreeMap<usize, Vec<u64>> {
    let mut told: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for event in manager.events().iter().filter(|event| event.action() == "open") {
        let path = Path::new(event.text("file.path"));
        let Some(number) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        told.entry(number).or_default().push(event.number("event.sequence").unwrap());
    }
    told
}

#[test]
fn root_numbered_opens_go_on_over_every_kind_of_restart() {
    use Act::*;
    let fixture = fixture();
    let count = opens();
    for number in 0..count {
        fixture.write(&format!("numbered/{number:06}"), "");
    }
    let left = objects_left(|| {
        let mut manager = Manager::new(&fixture);
        manager.start(&[]);
        let first = fixture.status().restart;
        assert!(!first.adopted && first.life == 1 && first.stored > 20, "{first:?}");
        let path = numbered(&fixture, 0);
        let worker = std::thread::spawn(move || open_all(&path, count));
        let acts = [Kill, Restart, Kill, Reload, Replace, Kill, Restart, KillAndReplace, Restart, Kill];
        let pause =
            Duration::from_secs(1) * u32::try_from(count / acts.len().saturating_add(1)).unwrap() / RATE;
        let mut build = String::new();
        let mut lives = 1;
        for (number, act) in acts.into_iter().enumerate() {
            std::thread::sleep(pause);
            manager.hear_all();
            if act == Reload {
                manager.signal(Signal::SIGHUP);
                continue;
            }
            let kill = matches!(act, Kill | KillAndReplace);
            manager.end(if kill { Signal::SIGKILL } else { Signal::SIGTERM });
            if matches!(act, Replace | KillAndReplace) {
                build = format!("build {number}");
            }
            let environment = Manager::other_build(&build);
            manager.start(if build.is_empty() { &[] } else { &environment });
            lives += 1;
            let status = fixture.status();
            let replaced = matches!(act, Replace | KillAndReplace);
            assert_eq!((status.restart.adopted, status.restart.life), (!replaced, lives), "{act:?}");
            assert_eq!(status.sensors.iter().filter(|sensor| sensor.running).count(), 5, "{act:?}");
        }
        worker.join().unwrap();
        wait_for("the last open", 20, || told(&manager).contains_key(&(count - 1)));
        let last = fixture.status();
        assert_eq!((last.sums.lost_in_kernel, last.sums.lost_in_daemon), (0, 0), "{:?}", last.sums);
        let opens = last.kinds.iter().find(|row| row.kind == "open").unwrap();
        let told = told(&manager);
        let missing: Vec<_> = (0..count).filter(|number| !told.contains_key(number)).collect();
        assert!(missing.is_empty(), "{} are missing: {missing:?}", missing.len());
        let mut repeats = 0;
        for (number, sequences) in &told {
            assert!(
                sequences.iter().all(|sequence| sequence == &sequences[0]),
                "{number} was told twice, and not as the same: {sequences:?}"
            );
            repeats += sequences.len() - 1;
        }
        // What a kill made come twice is counted once.
        let delivered = opens.daemon["delivered"];
        let others =
            manager.events().iter().filter(|event| event.action() == "open").count() - count - repeats;
        assert!(
            delivered >= count as u64 && delivered <= (count + others) as u64,
            "{delivered} delivered of {count}, and {others} others, {repeats} twice"
        );
        println!("{count} opens over {lives} lives: none missing, {repeats} twice");
        assert!(manager.events().iter().all(|event| event.action() != "loss"));
        manager.end(Signal::SIGTERM);
        // As systemctl stop does it.
        manager.store.clear();
    });
    assert!(left.is_empty(), "left in the kernel: {left:?}");
}

#[test]
fn root_what_fell_into_the_time_between_two_lives_is_told() {
    let fixture = fixture();
    for number in 0..997 {
        fixture.write(&format!("numbered/{number:06}"), "");
    }
    let mut manager = Manager::new(&fixture);
    manager.start(&[]);
    for (signal, range) in [(Signal::SIGTERM, 0..499), (Signal::SIGKILL, 499..997)] {
        manager.end(signal);
        for number in range {
            drop(File::open(numbered(&fixture, number)).unwrap());
        }
        manager.start(&[]);
    }
    wait_for("the opens", 20, || told(&manager).len() == 997);
    // The kill can come before what was written is accounted for: then it is told again, as the same.
    let told = told(&manager);
    assert!(told.values().all(|sequences| sequences.iter().all(|sequence| *sequence == sequences[0])));
    assert!((499..997).all(|number| told[&number].len() == 1), "nothing was killed after these");
    let status = fixture.status();
    assert!(status.restart.adopted && status.restart.life == 3 && status.sums.lost_in_kernel == 0);
    let text = bee_trace().args(["status", "--socket"]).arg(fixture.socket()).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("life 3; it took over what ran") && text.contains("without a gap"), "{text}");
    manager.end(Signal::SIGTERM);
}

#[test]
fn root_changed_settings_replace_what_runs() {
    let fixture = fixture();
    fixture.write("numbered/000001", "");
    let mut manager = Manager::new(&fixture);
    manager.start(&[]);
    manager.end(Signal::SIGTERM);
    drop(File::open(numbered(&fixture, 1)).unwrap());
    let drop_in = fs::read_to_string(fixture.dir.join("etc/config.d/50-test.toml")).unwrap();
    fixture.set_drop_in(&format!("{drop_in}bulk_ring_kib = 1024\n"));
    manager.start(&[]);
    wait_for("the open before", 20, || told(&manager).contains_key(&1));
    assert!(manager.log().contains("settings have changed"), "{}", manager.log());
    let status = fixture.status();
    assert!(!status.restart.adopted && status.restart.life == 2);
    assert_eq!(status.rings[1].size, 1024 * 1024);
    wait_for("the end of what ran before", 20, || {
        manager.hear_all();
        manager.log().contains("the build before is detached")
    });
    manager.end(Signal::SIGTERM);
}

#[test]
fn root_what_was_taken_over_is_known_as_the_daemons_own() {
    let fixture = fixture();
    let before = objects();
    let mut manager = Manager::new(&fixture);
    manager.start(&[]);
    manager.hear_all();
    manager.end(Signal::SIGKILL);
    manager.start(&[]);
    assert!(fixture.status().restart.adopted);
    let new: Vec<_> = settled().difference(&before).copied().collect();
    let mut done = Vec::new();
    for (act, kind) in [("program", "prog"), ("map", "map"), ("link", "link")] {
        let ids: Vec<String> = new.iter().filter(|row| row.0 == kind).map(|row| row.1.to_string()).collect();
        assert!(!ids.is_empty(), "{act}");
        let ran = fixture.trigger("kernel", Abi::Native).args([act, "1"]).args(&ids).run();
        done.push((ran.all_well(ids.len()).pid, ids.len()));
    }
    for (pid, count) in done {
        let events = || manager.events().into_iter().filter(move |event| event.pid() == Some(pid.into()));
        let reached = || events().filter(|event| event.action() == "bpf").collect::<Vec<_>>();
        wait_for("who reaches for what is ours", 10, || reached().len() == count);
        for event in reached() {
            assert!(event.has_flag("own_object") && event.number("event.severity") == Some(99), "{event}");
        }
    }
    manager.hear_all();
    manager.end(Signal::SIGTERM);
}

/// Changes one thing in a store; gives the words the daemon must find for it.
type Harm = fn(&mut Manager) -> &'static str;

fn replace(manager: &mut Manager, role: &str, fd: OwnedFd) {
    let at = manager.kept(role).next().unwrap();
    manager.store[at].1 = fd;
}

fn pipe() -> OwnedFd {
    nix::unistd::pipe().unwrap().0
}

fn manifest(manager: &Manager) -> Manifest {
    let at = manager.kept("manifest").next().unwrap();
    Manifest::read(manager.store[at].1.try_clone().unwrap()).unwrap()
}

const HARMS: &[Harm] = &[
    |manager| {
        replace(manager, "map", pipe());
        "no BPF map"
    },
    |manager| {
        replace(manager, "link", pipe());
        "no BPF link"
    },
    |manager| {
        let map = manager.kept("map").next().unwrap();
        let map = manager.store[map].1.try_clone().unwrap();
        replace(manager, "program", map);
        "no BPF program"
    },
    |manager| {
        replace(manager, "manifest", pipe());
        "no memory"
    },
    |manager| {
        replace(manager, "manifest", memory(b"{\"format\":1}"));
        "cannot be read"
    },
    |manager| {
        replace(manager, "manifest", memory(b"{\"format\":7}"));
        "format 7"
    },
    |manager| {
        replace(manager, "ledger", memory(&[0; 100]));
        "ledger"
    },
    |manager| {
        // The kernel's word against the list's.
        let mut list = manifest(manager);
        let (one, two) = (list.maps[0].1, list.maps[1].1);
        (list.maps[0].1, list.maps[1].1) = (two, one);
        replace(manager, "manifest", list.write().unwrap());
        "is another"
    },
    |manager| {
        // A ring of another size, under its right number.
        use libbpf_rs::{MapHandle, MapType, libbpf_sys};
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as u64,
            ..Default::default()
        };
        let page = u32::try_from(bee_trace::sys::page_size()).unwrap();
        let ring = MapHandle::create(MapType::RingBuf, Some("alerts"), 0, 0, page, &options).unwrap();
        let id = bee_trace::store::object::map(ring.as_fd()).unwrap().id;
        let mut list = manifest(manager);
        list.maps.iter_mut().find(|row| row.0 == "alerts").unwrap().1 = id;
        replace(manager, "manifest", list.write().unwrap());
        replace(manager, "map", ring.as_fd().try_clone_to_owned().unwrap());
        "is another"
    },
    |manager| {
        let mut list = manifest(manager);
        list.sensors[0].attached[0].hook = "kprobe/of_nobody".into();
        replace(manager, "manifest", list.write().unwrap());
        "kprobe/of_nobody"
    },
    |manager| {
        let mut list = manifest(manager);
        list.sensors[0].attached[0].program += 1;
        replace(manager, "manifest", list.write().unwrap());
        "another program"
    },
    |manager| {
        let at = manager.kept("map").next().unwrap();
        let twice = (manager.store[at].0.clone(), manager.store[at].1.try_clone().unwrap());
        manager.store.push(twice);
        "twice"
    },
    |manager| {
        manager.store.retain(|(name, _)| !name.ends_with("-link"));
        "is not there"
    },
    |manager| {
        manager.store.retain(|(name, _)| !name.ends_with("-manifest"));
        "no list"
    },
    |manager| {
        for (name, _) in &mut manager.store {
            *name = "stored".into();
        }
        "none of ours"
    },
];

#[test]
fn root_a_store_that_was_tampered_with_is_a_plain_start() {
    let fixture = fixture();
    fixture.write("numbered/000000", "");
    for (number, harm) in HARMS.iter().enumerate() {
        let left = objects_left(|| {
            let mut manager = Manager::new(&fixture);
            manager.start(&[]);
            manager.end(Signal::SIGTERM);
            let words = harm(&mut manager);
            let before = manager.log().len();
            manager.start(&[]);
            let log = manager.log()[before..].to_owned();
            assert!(log.contains(words), "{number}: {words}:\n{log}");
            assert!(!log.contains("panicked"), "{log}");
            assert!(!fixture.status().restart.adopted, "{number}: {words}:\n{log}");
            let opens = told(&manager).get(&0).map_or(0, Vec::len);
            drop(File::open(numbered(&fixture, 0)).unwrap());
            wait_for("the open", 20, || told(&manager).get(&0).map_or(0, Vec::len) > opens);
            manager.end(Signal::SIGTERM);
        });
        assert!(left.is_empty(), "{number}: left in the kernel: {left:?}");
    }
}
