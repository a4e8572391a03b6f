//! The tables against the objects: what a table names exists, and what exists is
//! in a table. Objects are opened, not loaded; that needs no privilege.

use std::collections::{BTreeMap, BTreeSet};

use libbpf_rs::{MapType, OpenObject};

use super::*;
use crate::error::Error;
use crate::skel::base::BaseSkelBuilder;

/// Name and section of every program; name, kind, entries and bytes of every map.
struct Opened {
    programs: BTreeMap<String, String>,
    maps: BTreeMap<String, (MapType, u32, u32, u32)>,
}

/// Opens the object as the loader does, up to where it would be loaded.
fn opened(mechanism: &Mechanism) -> Opened {
    open(mechanism.object, mechanism.load)
}

fn base() -> Opened {
    open("base", |btf, prepare, loaded| tables::load::<BaseSkelBuilder>(btf, prepare, loaded))
}

fn open(name: &str, load: loader::Load) -> Opened {
    let mut opened = None;
    let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
    let mut look = |object: &mut OpenObject| {
        opened = Some(Opened {
            programs: object.progs().map(|program| (text(program.name()), text(program.section()))).collect(),
            maps: object
                .maps()
                .map(|map| {
                    (text(map.name()), (map.map_type(), map.max_entries(), map.key_size(), map.value_size()))
                })
                .collect(),
        });
        Err(Error::failure("seen"))
    };
    let why = load(None, &mut look, &mut |_| panic!("{name} was loaded")).unwrap_err();
    assert!(why.to_string().contains("seen"), "{name}: {why}");
    opened.unwrap()
}

fn mechanisms() -> impl Iterator<Item = &'static Mechanism> {
    FAMILIES.iter().flat_map(|family| family.mechanisms)
}

fn variants() -> impl Iterator<Item = (&'static Mechanism, &'static Variant)> {
    mechanisms().flat_map(|mechanism| {
        mechanism
            .points
            .iter()
            .flat_map(move |point| point.variants.iter().map(move |variant| (mechanism, variant)))
    })
}

#[test]
fn every_program_has_a_row_and_every_row_a_program() {
    for mechanism in mechanisms() {
        let exist: BTreeSet<String> = opened(mechanism).programs.into_keys().collect();
        let object = mechanism.object;
        let own: Vec<&str> =
            mechanism.points.iter().flat_map(|point| point.variants).map(|row| row.program).collect();
        assert_eq!(own.len(), own.iter().collect::<BTreeSet<_>>().len(), "{object}: one twice");
        // An object can be more than one mechanism.
        let named: Vec<&str> =
            variants().filter(|row| row.0.object == mechanism.object).map(|row| row.1.program).collect();
        assert_eq!(exist, named.into_iter().map(str::to_owned).collect(), "{object}");
    }
}

#[test]
fn a_program_hangs_on_the_hook_its_row_names() {
    for (mechanism, variant) in variants() {
        let section = &opened(mechanism).programs[variant.program];
        assert_eq!(section, variant.hook, "{}", variant.program);
        let expected = variant.program.split_once("__").unwrap();
        assert!(variant.hook.starts_with(expected.0), "{}: attach type first", variant.program);
    }
}

#[test]
fn a_hooks_number_says_which_hook_it_was() {
    // One hook can be of two tiers, by what is done there, and of two sensors, which must not prove
    // each other.
    let mut hooks: BTreeMap<u16, (&str, &str, Tier)> = BTreeMap::new();
    let all = FAMILIES.iter().flat_map(|family| family.variants().map(|row| (family.name, row.1)));
    for (sensor, variant) in all.filter(|row| row.1.id != 0) {
        let here = (sensor, variant.hook, variant.tier);
        let before = hooks.insert(variant.id, here);
        assert!(before.is_none_or(|before| before == here), "{} twice: {}", variant.id, variant.hook);
        assert_eq!(hook(variant.id), (variant.hook, variant.tier.name()));
    }
    // The same hook in two sensors has two, so that one does not prove the other.
    for family in FAMILIES {
        let mut of_family: BTreeMap<(&str, Tier), u16> = BTreeMap::new();
        for (_, variant) in family.variants().filter(|row| row.1.id != 0) {
            let before = of_family.insert((variant.hook, variant.tier), variant.id);
            assert!(before.is_none_or(|before| before == variant.id), "{}: two numbers", variant.hook);
        }
        for other in FAMILIES.iter().filter(|other| other.name != family.name) {
            let shared = other.variants().find(|row| of_family.values().any(|id| *id == row.1.id));
            assert!(shared.is_none(), "{shared:?} is of {} too", family.name);
        }
    }
    assert_eq!(hook(0), ("unknown", "unknown"));
    assert_eq!(hook(u16::MAX), ("unknown", "unknown"));
}

macro_rules! object {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bpf.o"))
    };
}

