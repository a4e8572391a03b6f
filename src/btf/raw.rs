//! Reads BTF, the type information of kernels and of our objects
//! (Documentation/bpf/btf.rst). Pure and bounds-checked: any bytes give types or
//! an error. Only the byte order of this machine is read. Shared with `build.rs`,
//! so it uses nothing else of this crate.

use std::ffi::CStr;
use std::fmt;

const MAGIC: u16 = 0xeb9f;
/// The length of the header of version 1.
pub(crate) const HEADER: usize = 24;
/// The length of what every type begins with.
const COMMON: usize = 12;
/// Longer chains of typedefs and qualifiers do not exist; a ring of them could.
const CHAIN: usize = 64;

/// What is wrong with a BTF, or cannot be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The header, or what it says about the sections.
    Header(&'static str),
    /// The type with this number.
    Type(u32, &'static str),
    /// A relocation of one of our objects that `src/btf` does not know.
    Relocation(String),
    /// So many types within types that following them was given up.
    TooComplex,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(what) => write!(f, "this is no BTF that can be read: {what}"),
            Self::Type(id, what) => write!(f, "the BTF is damaged: type {id}: {what}"),
            Self::Relocation(what) => write!(f, "a CO-RE relocation of a kind that is not known: {what}"),
            Self::TooComplex => write!(f, "the BTF is damaged: its types contain each other without end"),
        }
    }
}

impl std::error::Error for Error {}

/// `BTF_KIND_*`.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Int,
    Pointer,
    Array,
    Struct,
    Union,
    Enum,
    Forward,
    Typedef,
    Volatile,
    Const,
    Restrict,
    Function,
    Prototype,
    Variable,
    Section,
    Float,
    DeclTag,
    TypeTag,
    Enum64,
}

/// In the order of their numbers, from 1.
const KINDS: [Kind; 19] = [
    Kind::Int,
    Kind::Pointer,
    Kind::Array,
    Kind::Struct,
    Kind::Union,
    Kind::Enum,
    Kind::Forward,
    Kind::Typedef,
    Kind::Volatile,
    Kind::Const,
    Kind::Restrict,
    Kind::Function,
    Kind::Prototype,
    Kind::Variable,
    Kind::Section,
    Kind::Float,
    Kind::DeclTag,
    Kind::TypeTag,
    Kind::Enum64,
];

impl Kind {
    /// That of a type whose second word is `info`.
    pub(crate) fn of(info: u32) -> Option<Self> {
        KINDS.get(((info >> 24 & 0x1f) as usize).wrapping_sub(1)).copied()
    }

    /// Its number in `info`.
    pub(crate) fn number(self) -> u32 {
        self as u32 + 1
    }

    /// Bytes after the common part.
    pub(crate) fn more(self, entries: usize) -> usize {
        match self {
            Self::Int | Self::Variable | Self::DeclTag => 4,
            Self::Array => 12,
            Self::Struct | Self::Union | Self::Section | Self::Enum64 => entries * 12,
            Self::Enum | Self::Prototype => entries * 8,
            _ => 0,
        }
    }

    /// A struct or a union.
    pub fn is_composite(self) -> bool {
        matches!(self, Self::Struct | Self::Union)
    }

    /// CO-RE takes both kinds of enum for one.
    pub fn is_enum(self) -> bool {
        matches!(self, Self::Enum | Self::Enum64)
    }

    /// A qualifier, a tag or a typedef: what it is about is the type behind it.
    pub fn is_transparent(self) -> bool {
        matches!(self, Self::Typedef | Self::Volatile | Self::Const | Self::Restrict | Self::TypeTag)
    }
}

/// The four bytes at `at`; 0 beyond the end, which callers have excluded.
fn word(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at.saturating_add(4)).and_then(|four| four.try_into().ok());
    u32::from_ne_bytes(four.unwrap_or_default())
}

/// One type, cut to its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Type<'a> {
    bytes: &'a [u8],
    /// What it is.
    pub kind: Kind,
}

/// A member of a struct or a union.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Offset of its name; 0 when it has none.
    pub name: u32,
    /// Number of its type.
    pub type_id: u32,
    /// As it is stored: bits from the start, or with the size of a bit field above them.
    pub stored: u32,
    /// Bits from the start.
    pub bit: u32,
    /// Bits of a bit field; 0 of any other member.
    pub bits: u32,
}

