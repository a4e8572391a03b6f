//! The kernel side: which programs exist for each hook, in the order they are
//! preferred. A sensor is a family; it has one mechanism after the other, each an
//! object file in `src/bpf/`, and a mechanism has points with variants. The loader
//! takes the first mechanism whose required points all work, and at each point the
//! first variant that loads, attaches and delivers.

pub mod loader;
#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;
use std::path::Path;

use libbpf_rs::OpenObject;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};

use crate::canary::Proof;
use crate::error::Result;
use crate::skel;

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
    /// `enum bee_hook` in its records.
    pub id: u16,
    /// What it counts as.
    pub tier: Tier,
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
    /// Best first.
    pub variants: &'static [Variant],
}

/// One way to be a sensor: an object file and what its programs observe.
pub struct Mechanism {
    /// `src/bpf/<object>.bpf.c`.
    pub object: &'static str,
    /// What it observes.
    pub points: &'static [Point],
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

const fn variant(program: &'static str, hook: &'static str, id: u16, tier: Tier) -> Variant {
    Variant { program, hook, id, tier }
}

/// Every sensor there is.
pub const FAMILIES: &[Family] = &[
    Family {
        name: "process",
        mechanisms: &[Mechanism {
            object: "process",
            points: &[
                Point {
                    name: "exec",
                    required: true,
                    proof: Proof::Always,
                    variants: &[
                        variant(
                            "tp_btf__sched_process_exec",
                            "tp_btf/sched_process_exec",
                            3,
                            Tier::Tracepoint,
                        ),
                        variant(
                            "raw_tp__sched_process_exec",
                            "raw_tp/sched_process_exec",
                            6,
                            Tier::Tracepoint,
                        ),
                    ],
                },
                Point {
                    name: "fork",
                    required: false,
                    proof: Proof::Always,
                    variants: &[
                        variant(
                            "tp_btf__sched_process_fork",
                            "tp_btf/sched_process_fork",
                            4,
                            Tier::Tracepoint,
                        ),
                        variant(
                            "raw_tp__sched_process_fork",
                            "raw_tp/sched_process_fork",
                            7,
                            Tier::Tracepoint,
                        ),
                    ],
                },
                Point {
                    name: "exit",
                    required: false,
                    proof: Proof::Always,
                    variants: &[
                        variant(
                            "tp_btf__sched_process_exit",
                            "tp_btf/sched_process_exit",
                            5,
                            Tier::Tracepoint,
                        ),
                        variant(
                            "tp_btf__sched_process_exit__live",
                            "tp_btf/sched_process_exit",
                            5,
                            Tier::Tracepoint,
                        ),
                        variant(
                            "raw_tp__sched_process_exit",
                            "raw_tp/sched_process_exit",
                            8,
                            Tier::Tracepoint,
                        ),
                    ],
                },
                Point {
                    name: "cgroup names",
                    required: false,
                    proof: Proof::None,
                    variants: &[variant("raw_tp__cgroup_mkdir", "raw_tp/cgroup_mkdir", 9, Tier::Tracepoint)],
                },
                Point {
                    name: "cgroup removal",
                    required: false,
                    proof: Proof::None,
                    variants: &[variant("raw_tp__cgroup_rmdir", "raw_tp/cgroup_rmdir", 10, Tier::Tracepoint)],
                },
            ],
            load: |btf, prepare, loaded| load::<skel::process::ProcessSkelBuilder>(btf, prepare, loaded),
        }],
    },
    Family {
        name: "file",
        mechanisms: &[Mechanism {
            object: "file",
            points: &[Point {
                name: "opens and changes of names",
                required: true,
                proof: Proof::Always,
                variants: &[
                    variant("tp_btf__sys_exit", "tp_btf/sys_exit", 1, Tier::Tracepoint),
                    variant("raw_tp__sys_exit", "raw_tp/sys_exit", 2, Tier::Tracepoint),
                ],
            }],
            load: |btf, prepare, loaded| load::<skel::file::FileSkelBuilder>(btf, prepare, loaded),
        }],
    },
];

/// What a sensor cannot see at a tier that `full` can: shown by `bee-trace check`,
/// and in docs/blind-spots.md.
pub const BLIND: &[(&str, Tier, &str)] = &[
    ("process", Tier::Tracepoint, "an exec that is refused is not reported"),
    ("process", Tier::Tracepoint, "nothing can be denied"),
    ("file", Tier::Tracepoint, "opens made through io_uring are not reported"),
    (
        "file",
        Tier::Tracepoint,
        "an open is lost when another thread of the same process replaces the new descriptor before the call returns",
    ),
    (
        "file",
        Tier::Tracepoint,
        "refused opens, and changes of names, are matched by the name the caller gave: a symbolic link on the way is not resolved",
    ),
    ("file", Tier::Tracepoint, "a descriptor received from another process is not an open and not reported"),
    ("file", Tier::Tracepoint, "nothing can be denied"),
];

/// `bee.hook` and `bee.tier` of a record. An id of another build is `unknown`.
pub fn hook(id: u16) -> (&'static str, &'static str) {
    FAMILIES
        .iter()
        .flat_map(Family::variants)
        .map(|(_, variant)| variant)
        .find(|variant| variant.id == id)
        .map_or(("unknown", "unknown"), |variant| (variant.hook, variant.tier.name()))
}

/// Opens, prepares and loads one skeleton; generic because each skeleton has
/// types of its own. Nothing but the object's memory dies with it: links and map
/// descriptors that `use_loaded` kept stay.
fn load<B>(btf: Option<&Path>, prepare: loader::Prepare<'_>, use_loaded: loader::UseLoaded<'_>) -> Result<()>
where
    B: for<'obj> SkelBuilder<'obj> + Default,
{
    let mut storage = MaybeUninit::<OpenObject>::uninit();
    let mut builder = B::default();
    if let Some(btf) = btf {
        builder.object_builder_mut().btf_custom_path(btf)?;
    }
    let mut open = builder.open(&mut storage)?;
    prepare(open.open_object_mut())?;
    let skeleton = open.load()?;
    use libbpf_rs::skel::Skel;
    use_loaded(skeleton.object())
}
