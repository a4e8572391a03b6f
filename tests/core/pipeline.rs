//! `pipeline` and `enrich`: records made by hand go in, JSON comes out at a sink
//! that keeps it.

use std::cell::RefCell;
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use bee_trace::decide::Decide;
use bee_trace::enrich::Enrich;
use bee_trace::event::Event;
use bee_trace::pipeline::{Errand, Fate, Pipeline};
use bee_trace::shared::Counters;
use bee_trace::sink::{Sink, SinkCounters, json};
use bee_trace::wire;
use serde_json::{Value, json};

use crate::decide::configuration;
use crate::records::{Bytes, File, HOOK_EXEC, HOOK_EXIT, HOOK_FORK, HOOK_SYS_EXIT, Header, walked};
use crate::shared::memory;

const LISTS: &str = r#"
[process]
secret_env_patterns = ["*_TOKEN"]
[file]
watch = ["/etc/shadow", "*.key"]
watch_write = ["/etc/sudoers"]
ignore = ["public.key"]
[[exclude]]
exe = "/usr/sbin/nginx"
[[exclude]]
unit = "backup.service"
"#;

/// Keeps what it is given, as readers see it.
struct Keep(Rc<RefCell<Vec<Value>>>);

impl Sink for Keep {
    fn name(&self) -> &'static str {
        "keep"
    }
    fn start(&mut self) -> bee_trace::error::Result<()> {
        Ok(())
    }
    fn write(&mut self, event: &Event) {
        let mut line = Vec::new();
        json::render(event, "here", &mut line);
        self.0.borrow_mut().push(serde_json::from_slice(&line).unwrap());
    }
    fn configure(&mut self, _: &bee_trace::config::Output) {}
    fn counters(&self) -> SinkCounters {
        SinkCounters::default()
    }
    fn problem(&self) -> Option<String> {
        None
    }
    fn drain(&mut self, _: Instant) {}
}

/// A pipeline with two such sinks; process 1 is the daemon, 2 its scanner.
pub struct Bench {
    pub pipeline: Pipeline,
    pub events: [Rc<RefCell<Vec<Value>>>; 2],
    sequence: u64,
}

impl Bench {
    pub fn new() -> Self {
        let events = [(); 2].map(|()| Rc::new(RefCell::new(Vec::new())));
        let sinks = events.iter().map(|kept| Box::new(Keep(kept.clone())) as Box<dyn Sink>).collect();
        let mut enrich = Enrich::new(Path::new("/proc"), 1000).unwrap();
        enrich.users.refresh().unwrap();
        let stages = Counters::new(memory().as_fd()).unwrap();
        let pipeline = Pipeline::new(enrich, Decide::new(&configuration(LISTS)), sinks, stages, [1, 2]);
        Self { pipeline, events, sequence: 0 }
    }

    /// Puts a record in; what became of it, and the event where there is one.
    pub fn step(&mut self, record: &Bytes) -> (Fate, Option<Value>) {
        let before = self.pipeline.stages.read();
        let known = self.events.each_ref().map(|kept| kept.borrow().len());
        self.sequence += 8;
        self.pipeline.step(record, self.sequence);
        let after = self.pipeline.stages.read();
        let mut changed = Vec::new();
        for (kind, (before, after)) in before.iter().zip(&after).enumerate() {
            for (fate, (before, after)) in before.iter().zip(after).enumerate() {
                assert!(before <= after && after - before <= 1);
                if after > before {
                    changed.push((kind, fate));
                }
            }
        }
        let [(kind, fate)] = changed[..] else { panic!("not one fate: {changed:?}") };
        let fate =
            bee_trace::pipeline::FATES.iter().map(|row| row.0).find(|row| *row as usize == fate).unwrap();
        let stated = u16::from_ne_bytes(record[6..8].try_into().unwrap());
        assert_eq!(kind, if fate == Fate::Undecodable { 0 } else { stated.into() });
        let new = self.events.each_ref().map(|kept| kept.borrow().len());
        let delivered = usize::from(fate == Fate::Delivered);
        assert_eq!(new, known.map(|known| known + delivered), "{fate:?}");
        let event = (delivered == 1).then(|| self.events[0].borrow().last().unwrap().clone());
        assert_eq!(event, (delivered == 1).then(|| self.events[1].borrow().last().unwrap().clone()));
        if let Some(event) = &event {
            assert_eq!(event["event"]["sequence"], self.sequence);
        }
        (fate, event)
    }

