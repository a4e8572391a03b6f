//! The loader by trial: what loads, what is refused and how that is told.

use std::os::fd::AsFd;
use std::path::Path;

use bee_trace::config::{Config, Limits};
use bee_trace::probe::loader::{self, Conditions, Maps};
use bee_trace::probe::{FAMILIES, Mechanism, Point, Tier};
use libbpf_rs::MapCore;
use libbpf_rs::query::LinkInfoIter;

fn limits() -> Limits {
    Config::default().limits
}

#[test]
fn root_every_sensor_attaches_at_every_point() {
    let maps = Maps::create(&limits()).unwrap();
    let conditions = Conditions { cgroup: Some(Path::new("/sys/fs/cgroup")), ..Conditions::new(&maps) };
    for family in FAMILIES {
        let mut sensor = loader::start(family.name, &conditions).unwrap();
        assert_eq!(sensor.failure, None, "{}", family.name);
        let points: Vec<&str> = sensor.attached.iter().map(|(point, _)| point.name).collect();
        // What need not be is there, or it is said why not: this machine may have no cgroup v2, no modules.
        let told = |name: &str| sensor.refused.iter().any(|refused| refused.point == name);
        let whole = |mechanism: &Mechanism| {
            let there = |point: &Point| points.contains(&point.name) || (!point.required && told(point.name));
            mechanism.points.iter().all(there)
        };
        assert!(family.mechanisms.iter().any(whole), "a mechanism with all its points: {points:?}");
        let weakest = sensor.attached.iter().map(|(_, variant)| variant.tier).max();
        assert_eq!(sensor.tier(), weakest);
        for refused in &sensor.refused {
            assert!(
                !refused.reason.is_empty()
                    && !refused.reason.contains("libbpf:")
                    && !refused.reason.contains('\n'),
                "{}",
                refused.reason
            );
        }
        sensor.detach();
        assert!(sensor.attached.is_empty() && sensor.tier().is_none());
    }
    assert!(loader::start("no such sensor", &Conditions::new(&maps)).is_none());
}

#[test]
fn root_a_sensor_that_is_dropped_leaves_no_link() {
    let links = || LinkInfoIter::default().count();
    let maps = Maps::create(&limits()).unwrap();
    let before = links();
    let sensor = loader::start("file", &Conditions::new(&maps)).unwrap();
    assert!(links() > before);
    drop(sensor);
    // A link is freed a moment after its last descriptor is closed.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while links() > before && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(links(), before);
}

#[test]
fn root_a_tier_can_be_forced_down_but_not_made_up() {
    let maps = Maps::create(&limits()).unwrap();
    for family in FAMILIES {
        let forced = |tier| Conditions { forced: Some(tier), ..Conditions::new(&maps) };
        let best = loader::start(family.name, &forced(Tier::Full)).unwrap();
        assert_eq!(best.failure, None);
        drop(best);
        let worst = family.variants().map(|(_, variant)| variant.tier).max();
        if worst < Some(Tier::Portable) {
            let none = loader::start(family.name, &forced(Tier::Portable)).unwrap();
            let why = none.failure.clone().unwrap();
            assert!(why.contains("no programs for the tier portable"), "{why}");
            assert!(none.attached.is_empty() && none.refused.is_empty() && none.tier().is_none());
        }
    }
}

#[test]
fn root_without_the_privilege_each_variant_is_tried_and_its_reason_kept() {
    let maps = Maps::create(&limits()).unwrap();
    let maps = std::thread::spawn(move || {
        // Capabilities belong to a thread; this one ends with the test.
        caps::clear(None, caps::CapSet::Effective).unwrap();
        for family in FAMILIES {
            let sensor = loader::start(family.name, &Conditions::new(&maps)).unwrap();
            let why = sensor.failure.clone().unwrap();
            // What ended each mechanism: the first point it cannot do without.
            let first = |mechanism: &'static Mechanism| mechanism.points.iter().find(|point| point.required);
            for point in family.mechanisms.iter().filter_map(first) {
                assert!(why.contains(point.name), "{why}");
                for variant in point.variants {
                    assert!(why.contains(variant.hook), "{why}");
                    let refused = sensor
                        .refused
                        .iter()
                        .find(|refused| (refused.hook, refused.tier) == (variant.hook, variant.tier))
                        .unwrap();
                    let reason = &refused.reason;
                    let tried = !reason.contains("this kernel");
                    assert!(!tried || reason.contains("ermi"), "a word on permission: {reason}");
                    assert_eq!((refused.point, refused.tier), (point.name, variant.tier));
                }
            }
            assert!(sensor.attached.is_empty());
        }
        let why = Maps::create(&limits()).unwrap_err().to_string();
        assert!(why.contains("creating the shared maps"), "{why}");
        maps
    })
    .join();
    drop(maps.unwrap_or_else(|why| std::panic::resume_unwind(why)));
}

