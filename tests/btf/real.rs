//! What our objects need, in the types they were compiled against and in those of
//! this machine's kernel.

use std::fs;

use bee_trace::btf::{Btf, Fact, Offset, needs};

use crate::found;

/// Our objects: name, object, and the types it was compiled against, as far as it used them.
const OBJECTS: &[(&str, &[u8], &[u8])] = include!(concat!(env!("OUT_DIR"), "/objects.rs"));

#[test]
fn our_objects_need_what_their_source_reads() {
    let all: Vec<String> = needs().iter().map(ToString::to_string).collect();
    // One of each shape and fact; src/bpf/core.bpf.h and path.bpf.h read them.
    for need in [
        "task_struct.comm byte_off",
        "task_struct.loginuid field_exists",
        "cred.uid.val byte_off",
        "mount.mnt byte_off",
        "inode.i_sb byte_off",
    ] {
        assert!(all.iter().any(|one| one == need), "{need} is not in {all:?}");
    }
    assert!(all.len() > 40, "{}", all.len());
    assert!(needs().is_sorted() && needs().windows(2).all(|two| two[0] != two[1]));
}

#[test]
fn every_need_is_met_by_what_it_was_compiled_against() {
    let mut met = vec![false; needs().len()];
    for (_, _, source) in OBJECTS {
        for (met, offset) in met.iter_mut().zip(found(source, needs())) {
            *met |= matches!(offset, Offset::Is { value, .. } if value > 0)
                || matches!(offset, Offset::Is { size, .. } if size > 0);
        }
    }
    let not: Vec<String> =
        needs().iter().zip(met).filter(|(_, met)| !met).map(|(need, _)| need.to_string()).collect();
    assert!(not.is_empty(), "{not:?}");
}

#[test]
fn this_kernel_s_types_and_the_small_ones_made_of_them_give_the_same() {
    let Ok(kernel) = fs::read("/sys/kernel/btf/vmlinux") else {
        println!("skipped: this kernel has no BTF");
        return;
    };
    let offsets = found(&kernel, needs());
    let there = offsets.iter().filter(|offset| matches!(offset, Offset::Is { .. })).count();
    assert!(there > 40, "only {there} of {} are there", offsets.len());
    let small = bee_trace::btf::minimise(&kernel, needs()).unwrap();
    assert!(small.len() < 64 << 10, "{} bytes", small.len());
    // Making it again changes nothing.
    assert_eq!(bee_trace::btf::minimise(&small, needs()).unwrap(), small);
    let whole = Btf::parse(&kernel).unwrap();
    assert!(whole.last() > 10_000, "{} types", whole.last());
    for (need, offset) in needs().iter().zip(offsets) {
        if need.fact == Fact::ByteOffset && need.path.len() == 1 {
            assert_ne!(offset, Offset::Ambiguous, "{need}");
        }
    }
}
