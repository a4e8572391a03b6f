//! What a test wants of a trigger's events: every field, and exactly so many.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bee_trace::event::Action;
use nix::errno::Errno;

use super::{Abi, Event, Ran, Run, tally};

/// A description of one file event; what is not set must not be in the event.
#[derive(Clone, Debug)]
pub struct Want {
    action: Action,
    path: Option<PathBuf>,
    /// What the caller named, where that is not the whole path.
    given: Option<PathBuf>,
    access: Option<&'static str>,
    errno: Option<i32>,
    /// Inode, device and mode.
    identity: Option<(u64, String, String)>,
    /// Told by a name and not by a file: how much is known then depends on the hook.
    named: bool,
    flags: Vec<&'static str>,
    more: Vec<(&'static str, String)>,
}

/// What an event about a name carries, by the hook that saw it.
struct Named {
    flags: &'static [&'static str],
    /// The file's inode is told: it is the file the kernel's own dentry leads to.
    inode: bool,
}

impl Named {
    fn of(event: &Event) -> Self {
        let hook = event.text("bee.hook");
        let changes = ["chmod", "chown", "truncate"].contains(&event.action());
        if hook.contains("/security_path_") || hook.starts_with("lsm/path_") {
            Self { flags: &[], inode: changes }
        } else if hook.starts_with("fexit/") {
            // The kernel's own copy of the name.
            Self { flags: &["path_from_args"], inode: false }
        } else {
            Self { flags: &["path_from_args", "args_racy"], inode: false }
        }
    }
}

impl Want {
    /// An event with this `event.action`.
    pub fn new(action: &str) -> Self {
        let action = Action::from_name(action).unwrap();
        Self {
            action,
            path: None,
            given: None,
            access: None,
            errno: None,
            identity: None,
            named: false,
            flags: Vec::new(),
            more: Vec::new(),
        }
    }

    /// About this path, with the inode, device and mode it has now (or by `like`).
    pub fn path(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        if let Ok(facts) = std::fs::symlink_metadata(path) {
            self = self.identity(&facts);
        }
        self
    }

    /// About this name. What more is known of an act on a name depends on who sees it: see
    /// [`Named`].
    pub fn named(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self.identity = None;
        self.named = true;
        self
    }

    /// Named so by the caller: all that a tier knows that does not know directories.
    pub fn given(mut self, name: impl Into<PathBuf>) -> Self {
        self.given = Some(name.into());
        self
    }

