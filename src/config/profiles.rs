//! Profiles: configurations with a name, which a file takes as its base with
//! `inherits`. Those that are shipped are in the program too, so that they are
//! there on every machine. Pure, but for what the caller's `open` does.

use toml::de::{DeTable, DeValue};

use super::Document;
use crate::error::Result;

/// The key that names one.
pub(super) const INHERITS: &str = "inherits";
/// Directory of profiles, beside the configuration file.
pub const BESIDE: &str = "profiles";
/// Directory of those that are installed.
pub const INSTALLED: &str = "/usr/share/bee-traced/profiles";
/// A profile may inherit another, and that one another, this often.
pub(super) const MAX_DEPTH: usize = 8;

macro_rules! shipped {
    ($($name:literal),+) => {
        const SHIPPED: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../config/profiles/", $name, ".toml")))),+];
    };
}

shipped!("ci-runner", "paranoid", "raspberry-pi", "server");

/// A configuration file with its drop-ins, and the profiles they may inherit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The file itself first, then the drop-ins.
    pub documents: Vec<Document>,
    /// By name; of two with one name the first counts. A shipped one need not be among them.
    pub profiles: Vec<(String, Document)>,
}

impl Files {
    /// Adds the profiles that `documents` inherit, and those that these do. `open` reads one by its name,
    /// `None` where there is none: then it is a shipped one, or a mistake that loading will name.
    ///
    /// # Errors
    /// Those of `open`.
    pub fn gather(
        documents: Vec<Document>,
        mut open: impl FnMut(&str) -> Result<Option<Document>>,
    ) -> Result<Self> {
        let mut files = Self { documents, profiles: Vec::new() };
        let mut wanted: Vec<String> = files.documents.iter().filter_map(inherited).collect();
        for _ in 0..MAX_DEPTH {
            let mut next = Vec::new();
            for name in wanted {
                if files.profiles.iter().any(|(known, _)| *known == name) {
                    continue;
                }
                if let Some(document) = open(&name)?.or_else(|| shipped(&name)) {
                    next.extend(inherited(&document));
                    files.profiles.push((name, document));
                }
            }
            wanted = next;
        }
        Ok(files)
    }

    /// The profile called `name`.
    pub(super) fn profile(&self, name: &str) -> Option<Document> {
        let found = self.profiles.iter().find(|(known, _)| known == name);
        found.map(|(_, document)| document.clone()).or_else(|| shipped(name))
    }
}

impl From<Vec<Document>> for Files {
    fn from(documents: Vec<Document>) -> Self {
        Self { documents, profiles: Vec::new() }
    }
}

/// The names of the shipped profiles, in order.
pub fn shipped_names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// A shipped profile.
fn shipped(name: &str) -> Option<Document> {
    let (name, text) = SHIPPED.iter().find(|(known, _)| *known == name)?;
    Some(Document { name: format!("profile {name}"), text: (*text).to_owned() })
}

/// Whether a profile can be called so: a name becomes part of a path.
pub(super) fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    (1..=64).contains(&name.len()) && name.chars().all(good)
}

/// What a document inherits; mistakes are loading's to tell.
fn inherited(document: &Document) -> Option<String> {
    let (root, _) = DeTable::parse_recoverable(&document.text);
    let (_, value) = root.get_ref().iter().find(|(key, _)| key.get_ref().as_ref() == INHERITS)?;
    match value.get_ref() {
        DeValue::String(name) if is_name(name) => Some(name.to_string()),
        _ => None,
    }
}
