//! The sinks from outside: every event becomes one valid line, and the counters
//! say exactly what became of it, whatever the descriptor does.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bee_trace::event::{
    ACTIONS, Access, Action, Args, Body, Device, EntityId, Event, Exec, File, Flags, Loss, Outcome, Parent,
    Process, Severity, User,
};
use bee_trace::sink::queue::Queue;
use bee_trace::sink::{SinkCounters, file::Rotating, json, pretty, stdout::Descriptor, writer};
use serde_json::Value;

/// A directory of our own that goes when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bee-sink-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn process() -> Process<'static> {
    Process {
        pid: 4711,
        tid: 4712,
        entity_id: EntityId { boot: 0xab, pid: 4711, start_ticks: 987 },
        start: 1_700_000_000_000_000_001,
        name: Cow::Borrowed(b"cat"),
        executable: Some(b"/usr/bin/cat"),
        args: Args { bytes: b"cat\0/etc/shadow\0" },
        user: User { id: 0, name: Some("root") },
        gid: 0,
        euid: 0,
        login_uid: Some(1000),
        parent: Parent { pid: 4700, name: Cow::Borrowed(b"bash"), executable: Some(b"/usr/bin/bash") },
        unit: Some("ssh.service"),
        container_id: None,
    }
}

fn event(action: Action, body: Body<'static>) -> Event<'static> {
    let process = !matches!(body, Body::Loss(_) | Body::Note(_));
    Event {
        time: 1_763_928_251_123_456_789,
        sequence: 42,
        action,
        severity: Severity::High,
        outcome: Outcome::Success,
        hook: "tp_btf/sys_exit",
        tier: "tracepoint",
        flags: Flags::default(),
        process: process.then(self::process),
        body,
    }
}

fn shadow() -> File<'static> {
    File {
        path: Cow::Borrowed(b"/etc/shadow"),
        inode: 77,
        device: Some(Device { major: 8, minor: 1 }),
        mode: Some(0o100_640),
        access: Some(Access::Read),
        ..File::default()
    }
}

/// One event of every action, each field filled somewhere.
fn samples() -> Vec<Event<'static>> {
    let mut full = shadow();
    full.target_path = Some(Cow::Borrowed(b"/t"));
    full.old_path = Some(Cow::Borrowed(b"/o"));
    full.known_as = Some(Cow::Borrowed(b"/k"));
    full.node = Some(Device { major: 1, minor: 1 });
    full.owner = Some((Some(1), Some(2)));
    full.size = Some(3);
    let mut samples: Vec<_> = ACTIONS
        .iter()
        .map(|facts| {
            let body = match facts.action {
                Action::Exec => Body::Exec(Exec {
                    script: Some(Cow::Borrowed(b"/s")),
                    secret_env: vec![Cow::Borrowed(b"TOKEN"), Cow::Borrowed(b"KEY")],
                }),
                Action::Fork => Body::Fork,
                Action::Exit => Body::Exit { code: Some(3), signal: Some(9) },
                Action::Loss => Body::Loss(Loss {
                    stage: "kernel",
                    action: Some(Action::Open),
                    cause: "ring_full",
                    count: 5,
                    since: 1,
                }),
                Action::Start | Action::Stop => Body::Note("watching".into()),
                _ => Body::File(full.clone()),
            };
            event(facts.action, body)
        })
        .collect();
    samples[3].outcome = Outcome::Failure(libc::EACCES);
    samples[3].flags = Flags::BY_IDENTITY;
    samples[3].process.as_mut().unwrap().container_id = Some("0123456789abcdef");
    samples
}

