//! The start, step by step. Everything that needs a privilege happens here, and
//! the last step lets go of all of them.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::accounts::Accounts;
use super::control::Hands;
use super::filesystems::FileSystems;
use super::flows::Flows;
use super::guard::Guard;
use super::keep;
use super::losses::Losses;
use super::notify::Notify;
use super::overlap::Overlap;
use super::own::own_objects;
use super::policy::{Policies, memory_devices};
use super::scans::Scans;
use super::wait::{Source, Waiter};
use super::{Daemon, Overrides, Signals};
use crate::btf;
use crate::btf_file::{self, Running, TypesFile};
use crate::config::{Config, Loaded};
use crate::control::{Opened, Server};
use crate::decide::Decide;
use crate::enrich::Enrich;
use crate::error::{Error, ExitStatus, Result};
use crate::event::{Action, Body, Severity};
use crate::kernel::{Places, mounts};
use crate::ledger::Ledger;
use crate::memory_use;
use crate::pipeline::Pipeline;
use crate::privilege;
use crate::probe::loader::{self, Conditions, Maps, Sensor};
use crate::probe::{FAMILIES, Family, GENERATION, Tier};
use crate::ring::Ring;
use crate::scanner::{self, Init};
use crate::shared::{Counters, Settings, State};
use crate::sink;
use crate::store::object;

/// Positions of a ring are below this many bits: 16 TiB of records.
const SET_BITS: u32 = 44;

/// What the command line says.
#[derive(Debug)]
pub struct Options {
    /// The configuration file, which the scanner opens again at a reload.
    pub config_file: PathBuf,
    /// Stronger than the configuration.
    pub overrides: Overrides,
    /// No better tier than this.
    pub force_tier: Option<Tier>,
    /// Stop after this long.
    pub duration: Option<Duration>,
    /// A person looks at standard output.
    pub terminal: bool,
}

