//! What is wrong with a configuration, where, and what would be right.

use std::fmt::{self, Write};
use std::ops::Range;

use super::load::Origin;

/// One mistake in one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The document's name.
    pub document: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The key with its section (`limits.inodes`); empty where the text is not TOML.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Problem {
    /// About a value that is right by itself; `origin` is where it came from.
    pub(super) fn at(origin: Option<&Origin>, key: &str, message: &str) -> Self {
        let (document, line) = match origin {
            Some(Origin::Line(document, line)) => (document.clone(), *line),
            _ => (String::new(), 1),
        };
        Self { document, line, column: 1, key: key.to_owned(), message: message.to_owned() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { document, line, column, key, message } = self;
        let colon = if key.is_empty() { "" } else { ": " };
        let text = format!("{document}:{line}:{column}: {key}{colon}{message}");
        // The words come from the file; a terminal must not obey them.
        text.chars().try_for_each(|character| match character {
            ' '..='~' => f.write_char(character),
            other => write!(f, "{}", other.escape_debug()),
        })
    }
}

/// Finds line and column of a byte offset.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// Line and column, both from 1.
    pub(super) fn position(&self, span: &Range<usize>) -> (usize, usize) {
        let offset = span.start.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        (line, self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1))
    }
}

/// The candidate most like `word`, if one is like it at all.
pub(super) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase().replace('-', "_");
    if word.len() > 64 {
        return None;
    }
    let allowed = 1 + word.len() / 4;
    candidates
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be inserted, removed, replaced or swapped with
/// their neighbour (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let same = usize::from(from[i - 1] != to[j - 1]);
                let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + same);
                if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not_offered() {
        let known = ["alert_ring_kib", "alert_burst", "inodes", "watch", "watch_add"];
        for (word, wanted) in [
            ("alert-ring-kib", Some("alert_ring_kib")),
            ("alert_ring_kb", Some("alert_ring_kib")),
            ("inoeds", Some("inodes")),
            ("Watch", Some("watch")),
            ("watches", Some("watch")),
            ("network", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), wanted, "{word}");
        }
    }

    #[test]
    fn columns_count_characters() {
        let lines = Lines::new("a\n\u{e9}\u{e9}x\n");
        assert_eq!(lines.position(&(0..1)), (1, 1));
        assert_eq!(lines.position(&(6..7)), (2, 3));
        assert_eq!(lines.position(&(99..99)), (3, 1));
    }
}
