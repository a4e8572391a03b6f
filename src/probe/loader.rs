//! Loading and attaching, by trial. Whether a mechanism works here is found out
//! by using it, never by the kernel's version; what did not work is kept with
//! its reason for `bee-trace check`.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use libbpf_rs::{Link, Object, OpenObject, PrintLevel, ProgramMut};

use super::{
    FAMILIES, Mechanism, Point, Tier, Variant, ability, calls, exits::Place, maps::SCRATCH, skipped::skipped,
    trace_event, types, types::Kernel, types::TypesFile,
};
use crate::canary::Acted;
use crate::error::{Error, Result};

pub use super::maps::Maps;

pub(crate) type Prepare<'a> = &'a mut dyn FnMut(&mut OpenObject) -> Result<()>;
pub(crate) type UseLoaded<'a> = &'a mut dyn FnMut(&Object) -> Result<()>;
pub(crate) type Load = fn(Option<&Path>, Prepare<'_>, UseLoaded<'_>) -> Result<()>;

/// Where programs are told what was found out: `struct bee_found` of maps.bpf.h.
const FOUND: &str = ".rodata.found";

/// A variant that was tried in vain.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Which point of the sensor.
    pub point: &'static str,
    /// Its hook.
    pub hook: &'static str,
    /// Its tier.
    pub tier: Tier,
    /// Why, in words.
    pub reason: String,
}

/// What the loader may use.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// The shared maps.
    pub maps: &'a Maps,
    /// The kernel's types from a file, for a kernel that has none of its own built in.
    pub btf: Option<&'a Path>,
    /// No better tier than this.
    pub forced: Option<Tier>,
    /// Where cgroup v2 is mounted.
    pub cgroup: Option<&'a Path>,
    /// Hooks that attached and then did not report what was done (`enum bee_hook`).
    pub silent: &'a [u16],
}

impl<'a> Conditions<'a> {
    /// Nothing but the maps: the best there is, with the kernel's own types.
    pub fn new(maps: &'a Maps) -> Self {
        Self { maps, btf: None, forced: None, cgroup: None, silent: &[] }
    }

    /// It is of a better tier than a person asked for.
    fn forbids(&self, variant: &Variant) -> bool {
        self.forced.is_some_and(|tier| variant.tier < tier)
    }

    /// Why it is of no use to try it.
    fn excludes(&self, variant: &Variant) -> Option<String> {
        if self.forbids(variant) {
            return None;
        }
        if variant.id != 0 && self.silent.contains(&variant.id) {
            return Some(SILENT.to_owned());
        }
        ability::missing(variant.hook).map(str::to_owned).or_else(|| trace_event::missing(variant))
    }
}

/// A sensor that runs, or why it does not.
#[derive(Debug)]
pub struct Sensor {
    /// `bee.sensor`.
    pub name: &'static str,
    /// What was attached: point and variant.
    pub attached: Vec<(&'static Point, &'static Variant)>,
    /// What was tried in vain.
    pub refused: Vec<Refused>,
    /// Set when the sensor does not run.
    pub failure: Option<String>,
    links: Vec<Attached>,
    programs: Vec<OwnedFd>,
}

/// What keeps a program running.
#[derive(Debug)]
enum Attached {
    Link(Link),
    Place(Place),
    /// Taken over from an earlier life, and the place it hands on from.
    Held(OwnedFd, Option<u32>),
    /// Somebody else keeps it attached too: its end is not the end of it.
    Left(ManuallyDrop<Box<Attached>>),
}

impl Attached {
    fn link(&self) -> BorrowedFd<'_> {
        match self {
            Self::Link(link) => link.as_fd(),
            Self::Place(place) => place.link(),
            Self::Held(link, _) => link.as_fd(),
            Self::Left(left) => left.link(),
        }
    }

    fn place(&self) -> Option<u32> {
        match self {
            Self::Link(_) => None,
            Self::Place(place) => Some(place.number()),
            Self::Held(_, place) => *place,
            Self::Left(left) => left.place(),
        }
    }
}

/// One attached program of a sensor: what an earlier life of the daemon hands to the next.
#[derive(Debug)]
pub struct Part<'a> {
    /// Where it is attached.
    pub point: &'static Point,
    /// By which hook.
    pub variant: &'static Variant,
    /// What keeps it attached.
    pub link: BorrowedFd<'a>,
    /// The program that is attached there.
    pub program: BorrowedFd<'a>,
    /// The place in an array from which that program hands on.
    pub place: Option<u32>,
}