fn rendered(event: &Event) -> Value {
    let mut out = Vec::new();
    json::render(event, "pi", &mut out);
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1, "{}", String::from_utf8_lossy(&out));
    assert_eq!(out.last(), Some(&b'\n'));
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_refused_open_has_every_field_where_ecs_wants_it() {
    let mut refused = event(Action::Open, Body::File(shadow()));
    refused.outcome = Outcome::Failure(libc::EACCES);
    refused.flags = Flags(Flags::BY_IDENTITY.0 | Flags::COMPAT.0);
    let want = serde_json::json!({
        "@timestamp": "2025-11-23T20:04:11.123456789Z",
        "event": {"kind": "alert", "category": ["file"], "type": ["access"], "action": "open",
            "outcome": "failure", "code": "EACCES", "severity": 73, "sequence": 42},
        "host": {"name": "pi"},
        "process": {"pid": 4711, "entity_id": "000000ab-4711-987", "name": "cat", "executable": "/usr/bin/cat",
            "args": ["cat", "/etc/shadow"], "start": "2023-11-14T22:13:20.000000001Z",
            "user": {"id": "0", "name": "root", "effective": {"id": "0"}}, "group": {"id": "0"},
            "parent": {"pid": 4700, "name": "bash", "executable": "/usr/bin/bash"}, "thread": {"id": 4712}},
        "file": {"path": "/etc/shadow", "inode": "77", "device": "8:1", "mode": "0640", "type": "file"},
        "bee": {"sensor": "file", "hook": "tp_btf/sys_exit", "tier": "tracepoint", "unit": "ssh.service",
            "login_uid": "1000", "access": "read", "flags": ["compat_32bit", "by_identity"]},
    });
    assert_eq!(rendered(&refused), want);
}

#[test]
fn what_is_not_known_is_not_there() {
    let mut bare = event(Action::Open, Body::File(File::default()));
    let process = bare.process.as_mut().unwrap();
    process.name = Cow::Borrowed(b"");
    process.executable = None;
    process.args = Args::default();
    process.start = 0;
    process.user.name = None;
    process.login_uid = None;
    process.parent = Parent::default();
    process.unit = None;
    let value = rendered(&bare);
    assert_eq!(value["file"], serde_json::json!({}));
    assert_eq!(
        value["process"],
        serde_json::json!({"pid": 4711, "entity_id": "000000ab-4711-987", "thread": {"id": 4712},
            "user": {"id": "0", "effective": {"id": "0"}}, "group": {"id": "0"}})
    );
    assert_eq!(value["event"].get("code"), None);
    assert_eq!(value["bee"].get("flags"), None);
}

/// xorshift64*; the seed is printed by the assertion that fails.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// Bytes with many of those that are special somewhere.
    fn bytes(&mut self) -> Vec<u8> {
        const SPECIAL: &[&[u8]] = &[
            b"\\",
            b"x",
            b"\\x",
            b"\"",
            b"\n",
            b"\r",
            b"\x1b[2J",
            b"\xe2\x80\xa8",
            b"\xe2\x80\xae",
            b"\xe2",
            b"\xe2\x80",
            b"\xc2",
            b"\xc2\x9b",
            b"\xff",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\x7f",
            b"'",
            b"\\xff",
            b",",
            b"}",
            b"]",
            b"\xf0\x9f\x90\x9d",
            b"\xe2\x81\xa6",
            b"\0",
        ];
        let mut bytes = Vec::new();
        for _ in 0..self.next() % 24 {
            match self.next() % 3 {
                0 => bytes.push(self.next() as u8),
                1 => bytes.push(b'a' + (self.next() % 26) as u8),
                _ => bytes.extend_from_slice(SPECIAL[(self.next() % SPECIAL.len() as u64) as usize]),
            }
        }
        bytes
    }
}

