//! `shared`: what user space writes and the kernel side reads, by the offsets of
//! wire.h, over a file instead of a map's memory.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use bee_trace::shared::{Counters, Mapping, Settings, State, emitted};
use bee_trace::wire::{CAUSE_COUNT, CAUSES, KIND_COUNT, SCANNED_MAX, bee_settings};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// A file of some pages, as long as any map here.
pub fn memory() -> File {
    let fd: OwnedFd = memfd_create("map", MFdFlags::MFD_CLOEXEC).unwrap();
    let file = File::from(fd);
    file.set_len(64 << 10).unwrap();
    file
}

fn word(file: &File, at: usize) -> u32 {
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, at as u64).unwrap();
    u32::from_ne_bytes(bytes)
}

#[test]
fn every_setting_lands_in_its_own_word() {
    let file = memory();
    let settings = Settings::new(file.as_fd()).unwrap();
    // In the order of struct bee_settings.
    let setters: [fn(&Settings, u32); 14] = [
        Settings::set_generation,
        Settings::set_policy,
        Settings::set_policy_before,
        Settings::set_self_tgid,
        Settings::set_scanner_tgid,
        Settings::set_canary_tgid,
        Settings::set_prefix_lengths,
        Settings::set_suffix_lengths,
        Settings::set_names_everywhere,
        Settings::set_alerts_per_second,
        Settings::set_alert_burst,
        Settings::set_events_per_second,
        Settings::set_env_names,
        Settings::set_every_directory,
    ];
    for (index, set) in setters.iter().enumerate() {
        set(&settings, 0xa000 + u32::try_from(index).unwrap());
    }
    for index in 0..setters.len() {
        assert_eq!(word(&file, 4 * index), 0xa000 + u32::try_from(index).unwrap(), "word {index}");
    }
    // What follows is the list of file systems, untouched.
    assert_eq!(word(&file, 4 * setters.len()), 0);
    assert_eq!(std::mem::offset_of!(bee_settings, scanned_count), 4 * setters.len());
    // And behind that list come those that were added since.
    let more: [fn(&Settings, u32); 6] = [
        Settings::set_network_kinds,
        Settings::set_network_loopback,
        Settings::set_network_window,
        Settings::set_network_families,
        Settings::set_network_families_2,
        Settings::set_network_inet,
    ];
    let first = std::mem::offset_of!(bee_settings, scanned) + 4 * SCANNED_MAX;
    for (index, set) in (0..).zip(more) {
        set(&settings, 0xb000 + index);
        assert_eq!(word(&file, first + 4 * index as usize), 0xb000 + index, "word {index}");
    }
    let edges = std::mem::offset_of!(bee_settings, edges);
    assert_eq!(edges, first + 4 * more.len());
    settings.set_edges(&std::array::from_fn(|byte| byte as u8));
    assert_eq!(word(&file, edges + 252), u32::from_ne_bytes([252, 253, 254, 255]));
    assert_eq!(size_of::<bee_settings>(), edges + 256);
}

#[test]
fn file_systems_are_listed_and_the_list_is_bounded() {
    let file = memory();
    let settings = Settings::new(file.as_fd()).unwrap();
    let count = std::mem::offset_of!(bee_settings, scanned_count);
    let list = std::mem::offset_of!(bee_settings, scanned);
    settings.set_scanned(&[5, 6, 7], None);
    assert_eq!((word(&file, count), word(&file, list), word(&file, list + 8)), (3, 5, 7));
    settings.set_scanned(&[9], None);
    assert_eq!((word(&file, count), word(&file, list)), (1, 9));
    let many: Vec<u32> = (1..=SCANNED_MAX as u32 + 5).collect();
    settings.set_scanned(&many, None);
    assert_eq!(word(&file, count) as usize, SCANNED_MAX);
    assert_eq!(word(&file, list + 4 * (SCANNED_MAX - 1)) as usize, SCANNED_MAX);
    assert_eq!(word(&file, list + 4 * SCANNED_MAX), 0, "nothing behind the list");
    settings.set_scanned(&[], None);
    assert_eq!(word(&file, count), 0);
}

#[test]
fn what_others_write_into_the_settings_is_put_right_and_named() {
    let file = memory();
    file.write_all_at(&7u32.to_ne_bytes(), std::mem::offset_of!(bee_settings, policy) as u64).unwrap();
    let settings = Settings::new(file.as_fd()).unwrap();
    assert!(settings.put_right().is_empty(), "what was there at the start is right");
    settings.set_generation(1);
    settings.set_network_inet(3);
    settings.set_scanned(&[5, 6], None);
    assert!(settings.put_right().is_empty());
    let list = std::mem::offset_of!(bee_settings, scanned);
    let inet = std::mem::offset_of!(bee_settings, network_inet);
    let last = size_of::<bee_settings>() - 4;
    for at in [0, 4, list, list + 4, inet, last] {
        file.write_all_at(&0x7f00_0001u32.to_ne_bytes(), at as u64).unwrap();
    }
    assert_eq!(settings.put_right(), ["generation", "policy", "scanned", "network_inet", "edges"]);
    let words = [0, 4, list, list + 4, inet, last].map(|at| word(&file, at));
    assert_eq!(words, [1, 7, 5, 6, 3, 0]);
    assert!(settings.put_right().is_empty());
}

