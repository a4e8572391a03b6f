//! Records of the memory sensor, all the way to JSON; and how grave they are.

use bee_trace::decide::{Decide, MemoryFacts, Verdict};
use bee_trace::event::{Action, Flags, Severity};
use bee_trace::pipeline::Fate;
use bee_trace::wire;
use serde_json::{Value, json};

use crate::decide::configuration;
use crate::pipeline::Bench;
use crate::records::{Header, Memory, walked};

/// A process that runs /usr/bin/vault, with the pid 5000.
const VAULT: Header = Header {
    time: 45_000_000_000,
    start: 41_000_000_000,
    cgroup: 7,
    exec_id: 3,
    flags: 0,
    hook: 1,
    result: 0,
    tgid: 5000,
    tid: 5000,
    ppid: 1,
    uid: 0,
    gid: 0,
    euid: 0,
    login_uid: u32::MAX,
    mnt_ns: 0,
    comm: b"vault",
};

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.event(&VAULT.exec(&walked("/usr/bin/vault"), b"", b"vault\0", b""));
    bench
}

/// What the kernel side read of it.
const READ: Memory<'_> = Memory {
    start: 41_000_000_000,
    tgid: 5000,
    uid: 0,
    number: 77,
    request: 0,
    access: 0,
    comm: b"vault",
    name: b"",
};

fn target(event: &Value) -> &Value {
    &event["bee"]["target"]["process"]
}

#[test]
fn what_the_record_says_of_the_target_is_told_with_what_the_table_knows() {
    let mut bench = bench();
    let actor = Header::default();
    let event = bench.event(&actor.memory(wire::KIND_PTRACE, &Memory { request: 16, ..READ }));
    assert_eq!(event["event"]["action"], "ptrace");
    assert_eq!(event["bee"]["request"], "PTRACE_ATTACH");
    assert_eq!(event["process"]["pid"], 4000);
    let told = target(&event);
    assert_eq!(told["pid"], 5000);
    assert_eq!((&told["name"], &told["executable"]), (&json!("vault"), &json!("/usr/bin/vault")));
    assert_eq!(told["user"], json!({"id": "0", "name": "root"}));
    assert!(told["entity_id"].as_str().unwrap().ends_with("-5000-4100"), "{told}");
    assert!(told["start"].is_string(), "{told}");
    assert!(event["bee"].get("flags").is_none_or(|flags| !flags.to_string().contains("target")), "{event}");
    // Another one had this number before.
    let event = bench.event(&actor.memory(wire::KIND_VM_READ, &Memory { start: 9_000_000_000, ..READ }));
    assert!(target(&event).get("executable").is_none(), "{event}");
    assert!(event["bee"]["flags"].to_string().contains("target_unknown"), "{event}");
}

#[test]
fn a_number_is_looked_up_and_says_that_it_is_one() {
    let mut bench = bench();
    let actor = Header { flags: Flags::PROCESS_PARTIAL.0, ..Header::default() };
    let by_number = Memory { number: 5000, uid: u32::MAX, ..Memory::default() };
    let event = bench.event(&actor.memory(wire::KIND_VM_WRITE, &by_number));
    assert_eq!(target(&event)["executable"], "/usr/bin/vault");
    assert!(event["bee"]["flags"].to_string().contains("target_as_given"), "{event}");
    let by_name = Memory { name: b"/proc/5000/mem\0", request: 1, access: 2, ..by_number };
    let event = bench.event(&actor.memory(wire::KIND_PROC_MEM, &Memory { number: 0, ..by_name }));
    assert_eq!(target(&event)["pid"], 5000);
    assert_eq!((&event["bee"]["request"], &event["bee"]["access"]), (&json!("mem"), &json!("write")));
    // Its end comes first, and is told with it.
    bench.event(&Header { time: 46_000_000_000, ..VAULT }.exit(0));
    let event = bench.event(&actor.memory(wire::KIND_VM_READ, &by_number));
    assert_eq!(target(&event)["name"], "vault");
    assert!(event["bee"]["flags"].to_string().contains("target_exited"), "{event}");
}

