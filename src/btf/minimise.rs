//! Makes a small BTF of a large one: the types our objects need, each with the
//! members they need, at the places and with the sizes they have. libbpf searches
//! all types of a BTF for each of the types an object asks for, and a kernel has
//! more than a hundred thousand.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::need::{Fact, Need, Step, essential};
use super::raw::{Btf, Error, HEADER, Kind, Type};
use super::resolve::Budget;
use super::search::candidates;

/// Deeper nests of members without names do not exist.
const DEPTH: u32 = 64;

/// The part of `source` that the needs ask about: for each of them libbpf finds
/// in it what it would find in `source`, a missing or an ambiguous field too.
///
/// # Errors
/// When `source` is no BTF, or is damaged where it is looked at.
pub fn minimise(source: &[u8], needs: &[Need]) -> Result<Vec<u8>, Error> {
    minimise_parsed(&Btf::parse(source)?, needs)
}

/// The same of a BTF that has been parsed.
///
/// # Errors
/// When it is damaged where it is looked at.
pub fn minimise_parsed(source: &Btf<'_>, needs: &[Need]) -> Result<Vec<u8>, Error> {
    let mut keep = Keep { btf: source, types: BTreeMap::new(), budget: Budget::new() };
    for (need, candidates) in needs.iter().zip(candidates(source, needs)) {
        for id in candidates {
            keep.root(id, need)?;
        }
    }
    write(source, &keep.types)
}

/// What is kept: numbers of types, with the indices of their members or values.
struct Keep<'a> {
    btf: &'a Btf<'a>,
    types: BTreeMap<u32, BTreeSet<u32>>,
    budget: Budget,
}

