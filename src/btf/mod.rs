//! The kernel's types (BTF), as far as our objects need them. Pure: bytes in,
//! bytes or values out.
//!
//! libbpf finds the fields an object reads by searching the kernel's BTF, 5 MB of
//! a hundred thousand types, once for each object and type. [`minimise`] makes of
//! it, in one pass, a few KiB that hold the same answers for all objects, to be
//! handed to libbpf as `btf_custom_path`. [`offsets`] gives these answers, to
//! compare one BTF with another.

pub mod ext;
mod minimise;
mod need;
mod raw;
mod resolve;
mod search;

pub use minimise::{minimise, minimise_parsed};
pub use need::{Fact, Need, Shape, Step};
pub use raw::{Array, Btf, Error, Kind, Member, Type, Value};
pub use resolve::{Offset, offsets};

// Which shapes and steps the table has depends on the objects.
#[allow(unused_imports)]
mod embedded {
    use std::borrow::Cow;

    use super::need::Shape::{Composite, Enum, Float, Forward, Int, Pointer};
    use super::need::Step::{Element, Member, Value};
    use super::need::{Fact, Need, Step};
    use super::raw::Kind;

    include!(concat!(env!("OUT_DIR"), "/needs.rs"));
}

/// What all our objects need, each once: the table that `build.rs` made of their
/// relocations.
pub fn needs() -> &'static [Need] {
    embedded::NEEDS
}