/// A value of an enum.
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// Offset of its name.
    pub name: u32,
    /// The lower half of the value, or all of it in an enum of 32 bits.
    pub low: u32,
    /// The upper half; of an enum of 32 bits the sign.
    pub high: u32,
}

impl Value {
    /// Both halves.
    pub fn value(&self) -> u64 {
        u64::from(self.low) | u64::from(self.high) << 32
    }
}

/// An array.
#[derive(Clone, Copy, Debug)]
pub struct Array {
    /// Number of the type of an element.
    pub element: u32,
    /// Number of the type of an index.
    pub index: u32,
    /// How many.
    pub count: u32,
}

impl<'a> Type<'a> {
    /// Offset of its name; 0 when it has none.
    pub fn name(&self) -> u32 {
        word(self.bytes, 0)
    }

    /// `kind_flag` of the format: what it means depends on the kind.
    pub fn flag(&self) -> bool {
        word(self.bytes, 4) >> 31 != 0
    }

    /// How many members, values or parameters.
    pub fn entries(&self) -> u32 {
        word(self.bytes, 4) & 0xffff
    }

    /// Bytes, of kinds that have a size.
    pub fn size(&self) -> u32 {
        word(self.bytes, 8)
    }

    /// Number of the type it refers to, of kinds that do.
    pub fn target(&self) -> u32 {
        word(self.bytes, 8)
    }

    /// The members of a struct or a union; of any other kind none.
    pub fn members(&self) -> impl Iterator<Item = Member> + use<'a> {
        let flag = self.flag();
        self.chunks(self.kind.is_composite(), 12).map(move |bytes| {
            let stored = word(bytes, 8);
            let (bit, bits) = if flag { (stored & 0xff_ffff, stored >> 24) } else { (stored, 0) };
            Member { name: word(bytes, 0), type_id: word(bytes, 4), stored, bit, bits }
        })
    }

    /// The values of an enum; of any other kind none.
    pub fn values(&self) -> impl Iterator<Item = Value> + use<'a> {
        let wide = self.kind == Kind::Enum64;
        self.chunks(self.kind.is_enum(), if wide { 12 } else { 8 }).map(move |bytes| {
            let low = word(bytes, 4);
            let high = if wide { word(bytes, 8) } else { 0u32.wrapping_sub(low >> 31) };
            Value { name: word(bytes, 0), low, high }
        })
    }

    /// What an array is of.
    pub fn array(&self) -> Option<Array> {
        let word = |at| word(self.bytes, COMMON + at);
        (self.kind == Kind::Array).then(|| Array { element: word(0), index: word(4), count: word(8) })
    }

    /// The encoding of an integer: flags (1: signed), bit offset, bits; as stored.
    pub fn encoding(&self) -> u32 {
        if self.kind == Kind::Int { word(self.bytes, COMMON) } else { 0 }
    }

    fn chunks(&self, wanted: bool, length: usize) -> std::slice::ChunksExact<'a, u8> {
        self.bytes.get(COMMON..).filter(|_| wanted).unwrap_or_default().chunks_exact(length)
    }
}

/// A BTF whose header is right and whose types all lie inside it. What they say
/// of each other, and of names, is checked where it is followed.
#[derive(Debug)]
pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins, from type 1.
    at: Vec<u32>,
}

