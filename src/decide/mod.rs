//! Which candidates are events, and how grave. The kernel side lets through what
//! may be watched; here the decision is exact. Pure: facts in, verdict out.

mod network;

use crate::config::{Config, Exclude};
use crate::event::{Action, Severity};
use crate::watch::{Pattern, PatternSet, env_matches};

pub use network::NetworkFacts;

/// What becomes of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is an event.
    Deliver(Severity),
    /// Its name only looked like a watched one.
    NotWatched,
    /// `[[exclude]]` says so.
    Excluded,
}

/// The facts about an act on a file that a decision rests on. comm is not among them.
#[derive(Clone, Copy, Debug)]
pub struct FileFacts<'a> {
    /// What was done.
    pub action: Action,
    /// The path seen, normalised; without a leading slash where its directory is not known.
    pub path: &'a [u8],
    /// The other path of a rename, link or symlink; empty: none.
    pub other: &'a [u8],
    /// The watched name under which the file's identity was learned.
    pub known_as: Option<&'a [u8]>,
    /// It was or would have been opened for writing.
    pub writes: bool,
    /// It was refused.
    pub refused: bool,
    /// True path of the image, where known and in the daemon's own mount namespace.
    pub executable: Option<&'a [u8]>,
    /// systemd unit.
    pub unit: Option<&'a str>,
}

/// The facts about an act on another process that a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct MemoryFacts<'a> {
    /// What was done.
    pub action: Action,
    /// It asked its parent to be traced: what every debugger has its child do.
    pub traceme: bool,
    /// It failed.
    pub refused: bool,
    /// The target is the daemon.
    pub on_daemon: bool,
    /// The target is the first process of the machine.
    pub of_init: bool,
    /// As in `FileFacts`.
    pub executable: Option<&'a [u8]>,
    /// systemd unit.
    pub unit: Option<&'a str>,
}

/// The facts about a change of the kernel that a decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct KernelFacts<'a> {
    /// What was done.
    pub action: Action,
    /// The first process did it, which starts and stops others.
    pub by_init: bool,
    /// `bpf` reached for something that is there already.
    pub reaches: bool,
    /// What it reached for is the daemon's.
    pub on_daemon: bool,
    /// It failed.
    pub refused: bool,
    /// The clock was only adjusted, as programs that keep it do all the time.
    pub adjusts: bool,
    /// As in `FileFacts`.
    pub executable: Option<&'a [u8]>,
    /// systemd unit.
    pub unit: Option<&'a str>,
}

/// Which of the names matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// The path itself.
    Path,
    /// Only the other path.
    Other,
    /// Only the name under which it was learned.
    Identity,
}

/// The lists, ready to be asked.
#[derive(Debug)]
pub struct Decide {
    watch: PatternSet,
    watch_write: PatternSet,
    ignore: PatternSet,
    exclude: Vec<(Exclude, PatternSet)>,
    secret_env: Vec<String>,
    network: network::Lists,
}

impl Decide {
    /// From the configuration.
    pub fn new(config: &Config) -> Self {
        let exclude =
            config.exclude.iter().map(|rule| (rule.clone(), PatternSet::new(&rule.paths))).collect();
        Self {
            watch: PatternSet::new(&config.file.watch),
            watch_write: PatternSet::new(&config.file.watch_write),
            ignore: PatternSet::new(&config.file.ignore),
            exclude,
            secret_env: config.process.secret_env_patterns.clone(),
            network: network::Lists::new(&config.network),
        }
    }

    /// Whether a name is watched for this kind of use; one whose directory is not known is where it
    /// may be, and is ignored where it must be.
    pub fn watched(&self, path: &[u8], changes: bool) -> bool {
        let end = below(path);
        let matches = |list: &PatternSet| match end {
            None => list.matches(path),
            Some(end) => list.may_match(end),
        };
        !path.is_empty()
            && (matches(&self.watch) || (changes && matches(&self.watch_write)))
            && !self.ignore.matches(end.unwrap_or(path))
    }

    /// Whether an act on a file is an event, and by which of its names.
    pub fn file(&self, facts: &FileFacts<'_>) -> (Verdict, Match) {
        let changes = facts.writes || facts.action != Action::Open;
        let by = if self.watched(facts.path, changes) {
            Match::Path
        } else if self.watched(facts.other, changes) {
            Match::Other
        } else if facts.known_as.is_some_and(|known| self.watched(known, changes)) {
            Match::Identity
        } else if facts.action == Action::Rename && (self.leads(facts.path) || self.leads(facts.other)) {
            Match::Path
        } else {
            return (Verdict::NotWatched, Match::Path);
        };
        if self.excluded(facts, by) {
            return (Verdict::Excluded, by);
        }
        (Verdict::Deliver(severity(facts)), by)
    }

    /// Whether a directory at `path` has watched names below it.
    fn leads(&self, path: &[u8]) -> bool {
        let lists = [&self.watch, &self.watch_write];
        match below(path) {
            None => lists.iter().any(|list| list.concerns_directory(path)),
            Some(end) => !end.is_empty() && lists.iter().any(|list| list.may_concern_directory(end)),
        }
    }

