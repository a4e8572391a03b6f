//! Loading and attaching, by trial. Whether a mechanism works here is found out
//! by using it, never by the kernel's version; what did not work is kept with
//! its reason for `bee-trace check`.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::sync::Mutex;

use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapHandle, Object, OpenObject, PrintLevel};

use super::{FAMILIES, Family, Point, Tier, Variant};
use crate::config::Limits;
use crate::error::{Error, Result};
use crate::skel;

pub(crate) type Prepare<'a> = &'a mut dyn FnMut(&mut OpenObject) -> Result<()>;
pub(crate) type UseLoaded<'a> = &'a mut dyn FnMut(&Object) -> Result<()>;
pub(crate) type Load = fn(Prepare<'_>, UseLoaded<'_>) -> Result<()>;

/// The one map that is not shared.
const SCRATCH: &str = "scratch";

/// The maps all objects share.
#[derive(Debug)]
pub struct Maps {
    maps: Vec<(String, MapHandle)>,
}

impl Maps {
    /// Creates them; sizes come from the configuration.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub fn create(limits: &Limits) -> Result<Self> {
        let mut storage = MaybeUninit::<OpenObject>::uninit();
        let mut open = skel::base::BaseSkelBuilder::default().open(&mut storage)?;
        for mut map in open.open_object_mut().maps_mut() {
            match map.name().to_str() {
                Some("alerts") => map.set_max_entries(ring_bytes(limits.alert_ring_kib))?,
                Some("bulk") => map.set_max_entries(ring_bytes(limits.bulk_ring_kib))?,
                Some("inodes") => map.set_max_entries(limits.inodes)?,
                // Each object has its own: see maps.bpf.h.
                Some(SCRATCH) => map.set_autocreate(false)?,
                _ => {}
            }
        }
        let said = capture();
        let skeleton = open
            .load()
            .map_err(|error| explain(&error.into(), &said()).context("creating the shared maps"))?;
        let mut maps = Vec::new();
        for map in skeleton.object().maps() {
            let name = map.name().to_string_lossy().into_owned();
            if !name.contains('.') && name != SCRATCH {
                maps.push((name, MapHandle::try_from(&map)?));
            }
        }
        Ok(Self { maps })
    }

    /// The map called `name`.
    ///
    /// # Errors
    /// When there is none; it would be a fault of this program.
    pub fn get(&self, name: &str) -> Result<&MapHandle> {
        self.maps
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, map)| map)
            .ok_or_else(|| Error::failure(format!("no map {name}")))
    }

    fn share(&self, object: &mut OpenObject) -> Result<()> {
        for mut map in object.maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            if let Some((_, shared)) = self.maps.iter().find(|(known, _)| *known == name) {
                map.reuse_fd(shared.as_fd())?;
            }
        }
        Ok(())
    }
}

/// Ring sizes must be a power of two of pages, whatever a page is here.
fn ring_bytes(kib: u32) -> u32 {
    let page = u32::try_from(crate::sys::page_size()).unwrap_or(4096);
    (kib.saturating_mul(1024)).clamp(page, 1 << 30).next_power_of_two()
}

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

/// A sensor that runs, or why it does not.
#[derive(Debug)]
pub struct Sensor {
    /// `bee.sensor`.
    pub name: &'static str,
    /// What was attached: point and variant.
    pub attached: Vec<(&'static str, &'static Variant)>,
    /// What was tried in vain.
    pub refused: Vec<Refused>,
    /// Set when the sensor does not run.
    pub failure: Option<String>,
    links: Vec<Link>,
}

impl Sensor {
    /// The weakest tier among its required points; `None` when it does not run.
    pub fn tier(&self) -> Option<Tier> {
        self.attached.iter().map(|(_, variant)| variant.tier).max()
    }

    /// Detaches its programs.
    pub fn detach(&mut self) {
        self.links.clear();
        self.attached.clear();
    }
}

/// Loads and attaches one sensor.
pub fn start(name: &str, maps: &Maps, forced: Option<Tier>) -> Option<Sensor> {
    let family = FAMILIES.iter().find(|family| family.name == name)?;
    let mut sensor = Sensor {
        name: family.name,
        attached: Vec::new(),
        refused: Vec::new(),
        failure: None,
        links: Vec::new(),
    };
    if let Err(error) = attach(family, maps, forced, &mut sensor) {
        sensor.detach();
        sensor.failure = Some(error.to_string());
    }
    Some(sensor)
}

/// Which variant of each point comes next; `None` when all were tried.
struct Choice<'a> {
    points: &'a [Point],
    next: Vec<usize>,
}

impl Choice<'_> {
    fn chosen(&self) -> impl Iterator<Item = (usize, &'static str, &'static Variant)> {
        self.points.iter().zip(&self.next).enumerate().filter_map(|(index, (point, next))| {
            // 'static: the tables are.
            let variants: &'static [Variant] = point.variants;
            Some((index, point.name, variants.get(*next)?))
        })
    }
}

