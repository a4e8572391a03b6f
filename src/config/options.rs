//! Every option, once: its type and range, its default, what it means, and
//! how it is read from and written to [`Config`]. Loading, showing, comparing
//! and the documentation all walk this table.

use std::path::{Path, PathBuf};

use super::defaults;
use super::shape::{ALWAYS_WRITTEN, Kind, Shape};
use super::{
    AddressRange, Config, Control, File, Format, Host, Limits, Network, Output, Place, PortRange, Process,
    Sensors, SocketKinds,
};
use crate::event::{ACTIONS, Action};
use crate::watch::Pattern;

/// One option.
pub struct Setting {
    /// Section and key: `limits.inodes`.
    pub key: &'static str,
    /// Type and range.
    pub kind: Kind,
    /// What holds where no document says anything.
    pub default: Preset,
    /// Whether a change has no effect before the daemon is started again.
    pub restart: bool,
    /// Whether `<key>_add` appends to the list.
    pub appends: bool,
    /// What it means, for people.
    pub doc: &'static str,
    pub(super) get: fn(&Config) -> Value,
    pub(super) set: fn(&mut Config, &Value),
}

/// A default, as it stands in the program.
#[derive(Clone, Copy, Debug)]
pub enum Preset {
    /// For [`Kind::Bool`].
    Bool(bool),
    /// For [`Kind::Integer`].
    Integer(u32),
    /// For [`Kind::Text`].
    Text(&'static str),
    /// For [`Kind::List`].
    List(&'static [&'static str]),
}

/// A value that fits its [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Bool(bool),
    Integer(u32),
    Text(String),
    List(Vec<String>),
}

impl Setting {
    /// The part in front of the dot.
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }
    /// The part behind the dot.
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }
}

impl Preset {
    pub(super) fn value(self) -> Value {
        match self {
            Self::Bool(yes) => Value::Bool(yes),
            Self::Integer(number) => Value::Integer(number),
            Self::Text(text) => Value::Text(text.to_owned()),
            Self::List(list) => Value::List(list.iter().map(|&text| text.to_owned()).collect()),
        }
    }
}

impl Value {
    /// As it would be written in a file; a list by its length.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Bool(yes) => yes.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Text(text) => format!("{text:?}"),
            Self::List(list) => format!("{} entries", list.len()),
        }
    }
    fn bool(&self) -> bool {
        matches!(self, Self::Bool(true))
    }
    fn integer(&self) -> u32 {
        if let Self::Integer(number) = self { *number } else { 0 }
    }
    fn text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }
    fn list(&self) -> &[String] {
        if let Self::List(list) = self { list } else { &[] }
    }
    fn patterns(&self) -> Vec<Pattern> {
        // Checked before it comes here; the tests hold that every default parses.
        self.list().iter().filter_map(|text| Pattern::parse(text).ok()).collect()
    }
    fn ports(&self) -> Vec<PortRange> {
        self.list().iter().filter_map(|text| PortRange::parse(text)).collect()
    }
    fn addresses(&self) -> Vec<AddressRange> {
        self.list().iter().filter_map(|text| AddressRange::parse(text)).collect()
    }
    fn of_ports(ports: &[PortRange]) -> Self {
        Self::List(ports.iter().map(|range| range.text()).collect())
    }
    fn of_addresses(addresses: &[AddressRange]) -> Self {
        Self::List(addresses.iter().map(|range| range.text()).collect())
    }
    fn path_or_none(&self) -> Option<PathBuf> {
        Some(self.text()).filter(|text| !text.is_empty()).map(PathBuf::from)
    }
    fn actions(&self) -> Vec<Action> {
        let wanted = |action: &Action| {
            ALWAYS_WRITTEN.contains(action) || self.list().iter().any(|name| name == action.name())
        };
        ACTIONS.iter().map(|facts| facts.action).filter(wanted).collect()
    }
    pub(super) fn of_patterns(patterns: &[Pattern]) -> Self {
        Self::List(patterns.iter().map(|pattern| pattern.text().to_owned()).collect())
    }
    fn of_actions(actions: &[Action]) -> Self {
        let chosen = actions.iter().filter(|action| !ALWAYS_WRITTEN.contains(action));
        Self::List(chosen.map(|action| action.name().to_owned()).collect())
    }
    fn of_path(path: Option<&Path>) -> Self {
        // Paths in a Config came from TOML, so they are UTF-8.
        Self::Text(path.map_or_else(String::new, |path| path.to_string_lossy().into_owned()))
    }
}

