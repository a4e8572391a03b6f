//! The sink of the journal: what becomes of entries when journald is slow, away or started
//! anew, and which are folded. What journald itself makes of them is in `tests/e2e/journal.rs`.

use std::fs;
use std::io::{IoSliceMut, Read as _, Seek as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bee_trace::config::Output;
use bee_trace::event::{ACTIONS, Action, Body, Event, File, Flags, Outcome};
use bee_trace::sink::Sink as _;
use bee_trace::sink::journal::{self, Journal};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::common::*;
use crate::entry::{Entry, one, parse, text};

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