fn attach(family: &Family, maps: &Maps, forced: Option<Tier>, sensor: &mut Sensor) -> Result<()> {
    let mut choice = Choice { points: family.points, next: vec![0; family.points.len()] };
    if let Some(tier) = forced {
        for (point, next) in family.points.iter().zip(&mut choice.next) {
            // A forced tier forbids the better ones; what has nothing at it or below is off.
            *next = point
                .variants
                .iter()
                .position(|variant| variant.tier >= tier)
                .unwrap_or(point.variants.len());
        }
    }
    loop {
        for (point, next) in family.points.iter().zip(&choice.next) {
            if point.required && *next >= point.variants.len() {
                let reasons: Vec<String> = sensor
                    .refused
                    .iter()
                    .filter(|refused| refused.point == point.name)
                    .map(|refused| format!("{}: {}", refused.hook, refused.reason))
                    .collect();
                let reasons = match (reasons.is_empty(), forced) {
                    (true, Some(tier)) => {
                        format!("this release has no programs for the tier {}", tier.name())
                    }
                    _ => reasons.join("; "),
                };
                return Err(Error::failure(format!("nothing here can observe {}: {reasons}", point.name)));
            }
        }
        let chosen: Vec<_> = choice.chosen().collect();
        let mut failed: Option<(usize, String)> = None;
        let mut links = Vec::new();
        let said = capture();
        let result = load(family, maps, &chosen, &mut |object| {
            for (index, _, variant) in &chosen {
                match program(object, variant.program).and_then(|program| Ok(program.attach()?)) {
                    Ok(link) => links.push(link),
                    Err(error) => {
                        failed = Some((*index, format!("cannot be attached: {error}")));
                        break;
                    }
                }
            }
            Ok(())
        });
        let said = said();
        if let Err(error) = result {
            failed = Some(find_refused(family, maps, &chosen).ok_or_else(|| explain(&error, &said))?);
        }
        match failed {
            None => {
                sensor.links = links;
                sensor.attached = chosen.iter().map(|(_, point, variant)| (*point, *variant)).collect();
                return Ok(());
            }
            Some((index, reason)) => {
                if let Some((_, point, variant)) = chosen.iter().find(|(chosen, ..)| *chosen == index) {
                    tracing::debug!(hook = variant.hook, reason, "variant refused");
                    sensor.refused.push(Refused { point, hook: variant.hook, tier: variant.tier, reason });
                }
                choice.next[index] += 1;
            }
        }
    }
}

/// Loads each chosen program by itself to find the one the kernel refuses.
fn find_refused(
    family: &Family,
    maps: &Maps,
    chosen: &[(usize, &'static str, &'static Variant)],
) -> Option<(usize, String)> {
    chosen.iter().find_map(|one| {
        let said = capture();
        let result = load(family, maps, std::slice::from_ref(one), &mut |_| Ok(()));
        let said = said();
        result.err().map(|error| (one.0, explain(&error, &said).to_string()))
    })
}

fn load(
    family: &Family,
    maps: &Maps,
    chosen: &[(usize, &'static str, &'static Variant)],
    use_loaded: UseLoaded<'_>,
) -> Result<()> {
    (family.load)(
        &mut |object| {
            maps.share(object)?;
            for mut program in object.progs_mut() {
                let name = program.name().to_string_lossy().into_owned();
                program.set_autoload(chosen.iter().any(|(_, _, variant)| variant.program == name));
            }
            Ok(())
        },
        use_loaded,
    )
}

fn program<'obj>(object: &'obj Object, name: &str) -> Result<libbpf_rs::ProgramMut<'obj>> {
    object
        .progs_mut()
        .find(|program| program.name() == name)
        .ok_or_else(|| Error::failure(format!("no program {name}")))
}

static SAID: Mutex<String> = Mutex::new(String::new());

/// libbpf's own words never reach the user raw: they are kept here, shown at
/// debug level, and searched for the verifier's last line. Returns what gives
/// them back.
fn capture() -> impl FnOnce() -> String {
    fn keep(_: PrintLevel, text: String) {
        match SAID.lock() {
            Ok(mut said) if said.len() < 1 << 20 => said.push_str(&text),
            _ => {}
        }
    }
    if let Ok(mut said) = SAID.lock() {
        said.clear();
    }
    libbpf_rs::set_print(Some((PrintLevel::Warn, keep)));
    || {
        let said = SAID.lock().map(|mut said| std::mem::take(&mut *said)).unwrap_or_default();
        if !said.is_empty() {
            tracing::debug!(libbpf = said.trim_end(), "libbpf");
        }
        said
    }
}

/// The reason in one line: libbpf's error, and the verifier's verdict where it
/// gave one.
fn explain(error: &Error, said: &str) -> Error {
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
