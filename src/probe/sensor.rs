//! A sensor that runs: its programs and what keeps them attached, made here or taken over from an
//! earlier life.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use libbpf_rs::Link;

use super::exits::Place;
use super::maps::Maps;
use super::skipped::skipped;
use super::{FAMILIES, Family, Point, Tier, Variant};
use crate::canary::Acted;
use crate::error::{Error, Result};

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
    pub attached: Vec<(&'static Point, &'static Variant)>,
    /// What was tried in vain.
    pub refused: Vec<Refused>,
    /// Set when the sensor does not run.
    pub failure: Option<String>,
    pub(super) links: Vec<Attached>,
    pub(super) programs: Vec<OwnedFd>,
}

/// What keeps a program running.
#[derive(Debug)]
pub(super) enum Attached {
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

    /// One of which nothing is attached yet.
    pub(super) fn of(family: &Family) -> Self {
        Self {
            name: family.name,
            attached: Vec::new(),
            refused: Vec::new(),
            failure: None,
            links: Vec::new(),
            programs: Vec::new(),
        }
    }

    pub(super) fn refuse(&mut self, point: &Point, variant: &Variant, reason: String) {
        self.refused.push(Refused { point: point.name, hook: variant.hook, tier: variant.tier, reason });
    }

    /// A sensor whose programs were attached by an earlier life of the daemon.
    ///
    /// # Errors
    /// When this build has no such sensor, point or hook, or the place is empty.
    pub fn held(name: &str, parts: Vec<Kept<'_>>, maps: &Maps) -> Result<Self> {
        let unknown = |what: &str| Error::failure(format!("this build knows no {what} of the sensor {name}"));
        let family = FAMILIES.iter().find(|family| family.name == name).ok_or_else(|| unknown("programs"))?;
        let mut sensor = Self::of(family);
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
                _ if emptied => "its program was taken out of those that are handed on to",
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
