//! Records of the tier `portable`, which say little of their process and name files as
//! their callers did: what is not known must not be in the event.

use bee_trace::event::Flags;
use bee_trace::pipeline::{Canary, Fate};
use bee_trace::wire;
use serde_json::{Value, json};

use crate::pipeline::Bench;
use crate::records::{Bytes, File, Header};

const SYS_EXIT: u16 = 96;
const NEWTASK: u16 = 98;
const EXIT: u16 = 99;

/// As nobtf.bpf.h fills it.
fn header(tgid: u32, time: u64) -> Header {
    Header {
        time,
        start: 0,
        exec_id: 0,
        flags: Flags::PROCESS_PARTIAL.0,
        hook: SYS_EXIT,
        tgid,
        tid: tgid,
        ppid: 0,
        euid: u32::MAX,
        login_uid: u32::MAX,
        ..Header::default()
    }
}

fn fork(tgid: u32, maker: u32, time: u64, sibling: bool) -> Bytes {
    let header = Header { start: time, ppid: maker, hook: NEWTASK, ..header(tgid, time) };
    header.process(wire::KIND_FORK, if sibling { 0x8000 } else { 0 })
}

fn exec(tgid: u32, time: u64, name: &[u8], args: &[u8]) -> Bytes {
    let of = header(tgid, time);
    let flags = of.flags | Flags::EXE_AS_GIVEN.0 | Flags::ARGS_RACY.0;
    Header { flags, ..of }.exec(b"", name, args, b"A_TOKEN\0HOME\0")
}

fn act(tgid: u32, kind: u16, name: &[u8], name_2: &[u8]) -> Bytes {
    let of = header(tgid, 30_000_000_000);
    let access = u8::from(kind == wire::KIND_OPEN);
    Header { flags: of.flags | Flags::ARGS_RACY.0, ..of }
        .file(kind, &File { name, name_2, access, ..File::default() })
}

/// A process 4000 of a known parent.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.event(&fork(3000, 1, 10_000_000_000, false));
    bench.event(&exec(3000, 11_000_000_000, b"/sbin/init", b"init\0"));
    bench.event(&fork(4000, 3000, 20_000_000_000, false));
    bench
}

fn flags(event: &Value) -> Vec<&str> {
    event["bee"]["flags"].as_array().unwrap().iter().map(|flag| flag.as_str().unwrap()).collect()
}

#[test]
fn what_is_not_known_of_a_process_is_not_there() {
    let mut bench = bench();
    let event = bench.event(&exec(4000, 21_000_000_000, b"../bin/sh", b"sh\0-c\0"));
    let process = &event["process"];
    assert_eq!(process["executable"], "../bin/sh", "as it was given");
    assert_eq!(process["args"], json!(["sh", "-c"]));
    assert!(process["entity_id"].as_str().unwrap().ends_with("-4000-2000"), "the fork's time is its start");
    assert_eq!(process["user"], json!({"id": "0", "name": "root"}), "no effective one");
    assert_eq!(process["parent"], json!({"pid": 3000, "name": "cat", "executable": "/sbin/init"}));
    assert_eq!(event["bee"]["secret_env"], json!(["A_TOKEN"]));
    assert_eq!(event["bee"].get("login_uid"), None);
    assert_eq!(event["bee"].get("script"), None, "whether it is one is not known");
    assert_eq!(flags(&event), ["args_racy", "process_partial", "exe_as_given"]);

    let unknown = bench.event(&act(77, wire::KIND_OPEN, b"/etc/shadow", b""));
    let process = unknown["process"].as_object().unwrap();
    let keys: Vec<&str> = process.keys().map(String::as_str).collect();
    assert_eq!(keys, ["group", "name", "pid", "thread", "user"], "neither start nor identity");
    assert!(flags(&unknown).contains(&"process_unknown"), "{unknown}");
}

#[test]
fn an_end_without_a_status_has_none() {
    let mut bench = bench();
    let of = Header { hook: EXIT, ..header(4000, 25_000_000_000) };
    let of = Header { flags: of.flags | Flags::STATUS_UNKNOWN.0, ..of };
    let event = bench.event(&of.process(wire::KIND_EXIT, 0));
    assert_eq!(event["process"].get("exit_code"), None);
    assert_eq!(event["bee"].get("signal"), None);
    assert_eq!(flags(&event), ["process_partial", "exe_as_given", "status_unknown"]);
    assert_eq!(bench.step(&of.process(wire::KIND_EXIT, 0)).0, Fate::Duplicate);
}