/// Undoes the rule documented in docs/events.md.
fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"\\x") {
            out.push(u8::from_str_radix(&text[at + 2..at + 4], 16).unwrap());
            at += 4;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

#[test]
fn every_byte_content_is_a_valid_line_and_can_be_got_back() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut view, mut line) = (pretty::View::new(false), Vec::new());
    for round in 0..20_000 {
        let texts: Vec<Vec<u8>> = (0..6).map(|_| random.bytes()).collect();
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
        let value = rendered(&hostile);
        let mut pairs = vec![
            (&value["process"]["executable"], &texts[1]),
            (&value["file"]["target_path"], &texts[5]),
            (&value["bee"]["old_path"], &texts[4]),
        ];
        if !texts[0].is_empty() {
            pairs.push((&value["process"]["name"], &texts[0]));
        }
        if !texts[3].is_empty() {
            pairs.push((&value["file"]["path"], &texts[3]));
        }
        for (shown, raw) in pairs {
            assert_eq!(unescape(shown.as_str().unwrap()), *raw, "round {round}");
        }
        let args: Vec<Vec<u8>> = value["process"]["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| unescape(arg.as_str().unwrap()))
            .collect();
        assert_eq!(args.join(&0), texts[2], "round {round}");
        let flagged =
            value["bee"]["flags"].as_array().is_some_and(|flags| flags.contains(&"non_utf8".into()));
        let not_utf8 = texts.iter().any(|text| std::str::from_utf8(text).is_err());
        assert_eq!(flagged, not_utf8, "round {round}");

        line.clear();
        view.render(&hostile, &mut line);
        let shown = std::str::from_utf8(&line).unwrap();
        let hidden = |c: char| {
            c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c)
        };
        assert!(!shown.strip_suffix('\n').unwrap().contains(hidden), "round {round}: {shown:?}");
    }
}

#[test]
fn people_see_who_did_what_to_which_file() {
    let mut view = pretty::View::new(false);
    let mut show = |event: &Event| {
        let mut out = Vec::new();
        view.render(event, &mut out);
        let line = String::from_utf8(out).unwrap();
        // The time of day depends on the zone of the machine.
        assert!(line[8..].starts_with(".123  "), "{line}");
        line[14..].trim_end_matches('\n').to_owned()
    };
    let mut open = event(Action::Open, Body::File(shadow()));
    assert_eq!(show(&open), "HIGH   open     cat[4711] root  read /etc/shadow  ← bash[4700]  ssh.service");
    open.outcome = Outcome::Failure(libc::EACCES);
    open.flags = Flags::BY_IDENTITY;
    open.process.as_mut().unwrap().executable = Some(b"/tmp/a b");
    open.process.as_mut().unwrap().user = User { id: 33, name: None };
    assert_eq!(
        show(&open),
        "HIGH   open     cat[4711] 33→0 '/tmp/a b'  read /etc/shadow refused (EACCES)  ← bash[4700]  \
         ssh.service  [by_identity]"
    );
    let mut exec = event(Action::Exec, Body::Exec(Exec::default()));
    let long = ["true", "hello world", &"é".repeat(300), ""].join("\0");
    exec.process.as_mut().unwrap().args = Args { bytes: long.as_bytes() };
    let line = show(&exec);
    let what = line.split("  ").find(|part| part.starts_with("true ")).unwrap();
    assert!(what.starts_with("true 'hello world' éé") && what.ends_with("é…"), "{what}");
    assert_eq!(what.chars().count(), 200, "a blank, 199 shown, and the ellipsis");
    let exit = event(Action::Exit, Body::Exit { code: None, signal: Some(9) });
    assert_eq!(show(&exit), "HIGH   exit     cat[4711] root  killed by SIGKILL  ← bash[4700]  ssh.service");
    let samples = samples();
    let loss = samples.iter().find(|event| event.action == Action::Loss).unwrap();
    assert!(
        show(loss).starts_with("HIGH   loss     5 open lost: kernel, ring_full, since "),
        "{}",
        show(loss)
    );
}

/// All leaf paths of a value: `a.b`, arrays as `a.b[]`.
fn paths(value: &Value, prefix: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                paths(member, &name, into);
            }
        }
        Value::Array(_) => drop(into.insert(format!("{prefix}[]"))),
        _ => drop(into.insert(prefix.to_owned())),
    }
}

#[test]
fn every_field_is_documented_and_every_documented_field_occurs() {
    let mut seen = BTreeSet::new();
    for event in samples() {
        paths(&rendered(&event), "", &mut seen);
    }
    let documented: BTreeSet<String> =
        bee_trace::event_docs::FIELDS.iter().map(|field| field.name.to_owned()).collect();
    assert_eq!(seen, documented);
}

