//! Loading and attaching, by trial. Whether a mechanism works here is found out
//! by using it, never by the kernel's version; what did not work is kept with
//! its reason for `bee-trace check`.

use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use libbpf_rs::{Link, Object, OpenObject, PrintLevel, ProgramMut};

use super::choice::{Choice, Chosen};
use super::sensor::Attached;
use super::{
    FAMILIES, Mechanism, Point, Tier, Variant, ability, calls, exits::Place, maps::SCRATCH, trace_event,
    types, types::Kernel, types::TypesFile,
};
use crate::error::{Error, Result};

pub use super::maps::Maps;
pub use super::sensor::{Kept, Part, Refused, Sensor};

pub(crate) type Prepare<'a> = &'a mut dyn FnMut(&mut OpenObject) -> Result<()>;
pub(crate) type UseLoaded<'a> = &'a mut dyn FnMut(&Object) -> Result<()>;
pub(crate) type Load = fn(Option<&Path>, Prepare<'_>, UseLoaded<'_>) -> Result<()>;

/// Where programs are told what was found out: `struct bee_found` of maps.bpf.h.
const FOUND: &str = ".rodata.found";

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
    pub(super) fn forbids(&self, variant: &Variant) -> bool {
        self.forced.is_some_and(|tier| variant.tier < tier)
    }

    /// Why it is of no use to try it.
    pub(super) fn excludes(&self, variant: &Variant) -> Option<String> {
        if self.forbids(variant) {
            return None;
        }
        if variant.id != 0 && self.silent.contains(&variant.id) {
            return Some(SILENT.to_owned());
        }
        ability::missing(variant.hook).map(str::to_owned).or_else(|| trace_event::missing(variant))
    }
}

/// Loads and attaches one sensor: the first of its mechanisms that works.
pub fn start(name: &str, conditions: &Conditions<'_>) -> Option<Sensor> {
    let family = FAMILIES.iter().find(|family| family.name == name)?;
    let mut sensor = Sensor::of(family);
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
