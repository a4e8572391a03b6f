//! What an event is once it has left the kernel: pure data, borrowed from the
//! record, the process table and the host facts. Nothing here does I/O; every
//! sink reads this and nothing else.
//!
//! Names follow the Elastic Common Schema where it has one.

use std::borrow::Cow;

/// Bytes as the kernel gave them: a path, a name, an argument. They are not
/// promised to be UTF-8; a sink escapes what it cannot print.
pub type Text<'a> = Cow<'a, [u8]>;

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
    ActionFacts { action, name, kind, category, types, sensor, meaning }
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

/// How much a reader should care; the number is `event.severity` and follows
/// Elastic's risk scores (21, 47, 73, 99).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Ordinary life of the machine.
    Info = 1,
    /// Worth a line.
    Low = 21,
    /// Worth a look.
    Medium = 47,
    /// Someone should look soon.
    High = 73,
    /// Someone should look now.
    Critical = 99,
}

impl Severity {
    /// The word used in the configuration and in the terminal view.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Whether the act succeeded: `event.outcome` and `event.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused or failed with this errno (positive).
    Failure(i32),
}

/// Facts about the evidence itself, `bee.flags`: what could not be read, and
/// what the reader should know before trusting a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u64);

macro_rules! flags {
    ($($(#[doc = $doc:literal])+ $name:ident = $bit:literal, $text:literal;)+) => {
        impl Flags {
            $($(#[doc = $doc])+ pub const $name: Flags = Flags(1 << $bit);)+
        }
        /// Every flag: its bit, the word in `bee.flags`, and what it means.
        pub const FLAGS: &[(Flags, &str, &str)] = &[$((Flags::$name, $text, concat!($($doc),+)),)+];
    };
}

flags! {
    /// The path did not fit; its beginning is missing.
    PATH_TRUNCATED = 0, "path_truncated";
    /// The path could not be followed up to the root of its mount namespace.
    PATH_UNRESOLVED = 1, "path_unresolved";
    /// The path is what the caller gave, joined to its directory; symbolic links on the way are not resolved.
    PATH_FROM_ARGS = 2, "path_from_args";
    /// The file has no name any more.
    FILE_DELETED = 3, "file_deleted";
    /// argv was longer than 4 KiB; its end is missing.
    ARGS_TRUNCATED = 4, "args_truncated";
    /// argv could not be read.
    ARGS_UNREADABLE = 5, "args_unreadable";
    /// Only the first 8 KiB of the environment were searched.
    ENV_TRUNCATED = 6, "env_truncated";
    /// The environment could not be read.
    ENV_UNREADABLE = 7, "env_unreadable";
    /// The program is a memfd: it has never been in a file system.
    EXE_MEMFD = 8, "exe_memfd";
    /// The program's file was deleted.
    EXE_DELETED = 9, "exe_deleted";
    /// The program lies in a tmpfs or ramfs.
    EXE_TMPFS = 10, "exe_tmpfs";
    /// The program runs with another effective user than it was started by.
    SETUID = 11, "setuid";
    /// The caller used the 32-bit system call interface.
    COMPAT = 12, "compat_32bit";
    /// The process is in another mount namespace than the daemon; paths are as seen there.
    OTHER_MOUNT_NS = 13, "other_mount_ns";
    /// The daemon did not see this process begin and found nothing in /proc; exe and args are missing.
    PROCESS_UNKNOWN = 14, "process_unknown";
    /// The process executed something whose event was lost; exe and args are missing.
    EXEC_MISSED = 15, "exec_missed";
    /// The file was recognised by its identity; its present name is not a watched one.
    BY_IDENTITY = 16, "by_identity";
    /// A string was not valid UTF-8; the bytes are shown as \xNN.
    NON_UTF8 = 17, "non_utf8";
    /// Arguments were read after the call and another thread could have changed them.
    ARGS_RACY = 18, "args_racy";
    /// The process was over its alert rate, so this came through the bulk ring.
    DEMOTED = 19, "demoted";
    /// A name argument could not be read from the caller's memory.
    PATH_UNREADABLE = 20, "path_unreadable";
}

impl Flags {
    /// Whether all bits of `other` are set.
    pub fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
    /// Sets the bits of `other`.
    pub fn insert(&mut self, other: Flags) {
        self.0 |= other.0;
    }
    /// The words for the bits that are set, in the order of the table.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FLAGS.iter().filter(move |(flag, ..)| self.contains(*flag)).map(|(_, name, _)| *name)
    }
}

/// `bee.access`: what the open file may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Write only.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    /// The word in `bee.access`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadWrite => "read-write",
        }
    }
}

/// A user: number, and name where /etc/passwd has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User<'a> {
    /// The uid in the initial user namespace.
    pub id: u32,
    /// From /etc/passwd; `None` where it has no such uid.
    pub name: Option<&'a str>,
}

/// The arguments of a process, as the kernel keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Args<'a> {
    /// Strings, each ended by NUL; the last may lack it when cut.
    pub bytes: &'a [u8],
}

impl<'a> Args<'a> {
    /// Each argument without its NUL.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.bytes.strip_suffix(b"\0").unwrap_or(self.bytes);
        let none = self.bytes.is_empty();
        bytes.split(|byte| *byte == 0).filter(move |_| !none)
    }
}

