//! Entries of the journal: what they hold whatever an event holds, and what becomes
//! of them when journald is slow, away or started anew. What journald itself makes of
//! them is in `tests/e2e/journal.rs`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{IoSliceMut, Read as _, Seek as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bee_trace::config::Output;
use bee_trace::event::{ACTIONS, Action, Args, Body, Event, File, Flags, Outcome};
use bee_trace::event_docs::FIELDS;
use bee_trace::sink::journal::{self, Builder, Journal};
use bee_trace::sink::{Sink as _, sentence};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::common::*;

/// Fields of an entry: name, and each of its values.
type Entry = BTreeMap<String, Vec<Vec<u8>>>;

/// The protocol as it is specified, written from the specification alone.
fn parse(mut bytes: &[u8]) -> Entry {
    let mut entry = Entry::new();
    while !bytes.is_empty() {
        let line_end = bytes.iter().position(|byte| *byte == b'\n').expect("a field without an end");
        let line = &bytes[..line_end];
        bytes = &bytes[line_end + 1..];
        let (name, value) = match line.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&line[..equals], line[equals + 1..].to_vec()),
            None => {
                let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
                let value = bytes[8..8 + length].to_vec();
                assert_eq!(bytes[8 + length], b'\n', "no newline behind a long value");
                bytes = &bytes[8 + length + 1..];
                (line, value)
            }
        };
        let name = std::str::from_utf8(name).unwrap().to_owned();
        entry.entry(name).or_default().push(value);
    }
    entry
}

fn entry(event: &Event) -> Entry {
    let mut out = Vec::new();
    Builder::default().render(event, "pi", &mut out);
    parse(&out)
}

fn one<'e>(entry: &'e Entry, name: &str) -> &'e [u8] {
    let values = entry.get(name).unwrap_or_else(|| panic!("no {name} in {entry:?}"));
    assert_eq!(values.len(), 1, "{name}");
    &values[0]
}

fn text<'e>(entry: &'e Entry, name: &str) -> &'e str {
    std::str::from_utf8(one(entry, name)).unwrap()
}