#[test]
fn the_events_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md");
    let text = fs::read_to_string(&path).unwrap();
    let want = bee_trace::event_docs::refresh(&text).unwrap();
    if std::env::var_os("BEE_BLESS").is_some() {
        fs::write(&path, &want).unwrap();
        return;
    }
    assert!(text == want, "docs/events.md is stale; BEE_BLESS=1 cargo test --test sink writes:\n{want}");
}

/// A numbered line; lengths differ so that chunk ends fall everywhere.
fn numbered(number: u64) -> Vec<u8> {
    let filler = "f".repeat((number * 37 % 211) as usize);
    format!("{{\"n\":{number},\"f\":\"{filler}\"}}\n").into_bytes()
}

/// The numbers of all whole lines; a line that was cut counts as none.
fn numbers(text: &[u8]) -> Vec<u64> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok()?["n"].as_u64())
        .collect()
}

/// Reading and writing end.
fn pipe() -> (fs::File, fs::File) {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn assert_exact(counters: SinkCounters, offered: u64) {
    assert_eq!(counters.offered, offered);
    assert_eq!(
        counters.accepted + counters.queue_full + counters.refused,
        offered,
        "every line in exactly one counter: {counters:?}"
    );
}

fn to_descriptor(fd: impl AsFdOwned, limit: usize) -> Queue {
    let queue = Queue::new(limit).unwrap();
    let target = Descriptor::new(fd.into_owned().as_fd(), "test").unwrap();
    writer::start(&queue, Box::new(target), "sink-test").unwrap();
    queue
}

trait AsFdOwned {
    fn into_owned(self) -> std::os::fd::OwnedFd;
}

impl<T: Into<std::os::fd::OwnedFd>> AsFdOwned for T {
    fn into_owned(self) -> std::os::fd::OwnedFd {
        self.into()
    }
}

#[test]
fn a_full_device_refuses_every_line_and_is_named() {
    let queue = to_descriptor(fs::OpenOptions::new().write(true).open("/dev/full").unwrap(), 1 << 20);
    for number in 0..5003 {
        let _ = queue.push(&numbered(number));
        if number == 7 {
            while queue.problem().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    assert_eq!(queue.problem().as_deref(), Some("test: No space left on device"));
    queue.drain(soon());
    let counters = queue.counters();
    assert_exact(counters, 5003);
    assert_eq!((counters.accepted, counters.queue_full, counters.bytes), (0, 0, 0));
    assert!(counters.errors > 0 && counters.errors < 100, "it pauses: {}", counters.errors);
}

#[test]
fn a_reader_that_goes_away_is_survived_and_counted() {
    let (mut reader, pipe) = pipe();
    let queue = to_descriptor(pipe, 4 << 20);
    for number in 0..4001 {
        queue.push(&numbered(number)).unwrap();
    }
    // Reads a part that ends somewhere inside a line, then goes.
    let mut part = vec![0; 30_011];
    reader.read_exact(&mut part).unwrap();
    drop(reader);
    while queue.problem().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(queue.problem().as_deref(), Some("test: Broken pipe"));
    queue.drain(soon());
    let counters = queue.counters();
    assert_exact(counters, 4001);
    assert!(counters.accepted >= numbers(&part).len() as u64 - 1);
    assert!(counters.refused > 0);
}

fn read_slowly(mut reader: fs::File) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), [0; 1013]);
    loop {
        match reader.read(&mut piece).unwrap() {
            0 => return all,
            count => all.extend_from_slice(&piece[..count]),
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn a_slow_reader_gets_every_accepted_line_once_and_in_order() {
    let (reader, pipe) = pipe();
    let queue = to_descriptor(pipe, 64 * 1024);
    let slow = std::thread::spawn(move || read_slowly(reader));
    let mut kept = Vec::new();
    for number in 0..20_011 {
        if queue.push(&numbered(number)).is_ok() {
            kept.push(number);
        }
        if number % 512 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    queue.drain(soon());
    let counters = queue.counters();
    assert_exact(counters, 20_011);
    assert!(counters.queue_full > 0, "the reader is slow enough for this to test something");
    assert_eq!((counters.refused, counters.accepted), (0, kept.len() as u64));
    drop(queue);
    let all = slow.join().unwrap();
    assert_eq!(numbers(&all), kept);
    assert_eq!(counters.bytes, all.len() as u64);
}

#[test]
fn a_reader_that_never_reads_cannot_hold_up_the_end() {
    let (mut reader, pipe) = pipe();
    let queue = to_descriptor(pipe, 1 << 20);
    for number in 0..3001 {
        queue.push(&numbered(number)).unwrap();
    }
    let before = Instant::now();
    queue.drain(before + Duration::from_millis(100));
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    let counters = queue.counters();
    assert_exact(counters, 3001);
    assert!(counters.accepted > 0 && counters.refused > 0);
    // What the pipe holds is what was counted, and nothing comes later.
    drop(queue);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.len() as u64, counters.bytes);
    assert_eq!(numbers(&all), (0..counters.accepted).collect::<Vec<_>>());
}

#[test]
fn a_socket_works_as_a_pipe_does() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let queue = to_descriptor(ours, 1 << 20);
    let reader = std::thread::spawn(move || {
        let (mut theirs, mut all) = (theirs, Vec::new());
        theirs.read_to_end(&mut all).unwrap();
        all
    });
    for number in 0..2003 {
        queue.push(&numbered(number)).unwrap();
    }
    queue.drain(soon());
    assert_exact(queue.counters(), 2003);
    drop(queue);
    assert_eq!(numbers(&reader.join().unwrap()), (0..2003).collect::<Vec<_>>());
}

/// Fails as told: takes a few bytes, then an error, then is well again.
struct Flaky {
    random: Random,
    out: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
}

impl writer::Target for Flaky {
    fn describe(&self) -> String {
        "flaky".into()
    }
    fn prepare(&mut self, _line: usize) -> writer::Room {
        writer::Room { bytes: 1 + (self.random.next() % 900) as usize, rotation: None }
    }
    fn write(&mut self, bytes: &[u8]) -> nix::Result<usize> {
        use nix::errno::Errno;
        match self.random.next() % 16 {
            0 => Err(Errno::EINTR),
            1 => Err(Errno::EAGAIN),
            2 if self.random.next() % 4 == 0 => Err(Errno::ENOSPC),
            pick => {
                // Often all but the newline: the line is then owed, not lost.
                let most = if pick < 6 { bytes.len() - 1 } else { bytes.len() };
                let took = if pick < 9 {
                    most.max(1)
                } else {
                    1 + (self.random.next() % most.max(1) as u64) as usize
                };
                self.out.lock().unwrap().extend_from_slice(&bytes[..took]);
                Ok(took)
            }
        }
    }
    fn wait(&mut self, _stop: std::os::fd::BorrowedFd<'_>) {}
}

#[test]
fn cut_lines_are_refused_and_the_next_begins_on_its_own() {
    for seed in 1..12 {
        let queue = Queue::new(1 << 20).unwrap();
        let out = std::sync::Arc::default();
        let flaky = Flaky { random: Random(seed * 0x9e37_79b9), out: std::sync::Arc::clone(&out) };
        writer::start(&queue, Box::new(flaky), "sink-flaky").unwrap();
        for number in 0..1009 {
            queue.push(&numbered(number)).unwrap();
            if number % 64 == 0 {
                std::thread::sleep(Duration::from_millis(6));
            }
        }
        queue.drain(soon());
        let counters = queue.counters();
        assert_exact(counters, 1009);
        let out = out.lock().unwrap();
        let mut whole = numbers(&out);
        // At the very end a line may lack its newline; then it was not accepted.
        if out.last() != Some(&b'\n') && whole.len() as u64 > counters.accepted {
            whole.pop();
        }
        assert_eq!(whole.len() as u64, counters.accepted, "seed {seed}: {counters:?}");
        assert!(whole.is_sorted() && whole.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(counters.bytes, out.len() as u64);
    }
}

#[test]
fn lines_pushed_before_the_thread_and_after_the_end_are_counted() {
    let queue = Queue::new(4096).unwrap();
    for number in 0..100 {
        let _ = queue.push(&numbered(number));
    }
    let full = queue.counters();
    assert!(full.queue_full > 0 && full.accepted == 0);
    let before = Instant::now();
    queue.drain(soon());
    assert!(before.elapsed() < Duration::from_secs(1), "there is no writer to wait for");
    assert!(queue.push(b"late\n").is_err());
    assert_exact(queue.counters(), 101);
}

#[test]
fn rotation_under_load_loses_no_line_and_splits_none() {
    let scratch = Scratch::new("rotate");
    let path = scratch.0.join("events.json");
    let queue = Queue::new(8 << 20).unwrap();
    let target = Rotating::open(&path, 16 * 1024, 400).unwrap();
    writer::start(&queue, Box::new(target), "sink-file").unwrap();
    let total = 20_011;
    for number in 0..total {
        queue.push(&numbered(number)).unwrap();
    }
    queue.drain(soon());
    let counters = queue.counters();
    assert_exact(counters, total);
    assert_eq!((counters.accepted, counters.rotate_failed), (total, 0));
    let mut files: Vec<PathBuf> = (1..=400).map(|n| scratch.0.join(format!("events.json.{n}"))).collect();
    files.retain(|file| file.exists());
    assert!(files.len() > 100, "{}", files.len());
    files.reverse();
    files.push(path);
    let mut all = Vec::new();
    for file in &files {
        let text = fs::read(file).unwrap();
        assert!(text.len() <= 16 * 1024 && text.ends_with(b"\n"), "{}: {}", file.display(), text.len());
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600);
        all.extend(numbers(&text));
    }
    assert_eq!(all, (0..total).collect::<Vec<_>>());
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), files.len(), "nothing else is left behind");
}

#[test]
fn only_so_many_old_files_are_kept_and_the_newest_of_them() {
    let scratch = Scratch::new("keep");
    let path = scratch.0.join("e");
    let queue = Queue::new(8 << 20).unwrap();
    writer::start(&queue, Box::new(Rotating::open(&path, 4096, 2).unwrap()), "sink-file").unwrap();
    for number in 0..1000 {
        queue.push(&numbered(number)).unwrap();
    }
    queue.drain(soon());
    assert_exact(queue.counters(), 1000);
    let mut all = Vec::new();
    for name in ["e.2", "e.1", "e"] {
        all.extend(numbers(&fs::read(scratch.0.join(name)).unwrap()));
    }
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 3);
    assert_eq!(all, (1000 - all.len() as u64..1000).collect::<Vec<_>>());
}

