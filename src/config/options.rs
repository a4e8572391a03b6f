//! Every option, once: its type and range, its default, what it means, and
//! how it is read from and written to [`Config`]. Loading, showing, comparing
//! and the documentation all walk this table.

use std::path::{Path, PathBuf};

use super::defaults;
use super::shape::{ALWAYS_WRITTEN, Kind, Shape};
use super::{Config, File, Format, Host, Limits, Output, Place, Process, Sensors};
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
            appends: matches!($kind, Kind::List(Shape::Pattern)),
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
    "sensors.memory", Kind::Bool, Bool true, true,
    "The memory sensor: who traces, reads or writes another process, or opens its memory, environment or \
     address map in /proc.",
    |c| Value::Bool(c.sensors.memory), |c, v| c.sensors.memory = v.bool();

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
            sensors: Sensors { process: false, file: false, memory: false },
            process: Process { secret_env_patterns: Vec::new() },
            file: File {
                watch: Vec::new(),
                watch_write: Vec::new(),
                ignore: Vec::new(),
                scan_skip: Vec::new(),
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
