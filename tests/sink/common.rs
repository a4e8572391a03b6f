//! What the tests share: sample events, numbered lines, hostile bytes.

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bee_trace::config::{Format, Output};
use bee_trace::event::{
    ACTIONS, Access, Action, Args, Body, Device, Endpoint, EntityId, Event, Exec, File, Flags, Kernel, Loss,
    Memory, Network, Outcome, Parent, Process, Severity, Target, User,
};
use bee_trace::sink::{Opening, SinkCounters, json};
use serde_json::Value;

/// A directory of our own that goes when the test ends.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
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

pub fn process() -> Process<'static> {
    Process {
        pid: 4711,
        tid: 4712,
        entity_id: Some(EntityId { boot: 0xab, pid: 4711, start_ticks: 987 }),
        start: 1_700_000_000_000_000_001,
        name: Cow::Borrowed(b"cat"),
        executable: Some(b"/usr/bin/cat"),
        args: Args { bytes: b"cat\0/etc/shadow\0" },
        user: User { id: 0, name: Some("root") },
        gid: 0,
        euid: Some(0),
        login_uid: Some(1000),
        parent: Parent { pid: 4700, name: Cow::Borrowed(b"bash"), executable: Some(b"/usr/bin/bash") },
        unit: Some("ssh.service"),
        container_id: None,
    }
}

pub fn event(action: Action, body: Body<'static>) -> Event<'static> {
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

pub fn shadow() -> File<'static> {
    File {
        path: Cow::Borrowed(b"/etc/shadow"),
        inode: 77,
        device: Some(Device { major: 8, minor: 1 }),
        mode: Some(0o100_640),
        access: Some(Access::Read),
        ..File::default()
    }
}

pub fn connection() -> Network<'static> {
    let end = |ip: [u8; 4], port| Some(Endpoint { ip: ip.into(), port });
    Network {
        source: end([192, 0, 2, 1], 40_000),
        destination: end([198, 51, 100, 7], 443),
        path: Some(Cow::Borrowed(b"/run/x")),
        family: 2,
        protocol: Some((1, 6)),
        count: Some(17),
        egress: Some(true),
    }
}

/// A seize of a vault's.
pub fn memory() -> Memory<'static> {
    Memory {
        request: Some("PTRACE_SEIZE"),
        access: None,
        target: Target {
            pid: Some(812),
            name: Cow::Borrowed(b"vault"),
            executable: Some(b"/opt/vault"),
            user: Some(User { id: 0, name: Some("root") }),
            start: 1,
            entity_id: Some(EntityId { boot: 1, pid: 812, start_ticks: 7 }),
        },
    }
}

/// All that a kernel event can have, which none has at once.
pub fn kernel() -> Kernel<'static> {
    Kernel {
        request: Some("BPF_PROG_LOAD"),
        module: Some(Cow::Borrowed(b"nfs")),
        object_type: Some(2),
        object_id: Some(77),
        entries: Some(8),
        signal: Some(15),
        target: Some(memory().target),
    }
}

/// One event of every action, each field filled somewhere.
pub fn samples() -> Vec<Event<'static>> {
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
                Action::Ptrace
                | Action::VmRead
                | Action::VmWrite
                | Action::ProcMem
                | Action::ProcEnviron
                | Action::ProcMaps
                | Action::PidfdGetfd => Body::Memory(memory()),
                Action::ModuleLoad | Action::Bpf | Action::IoUring | Action::TimeSet | Action::Kill => {
                    Body::Kernel(kernel())
                }
                Action::Start | Action::Stop => Body::Note("watching".into()),
                Action::Connect | Action::Send | Action::Accept | Action::Listen | Action::Socket => {
                    Body::Network(connection())
                }
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

pub fn rendered(event: &Event) -> Value {
    let mut out = Vec::new();
    json::render(event, "pi", &mut out);
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1, "{}", String::from_utf8_lossy(&out));
    assert_eq!(out.last(), Some(&b'\n'));
    serde_json::from_slice(&out).unwrap()
}

/// xorshift64*; the seed is printed by the assertion that fails.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// Bytes with many of those that are special somewhere.
    pub fn bytes(&mut self) -> Vec<u8> {
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

/// A numbered line; lengths differ so that chunk ends fall everywhere.
pub fn numbered(number: u64) -> Vec<u8> {
    let filler = "f".repeat((number * 37 % 211) as usize);
    format!("{{\"n\":{number},\"f\":\"{filler}\"}}\n").into_bytes()
}

/// The numbers of all whole lines; a line that was cut counts as none.
pub fn numbers(text: &[u8]) -> Vec<u64> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok()?["n"].as_u64())
        .collect()
}

/// Reading and writing end.
pub fn pipe() -> (fs::File, fs::File) {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

/// Everything, nowhere in particular.
pub fn output() -> Output {
    let actions: Vec<Action> = ACTIONS.iter().map(|facts| facts.action).collect();
    Output {
        to: Vec::new(),
        format: Format::Json,
        file: None,
        rotate_mib: 1,
        rotate_keep: 1,
        journal_actions: actions.clone(),
        actions,
        journal_fold_seconds: 0,
    }
}

/// As a shell would start it.
pub fn opening() -> Opening<'static> {
    Opening {
        host: "pi",
        queue_bytes: 4 << 20,
        terminal: false,
        under_systemd: false,
        journal: std::path::Path::new("/nonexistent/socket"),
    }
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

pub fn assert_exact(counters: SinkCounters, offered: u64) {
    assert_eq!(counters.offered, offered);
    assert_eq!(
        counters.accepted + counters.queue_full + counters.refused + counters.folded,
        offered,
        "every line in exactly one counter: {counters:?}"
    );
}

/// Runs `body` on a thread that is user nobody without any capability, if we are
/// root. The raw system call changes that thread (and its children) only.
pub fn unprivileged(body: impl FnOnce() + Send + 'static) {
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

pub const NOBODY: u32 = 65534;
