//! What can be done, and the words for it: one table for decoding,
//! configuration, documentation and sinks.

/// What was done: `event.action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// A new program image (`execve`, `execveat`).
    Exec,
    /// A new process; threads are not reported.
    Fork,
    /// The last thread of a process ended.
    Exit,
    /// A watched file was opened, or its opening was refused.
    Open,
    /// A watched name was created (open with `O_CREAT`, `creat`).
    Create,
    /// A watched name was removed (`unlink`, `rmdir`).
    Delete,
    /// A watched name was renamed, or something was renamed to one.
    Rename,
    /// A hard link was made to or under a watched name.
    Link,
    /// A symbolic link was made to or under a watched name.
    Symlink,
    /// Mode of a watched file changed.
    Chmod,
    /// Owner or group of a watched file changed.
    Chown,
    /// Length of a watched file changed (`truncate`, `ftruncate`).
    Truncate,
    /// A device node for a watched device, or a node under a watched name.
    Mknod,
    /// A connection was asked for, or the socket of a process given the address it sends to.
    Connect,
    /// Datagrams were sent.
    Send,
    /// A connection was accepted.
    Accept,
    /// A socket waits for connections.
    Listen,
    /// A socket was made that is neither TCP nor UDP.
    Socket,
    /// A process was attached to by `ptrace`, or asked its parent to.
    Ptrace,
    /// Another process's memory was read (`process_vm_readv`).
    VmRead,
    /// Another process's memory was written (`process_vm_writev`).
    VmWrite,
    /// `/proc/PID/mem` of another process was opened.
    ProcMem,
    /// `/proc/PID/environ` of another process was opened.
    ProcEnviron,
    /// `/proc/PID/maps`, `smaps`, `smaps_rollup` or `numa_maps` of another process was opened.
    ProcMaps,
    /// A descriptor was taken from another process (`pidfd_getfd`).
    PidfdGetfd,
    /// A kernel module was loaded, or its loading refused.
    ModuleLoad,
    /// Another process loaded or attached an eBPF program, or reached for one that is there.
    Bpf,
    /// A process set up io_uring.
    IoUring,
    /// A process set or adjusted the clock.
    TimeSet,
    /// A process sent the daemon a signal.
    Kill,
    /// Events were lost: how many, which kind, why.
    Loss,
    /// The daemon began to watch.
    Start,
    /// The daemon stopped watching.
    Stop,
}

/// One row per action: all that documentation, decoding, configuration and
/// sinks need to know of it.
pub struct ActionFacts {
    /// The action itself; the table is in the order of the enum.
    pub action: Action,
    /// `event.action`, and the word used in the configuration.
    pub name: &'static str,
    /// `event.kind`: `event`, `alert`, `state` or `metric`.
    pub kind: &'static str,
    /// `event.category`.
    pub category: &'static [&'static str],
    /// `event.type`.
    pub types: &'static [&'static str],
    /// `bee.sensor`: the family that reports it.
    pub sensor: &'static str,
    /// One sentence for `docs/events.md`.
    pub meaning: &'static str,
    /// `MESSAGE_ID` of such events in the journal, 32 hex digits.
    message_id: [u8; 32],
}