/// The same as the next life finds it, in its words.
#[derive(Debug)]
pub struct Kept<'a> {
    /// [`Point::name`].
    pub point: &'a str,
    /// [`Variant::hook`].
    pub hook: &'a str,
    /// The name of [`Variant::tier`].
    pub tier: &'a str,
    /// [`Variant::program`].
    pub name: &'a str,
    /// See [`Part::link`].
    pub link: OwnedFd,
    /// See [`Part::program`].
    pub program: OwnedFd,
    /// See [`Part::place`].
    pub place: Option<u32>,
}

impl Sensor {
    /// The weakest tier among its points, context apart; `None` when it does not run.
    pub fn tier(&self) -> Option<Tier> {
        self.attached.iter().filter(|(point, _)| point.graded).map(|(_, variant)| variant.tier).max()
    }

    /// Hooks that must have reported the canary and are not among those that did.
    pub fn unproven(&self, acted: Acted, heard: &[u16]) -> impl Iterator<Item = &'static Variant> {
        let silent = self
            .attached
            .iter()
            .filter(move |(point, variant)| acted.shows(point.proof) && !heard.contains(&variant.id));
        silent.map(|(_, variant)| *variant)
    }

    fn refuse(&mut self, point: &Point, variant: &Variant, reason: String) {
        self.refused.push(Refused { point: point.name, hook: variant.hook, tier: variant.tier, reason });
    }

    /// A sensor whose programs were attached by an earlier life of the daemon.
    ///
    /// # Errors
    /// When this build has no such sensor, point or hook, or the place is empty.
    pub fn held(name: &str, parts: Vec<Kept<'_>>, maps: &Maps) -> Result<Self> {
        let unknown = |what: &str| Error::failure(format!("this build knows no {what} of the sensor {name}"));
        let family = FAMILIES.iter().find(|family| family.name == name).ok_or_else(|| unknown("programs"))?;
        let mut sensor = Self {
            name: family.name,
            attached: Vec::new(),
            refused: Vec::new(),
            failure: None,
            links: Vec::new(),
            programs: Vec::new(),
        };
        for Kept { point, hook, tier, name: named, link, program, place } in parts {
            let mut rows = family.variants();
            // A tier has several programs for a hook, and several tiers have some for it.
            let same = |row: &(&Point, &Variant)| {
                row.0.name == point && (row.1.hook, row.1.tier.name(), row.1.program) == (hook, tier, named)
            };
            let row = rows.find(same);
            let (point, variant) = row.ok_or_else(|| unknown(hook))?;
            if let Some(place) = place
                && !super::exits::is_filled(maps, name, variant.hook, place)
            {
                return Err(Error::failure(format!(
                    "nothing hands on to the {name} sensor from {}",
                    variant.hook
                )));
            }
            sensor.attached.push((point, variant));
            sensor.links.push(Attached::Held(link, place));
            sensor.programs.push(program);
        }
        if sensor.tier().is_none() {
            return Err(Error::failure(format!("nothing of the sensor {name} is attached")));
        }
        Ok(sensor)
    }

    /// What is attached.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.attached.iter().zip(&self.links).zip(&self.programs).map(
            |(((point, variant), link), program)| Part {
                point,
                variant,
                link: link.link(),
                program: program.as_fd(),
                place: link.place(),
            },
        )
    }

    /// The hook that does not report any more, with the reason: somebody has detached its link, or
    /// taken its program out of its place. `None`: all are there.
    pub fn detached(&self, maps: &Maps) -> Option<(&'static str, String)> {
        self.parts().find_map(|part| {
            let emptied = part
                .place
                .is_some_and(|place| !super::exits::is_filled(maps, self.name, part.variant.hook, place));
            let why = match crate::store::object::is_attached(part.link) {
                _ if emptied => "its program was taken out of the programs at the end of system calls",
                Ok(false) => "its link was detached",
                // Before 5.15 probes hang on descriptors that tell nothing of themselves.
                Ok(true) | Err(_) => return None,
            };
            Some((part.variant.hook, why.to_owned()))
        })
    }

    /// Somebody else keeps its programs attached from now on: the end of this process detaches
    /// nothing. (What libbpf does at the end of a link would switch off a probe that goes on.)
    pub fn leave(&mut self) {
        let links = std::mem::take(&mut self.links).into_iter();
        self.links = links.map(|link| Attached::Left(ManuallyDrop::new(Box::new(link)))).collect();
    }

    /// Detaches its programs.
    pub fn detach(&mut self) {
        self.links.clear();
        self.programs.clear();
        self.attached.clear();
    }

    /// How often the kernel skipped one of its programs, since they were loaded: see
    /// `skipped.rs`.
    pub fn skipped(&self) -> u64 {
        skipped(&self.programs)
    }
}