    pub fn event(&mut self, record: &Bytes) -> Value {
        let (fate, event) = self.step(record);
        event.unwrap_or_else(|| panic!("no event but {fate:?}"))
    }

    fn fate(&mut self, record: &Bytes) -> Fate {
        self.step(record).0
    }

    fn errands(&mut self) -> Vec<Errand> {
        std::mem::take(&mut self.pipeline.errands)
    }
}

fn exec(path: &str, args: &[u8]) -> Bytes {
    Header::default().exec(&walked(path), b"", args, b"")
}

/// An open of a file by its own path.
fn open(path: &str) -> Bytes {
    let walk = walked(path);
    let file =
        File { inode: 50, device: 8 << 20 | 1, mode: 0o100_640, access: 1, walk: &walk, ..File::default() };
    Header::default().file(wire::KIND_OPEN, &file)
}

/// The flags of an event.
fn flags(event: &Value) -> Vec<&str> {
    event["bee"]["flags"]
        .as_array()
        .map_or(vec![], |list| list.iter().map(|flag| flag.as_str().unwrap()).collect())
}

#[test]
fn an_open_by_a_known_process_has_every_field() {
    let mut bench = Bench::new();
    let start = bench.pipeline.enrich.clock.wall(40_000_000_000);
    let parent =
        Header { tgid: 3000, tid: 3000, ppid: 1, start: 10_000_000_000, comm: b"bash", ..Header::default() };
    bench.step(&Header::default().cgroup(7, 0, b"/system.slice/ssh.service\0"));
    bench.event(&parent.exec(&walked("/usr/bin/bash"), b"", b"-bash\0", b""));
    bench.event(&exec("/usr/bin/cat", b"cat\0/etc/shadow\0"));
    let event = bench.event(&open("/etc/shadow"));

    let mut time = Vec::new();
    bee_trace::text::push_rfc3339(&mut time, start + 10_000_000_000);
    assert_eq!(event["@timestamp"], String::from_utf8(time).unwrap());
    assert_eq!(
        event["event"],
        json!({"kind": "alert", "category": ["file"], "type": ["access"], "action": "open", "outcome": "success",
               "severity": 73, "sequence": 32})
    );
    let process = &event["process"];
    assert_eq!(process["pid"], 4000);
    assert_eq!(process["thread"]["id"], 4001);
    assert_eq!(process["name"], "cat");
    assert_eq!(process["executable"], "/usr/bin/cat");
    assert_eq!(process["args"], json!(["cat", "/etc/shadow"]));
    assert_eq!(process["user"], json!({"id": "0", "name": "root", "effective": {"id": "0"}}));
    assert_eq!(process["parent"], json!({"pid": 3000, "name": "bash", "executable": "/usr/bin/bash"}));
    assert!(process["entity_id"].as_str().unwrap().ends_with("-4000-4000"), "start in ticks");
    assert_eq!(
        event["file"],
        json!({"path": "/etc/shadow", "inode": "50", "device": "8:1", "mode": "0640", "type": "file"})
    );
    assert_eq!(
        event["bee"],
        json!({"sensor": "file", "hook": "tp_btf/sys_exit", "tier": "tracepoint", "unit": "ssh.service", "access": "read"})
    );
}

