//! The tables: every sensor with its mechanisms, one file each in `tables/`; here what they share.

use std::mem::MaybeUninit;
use std::path::Path;

use libbpf_rs::OpenObject;
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};

use super::{Family, Field, Point, Tier, Variant, loader};
use crate::canary::Proof;
use crate::error::Result;
use crate::skel;

const fn variant(program: &'static str, hook: &'static str, id: u16, tier: Tier) -> Variant {
    Variant { program, hook, id, tier, fields: &[] }
}

/// A hook of tier `portable`: a classic tracepoint and the fields that are read of its record.
const fn portable(program: &'static str, hook: &'static str, id: u16, fields: &'static [Field]) -> Variant {
    Variant { program, hook, id, tier: Tier::Portable, fields }
}

/// Where a security module refuses an act, which then has no other end.
macro_rules! refusal {
    ($act:literal) => {
        Point {
            name: concat!("refusals of ", $act),
            required: false,
            proof: Proof::None,
            graded: true,
            variants: &[variant(
                concat!("kretprobe__security_", $act),
                concat!("kretprobe/security_", $act),
                0,
                Tier::Kprobe,
            )],
        }
    };
}

/// A point that must be and that the canary proves.
const fn required(name: &'static str, proof: Proof, variants: &'static [Variant]) -> Point {
    Point { name, required: true, proof, graded: true, variants }
}

/// Where the end of a connection is seen, at a tier.
macro_rules! connected {
    ($kind:literal, $tier:expr, $function:literal) => {
        connected!($kind, $tier, $function, true)
    };
    ($kind:literal, $tier:expr, $function:literal, $required:literal) => {
        Point {
            name: concat!("the end of ", $function),
            required: $required,
            proof: Proof::None,
            graded: true,
            variants: &[variant(concat!($kind, "__", $function), concat!($kind, "/", $function), 0, $tier)],
        }
    };
}

// Each sensor's own, which use the macros above.
mod file;
mod kernel;
mod memory;
mod network;
mod process;

/// What stands in front of the programs of several sensors: exits.rs.
pub(super) const EXITS: loader::Load =
    |btf, prepare, loaded| load::<skel::exits::ExitsSkelBuilder>(btf, prepare, loaded);
/// The same for kernels without types, and for `raw_tp`.
pub(super) const EXITS_PORTABLE: loader::Load =
    |btf, prepare, loaded| load::<skel::exits_portable::ExitsPortableSkelBuilder>(btf, prepare, loaded);
/// The same at the end of opens.
pub(super) const OPENS: loader::Load =
    |btf, prepare, loaded| load::<skel::opens::OpensSkelBuilder>(btf, prepare, loaded);

/// Every sensor there is.
pub const FAMILIES: &[Family] = &[
    Family { name: "process", mechanisms: process::MECHANISMS },
    Family { name: "file", mechanisms: file::MECHANISMS },
    Family { name: "network", mechanisms: network::MECHANISMS },
    Family { name: "memory", mechanisms: memory::MECHANISMS },
    Family { name: "kernel", mechanisms: kernel::MECHANISMS },
];

/// Opens, prepares and loads one skeleton; generic because each skeleton has
/// types of its own. Nothing but the object's memory dies with it: links and map
/// descriptors that `use_loaded` kept stay.
pub(super) fn load<B>(
    btf: Option<&Path>,
    prepare: loader::Prepare<'_>,
    use_loaded: loader::UseLoaded<'_>,
) -> Result<()>
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
    use_loaded(skeleton.object())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They run in the compiler; here as any function, so that what they fill in is seen.
    #[test]
    fn rows_are_what_is_written_in_them() {
        let row = variant("program", "hook", 7, Tier::Kprobe);
        assert_eq!((row.program, row.hook, row.id), ("program", "hook", 7));
        assert!(row.tier == Tier::Kprobe && row.fields.is_empty());
        let row = portable("program", "hook", 8, &[]);
        assert!(row.tier == Tier::Portable && row.id == 8);
        let point = required("point", Proof::Always, &[]);
        assert!(point.name == "point" && point.required && point.graded && point.variants.is_empty());
    }
}