#[test]
fn an_existing_file_is_continued_or_rotated_first() {
    let scratch = Scratch::new("existing");
    let path = scratch.0.join("e");
    let write = |text: &[u8]| {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(text).unwrap();
    };
    let run = |limit| {
        let queue = Queue::new(1 << 20).unwrap();
        writer::start(&queue, Box::new(Rotating::open(&path, limit, 3).unwrap()), "sink-file").unwrap();
        queue.push(&numbered(1)).unwrap();
        queue.drain(soon());
        assert_exact(queue.counters(), 1);
        fs::read(&path).unwrap()
    };
    // Killed while it wrote: the new line does not hang on to the old one.
    write(b"{\"n\":0}\n{\"n\":9,\"f\":\"ff");
    assert_eq!(numbers(&run(4096)), [0, 1]);
    write(&[&b"x".repeat(5000)[..], b"\n"].concat());
    fs::write(scratch.0.join("e.new"), b"").unwrap();
    assert_eq!(numbers(&run(4096)), [1]);
    assert_eq!(fs::metadata(scratch.0.join("e.1")).unwrap().len(), 5001);
    assert!(!scratch.0.join("e.new").exists());
}

#[test]
fn a_file_that_others_control_is_refused_with_the_reason() {
    let scratch = Scratch::new("refuse");
    let at = |name: &str| scratch.0.join(name);
    let why =
        |name: &str| Rotating::open(&at(name), 0, 1).err().map(|why| why.to_string()).unwrap_or_default();
    fs::write(at("real"), b"").unwrap();
    fs::set_permissions(at("real"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink(at("real"), at("link")).unwrap();
    assert!(why("link").contains("symbolic link"), "{}", why("link"));
    assert_eq!(why("real"), "");
    fs::set_permissions(at("real"), fs::Permissions::from_mode(0o620)).unwrap();
    assert!(why("real").contains("others may write to it (mode 0620)"), "{}", why("real"));
    fs::set_permissions(at("real"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(at("real"), at("second")).unwrap();
    assert!(why("second").contains("more than one name"), "{}", why("second"));
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(why("fifo").contains("not a regular file"), "{}", why("fifo"));
    assert!(why("none/file").contains("directory"), "{}", why("none/file"));
}

/// Runs `body` on a thread that is user nobody without any capability, if we are
/// root. The raw system call changes that thread (and its children) only.
fn unprivileged(body: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        if nix::unistd::geteuid().is_root() {
            for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
                // SAFETY: takes three numbers and touches no memory.
                assert_eq!(unsafe { libc::syscall(call, NOBODY, NOBODY, NOBODY) }, 0);
            }
        }
        body();
    });
    thread.join().unwrap();
}

const NOBODY: u32 = 65534;

#[test]
fn without_the_right_to_rotate_the_same_file_goes_on() {
    let scratch = Scratch::new("norotate");
    let path = scratch.0.join("e");
    let target = Rotating::open(&path, 4096, 3).unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o500)).unwrap();
    let queue = Queue::new(1 << 20).unwrap();
    let theirs = queue.clone();
    unprivileged(move || {
        writer::start(&theirs, Box::new(target), "sink-file").unwrap();
        for number in 0..2003 {
            theirs.push(&numbered(number)).unwrap();
        }
        theirs.drain(soon());
    });
    let counters = queue.counters();
    assert_exact(counters, 2003);
    assert_eq!(counters.accepted, 2003);
    assert!((1..20).contains(&counters.rotate_failed), "tried now and then: {}", counters.rotate_failed);
    let problem = queue.problem().unwrap();
    assert!(problem.ends_with("was not rotated: create the next file: Permission denied"), "{problem}");
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(numbers(&fs::read(&path).unwrap()), (0..2003).collect::<Vec<_>>());
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
}

