//! Finds what a need is about in a BTF, as libbpf's relocation does
//! (relo_core.c), and says its value there.

use super::need::{Fact, Need, Shape, Step, essential};
use super::raw::{Btf, Error, Kind, Type};
use super::search::candidates;

/// More steps into a type than libbpf takes (`BPF_CORE_SPEC_MAX_LEN`).
const DEPTH: u32 = 64;
/// Members looked at for all needs together; a kernel's BTF takes some
/// ten thousand. Types that contain each other could take forever.
const BUDGET: u32 = 1 << 20;

/// What libbpf would write into a program for a need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Offset {
    /// The value: bytes, 0 or 1, bits to shift, or an enum's value.
    Is {
        /// The value.
        value: u64,
        /// Of an offset, the bytes of the field (of one element, where it is an
        /// array); loads of it get this length. Else 0.
        size: u64,
    },
    /// It is not there: the instruction must not be reached.
    Absent,
    /// There are several such types, and they differ in it: libbpf refuses.
    Ambiguous,
}

/// Counts down what may still be looked at.
pub(crate) struct Budget(u32);

impl Budget {
    pub(crate) fn new() -> Self {
        Self(BUDGET)
    }

    pub(crate) fn spend(&mut self) -> Result<(), Error> {
        self.0 = self.0.checked_sub(1).ok_or(Error::TooComplex)?;
        Ok(())
    }
}

/// What each need is in `source`, with the need in words: to compare two BTFs.
///
/// # Errors
/// When `source` is no BTF, or is damaged where it is looked at.
pub fn offsets(source: &[u8], needs: &[Need]) -> Result<Vec<(String, Offset)>, Error> {
    let btf = Btf::parse(source)?;
    let mut budget = Budget::new();
    let mut all = Vec::with_capacity(needs.len());
    for (need, candidates) in needs.iter().zip(candidates(&btf, needs)) {
        let mut result = None;
        for id in candidates {
            let Some(spot) = find(&btf, id, need, &mut budget)? else { continue };
            let offset = value(&btf, &spot, need.fact)?;
            match result {
                // Fields must lie at the same place, whatever the question.
                Some((first, bit)) if first != offset || bit != spot.bit => {
                    result = Some((Offset::Ambiguous, bit));
                    break;
                }
                _ => result = Some((offset, spot.bit)),
            }
        }
        let absent = match need.fact {
            Fact::Exists | Fact::TypeExists | Fact::TypeSize | Fact::ValueExists => {
                Offset::Is { value: 0, size: 0 }
            }
            _ => Offset::Absent,
        };
        all.push((need.to_string(), result.map_or(absent, |(offset, _)| offset)));
    }
    Ok(all)
}

/// Where a need leads in one candidate.
struct Spot {
    /// Bits from the start of the root.
    bit: u64,
    /// The type of the last step.
    type_id: u32,
    /// Bits of the field, when the last step is a bit field.
    bits: Option<u32>,
    /// Whether the last step is a member, not an element or the root.
    member: bool,
    /// The enum's value.
    value: u64,
}

fn find(btf: &Btf<'_>, root: u32, need: &Need, budget: &mut Budget) -> Result<Option<Spot>, Error> {
    let mut spot = Spot { bit: 0, type_id: root, bits: None, member: false, value: 0 };
    if matches!(need.fact, Fact::TypeExists | Fact::TypeSize) {
        return Ok(Some(spot));
    }
    spot.type_id = btf.skip(root)?;
    if need.element > 0 {
        spot.bit = bits_of(btf, spot.type_id, need.element)?;
    }
    // Whether the last step was the last member of its struct, which may be an array of no length.
    let mut last = false;
    for step in need.path.iter() {
        let Some(holder) = btf.get(spot.type_id) else { return Ok(None) };
        match step {
            Step::Value(name) => {
                let mut values = holder.values();
                let same = |offset| essential(btf.name(offset)) == name.as_bytes();
                let Some(found) = values.find(|value| same(value.name)) else { return Ok(None) };
                spot.value = found.value();
            }
            Step::Element(number) => {
                let Some(array) = holder.array() else { return Ok(None) };
                let flexible = array.count == 0 && spot.member && last;
                if !flexible && *number >= array.count {
                    return Ok(None);
                }
                spot.type_id = btf.skip(array.element)?;
                spot.bit = spot.bit.saturating_add(bits_of(btf, spot.type_id, *number)?);
                spot.member = false;
            }
            Step::Member { name, arrays, shape } => {
                let wanted = Wanted { name: name.as_bytes(), arrays: *arrays, shape };
                let Some(found) = member(btf, &holder, &wanted, DEPTH, budget)? else { return Ok(None) };
                spot.bit = spot.bit.saturating_add(found.bit);
                spot.bits = (found.bits > 0).then_some(found.bits);
                spot.type_id = btf.skip(found.type_id)?;
                spot.member = true;
                last = found.last;
            }
        }
    }
    Ok(Some(spot))
}

