//! The CO-RE relocations of an object: its `.BTF.ext` section, read with the help
//! of its `.BTF`. Only for objects of our own, at build time and in tests: what
//! cannot be understood is an error, so that it is met before a release.

use std::borrow::Cow;

use super::need::{Fact, Need, Shape, Step, essential};
use super::raw::{Btf, Error, Kind, Type};

/// Where the header of `.BTF.ext` says where its relocations lie.
const RELOCATIONS: usize = 24;
/// What a relocation has at least: instruction, type, access string, kind.
const RECORD: usize = 16;

/// What the programs of an object need, each once, sorted.
///
/// # Errors
/// When the section is damaged, or asks for what [`super::minimise`] cannot keep.
pub fn needs(btf: &Btf<'_>, ext: &[u8]) -> Result<Vec<Need>, Error> {
    let word = |at: usize| {
        let four = ext.get(at..at + 4).and_then(|four| four.try_into().ok());
        four.map(u32::from_ne_bytes).ok_or(Error::Header("its .BTF.ext is cut"))
    };
    let header = word(4)? as usize;
    if header < RELOCATIONS + 8 || word(RELOCATIONS + 4)? == 0 {
        return Ok(Vec::new());
    }
    let mut at = header + word(RELOCATIONS)? as usize;
    let end = at + word(RELOCATIONS + 4)? as usize;
    let length = word(at)? as usize;
    if length < RECORD {
        return Err(Error::Header("its relocations are too short"));
    }
    at += 4;
    let mut needs = Vec::new();
    while at < end {
        let count = word(at + 4)?;
        at += 8;
        for _ in 0..count {
            needs.extend(need(btf, word(at + 4)?, word(at + 8)?, word(at + 12)?)?);
            at += length;
        }
    }
    needs.sort();
    needs.dedup();
    Ok(needs)
}

/// One record; none for one that asks nothing of the kernel.
fn need(btf: &Btf<'_>, root: u32, access: u32, number: u32) -> Result<Option<Need>, Error> {
    let found = get(btf, root)?;
    let name = text(essential(btf.name(found.name())));
    let access = text(btf.name(access));
    let unknown = |why: &str| Error::Relocation(format!("{name} {access} (kind {number}): {why}"));
    let (fact, by_type) = match number {
        0 => (Fact::ByteOffset, false),
        1 => (Fact::ByteSize, false),
        2 => (Fact::Exists, false),
        3 => (Fact::Signed, false),
        4 => (Fact::LeftShift, false),
        5 => (Fact::RightShift, false),
        // A number of the object's own types.
        6 => return Ok(None),
        7 => return Err(unknown("a number of the kernel's types cannot be kept")),
        8 => (Fact::TypeExists, true),
        9 => (Fact::TypeSize, true),
        10 => (Fact::ValueExists, false),
        11 => (Fact::Value, false),
        _ => return Err(unknown("it is not known")),
    };
    if name.is_empty() {
        return Err(unknown("its type has no name"));
    }
    let kind = if found.kind.is_enum() { Kind::Enum } else { found.kind };
    if by_type && !(kind.is_composite() || matches!(kind, Kind::Enum | Kind::Int | Kind::Float)) {
        return Err(unknown("types are compared by name and kind alone"));
    }
    let mut path = Vec::new();
    let mut indices = access.split(':').map(|index| index.parse::<u32>().map_err(|_| unknown("its access")));
    let element = indices.next().unwrap_or(Ok(0))?;
    if matches!(fact, Fact::ValueExists | Fact::Value) {
        let values = get(btf, btf.skip(root)?)?.values().nth(element as usize);
        let value = values.ok_or_else(|| unknown("its value"))?;
        let path = vec![Step::Value(text(essential(btf.name(value.name))).into())];
        return Ok(Some(Need { kind, root: name.into(), path: path.into(), element: 0, fact }));
    }
    let mut id = btf.skip(root)?;
    for index in indices {
        let (index, holder) = (index?, get(btf, id)?);
        if let Some(array) = holder.array() {
            path.push(Step::Element(index));
            id = btf.skip(array.element)?;
            continue;
        }
        let member = holder.members().nth(index as usize).ok_or_else(|| unknown("its member"))?;
        if member.name != 0 {
            let (arrays, shape) = shape(btf, member.type_id)?.ok_or_else(|| unknown("its field"))?;
            path.push(Step::Member { name: text(btf.name(member.name)).into(), arrays, shape });
        }
        id = btf.skip(member.type_id)?;
    }
    Ok(Some(Need { kind, root: name.into(), path: path.into(), element, fact }))
}

fn shape(btf: &Btf<'_>, id: u32) -> Result<Option<(u32, Shape)>, Error> {
    let mut arrays = 0;
    let mut found = get(btf, btf.skip(id)?)?;
    while let Some(array) = found.array() {
        arrays += 1;
        found = get(btf, btf.skip(array.element)?)?;
    }
    let name = || Cow::from(text(essential(btf.name(found.name()))));
    let shape = match found.kind {
        Kind::Struct | Kind::Union => Shape::Composite,
        Kind::Pointer => Shape::Pointer,
        Kind::Float => Shape::Float,
        Kind::Int => Shape::Int,
        Kind::Enum | Kind::Enum64 => Shape::Enum(name()),
        Kind::Forward => Shape::Forward(name()),
        _ => return Ok(None),
    };
    Ok(Some((arrays, shape)))
}

fn get<'a>(btf: &Btf<'a>, id: u32) -> Result<Type<'a>, Error> {
    btf.get(id).ok_or(Error::Type(id, "it is referred to and not there"))
}

/// Names are those of C.
fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
