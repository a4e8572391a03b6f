//! Documents to [`Config`]: walks the parsed TOML along the table of options
//! and collects every mistake before it gives up. Pure; never panics.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::options::{OPTIONS, Setting, Value};
use super::problem::{Lines, Problem, nearest};
use super::profiles::{Files, INHERITS, MAX_DEPTH, is_name, shipped_names};
use super::shape::{Kind, MAX_ENTRIES};
use super::source::MAX_DOCUMENT;
use super::{Config, Document, Exclude, Place, exclude};

/// `[[exclude]]` tables of all documents together may be this many.
const MAX_EXCLUDES: usize = 256;
/// This many mistakes are told, which is more than anybody mends at once: a file of a megabyte could
/// make ten of them, and they go into the log.
const MAX_PROBLEMS: usize = 100;
/// A document may have this many control characters, each of which is told as a mistake.
const MAX_ODD: usize = 1000;
/// Appended to the key of a list to add to it.
const ADD: &str = "_add";

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

/// What no text has but at the ends of its lines.
fn is_odd(byte: u8) -> bool {
    (byte < b' ' && !matches!(byte, b'\n' | b'\t')) || byte == 0x7f
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

/// What one document says, each value already of its kind.
#[derive(Default)]
struct Found {
    /// Index into `OPTIONS`, whether it adds, the value, and where.
    values: Vec<(usize, bool, Value, Range<usize>)>,
    excludes: Option<Vec<(Exclude, Range<usize>)>>,
    /// The profile, and where it is named.
    inherits: Option<(String, Range<usize>)>,
}

/// The walk through one document.
pub(super) struct Walk<'t> {
    document: &'t Document,
    lines: Lines<'t>,
    /// Lines that are not TOML: what the parser made of them is not judged a second time.
    broken: HashSet<usize>,
    problems: Vec<Problem>,
}

impl<'t> Walk<'t> {
    fn new(document: &'t Document) -> Self {
        Self { document, lines: Lines::new(&document.text), broken: HashSet::new(), problems: Vec::new() }
    }

    fn document(&mut self) -> Found {
        let mut found = Found::default();
        if self.document.text.len() > MAX_DOCUMENT {
            self.report(&(0..0), "", "longer than 1 MiB, which no configuration is".into());
            return found;
        }
        // Each is a mistake to the parser, which keeps 250 bytes for one: a file of nothing else would be
        // the end of a daemon that reads it again.
        let odd = self.document.text.bytes().filter(|byte| is_odd(*byte)).count();
        let odd = odd - self.document.text.matches("\r\n").count();
        if odd > MAX_ODD {
            self.report(&(0..0), "", format!("has {odd} control characters in it; it is no text"));
            return found;
        }
        let (root, errors) = DeTable::parse_recoverable(&self.document.text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            self.report(&span, "", format!("not valid TOML: {}", error.message().replace('\n', ", ")));
        }
        self.note_broken();
        for (key, value) in root.get_ref() {
            let section = key.get_ref().as_ref();
            if section == INHERITS {
                found.inherits = self.inherits(value);
            } else if section == "exclude" {
                found.excludes = self.excludes(&key.span(), value);
            } else if !OPTIONS.iter().any(|option| option.section() == section) {
                let message = unknown_section(section);
                self.report(&key.span(), section, message);
            } else if let DeValue::Table(table) = value.get_ref() {
                self.section(section, table, &mut found);
            } else {
                let message =
                    format!("is {}; write `[{section}]` and its keys below it", type_name(value.get_ref()));
                self.report(&key.span(), section, message);
            }
        }
        // The parser sorts keys; whoever adds must come after whoever replaces.
        found.values.sort_by_key(|(index, add, ..)| (*index, *add));
        found
    }

    fn inherits(&mut self, value: &Spanned<DeValue<'_>>) -> Option<(String, Range<usize>)> {
        let span = value.span();
        let message = match value.get_ref() {
            DeValue::String(name) if is_name(name) => return Some((name.to_string(), span)),
            DeValue::String(name) => {
                format!("{} is no name of a profile: small letters, digits, `-` and `_`", quoted(name))
            }
            other => format!("is {}; write the name of one profile, as a string", type_name(other)),
        };
        self.report(&span, INHERITS, message);
        None
    }