#[test]
fn a_process_nobody_knows_is_told_as_such() {
    let mut bench = Bench::new();
    let event = bench.event(&open("/etc/shadow"));
    assert_eq!(flags(&event), ["process_unknown"]);
    assert_eq!(event["process"].get("executable"), None);
    bench.step(&exec("/bin/a", b"a\0"));
    let record = Header { exec_id: 9, ..Header::default() };
    let walk = walked("/etc/shadow");
    let event = bench.event(&record.file(wire::KIND_OPEN, &File { walk: &walk, ..File::default() }));
    assert_eq!(flags(&event), ["exec_missed"]);
    assert_eq!(event["process"].get("executable"), None, "what it ran before would be a lie");
}

#[test]
fn forks_inherit_and_exits_are_told_once() {
    let mut bench = Bench::new();
    bench.event(&exec("/bin/sh", b"sh\0"));
    let child = Header { tgid: 5000, tid: 5000, ppid: 4000, start: 45_000_000_000, ..Header::default() };
    let forked = bench.event(&child.fork());
    assert_eq!(forked["event"]["action"], "fork");
    assert_eq!(forked["process"]["pid"], 5000);
    assert_eq!(forked["process"]["executable"], "/bin/sh");
    assert_eq!(forked["process"]["args"], json!(["sh"]));
    assert_eq!(forked["process"]["parent"]["pid"], 4000);
    let ended = bench.event(&child.exit(3 << 8));
    assert_eq!(ended["process"]["exit_code"], 3);
    assert_eq!(ended["bee"].get("signal"), None);
    assert_eq!(bench.fate(&child.exit(3 << 8)), Fate::Duplicate);
    let killed = bench.event(&Header::default().exit(0x80 | 11));
    assert_eq!((killed["process"].get("exit_code"), &killed["bee"]["signal"]), (None, &json!(11)));
}

#[test]
fn an_exec_tells_its_script_secrets_and_origin() {
    let mut bench = Bench::new();
    let header = Header { flags: 1 << 10, ..Header::default() };
    let event = bench.event(&header.exec(
        &walked("/tmp/sh"),
        b"./run.sh\0",
        b"sh\0./run.sh\0",
        b"HOME\0GH_TOKEN\0\0",
    ));
    assert_eq!(event["bee"]["script"], "./run.sh");
    assert_eq!(event["bee"]["secret_env"], json!(["GH_TOKEN"]));
    assert_eq!(event["event"]["severity"], 21);
    assert_eq!(flags(&event), ["exe_tmpfs"]);
    // What was true of the image is told of what the process does next.
    assert_eq!(flags(&bench.event(&open("/etc/shadow"))), ["exe_tmpfs"]);
    let event = bench.event(&Header { flags: 1 << 8, ..Header::default() }.exec(b"memfd:x\0", b"", b"", b""));
    assert_eq!((event["event"]["severity"].clone(), event["process"].get("args")), (json!(73), None));
}

#[test]
fn refused_opens_are_joined_to_their_directory() {
    let mut bench = Bench::new();
    let walk = walked("/etc/ssl");
    let file = File { name: b"../shadow\0", walk: &walk, access: 2, ..File::default() };
    let event = bench.event(&Header { result: -13, ..Header::default() }.file(wire::KIND_OPEN, &file));
    assert_eq!(event["file"], json!({"path": "/etc/shadow"}));
    assert_eq!(event["event"]["code"], "EACCES");
    assert_eq!(event["event"]["outcome"], "failure");
    assert_eq!(event["event"]["severity"], 47);
    assert_eq!(event["bee"]["access"], "write");
    assert_eq!(flags(&event), ["path_from_args", "process_unknown"]);
}