/// Loads and attaches one sensor: the first of its mechanisms that works.
pub fn start(name: &str, conditions: &Conditions<'_>) -> Option<Sensor> {
    let family = FAMILIES.iter().find(|family| family.name == name)?;
    let mut sensor = Sensor {
        name: family.name,
        attached: Vec::new(),
        refused: Vec::new(),
        failure: None,
        links: Vec::new(),
        programs: Vec::new(),
    };
    // Of functions of another architecture there is nothing to say.
    for (point, variant) in family.variants().filter(|row| calls::missing(row.1.hook).is_none()) {
        if let Some(why) = conditions.excludes(variant) {
            sensor.refuse(point, variant, why);
        }
    }
    let mut failures: Vec<String> = Vec::new();
    for mechanism in family.mechanisms {
        match attach(mechanism, conditions, &mut sensor) {
            Ok(()) => return Some(sensor),
            Err(NotHere::NoPrograms) => {}
            Err(NotHere::Refused(why)) => {
                sensor.detach();
                failures.push(why);
            }
        }
    }
    sensor.failure = Some(match (failures.is_empty(), conditions.forced) {
        (true, Some(tier)) => format!("this release has no programs for the tier {}", tier.name()),
        _ => failures.join("; "),
    });
    Some(sensor)
}

/// Why a mechanism does not work.
enum NotHere {
    /// It has nothing at the forced tier or below.
    NoPrograms,
    /// All it has was tried.
    Refused(String),
}

/// Which variant of each point comes next; past the end when all were tried.
struct Choice<'a> {
    points: &'static [Point],
    conditions: &'a Conditions<'a>,
    next: Vec<usize>,
}

impl<'a> Choice<'a> {
    fn new(points: &'static [Point], conditions: &'a Conditions<'a>) -> Self {
        let mut choice = Self { points, conditions, next: vec![0; points.len()] };
        for index in 0..points.len() {
            choice.settle(index);
        }
        choice
    }

    /// On to the next variant of this point.
    fn advance(&mut self, index: usize) {
        self.next[index] += 1;
        self.settle(index);
    }

    /// Past what a forced tier forbids and what was proven silent.
    fn settle(&mut self, index: usize) {
        let conditions = self.conditions;
        while self.points[index]
            .variants
            .get(self.next[index])
            .is_some_and(|variant| conditions.forbids(variant) || conditions.excludes(variant).is_some())
        {
            self.next[index] += 1;
        }
    }

    fn chosen(&self) -> Vec<Chosen> {
        let both = self.points.iter().zip(&self.next).enumerate();
        both.filter_map(|(index, (point, next))| {
            Some(Chosen { index, point, variant: point.variants.get(*next)? })
        })
        .collect()
    }

    /// Whether there is nothing to be had by trying once more without this one: it need
    /// not be, and there is no other variant of it.
    fn expendable(&self, one: &Chosen) -> bool {
        !one.point.required && self.next[one.index] + 1 >= one.point.variants.len()
    }

    /// A point that must be and has nothing left to try.
    fn missing(&self) -> Option<&'static Point> {
        let mut both = self.points.iter().zip(&self.next);
        both.find(|(point, next)| point.required && **next >= point.variants.len()).map(|(point, _)| point)
    }
}

#[derive(Clone, Copy)]
struct Chosen {
    index: usize,
    point: &'static Point,
    variant: &'static Variant,
}