    fn excluded(&self, facts: &FileFacts<'_>, by: Match) -> bool {
        let name = match by {
            Match::Path => facts.path,
            Match::Other => facts.other,
            Match::Identity => facts.known_as.unwrap_or_default(),
        };
        self.exclude.iter().any(|(rule, paths)| {
            is_about(rule, facts.executable, facts.unit)
                && (rule.actions.is_empty() || rule.actions.contains(&facts.action))
                && if paths.patterns().is_empty() { rule.networks.is_empty() } else { paths.matches(name) }
        })
    }

    /// Whether a change of the kernel is an event: all are, unless an `[[exclude]]` names the action.
    pub fn kernel(&self, facts: &KernelFacts<'_>) -> Verdict {
        let excluded = self.named(facts.action, facts.executable, facts.unit);
        if excluded { Verdict::Excluded } else { Verdict::Deliver(kernel_severity(facts)) }
    }

    /// Whether an `[[exclude]]` names this action of this program; one with `paths` is about files.
    fn named(&self, action: Action, executable: Option<&[u8]>, unit: Option<&str>) -> bool {
        self.exclude.iter().any(|(rule, paths)| {
            rule.actions.contains(&action) && paths.patterns().is_empty() && is_about(rule, executable, unit)
        })
    }

    /// Whether an act on another process is an event: all are, unless an `[[exclude]]` names the
    /// action; but not a look at the environment of the first process. That has what the kernel's
    /// command line says, which everybody may read, and each program of systemd looks there for
    /// whether it runs in a container.
    pub fn memory(&self, facts: &MemoryFacts<'_>) -> Verdict {
        if facts.of_init && facts.action == Action::ProcEnviron {
            return Verdict::NotWatched;
        }
        let excluded = self.named(facts.action, facts.executable, facts.unit);
        if excluded { Verdict::Excluded } else { Verdict::Deliver(memory_severity(facts)) }
    }

    /// Whether the name of an environment variable is a secret's.
    pub fn secret_env(&self, name: &[u8]) -> bool {
        env_matches(&self.secret_env, name)
    }

    /// The watch lists as text, for the scanner.
    pub fn texts(patterns: &[Pattern]) -> Vec<String> {
        patterns.iter().map(|pattern| pattern.text().to_owned()).collect()
    }
}

/// Of a path whose directory is not known what lies surely below it: without the `..` in front.
/// `None` of a whole one.
fn below(path: &[u8]) -> Option<&[u8]> {
    if path.starts_with(b"/") {
        return None;
    }
    let mut end = path;
    while let Some(rest) = end.strip_prefix(b"../") {
        end = rest;
    }
    Some(if end == b".." { b"" } else { end })
}

/// Whether a rule is about who acts.
fn is_about(rule: &Exclude, executable: Option<&[u8]>, unit: Option<&str>) -> bool {
    let exe = |exe: &std::path::PathBuf| {
        executable == Some(std::os::unix::ffi::OsStrExt::as_bytes(exe.as_os_str()))
    };
    rule.exe.as_ref().is_none_or(exe) && rule.unit.as_ref().is_none_or(|name| unit == Some(name))
}

/// Memory and descriptors hold secrets whatever is read of them; an environment often does; an
/// address map helps to find them. Who reaches for the daemon wants to be unseen.
fn memory_severity(facts: &MemoryFacts<'_>) -> Severity {
    let severity = match facts.action {
        Action::ProcMaps => Severity::Low,
        Action::ProcEnviron => Severity::Medium,
        _ if facts.traceme => Severity::Low,
        _ => Severity::High,
    };
    match severity {
        Severity::High if facts.on_daemon => Severity::Critical,
        severity if facts.on_daemon => Severity::Medium.max(severity),
        // A refused try shows intent, not harm.
        severity if facts.refused => severity.min(Severity::Medium),
        severity => severity,
    }
}

/// Who stops the daemon wants to be unseen, unless it is who started it, and so does who reaches for
/// its maps and programs: whoever has a map can empty it. What is loaded into the kernel can do
/// anything.
fn kernel_severity(facts: &KernelFacts<'_>) -> Severity {
    match facts.action {
        Action::Kill if facts.by_init => Severity::Low,
        Action::Kill => Severity::Critical,
        Action::ModuleLoad => Severity::Medium,
        Action::TimeSet if facts.adjusts => Severity::Info,
        Action::TimeSet => Severity::Medium,
        Action::Bpf if facts.on_daemon && facts.refused => Severity::High,
        Action::Bpf if facts.on_daemon => Severity::Critical,
        Action::Bpf if facts.reaches => Severity::Medium,
        _ => Severity::Low,
    }
}

/// One table for all file events: reading a secret and changing one are both
/// grave; a refused try shows intent, not harm.
fn severity(facts: &FileFacts<'_>) -> Severity {
    if facts.refused {
        return Severity::Medium;
    }
    match facts.action {
        Action::Open | Action::Create | Action::Rename | Action::Link | Action::Mknod => Severity::High,
        Action::Truncate | Action::Chown | Action::Chmod => Severity::High,
        _ => Severity::Medium,
    }
}

/// How grave an exec is by what it runs.
pub fn exec_severity(flags: crate::event::Flags, secret_env: bool) -> Severity {
    use crate::event::Flags;
    if flags.contains(Flags::EXE_MEMFD) || flags.contains(Flags::EXE_DELETED) {
        Severity::High
    } else if flags.contains(Flags::EXE_TMPFS) || flags.contains(Flags::SETUID) || secret_env {
        Severity::Low
    } else {
        Severity::Info
    }
}