fn bits_of(btf: &Btf<'_>, id: u32, count: u32) -> Result<u64, Error> {
    Ok(if count == 0 { 0 } else { btf.size(id)?.saturating_mul(8).saturating_mul(count.into()) })
}

struct Wanted<'a> {
    name: &'a [u8],
    arrays: u32,
    shape: &'a Shape,
}

struct Found {
    bit: u64,
    bits: u32,
    type_id: u32,
    last: bool,
}

/// A member by name, also within members without one, of a shape that fits.
fn member(
    btf: &Btf<'_>,
    holder: &Type<'_>,
    wanted: &Wanted<'_>,
    depth: u32,
    budget: &mut Budget,
) -> Result<Option<Found>, Error> {
    let depth = depth.checked_sub(1).ok_or(Error::TooComplex)?;
    for (index, one) in (0..).zip(holder.members()) {
        budget.spend()?;
        let name = btf.name(one.name);
        if name.is_empty() {
            let inside = btf.get(btf.skip(one.type_id)?).filter(|inside| inside.kind.is_composite());
            let Some(inside) = inside else { continue };
            if let Some(mut found) = member(btf, &inside, wanted, depth, budget)? {
                found.bit = found.bit.saturating_add(one.bit.into());
                return Ok(Some(found));
            }
        } else if name == wanted.name {
            let found = Found {
                bit: one.bit.into(),
                bits: one.bits,
                type_id: one.type_id,
                last: index + 1 == holder.entries(),
            };
            return Ok(fits(btf, one.type_id, wanted)?.then_some(found));
        }
    }
    Ok(None)
}

/// `bpf_core_fields_are_compat`.
fn fits(btf: &Btf<'_>, mut id: u32, wanted: &Wanted<'_>) -> Result<bool, Error> {
    for _ in 0..wanted.arrays {
        match btf.get(btf.skip(id)?).and_then(|found| found.array()) {
            Some(array) => id = array.element,
            None => return Ok(false),
        }
    }
    let Some(found) = btf.get(btf.skip(id)?) else { return Ok(false) };
    let name = || essential(btf.name(found.name()));
    let same = |ours: &str| ours.is_empty() || name().is_empty() || name() == ours.as_bytes();
    Ok(match wanted.shape {
        Shape::Composite => found.kind.is_composite(),
        Shape::Pointer => found.kind == Kind::Pointer,
        Shape::Float => found.kind == Kind::Float,
        // An integer with a bit offset is a bit field of old compilers.
        Shape::Int => found.kind == Kind::Int && found.encoding() >> 16 & 0xff == 0,
        Shape::Enum(ours) => found.kind.is_enum() && same(ours),
        Shape::Forward(ours) => found.kind == Kind::Forward && same(ours),
    })
}

/// `bpf_core_calc_relo`.
fn value(btf: &Btf<'_>, spot: &Spot, fact: Fact) -> Result<Offset, Error> {
    let is = |value| Ok(Offset::Is { value, size: 0 });
    match fact {
        Fact::Exists | Fact::TypeExists | Fact::ValueExists => return is(1),
        Fact::TypeSize => return is(btf.size(spot.type_id)?),
        Fact::Value => return is(spot.value),
        _ => {}
    }
    let (bits, size, byte) = match spot.bits {
        Some(bits) => {
            // Of anything else the size is no size, and libbpf would go by it.
            let whole = btf.get(spot.type_id).filter(|found| found.kind == Kind::Int || found.kind.is_enum());
            let whole = whole.ok_or(Error::Type(spot.type_id, "no number, and yet that of a bit field"))?;
            // The smallest integer that a load of the whole bit field fits into.
            let mut size = u64::from(whole.size()).max(1);
            let start = |size: u64| spot.bit / 8 / size * size;
            while spot.bit + u64::from(bits) - start(size) * 8 > size * 8 {
                if size >= 8 {
                    return Ok(Offset::Ambiguous);
                }
                size *= 2;
            }
            (u64::from(bits), size, start(size))
        }
        None => {
            let size = btf.size(spot.type_id)?;
            (size * 8, size, spot.bit / 8)
        }
    };
    match fact {
        Fact::ByteOffset if spot.bits.is_some() => is(byte),
        Fact::ByteOffset => {
            let mut id = spot.type_id;
            while let Some(array) = btf.get(id).and_then(|found| found.array()) {
                id = btf.skip(array.element)?;
            }
            Ok(Offset::Is { value: byte, size: btf.size(id)? })
        }
        Fact::ByteSize => is(size),
        Fact::Signed => {
            let found = btf.get(spot.type_id);
            is(found
                .is_some_and(|found| {
                    found.kind.is_enum() && found.flag()
                        || found.kind == Kind::Int && found.encoding() >> 24 & 1 != 0
                })
                .into())
        }
        Fact::LeftShift if cfg!(target_endian = "little") => {
            is(64u64.wrapping_sub((spot.bit - byte * 8).wrapping_add(bits)))
        }
        Fact::LeftShift => is(8u64.wrapping_sub(size).wrapping_mul(8).wrapping_add(spot.bit - byte * 8)),
        _ => is(64u64.wrapping_sub(bits)),
    }
}
