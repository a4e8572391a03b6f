//! Which names are watched: the pattern language, its exact meaning in user
//! space, and its translation to what the kernel side can test. Pure; no I/O.

/// One pattern of a watch list, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: String,
}

impl Pattern {
    /// The pattern as written.
    pub fn text(&self) -> &str {
        &self.text
    }
}
