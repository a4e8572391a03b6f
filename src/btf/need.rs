//! What a program of ours needs to know of the kernel's types: one CO-RE
//! relocation, by names alone. `build.rs` makes a table of them, so nothing else
//! of this crate is used here.

use std::borrow::Cow;
use std::fmt;

use super::raw::Kind;

/// `enum bpf_core_relo_kind`, without those that the numbers of types are about:
/// such a number is another one in a minimised BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// Bytes from the start of the root to the field.
    ByteOffset,
    /// Bytes of the field.
    ByteSize,
    /// Whether the field is there.
    Exists,
    /// Whether the field's numbers can be negative.
    Signed,
    /// How far to shift a bit field to the left.
    LeftShift,
    /// And then to the right.
    RightShift,
    /// Whether the type is there.
    TypeExists,
    /// Bytes of the type.
    TypeSize,
    /// Whether the enum has the value.
    ValueExists,
    /// The value.
    Value,
}

impl Fact {
    /// The word libbpf has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ByteOffset => "byte_off",
            Self::ByteSize => "byte_sz",
            Self::Exists => "field_exists",
            Self::Signed => "signed",
            Self::LeftShift => "lshift_u64",
            Self::RightShift => "rshift_u64",
            Self::TypeExists => "type_exists",
            Self::TypeSize => "type_size",
            Self::ValueExists => "enumval_exists",
            Self::Value => "enumval_value",
        }
    }
}

/// What libbpf compares of a field's type, ours with the kernel's
/// (`bpf_core_fields_are_compat`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// A struct or a union: any will do.
    Composite,
    /// A pointer, to whatever.
    Pointer,
    /// A floating point number.
    Float,
    /// An integer of whatever size.
    Int,
    /// An enum of this name, or one without a name.
    Enum(Cow<'static, str>),
    /// A declaration without definition, of this name.
    Forward(Cow<'static, str>),
}

/// One step from a type into it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A member, directly or in structs and unions without a name.
    Member {
        /// Its name.
        name: Cow<'static, str>,
        /// How many arrays stand around its shape.
        arrays: u32,
        /// What it is made of.
        shape: Shape,
    },
    /// An element of an array.
    Element(u32),
    /// A value of an enum.
    Value(Cow<'static, str>),
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The kind of the type it is about; `Enum` for both kinds of enum.
    pub kind: Kind,
    /// Its name without a flavour (`___x`).
    pub root: Cow<'static, str>,
    /// The way into it.
    pub path: Cow<'static, [Step]>,
    /// Which element of an array of roots the path starts at.
    pub element: u32,
    /// What about it.
    pub fact: Fact,
}

/// `task_struct.thread_info.status byte_off`.
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)?;
        if self.element > 0 {
            write!(f, "[{}]", self.element)?;
        }
        for step in self.path.iter() {
            match step {
                Step::Member { name, .. } => write!(f, ".{name}")?,
                Step::Element(number) => write!(f, "[{number}]")?,
                Step::Value(name) => write!(f, "::{name}")?,
            }
        }
        write!(f, " {}", self.fact.name())
    }
}

/// A name without its flavour: the last `___` between other letters, and what
/// follows (`bpf_core_essential_name_len`).
pub(crate) fn essential(name: &[u8]) -> &[u8] {
    let separator = |five: &[u8]| five[0] != b'_' && &five[1..4] == b"___" && five[4] != b'_';
    name.windows(5).rposition(separator).map_or(name, |at| &name[..=at])
}