#[test]
fn what_is_the_own_or_nobodys_is_no_event() {
    let mut bench = bench();
    let actor = Header { flags: Flags::PROCESS_PARTIAL.0, ..Header::default() };
    let number = |number| Memory { number, ..Memory::default() };
    let named = |name| Memory { name, request: 3, ..Memory::default() };
    for (kind, memory) in [
        (wire::KIND_VM_READ, number(4000)),
        (wire::KIND_PTRACE, Memory { request: 16, ..number(4001) }),
        (wire::KIND_PROC_MAPS, named(b"/proc/self/maps\0")),
        (wire::KIND_PROC_MAPS, named(b"/proc/4000/maps\0")),
        (wire::KIND_PROC_MAPS, named(b"/proc/4000/task/4001/maps\0")),
        (wire::KIND_PROC_MAPS, named(b"/home/a/maps\0")),
        (wire::KIND_PROC_MAPS, named(b"maps\0")),
    ] {
        assert_eq!(bench.step(&actor.memory(kind, &memory)).0, Fate::NotWatched, "{kind} {}", memory.number);
    }
    let nobody = Header { result: -libc::ESRCH, ..actor };
    assert_eq!(bench.step(&nobody.memory(wire::KIND_VM_READ, &number(6000))).0, Fate::NotWatched);
    // Somebody who is not known is somebody.
    let event = bench.event(&actor.memory(wire::KIND_VM_READ, &number(6000)));
    assert_eq!(*target(&event), json!({"pid": 6000}));
    let own = Header { tgid: 1, tid: 1, ..actor };
    assert_eq!(bench.step(&own.memory(wire::KIND_VM_READ, &number(5000))).0, Fate::Own);
}

#[test]
fn a_descriptor_of_nobody_known_is_told_without_a_target() {
    let mut bench = bench();
    let actor = Header { flags: Flags::PROCESS_PARTIAL.0, ..Header::default() };
    let event = bench.event(&actor.memory(wire::KIND_PIDFD_GETFD, &Memory::default()));
    assert!(event["bee"].get("target").is_none(), "{event}");
    assert!(event["bee"]["flags"].to_string().contains("target_unknown"), "{event}");
}

#[test]
fn how_grave_it_is() {
    let facts = |action| MemoryFacts {
        action,
        traceme: false,
        refused: false,
        on_daemon: false,
        of_init: false,
        executable: Some(b"/usr/bin/gdb"),
        unit: None,
    };
    let plain = Decide::new(&configuration(""));
    for (action, done, refused, daemon) in [
        (Action::Ptrace, Severity::High, Severity::Medium, Severity::Critical),
        (Action::VmRead, Severity::High, Severity::Medium, Severity::Critical),
        (Action::VmWrite, Severity::High, Severity::Medium, Severity::Critical),
        (Action::ProcMem, Severity::High, Severity::Medium, Severity::Critical),
        (Action::PidfdGetfd, Severity::High, Severity::Medium, Severity::Critical),
        (Action::ProcEnviron, Severity::Medium, Severity::Medium, Severity::Medium),
        (Action::ProcMaps, Severity::Low, Severity::Low, Severity::Medium),
    ] {
        let facts = facts(action);
        assert_eq!(plain.memory(&facts), Verdict::Deliver(done), "{action:?}");
        let refused_one = MemoryFacts { refused: true, ..facts };
        assert_eq!(plain.memory(&refused_one), Verdict::Deliver(refused), "{action:?}");
        let on_daemon = MemoryFacts { on_daemon: true, refused: true, ..facts };
        assert_eq!(plain.memory(&on_daemon), Verdict::Deliver(daemon), "{action:?}");
    }
    let of_init = |action| plain.memory(&MemoryFacts { of_init: true, ..facts(action) });
    assert_eq!(of_init(Action::ProcEnviron), Verdict::NotWatched);
    assert_eq!(of_init(Action::ProcMem), Verdict::Deliver(Severity::High));
    let traceme = MemoryFacts { traceme: true, ..facts(Action::Ptrace) };
    assert_eq!(plain.memory(&traceme), Verdict::Deliver(Severity::Low));
}

#[test]
fn an_exclude_must_name_the_action_and_no_files() {
    let excluded = |rule: &str| {
        let decide = Decide::new(&configuration(&format!("[[exclude]]\nexe = \"/usr/bin/gdb\"\n{rule}")));
        decide.memory(&MemoryFacts {
            action: Action::Ptrace,
            traceme: false,
            refused: false,
            on_daemon: false,
            of_init: false,
            executable: Some(b"/usr/bin/gdb"),
            unit: Some("a.service"),
        }) == Verdict::Excluded
    };
    assert!(!excluded(""));
    assert!(!excluded("paths = [\"*.key\"]"));
    assert!(!excluded("actions = [\"vm-read\"]"));
    assert!(excluded("actions = [\"vm-read\", \"ptrace\"]"));
    assert!(excluded("actions = [\"ptrace\"]\nunit = \"a.service\""));
    assert!(!excluded("actions = [\"ptrace\"]\nunit = \"b.service\""));
    assert!(!excluded("actions = [\"ptrace\"]\npaths = [\"*.key\"]"));
}
