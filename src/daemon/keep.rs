//! Over a restart: what an earlier life has left is taken over where it fits, and what this one
//! has loaded is handed to the service manager. See `docs/adr/0017-restart.md`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::guard::Canary;
use super::notify::Notify;
use super::{Daemon, start::Options};
use crate::config::{Config, Limits};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::probe::FAMILIES;
use crate::probe::loader::{Kept, Maps, Sensor};
use crate::ring::Ring;
use crate::store::manifest::{self, Manifest};
use crate::store::{self, Given, Role, Set, object};
use crate::{sys, wire};

/// Every kind of descriptor in a set.
const ROLES: [Role; 5] = [Role::Manifest, Role::Ledger, Role::Map, Role::Link, Role::Program];
/// How long the first batch after a restart may take, which is as much as the rings hold.
const CATCH_UP: Duration = Duration::from_secs(10);

/// What was taken over.
pub(super) struct Adopted {
    pub maps: Maps,
    pub sensors: Vec<Sensor>,
    pub absent: Vec<(&'static str, String)>,
    pub ledger: Ledger,
}

/// What another build, or other settings, have left: its records are read to their end.
pub(super) struct Old {
    /// Alerts and bulk, with their numbers in the kernel.
    pub rings: Vec<(u64, Ring)>,
    pub counters: OwnedFd,
    pub ledger: Ledger,
}

/// `BPF_MAP_TYPE_RINGBUF`.
const RING: u32 = 27;

impl Old {
    fn of(set: &Set, own: &Manifest) -> Result<Self> {
        if (set.manifest.boot, &set.manifest.kernel) != (own.boot, &own.kernel) {
            return Err(Error::failure("it is of another kernel"));
        }
        let mut rings = Vec::new();
        for name in ["alerts", "bulk"] {
            let fd = set.map(name)?;
            let facts = object::map(fd)?;
            if facts.kind != RING {
                return Err(Error::failure(format!("the map {name} is no ring")));
            }
            let ring = Ring::new(fd.try_clone_to_owned()?, facts.max_entries as usize)?;
            rings.push((u64::from(facts.id), ring));
        }
        let counters = set.map("counters")?.try_clone_to_owned()?;
        Ok(Self { rings, counters, ledger: Ledger::adopt(set.ledger.try_clone()?)? })
    }
}

/// What has become of the descriptors that were given back.
#[derive(Default)]
pub(super) struct Returned {
    pub adopted: Option<Adopted>,
    /// Or, where it does not fit, what is still in its rings.
    pub old: Option<Old>,
    /// The set that was taken over.
    pub set: Option<String>,
    /// Names the manager is to forget, once what they keep attached is not needed any more.
    stale: Vec<String>,
    /// What is kept attached until then.
    held: Vec<Vec<(Role, OwnedFd)>>,
    /// Descriptors that were given back.
    pub count: usize,
}

/// Everything by which a set is told to fit, but for what is in it.
pub(super) fn own(config: &Config, options: &Options) -> Result<Manifest> {
    let sensors: Vec<_> =
        FAMILIES.iter().map(|family| family.name).filter(|name| config.sensors.has(name)).collect();
    let limits = &config.limits;
    let shape = format!(
        "sensors {sensors:?}; tier {:?}; rings {} {} KiB; inodes {}; flows {}; types {:?}; cgroup {:?}",
        options.force_tier,
        limits.alert_ring_kib,
        limits.bulk_ring_kib,
        limits.inodes,
        limits.flows,
        config.host.btf,
        config.host.cgroup,
    );
    let kernel = nix::sys::utsname::uname()?.release().to_string_lossy().into_owned();
    Ok(Manifest {
        format: manifest::FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build: build(),
        wire: wire::WIRE_VERSION,
        kernel,
        boot: sys::boot_id(Path::new("/proc"))?,
        shape,
        ..Manifest::default()
    })
}

/// The kernel side this is. Builds for tests can say that they are another.
fn build() -> String {
    let other = std::env::var("BEE_TEST_BUILD").ok().filter(|_| cfg!(debug_assertions));
    other.unwrap_or_else(|| store::BUILD.to_owned())
}

/// Takes over the set that fits. Why others do not is said; it is then a plain start.
pub(super) fn take(own: &Manifest, limits: &Limits) -> Returned {
    let given = match Given::from_environment() {
        Ok(given) => given,
        Err(error) => {
            tracing::warn!(
                "descriptors of an earlier life are not used: {error}; continuing with a plain start"
            );
            return Returned::default();
        }
    };
    let mut returned = Returned { count: given.count, ..Returned::default() };
    for name in given.foreign {
        tracing::warn!("the service manager has kept {name:?}, which is none of ours; it is given up");
        returned.stale.push(name);
    }
    for (name, descriptors) in given.sets {
        let copies: Vec<_> =
            descriptors.iter().filter_map(|(role, fd)| Some((*role, fd.try_clone().ok()?))).collect();
        let opened = Set::open(&name, descriptors);
        let adopted = match (&returned.adopted, &opened) {
            (None, Ok(set)) => adopt(set, own, limits),
            (Some(_), _) => Err(Error::failure("another was taken over")),
            (None, Err(error)) => Err(Error::failure(error.to_string())),
        };
        match adopted {
            Ok(adopted) => {
                returned.adopted = Some(adopted);
                returned.set = Some(name);
            }
            Err(error) => {
                let old = opened.and_then(|set| Old::of(&set, own)).ok().filter(|_| returned.old.is_none());
                let then = match &old {
                    Some(_) => "it goes on until this build runs, and its records are read to their end",
                    None => "continuing with a plain start",
                };
                tracing::warn!("what an earlier life has left ({name}) is not taken over: {error}; {then}");
                returned.old = returned.old.or(old);
                returned.stale.extend(ROLES.map(|role| store::name(&name, role)));
                returned.held.push(copies);
            }
        }
    }
    returned
}

fn adopt(set: &Set, own: &Manifest, limits: &Limits) -> Result<Adopted> {
    if let Some(why) = set.manifest.differs(own) {
        return Err(Error::failure(why));
    }
    let ledger = Ledger::adopt(set.ledger.try_clone()?).map_err(|error| error.context("its ledger"))?;
    if ledger.is_distrusted() {
        return Err(Error::failure("its programs did not report any more what was done"));
    }
    let maps = Maps::adopt(limits, |name| set.map(name))?;
    let mut sensors = Vec::new();
    for sensor in &set.manifest.sensors {
        let mut parts = Vec::new();
        for part in &sensor.attached {
            let (link, program) = set.part(part)?;
            let (point, hook, tier, name) = (&part.point, &part.hook, &part.tier, &part.name);
            parts.push(Kept { point, hook, tier, name, link, program, place: part.place });
        }
        let held = Sensor::held(&sensor.name, parts, &maps)?;
        if let Some((hook, why)) = held.detached(&maps) {
            return Err(Error::failure(format!("{hook} of the {} sensor: {why}", sensor.name)));
        }
        sensors.push(held);
    }
    if sensors.is_empty() {
        return Err(Error::failure("it has no sensor"));
    }
    let absent = set.manifest.absent.iter().filter_map(|(name, why)| {
        let family = FAMILIES.iter().find(|family| family.name == name)?;
        Some((family.name, why.clone()))
    });
    Ok(Adopted { absent: absent.collect(), maps, sensors, ledger })
}

impl Returned {
    /// What was not taken over is not kept by the manager any more, but still by us: the manager takes
    /// nothing it has already (counters and ledger go on, and would stay under their old names).
    pub fn take_back(&mut self, notify: &Notify) {
        for name in self.stale.drain(..) {
            notify.forget(&name);
        }
    }

