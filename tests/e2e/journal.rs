//! The journal: what systemd's own journald holds afterwards is what was counted, field by
//! field, whatever journald does meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use bee_trace::event_docs::FIELDS;
use bee_trace::sink::journal::field_name;
use nix::sys::signal::Signal;

use crate::harness::{Abi, Daemon, Entry, Event, Fixture, Journald, Run, skipped, tier, wait_for};

/// A daemon that writes every event to a journald of ours, and its lines to the usual place.
pub fn start(fixture: &Fixture, journald: &Journald, more: &str) -> Daemon {
    let every: Vec<String> =
        bee_trace::event::ACTIONS.iter().map(|facts| format!("{:?}", facts.name)).collect();
    fixture.config();
    fixture.set_drop_in(&format!(
        "[host]\njournal_socket = {:?}\n[output]\njournal_actions = [{}]\n{more}",
        journald.socket,
        every.join(", ")
    ));
    Daemon::start(fixture, &["--output", "journal"])
}

/// What the daemon said at its end of the journal: counter by counter.
pub type Counted = BTreeMap<String, u64>;

pub fn stop(mut daemon: Daemon) -> (Run, Counted, String) {
    daemon.signal(Signal::SIGTERM);
    let status = daemon.wait(30);
    let run = daemon.finish(status);
    let log = daemon.log();
    (run, counted(&log), log)
}

fn counted(log: &str) -> Counted {
    let line = log.lines().rfind(|line| line.contains("journal: ")).unwrap_or_else(|| panic!("{log}"));
    let (_, sums) = line.split_once("journal: ").unwrap();
    let words: Vec<&str> = sums.split([' ', '=', '+', ';']).filter(|word| !word.is_empty()).collect();
    let counted: Counted =
        words.chunks(2).map(|pair| (pair[1].to_owned(), pair[0].parse().unwrap())).collect();
    assert_eq!(
        counted["offered"],
        counted["accepted"] + counted["queue_full"] + counted["refused"] + counted["folded"],
        "{line}"
    );
    counted
}

/// What `loss` events say of the journal.
fn told_lost(run: &Run) -> u64 {
    let of_journal = run.action("loss").filter(|event| event.text("bee.loss.stage") == "journal");
    of_journal.map(|event| event.number("bee.loss.count").unwrap()).sum()
}

/// Undoes what a line does to bytes (docs/events.md).
pub fn unescaped(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, more)) = rest.split_first() {
        if let Some(hex) = rest.strip_prefix(b"\\x") {
            out.push(u8::from_str_radix(std::str::from_utf8(&hex[..2]).unwrap(), 16).unwrap());
            rest = &hex[2..];
        } else {
            out.push(*first);
            rest = more;
        }
    }
    out
}

/// Every field of the entry is what the line of the same event says, and no more.
fn same(entry: &Entry, event: &Event) {
    let mut wanted = BTreeSet::new();
    for field in FIELDS {
        let (key, kind) = (field.name.trim_end_matches("[]"), field.kind);
        let Some(value) = event.get(key) else { continue };
        let Some(name) = field_name(field.name) else {
            assert_eq!(Some(entry.text("MESSAGE")), value.as_str());
            continue;
        };
        let plain = |value: &serde_json::Value| match value.as_str() {
            Some(text) if kind == "bytes" => unescaped(text),
            Some(text) => text.as_bytes().to_vec(),
            None => value.to_string().into_bytes(),
        };
        if key == "process.args" {
            let array: serde_json::Value = serde_json::from_slice(entry.bytes(&name)).unwrap();
            assert_eq!(&array, value, "{event}");
        } else if let Some(list) = value.as_array() {
            let mut values: Vec<Vec<u8>> = list.iter().map(plain).collect();
            let mut found = entry.all(&name).to_vec();
            values.sort();
            found.sort();
            assert_eq!(found, values, "{name} of {event}");
        } else {
            assert_eq!(entry.bytes(&name), plain(value), "{name} of {event}");
        }
        wanted.insert(name);
    }
    assert_eq!(entry.names().map(str::to_owned).collect::<BTreeSet<_>>(), wanted, "{event}");
    let facts = bee_trace::event::ACTIONS.iter().find(|facts| facts.name == event.action()).unwrap();
    assert_eq!(entry.text("MESSAGE_ID"), facts.message_id());
    assert_eq!(entry.text("SYSLOG_IDENTIFIER"), "bee-traced");
    let priority = match event.number("event.severity").unwrap() {
        1 => "6",
        21 => "5",
        47 => "4",
        73 => "3",
        _ => "2",
    };
    assert_eq!(entry.text("PRIORITY"), priority, "{event}");
}

