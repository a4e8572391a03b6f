//! The tables against the objects: what a table names exists, and what exists is
//! in a table. Objects are opened, not loaded; that needs no privilege.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;

use libbpf_rs::skel::SkelBuilder;
use libbpf_rs::{MapType, OpenObject};

use super::*;
use crate::skel;
use libbpf_rs::skel::OpenSkel;

/// Name and section of every program; name, kind, entries and bytes of every map.
struct Opened {
    programs: BTreeMap<String, String>,
    maps: BTreeMap<String, (MapType, u32, u32, u32)>,
}

fn open<B>() -> Opened
where
    B: for<'obj> SkelBuilder<'obj> + Default,
{
    let mut storage = MaybeUninit::<OpenObject>::uninit();
    let open = B::default().open(&mut storage).unwrap();
    let object = open.open_object();
    let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
    Opened {
        programs: object.progs().map(|program| (text(program.name()), text(program.section()))).collect(),
        maps: object
            .maps()
            .map(|map| {
                (text(map.name()), (map.map_type(), map.max_entries(), map.key_size(), map.value_size()))
            })
            .collect(),
    }
}

fn opened(mechanism: &Mechanism) -> Opened {
    match mechanism.object {
        "process" => open::<skel::process::ProcessSkelBuilder>(),
        "file" => open::<skel::file::FileSkelBuilder>(),
        "file_security" => open::<skel::file_security::FileSecuritySkelBuilder>(),
        other => panic!("no object for {other}"),
    }
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
    let mut hooks: BTreeMap<u16, &str> = BTreeMap::new();
    for (_, variant) in variants().filter(|row| row.1.id != 0) {
        let before = hooks.insert(variant.id, variant.hook);
        assert!(before.is_none_or(|before| before == variant.hook), "{} twice: {}", variant.id, variant.hook);
        assert_eq!(hook(variant.id), (variant.hook, variant.tier.name()));
    }
    let different: BTreeSet<&&str> = hooks.values().collect();
    assert_eq!(different.len(), hooks.len(), "one hook with two numbers");
    assert_eq!(hook(0), ("unknown", "unknown"));
    assert_eq!(hook(u16::MAX), ("unknown", "unknown"));
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

#[test]
fn shared_maps_have_one_shape_in_all_objects() {
    let base = open::<skel::base::BaseSkelBuilder>();
    assert!(base.programs.is_empty());
    for mechanism in mechanisms() {
        for (name, shape) in opened(mechanism).maps.iter().filter(|(name, _)| !name.contains('.')) {
            let shared = base.maps.get(name);
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
    let bytes: u64 = open::<skel::base::BaseSkelBuilder>()
        .maps
        .into_iter()
        .map(|(_, (kind, entries, key, value))| match kind {
            MapType::RingBuf => u64::from(entries),
            MapType::PercpuArray => u64::from(entries) * u64::from(value) * cpus,
            // An element's own bookkeeping, generously.
            _ => u64::from(entries) * (u64::from(key) + u64::from(value) + 64),
        })
        .sum();
    assert!(bytes < 5 << 20, "{bytes} bytes");
}