    /// And now it is detached.
    pub fn detach(&mut self) {
        self.held.clear();
    }
}

impl Daemon<'_> {
    /// Hands what this life has loaded to the service manager. Where that cannot be, a restart has a
    /// gap, and the reason is said.
    pub(super) fn hand_over(&mut self, own: &Manifest, maps: &Maps) {
        if !self.notify.is_heard() {
            return;
        }
        match self.try_hand_over(own, maps) {
            Ok(count) => {
                self.stored = Some(count);
                for sensor in &mut self.sensors {
                    sensor.leave();
                }
            }
            Err(error) => tracing::warn!(
                "the service manager cannot keep what is loaded: {error}; continuing, but what happens during a \
                 restart will not be seen"
            ),
        }
    }

    fn try_hand_over(&self, own: &Manifest, maps: &Maps) -> Result<usize> {
        let mut list = own.clone();
        let mut links: Vec<(u32, BorrowedFd<'_>)> = Vec::new();
        let mut programs: Vec<(u32, BorrowedFd<'_>)> = Vec::new();
        for sensor in &self.sensors {
            let mut row = manifest::Sensor { name: sensor.name.to_owned(), attached: Vec::new() };
            for part in sensor.parts() {
                let (link, _) = object::link(part.link).map_err(|error| error.context(part.variant.hook))?;
                let program = object::program(part.program)?;
                if links.iter().all(|row| row.0 != link) {
                    links.push((link, part.link));
                }
                if programs.iter().all(|row| row.0 != program) {
                    programs.push((program, part.program));
                }
                row.attached.push(manifest::Part {
                    point: part.point.name.to_owned(),
                    hook: part.variant.hook.to_owned(),
                    tier: part.variant.tier.name().to_owned(),
                    name: part.variant.program.to_owned(),
                    link,
                    program,
                    place: part.place,
                });
            }
            list.sensors.push(row);
        }
        list.absent = self.hands.absent.iter().map(|(name, why)| ((*name).to_owned(), why.clone())).collect();
        let mut kept = Vec::new();
        for (name, map) in maps.all() {
            list.maps.push((name.to_owned(), object::map(map.as_fd())?.id));
            kept.push(map.as_fd());
        }
        let file = list.write()?;
        let set = store::set_name();
        // The list last: a set without one is never taken over.
        let parts: [(Role, Vec<BorrowedFd<'_>>); 5] = [
            (Role::Map, kept),
            (Role::Link, links.into_iter().map(|row| row.1).collect()),
            (Role::Program, programs.into_iter().map(|row| row.1).collect()),
            (Role::Ledger, vec![self.accounts.ledger.as_fd()]),
            (Role::Manifest, vec![file.as_fd()]),
        ];
        let mut count = 0;
        for (role, descriptors) in &parts {
            for some in descriptors.chunks(store::MESSAGE) {
                self.notify.keep(&store::name(&set, *role), some)?;
            }
            count += descriptors.len();
        }
        Ok(count)
    }

    /// What was taken over is not to come back.
    pub(super) fn give_up_store(&self, set: Option<&str>) {
        for (role, name) in ROLES.map(|role| (role, set.map(|set| store::name(set, role)))) {
            if let Some(name) = name {
                tracing::debug!(?role, "given up");
                self.notify.forget(&name);
            }
        }
    }

    /// Takes what is in the rings now, as fast as the sinks take it. Waits, within bounds.
    pub(super) fn catch_up(&mut self, end: Instant) {
        let ends: Vec<u64> = self.rings.iter().map(|ring| ring.position() + ring.waiting()).collect();
        self.patient = true;
        loop {
            self.drain();
            let behind = self.rings.iter().zip(&ends).any(|(ring, end)| ring.position() < *end);
            if !behind || Instant::now() >= end {
                break;
            }
            let mut bell = [PollFd::new(self.accounts.bell(), PollFlags::POLLIN)];
            let _ = poll(&mut bell, PollTimeout::from(20u8));
            self.accounts.hear();
        }
        self.patient = false;
    }

    /// After what was waiting: an open of the daemon's own must be reported, as proof that what was
    /// taken over still works.
    pub(super) fn prove_adopted(&mut self) -> Result<()> {
        self.catch_up(Instant::now() + CATCH_UP);
        if self.canary() == Canary::Back {
            return Ok(());
        }
        Err(Error::failure(
            "what an earlier life has left attached does not report an open of the daemon's own; it is given up, \
             and the next start loads everything anew",
        ))
    }
}
