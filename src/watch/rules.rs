//! What the kernel is told: patterns cut down to hashes of names. Every path
//! a pattern matches is a candidate; not every candidate is matched.

use super::glob::Component;
use super::pattern::{Pattern, split_last};
use crate::wire::{EDGE_FIRST, EDGE_LAST, EDGE_PREFIX, EDGE_SUFFIX};

/// Of a longer name only this many bytes are hashed.
const MAX_NAME: usize = 64;
/// Of a longer prefix or suffix only this many bytes are tested.
const MAX_AFFIX: usize = 16;

/// What a rule compares. The numbers are known to the eBPF side.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleKind {
    /// The last component equals.
    Exact = 0,
    /// The last component begins with.
    Prefix = 1,
    /// The last component ends with.
    Suffix = 2,
    /// Any entry at any depth below a directory of this name.
    Directory = 3,
    /// Entries directly in a directory of this name.
    Parent = 4,
    /// A directory of this name is a component of some pattern: its creation
    /// by rename or mount can bring watched names into being.
    Anchor = 5,
}

/// One test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// What is compared.
    pub kind: RuleKind,
    /// How many bytes are hashed: at most 16 for `Prefix` and `Suffix`, at most 64 for the others.
    pub length: u8,
    /// [`fnv1a`] over these bytes.
    pub hash: u64,
    /// 1: every open (`watch`); 2: opens for writing (`watch_write`); 3: both lists have it; and [`ANCHOR`].
    pub mask: u8,
}

/// Of each byte, which rules may be about a name that begins or ends with it: `EDGE_*`. Most names
/// are about no rule by that alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edges(pub [u8; 256]);

impl Default for Edges {
    fn default() -> Self {
        Self([0; 256])
    }
}

impl Edges {
    /// What either of the two says.
    #[must_use]
    pub fn with(&self, other: &Self) -> [u8; 256] {
        std::array::from_fn(|byte| self.0[byte] | other.0[byte])
    }

    /// Whether a rule may be about this name, or part of one.
    pub fn may(&self, name: &[u8]) -> bool {
        let (Some(first), Some(last)) = (name.first(), name.last()) else { return false };
        let [first, last] = [first, last].map(|byte| self.0[usize::from(*byte)]);
        (first & EDGE_FIRST != 0 && last & EDGE_LAST != 0)
            || first & EDGE_PREFIX != 0
            || last & EDGE_SUFFIX != 0
    }
}

/// Everything the kernel needs to reject a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelRules {
    /// Sorted by kind, length and hash; no two are alike in these three.
    pub rules: Vec<Rule>,
    /// What a name may begin and end with.
    pub edges: Edges,
    /// Bit n: some `Prefix` rule has length n (1 to 16).
    pub prefix_lengths: u32,
    /// Bit n: some `Suffix` rule has length n (1 to 16).
    pub suffix_lengths: u32,
    /// Some pattern has a wildcard directory with nothing fixed above it: every
    /// directory that is renamed must be shown to
    /// [`super::PatternSet::concerns_directory`].
    pub every_directory: bool,
}

/// FNV-1a, 64 bits (draft-eastlake-fnv): short enough for the verifier, good enough for names.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// The hash of a rule. A suffix is hashed from its last byte to its first, so
/// that the kernel side gets the hashes of all lengths in one pass.
fn digest(kind: RuleKind, bytes: &[u8]) -> u64 {
    if kind == RuleKind::Suffix {
        return fnv1a(&bytes.iter().rev().copied().collect::<Vec<u8>>());
    }
    fnv1a(bytes)
}

/// The test that decides whether `pattern` could match, and the bytes it is
/// made of; `None` where nothing can be tested, which `Pattern::parse` refuses.
pub(super) fn target(pattern: &Pattern) -> Option<(RuleKind, &[u8])> {
    match &pattern.last {
        Component::Literal(name) => return Some((RuleKind::Exact, whole(name))),
        Component::Glob(glob) => {
            let head = &glob.head[..glob.head.len().min(MAX_AFFIX)];
            let tail = &glob.tail[glob.tail.len().saturating_sub(MAX_AFFIX)..];
            // The longer of the two rejects more names.
            if !head.is_empty() && head.len() >= tail.len() {
                return Some((RuleKind::Prefix, head));
            }
            if !tail.is_empty() {
                return Some((RuleKind::Suffix, tail));
            }
        }
        Component::AnyDepth => {}
    }
    if let Some(Component::Literal(name)) = pattern.directories.last() {
        return Some((RuleKind::Parent, whole(name)));
    }
    pattern.directories.iter().rev().find_map(|component| match component {
        Component::Literal(name) => Some((RuleKind::Directory, whole(name))),
        _ => None,
    })
}

/// As much of a name as is hashed.
pub(super) fn whole(name: &[u8]) -> &[u8] {
    &name[..name.len().min(MAX_NAME)]
}

/// What a pattern costs on every open, cheapest first, in words for `config check`.
pub fn cost_class(pattern: &Pattern) -> &'static str {
    match target(pattern).map(|(kind, _)| kind) {
        Some(RuleKind::Exact) => "exact name",
        Some(RuleKind::Prefix) => "name prefix",
        Some(RuleKind::Suffix) => "name suffix",
        Some(RuleKind::Parent) => "directory",
        Some(RuleKind::Directory) => "directory tree",
        Some(RuleKind::Anchor) | None => "every name",
    }
}