#[test]
fn root_rotation_works_in_a_directory_whose_path_is_closed_to_the_later_user() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new("closed");
    let dir = scratch.0.join("log");
    fs::create_dir(&dir).unwrap();
    std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o700)).unwrap();
    let target = Rotating::open(&dir.join("e"), 64 * 1024, 9).unwrap();
    let queue = Queue::new(1 << 20).unwrap();
    let theirs = queue.clone();
    unprivileged(move || {
        writer::start(&theirs, Box::new(target), "sink-file").unwrap();
        for number in 0..2003 {
            theirs.push(&numbered(number)).unwrap();
        }
        theirs.drain(soon());
    });
    assert_exact(queue.counters(), 2003);
    assert_eq!((queue.counters().rotate_failed, queue.problem()), (0, None));
    assert!(dir.join("e.3").exists());
    // Started again by root, the file is the later user's: that is no stranger.
    Rotating::open(&dir.join("e"), 0, 1).unwrap();
}

#[test]
fn a_pipe_that_cannot_be_opened_again_does_not_hold_up_the_end_either() {
    let (mut reader, pipe) = pipe();
    let queue = Queue::new(1 << 20).unwrap();
    let theirs = queue.clone();
    // Another user's pipe: /proc/self/fd/N is closed to nobody.
    unprivileged(move || {
        let target = Descriptor::new(pipe.as_fd(), "test").unwrap();
        drop(pipe);
        writer::start(&theirs, Box::new(target), "sink-test").unwrap();
        for number in 0..3001 {
            theirs.push(&numbered(number)).unwrap();
        }
        theirs.drain(Instant::now() + Duration::from_millis(100));
    });
    let counters = queue.counters();
    assert_exact(counters, 3001);
    assert!(counters.accepted > 100 && counters.refused > 0, "{counters:?}");
    drop(queue);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.len() as u64, counters.bytes);
    assert_eq!(numbers(&all), (0..counters.accepted).collect::<Vec<_>>());
}