/// Starts everything, runs it, and returns when it was told to stop.
///
/// # Errors
/// With the exit status that says what kind of failure it was.
pub fn start(loaded: Loaded, options: &Options) -> Result<()> {
    let started = Instant::now();
    let (replaced, set) = loaded.replaced();
    if set > 0 && replaced.len() == set {
        tracing::warn!(
            "the profile {} changes nothing: every value of it is replaced by the files after it. Say `inherits` in a \
             drop-in (config.d), or take those values out",
            loaded.sources.profiles.join(", ")
        );
    }
    let Loaded { config, sources, .. } = loaded;
    privilege::require()?;
    let own_list = keep::own(&config, options)?;
    let mut returned = keep::take(&own_list, &config.limits);
    let account = privilege::ensure_user(&config.host.user)?;
    let host = crate::sys::hostname()?;
    let control = control(&config, &account, &host)?;
    let opening = sink::Opening {
        host: &host,
        queue_bytes: config.limits.queue_kib as usize * 1024,
        terminal: options.terminal,
        under_systemd: crate::sys::says_to_journal(),
        journal: &config.host.journal_socket,
    };
    let mut sinks = sink::open(&config.output, &opening)?;
    if let Some(server) = &control {
        sinks.push(Box::new(server.tap()));
    }
    let signals = signals()?;
    let notify = Notify::from_environment()?;
    let mut mountinfo = std::fs::File::open("/proc/self/mountinfo")?;
    let enrich = Enrich::new(&config.host.proc, config.limits.processes as usize)?;

    // It opens the configuration at a reload too, so it runs whatever the sensors.
    let scanner = scanner::spawn(Init {
        account,
        config: options.config_file.clone(),
        mountinfo: "/proc/self/mountinfo".into(),
    })?;

    let adopted = returned.adopted.take();
    let is_adopted = adopted.is_some();
    let continued =
        returned.old.take().and_then(|old| match Maps::create_with(&config.limits, old.counters.as_fd()) {
            Ok(maps) => Some((maps, old)),
            Err(error) => {
                tracing::warn!("what is in the rings of an earlier life is not read: {error}");
                None
            }
        });
    let mut old_rings = Vec::new();
    let mut overlap = None;
    let (maps, ledger, taken) = match (adopted, continued) {
        (Some(adopted), _) => (adopted.maps, adopted.ledger, Some((adopted.sensors, adopted.absent))),
        (None, Some((maps, old))) => {
            old_rings = old.rings;
            overlap = Some(Overlap::new());
            (maps, old.ledger, None)
        }
        (None, None) => (Maps::create(&config.limits)?, Ledger::create()?, None),
    };
    let resumed = is_adopted || overlap.is_some();
    // A trial in a child; before the sensors run, which would report it.
    let keep_bpf = privilege::needs_cap_bpf(maps.get("rules")?.as_fd(), &account)?;
    if keep_bpf {
        tracing::warn!(
            "this kernel (before 5.19) wants CAP_BPF for every change of a map: it is the one kept"
        );
    }
    let usual = maps.get("state")?.as_fd();
    let settings = Settings::new(maps.get("settings")?.as_fd())?.with_usual(usual)?;
    let state = State::new(maps.get("state")?.as_fd())?;
    let counters = Counters::new(maps.get("counters")?.as_fd())?;
    let mut accounts = Accounts::new(ledger, &mut sinks)?;
    let stages = Counters::of(&accounts.page().stages.0)?;
    let own = [std::process::id(), scanner.pid().as_raw().unsigned_abs()];
    settings.set_self_tgid(own[0]);
    settings.set_scanner_tgid(own[1]);
    settings.set_canary_tgid(0);
    let mut policies =
        if is_adopted { Policies::resume(&maps, &settings) } else { Policies::new(&maps, &settings) };
    policies.clean();
    policies.enforce(&config)?;
    policies.clean();
    settings.set_generation(GENERATION);

    let decide = Decide::new(&config);
    let mut pipeline = Pipeline::new(enrich, decide, sinks, stages, own);
    pipeline.proc = std::os::unix::ffi::OsStrExt::as_bytes(config.host.proc.as_os_str()).to_vec();
    pipeline.devices = memory_devices().map(|(node, name)| (node, name.as_bytes().into())).collect();
    let exe = std::fs::read_link("/proc/self/exe")?;
    pipeline.canary_path = std::os::unix::ffi::OsStrExt::as_bytes(exe.as_os_str()).to_vec();
    let rings = rings(&maps, &mut accounts, old_rings)?;
    let types = types(&config)?;
    let cgroup = config.host.cgroup.clone().or_else(|| cgroup_mount(&config));
    let conditions = Conditions {
        btf: types.as_ref().map(|file| file.path.as_path()),
        forced: options.force_tier,
        cgroup: cgroup.as_deref(),
        ..Conditions::new(&maps)
    };
    let mut primed = || pipeline.enrich.prime(&config.host.proc, cgroup.as_deref());
    let (sensors, absent) = match taken {
        Some(taken) => {
            primed()?;
            taken
        }
        None => sensors(&config, &conditions, primed)?,
    };

    let waiter = Waiter::new()?;
    let flows = Flows::new(&maps)?;
    waiter.add(rings[0].as_fd(), Source::Alerts)?;
    waiter.add(rings[1].as_fd(), Source::Bulk)?;
    waiter.add(accounts.bell(), Source::Sinks)?;
    waiter.add(signals.stop.as_fd(), Source::Stop)?;
    waiter.add(signals.reload.as_fd(), Source::Reload)?;
    waiter.add(mountinfo.as_fd(), Source::Mounts)?;
    let scans = Scans::new(Some(scanner));
    if let Some(fd) = scans.fd() {
        waiter.add(fd, Source::Scanner)?;
    }
    if let Some(server) = &control {
        waiter.add(server.fd(), Source::Control)?;
    }
    let file = std::path::absolute(&options.config_file)?;
    let hands = Hands::new(control, file, sources, &config, absent, &pipeline.stages);
    let now = pipeline.enrich.clock.wall(crate::sys::Clock::boot_now()?);
    let told = &accounts.page().told;
    let losses = if resumed {
        let skipped = sensors.iter().map(|sensor| {
            // Programs that were loaded anew begin at nothing.
            let at = FAMILIES.iter().position(|family| family.name == sensor.name).filter(|_| is_adopted);
            at.map_or(0, |at| told.skipped[at])
        });
        Losses::resume(told, skipped.collect())
    } else {
        Losses::begin(&counters, &pipeline.stages, now)
    };
    let mut hands = hands;
    hands.lost = told.total;
    // Until the first loss that is when everything began.
    hands.last_loss = (told.total > 0).then_some(told.since);
    if !resumed {
        accounts.told(losses.told());
    }
    let life = accounts.ledger.next_life();
    let filesystems = FileSystems::new(&mut mountinfo);
    let mut daemon = Daemon {
        overrides: options.overrides.clone(),
        settings: &settings,
        state,
        counters,
        policies,
        pipeline,
        rings,
        accounts,
        overlap,
        patient: false,
        stored: None,
        adopted: is_adopted,
        life,
        due: [None; 2],
        sensors,
        scans,
        filesystems,
        mountinfo,
        losses,
        flows,
        tell: started,
        waiter,
        signals,
        started,
        until: options.duration.map(|span| started + span),
        hands,
        notify,
        guard: Guard::default(),
        ending: None,
        begun: now,
        config,
    };
    if !is_adopted {
        daemon.prove_sensors(conditions)?;
    }
    // Before they are left to who keeps them.
    daemon.pipeline.own_objects = own_objects(&daemon.sensors, &maps);
    if is_adopted {
        // They stay as they are, and stay where they are kept.
        daemon.stored = Some(returned.count);
        for sensor in &mut daemon.sensors {
            sensor.leave();
        }
    }
    returned.take_back(&daemon.notify);
    if !is_adopted {
        daemon.hand_over(&own_list, &maps);
        daemon.accounts.ledger.distrust(false);
    }
    if let Some(overlap) = &mut daemon.overlap {
        overlap.take_over(crate::sys::Clock::boot_now()?, Instant::now());
    }
    returned.detach();

    privilege::lock_down(&account, keep_bpf)?;

    // Loading needs megabytes that running does not.
    memory_use::give_back();
    daemon.announce(&account);
    for sink in &mut daemon.pipeline.sinks {
        sink.start()?;
    }
    if is_adopted {
        if let Err(error) = daemon.prove_adopted() {
            daemon.give_up_store(returned.set.as_deref());
            return Err(error);
        }
    } else {
        daemon.drain();
    }
    let words = daemon.in_words();
    daemon.notify.ready(&words, Instant::now());
    if daemon.config.sensors.file {
        let by_name = |sensor: &Sensor| sensor.name == "file" && sensor.tier() == Some(Tier::Portable);
        if daemon.sensors.iter().any(by_name) {
            daemon.scans.stop_teaching();
        }
        daemon.scans.start_over();
        daemon.scan(Instant::now());
    }
    daemon.run()
}