    /// Keeps one syntax error a line, and marks what is not to be judged because of it.
    fn note_broken(&mut self) {
        let broken = &mut self.broken;
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        self.problems.retain(|problem| broken.insert(problem.line));
        // Below a broken header nobody knows which section it is, up to the next one.
        let mut lost = false;
        for (line, text) in (1..).zip(self.document.text.lines()) {
            if text.trim_start().starts_with('[') {
                lost = broken.contains(&line);
            }
            if lost {
                broken.insert(line);
            }
        }
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>, found: &mut Found) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let Some((index, add)) = lookup(section, name) else {
                let message = unknown_key(section, name);
                self.report(&key.span(), &format!("{section}.{name}"), message);
                continue;
            };
            let option = &OPTIONS[index];
            if let Some(good) = self.value(option.kind, &format!("{section}.{name}"), value) {
                found.values.push((index, add, good, key.span()));
            }
        }
    }

    /// The value, if it is of this kind; what is wrong is reported with `key`.
    pub(super) fn value(&mut self, kind: Kind, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let span = value.span();
        match (kind, value.get_ref()) {
            (Kind::Bool, DeValue::Boolean(yes)) => Some(Value::Bool(*yes)),
            (Kind::Integer { min, max }, DeValue::Integer(number)) => {
                match u32::from_str_radix(number.as_str(), number.radix()) {
                    Ok(good) if (min..=max).contains(&good) => Some(Value::Integer(good)),
                    _ => {
                        let number = quoted(&number.to_string()).replace('"', "");
                        self.report(&span, key, format!("{number} is out of range; write {}", kind.words()));
                        None
                    }
                }
            }
            (Kind::Text(shape), DeValue::String(text)) => match shape.check(text) {
                Ok(()) => Some(Value::Text(text.to_string())),
                Err(why) => {
                    self.report(&span, key, format!("{} {why}", quoted(text)));
                    None
                }
            },
            (Kind::List(shape), DeValue::Array(entries)) => {
                let mut list = Vec::new();
                for entry in entries {
                    if let Some(Value::Text(text)) = self.value(Kind::Text(shape), key, entry) {
                        list.push(text);
                    }
                }
                Some(Value::List(list))
            }
            (kind, other) => {
                self.report(&span, key, format!("is {}; write {}", type_name(other), kind.words()));
                None
            }
        }
    }

    fn excludes(
        &mut self,
        key: &Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Vec<(Exclude, Range<usize>)>> {
        const WRITE: &str = "write `[[exclude]]`, with two brackets, for each program or unit";
        let DeValue::Array(tables) = value.get_ref() else {
            self.report(key, "exclude", format!("is {}; {WRITE}", type_name(value.get_ref())));
            return None;
        };
        let mut list = Vec::new();
        for one in tables {
            if let DeValue::Table(table) = one.get_ref() {
                list.extend(exclude::read(self, one.span(), table).map(|exclude| (exclude, one.span())));
            } else {
                self.report(&one.span(), "exclude", format!("is {}; {WRITE}", type_name(one.get_ref())));
            }
        }
        Some(list)
    }

    fn merge(
        &mut self,
        slot: &mut (Value, Vec<Origin>),
        key: &str,
        add: bool,
        value: Value,
        at: Range<usize>,
    ) {
        let origin = self.origin(at.clone());
        match (&mut slot.0, value) {
            (Value::List(list), Value::List(more)) => {
                if !add {
                    list.clear();
                    slot.1.clear();
                }
                list.extend(more);
                let mut seen = HashSet::new();
                list.retain(|text| seen.insert(text.clone()));
                if list.len() > MAX_ENTRIES {
                    let message = format!("has {} entries; at most {MAX_ENTRIES} are possible", list.len());
                    self.report(&at, key, message);
                }
            }
            (old, new) => {
                *old = new;
                slot.1.clear();
            }
        }
        slot.1.push(origin);
    }

    fn origin(&self, span: Range<usize>) -> Origin {
        Origin::Line(self.document.name.clone(), self.lines.position(&span).0)
    }

    /// Notes a mistake.
    pub(super) fn report(&mut self, span: &Range<usize>, key: &str, message: String) {
        let (line, column) = self.lines.position(span);
        // What the parser put in place of a broken value it places at the very beginning.
        if self.broken.contains(&line) || (!self.broken.is_empty() && span.start == 0) {
            return;
        }
        let key = key.chars().take(80).collect();
        self.problems.push(Problem { document: self.document.name.clone(), line, column, key, message });
    }

    fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| (problem.line, problem.column));
        self.problems
    }
}

/// The option `name` of `section` stands for, and whether it adds to it.
fn lookup(section: &str, name: &str) -> Option<(usize, bool)> {
    let fits = |option: &Setting| option.section() == section && option.name() == name;
    if let Some(index) = OPTIONS.iter().position(fits) {
        return Some((index, false));
    }
    let base = name.strip_suffix(ADD)?;
    let fits = |option: &Setting| option.appends && option.section() == section && option.name() == base;
    OPTIONS.iter().position(fits).map(|index| (index, true))
}

fn unknown_section(word: &str) -> String {
    if let Some(option) = OPTIONS.iter().find(|option| option.name() == word) {
        return format!("must stand in a section; write `[{}]` above it", option.section());
    }
    match nearest(word, sections().into_iter().chain([INHERITS])) {
        Some(near) => format!("unknown; did you mean `{near}`?"),
        None => format!("unknown; the sections are {}", sections().join(", ")),
    }
}

fn unknown_key(section: &str, word: &str) -> String {
    let known: Vec<String> = OPTIONS
        .iter()
        .filter(|option| option.section() == section)
        .flat_map(|option| {
            std::iter::once(option.name().to_owned())
                .chain(option.appends.then(|| format!("{}{ADD}", option.name())))
        })
        .collect();
    if let Some(near) = nearest(word, known.iter().map(String::as_str)) {
        return format!("unknown key; did you mean `{near}`?");
    }
    if let Some(option) = OPTIONS.iter().find(|option| option.name() == word) {
        return format!("unknown key here; it belongs in `[{}]`", option.section());
    }
    format!("unknown key; `[{section}]` has {}", known.join(", "))
}

/// Every section, once, in the order of the table.
pub(super) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = OPTIONS.iter().map(Setting::section).collect();
    sections.dedup();
    sections.push("exclude");
    sections
}

/// What a value is, in words.
fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A piece of the document for a message: short, and without anything a terminal would obey.
fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
