//! [`Known`] against records made by hand.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use super::*;
use crate::wire::{KIND_EXEC, KIND_FORK, bee_file};

/// What is known of this very process, and a header that says it.
fn told() -> (Known, bee_header) {
    let known = Known::of(std::process::id(), None).unwrap();
    let ids = known.ids.unwrap_or_default();
    let (ticks, length) = known.start.unwrap_or((0, 1));
    let mut header = bee_header {
        kind: KIND_FORK,
        exec_id: 7,
        tgid: known.pid,
        tid: known.pid,
        ppid: known.parent,
        uid: ids[0],
        gid: ids[1],
        euid: ids[2],
        login_uid: known.login_uid.unwrap_or_default(),
        mnt_ns: known.mount_namespace.unwrap_or_default(),
        start: ticks * length + length / 2,
        ..Default::default()
    };
    name_it(&mut header, &known.names[0]);
    (known, header)
}

fn name_it(header: &mut bee_header, name: &[u8]) {
    header.comm = Default::default();
    for (place, byte) in header.comm.iter_mut().zip(name) {
        *place = *byte as _;
    }
}

/// Of a path, as it is walked: last component first.
fn walked(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for name in path.split(|byte| *byte == b'/').rev().filter(|name| !name.is_empty()) {
        out.extend_from_slice(name);
        out.push(0);
    }
    out
}

#[test]
fn each_fact_of_a_header_is_compared() {
    let (known, header) = told();
    let check = |change: &dyn Fn(&mut bee_header)| {
        let mut header = header;
        change(&mut header);
        known.clone().check(&Record { header: &header, body: Body::Fork { sibling: false } })
    };
    assert_eq!(check(&|_| {}), Ok(()));
    let mut wrong = 0;
    for (fact, change) in [
        ("its thread", (&|header: &mut bee_header| header.tid += 1) as &dyn Fn(&mut bee_header)),
        ("its parent", &|header| header.ppid += 1),
        ("its user", &|header| header.uid += 1),
        ("its group", &|header| header.gid += 1),
        ("its effective user", &|header| header.euid += 1),
        ("its login user", &|header| header.login_uid ^= 1),
        ("its mount namespace", &|header| header.mnt_ns += 1),
        ("its start", &|header| header.start += 1_000_000_000),
        ("its name", &|header| name_it(header, b"\x1bgarbage")),
    ] {
        let Err(why) = check(change) else { continue };
        assert!(why.starts_with(&format!("{fact}: ")) && !why.contains('\x1b'), "{why}");
        wrong += 1;
    }
    // The others are not known in a user or time namespace.
    assert!(wrong >= 4, "{known:?}");
}

#[test]
fn what_was_not_told_is_missed() {
    let (mut known, mut header) = told();
    assert_eq!(known.untold(false, false), None);
    assert_eq!(known.untold(true, true), Some("its exec is not told"));

    let open = |path: &[u8], name: &[u8], known: &mut Known, header: &bee_header| {
        let (inode, device, mode) = known.identity.unwrap_or_default();
        let fixed = bee_file { access: READ, inode, device, mode, ..Default::default() };
        let walk = walked(path);
        let file = File { fixed: &fixed, name, walk: Walk(&walk), name_2: b"", walk_2: Walk(b"") };
        known.check(&Record { header, body: Body::File(file) })
    };
    header.kind = KIND_OPEN;
    let own = known.own.clone();
    assert_eq!(open(&own, b"", &mut known, &header), Ok(()));
    assert!(open(b"/etc/passwd", b"", &mut known, &header).unwrap_err().contains("/etc/passwd instead of"));
    assert!(open(b"", b"/proc/self/exe", &mut known, &header).is_err(), "a path must be walked");
    assert_eq!(known.untold(false, true), Some("the open of a file in /proc is not told"));
    let elsewhere = format!("/proc/{}/{ELSEWHERE}", known.pid);
    assert_eq!(open(elsewhere.as_bytes(), b"", &mut known, &header), Ok(()));
    header.flags = Flags::PATH_UNRESOLVED.0;
    assert!(open(&own, b"", &mut known, &header).unwrap_err().contains("does not lead to the root"));
    assert_eq!(open(b"/", b"", &mut known, &header), Ok(()), "a pidfd has no place");
    header.flags = 0;
    assert_eq!(known.untold(false, true), Some("a refused open is not told"));
    header.result = -13;
    assert!(open(b"", b"/etc/shadow", &mut known, &header).is_err());
    assert_eq!(open(b"", REFUSED.as_bytes(), &mut known, &header), Ok(()));
    assert_eq!(known.untold(false, true), None);

    // After the exec it has another name and one more exec, and may open what it likes.
    (header.kind, header.result) = (KIND_EXEC, 0);
    name_it(&mut header, b"exe");
    let (inode, device, _) = known.identity.unwrap_or_default();
    let image = walked(&own);
    let exec = |args| Exec { inode, device, image: Walk(&image), script: b"", args, env: b"" };
    let check = |known: &mut Known, header: &bee_header, args| {
        known.check(&Record { header, body: Body::Exec(exec(args)) })
    };
    assert!(check(&mut known, &header, ARGUMENTS).unwrap_err().starts_with("the number of its execs"));
    header.exec_id += 1;
    assert!(check(&mut known, &header, b"other\0").unwrap_err().starts_with("its arguments"));
    assert_eq!(check(&mut known, &header, ARGUMENTS), Ok(()));
    assert_eq!(known.untold(true, true), None);
    header.kind = KIND_OPEN;
    assert_eq!(open(b"/usr/lib/libc.so.6", b"", &mut known, &header), Ok(()));
}

#[test]
fn a_start_is_read_past_any_name_and_not_in_a_time_namespace() {
    let stat =
        format!("12 (a) b) R {}", (4..=30).map(|field| field.to_string()).collect::<Vec<_>>().join(" "));
    assert_eq!(start(&stat, "monotonic 0 0\nboottime 0 0\n").map(|(ticks, _)| ticks), Some(22));
    assert_eq!(start(&stat, "monotonic 0 0\nboottime 5 0\n"), None);
    assert_eq!(start("", ""), None);
}