#[test]
fn both_names_of_an_act_are_told() {
    let mut bench = Bench::new();
    let (walk, walk_2) = (walked("/tmp"), walked("/etc"));
    let file = File { name: b"new\0", walk: &walk, name_2: b"shadow\0", walk_2: &walk_2, ..File::default() };
    let renamed = bench.event(&Header::default().file(wire::KIND_RENAME, &file));
    assert_eq!(
        (&renamed["file"]["path"], &renamed["bee"]["old_path"]),
        (&json!("/etc/shadow"), &json!("/tmp/new"))
    );
    assert_eq!(bench.errands(), [Errand::Rescan(b"/etc/shadow".to_vec())]);
    let away = File { name: b"shadow\0", walk: &walk_2, name_2: b"mine\0", walk_2: &walk, ..File::default() };
    let linked = bench.event(&Header::default().file(wire::KIND_LINK, &away));
    assert_eq!(
        (&linked["file"]["path"], &linked["file"]["target_path"]),
        (&json!("/tmp/mine"), &json!("/etc/shadow"))
    );
    assert_eq!(bench.errands(), [Errand::Rescan(b"/tmp/mine".to_vec())]);
    // A refused one brings no name into being.
    bench.event(&Header { result: -1, ..Header::default() }.file(wire::KIND_LINK, &away));
    assert_eq!(bench.errands(), []);
    let symlink = File { name: b"x\0", walk: &walk, name_2: b"../etc/shadow\0", ..File::default() };
    let event = bench.event(&Header::default().file(wire::KIND_SYMLINK, &symlink));
    assert_eq!(
        (&event["file"]["path"], &event["file"]["target_path"]),
        (&json!("/tmp/x"), &json!("../etc/shadow"))
    );
    // One whose target could not be read counts by its own name alone.
    let unread = File { name: b"x.key\0", walk: &walk, ..File::default() };
    let event =
        bench.event(&Header { flags: 1 << 20, ..Header::default() }.file(wire::KIND_SYMLINK, &unread));
    assert!(flags(&event).contains(&"path_unreadable"));
}

#[test]
fn values_asked_for_are_told() {
    let mut bench = Bench::new();
    let walk = walked("/etc/shadow");
    let file = File { walk: &walk, inode: 5, mode: 0o100_000, ..File::default() };
    let mut act = |kind, file: &File<'_>| bench.event(&Header::default().file(kind, file));
    assert_eq!(act(wire::KIND_CHMOD, &file)["file"]["mode"], "0000");
    let owned = act(wire::KIND_CHOWN, &File { owner: (7, u32::MAX), ..file });
    assert_eq!((&owned["file"]["uid"], owned["file"].get("gid")), (&json!("7"), None));
    assert_eq!(act(wire::KIND_TRUNCATE, &File { value: 1 << 40, ..file })["file"]["size"], 1u64 << 40);
    let made = act(wire::KIND_MKNOD, &File { node: 1 << 20 | 1, mode: 0o020_600, ..file });
    assert_eq!((&made["bee"]["device_node"], &made["file"]["type"]), (&json!("1:1"), &json!("char")));
    assert_eq!(act(wire::KIND_DELETE, &file)["event"]["severity"], 47);
    assert_eq!(act(wire::KIND_CREATE, &File { access: 3, ..file })["bee"]["access"], "read-write");
}

#[test]
fn a_name_that_only_looked_watched_is_unlearned() {
    let mut bench = Bench::new();
    assert_eq!(bench.fate(&open("/home/public.key")), Fate::NotWatched);
    assert_eq!(bench.errands(), [Errand::Unlearn { inode: 50, device: 8 << 20 | 1 }]);
    let nameless = File { name: b"a\0", ..File::default() };
    assert_eq!(bench.fate(&Header::default().file(wire::KIND_DELETE, &nameless)), Fate::NotWatched);
    assert_eq!(bench.errands(), [], "there is no identity to forget");
}

#[test]
fn excludes_go_by_executable_and_unit_but_not_from_another_mount_namespace() {
    let mut bench = Bench::new();
    bench.step(&exec("/usr/sbin/nginx", b"nginx\0"));
    assert_eq!(bench.fate(&open("/a.key")), Fate::Excluded);
    let foreign = Header { mnt_ns: 1, ..Header::default() };
    let walk = walked("/a.key");
    let event = bench.event(&foreign.file(wire::KIND_OPEN, &File { walk: &walk, ..File::default() }));
    assert_eq!(flags(&event), ["other_mount_ns"], "a path in a container proves nothing");
    let backup = Header { tgid: 6000, cgroup: 8, ..Header::default() };
    bench.step(&Header::default().cgroup(8, 0, b"/system.slice/backup.service\0"));
    let record = backup.file(wire::KIND_OPEN, &File { walk: &walk, ..File::default() });
    assert_eq!(bench.fate(&record), Fate::Excluded);
    assert_eq!(bench.fate(&Header::default().cgroup(8, 1, b"/system.slice/backup.service\0")), Fate::Context);
    assert_eq!(bench.fate(&record), Fate::Excluded, "records under way still find its name");
}