/// Both rings, read on from where they are accounted for.
fn rings(maps: &Maps, accounts: &mut Accounts, old: Vec<(u64, Ring)>) -> Result<Vec<Ring>> {
    let mut rings = Vec::new();
    let mut places = Vec::new();
    let mut fresh = None;
    for name in ["alerts", "bulk"] {
        let map = maps.get(name)?;
        let id = u64::from(object::map(map.as_fd())?.id);
        let mut ring = Ring::of(map)?;
        let known = accounts.page().rings.iter().find(|place| place.id == id).copied();
        let base = match known {
            Some(place) => {
                if !ring.start_at(place.position) {
                    tracing::warn!(
                        "the ledger has a place of the ring {name} that is not in it; it is read from its begin"
                    );
                }
                place.base
            }
            None => *fresh.get_or_insert_with(|| accounts.ledger.next_set() << SET_BITS),
        };
        places.push((id, base));
        rings.push(ring);
    }
    for (id, mut ring) in old {
        let known = accounts.page().rings.iter().find(|place| place.id == id).copied().unwrap_or_default();
        ring.start_at(known.position);
        places.push((id, known.base));
        rings.push(ring);
    }
    let rows: Vec<_> = places.into_iter().zip(&rings).map(|((id, base), ring)| (id, base, ring)).collect();
    accounts.set_rings(&rows);
    Ok(rings)
}

/// The file with the types of a kernel that has none built in.
fn types(config: &Config) -> Result<Option<TypesFile>> {
    let places = places(config);
    let running = Running::gather(&places)?;
    let needs = btf_file::needs_hash(btf::needs());
    let found = btf_file::find(&places, &running, &needs, config.host.btf.as_deref());
    for file in &found.refused {
        tracing::warn!(
            "{} is not used: {}; `bee-trace btf build` makes a new one",
            file.path.display(),
            file.why
        );
    }
    match found.source {
        btf_file::Source::File(file) => {
            tracing::info!("the kernel's types are those in {}", file.path.display());
            Ok(Some(file))
        }
        _ => Ok(None),
    }
}

fn places(config: &Config) -> Places {
    Places { proc: config.host.proc.clone(), sys: config.host.sys.clone(), ..Places::default() }
}

