//! Documents to [`Config`]: profile, main file and drop-ins one over the other, with every mistake of
//! all of them before it gives up. Pure; never panics.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::options::{OPTIONS, Value};
use super::problem::{Problem, nearest};
use super::profiles::{Files, INHERITS, MAX_DEPTH, shipped_names};
use super::walk::{Found, Walk, quoted};
use super::{Config, Document, Exclude, Place};

/// `[[exclude]]` tables of all documents together may be this many.
const MAX_EXCLUDES: usize = 256;
/// This many mistakes are told, which is more than anybody mends at once: a file of a megabyte could
/// make ten of them, and they go into the log.
const MAX_PROBLEMS: usize = 100;
/// A configuration, and where each value came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The result.
    pub config: Config,
    /// The key of every option: what it was set by, and what was added after that.
    pub origins: BTreeMap<&'static str, Vec<Origin>>,
    /// Of each of `config.exclude`, in the same order.
    pub exclude_origins: Vec<Origin>,
    /// What was read.
    pub sources: Sources,
}

/// What a configuration was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The names of the documents, in their order.
    pub files: Vec<String>,
    /// The profiles, each in front of those that inherit it.
    pub profiles: Vec<String>,
    /// Who says `inherits`.
    pub inherits: Option<Origin>,
    /// What the profiles set, with the name of the profile's document.
    profile_values: Vec<(&'static str, String)>,
}

impl Loaded {
    /// What a profile sets and something else replaces; all that profiles set has as many keys as
    /// `.1` says.
    pub fn replaced(&self) -> (Vec<&'static str>, usize) {
        let mut keys: Vec<&'static str> = self.sources.profile_values.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        let count = keys.len();
        keys.retain(|key| {
            let values = self.sources.profile_values.iter().filter(|(known, _)| known == key);
            let origins = self.origins.get(key).map(Vec::as_slice).unwrap_or_default();
            let holds = |name: &String| {
                origins.iter().any(|origin| matches!(origin, Origin::Line(document, _) if document == name))
            };
            !values.into_iter().any(|(_, document)| holds(document))
        });
        (keys, count)
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// This line, from 1, of the document of this name.
    Line(String, usize),
}

/// At most [`MAX_PROBLEMS`], and how many more there are.
fn shortened(mut problems: Vec<Problem>) -> Vec<Problem> {
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    if let Some(last) = problems.last_mut().filter(|_| more > 0) {
        last.message.push_str(&format!("; and {more} more mistakes, which are not shown"));
    }
    problems
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Line(document, line) => write!(f, "{document}:{line}"),
        }
    }
}

/// Merges `documents`, the main file first; without any, the defaults.
///
/// # Errors
/// Every mistake in every document, in their order.
pub fn load(documents: &[Document]) -> Result<Loaded, Vec<Problem>> {
    load_files(&Files::from(documents.to_vec()))
}

/// Merges the main file, the drop-ins, and the profiles they inherit: a profile's values hold as if
/// they stood at the top of the document that inherits it.
///
/// # Errors
/// Every mistake in every document, in their order.
pub fn load_files(files: &Files) -> Result<Loaded, Vec<Problem>> {
    let mut merge = Merge::new(files);
    for (number, document) in files.documents.iter().enumerate() {
        let mut walk = Walk::new(document);
        let found = walk.document();
        merge.sources.files.push(document.name.clone());
        if let Some((name, at)) = &found.inherits {
            merge.inherit(&mut walk, name, at);
        }
        merge.add(&mut walk, found, if number == 0 { Role::Main } else { Role::DropIn });
        merge.problems.append(&mut walk.finish());
    }
    merge.finish()
}

/// What a document is to the others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Main,
    DropIn,
    Profile,
}

/// The merged state so far.
struct Merge<'f> {
    files: &'f Files,
    values: Vec<(Value, Vec<Origin>)>,
    excludes: Vec<(Exclude, Origin)>,
    problems: Vec<Problem>,
    sources: Sources,
}