#[test]
fn an_alias_is_known_by_what_the_scanner_showed() {
    let mut bench = Bench::new();
    let walk = walked("/etc/shadow");
    let shown = File { walk: &walk, value: 1, inode: 50, device: 8 << 20 | 1, ..File::default() };
    assert_eq!(bench.fate(&Header::default().file(wire::KIND_IDENTITY, &shown)), Fate::Context);
    let event = bench.event(&open("/tmp/alias"));
    assert_eq!(
        (&event["file"]["path"], &event["bee"]["known_as"]),
        (&json!("/tmp/alias"), &json!("/etc/shadow"))
    );
    assert!(flags(&event).contains(&"by_identity"));
    // Under its own name there is nothing to explain, whatever the kernel side went by.
    let walk = walked("/etc/shadow");
    let file = File { walk: &walk, inode: 50, device: 8 << 20 | 1, ..File::default() };
    let event = bench.event(&Header { flags: 1 << 16, ..Header::default() }.file(wire::KIND_OPEN, &file));
    assert_eq!((event["bee"].get("known_as"), flags(&event)), (None, vec!["process_unknown"]));
}

#[test]
fn of_two_names_the_one_watched_for_more_is_kept() {
    let shown = |path: &str| {
        let walk = walked(path);
        let file = File { walk: &walk, value: 3, inode: 50, device: 8 << 20 | 1, ..File::default() };
        Header::default().file(wire::KIND_IDENTITY, &file)
    };
    for order in [["/srv/a.key", "/etc/sudoers"], ["/etc/sudoers", "/srv/a.key"]] {
        let mut bench = Bench::new();
        for path in order {
            bench.step(&shown(path));
        }
        assert_eq!(bench.event(&open("/tmp/alias"))["bee"]["known_as"], "/srv/a.key", "{order:?}");
    }
    // A name that is no longer watched gives way.
    let mut bench = Bench::new();
    bench.step(&shown("/srv/a.key"));
    bench.pipeline.decide = Decide::new(&configuration("[file]\nwatch = [\"/srv/b\"]\n"));
    bench.step(&shown("/srv/b"));
    assert_eq!(bench.event(&open("/tmp/alias"))["bee"]["known_as"], "/srv/b");
}

#[test]
fn a_created_file_is_known_by_its_identity_at_once() {
    let mut bench = Bench::new();
    let walk = walked("/srv/new.key");
    let file = File { walk: &walk, inode: 50, device: 8 << 20 | 1, ..File::default() };
    assert_eq!(bench.event(&Header::default().file(wire::KIND_CREATE, &file))["event"]["action"], "create");
    assert_eq!(bench.event(&open("/tmp/alias"))["bee"]["known_as"], "/srv/new.key");
}

#[test]
fn devices_are_known_by_number() {
    let mut bench = Bench::new();
    let (shown, node) = (walked("/dev/sda.key"), walked("/tmp/node"));
    let taught = File { walk: &shown, value: 1, node: 8 << 20, inode: 3, ..File::default() };
    assert_eq!(bench.fate(&Header::default().file(wire::KIND_IDENTITY, &taught)), Fate::Context);
    let file = File { walk: &node, node: 8 << 20, inode: 99, mode: 0o060_600, access: 3, ..File::default() };
    let event = bench.event(&Header::default().file(wire::KIND_OPEN, &file));
    assert_eq!(
        (&event["bee"]["known_as"], &event["bee"]["device_node"]),
        (&json!("/dev/sda.key"), &json!("8:0"))
    );
    let other = File { node: 8 << 20 | 1, ..file };
    assert_eq!(bench.fate(&Header::default().file(wire::KIND_OPEN, &other)), Fate::NotWatched);
}

