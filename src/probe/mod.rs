//! The kernel side: which programs exist for each hook, in the order they are
//! preferred. A sensor is a family; it has one mechanism after the other, each an
//! object file in `src/bpf/`, and a mechanism has points with variants. The loader
//! takes the first mechanism whose required points all work, and at each point the
//! first variant that loads, attaches and delivers.

mod ability;
mod blind;
mod calls;
mod choice;
mod exits;
mod kernel_btf;
pub mod loader;
mod maps;
mod sensor;
mod skipped;
#[cfg(test)]
mod stack_tests;
mod tables;
#[cfg(test)]
mod tests;
mod trace_event;
mod types;

use crate::canary::Proof;

pub use blind::BLIND;
pub use tables::FAMILIES;
pub use trace_event::{Field, Shape};

/// This build's objects; a later one that replaces a running daemon takes the next.
pub const GENERATION: u32 = 1;

/// How strong the evidence is; the summary for people. Best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// lsm, fentry, tp_btf.
    Full,
    /// kprobes with CO-RE.
    Kprobe,
    /// Raw tracepoints with CO-RE.
    Tracepoint,
    /// Raw tracepoints, no kernel structure read.
    Portable,
}

impl Tier {
    /// Best first.
    pub const ALL: &[Tier] = &[Tier::Full, Tier::Kprobe, Tier::Tracepoint, Tier::Portable];

    /// The word in `bee.tier` and `--force-tier`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
            Self::Portable => "portable",
        }
    }

    /// The tier called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|tier| tier.name() == name)
    }
}

/// One way to observe a hook.
#[derive(Debug)]
pub struct Variant {
    /// Name of the program in the object.
    pub program: &'static str,
    /// `bee.hook`.
    pub hook: &'static str,
    /// `enum bee_hook` in its records; 0: it makes none.
    pub id: u16,
    /// What it counts as.
    pub tier: Tier,
    /// Fields of its tracepoint's record that it reads; empty where it gets structures.
    pub fields: &'static [Field],
}

/// One thing to observe, with the ways to do it, best first.
#[derive(Debug)]
pub struct Point {
    /// For people: `exec`, `open and name changes`.
    pub name: &'static str,
    /// Whether the mechanism is of any use without it.
    pub required: bool,
    /// Whether the canary does what it must report.
    pub proof: Proof,
    /// Whether its variant counts for the sensor's tier: context does not.
    pub graded: bool,
    /// Best first.
    pub variants: &'static [Variant],
}

/// One way to be a sensor: an object file and what its programs observe.
pub struct Mechanism {
    /// `src/bpf/<object>.bpf.c`.
    pub object: &'static str,
    /// What it observes.
    pub points: &'static [Point],
    /// Scratch buffers its programs need where they can be preempted: see maps.bpf.h.
    pub slots: u32,
    /// Opens the object, lets `prepare` change it, loads it, hands it to `use_loaded`.
    pub(crate) load: loader::Load,
}

/// A sensor.
pub struct Family {
    /// `bee.sensor`.
    pub name: &'static str,
    /// Best first.
    pub mechanisms: &'static [Mechanism],
}

impl Family {
    /// Every variant of every point, with its point.
    pub fn variants(&self) -> impl Iterator<Item = (&'static Point, &'static Variant)> + use<> {
        self.mechanisms
            .iter()
            .flat_map(|mechanism| mechanism.points)
            .flat_map(|point| point.variants.iter().map(move |variant| (point, variant)))
    }
}

/// `bee.hook` and `bee.tier` of a record. An id of another build is `unknown`.
pub fn hook(id: u16) -> (&'static str, &'static str) {
    FAMILIES
        .iter()
        .flat_map(Family::variants)
        .map(|(_, variant)| variant)
        .find(|variant| variant.id == id && id != 0)
        .map_or(("unknown", "unknown"), |variant| (variant.hook, variant.tier.name()))
}