impl<'f> Merge<'f> {
    fn new(files: &'f Files) -> Self {
        let built_in = Config::default().exclude.into_iter().map(|one| (one, Origin::Default)).collect();
        Self {
            files,
            values: OPTIONS.iter().map(|option| (option.default.value(), vec![Origin::Default])).collect(),
            excludes: built_in,
            problems: Vec::new(),
            sources: Sources::default(),
        }
    }

    /// Puts the values of a document over those so far.
    fn add(&mut self, walk: &mut Walk<'_>, found: Found, role: Role) {
        for (index, add, value, at) in found.values {
            walk.merge(&mut self.values[index], OPTIONS[index].key, add, value, at);
            if role == Role::Profile {
                self.sources.profile_values.push((OPTIONS[index].key, walk.document.name.clone()));
            }
        }
        let Some(tables) = found.excludes else { return };
        match role {
            // Built-in tables can be removed by the main file and by a profile.
            Role::Main if tables.is_empty() => self.excludes.clear(),
            Role::Profile if tables.is_empty() => {
                self.excludes.retain(|(_, origin)| *origin != Origin::Default)
            }
            Role::Main => self.excludes.retain(|(_, origin)| *origin != Origin::Default),
            Role::Profile | Role::DropIn => {}
        }
        self.excludes.extend(tables.into_iter().map(|(table, line)| (table, walk.origin(line))));
        if self.excludes.len() > MAX_EXCLUDES {
            walk.report(&(0..0), "exclude", format!("more than {MAX_EXCLUDES} tables; use wider `paths`"));
        }
    }

    /// The profile `name`, which the configuration of `walk` inherits.
    fn inherit(&mut self, walk: &mut Walk<'_>, name: &str, at: &Range<usize>) {
        let origin = walk.origin(at.clone());
        if let Some(first) = self.sources.inherits.replace(origin) {
            let message = format!("is said a second time, after {first}; a configuration has one profile");
            return walk.report(at, INHERITS, message);
        }
        self.profile(walk, name, at, &mut Vec::new());
    }

    fn profile(&mut self, walk: &mut Walk<'_>, name: &str, at: &Range<usize>, chain: &mut Vec<String>) {
        let round = chain.iter().any(|known| known == name);
        chain.push(name.to_owned());
        if round || chain.len() > MAX_DEPTH {
            let message = if round { "leads round in a circle" } else { "leads too far" };
            return walk.report(at, INHERITS, format!("{message}: {}", chain.join(" → ")));
        }
        let Some(document) = self.files.profile(name) else {
            let mut known: Vec<&str> = self.files.profiles.iter().map(|(name, _)| name.as_str()).collect();
            shipped_names().for_each(|name| known.push(name));
            known.sort_unstable();
            known.dedup();
            let near = nearest(name, known.iter().copied());
            let hint = near.map(|near| format!("did you mean \"{near}\"? ")).unwrap_or_default();
            let message =
                format!("no profile is called {}; {hint}known profiles: {}", quoted(name), known.join(", "));
            return walk.report(at, INHERITS, message);
        };
        let mut own = Walk::new(&document);
        let found = own.document();
        if let Some((base, at)) = &found.inherits {
            self.profile(&mut own, base, at, chain);
        }
        self.sources.profiles.push(name.to_owned());
        self.add(&mut own, found, Role::Profile);
        self.problems.append(&mut own.finish());
    }

    fn finish(self) -> Result<Loaded, Vec<Problem>> {
        if !self.problems.is_empty() {
            return Err(shortened(self.problems));
        }
        let mut config = Config::default();
        for (option, (value, _)) in OPTIONS.iter().zip(&self.values) {
            (option.set)(&mut config, value);
        }
        if config.output.to.contains(&Place::File) && config.output.file.is_none() {
            let to = OPTIONS.iter().position(|option| option.key == "output.to");
            let origin = to.and_then(|index| self.values[index].1.last());
            return Err(vec![Problem::at(
                origin,
                "output.to",
                "names the file, but `output.file` does not say which",
            )]);
        }
        let origins =
            OPTIONS.iter().zip(self.values).map(|(option, (_, origins))| (option.key, origins)).collect();
        let (exclude, exclude_origins) = self.excludes.into_iter().unzip();
        config.exclude = exclude;
        Ok(Loaded { config, origins, exclude_origins, sources: self.sources })
    }
}