/// What is told of the parent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parent<'a> {
    /// `process.parent.pid`.
    pub pid: u32,
    /// `process.parent.name`; empty where it is not known.
    pub name: Text<'a>,
    /// `process.parent.executable`.
    pub executable: Option<&'a [u8]>,
}

/// The process an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process<'a> {
    /// `process.pid`: the thread group id in the initial pid namespace.
    pub pid: u32,
    /// `process.thread.id`.
    pub tid: u32,
    /// `process.entity_id`: the same for the whole life of the process, never again on this machine.
    pub entity_id: EntityId,
    /// `process.start`, nanoseconds since 1970.
    pub start: u64,
    /// `process.name`: the kernel's comm, which a process can change; never used for a decision.
    pub name: Text<'a>,
    /// `process.executable`: the true path of the running image.
    pub executable: Option<&'a [u8]>,
    /// `process.args`.
    pub args: Args<'a>,
    /// `process.user` (real uid).
    pub user: User<'a>,
    /// `process.group.id` (real gid).
    pub gid: u32,
    /// `process.user.effective.id`.
    pub euid: u32,
    /// `bee.login_uid`; `None` where nobody logged in.
    pub login_uid: Option<u32>,
    /// `process.parent`.
    pub parent: Parent<'a>,
    /// `bee.unit`: the systemd unit the cgroup belongs to.
    pub unit: Option<&'a str>,
    /// `bee.container_id`.
    pub container_id: Option<&'a str>,
}

/// Identifies one process of one boot; shown as `<boot>-<pid>-<start>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntityId {
    /// The first four bytes of the boot id.
    pub boot: u32,
    /// Thread group id.
    pub pid: u32,
    /// Start since boot, in clock ticks of 10 ms as in /proc/PID/stat.
    pub start_ticks: u64,
}

impl std::fmt::Display for EntityId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}-{}-{}", self.boot, self.pid, self.start_ticks)
    }
}

/// A device number, shown as `major:minor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Device {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// The file an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File<'a> {
    /// `file.path`: for `rename`, `link` and `symlink` the name that came into being.
    pub path: Text<'a>,
    /// `file.target_path`: what a link or symbolic link leads to.
    pub target_path: Option<Text<'a>>,
    /// `bee.old_path`: the name a rename took away.
    pub old_path: Option<Text<'a>>,
    /// `bee.known_as`: the watched name under which this file was learned, where its present one is another.
    pub known_as: Option<Text<'a>>,
    /// `file.inode`; 0 where it is not known.
    pub inode: u64,
    /// `file.device`: of the file system.
    pub device: Option<Device>,
    /// `bee.device_node`: the device a node stands for.
    pub node: Option<Device>,
    /// `file.mode`: type and permission bits; for `chmod` the new ones.
    pub mode: Option<u32>,
    /// `file.uid` and `file.gid` a `chown` asked for; `None` where it left them.
    pub owner: Option<(Option<u32>, Option<u32>)>,
    /// `file.size` a `truncate` asked for.
    pub size: Option<u64>,
    /// `bee.access`.
    pub access: Option<Access>,
}

/// What only an `exec` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exec<'a> {
    /// `bee.script`: the path as it was given, where the image is an interpreter.
    pub script: Option<Text<'a>>,
    /// `bee.secret_env`: names of environment variables that match `secret_env_patterns`; never values.
    pub secret_env: Vec<Text<'a>>,
}

/// Events that were lost between two counter readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where: `kernel`, `decode`, `decide`, or a sink's name.
    pub stage: &'static str,
    /// Which action was lost; `None` where it can no longer be told.
    pub action: Option<Action>,
    /// Why: the counter's name, e.g. `ring_full`.
    pub cause: &'static str,
    /// How many.
    pub count: u64,
    /// When the span began, nanoseconds since 1970; it ends with the event's own time.
    pub since: u64,
}

/// What the event tells beside the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// `exec`.
    Exec(Exec<'a>),
    /// `fork`: the process is the child, the parent is who forked.
    Fork,
    /// `exit`: wait status as of wait(2).
    Exit {
        /// `process.exit_code`, where it ended by itself.
        code: Option<u32>,
        /// `bee.signal`, where a signal ended it.
        signal: Option<u32>,
    },
    /// Everything about a file.
    File(File<'a>),
    /// `loss`.
    Loss(Loss),
    /// `start` and `stop`: a sentence for people.
    Note(Cow<'a, str>),
}

/// One event, ready for every sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// `@timestamp`, nanoseconds since 1970.
    pub time: u64,
    /// `event.sequence`: unique for this boot and the life of the rings; equal for a record delivered twice.
    pub sequence: u64,
    /// `event.action`.
    pub action: Action,
    /// `event.severity`.
    pub severity: Severity,
    /// `event.outcome`, `event.code`.
    pub outcome: Outcome,
    /// `bee.hook`: the kernel hook that saw it, e.g. `tp_btf/sys_exit`.
    pub hook: &'static str,
    /// `bee.tier`.
    pub tier: &'static str,
    /// `bee.flags`.
    pub flags: Flags,
    /// The acting process; `None` for `loss`, `start` and `stop`.
    pub process: Option<Process<'a>>,
    /// The rest.
    pub body: Body<'a>,
}