/// One relocation in an object, and libbpf wants the kernel's types for all of it.
#[test]
fn objects_of_the_portable_tier_need_no_type_of_the_kernel() {
    let objects: [(&str, &[u8], bool); 12] = [
        ("base", object!("base"), false),
        ("process_portable", object!("process_portable"), false),
        ("file_portable", object!("file_portable"), false),
        ("network_portable", object!("network_portable"), false),
        ("memory_portable", object!("memory_portable"), false),
        ("memory", object!("memory"), true),
        ("kernel_portable", object!("kernel_portable"), false),
        ("kernel", object!("kernel"), true),
        ("kernel_hooks", object!("kernel_hooks"), true),
        // That the count is right is shown by those that have some.
        ("process", object!("process"), true),
        ("file", object!("file"), true),
        ("network", object!("network"), true),
    ];
    for (name, object, some) in objects {
        assert_eq!(core_relocations(object) > 0, some, "{name}: {}", core_relocations(object));
    }
    let portable = mechanisms().filter(|mechanism| {
        mechanism.points.iter().flat_map(|point| point.variants).any(|variant| variant.tier == Tier::Portable)
    });
    let names: Vec<&str> = portable.map(|mechanism| mechanism.object).collect();
    assert_eq!(
        names,
        ["process_portable", "file_portable", "network_portable", "memory_portable", "kernel_portable"],
        "each is in the list above"
    );
    for family in FAMILIES {
        let last = family.mechanisms.last().unwrap();
        assert!(last.object.ends_with("_portable"), "{}: what needs least is tried last", family.name);
    }
}

/// Bytes of CO-RE records in the section `.BTF.ext` of an object (64-bit ELF, little endian;
/// Documentation/bpf/btf.rst, struct btf_ext_header).
fn core_relocations(object: &[u8]) -> u32 {
    let number = |at: usize, bytes: usize| {
        object[at..at + bytes].iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    assert_eq!(&object[..6], b"\x7fELF\x02\x01");
    let (table, size, count, names) = (number(0x28, 8), number(0x3a, 2), number(0x3c, 2), number(0x3e, 2));
    let section = |index: usize| table + index * size;
    let names = number(section(names) + 0x18, 8);
    let ext = (0..count).map(section).find(|at| {
        let name = &object[names + number(*at, 4)..];
        name.starts_with(b".BTF.ext\0")
    });
    let Some(at) = ext else { return 0 };
    let ext = number(at + 0x18, 8);
    assert_eq!(number(ext, 2), 0xeb9f, "magic");
    let header = number(ext + 4, 4);
    if header < 32 { 0 } else { u32::try_from(number(ext + 28, 4)).unwrap() }
}

#[test]
fn a_program_is_told_by_its_point_hook_tier_and_name() {
    for family in FAMILIES {
        let mut seen = std::collections::BTreeMap::new();
        for (point, variant) in family.variants() {
            let key = (point.name, variant.hook, variant.tier.name(), variant.program);
            // Mechanisms can share a row.
            let same = *seen.entry(key).or_insert(variant.id) == variant.id;
            assert!(same, "{}: {key:?} twice: another life could not tell them", family.name);
        }
    }
}

#[test]
fn variants_are_tried_best_first_and_something_is_required() {
    for mechanism in mechanisms() {
        assert!(mechanism.points.iter().any(|point| point.required), "{}", mechanism.object);
        for point in mechanism.points {
            assert!(point.variants.is_sorted_by_key(|variant| variant.tier), "{}", point.name);
            assert!(!point.variants.is_empty(), "{}", point.name);
        }
    }
    for (sensor, ..) in BLIND {
        assert!(FAMILIES.iter().any(|family| family.name == *sensor), "{sensor}");
    }
    for (index, tier) in Tier::ALL.iter().enumerate() {
        assert_eq!((Tier::from_name(tier.name()), *tier as usize), (Some(*tier), index));
    }
    assert_eq!(Tier::from_name("best"), None);
}

/// One program there makes every call of the machine slower.
#[test]
fn no_sensor_of_the_better_tiers_waits_at_the_end_of_every_system_call() {
    let all = FAMILIES.iter().flat_map(|family| family.variants().map(|row| (family.name, row.1)));
    for (sensor, variant) in all.filter(|row| row.1.tier <= Tier::Kprobe) {
        assert!(!variant.hook.ends_with("/sys_exit"), "{sensor}: {}", variant.hook);
    }
    for family in FAMILIES {
        let best = family.mechanisms[0].points.iter().flat_map(|point| point.variants);
        assert!(best.map(|variant| variant.tier).min() == Some(Tier::Full), "{}", family.name);
    }
}

/// Maps that one object has for itself: nobody else reads them.
const OWN: [&str; 1] = ["passed"];

#[test]
fn shared_maps_have_one_shape_in_all_objects() {
    let base = base();
    assert!(base.programs.is_empty());
    for mechanism in mechanisms() {
        for (name, shape) in opened(mechanism).maps.iter().filter(|(name, _)| !name.contains('.')) {
            let shared = base.maps.get(name);
            if OWN.contains(&name.as_str()) {
                assert!(shared.is_none());
                continue;
            }
            assert_eq!(
                shared,
                Some(shape),
                "{}: {name} would be a map of its own, read by nobody",
                mechanism.object
            );
        }
    }
}

/// What is charged to the unit: design.md promises a daemon for 512 MiB of RAM.
#[test]
fn the_maps_are_small() {
    let cpus = 4;
    let own = mechanisms().flat_map(|mechanism| opened(mechanism).maps);
    let own = own.filter(|(name, _)| OWN.contains(&name.as_str()));
    let bytes: u64 = base()
        .maps
        .into_iter()
        .chain(own)
        .map(|(_, (kind, entries, key, value))| match kind {
            MapType::RingBuf => u64::from(entries),
            MapType::PercpuArray => u64::from(entries) * u64::from(value) * cpus,
            // An element's own bookkeeping, generously.
            _ => u64::from(entries) * (u64::from(key) + u64::from(value) + 64),
        })
        .sum();
    assert!(bytes < 5 << 20, "{bytes} bytes");
}