#[test]
fn root_maps_have_the_sizes_the_configuration_asks_for() {
    let page = bee_trace::sys::page_size() as u32;
    let small = Limits { alert_ring_kib: 17, bulk_ring_kib: 1024, inodes: 300, ..limits() };
    let maps = Maps::create(&small).unwrap();
    let entries = |name: &str| maps.get(name).unwrap().max_entries();
    assert_eq!(entries("alerts"), (32 << 10).max(page), "a power of two of pages");
    assert_eq!(entries("bulk"), 1 << 20);
    assert_eq!(entries("inodes"), 300);
    assert!(maps.get("settings").unwrap().as_fd().try_clone_to_owned().is_ok());
    let why = maps.get("nothing").unwrap_err().to_string();
    assert!(why.contains("nothing"), "{why}");
}

#[test]
fn root_a_table_the_kernel_cannot_make_is_said_so() {
    let why = Maps::create(&Limits { inodes: u32::MAX, ..limits() }).unwrap_err().to_string();
    assert!(why.contains("creating the shared maps") && !why.contains("libbpf"), "{why}");
}

#[test]
fn root_a_hook_that_was_silent_is_not_taken_again() {
    let maps = Maps::create(&limits()).unwrap();
    let best = loader::start("file", &Conditions::new(&maps)).unwrap();
    let first = best.attached[0].1;
    drop(best);
    let next = loader::start("file", &Conditions { silent: &[first.id], ..Conditions::new(&maps) }).unwrap();
    assert!(next.attached.iter().all(|(_, variant)| variant.id != first.id), "{:?}", next.attached);
    let refused = next.refused.iter().find(|refused| refused.hook == first.hook).unwrap();
    assert!(refused.reason.contains("does not report"), "{}", refused.reason);
}

/// A hook that is attached by the number of a type needs our handler in libbpf; were it
/// refused, a slower hook would take its place and nobody would notice.
#[test]
fn root_hooks_that_are_attached_by_number_are_taken() {
    if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        println!("skipped: this kernel has no types of its own");
        return;
    }
    let maps = Maps::create(&limits()).unwrap();
    let mut taken = 0;
    for family in FAMILIES {
        let conditions = Conditions { forced: Some(Tier::Tracepoint), ..Conditions::new(&maps) };
        let sensor = loader::start(family.name, &conditions).unwrap();
        let wrong: Vec<_> =
            sensor.refused.iter().filter(|refused| refused.hook.starts_with("tp_btf/")).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        taken += sensor.attached.iter().filter(|(_, variant)| variant.hook.starts_with("tp_btf/")).count();
    }
    assert!(taken >= 4, "{taken} hooks are attached by number");
}

/// What libbpf would read anew for each object, and search for each type.
#[test]
fn root_the_kernels_types_are_read_once_for_all_objects() {
    let Ok(types) = std::fs::metadata("/sys/kernel/btf/vmlinux") else {
        println!("skipped: this kernel has no types of its own");
        return;
    };
    // Bytes this thread has read so far.
    let read = || -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/io").unwrap();
        text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
    };
    let maps = Maps::create(&limits()).unwrap();
    let before = read();
    for family in FAMILIES {
        let sensor = loader::start(family.name, &Conditions::new(&maps)).unwrap();
        assert_eq!(sensor.failure, None, "{}", family.name);
    }
    let all = read() - before;
    assert!(all < types.len() + (1 << 20), "{all} bytes read, and the types have {}", types.len());
}