/// Every action with its ECS words.
pub const ACTIONS: &[ActionFacts] = &[
    facts(Action::Exec, "exec", "event", &["process"], &["start"], "process", "a process executed a program"),
    facts(Action::Fork, "fork", "event", &["process"], &["start"], "process", "a process was created"),
    facts(Action::Exit, "exit", "event", &["process"], &["end"], "process", "a process ended"),
    facts(
        Action::Open,
        "open",
        "alert",
        &["file"],
        &["access"],
        "file",
        "a watched file was opened, or an attempt was refused",
    ),
    facts(
        Action::Create,
        "create",
        "alert",
        &["file"],
        &["creation"],
        "file",
        "a file with a watched name was created",
    ),
    facts(Action::Delete, "delete", "alert", &["file"], &["deletion"], "file", "a watched name was removed"),
    facts(
        Action::Rename,
        "rename",
        "alert",
        &["file"],
        &["change"],
        "file",
        "a watched name was renamed, or replaced by a rename",
    ),
    facts(
        Action::Link,
        "link",
        "alert",
        &["file"],
        &["creation"],
        "file",
        "a hard link to or under a watched name was made",
    ),
    facts(
        Action::Symlink,
        "symlink",
        "alert",
        &["file"],
        &["creation"],
        "file",
        "a symbolic link to or under a watched name was made",
    ),
    facts(
        Action::Chmod,
        "chmod",
        "alert",
        &["file"],
        &["change"],
        "file",
        "the mode of a watched file was changed",
    ),
    facts(
        Action::Chown,
        "chown",
        "alert",
        &["file"],
        &["change"],
        "file",
        "the owner of a watched file was changed",
    ),
    facts(
        Action::Truncate,
        "truncate",
        "alert",
        &["file"],
        &["change"],
        "file",
        "the length of a watched file was changed",
    ),
    facts(
        Action::Mknod,
        "mknod",
        "alert",
        &["file"],
        &["creation"],
        "file",
        "a device node for a watched device was made",
    ),
    facts(
        Action::Connect,
        "connect",
        "event",
        &["network"],
        &["connection", "start"],
        "network",
        "a process connected to an address or to a local socket, or tried",
    ),
    facts(
        Action::Send,
        "send",
        "event",
        &["network"],
        &["connection", "info"],
        "network",
        "a process sent datagrams; one event for each destination and `network.window`",
    ),
    facts(
        Action::Accept,
        "accept",
        "event",
        &["network"],
        &["connection", "start"],
        "network",
        "a process accepted a connection",
    ),
    facts(
        Action::Listen,
        "listen",
        "event",
        &["network"],
        &["start"],
        "network",
        "a process began to wait for connections",
    ),
    facts(
        Action::Socket,
        "socket",
        "event",
        &["network"],
        &["start"],
        "network",
        "a process made a socket of a kind that is neither TCP nor UDP, or tried",
    ),
    facts(
        Action::Ptrace,
        "ptrace",
        "alert",
        &["process"],
        &["access"],
        "memory",
        "a process was attached to by ptrace, or asked its parent to trace it",
    ),
    facts(
        Action::VmRead,
        "vm-read",
        "alert",
        &["process"],
        &["access"],
        "memory",
        "memory of another process was read by process_vm_readv",
    ),
    facts(
        Action::VmWrite,
        "vm-write",
        "alert",
        &["process"],
        &["change"],
        "memory",
        "memory of another process was written by process_vm_writev",
    ),
    facts(
        Action::ProcMem,
        "proc-mem",
        "alert",
        &["process"],
        &["access"],
        "memory",
        "the memory of another process was opened: /proc/PID/mem",
    ),
    facts(
        Action::ProcEnviron,
        "proc-environ",
        "alert",
        &["process"],
        &["access"],
        "memory",
        "the environment of another process was opened: /proc/PID/environ",
    ),
    facts(
        Action::ProcMaps,
        "proc-maps",
        "alert",
        &["process"],
        &["access"],
        "memory",
        "the address map of another process was opened: maps, smaps, smaps_rollup or numa_maps of /proc/PID",
    ),
    facts(
        Action::PidfdGetfd,
        "pidfd-getfd",
        "alert",
        &["process"],
        &["access"],
        "memory",
        "a descriptor was taken from another process by pidfd_getfd",
    ),
    facts(
        Action::ModuleLoad,
        "module-load",
        "alert",
        &["driver"],
        &["start"],
        "kernel",
        "a kernel module was loaded, or its loading was refused",
    ),
    facts(
        Action::Bpf,
        "bpf",
        "alert",
        &["configuration"],
        &["change"],
        "kernel",
        "another process loaded or attached an eBPF program, or reached for one that is there",
    ),
    facts(
        Action::IoUring,
        "io-uring",
        "alert",
        &["process"],
        &["change"],
        "kernel",
        "a process set up io_uring, by which it can do what some tiers do not see",
    ),
    facts(
        Action::TimeSet,
        "time-set",
        "alert",
        &["configuration"],
        &["change"],
        "kernel",
        "a process set the clock, or adjusted it",
    ),
    facts(
        Action::Kill,
        "kill",
        "alert",
        &["process"],
        &["access"],
        "kernel",
        "a process sent the daemon, or every process, a signal",
    ),
    facts(
        Action::Loss,
        "loss",
        "metric",
        &["host"],
        &["error"],
        "bee-traced",
        "events were lost; says how many, of which kind and why",
    ),
    facts(Action::Start, "start", "state", &["host"], &["start"], "bee-traced", "the daemon began to watch"),
    facts(Action::Stop, "stop", "state", &["host"], &["end"], "bee-traced", "the daemon stopped watching"),
];

