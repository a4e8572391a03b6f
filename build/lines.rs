//! Takes the line information out of an object: for each instruction the place in the source and the
//! text of the line. It is half of an object's types, it is handed to the kernel with every program, and
//! only a person who reads what the verifier says has a use for it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use object::build::elf::{Builder, SectionData};
use object::elf::SHT_STRTAB;

use crate::raw::{Btf, HEADER, Kind};

/// The header of `.BTF.ext` up to its relocations (include/uapi/linux/btf.h has that of `.BTF`;
/// libbpf_internal.h, `struct btf_ext_header`, this one).
const EXT_HEADER: u32 = 32;

/// Rewrites the object without line information, and without the strings only that has used.
///
/// # Errors
/// The object cannot be read or written, or its types are damaged.
pub fn strip(path: &Path, types: &[u8], ext: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut names = Names { of: Btf::parse(types)?, known: BTreeMap::new(), bytes: vec![0] };
    let types = renamed_types(types, &mut names)?;
    let ext = if ext.is_empty() { Vec::new() } else { renamed_ext(ext, &mut names)? };
    let types = with_strings(&types, &names.bytes)?;

    let bytes = fs::read(path)?;
    let mut elf = Builder::read64(bytes.as_slice())?;
    for section in &mut elf.sections {
        match &*section.name {
            name if name == b".BTF" => section.data = SectionData::Data(types.clone().into()),
            name if name == b".BTF.ext" => section.data = SectionData::Data(ext.clone().into()),
            _ => {}
        }
    }
    // clang has one table for the names of sections and of symbols; here each has its own.
    if !elf.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        let names = elf.sections.add();
        (names.name, names.sh_type, names.sh_addralign) = (b".shstrtab"[..].into(), SHT_STRTAB, 1);
        names.data = SectionData::SectionString;
    }
    let mut out = Vec::new();
    elf.write(&mut out)?;
    fs::write(path, out)?;
    Ok(())
}

/// Strings that are still used, and where they are now.
struct Names<'a> {
    of: Btf<'a>,
    known: BTreeMap<Vec<u8>, u32>,
    bytes: Vec<u8>,
}

impl Names<'_> {
    /// Replaces the offset of a string, the four bytes at `at`, by its new one.
    fn renew(&mut self, bytes: &mut [u8], at: usize) -> Result<(), Box<dyn Error>> {
        let name = self.of.name(word(bytes, at)?);
        let place = if name.is_empty() {
            0
        } else if let Some(place) = self.known.get(name) {
            *place
        } else {
            let place = u32::try_from(self.bytes.len())?;
            self.known.insert(name.to_vec(), place);
            self.bytes.extend_from_slice(name);
            self.bytes.push(0);
            place
        };
        set(bytes, at, place)
    }
}

fn word(bytes: &[u8], at: usize) -> Result<u32, Box<dyn Error>> {
    let four = bytes.get(at..at + 4).ok_or("the types of an object are cut")?;
    Ok(u32::from_ne_bytes(four.try_into()?))
}

fn set(bytes: &mut [u8], at: usize, value: u32) -> Result<(), Box<dyn Error>> {
    bytes.get_mut(at..at + 4).ok_or("the types of an object are cut")?.copy_from_slice(&value.to_ne_bytes());
    Ok(())
}

/// Every name of every type; the rest as it is.
fn renamed_types(types: &[u8], names: &mut Names<'_>) -> Result<Vec<u8>, Box<dyn Error>> {
    let (start, length) = (HEADER + word(types, 8)? as usize, word(types, 12)? as usize);
    let mut out = types.get(start..start + length).ok_or("the types of an object are cut")?.to_vec();
    let mut at = 0;
    while at < out.len() {
        let info = word(&out, at + 4)?;
        let kind = Kind::of(info).ok_or("an object has a type of no known kind")?;
        let entries = (info & 0xffff) as usize;
        names.renew(&mut out, at)?;
        let more = kind.more(entries);
        at += 12;
        if kind.is_composite() || kind.is_enum() || kind == Kind::Prototype {
            for entry in 0..entries {
                names.renew(&mut out, at + entry * (more / entries))?;
            }
        }
        at += more;
    }
    Ok(out)
}

/// Functions and relocations; no lines.
fn renamed_ext(ext: &[u8], names: &mut Names<'_>) -> Result<Vec<u8>, Box<dyn Error>> {
    let header = word(ext, 4)? as usize;
    // Of a function its type's number; of a relocation the string that says what is reached.
    let mut part = |at: usize, name_at: Option<usize>| -> Result<Vec<u8>, Box<dyn Error>> {
        let (from, length) = (header + word(ext, at)? as usize, word(ext, at + 4)? as usize);
        let mut out = ext.get(from..from + length).ok_or("the types of an object are cut")?.to_vec();
        if out.is_empty() {
            return Ok(out);
        }
        let record = word(&out, 0)? as usize;
        let mut at = 4;
        while at < out.len() {
            names.renew(&mut out, at)?;
            let count = word(&out, at + 4)? as usize;
            at += 8;
            for _ in 0..count {
                if let Some(name_at) = name_at {
                    names.renew(&mut out, at + name_at)?;
                }
                at += record;
            }
        }
        Ok(out)
    };
    let functions = part(8, None)?;
    let relocations = if header >= EXT_HEADER as usize { part(24, Some(8))? } else { Vec::new() };
    let mut out = ext.get(..4).ok_or("the types of an object are cut")?.to_vec();
    let (first, second) = (u32::try_from(functions.len())?, u32::try_from(relocations.len())?);
    // Length of the header, then offset and length of functions, lines, relocations.
    for value in [EXT_HEADER, 0, first, first, 0, first, second] {
        out.extend_from_slice(&value.to_ne_bytes());
    }
    out.extend_from_slice(&functions);
    out.extend_from_slice(&relocations);
    Ok(out)
}

/// A `.BTF` of these types and strings.
fn with_strings(types: &[u8], strings: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let header = u32::try_from(HEADER)?;
    let (length, strings_length) = (u32::try_from(types.len())?, u32::try_from(strings.len())?);
    // BTF_MAGIC, version 1, no flags.
    let mut out = [&0xeb9fu16.to_ne_bytes()[..], &[1, 0]].concat();
    for value in [header, 0, length, length, strings_length] {
        out.extend_from_slice(&value.to_ne_bytes());
    }
    out.extend_from_slice(types);
    out.extend_from_slice(strings);
    Ok(out)
}
