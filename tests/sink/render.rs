//! Every event becomes one valid line, whatever bytes it holds.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bee_trace::event::{
    Action, Args, Body, Endpoint, Event, Exec, File, Flags, Network, Outcome, Parent, User,
};
use bee_trace::sink::pretty;
use serde_json::Value;

use crate::common::*;

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

#[test]
fn a_connection_in_a_line_for_people() {
    let mut line = Vec::new();
    let mut show = |action, network| {
        line.clear();
        pretty::View::new(false).render(&event(action, Body::Network(network)), &mut line);
        String::from_utf8(line.clone()).unwrap()
    };
    let plain = || Network { path: None, count: None, ..connection() };
    assert!(show(Action::Connect, plain()).contains(" tcp 198.51.100.7:443"));
    assert!(show(Action::Accept, plain()).contains(" tcp 198.51.100.7:443 from 192.0.2.1:40000"));
    let six = Endpoint { ip: std::net::Ipv6Addr::LOCALHOST.into(), port: 53 };
    let many = Network { destination: Some(six), protocol: Some((2, 17)), count: Some(9), ..plain() };
    assert!(show(Action::Send, many).contains(" udp [::1]:53 9 datagrams"));
    let raw = Network { source: None, destination: None, protocol: Some((3, 1)), ..plain() };
    assert!(show(Action::Socket, raw).contains(" ipv4 raw icmp"));
    let odd = Network { source: None, destination: None, family: 99, protocol: None, ..plain() };
    assert!(show(Action::Socket, odd).contains(" family 99"));
    let local =
        Network { path: Some(b"/run/a b"[..].into()), family: 1, source: None, destination: None, ..plain() };
    assert!(show(Action::Connect, local).contains(" unix '/run/a b'"));
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

/// What `bee-trace events` prints, for people and for programs.
#[test]
fn the_tables_of_events_are_printed_whole() {
    use bee_trace::event::{ACTIONS, FLAGS};
    use bee_trace::event_docs::{FIELDS, json, text};

    let (text, all): (_, Value) = (text(), serde_json::from_str(&json()).unwrap());
    let names = |list: &str, key: &str| -> Vec<String> {
        let rows = all[list].as_array().unwrap().iter();
        rows.map(|row| row[key].as_str().unwrap().to_owned()).collect()
    };
    let firsts: BTreeSet<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let actions: Vec<_> = ACTIONS.iter().map(|row| row.name.to_owned()).collect();
    let fields: Vec<_> = FIELDS.iter().map(|row| row.name.to_owned()).collect();
    let flags: Vec<_> = FLAGS.iter().map(|(_, name, _)| (*name).to_owned()).collect();
    for (list, key, wanted) in
        [("actions", "action", actions), ("fields", "name", fields), ("flags", "flag", flags)]
    {
        assert_eq!(names(list, key), wanted);
        for name in wanted {
            assert!(firsts.contains(name.as_str()), "{name} is not in the text");
        }
    }
    assert_eq!(names("severities", "name").last().unwrap(), "critical");
    assert!(!text.contains('`') && !all.to_string().contains('`'), "marks of Markdown");
}
