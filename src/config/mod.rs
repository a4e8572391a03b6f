//! What is wanted: the validated configuration. `load` reads a file and its
//! drop-ins; everything else in the daemon sees only these ready objects.

mod compare;
mod defaults;
mod exclude;
mod load;
mod network;
mod options;
mod problem;
mod profiles;
mod shape;
mod show;
mod source;
mod walk;

use std::path::PathBuf;

use crate::event::Action;
use crate::watch::Pattern;

pub use compare::{Difference, InForce, differences};
pub use load::{Loaded, Origin, Sources, load, load_files};
pub use network::{AddressRange, PortRange, SocketKinds};
pub use options::{OPTIONS, Preset, Setting, restart_needed};
pub use problem::Problem;
pub use profiles::{BESIDE, Files, INSTALLED, shipped_names};
pub use shape::{ALWAYS_WRITTEN, Kind, MAX_ENTRIES, Shape};
pub use show::{Entry, entries, reference, show};
pub use source::{MAX_DOCUMENT, Source, document, read};

/// The text of one configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What messages call it: its path.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// The whole configuration, validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[sensors]`
    pub sensors: Sensors,
    /// `[process]`
    pub process: Process,
    /// `[file]`
    pub file: File,
    /// `[network]`
    pub network: Network,
    /// `[[exclude]]`
    pub exclude: Vec<Exclude>,
    /// `[limits]`
    pub limits: Limits,
    /// `[output]`
    pub output: Output,
    /// `[control]`
    pub control: Control,
    /// `[host]`
    pub host: Host,
}

/// Which families run.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensors {
    /// exec, fork, exit.
    pub process: bool,
    /// opens and name changes of watched files.
    pub file: bool,
    /// connections, datagrams, listeners, unusual sockets.
    pub network: bool,
    /// who reaches for the memory of others.
    pub memory: bool,
    /// changes of the kernel, and signals for the daemon.
    pub kernel: bool,
}

impl Sensors {
    /// Whether the family of this name runs.
    pub fn has(&self, family: &str) -> bool {
        match family {
            "process" => self.process,
            "file" => self.file,
            "network" => self.network,
            "memory" => self.memory,
            "kernel" => self.kernel,
            _ => false,
        }
    }
}

/// `[process]`
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Names of environment variables (glob: `*`, case-sensitive) whose presence at exec is reported.
    pub secret_env_patterns: Vec<String>,
}

/// `[file]`
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Files whose every open is reported.
    pub watch: Vec<Pattern>,
    /// Files that are reported only when opened for writing (and on name changes).
    pub watch_write: Vec<Pattern>,
    /// Exceptions to both lists, e.g. `~/.ssh/known_hosts`.
    pub ignore: Vec<Pattern>,
    /// Directories the scanner does not enter.
    pub scan_skip: Vec<PathBuf>,
}

/// `[network]`
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// What is observed: among connect, send, accept, listen and socket.
    pub actions: Vec<Action>,
    /// Ports whose use is reported as high.
    pub suspicious_ports: Vec<PortRange>,
    /// Addresses likewise.
    pub suspicious_addresses: Vec<AddressRange>,
    /// Ports whose use is reported as medium.
    pub monitored_ports: Vec<PortRange>,
    /// Addresses likewise.
    pub monitored_addresses: Vec<AddressRange>,
    /// Ports whose use is reported as info.
    pub safe_ports: Vec<PortRange>,
    /// Addresses likewise.
    pub safe_addresses: Vec<AddressRange>,
    /// Addresses traffic with which is not reported at all.
    pub ignore: Vec<AddressRange>,
    /// Names of local sockets connections to which are reported.
    pub unix: Vec<Pattern>,
    /// Kinds of sockets that are reported when they are made.
    pub sockets: SocketKinds,
    /// Seconds in which the datagrams of a flow are one event; 0: each is one.
    pub window: u32,
}

/// `[[exclude]]`: what is not reported though it is watched. Never by comm.
#[derive(Clone, Debug, PartialEq)]
pub struct Exclude {
    /// True path of the executable, in the daemon's own mount namespace.
    pub exe: Option<PathBuf>,
    /// systemd unit.
    pub unit: Option<String>,
    /// Only for these files; empty, and no networks either: for all.
    pub paths: Vec<Pattern>,
    /// Only for traffic with these addresses; empty, and no paths either: for all.
    pub networks: Vec<AddressRange>,
    /// Only these actions; empty: those on files.
    pub actions: Vec<Action>,
}

/// `[limits]`: every bound a person may want to move.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Size of the alert ring in KiB; rounded up to a power of two of pages. Needs a restart.
    pub alert_ring_kib: u32,
    /// Size of the bulk ring in KiB. Needs a restart.
    pub bulk_ring_kib: u32,
    /// Alerts per second one process may put in the alert ring; more go to the bulk ring.
    pub alerts_per_second: u32,
    /// How many alerts a process may save up.
    pub alert_burst: u32,
    /// Hard limit of file events per second and process; what is over it is dropped and counted. 0: none.
    pub events_per_second: u32,
    /// Watched files the kernel table can hold. Needs a restart.
    pub inodes: u32,
    /// Processes the table can hold.
    pub processes: u32,
    /// Flows of datagrams the kernel table can hold. Needs a restart.
    pub flows: u32,
    /// Bytes a sink may be behind before its lines are dropped and counted, in KiB. Needs a restart.
    pub queue_kib: u32,
}

/// `[output]`
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Where events go; empty: it follows from how the daemon was started.
    pub to: Vec<Place>,
    /// What lines look like.
    pub format: Format,
    /// The file of `Place::File`.
    pub file: Option<PathBuf>,
    /// The file is rotated when it would grow past this many MiB.
    pub rotate_mib: u32,
    /// How many rotated files are kept (`file.1` is the newest).
    pub rotate_keep: u32,
    /// Which actions are written, in the order of the enum; `loss`, `start` and `stop` are always among them.
    pub actions: Vec<Action>,
    /// Which actions reach the journal; likewise.
    pub journal_actions: Vec<Action>,
    /// How long repeats of an act are counted before they are told together. 0: they are not.
    pub journal_fold_seconds: u32,
}

impl Output {
    /// The places events go to, each once. `under_systemd`: started by it, with its words in the journal.
    pub fn places(&self, under_systemd: bool) -> Vec<Place> {
        match (&self.to[..], &self.file) {
            ([], Some(_)) => vec![Place::File],
            ([], None) if under_systemd => vec![Place::Journal],
            ([], None) => vec![Place::Stdout],
            _ => Place::ALL.into_iter().filter(|place| self.to.contains(place)).collect(),
        }
    }
}

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Lines to standard output.
    Stdout,
    /// Lines to `output.file`.
    File,
    /// Entries of the journal.
    Journal,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stdout, Self::File, Self::Journal];

    /// The word used in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::File => "file",
            Self::Journal => "journal",
        }
    }

    /// The place called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.name() == name)
    }
}

/// What an output line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, ECS names.
    Json,
    /// For people.
    Pretty,
}

/// `[control]`
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// The control socket; `None`: there is none.
    pub socket: Option<PathBuf>,
}

/// `[host]`: where the host's trees are, for containers that mount them elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// procfs.
    pub proc: PathBuf,
    /// sysfs.
    pub sys: PathBuf,
    /// cgroup v2; `None`: found in mountinfo.
    pub cgroup: Option<PathBuf>,
    /// A file with the kernel's types, where the usual places have none.
    pub btf: Option<PathBuf>,
    /// The user the daemon becomes.
    pub user: String,
    /// journald's socket.
    pub journal_socket: PathBuf,
}