impl<'a> Btf<'a> {
    /// Finds the types.
    ///
    /// # Errors
    /// When it is not BTF of this byte order, is cut, or has a kind of type that
    /// is not known: the length of such a one is not known either.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() < HEADER {
            return Err(Error::Header("it is shorter than a header"));
        }
        let magic = [bytes[0], bytes[1]];
        if u16::from_ne_bytes(magic) != MAGIC {
            let foreign = u16::from_ne_bytes(magic).swap_bytes() == MAGIC;
            let what =
                if foreign { "it is of a machine with another byte order" } else { "its magic is another" };
            return Err(Error::Header(what));
        }
        if bytes[2] != 1 {
            return Err(Error::Header("its version is not 1"));
        }
        let header = word(bytes, 4) as usize;
        if header < HEADER {
            return Err(Error::Header("its header is too short"));
        }
        let section = |field| {
            let start = header.checked_add(word(bytes, field) as usize)?;
            bytes.get(start..start.checked_add(word(bytes, field + 4) as usize)?)
        };
        let types = section(8).ok_or(Error::Header("its types end behind its end"))?;
        let strings = section(16).ok_or(Error::Header("its names end behind its end"))?;
        if strings.first() != Some(&0) || strings.last() != Some(&0) {
            return Err(Error::Header("its names do not begin and end with a NUL"));
        }
        // Of 6.18's kernel a type has 25 bytes on average.
        let mut at = Vec::with_capacity(types.len() / 24);
        let mut start = 0;
        while start < types.len() {
            let info = word(types, start + 4);
            let id = u32::try_from(at.len() + 1).map_err(|_| Error::TooComplex)?;
            let kind = Kind::of(info).ok_or(Error::Type(id, "its kind is not known"))?;
            // Bits that have no meaning yet may get one that changes the length.
            if info & 0x60ff_0000 != 0 {
                return Err(Error::Type(id, "it uses bits that have no meaning"));
            }
            let end = start + COMMON + kind.more((info & 0xffff) as usize);
            if end > types.len() {
                return Err(Error::Type(id, "it ends behind the end of the types"));
            }
            at.push(u32::try_from(start).map_err(|_| Error::TooComplex)?);
            start = end;
        }
        Ok(Self { types, strings, at })
    }

    /// The number of the last type; 0 when there is none. The first is 1.
    pub fn last(&self) -> u32 {
        // `parse` made each number a u32.
        u32::try_from(self.at.len()).unwrap_or(u32::MAX)
    }

    /// Type number `id`; none for 0, which is `void`, and for one that is not there.
    pub fn get(&self, id: u32) -> Option<Type<'a>> {
        let index = (id as usize).checked_sub(1)?;
        let start = *self.at.get(index)? as usize;
        let end = self.at.get(index + 1).map_or(self.types.len(), |end| *end as usize);
        let bytes = self.types.get(start..end)?;
        Some(Type { bytes, kind: Kind::of(word(bytes, 4))? })
    }

    /// The name at `offset`, without its NUL; empty when the offset is none.
    pub fn name(&self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        // The section ends with a NUL.
        CStr::from_bytes_until_nul(rest).map(CStr::to_bytes).unwrap_or_default()
    }

    /// The first two bytes of the name at `offset`; its NUL counts as one.
    pub(crate) fn letters(&self, offset: u32) -> [u8; 2] {
        let letter = |at: usize| self.strings.get(at).copied().unwrap_or_default();
        [letter(offset as usize), letter((offset as usize).saturating_add(1))]
    }

    /// The type behind qualifiers and typedefs; 0 when that is `void`.
    ///
    /// # Errors
    /// When a type that is referred to is not there, or they refer to each other.
    pub fn skip(&self, mut id: u32) -> Result<u32, Error> {
        for _ in 0..CHAIN {
            if id == 0 {
                return Ok(0);
            }
            let found = self.get(id).ok_or(Error::Type(id, "it is referred to and not there"))?;
            if !found.kind.is_transparent() {
                return Ok(id);
            }
            id = found.target();
        }
        Err(Error::Type(id, "it stands for itself"))
    }

    /// Bytes of a value of this type, as `btf__resolve_size` of libbpf says.
    /// Pointers have 8: 32-bit kernels are not supported.
    ///
    /// # Errors
    /// For a type that has no size.
    pub fn size(&self, mut id: u32) -> Result<u64, Error> {
        let mut count = 1u64;
        for _ in 0..CHAIN {
            id = self.skip(id)?;
            let found = self.get(id).ok_or(Error::Type(id, "it has no size"))?;
            let one = match (found.kind, found.array()) {
                (_, Some(array)) => {
                    count = count.checked_mul(array.count.into()).ok_or(Error::TooComplex)?;
                    id = array.element;
                    continue;
                }
                (Kind::Pointer, _) => 8,
                (Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Float, _) => {
                    found.size()
                }
                _ => return Err(Error::Type(id, "it has no size")),
            };
            let all = count.checked_mul(one.into()).filter(|all| *all <= u32::MAX.into());
            return all.ok_or(Error::Type(id, "it is larger than anything"));
        }
        Err(Error::TooComplex)
    }
}