#[test]
fn a_file_that_was_removed_is_made_again() {
    let scratch = Scratch::new("removed");
    let path = scratch.0.join("e");
    let queue = Queue::new(1 << 20).unwrap();
    writer::start(&queue, Box::new(Rotating::open(&path, 0, 3).unwrap()), "sink-file").unwrap();
    let accepted = |count| {
        while queue.counters().accepted < count {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    queue.push(&numbered(0)).unwrap();
    accepted(1);
    fs::remove_file(&path).unwrap();
    queue.push(&numbered(1)).unwrap();
    accepted(2);
    assert_eq!(numbers(&fs::read(&path).unwrap()), [1]);
    fs::write(&path, b"").unwrap();
    queue.push(&numbered(2)).unwrap();
    queue.drain(soon());
    assert_eq!(numbers(&fs::read(&path).unwrap()), [2], "no hole where it was cut");
}

#[test]
fn the_configured_file_gets_the_configured_actions() {
    use bee_trace::config::{Format, Output};
    let scratch = Scratch::new("open");
    for (format, start) in [(Format::Json, "{\"@timestamp\":"), (Format::Pretty, "")] {
        let path = scratch.0.join(format!("{format:?}"));
        let output = Output {
            format,
            file: Some(path.clone()),
            rotate_mib: 1,
            rotate_keep: 1,
            actions: vec![Action::Open, Action::Rename],
        };
        let mut sink = bee_trace::sink::open(&output, "pi".into(), 1 << 20, true).unwrap();
        samples().iter().for_each(|event| sink.write(event));
        assert_eq!((sink.name(), sink.written()), ("file", 0), "not started yet");
        sink.start().unwrap();
        assert!(sink.start().is_err());
        sink.drain(soon());
        let counters = sink.counters();
        assert_exact(counters, 5);
        assert_eq!((sink.written(), counters.unwanted), (5, ACTIONS.len() as u64 - 5));
        assert_eq!(sink.problem(), None);
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains('\x1b'), "a file has no colours");
        for (line, action) in text.lines().zip(["open", "rename", "loss", "start", "stop"]) {
            assert!(line.starts_with(start) && line.contains(action), "{line}");
        }
        assert_eq!(text.lines().count(), 5);
        let missing = Output { file: Some("/nonexistent/x".into()), ..output };
        let why = bee_trace::sink::open(&missing, "pi".into(), 1, false).err().unwrap().to_string();
        assert_eq!(why, "output file /nonexistent/x: open its directory: No such file or directory");
    }
}

#[test]
fn the_thread_has_its_name_and_takes_no_signal() {
    let (_reader, pipe) = pipe();
    let queue = Queue::new(4096).unwrap();
    let target = Descriptor::new(pipe.as_fd(), "test").unwrap();
    writer::start(&queue, Box::new(target), "sink-named").unwrap();
    let status = || {
        fs::read_dir("/proc/self/task").unwrap().find_map(|task| {
            let text = fs::read_to_string(task.ok()?.path().join("status")).ok()?;
            text.starts_with("Name:\tsink-named\n").then_some(text)
        })
    };
    let deadline = soon();
    let status =
        std::iter::repeat_with(status).take_while(|_| Instant::now() < deadline).flatten().next().unwrap();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
    let blocked = u64::from_str_radix(blocked, 16).unwrap();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE] {
        assert_ne!(blocked & 1 << (signal - 1), 0, "signal {signal}");
    }
    queue.drain(soon());
}