macro_rules! settings {
    ($($key:literal, $kind:expr, $preset:ident $default:expr, $restart:expr, $doc:literal,
       |$config:ident| $get:expr, |$target:ident, $value:ident| $set:expr;)+) => {
        /// Every option of every section, in the order of the shipped file.
        pub const OPTIONS: &[Setting] = &[$(Setting {
            key: $key,
            kind: $kind,
            default: Preset::$preset($default),
            restart: $restart,
            appends: matches!(
                $kind,
                Kind::List(Shape::Pattern | Shape::Port | Shape::Address | Shape::SocketKind)
            ),
            doc: $doc,
            get: |$config| $get,
            set: |$target, $value| $set,
        },)+];
    };
}

const fn range(min: u32, max: u32) -> Kind {
    Kind::Integer { min, max }
}

settings! {
    "sensors.process", Kind::Bool, Bool true, true,
    "The process sensor: exec, fork and exit.",
    |c| Value::Bool(c.sensors.process), |c, v| c.sensors.process = v.bool();
    "sensors.file", Kind::Bool, Bool true, true,
    "The file sensor: opens and name changes of watched files.",
    |c| Value::Bool(c.sensors.file), |c, v| c.sensors.file = v.bool();
    "sensors.network", Kind::Bool, Bool true, true,
    "The network sensor: connections, datagrams, listeners, and sockets that are neither TCP nor UDP.",
    |c| Value::Bool(c.sensors.network), |c, v| c.sensors.network = v.bool();
    "sensors.memory", Kind::Bool, Bool true, true,
    "The memory sensor: who traces, reads or writes another process, or opens its memory, environment or \
     address map in /proc.",
    |c| Value::Bool(c.sensors.memory), |c, v| c.sensors.memory = v.bool();
    "sensors.kernel", Kind::Bool, Bool true, true,
    "The kernel sensor: modules, eBPF programs of others, io_uring, the clock, and signals for the daemon.",
    |c| Value::Bool(c.sensors.kernel), |c, v| c.sensors.kernel = v.bool();

    "process.secret_env_patterns", Kind::List(Shape::Variable), List defaults::SECRET_ENV_PATTERNS, false,
    "Environment variables whose presence is reported when a program is executed. Only names are ever \
     looked at, never values. Case counts.",
    |c| Value::List(c.process.secret_env_patterns.clone()),
    |c, v| c.process.secret_env_patterns = v.list().to_vec();

    "file.watch", Kind::List(Shape::Pattern), List defaults::WATCH, false,
    "Files of which every open is reported, for reading and for writing, refused ones too, and every \
     change of their names, modes and owners.",
    |c| Value::of_patterns(&c.file.watch), |c, v| c.file.watch = v.patterns();
    "file.watch_write", Kind::List(Shape::Pattern), List defaults::WATCH_WRITE, false,
    "Files that everybody reads: reported only when opened for writing, and when their names, modes or \
     owners change.",
    |c| Value::of_patterns(&c.file.watch_write), |c, v| c.file.watch_write = v.patterns();
    "file.ignore", Kind::List(Shape::Pattern), List defaults::IGNORE, false,
    "Exceptions to both lists.",
    |c| Value::of_patterns(&c.file.ignore), |c, v| c.file.ignore = v.patterns();
    "file.scan_skip", Kind::List(Shape::Path), List &[], false,
    "Directories the scanner does not enter when it looks for watched files. Files below them are still \
     seen by name. File systems without files of their own, such as /proc, are never entered.",
    |c| Value::List(c.file.scan_skip.iter().map(|path| path.to_string_lossy().into_owned()).collect()),
    |c, v| c.file.scan_skip = v.list().iter().map(PathBuf::from).collect();

    "network.actions", Kind::List(Shape::NetworkAction), List defaults::NETWORK_ACTIONS, false,
    "What is observed at all; the kernel side passes over the rest.",
    |c| Value::List(c.network.actions.iter().map(|action| action.name().to_owned()).collect()),
    |c, v| c.network.actions = v.list().iter().filter_map(|name| Action::from_name(name)).collect();
    "network.suspicious_ports", Kind::List(Shape::Port), List defaults::SUSPICIOUS_PORTS, false,
    "Ports whose use is reported as `high`. What is on several lists is suspicious before it is monitored, \
     and monitored before it is safe; what is on none is reported as `low`.",
    |c| Value::of_ports(&c.network.suspicious_ports), |c, v| c.network.suspicious_ports = v.ports();
    "network.suspicious_addresses", Kind::List(Shape::Address), List &[], false,
    "Addresses and networks traffic with which is reported as `high`. An IPv4 address inside IPv6 \
     (::ffff:192.0.2.1) is an IPv4 one, here and everywhere.",
    |c| Value::of_addresses(&c.network.suspicious_addresses),
    |c, v| c.network.suspicious_addresses = v.addresses();
    "network.monitored_ports", Kind::List(Shape::Port), List defaults::MONITORED_PORTS, false,
    "Ports whose use is reported as `medium`.",
    |c| Value::of_ports(&c.network.monitored_ports), |c, v| c.network.monitored_ports = v.ports();
    "network.monitored_addresses", Kind::List(Shape::Address), List &[], false,
    "Addresses and networks traffic with which is reported as `medium`.",
    |c| Value::of_addresses(&c.network.monitored_addresses),
    |c, v| c.network.monitored_addresses = v.addresses();
    "network.safe_ports", Kind::List(Shape::Port), List defaults::SAFE_PORTS, false,
    "Ports whose use is reported as `info`.",
    |c| Value::of_ports(&c.network.safe_ports), |c, v| c.network.safe_ports = v.ports();
    "network.safe_addresses", Kind::List(Shape::Address), List &[], false,
    "Addresses and networks traffic with which is reported as `info`.",
    |c| Value::of_addresses(&c.network.safe_addresses), |c, v| c.network.safe_addresses = v.addresses();
    "network.ignore", Kind::List(Shape::Address), List defaults::NETWORK_IGNORE, false,
    "Addresses and networks traffic with which is not reported, whatever the lists above say. What a machine \
     sends itself does not leave it, so that is here; without it the kernel side reports it too. Listeners \
     are reported at any address.",
    |c| Value::of_addresses(&c.network.ignore), |c, v| c.network.ignore = v.addresses();
    "network.unix", Kind::List(Shape::Pattern), List defaults::UNIX, false,
    "Local sockets, by the name the caller gives: connections to them are reported as `medium`. The name of \
     an abstract one begins with @.",
    |c| Value::of_patterns(&c.network.unix), |c, v| c.network.unix = v.patterns();
    "network.sockets", Kind::List(Shape::SocketKind), List defaults::SOCKETS, false,
    "Kinds of sockets that are reported as `medium` when they are made: `raw` ones of the Internet, those of \
     a `protocol` beside TCP and UDP, address families by name, and all `other` families.",
    |c| Value::List(c.network.sockets.list()),
    |c, v| {
        c.network.sockets = SocketKinds::default();
        for word in v.list() {
            c.network.sockets.add(word);
        }
    };
    "network.window", range(0, 86_400), Integer 60, false,
    "Seconds in which the datagrams of one process to one address and port are one event: the first at once, \
     the others as a count in a later one. 0: each is an event.",
    |c| Value::Integer(c.network.window), |c, v| c.network.window = v.integer();

    "limits.alert_ring_kib", range(16, 65536), Integer 512, true,
    "Size in KiB of the ring that alerts come through; rounded up to a power of two of pages.",
    |c| Value::Integer(c.limits.alert_ring_kib), |c, v| c.limits.alert_ring_kib = v.integer();
    "limits.bulk_ring_kib", range(16, 65536), Integer 512, true,
    "Size in KiB of the ring that everything else comes through; rounded up likewise.",
    |c| Value::Integer(c.limits.bulk_ring_kib), |c, v| c.limits.bulk_ring_kib = v.integer();
    "limits.alerts_per_second", range(1, 1_000_000), Integer 100, false,
    "How many alerts a second one process may send through the alert ring; the others go through the bulk \
     ring, so that one process cannot hide another's.",
    |c| Value::Integer(c.limits.alerts_per_second), |c, v| c.limits.alerts_per_second = v.integer();
    "limits.alert_burst", range(1, 1_000_000), Integer 200, false,
    "How many alerts a process that was quiet may send at once.",
    |c| Value::Integer(c.limits.alert_burst), |c, v| c.limits.alert_burst = v.integer();
    "limits.events_per_second", range(0, 10_000_000), Integer 0, false,
    "Hard limit of file events per second and process; what is over it is dropped and counted. 0: no limit.",
    |c| Value::Integer(c.limits.events_per_second), |c, v| c.limits.events_per_second = v.integer();
    "limits.inodes", range(256, 1_048_576), Integer 16384, true,
    "How many watched files the table in the kernel holds; those over it are recognised by name only.",
    |c| Value::Integer(c.limits.inodes), |c, v| c.limits.inodes = v.integer();
    "limits.processes", range(256, 1_048_576), Integer 8192, true,
    "How many processes the process table holds; those over it are reported with fewer facts.",
    |c| Value::Integer(c.limits.processes), |c, v| c.limits.processes = v.integer();
    "limits.flows", range(64, 1_048_576), Integer 1024, true,
    "How many flows of datagrams the table in the kernel holds; of those over it the one longest silent \
     is forgotten, and its next datagram is an event at once.",
    |c| Value::Integer(c.limits.flows), |c, v| c.limits.flows = v.integer();
    "limits.queue_kib", range(16, 1_048_576), Integer 1024, true,
    "How many KiB a sink may be behind before its lines are dropped and counted.",
    |c| Value::Integer(c.limits.queue_kib), |c, v| c.limits.queue_kib = v.integer();

    "output.to", Kind::List(Shape::Place), List &[], true,
    "Where events go, one place or more. []: to `file` if it is set; else to the journal if systemd started the \
     daemon and sends its words there; else to standard output.",
    |c| Value::List(c.output.to.iter().map(|place| place.name().to_owned()).collect()),
    |c, v| c.output.to = v.list().iter().filter_map(|name| Place::from_name(name)).collect();
    "output.format", Kind::Text(Shape::Format), Text "json", true,
    "What a line looks like: one JSON object, or a line for people.",
    |c| Value::Text(match c.output.format { Format::Json => "json", Format::Pretty => "pretty" }.into()),
    |c, v| c.output.format = if v.text() == "pretty" { Format::Pretty } else { Format::Json };
    "output.file", Kind::Text(Shape::PathOrEmpty), Text "", true,
    "The file lines go to. It is readable by its owner only.",
    |c| Value::of_path(c.output.file.as_deref()), |c, v| c.output.file = v.path_or_none();
    "output.rotate_mib", range(1, 65536), Integer 16, true,
    "The file is rotated before it grows past this many MiB.",
    |c| Value::Integer(c.output.rotate_mib), |c, v| c.output.rotate_mib = v.integer();
    "output.rotate_keep", range(0, 1000), Integer 4, true,
    "How many rotated files are kept; `file.1` is the newest.",
    |c| Value::Integer(c.output.rotate_keep), |c, v| c.output.rotate_keep = v.integer();
    "output.actions", Kind::List(Shape::Action), List defaults::ACTIONS, false,
    "Which actions are written to standard output or the file. `loss`, `start` and `stop` always are.",
    |c| Value::of_actions(&c.output.actions), |c, v| c.output.actions = v.actions();
    "output.journal_actions", Kind::List(Shape::Action), List defaults::JOURNAL_ACTIONS, false,
    "Which actions reach the journal. `loss`, `start` and `stop` always do.",
    |c| Value::of_actions(&c.output.journal_actions), |c, v| c.output.journal_actions = v.actions();
    "output.journal_fold_seconds", range(0, 86400), Integer 60, false,
    "When a process does the same thing again within so many seconds, the journal gets the first at once and \
     one entry with the number of repeats when they are over. 0: each one gets an entry.",
    |c| Value::Integer(c.output.journal_fold_seconds), |c, v| c.output.journal_fold_seconds = v.integer();

    "control.socket", Kind::Text(Shape::Socket), Text "/run/bee-traced/control", true,
    "Where `bee-trace status`, `watch` and `reload` reach the daemon; \"\": nowhere. Its directory is made \
     where it is missing. The group of the daemon's user may read, only root and that user change something.",
    |c| Value::of_path(c.control.socket.as_deref()), |c, v| c.control.socket = v.path_or_none();

    "host.proc", Kind::Text(Shape::Path), Text "/proc", true,
    "Where the host's procfs is mounted; a container may have it elsewhere.",
    |c| Value::of_path(Some(&c.host.proc)), |c, v| c.host.proc = v.text().into();
    "host.sys", Kind::Text(Shape::Path), Text "/sys", true,
    "Where the host's sysfs is mounted.",
    |c| Value::of_path(Some(&c.host.sys)), |c, v| c.host.sys = v.text().into();
    "host.cgroup", Kind::Text(Shape::PathOrEmpty), Text "", true,
    "Where the host's cgroup v2 tree is mounted; \"\": found in mountinfo.",
    |c| Value::of_path(c.host.cgroup.as_deref()), |c, v| c.host.cgroup = v.path_or_none();
    "host.btf", Kind::Text(Shape::PathOrEmpty), Text "", true,
    "A file with the kernel's types, for a kernel that has none built in and none in \
     /var/lib/bee-traced/btf or /usr/lib/bee-traced/btf. `bee-trace btf build` makes such files.",
    |c| Value::of_path(c.host.btf.as_deref()), |c, v| c.host.btf = v.path_or_none();
    "host.user", Kind::Text(Shape::User), Text "bee-trace", true,
    "The user the daemon becomes when it is started by root.",
    |c| Value::Text(c.host.user.clone()), |c, v| c.host.user = v.text().to_owned();
    "host.journal_socket", Kind::Text(Shape::Path), Text "/run/systemd/journal/socket", true,
    "Where journald takes entries; a container may have the host's elsewhere.",
    |c| Value::of_path(Some(&c.host.journal_socket)), |c, v| c.host.journal_socket = v.text().into();
}