const fn facts(
    action: Action,
    name: &'static str,
    kind: &'static str,
    category: &'static [&'static str],
    types: &'static [&'static str],
    sensor: &'static str,
    meaning: &'static str,
) -> ActionFacts {
    ActionFacts { action, name, kind, category, types, sensor, meaning, message_id: message_id(name) }
}

/// The id that the journal knows an action by. It must never change and must be nobody
/// else's, so it follows from the name: the 128-bit FNV-1a hash of `bee-traced/` and the
/// name, as a UUID of version 8 (RFC 9562, section 5.8).
const fn message_id(name: &str) -> [u8; 32] {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let mut part = 0;
    while part < 2 {
        let bytes = if part == 0 { b"bee-traced/".as_slice() } else { name.as_bytes() };
        let mut at = 0;
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u128).wrapping_mul(PRIME);
            at += 1;
        }
        part += 1;
    }
    let version = 8_u128 << 76 | 2_u128 << 62;
    let id = hash & !(0xf_u128 << 76 | 3_u128 << 62) | version;
    let mut text = [0; 32];
    let mut at = 0;
    while at < 32 {
        text[at] = b"0123456789abcdef"[(id >> (124 - 4 * at) & 15) as usize];
        at += 1;
    }
    text
}

impl ActionFacts {
    /// `MESSAGE_ID` of such events in the journal: 32 lower-case hex digits.
    pub fn message_id(&self) -> &str {
        std::str::from_utf8(&self.message_id).unwrap_or_default()
    }
}

impl Action {
    /// The row of this action.
    pub fn facts(self) -> &'static ActionFacts {
        &ACTIONS[self as usize]
    }
    /// `event.action`.
    pub fn name(self) -> &'static str {
        self.facts().name
    }
    /// The action called `name`, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        ACTIONS.iter().find(|facts| facts.name == name).map(|facts| facts.action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_its_place_in_the_table_its_name_and_its_id() {
        let mut ids = std::collections::BTreeSet::new();
        for (at, row) in ACTIONS.iter().enumerate() {
            assert_eq!(row.action as usize, at, "{}", row.name);
            assert_eq!(Action::from_name(row.name), Some(row.action));
            let same =
                facts(row.action, row.name, row.kind, row.category, row.types, row.sensor, row.meaning);
            assert_eq!(same.message_id(), row.action.facts().message_id(), "{}", row.name);
            assert!(ids.insert(row.message_id()), "{}: an id that another has", row.name);
        }
        assert_eq!(Action::from_name("Exec"), None);
        // What journals out there are searched by.
        assert_eq!(Action::Exec.facts().message_id(), EXEC);
    }

    /// FNV-1a-128 of `bee-traced/exec` with version 8 and variant 2.
    const EXEC: &str = "d0ba2f95889f8839a3a17f74f5cae54b";
}
