//! How every struct and union of a BTF lies, and the comparison of two.

use std::collections::{BTreeMap, BTreeSet};

use bee_trace::btf::{Btf, Kind};

/// Name, bits from the start, bits of a bit field.
type Member = (String, u32, u32);

/// One definition of a type.
#[derive(Clone, PartialEq, Eq)]
struct Layout {
    size: u32,
    members: BTreeSet<Member>,
}

/// By kind and name; some names have several definitions.
pub struct Layouts(BTreeMap<(Kind, String), Vec<Layout>>);

impl Layouts {
    pub fn of(bytes: &[u8]) -> Self {
        let btf = Btf::parse(bytes).unwrap();
        let mut all: BTreeMap<_, Vec<Layout>> = BTreeMap::new();
        for one in (1..=btf.last()).filter_map(|id| btf.get(id)) {
            if one.kind.is_composite() && one.name() != 0 {
                let name = String::from_utf8(btf.name(one.name()).to_vec()).unwrap();
                let mut members = BTreeSet::new();
                flatten(&btf, &one, 0, &mut members);
                all.entry((one.kind, name)).or_default().push(Layout { size: one.size(), members });
            }
        }
        Self(all)
    }
}

/// Members of structs without a name count as those of the one around.
fn flatten(btf: &Btf<'_>, one: &bee_trace::btf::Type<'_>, base: u32, out: &mut BTreeSet<Member>) {
    for member in one.members() {
        if member.name != 0 {
            let name = String::from_utf8(btf.name(member.name).to_vec()).unwrap();
            out.insert((name, base + member.bit, member.bits));
        } else if let Some(inner) = btf.get(btf.skip(member.type_id).unwrap()) {
            flatten(btf, &inner, base + member.bit, out);
        }
    }
}

/// What a comparison found.
#[derive(Default)]
pub struct Compared {
    /// Types with the same size and members.
    pub types: usize,
    /// Their members.
    pub members: usize,
    /// Types of which only some members are there, rightly.
    pub beginnings: Vec<String>,
    /// Everything else.
    pub different: Vec<String>,
}

/// Compares each type of `made` with those called so in `own`.
pub fn compare(made: &Layouts, own: &Layouts) -> Compared {
    let mut out = Compared::default();
    for (key, layouts) in &made.0 {
        let there = own.0.get(key).map(Vec::as_slice).unwrap_or_default();
        for layout in layouts {
            if there.contains(layout) {
                out.types += 1;
                out.members += layout.members.len();
            } else if there.iter().any(|own| layout.members.is_subset(&own.members)) {
                out.beginnings.push(key.1.clone());
            } else {
                out.different.push(key.1.clone());
            }
        }
    }
    out
}
