//! Many patterns at once: an index by last component, so that a path is
//! compared only with the few patterns whose last component can fit.

use std::collections::HashMap;

use super::glob::Component;
use super::pattern::{Pattern, split_last};

/// Patterns with an index; gives exactly what a loop over them would.
#[derive(Clone, Debug, Default)]
pub struct PatternSet {
    patterns: Vec<Pattern>,
    /// Last component is a fixed name.
    exact: HashMap<Box<[u8]>, Vec<usize>>,
    /// Last component begins with a fixed byte.
    prefix: HashMap<u8, Vec<usize>>,
    /// Last component ends with a fixed byte and begins with none.
    suffix: HashMap<u8, Vec<usize>>,
    /// Last component says little, but its directory has a fixed name.
    parent: HashMap<Box<[u8]>, Vec<usize>>,
    /// The rest.
    others: Vec<usize>,
}

impl PatternSet {
    /// Indexes `patterns`; their order is kept.
    pub fn new(patterns: &[Pattern]) -> Self {
        let mut set = Self { patterns: patterns.to_vec(), ..Self::default() };
        for (index, pattern) in patterns.iter().enumerate() {
            let list = match &pattern.last {
                Component::Literal(name) => set.exact.entry(name.clone()).or_default(),
                Component::Glob(glob) => match (glob.head.first(), glob.tail.last()) {
                    (Some(first), _) => set.prefix.entry(*first).or_default(),
                    (None, Some(last)) => set.suffix.entry(*last).or_default(),
                    (None, None) => match pattern.directories.last() {
                        Some(Component::Literal(name)) => set.parent.entry(name.clone()).or_default(),
                        _ => &mut set.others,
                    },
                },
                Component::AnyDepth => &mut set.others,
            };
            list.push(index);
        }
        set
    }

    /// The index of the first pattern, in the order given, that matches `path`.
    pub fn first_match(&self, path: &[u8]) -> Option<usize> {
        self.first(path, |pattern| pattern.matches(path))
    }

    fn first(&self, path: &[u8], fits: impl Fn(&Pattern) -> bool) -> Option<usize> {
        let (directory, name) = split_last(path);
        let (first, last) = (name.first()?, name.last()?);
        let (_, parent) = split_last(directory.unwrap_or_default());
        let lists = [
            self.exact.get(name),
            self.prefix.get(first),
            self.suffix.get(last),
            self.parent.get(parent),
            Some(&self.others),
        ];
        let mut best = None;
        for list in lists.into_iter().flatten() {
            let limit = best.unwrap_or(usize::MAX);
            let fits = |index: &&usize| fits(&self.patterns[**index]);
            best = list.iter().take_while(|index| **index < limit).find(fits).copied().or(best);
        }
        best
    }

    /// Whether any pattern matches `path`.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.first_match(path).is_some()
    }

    /// Whether any pattern may match a file of which only the end of the path is known; see
    /// [`Pattern::may_match`].
    pub fn may_match(&self, end: &[u8]) -> bool {
        self.first(end, |pattern| pattern.may_match(end)).is_some()
    }

    /// As [`Self::concerns_directory`], of the end of a path.
    pub fn may_concern_directory(&self, end: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern.may_concern_directory(end))
    }

    /// Whether a directory that comes into being at `path` by rename or mount
    /// can bring watched names with it; see [`Pattern::concerns_directory`].
    pub fn concerns_directory(&self, path: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern.concerns_directory(path))
    }

    /// The patterns, in the order given.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }
}