fn attach(
    mechanism: &'static Mechanism,
    conditions: &Conditions<'_>,
    sensor: &mut Sensor,
) -> std::result::Result<(), NotHere> {
    let mut choice = Choice::new(mechanism.points, conditions);
    loop {
        if let Some(point) = choice.missing() {
            return Err(not_here(point, &sensor.refused));
        }
        let chosen = choice.chosen();
        let mut failed: Vec<(Chosen, String)> = Vec::new();
        let mut links = Vec::new();
        let mut programs = Vec::new();
        let said = capture();
        let begun = Instant::now();
        let mut loaded = Duration::ZERO;
        let mut place = chosen.iter().find_map(|one| {
            let maps = conditions.maps;
            Some((one.variant.hook, maps.exits.place(sensor.name, one.variant.hook, conditions.btf, maps)?))
        });
        let result = load(mechanism, conditions, &chosen, place.is_some(), &mut |object| {
            loaded = begun.elapsed();
            for one in &chosen {
                let place = place.take_if(|(hook, _)| *hook == one.variant.hook).map(|(_, place)| place);
                match attach_one(object, one.variant, conditions.cgroup, place) {
                    Ok((link, program)) => {
                        links.push(link);
                        programs.push(program);
                    }
                    Err(error) => {
                        let reason = format!("cannot be attached: {error}");
                        failed.push((*one, reason));
                        if !choice.expendable(one) {
                            break;
                        }
                    }
                }
            }
            Ok(())
        });
        let said = said();
        tracing::debug!(object = mechanism.object, programs = chosen.len(), ?loaded, all = ?begun.elapsed(), "tried");
        if let Err(error) = result {
            let reason = explain(&error, &said).to_string();
            let found = named(&said, &chosen).map(|one| (one, reason.clone()));
            let found = found.or_else(|| find_refused(mechanism, conditions, &chosen));
            failed = vec![found.ok_or(NotHere::Refused(reason))?];
        }
        let again = failed.iter().any(|(one, _)| !choice.expendable(one));
        for (one, reason) in &failed {
            tracing::debug!(hook = one.variant.hook, reason, "variant refused");
            sensor.refuse(one.point, one.variant, reason.clone());
        }
        if !again || failed.is_empty() {
            // What could not be attached and has no other variant is only missing.
            let lost: Vec<usize> = failed.iter().map(|(one, _)| one.index).collect();
            sensor.links = links;
            sensor.programs = programs;
            let kept = chosen.iter().filter(|one| !lost.contains(&one.index));
            sensor.attached = kept.map(|one| (one.point, one.variant)).collect();
            return Ok(());
        }
        for (one, _) in &failed {
            choice.advance(one.index);
        }
    }
}

/// The program libbpf's words say the kernel refused.
fn named(said: &str, chosen: &[Chosen]) -> Option<Chosen> {
    let (_, rest) = said.split_once("libbpf: prog '")?;
    let (name, _) = rest.split_once('\'')?;
    chosen.iter().find(|one| one.variant.program == name).copied()
}

fn not_here(point: &Point, refused: &[Refused]) -> NotHere {
    let tried = refused.iter().filter(|refused| refused.point == point.name);
    let reasons: Vec<String> = tried.map(|refused| format!("{}: {}", refused.hook, refused.reason)).collect();
    if reasons.is_empty() {
        return NotHere::NoPrograms;
    }
    NotHere::Refused(format!("nothing here can observe {}: {}", point.name, reasons.join("; ")))
}

/// Of a hook that load and attach do not tell about.
const SILENT: &str = "it loads and attaches, but does not report what is done";

/// Loads each chosen program by itself to find the one the kernel refuses.
fn find_refused(
    mechanism: &Mechanism,
    conditions: &Conditions<'_>,
    chosen: &[Chosen],
) -> Option<(Chosen, String)> {
    chosen.iter().find_map(|one| {
        let said = capture();
        let result = load(mechanism, conditions, std::slice::from_ref(one), false, &mut |_| Ok(()));
        let said = said();
        result.err().map(|error| (*one, explain(&error, &said).to_string()))
    })
}

fn load(
    mechanism: &Mechanism,
    conditions: &Conditions<'_>,
    chosen: &[Chosen],
    handed_on: bool,
    use_loaded: UseLoaded<'_>,
) -> Result<()> {
    let own = own_types(conditions.btf)?;
    (mechanism.load)(
        conditions.btf.or(own.as_ref().map(TypesFile::path)),
        &mut |object| {
            tell_found(object, handed_on, own.as_ref());
            conditions.maps.share(object)?;
            trace_event::tell(object, chosen.iter().map(|one| one.variant))?;
            // Programs of trampolines are preempted while another of the object runs; those of
            // tier portable have two that build a record.
            let preempted = chosen.iter().any(|one| matches!(one.variant.tier, Tier::Full | Tier::Portable));
            for mut map in object.maps_mut().filter(|map| map.name() == SCRATCH) {
                map.set_max_entries(if preempted { mechanism.slots } else { 1 })?;
            }
            for mut program in object.progs_mut() {
                let name = program.name().to_string_lossy().into_owned();
                program.set_autoload(chosen.iter().any(|one| one.variant.program == name));
            }
            Ok(())
        },
        use_loaded,
    )
}

