//! The kernel's types: what is found in a whole BTF is found in the small one made
//! of it, for types made by hand and for those of this machine; and no bytes can
//! harm the reader.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests"
)]

mod damaged;
mod made;
mod make;
mod real;
mod relocations;

use bee_trace::btf::{Btf, Need, Offset, minimise, offsets};

/// A value that is no offset.
pub fn is(value: u64) -> Offset {
    Offset::Is { value, size: 0 }
}

/// The offset of a field of `size` bytes.
pub fn at(value: u64, size: u64) -> Offset {
    Offset::Is { value, size }
}

/// What the needs are in a BTF; in what is made of it they must be the same, and
/// there must be no more types in that than in it.
pub fn found(source: &[u8], needs: &[Need]) -> Vec<Offset> {
    let whole = offsets(source, needs).unwrap();
    let small = minimise(source, needs).unwrap();
    assert_eq!(offsets(&small, needs).unwrap(), whole, "minimised");
    assert!(Btf::parse(&small).unwrap().last() <= Btf::parse(source).unwrap().last());
    let names: Vec<&str> = whole.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, needs.iter().map(Need::to_string).collect::<Vec<_>>());
    whole.into_iter().map(|(_, offset)| offset).collect()
}
