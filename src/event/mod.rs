//! What an event is once it has left the kernel: pure data, borrowed from the
//! record, the process table and the host facts. Nothing here does I/O; every
//! sink reads this and nothing else.
//!
//! Names follow the Elastic Common Schema where it has one.

mod action;
mod flags;
mod network;

use std::borrow::Cow;

pub use action::{ACTIONS, Action, ActionFacts};
pub use flags::{FLAGS, Flags};
pub use network::{Endpoint, FAMILIES, Network};

/// Bytes as the kernel gave them: a path, a name, an argument. They are not
/// promised to be UTF-8; a sink escapes what it cannot print.
pub type Text<'a> = Cow<'a, [u8]>;

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
    /// How it ended was not seen.
    Unknown,
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
    /// Of the two bits a record has; `None`: it says nothing.
    pub fn of(bits: u8) -> Option<Self> {
        match bits & 3 {
            1 => Some(Self::Read),
            2 => Some(Self::Write),
            3 => Some(Self::ReadWrite),
            _ => None,
        }
    }

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
    /// `None` where its start is not known.
    pub entity_id: Option<EntityId>,
    /// `process.start`, nanoseconds since 1970; 0 where it is not known.
    pub start: u64,
    /// `process.name`: the kernel's comm, which a process can change; never used for a decision.
    pub name: Text<'a>,
    /// `process.executable`: the true path of the running image; with the flag `exe_as_given` the name
    /// it was executed by.
    pub executable: Option<&'a [u8]>,
    /// `process.args`.
    pub args: Args<'a>,
    /// `process.user` (real uid).
    pub user: User<'a>,
    /// `process.group.id` (real gid).
    pub gid: u32,
    /// `process.user.effective.id`; `None` where it is not known.
    pub euid: Option<u32>,
    /// `bee.login_uid`; `None` where nobody logged in, or that is not known.
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

/// The process that something was done to: `bee.target.process`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target<'a> {
    /// `pid`: the thread group id in the initial pid namespace; `None` where it is not known.
    pub pid: Option<u32>,
    /// `name`: the kernel's comm; empty where it is not known.
    pub name: Text<'a>,
    /// `executable`: the true path of the running image.
    pub executable: Option<&'a [u8]>,
    /// `user` (real uid).
    pub user: Option<User<'a>>,
    /// `start`, nanoseconds since 1970; 0 where it is not known.
    pub start: u64,
    /// `entity_id`.
    pub entity_id: Option<EntityId>,
}

/// One process reached for another's memory or descriptors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory<'a> {
    /// `bee.request`: the ptrace request, or the file of /proc/PID.
    pub request: Option<&'static str>,
    /// `bee.access`.
    pub access: Option<Access>,
    /// To whom.
    pub target: Target<'a>,
}

/// A change of the kernel, or a signal for the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernel<'a> {
    /// `bee.request`: the command of `bpf`, the call that sets a clock.
    pub request: Option<&'static str>,
    /// `bee.module`: the module's name, or its file's.
    pub module: Option<Text<'a>>,
    /// `bee.object_type`: of a program or an attachment, as linux/bpf.h numbers them.
    pub object_type: Option<u32>,
    /// `bee.object_id`: the program, map or link that is reached for.
    pub object_id: Option<u32>,
    /// `bee.entries`: of an io_uring.
    pub entries: Option<u32>,
    /// `bee.signal`.
    pub signal: Option<u32>,
    /// Who was sent it; `None` where that was every process.
    pub target: Option<Target<'a>>,
}

/// Events that were lost between two counter readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Where: `kernel`, `decode`, `decide`, or a sensor's or sink's name.
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
    /// Everything about a socket.
    Network(Network<'a>),
    /// The actions of the sensor `memory`.
    Memory(Memory<'a>),
    /// The actions of the sensor `kernel`.
    Kernel(Kernel<'a>),
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