#[test]
fn every_key_has_its_field_and_every_field_its_key() {
    let own = ["MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER"].map(str::to_owned);
    let names = FIELDS.iter().filter_map(|field| journal::field_name(field.name));
    let documented: BTreeSet<String> = names.chain(own).collect();
    assert_eq!(documented.len(), FIELDS.len() + own_len() - 1, "two keys with one name");
    let mut seen = BTreeSet::new();
    for event in samples() {
        seen.extend(entry(&event).into_keys());
    }
    assert_eq!(seen, documented);
    for name in seen.iter().map(String::as_str).chain([journal::REPEATED, journal::REPEATED_FIRST]) {
        assert!(name.len() <= journal::NAME_MAX, "journald would drop {name}");
        assert!(name.starts_with(|first: char| first.is_ascii_uppercase()), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'));
    }
    assert_eq!(journal::field_name("bee.loss.count").as_deref(), Some("BEE_LOSS_COUNT"));
    assert_eq!(journal::field_name("@timestamp").as_deref(), Some("BEE_TIMESTAMP"));
    assert_eq!(journal::field_name("message"), None);
}

fn own_len() -> usize {
    ["MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER"].len()
}

#[test]
fn an_entry_says_what_a_line_says() {
    let mut refused = event(Action::Open, Body::File(shadow()));
    refused.outcome = Outcome::Failure(libc::EACCES);
    refused.flags = Flags(Flags::BY_IDENTITY.0 | Flags::COMPAT.0);
    let entry = entry(&refused);
    for (name, value) in [
        ("PRIORITY", "3"),
        ("SYSLOG_IDENTIFIER", "bee-traced"),
        ("MESSAGE_ID", Action::Open.facts().message_id()),
        ("BEE_TIMESTAMP", "2025-11-23T20:04:11.123456789Z"),
        ("BEE_EVENT_ACTION", "open"),
        ("BEE_EVENT_CODE", "EACCES"),
        ("BEE_EVENT_SEVERITY", "73"),
        ("BEE_HOST_NAME", "pi"),
        ("BEE_PROCESS_PID", "4711"),
        ("BEE_PROCESS_ENTITY_ID", "000000ab-4711-987"),
        ("BEE_PROCESS_ARGS", "[\"cat\",\"/etc/shadow\"]"),
        ("BEE_PROCESS_USER_NAME", "root"),
        ("BEE_PROCESS_USER_EFFECTIVE_ID", "0"),
        ("BEE_PROCESS_PARENT_EXECUTABLE", "/usr/bin/bash"),
        ("BEE_FILE_PATH", "/etc/shadow"),
        ("BEE_FILE_DEVICE", "8:1"),
        ("BEE_ACCESS", "read"),
        ("BEE_UNIT", "ssh.service"),
    ] {
        assert_eq!(text(&entry, name), value, "{name}");
    }
    assert_eq!(entry["BEE_FLAGS"], [b"compat_32bit".to_vec(), b"by_identity".to_vec()], "a field for each");
}

#[test]
fn no_byte_of_an_event_leaves_its_field() {
    let known: BTreeSet<String> = FIELDS
        .iter()
        .filter_map(|field| journal::field_name(field.name))
        .chain(["MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER"].map(str::to_owned))
        .collect();
    let mut random = Random(0x0123_4567_89ab_cdef);
    let mut sentence = Vec::new();
    for round in 0..20_000 {
        let mut texts: Vec<Vec<u8>> = (0..6).map(|_| random.bytes()).collect();
        if round % 4 == 0 {
            let at = usize::try_from(random.next() % 6).unwrap();
            texts[at].extend_from_slice(b"\nPRIORITY=0\nMESSAGE=all is well\n_PID=1\n");
        }
        let args = [&texts[2][..], b"\0"].concat();
        let mut hostile = event(Action::Rename, Body::Fork);
        let process = hostile.process.as_mut().unwrap();
        process.name = Cow::Borrowed(&texts[0]);
        process.executable = Some(&texts[1]);
        process.args = Args { bytes: &args };
        hostile.body = Body::File(File {
            path: Cow::Borrowed(&texts[3]),
            old_path: Some(Cow::Borrowed(&texts[4])),
            target_path: Some(Cow::Borrowed(&texts[5])),
            ..File::default()
        });
        let entry = entry(&hostile);
        assert_eq!(text(&entry, "PRIORITY"), "3", "round {round}");
        assert!(entry.keys().all(|name| known.contains(name)), "round {round}: {:?}", entry.keys());
        for (name, index) in [
            ("BEE_PROCESS_NAME", 0),
            ("BEE_PROCESS_EXECUTABLE", 1),
            ("BEE_FILE_PATH", 3),
            ("BEE_OLD_PATH", 4),
            ("BEE_FILE_TARGET_PATH", 5),
        ] {
            // A name that is empty is one that is not known.
            if entry.contains_key(name) || !texts[index].is_empty() {
                assert_eq!(one(&entry, name), texts[index], "round {round}: {name}, exactly as it was");
            }
        }
        let args: Vec<String> = serde_json::from_slice(one(&entry, "BEE_PROCESS_ARGS")).unwrap();
        assert_eq!(args.len(), texts[2].split(|byte| *byte == 0).count(), "round {round}");

        sentence.clear();
        sentence::render(&hostile, &mut sentence);
        let shown = std::str::from_utf8(&sentence).unwrap();
        assert!(!shown.contains(|letter: char| letter.is_control()), "round {round}: {shown:?}");
    }
}

#[test]
fn ids_are_fixed_and_each_its_own() {
    let ids: BTreeSet<&str> = ACTIONS.iter().map(|facts| facts.message_id()).collect();
    assert_eq!(ids.len(), ACTIONS.len());
    for id in ids {
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(&id[12..13] == "8" && "89ab".contains(&id[16..17]), "{id} is no UUID of version 8");
    }
    // People filter by these; they cannot be changed any more.
    assert_eq!(Action::Open.facts().message_id(), OPEN);
    assert_eq!(Action::Loss.facts().message_id(), LOSS);
}

const OPEN: &str = "d0e359652f9f8839a3a17f8142412686";
const LOSS: &str = "d0ed1eaef59f8839a3a17f84804361e9";

#[test]
fn people_read_a_sentence() {
    let say = |event: &Event| {
        let mut out = Vec::new();
        sentence::render(event, &mut out);
        String::from_utf8(out).unwrap()
    };
    let mut open = event(Action::Open, Body::File(shadow()));
    assert_eq!(say(&open), "root's cat (pid 4711) read /etc/shadow");
    open.outcome = Outcome::Failure(libc::EACCES);
    open.process.as_mut().unwrap().executable = Some(b"/tmp/c t");
    open.process.as_mut().unwrap().user.id = 33;
    open.process.as_mut().unwrap().user.name = None;
    assert_eq!(
        say(&open),
        "uid 33's cat (pid 4711, '/tmp/c t', as uid 0) tried to read /etc/shadow and was refused (EACCES)"
    );
    open.outcome = Outcome::Unknown;
    assert!(say(&open).ends_with(" tried to read /etc/shadow; how that ended was not seen"));
    let sample = |action: Action| {
        let mut sample = samples().into_iter().find(|event| event.action == action).unwrap();
        sample.outcome = Outcome::Success;
        say(&sample)
    };
    for (action, wanted) in [
        (Action::Exec, "root ran cat /etc/shadow  script /s  given TOKEN KEY (pid 4711, from bash 4700)"),
        (Action::Fork, "root's cat (pid 4711) was started"),
        (Action::Exit, "root's cat (pid 4711) was killed by SIGKILL"),
        (Action::Loss, "5 open events were lost: kernel, ring_full"),
        (Action::Start, "watching"),
    ] {
        assert_eq!(sample(action), wanted);
    }
    let rename = File { old_path: Some(b"/a\nb".into()), path: b"/etc/shadow".into(), ..File::default() };
    assert_eq!(
        say(&event(Action::Rename, Body::File(rename))),
        "root's cat (pid 4711) renamed $'/a\\nb' to /etc/shadow"
    );
    let bare = |action, file| say(&event(action, Body::File(file)));
    let path = || File { path: b"/x".into(), ..File::default() };
    assert_eq!(
        bare(Action::Chmod, File { mode: Some(0o100_644), ..path() }),
        "root's cat (pid 4711) changed the mode of /x to 0644"
    );
    assert_eq!(
        bare(Action::Chown, File { owner: Some((Some(1), None)), ..path() }),
        "root's cat (pid 4711) changed the owner of /x to 1:"
    );
    assert_eq!(
        bare(Action::Link, File { target_path: Some(b"/y".into()), ..path() }),
        "root's cat (pid 4711) made the hard link /x to /y"
    );
    // What has no words of its own reads well all the same.
    let unspoken = bare(Action::Exec, path());
    assert_eq!(unspoken, "root's cat (pid 4711): exec (a process executed a program): /x");
    for sample in samples() {
        let said = say(&sample);
        assert!(said.len() > 7 && !said.contains("  (") && !said.ends_with([' ', ':']), "{said:?}");
    }
}

/// A journald that does what the test says.
struct Receiver {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Receiver {
    fn new(scratch: &Scratch) -> Self {
        let mut receiver = Self { path: scratch.0.join("socket"), socket: None };
        receiver.begin();
        receiver
    }

    fn begin(&mut self) {
        let _ = fs::remove_file(&self.path);
        let socket = UnixDatagram::bind(&self.path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        fs::set_permissions(&self.path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        self.socket = Some(socket);
    }

    /// Closed, its name gone: what was not read is lost.
    fn end(&mut self) {
        self.socket = None;
        fs::remove_file(&self.path).unwrap();
    }

    /// The next entry, from a datagram or from the memfd in it; `None`: none for some time.
    fn next(&self) -> Option<(Entry, bool)> {
        let socket = self.socket.as_ref().unwrap();
        let mut buffer = vec![0; 512 * 1024];
        let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
        let mut pieces = [IoSliceMut::new(&mut buffer)];
        let message =
            recvmsg::<()>(socket.as_raw_fd(), &mut pieces, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
                .ok()?;
        let (bytes, mut given) = (message.bytes, Vec::new());
        for control in message.cmsgs().unwrap() {
            if let ControlMessageOwned::ScmRights(fds) = control {
                given.extend(fds);
            }
        }
        if given.is_empty() {
            return Some((parse(&buffer[..bytes]), false));
        }
        assert_eq!((bytes, given.len()), (0, 1), "a descriptor stands alone");
        // SAFETY: it was given to us a moment ago, and nobody else has it.
        let mut file = unsafe { fs::File::from_raw_fd(given[0]) };
        let seals = SealFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GET_SEALS).unwrap());
        assert!(seals.contains(
            SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL
        ));
        let mut content = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut content).unwrap();
        Some((parse(&content), true))
    }

    fn all(&self) -> Vec<Entry> {
        std::iter::from_fn(|| self.next()).map(|(entry, _)| entry).collect()
    }
}

fn sink(path: &Path, output: &Output, queue_bytes: usize) -> Journal {
    let mut journal = Journal::open(path, output, "pi".into(), queue_bytes).unwrap();
    journal.start().unwrap();
    journal
}

/// Event number `number`; each is another act.
fn act(number: u64) -> Event<'static> {
    let mut act = event(Action::Open, Body::File(shadow()));
    act.sequence = number;
    act.process.as_mut().unwrap().entity_id.as_mut().unwrap().start_ticks = number;
    act
}

fn sequences(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| text(entry, "BEE_EVENT_SEQUENCE").parse().unwrap()).collect()
}