/// Each entry beside the line with the same sequence.
pub fn compare(entries: &[Entry], run: &Run) {
    let lines: BTreeMap<u64, &Event> =
        run.events.iter().map(|event| (event.number("event.sequence").unwrap(), event)).collect();
    let mut seen = BTreeSet::new();
    for entry in entries {
        let sequence: u64 = entry.text("BEE_EVENT_SEQUENCE").parse().unwrap();
        assert!(seen.insert(sequence), "{sequence} is there twice");
        same(entry, lines[&sequence]);
    }
}

/// Opens the file by a trigger that does so `count` times.
fn open(fixture: &Fixture, path: &Path, count: usize) -> u32 {
    let ran =
        fixture.trigger("open", Abi::Native).args(["openat", "r", &count.to_string()]).args([path]).run();
    ran.all_well(count).pid
}

#[test]
fn root_the_journal_holds_what_was_counted_field_by_field() {
    let fixture = Fixture::new();
    let journald = Journald::start();
    // So little room for a datagram that long entries must go as files; only for the moment in
    // which the daemon makes its socket.
    let small = SmallDatagrams::begin();
    let daemon = start(&fixture, &journald, "journal_fold_seconds = 0\n");
    drop(small);
    let hostile = fixture.dir.join(OsStr::from_bytes(b"x\nPRIORITY=0\nMESSAGE=all is well\n\xff\xfe\x1b[2J"));
    fs::create_dir(&hostile).unwrap();
    fs::write(hostile.join("id_rsa"), "").unwrap();
    for number in 0..101 {
        drop(fs::File::open(fixture.secret(number)).unwrap());
    }
    for _ in 0..7 {
        drop(fs::File::open(hostile.join("id_rsa")).unwrap());
    }
    fs::set_permissions(hostile.join("id_rsa"), std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    fs::rename(hostile.join("id_rsa"), hostile.join("id_dsa")).unwrap();
    let long = "l\n".repeat(2000);
    let status = Command::new("/bin/true").args([&long, "\nPRIORITY=0", ""]).env("API_TOKEN", "x").status();
    assert!(status.unwrap().success());
    let (run, counted, log) = stop(daemon);
    let entries = journald.entries();
    assert_eq!(entries.len() as u64, counted["accepted"], "{log}");
    assert_eq!((counted["refused"], counted["queue_full"], counted["folded"]), (0, 0, 0), "{log}");
    assert_eq!(entries.len(), run.events.len(), "an entry for every line");
    compare(&entries, &run);
    assert!(of(&entries, &hostile.join("id_rsa")) >= 8 && of(&entries, &fixture.secret(100)) >= 1);
    // The long one was longer than a datagram could be then.
    let args = entries.iter().filter_map(|entry| entry.all("BEE_PROCESS_ARGS").first());
    assert!(args.map(Vec::len).max() > Some(SmallDatagrams::BYTES), "no entry was too long for a datagram");
    assert!(entries.iter().all(|entry| !entry.text("MESSAGE").contains('\n')));
    let start = &entries[entries.iter().position(|entry| entry.text("BEE_EVENT_ACTION") == "start").unwrap()];
    assert!(start.text("MESSAGE").starts_with("bee-traced "));
    // journald knows who sent it: nobody in particular.
    assert!(entries.iter().skip(1).all(|entry| entry.text("_COMM") == "bee-traced"));
    assert_ne!(entries.last().unwrap().text("_UID"), "0");
}

/// Waits until all that waited for journald has reached it: an open of this file comes after that.
fn through(fixture: &Fixture, journald: &Journald, number: usize) {
    let path = fixture.secret(number);
    wait_for("what waited", 30, || {
        drop(fs::File::open(&path).unwrap());
        of(&journald.entries(), &path) > 0
    });
}

/// How many entries are about this file.
fn of(entries: &[Entry], path: &Path) -> usize {
    let path = path.as_os_str().as_bytes().to_vec();
    entries.iter().filter(|entry| entry.all("BEE_FILE_PATH").contains(&path)).count()
}

#[test]
fn root_a_journald_that_hangs_dies_or_goes_away_costs_only_what_is_counted() {
    let fixture = Fixture::new();
    let mut journald = Journald::start();
    let mut daemon = start(&fixture, &journald, "journal_fold_seconds = 0\n");
    let log_says = |daemon: &Daemon, what: &str| {
        wait_for(what, 20, || {
            drop(fs::File::open(fixture.secret(0)).unwrap());
            daemon.log().contains(what)
        });
    };
    let last = |daemon: &mut Daemon, number: usize| {
        let path = fixture.secret(number);
        drop(fs::File::open(&path).unwrap());
        daemon.wait_event("a line, whatever the journal does", 20, |event| {
            event.text("file.path").as_bytes() == path.as_os_str().as_bytes()
        });
    };
    // It hangs: lines go on, entries wait, then have no room.
    journald.signal(Signal::SIGSTOP);
    for number in 10..17 {
        // In portions that the rings can hold; all together are more than the queue can.
        open(&fixture, &fixture.secret(1), 293);
        last(&mut daemon, number);
    }
    log_says(&daemon, "takes nothing at present");
    daemon.wait_event("word of the loss", 20, |event| event.text("bee.loss.stage") == "journal");
    journald.signal(Signal::SIGCONT);
    through(&fixture, &journald, 20);
    // It is killed with entries in its socket, and started anew on it.
    journald.signal(Signal::SIGSTOP);
    open(&fixture, &fixture.secret(3), 5);
    last(&mut daemon, 4);
    journald.kill_and_restart();
    last(&mut daemon, 5);
    // All of it must be written before the socket goes, and what lies in it.
    through(&fixture, &journald, 21);
    // It is gone, with its socket, and comes back with another.
    let gone = journald.go_away();
    open(&fixture, &fixture.secret(6), 11);
    log_says(&daemon, "until journald is there");
    journald.come_back();
    last(&mut daemon, 7);
    let (run, counted, log) = stop(daemon);
    let entries = journald.entries();
    assert_eq!(entries.len() as u64 + gone, counted["accepted"], "{gone} with the socket: {log}");
    assert_eq!(counted["refused"], 0, "{log}");
    assert_eq!(run.events.len() as u64, counted["offered"], "{log}");
    assert!(counted["queue_full"] > 0 && told_lost(&run) == counted["queue_full"], "{log}");
    compare(&entries, &run);
    let found = |number: usize| of(&entries, &fixture.secret(number));
    assert_eq!((found(3), found(4), found(5), found(6), found(7)), (5, 1, 1, 11, 1), "{log}");
    assert_eq!(entries.last().unwrap().text("BEE_EVENT_ACTION"), "stop");
}

#[test]
fn root_repeats_are_told_together_and_add_up() {
    let fixture = Fixture::new();
    let journald = Journald::start();
    let daemon = start(&fixture, &journald, "journal_fold_seconds = 2\n");
    let pids = [open(&fixture, &fixture.secret(1), 101), open(&fixture, &fixture.secret(1), 53)];
    let told = |entry: &Entry| {
        entry.all("BEE_REPEATED").first().map(|text| String::from_utf8(text.clone()).unwrap())
    };
    // Nothing else happens, and yet the repeats are told when their time is over.
    wait_for("repeats", 20, || journald.entries().iter().filter_map(told).count() >= 2);
    let (run, counted, log) = stop(daemon);
    let entries = journald.entries();
    for (pid, count) in pids.into_iter().zip([101_u64, 53]) {
        let of_pid = |entry: &&Entry| {
            entry.all("BEE_PROCESS_PID") == [pid.to_string().into_bytes()]
                && entry.text("BEE_EVENT_ACTION") == "open"
        };
        let of_pid: Vec<&Entry> = entries.iter().filter(of_pid).collect();
        assert!(told(of_pid[0]).is_none(), "the first has its own entry");
        // One that straddles the end of a window begins another.
        let repeated: u64 =
            of_pid.iter().filter_map(|entry| told(entry)).map(|text| text.parse::<u64>().unwrap()).sum();
        let own = of_pid.iter().filter(|entry| told(entry).is_none()).count() as u64;
        assert_eq!(own + repeated, count, "{log}");
        assert!(of_pid.len() <= 4, "{} entries", of_pid.len());
        assert_eq!(
            run.of(pid).filter(|event| event.action() == "open").count() as u64,
            count,
            "lines are not folded"
        );
    }
    let sum: u64 = entries.iter().filter_map(told).map(|text| text.parse::<u64>().unwrap()).sum();
    assert_eq!((entries.len() as u64, sum), (counted["accepted"], counted["folded"]), "{log}");
    let summaries = entries.iter().filter_map(told).count() as u64;
    assert_eq!(counted["offered"], run.events.len() as u64 + summaries, "{log}");
}

/// A unit of this machine's systemd; gone when dropped.
struct Unit {
    name: String,
    file: PathBuf,
}

impl Unit {
    fn start(fixture: &Fixture) -> Self {
        let name = format!("bee-e2e-{}.service", std::process::id());
        let file = Path::new("/run/systemd/system").join(&name);
        let forced = tier::forced().map(|tier| format!(" --force-tier {tier}")).unwrap_or_default();
        let text = format!(
            "[Service]\nExecStart={} --config {}{forced}\nLogRateLimitIntervalSec=0\n",
            env!("CARGO_BIN_EXE_bee-traced"),
            fixture.config().display()
        );
        fs::write(&file, text).unwrap();
        let unit = Self { name, file };
        unit.systemctl("daemon-reload", false);
        unit.systemctl("start", true);
        unit
    }

    fn systemctl(&self, verb: &str, named: bool) {
        let name = named.then_some(&self.name);
        let output = Command::new("systemctl").arg(verb).args(name).output().unwrap();
        assert!(output.status.success(), "systemctl {verb}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What it wrote, by this way: `journal` are events, `stdout` the daemon's words.
    fn entries(&self, way: &str) -> Vec<Entry> {
        assert!(Command::new("journalctl").arg("--sync").status().unwrap().success());
        let unit = format!("_SYSTEMD_UNIT={}", self.name);
        let way = format!("_TRANSPORT={way}");
        let output =
            Command::new("journalctl").args(["-o", "json", "--all", "-q", "--boot", &unit, &way]).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.lines().map(Entry::parse).collect()
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = Command::new("systemctl").args(["stop", &self.name]).output();
        let _ = fs::remove_file(&self.file);
        let _ = Command::new("systemctl").arg("daemon-reload").output();
    }
}

/// As it is installed: systemd starts it, nothing says where events go, and nobody but the
/// machine's own journald takes them.
#[test]
fn root_the_journal_of_this_machine_holds_what_was_counted() {
    if !Path::new("/run/systemd/system").is_dir() {
        return skipped("the journal of this machine: systemd does not run here");
    }
    let fixture = Fixture::new();
    let unit = Unit::start(&fixture);
    let action = |entry: &Entry| entry.text("BEE_EVENT_ACTION").to_owned();
    wait_for("the start event", 30, || unit.entries("journal").iter().any(|entry| action(entry) == "start"));
    for number in 0..53 {
        drop(fs::File::open(fixture.secret(number)).unwrap());
    }
    let pid = open(&fixture, &fixture.secret(60), 101);
    unit.systemctl("stop", true);
    let words = unit.entries("stdout");
    let log: Vec<&str> = words.iter().map(|entry| entry.text("MESSAGE")).collect();
    let counted = counted(&log.join("\n"));
    let entries = unit.entries("journal");
    assert_eq!(entries.len() as u64, counted["accepted"], "{log:#?}");
    assert_eq!((counted["refused"], counted["queue_full"]), (0, 0), "{log:#?}");
    let repeats = entries.iter().flat_map(|entry| entry.all("BEE_REPEATED"));
    let repeats: u64 = repeats.map(|text| std::str::from_utf8(text).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(repeats, counted["folded"], "{log:#?}");
    let of_pid: Vec<&Entry> = entries
        .iter()
        .filter(|entry| {
            entry.all("BEE_PROCESS_PID") == [pid.to_string().into_bytes()] && action(entry) == "open"
        })
        .collect();
    assert_eq!((of_pid.len(), of_pid[1].text("BEE_REPEATED")), (2, "100"));
    let me = std::process::id().to_string().into_bytes();
    let mine = entries.iter().filter(|entry| entry.all("BEE_PROCESS_PID") == [me.clone()]);
    assert_eq!(mine.filter(|entry| action(entry) == "open").count(), 53);
    // By default the comings and goings of processes are left out.
    assert!(entries.iter().all(|entry| !["fork", "exit"].contains(&action(entry).as_str())));
    assert!(entries.iter().any(|entry| action(entry) == "exec"));
    assert_eq!(entries.last().map(action).as_deref(), Some("stop"));
    // The daemon's words have their priorities, and no mark of them.
    let watches = words.iter().find(|entry| entry.text("MESSAGE").contains(" watches: ")).unwrap();
    assert_eq!(watches.text("PRIORITY"), "6");
    assert!(log.iter().all(|line| !line.starts_with('<')), "{log:#?}");
}

/// The most a datagram may hold, for sockets that are made while this lives. The kernel's own
/// setting; put back when dropped.
struct SmallDatagrams(String);

impl SmallDatagrams {
    const SETTING: &str = "/proc/sys/net/core/wmem_default";
    /// The kernel allows no less.
    const BYTES: usize = 4608;

    fn begin() -> Self {
        let before = fs::read_to_string(Self::SETTING).unwrap();
        fs::write(Self::SETTING, Self::BYTES.to_string()).unwrap();
        Self(before)
    }
}

impl Drop for SmallDatagrams {
    fn drop(&mut self) {
        fs::write(Self::SETTING, self.0.trim()).unwrap();
    }
}