#[test]
fn the_kernel_sides_words_are_heard_and_cleared() {
    let file = memory();
    let state = State::new(file.as_fd()).unwrap();
    assert!(!state.names_everywhere() && !state.table_full());
    file.write_all_at(&1u16.to_ne_bytes(), 4).unwrap();
    assert!(state.names_everywhere() && !state.table_full());
    file.write_all_at(&1u16.to_ne_bytes(), 6).unwrap();
    state.clear_names_everywhere();
    assert!(!state.names_everywhere() && state.table_full());
    state.clear_table_full();
    assert_eq!((word(&file, 0), word(&file, 4)), (0, 0));
}

#[test]
fn the_usual_file_system_is_told_only_while_nothing_else_is_asked_for() {
    let (file, shown) = (memory(), memory());
    let settings = Settings::new(file.as_fd()).unwrap().with_usual(shown.as_fd()).unwrap();
    let usual = || word(&shown, 0);
    settings.set_scanned(&[6, 5], Some(5));
    assert_eq!(usual(), 5);
    for ask in [Settings::set_canary_tgid, Settings::set_names_everywhere] {
        ask(&settings, 1);
        assert_eq!(usual(), 0);
        settings.set_scanned(&[6, 5], Some(6));
        assert_eq!(usual(), 0);
        ask(&settings, 0);
        assert_eq!(usual(), 6);
    }
    settings.set_canary_tgid(1);
    settings.set_names_everywhere(1);
    settings.set_canary_tgid(0);
    assert_eq!(usual(), 0);
    settings.set_names_everywhere(0);
    assert_eq!(usual(), 6);
    // What the kernel side tells lies beside it, and is left alone.
    shown.write_all_at(&1u16.to_ne_bytes(), 4).unwrap();
    settings.set_scanned(&[5], Some(6));
    assert_eq!((usual(), word(&shown, 4)), (0, 1));
    settings.set_scanned(&[5], Some(5));
    // Nor does anybody else say which it is.
    shown.write_all_at(&9u32.to_ne_bytes(), 0).unwrap();
    assert_eq!(settings.put_right(), ["usual"]);
    assert_eq!((usual(), settings.put_right().len()), (5, 0));
    // Another life goes on with it.
    let next = Settings::new(file.as_fd()).unwrap().with_usual(shown.as_fd()).unwrap();
    assert_eq!((usual(), next.put_right().len()), (5, 0));
}

#[test]
fn counters_lie_by_kind_and_cause() {
    let file = memory();
    let counters = Counters::new(file.as_fd()).unwrap();
    for kind in 0..KIND_COUNT {
        for cause in 0..CAUSE_COUNT {
            counters.add(kind, cause, (100 * kind + cause) as u64);
        }
    }
    for (kind, row) in counters.read().iter().enumerate() {
        for (cause, read) in row.iter().enumerate() {
            let wanted = (100 * kind + cause) as u64;
            assert_eq!((counters.get(kind, cause), *read), (wanted, wanted));
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, 8 * (kind * CAUSE_COUNT + cause) as u64).unwrap();
            assert_eq!(u64::from_ne_bytes(bytes), wanted, "counters[kind * BEE_CAUSE_COUNT + cause]");
        }
    }
    counters.add(3, 0, 5);
    assert_eq!(counters.get(3, 0), 305);
}

#[test]
fn emitted_is_submitted_and_lost_and_nothing_else() {
    for (column, name, lost) in CAUSES {
        let mut row = [0; CAUSE_COUNT];
        row[*column] = 7;
        let counts = *lost || *name == "submitted";
        assert_eq!(emitted(&row), if counts { 7 } else { 0 }, "{name}");
    }
    let row: [u64; CAUSE_COUNT] = std::array::from_fn(|column| 1 << column);
    assert_eq!(emitted(&row), 0b10_0011_1111, "submitted and six ways to be lost");
}

#[test]
fn a_mapping_ends_where_it_ends() {
    let file = memory();
    let page = bee_trace::sys::page_size();
    let mapping = Mapping::new(file.as_fd(), 0, page, true).unwrap();
    assert_eq!(mapping.slice(page - 4, 4), [0; 4]);
    assert_eq!(mapping.slice(page, 0), [0; 0]);
    let panics = |act: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err();
    assert!(panics(&|| _ = mapping.slice(page - 4, 5)));
    assert!(panics(&|| _ = mapping.slice(usize::MAX, 2)));
    assert!(panics(&|| _ = mapping.atomic_u64(page)));
    assert!(panics(&|| _ = mapping.atomic_u64(4)));
    assert!(panics(&|| _ = mapping.atomic_u32(2)));
    assert!(Mapping::new(file.as_fd(), 0, 0, true).is_err());
    assert!(Mapping::new(file.as_fd(), 1, page, true).is_err(), "not at a page");
    assert!(Mapping::new(file.as_fd(), usize::MAX, page, true).is_err());
}