#[test]
fn a_child_made_for_the_own_parent_runs_the_makers_program() {
    let mut bench = bench();
    bench.event(&exec(4000, 21_000_000_000, b"/bin/maker", b"maker\0"));
    let event = bench.event(&fork(5000, 4000, 22_000_000_000, true));
    assert_eq!(event["process"]["executable"], "/bin/maker");
    assert_eq!(event["process"]["parent"]["pid"], 3000);
    let event = bench.event(&fork(5001, 4000, 22_000_000_000, false));
    assert_eq!(event["process"]["parent"]["pid"], 4000);
}

#[test]
fn names_are_told_as_given_and_relative_ones_as_such() {
    let mut bench = bench();
    for (name, path, relative) in [
        (&b"/etc//./shadow"[..], "/etc/shadow", false),
        (b"/proc/self/root/etc/shadow", "/etc/shadow", false),
        (b"shadow", "shadow", true),
        (b"../etc/shadow", "../etc/shadow", true),
        (b"/proc/self/cwd/shadow", "shadow", true),
    ] {
        let event = bench.event(&act(4000, wire::KIND_OPEN, name, b""));
        assert_eq!(event["file"], json!({"path": path}), "{}", name.escape_ascii());
        let told = flags(&event).contains(&"path_relative");
        assert_eq!(told, relative, "{event}");
        assert!(flags(&event).contains(&"path_from_args"), "{event}");
    }
    assert_eq!(bench.step(&act(4000, wire::KIND_OPEN, b"x/shadow", b"")).0, Fate::NotWatched);
    assert_eq!(bench.step(&act(4000, wire::KIND_OPEN, b"public.key", b"")).0, Fate::NotWatched);
    let event = bench.event(&act(4000, wire::KIND_RENAME, b"a.key", b"/tmp/x"));
    assert_eq!((&event["file"]["path"], &event["bee"]["old_path"]), (&json!("/tmp/x"), &json!("a.key")));
    assert!(flags(&event).contains(&"path_relative"), "of one of both: {event}");
    let event = bench.event(&act(4000, wire::KIND_SYMLINK, b"d/link", b"../a.key"));
    assert_eq!(event["file"]["target_path"], "../a.key");
    // linkat(fd, "", …, AT_EMPTY_PATH): which file that is cannot be told.
    let event = bench.event(&act(4000, wire::KIND_LINK, b"", b"/tmp/b.key"));
    assert_eq!(event["file"]["path"], "/tmp/b.key");
}

#[test]
fn an_exclude_by_program_does_not_hold_for_a_name_anybody_can_give() {
    let mut bench = bench();
    bench.event(&exec(4000, 21_000_000_000, b"/usr/sbin/nginx", b"nginx\0"));
    let event = bench.event(&act(4000, wire::KIND_OPEN, b"/etc/shadow", b""));
    assert_eq!(event["process"]["executable"], "/usr/sbin/nginx");
    // By unit it does: the kernel says which cgroup it is.
    bench.step(&Header::default().cgroup(7, 0, b"/system.slice/backup.service\0"));
    assert_eq!(bench.step(&act(4000, wire::KIND_OPEN, b"/etc/shadow", b"")).0, Fate::Excluded);
}

#[test]
fn the_canary_is_believed_as_it_names_itself() {
    let mut bench = bench();
    bench.pipeline.canary = Canary { pid: 4000, ..Canary::default() };
    bench.pipeline.canary_path = b"/usr/sbin/bee-traced".to_vec();
    for (record, heard) in [
        (act(4000, wire::KIND_OPEN, b"/proc/self/exe", b""), true),
        (act(4000, wire::KIND_OPEN, b"/elsewhere", b""), false),
        (exec(4000, 21_000_000_000, b"/proc/self/exe", b"bee-traced\0"), true),
        (exec(4000, 21_000_000_000, b"/bin/sh", b"sh\0"), false),
    ] {
        bench.pipeline.canary.hooks.clear();
        assert_eq!(bench.step(&record).0, Fate::Canary);
        assert_eq!(!bench.pipeline.canary.hooks.is_empty(), heard);
    }
}