/// Sets what leaves out the programs' code for the other case.
pub(super) fn tell_found(object: &mut OpenObject, exits: bool, own: Option<&TypesFile>) {
    // A file's types are not the verifier's.
    let typed = own.is_some() && types::kernel().is_ok_and(Kernel::typed_task);
    let found = [u32::from(exits), u32::from(typed)].map(u32::to_ne_bytes);
    for mut map in object.maps_mut().filter(|map| map.name() == FOUND) {
        if let Some(value) = map.initial_value_mut() {
            value.copy_from_slice(found.as_flattened());
        }
    }
}

/// The kernel's own types, where no file is given: asked for once, for all objects.
pub(super) fn own_types(given: Option<&Path>) -> Result<Option<TypesFile>> {
    match (given, types::kernel()) {
        (None, Ok(kernel)) => kernel.file().map(Some),
        _ => Ok(None),
    }
}

fn attach_one(
    object: &Object,
    variant: &Variant,
    cgroup: Option<&Path>,
    place: Option<Place>,
) -> Result<(Attached, OwnedFd)> {
    let program = program(object, variant.program)?;
    if let Some(place) = place {
        // It has no runs of its own.
        let front = place.program()?;
        return Ok((Attached::Place(place.take(&program)?), front));
    }
    let link = match trace_event::attach(&program, variant.hook) {
        Some(attached) => attached?,
        // libbpf does not see any more which kind of program it is: see `types`.
        None if variant.hook.starts_with("cgroup/") => {
            let root = cgroup.ok_or_else(|| Error::failure("cgroup v2 is not mounted here"))?;
            let root =
                std::fs::File::open(root).map_err(|error| Error::from(error).context(root.display()))?;
            // It stays attached as long as the link is held, whatever becomes of this descriptor.
            program.attach_cgroup(root.as_raw_fd()).map_err(in_full)?
        }
        None => attach_trace(&program, variant.hook)?,
    };
    Ok((Attached::Link(link), program.as_fd().try_clone_to_owned()?))
}

/// Attaches a program that is neither of a classic tracepoint nor of a cgroup.
pub(super) fn attach_trace(program: &ProgramMut<'_>, hook: &str) -> Result<Link> {
    let attached = match calls::probed(hook) {
        Some((returns, function)) => program.attach_kprobe(returns, function),
        None if types::by_number(hook) => program.attach_trace(),
        None => program.attach(),
    };
    attached.map_err(in_full)
}

/// With the cause, which the short form leaves out.
fn in_full(error: libbpf_rs::Error) -> Error {
    Error::failure(format!("{error:#}"))
}

pub(super) fn program<'obj>(object: &'obj Object, name: &str) -> Result<ProgramMut<'obj>> {
    object
        .progs_mut()
        .find(|program| program.name() == name)
        .ok_or_else(|| Error::failure(format!("no program {name}")))
}

thread_local! {
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// libbpf's own words never reach the user raw: they are kept here, shown at
/// debug level, and searched for the verifier's last line. Returns what gives
/// them back. Each thread hears what it makes libbpf say.
pub(super) fn capture() -> impl FnOnce() -> String {
    fn keep(_: PrintLevel, text: String) {
        SAID.with_borrow_mut(|said| {
            if said.len() < 1 << 20 {
                said.push_str(&text);
            }
        });
    }
    SAID.take();
    libbpf_rs::set_print(Some((PrintLevel::Warn, keep)));
    || {
        let said = SAID.take();
        if !said.is_empty() {
            tracing::debug!(libbpf = said.trim_end(), "libbpf");
        }
        said
    }
}

/// The reason in one line: libbpf's error, and the verifier's verdict where it
/// gave one.
pub(super) fn explain(error: &Error, said: &str) -> Error {
    let verdict = said
        .lines()
        .map(str::trim)
        .rfind(|line| {
            !line.is_empty()
                && !line.starts_with("processed ")
                && !line.starts_with("libbpf:")
                && !line.starts_with("--")
                && !line.starts_with("verification time")
                && !line.starts_with("stack depth")
        })
        .map(|line| format!(" ({line})"))
        .unwrap_or_default();
    Error::new(error.status, format!("the kernel refuses it: {error}{verdict}"))
}
