//! What all objects share: the maps, by name, and the programs in front of those at the end of
//! system calls. `src/bpf/base.bpf.c` has the maps.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};

use libbpf_rs::skel::{OpenSkel as _, Skel as _, SkelBuilder as _};
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, OpenObject};

use super::exits::Exits;
use super::loader::{capture, explain};
use crate::config::Limits;
use crate::error::{Error, Result};
use crate::skel;
use crate::store::object::{self, Name};

/// The one map that is not shared.
pub(super) const SCRATCH: &str = "scratch";

/// What a map must be like.
#[derive(Debug)]
struct Wanted {
    name: String,
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    /// As the kernel has it.
    called: Name,
}

impl Wanted {
    fn check<'a>(&self, fd: BorrowedFd<'a>) -> Result<BorrowedFd<'a>> {
        let facts = object::map(fd)?;
        let has = (facts.kind, facts.key_size, facts.value_size, facts.max_entries, facts.flags);
        let wanted = (self.kind, self.key_size, self.value_size, self.max_entries, self.flags);
        if has == wanted && facts.name == self.called {
            return Ok(fd);
        }
        Err(Error::failure(format!("the map {} is another: {facts:?}, wanted {self:?}", self.name)))
    }
}

/// What all objects share: the maps, and the programs in front of those at the end of system calls.
#[derive(Debug)]
pub struct Maps {
    maps: Vec<(String, MapHandle)>,
    pub(super) exits: Exits,
}

impl Maps {
    /// Creates them; sizes come from the configuration.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub fn create(limits: &Limits) -> Result<Self> {
        Self::make(limits, |_| Ok(None))
    }

    /// Creates them, but for the counters, which go on.
    ///
    /// # Errors
    /// When the kernel refuses one, or the counters are not as this build would make them.
    pub fn create_with(limits: &Limits, counters: BorrowedFd<'_>) -> Result<Self> {
        Self::make(limits, |wanted| match &*wanted.name {
            "counters" => wanted.check(counters).map(Some),
            _ => Ok(None),
        })
    }

    /// Takes over those of an earlier life; `given` has the one of a name.
    ///
    /// # Errors
    /// When one is not there or not as this build would make it.
    pub fn adopt<'a>(limits: &Limits, given: impl Fn(&str) -> Result<BorrowedFd<'a>>) -> Result<Self> {
        Self::make(limits, |wanted| wanted.check(given(&wanted.name)?).map(Some))
    }

    fn make<'a>(limits: &Limits, given: impl Fn(&Wanted) -> Result<Option<BorrowedFd<'a>>>) -> Result<Self> {
        let mut storage = MaybeUninit::<OpenObject>::uninit();
        let mut open = skel::base::BaseSkelBuilder::default().open(&mut storage)?;
        for mut map in open.open_object_mut().maps_mut() {
            match map.name().to_str() {
                Some("alerts") => map.set_max_entries(ring_bytes(limits.alert_ring_kib))?,
                Some("bulk") => map.set_max_entries(ring_bytes(limits.bulk_ring_kib))?,
                Some("inodes") => map.set_max_entries(limits.inodes)?,
                Some("flows") => map.set_max_entries(limits.flows)?,
                // Each object has its own: see maps.bpf.h.
                Some(SCRATCH) => map.set_autocreate(false)?,
                _ => {}
            }
            let name = map.name().to_string_lossy().into_owned();
            let called = Name::of(&name);
            let Some(name) = shared_name(&name).filter(|name| *name != SCRATCH) else { continue };
            let wanted = Wanted {
                name: name.to_owned(),
                kind: map.map_type() as u32,
                key_size: map.key_size(),
                value_size: map.value_size(),
                max_entries: map.max_entries(),
                flags: map.map_flags(),
                called,
            };
            if let Some(fd) = given(&wanted)? {
                map.reuse_fd(fd)?;
            }
        }
        let said = capture();
        let skeleton = open
            .load()
            .map_err(|error| explain(&error.into(), &said()).context("creating the shared maps"))?;
        let mut maps = Vec::new();
        for map in skeleton.object().maps() {
            match shared_name(&map.name().to_string_lossy()) {
                Some(name) if name != SCRATCH => maps.push((name.to_owned(), MapHandle::try_from(&map)?)),
                _ => {}
            }
        }
        Ok(Self { maps, exits: Exits::default() })
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

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &MapHandle)> {
        self.maps.iter().map(|(name, map)| (&**name, map))
    }

    /// The programs that those at the end of system calls hand on to, by their numbers.
    pub fn handed_on(&self) -> Vec<u32> {
        let arrays = super::exits::arrays().filter_map(|name| self.get(name).ok());
        let places = arrays.flat_map(|array| array.keys().map(move |key| (array, key)));
        let filled = places.filter_map(|(array, key)| array.lookup(&key, MapFlags::ANY).ok().flatten());
        filled.filter_map(|id| Some(u32::from_ne_bytes(id.try_into().ok()?))).collect()
    }

    pub(super) fn share(&self, object: &mut OpenObject) -> Result<()> {
        for mut map in object.maps_mut() {
            let name = map.name().to_string_lossy().into_owned();
            let of_name = |(known, _): &&(String, _)| Some(&**known) == shared_name(&name);
            if let Some((_, shared)) = self.maps.iter().find(of_name) {
                map.reuse_fd(shared.as_fd())?;
            }
        }
        Ok(())
    }
}

/// What a map of this name is called here, if objects share it: a section of data of its own goes
/// by its variable's name; those every object has (`.bss`, `.rodata`) are not shared.
fn shared_name(name: &str) -> Option<&str> {
    name.strip_prefix(".data.").or_else(|| (!name.contains('.')).then_some(name))
}

/// Ring sizes must be a power of two of pages, whatever a page is here.
fn ring_bytes(kib: u32) -> u32 {
    let page = u32::try_from(crate::sys::page_size()).unwrap_or(4096);
    (kib.saturating_mul(1024)).clamp(page, 1 << 30).next_power_of_two()
}