impl Default for Config {
    fn default() -> Self {
        let mut config = Self {
            sensors: Sensors { process: false, file: false, network: false, memory: false, kernel: false },
            process: Process { secret_env_patterns: Vec::new() },
            file: File {
                watch: Vec::new(),
                watch_write: Vec::new(),
                ignore: Vec::new(),
                scan_skip: Vec::new(),
            },
            network: Network {
                actions: Vec::new(),
                suspicious_ports: Vec::new(),
                suspicious_addresses: Vec::new(),
                monitored_ports: Vec::new(),
                monitored_addresses: Vec::new(),
                safe_ports: Vec::new(),
                safe_addresses: Vec::new(),
                ignore: Vec::new(),
                unix: Vec::new(),
                sockets: SocketKinds::default(),
                window: 0,
            },
            exclude: defaults::exclude(),
            limits: Limits {
                alert_ring_kib: 0,
                bulk_ring_kib: 0,
                alerts_per_second: 0,
                alert_burst: 0,
                events_per_second: 0,
                inodes: 0,
                processes: 0,
                flows: 0,
                queue_kib: 0,
            },
            output: Output {
                to: Vec::new(),
                format: Format::Json,
                file: None,
                rotate_mib: 0,
                rotate_keep: 0,
                actions: Vec::new(),
                journal_actions: Vec::new(),
                journal_fold_seconds: 0,
            },
            control: Control { socket: None },
            host: Host {
                proc: PathBuf::new(),
                sys: PathBuf::new(),
                cgroup: None,
                btf: None,
                user: String::new(),
                journal_socket: PathBuf::new(),
            },
        };
        // The table is the only place with numbers; a test holds that every field has its row.
        for option in OPTIONS {
            (option.set)(&mut config, &option.default.value());
        }
        config
    }
}

/// Keys whose values differ and only take effect at the next start.
pub fn restart_needed(old: &Config, new: &Config) -> Vec<&'static str> {
    OPTIONS.iter().filter(|o| o.restart && (o.get)(old) != (o.get)(new)).map(|o| o.key).collect()
}