#[test]
fn a_marked_mount_point_is_passed_on() {
    let mut bench = Bench::new();
    let walk = walked("/srv");
    let mark = File { walk: &walk, value: wire::WATCH_MOUNT, device: 77, ..File::default() };
    assert_eq!(bench.fate(&Header::default().file(wire::KIND_IDENTITY, &mark)), Fate::Context);
    assert_eq!(bench.errands(), [Errand::Complete { point: b"/srv".to_vec(), device: 77 }]);
}

#[test]
fn the_daemons_own_acts_are_no_events() {
    let mut bench = Bench::new();
    let walk = walked("/etc/shadow");
    for tgid in [1, 2] {
        let own = Header { tgid, ..Header::default() };
        assert_eq!(
            bench.fate(&own.file(wire::KIND_OPEN, &File { walk: &walk, ..File::default() })),
            Fate::Own
        );
        assert_eq!(bench.fate(&own.fork()), Fate::Own);
        assert_eq!(bench.fate(&own.exec(&walk, b"", b"", b"")), Fate::Own);
        assert_eq!(bench.fate(&own.exit(0)), Fate::Own);
    }
}

#[test]
fn the_canary_is_heard_and_kept_out_of_the_output() {
    let mut bench = Bench::new();
    bench.pipeline.canary.pid = 4000;
    bench.pipeline.canary_path = b"/usr/bin/bee-traced".to_vec();
    let child = Header::default();
    assert_eq!(bench.fate(&child.fork()), Fate::Canary);
    assert_eq!(bench.fate(&open("/etc/shadow")), Fate::Canary);
    assert_eq!(bench.pipeline.canary.hooks, [HOOK_FORK], "garbage in the record proves nothing");
    assert_eq!(bench.fate(&open("/usr/bin/bee-traced")), Fate::Canary);
    assert_eq!(bench.fate(&exec("/usr/bin/other", b"")), Fate::Canary);
    assert_eq!(bench.pipeline.canary.hooks, [HOOK_FORK, HOOK_SYS_EXIT]);
    assert_eq!(bench.fate(&exec("/usr/bin/bee-traced", b"")), Fate::Canary);
    assert_eq!(bench.fate(&child.exit(0)), Fate::Canary);
    let all = [HOOK_FORK, HOOK_SYS_EXIT, HOOK_EXEC, HOOK_EXIT];
    assert_eq!(bench.pipeline.canary.hooks, all);
    assert_ne!(bench.fate(&Header { tgid: 4001, ..child }.fork()), Fate::Canary);
    assert_eq!(bench.pipeline.canary.hooks, all, "another process proves nothing");
}

#[test]
fn bytes_that_are_no_record_are_counted_with_their_reason() {
    let mut bench = Bench::new();
    let record = open("/etc/shadow");
    assert_eq!(bench.pipeline.take_undecodable(), None);
    assert_eq!(bench.fate(&record.with(4, &[9, 0])), Fate::Undecodable);
    assert_eq!(bench.pipeline.take_undecodable(), Some(bee_trace::decode::Undecodable::Version(9)));
    assert_eq!(bench.pipeline.take_undecodable(), None, "told once");
}

#[test]
fn results_and_hooks_no_kernel_gives_are_shown_as_unknown() {
    let mut bench = Bench::new();
    let walk = walked("/etc/shadow");
    let odd = Header { result: i32::MIN, hook: 999, flags: u64::MAX, ..Header::default() };
    let event = bench.event(&odd.file(wire::KIND_OPEN, &File { walk: &walk, ..File::default() }));
    assert_eq!(event["event"]["outcome"], "failure");
    assert_eq!((&event["bee"]["hook"], &event["bee"]["tier"]), (&json!("unknown"), &json!("unknown")));
}
