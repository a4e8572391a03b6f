//! Entries of the journal: every field is what the event says, whatever bytes it holds; the
//! sentence for people; the catalog.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use bee_trace::event::{ACTIONS, Access, Action, Args, Body, Event, File, Flags, Memory, Network, Outcome};
use bee_trace::event_docs::FIELDS;
use bee_trace::sink::journal::{self, Builder};
use bee_trace::sink::sentence;

use crate::common::*;

/// Fields of an entry: name, and each of its values.
pub type Entry = BTreeMap<String, Vec<Vec<u8>>>;

/// The protocol as it is specified, written from the specification alone.
pub fn parse(mut bytes: &[u8]) -> Entry {
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

pub fn one<'e>(entry: &'e Entry, name: &str) -> &'e [u8] {
    let values = entry.get(name).unwrap_or_else(|| panic!("no {name} in {entry:?}"));
    assert_eq!(values.len(), 1, "{name}");
    &values[0]
}

pub fn text<'e>(entry: &'e Entry, name: &str) -> &'e str {
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
    let reach = |action| say(&event(action, Body::Memory(memory())));
    assert_eq!(
        reach(Action::Ptrace),
        "root's cat (pid 4711) began to trace root's vault (pid 812, /opt/vault)"
    );
    let mut refused = event(Action::VmRead, Body::Memory(memory()));
    refused.outcome = Outcome::Failure(libc::EPERM);
    assert_eq!(
        say(&refused),
        "root's cat (pid 4711) tried to read memory of root's vault (pid 812, /opt/vault) and was refused (EPERM)"
    );
    let own = Memory { request: Some("PTRACE_TRACEME"), ..memory() };
    assert!(say(&event(Action::Ptrace, Body::Memory(own))).contains(" made itself traced by root's vault "));
    let unknown = Memory { access: Some(Access::Read), ..Memory::default() };
    assert_eq!(
        say(&event(Action::ProcMem, Body::Memory(unknown))),
        "root's cat (pid 4711) opened the memory of a process that is not known for reading"
    );
    let far = |action, network| say(&event(action, Body::Network(network)));
    let inet = || Network { path: None, ..connection() };
    for (action, network, wanted) in [
        (Action::Connect, inet(), "connected to 198.51.100.7:443 (tcp)"),
        (
            Action::Connect,
            Network { family: 1, protocol: None, ..connection() },
            "connected to the local socket /run/x",
        ),
        (
            Action::Connect,
            Network { destination: None, ..inet() },
            "connected to an address that is not known (tcp)",
        ),
        (Action::Send, inet(), "sent 17 datagrams to 198.51.100.7:443 (tcp)"),
        (Action::Send, Network { count: Some(1), ..inet() }, "sent a datagram to 198.51.100.7:443 (tcp)"),
        (Action::Accept, inet(), "accepted a connection from 192.0.2.1:40000 at 198.51.100.7:443 (tcp)"),
        (Action::Listen, inet(), "began to listen at 198.51.100.7:443 (tcp)"),
        (
            Action::Socket,
            Network { family: 17, protocol: Some((3, 768)), destination: None, source: None, ..inet() },
            "made a socket (packet raw)",
        ),
    ] {
        assert_eq!(far(action, network), format!("root's cat (pid 4711) {wanted}"));
    }
    // What has no words of its own reads well all the same.
    let unspoken = bare(Action::Exec, path());
    assert_eq!(unspoken, "root's cat (pid 4711): exec (a process executed a program): /x");
    for sample in samples() {
        let said = say(&sample);
        assert!(said.len() > 7 && !said.contains("  (") && !said.ends_with([' ', ':']), "{said:?}");
    }
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
        assert!(!["bytes", "text"].contains(&field.kind) || name.ends_with("_ENTITY_ID"), "{name}");
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
