//! The numbers of `src/bpf/wire.h` against those of Rust: the header is read as
//! text, for macros and enums leave no trace in the skeleton.

use std::collections::BTreeMap;

use bee_trace::event::FLAGS;
use bee_trace::probe;
use bee_trace::watch::RuleKind;
use bee_trace::wire;

const HEADER: &str = include_str!("../../src/bpf/wire.h");

/// Every `NAME = number` and `#define NAME number` of the header.
fn constants() -> BTreeMap<String, u64> {
    let mut constants = BTreeMap::new();
    let mut of_tests = false;
    for line in HEADER.lines() {
        // What only a build for tests has.
        of_tests = (of_tests || line == "#ifdef BEE_TEST_FORMAT") && !matches!(line, "#else" | "#endif");
        if of_tests {
            continue;
        }
        let line = line.split("/*").next().unwrap_or("").trim().trim_end_matches(',');
        let (name, value) = match line.strip_prefix("#define ") {
            Some(define) => match define.split_once([' ', '\t']) {
                Some(pair) => pair,
                None => continue,
            },
            None => match line.split_once('=') {
                Some(pair) => pair,
                None => continue,
            },
        };
        let (name, value) = (name.trim(), value.trim());
        let number = match value.strip_prefix("(1ull << ").and_then(|rest| rest.strip_suffix(')')) {
            Some(bit) => 1 << bit.parse::<u32>().unwrap(),
            None => value.trim_end_matches('u').parse().unwrap_or_else(|_| panic!("{name}: {value}")),
        };
        assert!(name.starts_with("BEE_"), "{name}");
        assert_eq!(constants.insert(name.to_owned(), number), None, "{name} twice");
    }
    constants
}

/// Those that begin so, without it, in lower case.
fn group(prefix: &str) -> BTreeMap<String, u64> {
    let of_prefix = constants().into_iter();
    of_prefix.filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_lowercase(), value))).collect()
}

#[test]
fn sizes_and_version_are_the_same_on_both_sides() {
    let constants = constants();
    for (name, value) in [
        ("BEE_WIRE_VERSION", u64::from(wire::WIRE_VERSION)),
        ("BEE_KIND_COUNT", wire::KIND_COUNT as u64),
        ("BEE_CAUSE_COUNT", wire::CAUSE_COUNT as u64),
        ("BEE_SCANNED_MAX", wire::SCANNED_MAX as u64),
        ("BEE_WATCH_ANY", wire::WATCH_ANY.into()),
        ("BEE_WATCH_MOUNT", wire::WATCH_MOUNT),
    ] {
        assert_eq!(constants.get(name), Some(&value), "{name}");
    }
}

#[test]
fn kinds_are_called_as_their_actions() {
    let mut kinds = group("BEE_KIND_");
    assert_eq!((kinds.remove("none"), kinds.remove("count")), (Some(0), Some(64)));
    assert_eq!(kinds.remove("identity"), Some(wire::KIND_IDENTITY.into()));
    assert_eq!(kinds.remove("cgroup"), Some(wire::KIND_CGROUP.into()));
    assert!(!kinds.is_empty());
    for (name, kind) in kinds {
        let action = bee_trace::pipeline::action(u16::try_from(kind).unwrap());
        assert_eq!(action.map(|action| action.name()), Some(&*name.replace('_', "-")));
    }
}

#[test]
fn causes_have_their_columns_and_names() {
    let mut causes = group("BEE_CAUSE_");
    causes.remove("count");
    let known: BTreeMap<String, u64> =
        wire::CAUSES.iter().map(|(column, name, _)| ((*name).to_owned(), *column as u64)).collect();
    assert_eq!(causes, known);
}

#[test]
fn flags_of_a_record_are_bits_of_an_event() {
    let flags = group("BEE_FLAG_");
    assert!(flags.len() > 10);
    for (name, value) in flags {
        let name = if name == "compat" { "compat_32bit" } else { &name };
        let known = FLAGS.iter().find(|(_, word, _)| *word == name);
        assert_eq!(known.map(|row| row.0.0), Some(value), "{name}");
    }
}

#[test]
fn hooks_are_those_of_the_tables() {
    let mut hooks = group("BEE_HOOK_");
    assert_eq!(hooks.remove("none"), Some(0));
    let known: BTreeMap<u64, &str> = probe::FAMILIES
        .iter()
        .flat_map(probe::Family::variants)
        .filter(|(_, variant)| variant.id != 0)
        .map(|(_, variant)| (u64::from(variant.id), variant.hook))
        .collect();
    assert_eq!(hooks.values().collect::<std::collections::BTreeSet<_>>(), known.keys().collect());
    for (name, id) in hooks {
        // tp_btf_sys_exit → tp_btf/sys_exit; exec stands for sched_process_exec.
        let last = name.rsplit('_').next().unwrap();
        assert!(known[&id].ends_with(last), "{name}: {}", known[&id]);
    }
}

#[test]
fn rules_have_the_same_numbers() {
    let kinds = [
        ("exact", RuleKind::Exact),
        ("prefix", RuleKind::Prefix),
        ("suffix", RuleKind::Suffix),
        ("directory", RuleKind::Directory),
        ("parent", RuleKind::Parent),
        ("anchor", RuleKind::Anchor),
    ];
    let known: BTreeMap<String, u64> =
        kinds.iter().map(|(name, kind)| ((*name).to_owned(), *kind as u64)).collect();
    assert_eq!(group("BEE_RULE_"), known);
    assert_eq!(group("BEE_WATCH_").get("anchor"), Some(&8));
}