#[test]
fn every_accepted_entry_is_there_once_and_in_order() {
    let scratch = Scratch::new("journal-order");
    let receiver = Receiver::new(&scratch);
    let path = receiver.path.clone();
    let reading = std::thread::spawn(move || receiver.all());
    // As the daemon is: nobody, with nothing.
    unprivileged(move || {
        let mut journal = sink(&path, &output(), 8 << 20);
        (0..3001).for_each(|number| journal.write(&act(number)));
        journal.drain(soon());
        let counters = journal.counters();
        assert_exact(counters, 3001);
        assert_eq!((counters.accepted, journal.problem()), (3001, None));
    });
    let entries = reading.join().unwrap();
    assert_eq!(sequences(&entries), (0..3001).collect::<Vec<_>>());
    assert!(entries.iter().all(|entry| text(entry, "MESSAGE").ends_with("read /etc/shadow")));
}

#[test]
fn what_is_too_long_for_a_datagram_goes_as_a_sealed_file() {
    let scratch = Scratch::new("journal-large");
    let receiver = Receiver::new(&scratch);
    let mut journal = sink(&receiver.path, &output(), 8 << 20);
    let long: Vec<u8> = (0..400_000_u32).map(|at| if at % 991 == 0 { b'\n' } else { b'x' }).collect();
    let mut large = act(2);
    large.body = Body::File(File { path: long.clone().into(), ..shadow() });
    for event in [act(1), large, act(3)] {
        journal.write(&event);
    }
    let found: Vec<_> = std::iter::from_fn(|| receiver.next()).collect();
    assert_eq!(found.iter().map(|(_, file)| *file).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(one(&found[1].0, "BEE_FILE_PATH"), long);
    journal.drain(soon());
    assert_exact(journal.counters(), 3);
    assert_eq!(journal.counters().accepted, 3);
}

#[test]
fn journald_may_come_later_and_be_started_anew() {
    let scratch = Scratch::new("journal-anew");
    let mut receiver = Receiver::new(&scratch);
    receiver.end();
    let mut journal = sink(&receiver.path, &output(), 1 << 20);
    journal.write(&act(0));
    while journal.problem().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let problem = journal.problem().unwrap();
    assert!(
        problem.contains("No such file or directory") && problem.contains("wait in the queue"),
        "{problem}"
    );
    for round in 0..5 {
        receiver.begin();
        (1..101).for_each(|number| journal.write(&act(round * 100 + number)));
        let first = u64::from(round > 0);
        let entries = receiver.all();
        assert_eq!(sequences(&entries), (round * 100 + first..=round * 100 + 100).collect::<Vec<_>>());
        assert_eq!(journal.problem(), None);
        receiver.end();
    }
    journal.drain(soon());
    assert_exact(journal.counters(), 501);
    assert_eq!(journal.counters().accepted, 501);
}

#[test]
fn a_journald_that_hangs_holds_up_nobody_and_costs_what_is_counted() {
    let scratch = Scratch::new("journal-slow");
    let receiver = Receiver::new(&scratch);
    let mut journal = sink(&receiver.path, &output(), 64 * 1024);
    let (mut longest, mut number) = (Duration::ZERO, 0);
    while journal.counters().queue_full < 100 || journal.problem().is_none() {
        let before = Instant::now();
        journal.write(&act(number));
        longest = longest.max(before.elapsed());
        number += 1;
        if number % 100 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    assert!(longest < Duration::from_millis(200), "{longest:?}");
    assert!(journal.problem().unwrap().contains("takes nothing at present"));
    // It goes on: what it has taken and what waits in the queue come, and new ones after them.
    let mut found = sequences(&receiver.all());
    journal.write(&act(1_000_000));
    found.extend(sequences(&receiver.all()));
    assert_eq!(found.last(), Some(&1_000_000));
    assert!(found.is_sorted());
    assert_eq!(journal.problem(), None);
    journal.drain(soon());
    let counters = journal.counters();
    assert_exact(counters, number + 1);
    assert_eq!((counters.accepted, counters.refused), (found.len() as u64, 0));
}

#[test]
fn the_end_does_not_wait_for_a_journald_that_is_not_there() {
    let scratch = Scratch::new("journal-end");
    let mut receiver = Receiver::new(&scratch);
    receiver.end();
    let mut journal = sink(&receiver.path, &output(), 1 << 20);
    (0..17).for_each(|number| journal.write(&act(number)));
    let before = Instant::now();
    journal.drain(before + Duration::from_millis(200));
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    assert_exact(journal.counters(), 17);
    assert_eq!(journal.counters().refused, 17);
    let why = Journal::open(Path::new(&"/x".repeat(60)), &output(), "pi".into(), 1).err().unwrap();
    assert!(why.to_string().contains("too long"), "{why}");
}

#[test]
fn repeats_are_counted_and_the_first_of_each_act_is_there() {
    let scratch = Scratch::new("journal-fold");
    let receiver = Receiver::new(&scratch);
    let folding = Output { journal_fold_seconds: 3600, ..output() };
    let mut journal = sink(&receiver.path, &folding, 1 << 20);
    let mut number = 0;
    let mut again = |journal: &mut Journal, mut event: Event| {
        number += 1;
        event.sequence = number;
        event.time += number * 1_000_000_000;
        event.process.as_mut().unwrap().tid = u32::try_from(4711 + number).unwrap();
        journal.write(&event);
    };
    for _ in 0..7 {
        again(&mut journal, act(1));
    }
    // Each of these is another act: the outcome, the file, the process.
    let mut refused = act(1);
    refused.outcome = Outcome::Failure(libc::EACCES);
    let other_file = Event { body: Body::File(File { path: b"/etc/gshadow".into(), ..shadow() }), ..act(1) };
    for event in [refused, other_file, act(2)] {
        again(&mut journal, event);
    }
    // Over its rate is no other act; without a known process nothing is a repeat.
    let mut demoted = act(1);
    demoted.flags.insert(Flags::DEMOTED);
    again(&mut journal, demoted);
    let mut unknown = act(1);
    unknown.process.as_mut().unwrap().entity_id = None;
    again(&mut journal, unknown.clone());
    again(&mut journal, unknown);
    let at_once = receiver.all();
    assert_eq!(sequences(&at_once), [1, 8, 9, 10, 12, 13]);
    assert!(at_once.iter().all(|entry| !entry.contains_key(journal::REPEATED)));
    let own = samples().into_iter().filter(|event| event.process.is_none()).collect::<Vec<_>>();
    for _ in 0..3 {
        own.iter().for_each(|event| journal.write(event));
    }
    journal.drain(soon());
    let later = receiver.all();
    let (told, own_told): (Vec<_>, Vec<_>) =
        later.iter().partition(|entry| entry.contains_key(journal::REPEATED));
    assert_eq!(own_told.len(), 3 * own.len(), "loss, start and stop are never folded");
    assert_eq!(told.len(), 1);
    assert_eq!(text(told[0], journal::REPEATED), "7");
    assert_eq!(text(told[0], "BEE_EVENT_SEQUENCE"), "11", "the entry is that of the last one");
    let first = text(&at_once[0], "BEE_TIMESTAMP");
    assert_eq!(text(told[0], journal::REPEATED_FIRST), first);
    assert_eq!(text(told[0], "MESSAGE"), "root's cat (pid 4711) read /etc/shadow, 7 times more within 10 s");
    // What was repeated is told before the daemon says that it stops.
    let stop = later.iter().position(|entry| text(entry, "BEE_EVENT_ACTION") == "stop").unwrap();
    assert!(later[..stop].iter().any(|entry| entry.contains_key(journal::REPEATED)));
    let counters = journal.counters();
    let entries = (at_once.len() + later.len()) as u64;
    assert_eq!((counters.folded, counters.accepted), (7, entries));
    assert_exact(counters, entries + 7);
}

#[test]
fn repeats_are_told_when_their_time_is_over_and_only_then() {
    let scratch = Scratch::new("journal-window");
    let receiver = Receiver::new(&scratch);
    let folding = Output { journal_fold_seconds: 1, ..output() };
    let mut journal = sink(&receiver.path, &folding, 1 << 20);
    journal.write(&act(1));
    assert_eq!(journal.due(), None, "nothing is due while nothing was repeated");
    journal.write(&act(1));
    let due = journal.due().unwrap();
    assert!(due > Instant::now() && due < Instant::now() + Duration::from_secs(2));
    journal.tick(Instant::now());
    assert_eq!(receiver.all().len(), 1);
    journal.tick(due);
    assert_eq!(journal.due(), None);
    assert_eq!(text(&receiver.all()[0], journal::REPEATED), "1");
    // A new window begins with an entry at once.
    journal.write(&act(1));
    assert!(!receiver.all()[0].contains_key(journal::REPEATED));
    // Switched off, what waits is told, and nothing is folded any more.
    journal.write(&act(1));
    journal.configure(&output());
    journal.write(&act(1));
    journal.write(&act(1));
    assert_eq!(receiver.all().len(), 3);
    journal.drain(soon());
    let counters = journal.counters();
    assert_eq!((counters.folded, counters.accepted), (2, 6));
}

#[test]
fn only_the_chosen_actions_reach_the_journal() {
    let scratch = Scratch::new("journal-actions");
    let receiver = Receiver::new(&scratch);
    let chosen = Output { journal_actions: vec![Action::Open, Action::Rename], ..output() };
    let mut journal = sink(&receiver.path, &chosen, 1 << 20);
    samples().iter().for_each(|event| journal.write(event));
    let actions: Vec<_> =
        receiver.all().iter().map(|entry| text(entry, "BEE_EVENT_ACTION").to_owned()).collect();
    assert_eq!(actions, ["open", "rename", "loss", "start", "stop"]);
    journal.drain(soon());
    assert_exact(journal.counters(), 5);
    assert_eq!(journal.counters().unwanted, ACTIONS.len() as u64 - 5);
}

#[test]
fn an_act_that_found_no_room_is_not_taken_for_told() {
    let scratch = Scratch::new("journal-room");
    let receiver = Receiver::new(&scratch);
    let folding = Output { journal_fold_seconds: 3600, ..output() };
    // Not started: nothing leaves the queue.
    let mut journal = Journal::open(&receiver.path, &folding, "pi".into(), 16 * 1024).unwrap();
    let mut number = 0;
    while journal.counters().queue_full == 0 {
        number += 1;
        journal.write(&act(number));
    }
    journal.start().unwrap();
    let before = receiver.all().len();
    journal.write(&act(number));
    assert_eq!(receiver.all().len(), 1, "the one that was lost is the first of its kind again");
    journal.drain(soon());
    let counters = journal.counters();
    assert_exact(counters, number + 1);
    assert_eq!((counters.accepted, counters.queue_full, counters.folded), (before as u64 + 1, 1, 0));
}

#[test]
fn the_catalog_is_that_of_the_tables_and_shows_nothing_hostile() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/journal/bee-traced.catalog");
    let want = journal::catalog();
    if std::env::var_os("BEE_BLESS").is_some() {
        fs::write(&path, &want).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == want, "{} is stale; BEE_BLESS=1 cargo test --test sink writes it", path.display());
    for facts in ACTIONS {
        assert!(want.contains(&format!("\n-- {}\nSubject: ", facts.message_id())), "{}", facts.name);
    }
    // journalctl writes values to the terminal as they are.
    let mut variables = 0;
    for name in want.split('@').skip(1).step_by(2) {
        let field = FIELDS.iter().find(|field| journal::field_name(field.name).as_deref() == Some(name));
        let field = field.unwrap_or_else(|| panic!("no field is called {name}"));
        assert!(!["bytes", "text"].contains(&field.kind) || name == "BEE_PROCESS_ENTITY_ID", "{name}");
        variables += 1;
    }
    assert!(variables > 20);
}

/// systemd's own reader takes it.
#[test]
fn journalctl_takes_the_catalog() {
    let scratch = Scratch::new("journal-catalog");
    let root = scratch.0.join("root");
    fs::create_dir_all(root.join("usr/lib/systemd/catalog")).unwrap();
    fs::create_dir_all(root.join("var/lib/systemd/catalog")).unwrap();
    fs::write(root.join("usr/lib/systemd/catalog/bee-traced.catalog"), journal::catalog()).unwrap();
    let run = |command: &str| {
        std::process::Command::new("journalctl").arg("--root").arg(&root).arg(command).output()
    };
    let Ok(made) = run("--update-catalog") else {
        println!("skipped: journalctl is not installed");
        return;
    };
    assert!(made.status.success() && made.stderr.is_empty(), "{made:?}");
    let listed = String::from_utf8(run("--list-catalog").unwrap().stdout).unwrap();
    assert_eq!(listed.lines().count(), ACTIONS.len(), "{listed}");
    for facts in ACTIONS {
        assert!(listed.contains(&format!("{} bee-traced: ", facts.message_id())), "{}", facts.name);
    }
}
