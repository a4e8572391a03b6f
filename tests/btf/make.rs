//! BTF made by hand, type by type.

use bee_trace::btf::{Fact, Kind, Need, Shape, Step};

/// A BTF in the making; types are numbered from 1 in the order they are added.
pub struct Made {
    types: Vec<u32>,
    strings: Vec<u8>,
    count: u32,
}

impl Made {
    pub fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], count: 0 }
    }

    /// Adds a name; none is offset 0.
    pub fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at
    }

    /// Adds any type: its number in the format, its flag, how many entries it says it has, its size
    /// or target, and what follows.
    pub fn add(&mut self, name: &str, kind: u32, flag: bool, entries: u32, size: u32, more: &[u32]) -> u32 {
        let name = self.name(name);
        self.types.extend([name, u32::from(flag) << 31 | kind << 24 | entries, size]);
        self.types.extend(more);
        self.count += 1;
        self.count
    }

    pub fn int(&mut self, name: &str, size: u32, signed: bool) -> u32 {
        self.add(name, 1, false, 0, size, &[(u32::from(signed) << 24) | (size * 8)])
    }

    pub fn pointer(&mut self, to: u32) -> u32 {
        self.add("", 2, false, 0, to, &[])
    }

    pub fn array(&mut self, element: u32, index: u32, count: u32) -> u32 {
        self.add("", 3, false, 0, 0, &[element, index, count])
    }

    pub fn typedef(&mut self, name: &str, to: u32) -> u32 {
        self.add(name, 8, false, 0, to, &[])
    }

    pub fn constant(&mut self, to: u32) -> u32 {
        self.add("", 10, false, 0, to, &[])
    }

    /// Members as name, type, bits from the start.
    pub fn composite(&mut self, union: bool, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.members(if union { 5 } else { 4 }, false, name, size, members)
    }

    pub fn structure(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.composite(false, name, size, members)
    }

    /// Members as name, type, bits from the start and, above 24 bits, of the field.
    pub fn bitfields(&mut self, name: &str, size: u32, members: &[(&str, u32, u32)]) -> u32 {
        self.members(4, true, name, size, members)
    }

    fn members(&mut self, kind: u32, flag: bool, name: &str, size: u32, of: &[(&str, u32, u32)]) -> u32 {
        let mut more = Vec::new();
        for (name, type_id, bit) in of {
            more.extend([self.name(name), *type_id, *bit]);
        }
        self.add(name, kind, flag, of.len() as u32, size, &more)
    }

    pub fn enumeration(&mut self, name: &str, values: &[(&str, i32)]) -> u32 {
        let mut more = Vec::new();
        for (name, value) in values {
            more.extend([self.name(name), *value as u32]);
        }
        self.add(name, 6, true, values.len() as u32, 4, &more)
    }

    pub fn enumeration64(&mut self, name: &str, values: &[(&str, u64)]) -> u32 {
        let mut more = Vec::new();
        for (name, value) in values {
            more.extend([self.name(name), *value as u32, (*value >> 32) as u32]);
        }
        self.add(name, 19, false, values.len() as u32, 8, &more)
    }

    /// The number of the last type that was added.
    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn bytes(&self) -> Vec<u8> {
        let types = self.types.len() as u32 * 4;
        let mut all = 0xeb9f_u16.to_ne_bytes().to_vec();
        all.extend([1, 0]);
        for word in [24, 0, types, types, self.strings.len() as u32].iter().chain(&self.types) {
            all.extend(word.to_ne_bytes());
        }
        all.extend(&self.strings);
        all
    }
}

/// A member of this shape, in no array.
pub fn member(name: &str, shape: Shape) -> Step {
    in_arrays(name, 0, shape)
}

pub fn in_arrays(name: &str, arrays: u32, shape: Shape) -> Step {
    Step::Member { name: name.to_owned().into(), arrays, shape }
}

pub fn need(kind: Kind, root: &str, path: Vec<Step>, fact: Fact) -> Need {
    Need { kind, root: root.to_owned().into(), path: path.into(), element: 0, fact }
}

/// The offset of an integer in a struct.
pub fn int(root: &str, field: &str) -> Need {
    need(Kind::Struct, root, vec![member(field, Shape::Int)], Fact::ByteOffset)
}