impl Keep<'_> {
    fn root(&mut self, id: u32, need: &Need) -> Result<(), Error> {
        let behind = self.btf.skip(id)?;
        self.types.entry(id).or_default();
        let path: &[Step] = match need.fact {
            Fact::TypeExists | Fact::TypeSize => &[],
            _ => &need.path,
        };
        self.follow(behind, path)
    }

    /// Keeps a type and what the rest of the path leads to. Goes by names alone,
    /// so that a field of another type than ours is still there to be refused.
    fn follow(&mut self, mut id: u32, mut path: &[Step]) -> Result<(), Error> {
        let Some(mut found) = self.btf.get(id) else { return Ok(()) };
        self.types.entry(id).or_default();
        while let Some(array) = found.array() {
            self.budget.spend()?;
            path = match path {
                [Step::Element(_), rest @ ..] => rest,
                _ => &[],
            };
            let index = self.btf.skip(array.index)?;
            id = self.btf.skip(array.element)?;
            self.types.entry(index).or_default();
            self.types.entry(id).or_default();
            let Some(element) = self.btf.get(id) else { return Ok(()) };
            found = element;
        }
        match path {
            [Step::Member { name, .. }, rest @ ..] => {
                self.member(id, &found, name.as_bytes(), rest, DEPTH)?;
            }
            [Step::Value(name), ..] => {
                for (index, value) in (0..).zip(found.values()) {
                    self.budget.spend()?;
                    if essential(self.btf.name(value.name)) == name.as_bytes() {
                        self.types.entry(id).or_default().insert(index);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Keeps members of this name, also within members without one. Says whether
    /// there are any.
    fn member(
        &mut self,
        id: u32,
        holder: &Type<'_>,
        name: &[u8],
        rest: &[Step],
        depth: u32,
    ) -> Result<bool, Error> {
        let depth = depth.checked_sub(1).ok_or(Error::TooComplex)?;
        let mut any = false;
        for (index, one) in (0..).zip(holder.members()) {
            self.budget.spend()?;
            let its = self.btf.name(one.name);
            let behind = if its.is_empty() || its == name { self.btf.skip(one.type_id)? } else { continue };
            let inside = self.btf.get(behind);
            if its.is_empty() {
                let Some(inside) = inside.filter(|inside| inside.kind.is_composite()) else { continue };
                if !self.member(behind, &inside, name, rest, depth)? {
                    continue;
                }
            } else {
                self.follow(behind, rest)?;
                // An array of no length has elements only where it is the last member.
                if inside.and_then(|inside| inside.array()).is_some_and(|array| array.count == 0) {
                    self.last(id, holder)?;
                }
            }
            self.types.entry(id).or_default().insert(index);
            any = true;
        }
        Ok(any)
    }

    fn last(&mut self, id: u32, holder: &Type<'_>) -> Result<(), Error> {
        if let Some((index, one)) = (0..).zip(holder.members()).last() {
            self.follow(self.btf.skip(one.type_id)?, &[])?;
            self.types.entry(id).or_default().insert(index);
        }
        Ok(())
    }
}

/// The kept types as BTF of their own, numbered in their order.
fn write(btf: &Btf<'_>, kept: &BTreeMap<u32, BTreeSet<u32>>) -> Result<Vec<u8>, Error> {
    // What has no size and no members stands for nothing a need could find: it becomes `void`.
    let known = |id: &u32| btf.get(*id).is_some_and(|found| is_written(found.kind));
    let numbers: HashMap<u32, u32> = kept.keys().copied().filter(known).zip(1..).collect();
    // What stands behind a kept type and was not followed: the inside of a pointer.
    let number = |id: u32| Ok(numbers.get(&btf.skip(id)?).copied().unwrap_or_default());
    let mut out = Out { btf, types: Vec::new(), strings: vec![0], names: HashMap::new() };
    for (id, entries) in kept {
        let Some(found) = btf.get(*id).filter(|found| is_written(found.kind)) else { continue };
        let count = u32::try_from(entries.len()).map_err(|_| Error::TooComplex)?;
        out.name(found.name())?;
        out.word(u32::from(found.flag()) << 31 | found.kind.number() << 24 | count);
        out.word(match found.kind {
            Kind::Pointer | Kind::Array | Kind::Forward => 0,
            Kind::Typedef => number(found.target())?,
            _ => found.size(),
        });
        if found.kind == Kind::Int {
            out.word(found.encoding());
        }
        if let Some(array) = found.array() {
            out.word(number(array.element)?);
            out.word(number(array.index)?);
            out.word(array.count);
        }
        for (_, member) in (0..).zip(found.members()).filter(|(index, _)| entries.contains(index)) {
            out.name(member.name)?;
            out.word(number(member.type_id)?);
            out.word(member.stored);
        }
        for (_, value) in (0..).zip(found.values()).filter(|(index, _)| entries.contains(index)) {
            out.name(value.name)?;
            out.word(value.low);
            if found.kind == Kind::Enum64 {
                out.word(value.high);
            }
        }
    }
    out.finish()
}

fn is_written(kind: Kind) -> bool {
    kind.is_composite()
        || kind.is_enum()
        || matches!(
            kind,
            Kind::Int | Kind::Float | Kind::Pointer | Kind::Array | Kind::Forward | Kind::Typedef
        )
}

struct Out<'a> {
    btf: &'a Btf<'a>,
    types: Vec<u8>,
    strings: Vec<u8>,
    /// Offset there, offset here.
    names: HashMap<u32, u32>,
}

impl Out<'_> {
    fn word(&mut self, word: u32) {
        self.types.extend(word.to_ne_bytes());
    }

    fn name(&mut self, offset: u32) -> Result<(), Error> {
        let name = self.btf.name(offset);
        let here = match self.names.get(&offset) {
            _ if name.is_empty() => 0,
            Some(here) => *here,
            None => {
                let here = u32::try_from(self.strings.len()).map_err(|_| Error::TooComplex)?;
                self.strings.extend(name);
                self.strings.push(0);
                self.names.insert(offset, here);
                here
            }
        };
        self.word(here);
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, Error> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| Error::TooComplex);
        let (types, strings) = (length(&self.types)?, length(&self.strings)?);
        let mut all = Vec::with_capacity(HEADER + self.types.len() + self.strings.len());
        all.extend(0xeb9f_u16.to_ne_bytes());
        all.extend([1, 0]);
        let header = u32::try_from(HEADER).map_err(|_| Error::TooComplex)?;
        for word in [header, 0, types, types, strings] {
            all.extend(word.to_ne_bytes());
        }
        all.extend(self.types);
        all.extend(self.strings);
        Ok(all)
    }
}
