//! Finds types by name, in one pass over all of them.

use super::need::{Need, essential};
use super::raw::{Btf, Kind};

/// Which types can be the root of each need, by kind and name: one pass over all
/// types. In the order of `needs`.
pub(crate) fn candidates(btf: &Btf<'_>, needs: &[Need]) -> Vec<Vec<u32>> {
    let mut roots: Vec<(&[u8], Kind)> = needs.iter().map(|need| (need.root.as_bytes(), need.kind)).collect();
    roots.sort();
    roots.dedup();
    let beginnings = Beginnings::of(roots.iter().map(|(name, _)| *name));
    let mut found = vec![Vec::new(); roots.len()];
    for id in 1..=btf.last() {
        let Some(one) = btf.get(id) else { continue };
        let kind = match one.kind {
            Kind::Enum64 => Kind::Enum,
            Kind::Pointer | Kind::Function | Kind::Prototype | Kind::Const => continue,
            kind => kind,
        };
        if !beginnings.may(btf.letters(one.name())) {
            continue;
        }
        if let Ok(index) = roots.binary_search(&(essential(btf.name(one.name())), kind)) {
            found[index].push(id);
        }
    }
    let of = |need: &Need| roots.binary_search(&(need.root.as_bytes(), need.kind)).ok();
    needs.iter().map(|need| of(need).map(|index| found[index].clone()).unwrap_or_default()).collect()
}

impl Btf<'_> {
    /// The numbers of types by kind and name, in one pass: the first of each, as libbpf takes it.
    pub fn find(&self, wanted: &[(Kind, &str)]) -> Vec<Option<u32>> {
        let beginnings = Beginnings::of(wanted.iter().map(|(_, name)| name.as_bytes()));
        let mut found = vec![None; wanted.len()];
        for id in 1..=self.last() {
            let Some(one) = self.get(id) else { continue };
            if !beginnings.may(self.letters(one.name())) {
                continue;
            }
            let name = self.name(one.name());
            for ((kind, wanted), found) in wanted.iter().zip(&mut found) {
                if found.is_none() && *kind == one.kind && wanted.as_bytes() == name {
                    *found = Some(id);
                }
            }
        }
        found
    }
}

/// The first two letters of some names: turns most of a kernel's hundred thousand
/// types away before their name is looked at.
struct Beginnings([u64; 1024]);

impl Beginnings {
    fn of<'n>(names: impl Iterator<Item = &'n [u8]>) -> Self {
        let mut set = Self([0; 1024]);
        for name in names {
            match name {
                [] => {}
                // Alone, and with a flavour behind.
                [only] => {
                    set.add([*only, 0]);
                    set.add([*only, b'_']);
                }
                [first, second, ..] => set.add([*first, *second]),
            }
        }
        set
    }

    fn add(&mut self, letters: [u8; 2]) {
        let (word, bit) = place(letters);
        self.0[word] |= bit;
    }

    /// Whether a name that begins so can be one of them.
    fn may(&self, letters: [u8; 2]) -> bool {
        let (word, bit) = place(letters);
        self.0[word] & bit != 0
    }
}

fn place(letters: [u8; 2]) -> (usize, u64) {
    let both = usize::from(u16::from_be_bytes(letters));
    (both >> 6, 1 << (both & 63))
}