/// Translates both watch lists.
pub fn compile(watch: &[Pattern], watch_write: &[Pattern]) -> KernelRules {
    let mut out = KernelRules::default();
    let both = watch.iter().map(|p| (p, 1)).chain(watch_write.iter().map(|p| (p, 2)));
    for (pattern, mask) in both {
        if let Some((kind, bytes)) = target(pattern) {
            out.add(kind, bytes, mask);
        }
        out.anchor(pattern, mask);
    }
    out.rules.sort_unstable();
    out.rules.dedup_by(|later, kept| {
        let same = (later.kind, later.length, later.hash) == (kept.kind, kept.length, kept.hash);
        if same {
            kept.mask |= later.mask;
        }
        same
    });
    out
}

/// In a rule's mask: a directory that comes to be here by rename may bring
/// watched names with it (`BEE_WATCH_ANCHOR`).
pub const ANCHOR: u8 = 8;

impl KernelRules {
    /// The directories of a pattern: where a rename of one would change what the pattern matches.
    fn anchor(&mut self, pattern: &Pattern, mask: u8) {
        let mut above: Option<(&[u8], bool)> = None;
        for (position, component) in pattern.directories.iter().enumerate() {
            match component {
                Component::Literal(name) => {
                    self.add(RuleKind::Anchor, whole(name), mask);
                    above = Some((whole(name), true));
                }
                // A leading `**` matches the same names wherever their directory is moved to.
                Component::AnyDepth if position == 0 => {}
                // A directory of any name counts when it comes to lie in this one, or below it.
                wild => match above {
                    Some((name, true)) if matches!(wild, Component::Glob(_)) => {
                        self.add(RuleKind::Parent, name, ANCHOR);
                        above = Some((name, false));
                    }
                    Some((name, _)) => self.add(RuleKind::Directory, name, ANCHOR),
                    None => self.every_directory = true,
                },
            }
        }
    }

    fn add(&mut self, kind: RuleKind, bytes: &[u8], mask: u8) {
        let Ok(length) = u8::try_from(bytes.len()) else { return };
        self.edge(kind, bytes);
        match kind {
            RuleKind::Prefix => self.prefix_lengths |= 1 << length,
            RuleKind::Suffix => self.suffix_lengths |= 1 << length,
            _ => {}
        }
        self.rules.push(Rule { kind, length, hash: digest(kind, bytes), mask });
    }

    /// What the rule tells of the first and the last byte of a name it is about.
    fn edge(&mut self, kind: RuleKind, bytes: &[u8]) {
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
            // Every name begins with nothing.
            self.edges.0.iter_mut().for_each(|edge| *edge |= EDGE_PREFIX);
            return;
        };
        let mut mark = |byte: u8, edge: u8| self.edges.0[usize::from(byte)] |= edge;
        match kind {
            RuleKind::Prefix => mark(*first, EDGE_PREFIX),
            RuleKind::Suffix => mark(*last, EDGE_SUFFIX),
            // A name that was cut has another end.
            _ if bytes.len() >= MAX_NAME => mark(*first, EDGE_PREFIX),
            _ => {
                mark(*first, EDGE_FIRST);
                mark(*last, EDGE_LAST);
            }
        }
    }

    /// The mask of the rule of this kind over exactly these bytes; 0 where there is none.
    pub fn mask(&self, kind: RuleKind, bytes: &[u8]) -> u8 {
        let key = (kind, bytes.len(), digest(kind, bytes));
        match self.rules.binary_search_by_key(&key, |rule| (rule.kind, usize::from(rule.length), rule.hash)) {
            Ok(found) => self.rules[found].mask,
            Err(_) => 0,
        }
    }
}

/// What the kernel side does, on a full path: the union of the masks of all
/// rules that say "could be". The reference its C code is tested against.
pub fn candidate(rules: &KernelRules, path: &[u8]) -> u8 {
    test(rules, path) & !ANCHOR
}

/// Whether the kernel side shows the rename of a directory to `path` to user
/// space: because of its own name, or because of where it comes to lie.
pub fn moved(rules: &KernelRules, path: &[u8]) -> bool {
    let (_, name) = split_last(path);
    rules.every_directory || rules.mask(RuleKind::Anchor, whole(name)) != 0 || test(rules, path) != 0
}

fn test(rules: &KernelRules, path: &[u8]) -> u8 {
    let (directory, name) = split_last(path);
    let mut mask = rules.mask(RuleKind::Exact, whole(name));
    for length in 1..=MAX_AFFIX.min(name.len()) {
        if rules.prefix_lengths & 1 << length != 0 {
            mask |= rules.mask(RuleKind::Prefix, &name[..length]);
        }
        if rules.suffix_lengths & 1 << length != 0 {
            mask |= rules.mask(RuleKind::Suffix, &name[name.len() - length..]);
        }
    }
    for (height, ancestor) in directory.unwrap_or_default().rsplit(|byte| *byte == b'/').enumerate() {
        if height == 0 {
            mask |= rules.mask(RuleKind::Parent, whole(ancestor));
        }
        mask |= rules.mask(RuleKind::Directory, whole(ancestor));
    }
    mask
}