/// Loads every sensor that is switched on. One that cannot run is named with its
/// reason and the others go on. The process sensor comes first, and once it runs `primed`
/// is done; other threads have the kernel verify the others in the meantime (ADR 11).
pub(super) fn sensors(
    config: &Config,
    conditions: &Conditions<'_>,
    primed: impl FnOnce() -> Result<()>,
) -> Result<(Vec<Sensor>, Absent)> {
    let (first, others): (Vec<&Family>, Vec<&Family>) = FAMILIES
        .iter()
        .filter(|family| config.sensors.has(family.name))
        .partition(|family| family.name == "process");
    let loaded = std::thread::scope(|scope| {
        let others: Vec<_> = others
            .iter()
            .map(|family| scope.spawn(|| load(std::slice::from_ref(family), conditions)))
            .collect();
        let mut loaded = load(&first, conditions);
        let primed = primed();
        // Not left to the scope, which returns a moment before the threads are gone: after this
        // there is one thread again, as `Child::fork` and `lock_down` want.
        for other in others {
            loaded.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        primed.map(|()| loaded)
    })?;
    let (running, failed): (Vec<Sensor>, Vec<Sensor>) =
        loaded.into_iter().partition(|sensor| sensor.failure.is_none());
    let absent: Absent =
        failed.into_iter().filter_map(|sensor| Some((sensor.name, sensor.failure?))).collect();
    if running.is_empty() {
        let reasons: Vec<String> = absent.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        let why = if reasons.is_empty() { "no sensor is switched on".to_owned() } else { reasons.join("\n") };
        return Err(Error::new(ExitStatus::Unavailable, format!("no sensor can run here:\n{why}")));
    }
    Ok((running, absent))
}

/// Sensors that are switched on and cannot run, with the reason.
type Absent = Vec<(&'static str, String)>;

/// The control socket. Without it everything else goes on: a second daemon on this machine, for
/// one, has none.
fn control(config: &Config, account: &privilege::Account, host: &str) -> Result<Option<Server>> {
    let Some(path) = &config.control.socket else { return Ok(None) };
    match Opened::new(path, account.uid, account.gid) {
        Ok(opened) => Server::new(opened, account.uid.as_raw(), host.to_owned()).map(Some),
        Err(why) => {
            tracing::warn!(
                "no control socket: {why}; continuing without, so `bee-trace status`, `watch` and `reload` do not \
                 reach this daemon. Stop what is there, or give this one a path of its own ([control] socket)"
            );
            Ok(None)
        }
    }
}

fn load(families: &[&Family], conditions: &Conditions<'_>) -> Vec<Sensor> {
    let sensors = families.iter().filter_map(|family| loader::start(family.name, conditions));
    sensors
        .inspect(|sensor| {
            for refused in &sensor.refused {
                tracing::debug!(
                    sensor = sensor.name,
                    hook = refused.hook,
                    reason = refused.reason,
                    "not used"
                );
            }
            if let Some(why) = &sensor.failure {
                tracing::error!(
                    "the {} sensor cannot run here: {why}; continuing without its events",
                    sensor.name
                );
            }
        })
        .collect()
}

pub(super) fn cgroup_mount(config: &Config) -> Option<PathBuf> {
    mounts::cgroup2(&places(config))
}

/// Signals as bytes in a socket pair, which epoll can wait for.
fn signals() -> Result<Signals> {
    let (stop, stop_in) = UnixStream::pair()?;
    let (reload, reload_in) = UnixStream::pair()?;
    for stream in [&stop, &reload] {
        stream.set_nonblocking(true)?;
    }
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, stop_in.try_clone()?)?;
    }
    signal_hook::low_level::pipe::register(SIGHUP, reload_in)?;
    Ok(Signals { stop, reload })
}

impl Daemon<'_> {
    /// The `start` event: what runs, and how.
    fn announce(&mut self, account: &privilege::Account) {
        let sensors: Vec<String> = self
            .sensors
            .iter()
            .map(|sensor| format!("{} ({})", sensor.name, sensor.tier().map_or("off", Tier::name)))
            .collect();
        let text = format!(
            "bee-traced {} watches: {}{}; as {} without any privilege, {} ms after its start",
            env!("CARGO_PKG_VERSION"),
            sensors.join(", "),
            if self.adopted { "; taken over as it ran" } else { "" },
            if Uid::current().is_root() { "root".to_owned() } else { format!("uid {}", account.uid) },
            self.started.elapsed().as_millis(),
        );
        tracing::info!("{text}");
        self.emit(Action::Start, Severity::Info, Body::Note(text.into()));
    }
}
