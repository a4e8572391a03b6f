//! How a daemon is, as `bee-trace status --json` prints it. Pure data: filled by
//! `daemon/status.rs`, read by `remote/`. A program of another version leaves out
//! what it does not know and takes nothing for what is not there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::protocol::Reload;

/// Counters by name.
pub type Counts = BTreeMap<String, u64>;

/// See the module.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Status {
    /// Of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it began, seconds since 1970.
    pub started: u64,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// `info`, `debug` or `trace`.
    pub log_level: String,
    /// What a restart finds.
    pub restart: Restart,
    /// Where the configuration came from.
    pub config: Config,
    /// Every sensor that is switched on.
    pub sensors: Vec<Sensor>,
    /// What the rates of the sensors are over, in seconds.
    pub interval_seconds: f64,
    /// The two rings.
    pub rings: Vec<Ring>,
    /// What every record came to.
    pub sums: Sums,
    /// Counters of each kind of record, of those that occurred.
    pub kinds: Vec<Kind>,
    /// Where events go.
    pub sinks: Vec<Sink>,
    /// Losses that were told.
    pub losses: Losses,
    /// The process that finds watched files.
    pub scanner: Scanner,
    /// Whether what is in the kernel still is as the daemon put it there.
    pub guard: Guard,
    /// Memory and time.
    pub process: Process,
    /// The control socket itself.
    pub control: Control,
}

/// Over restarts: see `docs/adr/0017-restart.md`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Restart {
    /// Lives that are counted together, this one too: counters are those of all of them.
    pub life: u64,
    /// This life has taken over what an earlier one had attached.
    pub adopted: bool,
    /// Descriptors the service manager keeps for the next; 0: a restart has a gap.
    pub stored: u64,
}

/// Where the configuration came from.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Config {
    /// The files, in the order they were merged; empty: the defaults.
    pub files: Vec<String>,
    /// Profiles, the one that was asked for last.
    pub profiles: Vec<String>,
    /// Reloads so far, refused ones too.
    pub reloads: u64,
    /// What became of the last one.
    pub last_reload: Option<Reload>,
    /// Settings that are written and not in force before the next start.
    pub restart: Vec<String>,
}

/// A sensor that is switched on.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Sensor {
    /// `bee.sensor`.
    pub name: String,
    /// It is attached.
    pub running: bool,
    /// Its weakest tier.
    pub tier: String,
    /// Hooks in use.
    pub hooks: Vec<String>,
    /// Why it does not run.
    pub failure: Option<String>,
    /// Events given to the sinks.
    pub events: u64,
    /// The same per second, over the last [`Status::interval_seconds`].
    pub events_per_second: f64,
    /// Runs of its programs that the kernel skipped.
    pub skipped: u64,
}

/// A ring between kernel and daemon.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Ring {
    /// `alerts` or `bulk`.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Bytes that wait now.
    pub used: u64,
    /// The most there have been when the daemon came to empty it.
    pub highest: u64,
}

/// Every record's way, added up over all kinds:
/// `emitted = submitted + lost_in_kernel` and `submitted = waiting + delivered + lost_in_daemon + no_event`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Sums {
    /// Records that the kernel side had to tell.
    pub emitted: u64,
    /// Of these, those that reached a ring.
    pub submitted: u64,
    /// And those that did not.
    pub lost_in_kernel: u64,
    /// Records that wait in the rings.
    pub waiting: u64,
    /// Events given to every sink.
    pub delivered: u64,
    /// Records that could not be read.
    pub lost_in_daemon: u64,
    /// Records that are no event: excluded, not watched after all, the daemon's own, context.
    pub no_event: u64,
    /// Lines that sinks lost, all sinks together.
    pub lost_in_sinks: u64,
}

/// Counters of one kind of record; names as in `docs/operations.md`. Zeros are left out.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Kind {
    /// `event.action`, or what the record tells.
    pub kind: String,
    /// In the kernel.
    pub kernel: Counts,
    /// In the daemon.
    pub daemon: Counts,
}

/// A sink: `offered = accepted + queue_full + refused + folded + queued`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// As in `docs/operations.md`.
    pub counters: Counts,
    /// Lines that wait.
    pub queued: u64,
    /// What is wrong at present.
    pub problem: Option<String>,
}

/// Losses that were told by `loss` events.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Losses {
    /// Events.
    pub total: u64,
    /// When the last was told, seconds since 1970.
    pub last: Option<u64>,
    /// How long ago that is.
    pub last_seconds_ago: Option<u64>,
}

/// The process that finds watched files.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Scanner {
    /// It is there.
    pub running: bool,
    /// It has been wherever it was sent.
    pub idle: bool,
    /// File systems on which files are known by identity.
    pub filesystems: u64,
}

/// Looks at what is in the kernel, at half of the watchdog's time: `docs/faults.md`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Guard {
    /// So far in this life; without a watchdog there are none.
    pub looks: u64,
    /// Of these, those that found all well.
    pub well: u64,
    /// Times that somebody else had changed settings or rules, which were put right.
    pub altered: u64,
    /// How long ago the last was that found all well.
    pub last_well_seconds_ago: Option<u64>,
}

/// The daemon's own process; what cannot be read is not there.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Process {
    /// Resident memory.
    pub rss_kib: Option<u64>,
    /// The same with shared pages divided among those who share them.
    pub pss_kib: Option<u64>,
    /// Processor time since the start.
    pub cpu_seconds: Option<f64>,
    /// By all sinks.
    pub bytes_written: u64,
}

/// The control socket: of the events for watchers,
/// `offered = sent + dropped + queued` as long as nobody leaves.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Control {
    /// Where it is.
    pub socket: String,
    /// Connections now, this one too.
    pub connections: u64,
    /// Of these, those that watch.
    pub watchers: u64,
    /// Connections so far.
    pub accepted: u64,
    /// Requests refused, for being too many, none, late or not permitted.
    pub refused: u64,
    /// Events that some watcher wanted, once for each.
    pub offered: u64,
    /// Those the kernel took.
    pub sent: u64,
    /// Those lost because a watcher was slow.
    pub dropped: u64,
    /// Those that wait.
    pub queued: u64,
    /// Those that waited for a watcher who left.
    pub abandoned: u64,
}