    /// With this inode, device and mode.
    pub fn identity(mut self, facts: &std::fs::Metadata) -> Self {
        let device = facts.dev();
        let device = format!("{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device));
        self.identity = Some((facts.ino(), device, format!("{:04o}", facts.mode() & 0o7777)));
        self
    }

    /// With this `bee.access`.
    pub fn access(mut self, access: &'static str) -> Self {
        self.access = Some(access);
        self
    }

    /// Refused with this errno.
    pub fn errno(mut self, errno: i32) -> Self {
        self.errno = Some(errno);
        self
    }

    /// With this word in `bee.flags`.
    pub fn flag(mut self, flag: &'static str) -> Self {
        self.flags.push(flag);
        self
    }

    /// With this string at this key.
    pub fn with(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.more.push((key, value.into()));
        self
    }

    /// Asserts that the trigger made exactly `count` file events, all of them like this.
    pub fn exactly(&self, count: usize, run: &Run, ran: &Ran) {
        self.all(count, &run.files(ran), run, ran);
    }

    /// As `exactly`, of the events with this action only.
    pub fn among(&self, count: usize, run: &Run, ran: &Ran) {
        let name = self.action.name();
        let events: Vec<_> = run.files(ran).into_iter().filter(|event| event.action() == name).collect();
        self.all(count, &events, run, ran);
    }

    fn all(&self, count: usize, events: &[&Event], run: &Run, ran: &Ran) {
        let sensor = self.action.facts().sensor;
        tally::wanted(sensor, count);
        for event in events {
            self.check(event, run, ran);
        }
        assert_eq!(events.len(), count, "events of {:?}; wanted: {self:?}", ran.args);
        tally::right(sensor, count);
    }

    /// Asserts every field of one event.
    pub fn check(&self, event: &Event, run: &Run, ran: &Ran) {
        let same = |key: &str, wanted: &str| assert_eq!(event.text(key), wanted, "{key} of {event}");
        let facts = self.action.facts();
        same("event.action", facts.name);
        same("event.kind", facts.kind);
        assert_eq!(event.list("event.category"), facts.category, "{event}");
        assert_eq!(event.list("event.type"), facts.types, "{event}");
        assert!(event.number("event.severity").is_some_and(|severity| severity > 0), "{event}");
        same("event.outcome", if self.errno.is_some() { "failure" } else { "success" });
        same(
            "event.code",
            &self.errno.map(|code| format!("{:?}", Errno::from_raw(code))).unwrap_or_default(),
        );
        same("bee.sensor", facts.sensor);
        assert!(!event.text("bee.hook").is_empty() && !event.text("bee.tier").is_empty(), "{event}");

        let portable = event.text("bee.tier") == "portable";
        let relative = self.given.as_ref().filter(|given| portable && given.is_relative());
        if let Some(path) = relative.or(self.path.as_ref()) {
            same("file.path", path.to_str().unwrap());
        }
        if portable {
            // By name alone: the mode is one that was asked for.
            same("file.inode", "");
            same("file.device", "");
        } else if let Some((inode, device, mode)) = &self.identity {
            same("file.inode", &inode.to_string());
            same("file.device", device);
            same("file.mode", mode);
        } else {
            let told = self.named && Named::of(event).inode;
            assert_eq!(!event.text("file.inode").is_empty(), told, "file.inode of {event}");
        }
        same("bee.access", self.access.unwrap_or_default());
        for (key, value) in &self.more {
            same(key, value);
        }
        let mut flags = self.flags.clone();
        if portable {
            flags.extend(["path_from_args", "args_racy", "process_partial", "exe_as_given"]);
            flags.extend(relative.map(|_| "path_relative"));
        } else if self.named {
            flags.extend(Named::of(event).flags);
        }
        if ran.abi == Abi::Compat && !flags.contains(&"compat_32bit") {
            flags.push("compat_32bit");
        }
        flags.sort_unstable();
        let mut found = event.list("bee.flags");
        found.sort_unstable();
        assert_eq!(found, flags, "bee.flags of {event}");
        check_process(event, run, ran);
    }
}

/// Asserts what is told of the acting process.
pub fn check_process(event: &Event, run: &Run, ran: &Ran) {
    let same = |key: &str, wanted: &str| assert_eq!(event.text(key), wanted, "{key} of {event}");
    let me = std::process::id();
    assert_eq!(event.number("process.pid"), Some(ran.pid.into()), "{event}");
    assert_eq!(event.number("process.thread.id"), Some(ran.pid.into()), "{event}");
    same("process.name", ran.program.file_name().unwrap().to_str().unwrap());
    same("process.executable", ran.program.to_str().unwrap());
    assert_eq!(event.list("process.args"), ran.args, "{event}");
    same("process.user.id", &ran.uid.to_string());
    let effective = if event.has_flag("process_partial") { String::new() } else { ran.uid.to_string() };
    same("process.user.effective.id", &effective);
    same("process.group.id", &ran.gid.to_string());
    let user = nix::unistd::User::from_uid(ran.uid.into()).unwrap();
    same("process.user.name", &user.map(|user| user.name).unwrap_or_default());
    assert_eq!(event.number("process.parent.pid"), Some(me.into()), "{event}");
    // The name of the process, or of the thread of it that was seen last: this test's own.
    let names =
        ["self", "thread-self"].map(|who| std::fs::read_to_string(format!("/proc/{who}/comm")).unwrap());
    let parent = event.text("process.parent.name");
    assert!(names.iter().any(|name| name.trim_end() == parent), "process.parent.name of {event}");
    same("process.parent.executable", std::env::current_exe().unwrap().to_str().unwrap());
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let id = event.text("process.entity_id");
    assert!(id.starts_with(&format!("{}-{}-", &boot[..8], ran.pid)), "entity_id of {event}");
    // RFC 3339 in UTC sorts as text; starts are rounded to clock ticks.
    let (start, time) = (event.text("process.start"), event.text("@timestamp"));
    assert!(!start.is_empty() && start <= time, "process.start of {event}");
    let began = run.events.first().map_or("", |first| first.text("@timestamp"));
    assert!(began <= time, "@timestamp of {event}");
}
