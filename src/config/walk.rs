//! One document: the parsed TOML along the table of options, each value of its kind, every mistake
//! with its place. Pure; never panics.

use std::collections::HashSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::load::Origin;
use super::options::{OPTIONS, Setting, Value};
use super::problem::{Lines, Problem, nearest};
use super::profiles::{INHERITS, is_name};
use super::shape::{Kind, MAX_ENTRIES};
use super::source::MAX_DOCUMENT;
use super::{Document, Exclude, exclude};

/// A document may have this many control characters, each of which is told as a mistake.
const MAX_ODD: usize = 1000;
/// Appended to the key of a list to add to it.
const ADD: &str = "_add";

/// What no text has but at the ends of its lines.
fn is_odd(byte: u8) -> bool {
    (byte < b' ' && !matches!(byte, b'\n' | b'\t')) || byte == 0x7f
}

/// What one document says, each value already of its kind.
#[derive(Default)]
pub(super) struct Found {
    /// Index into `OPTIONS`, whether it adds, the value, and where.
    pub values: Vec<(usize, bool, Value, Range<usize>)>,
    pub excludes: Option<Vec<(Exclude, Range<usize>)>>,
    /// The profile, and where it is named.
    pub inherits: Option<(String, Range<usize>)>,
}

/// The walk through one document.
pub(super) struct Walk<'t> {
    pub document: &'t Document,
    lines: Lines<'t>,
    /// Lines that are not TOML: what the parser made of them is not judged a second time.
    broken: HashSet<usize>,
    problems: Vec<Problem>,
}

impl<'t> Walk<'t> {
    pub(super) fn new(document: &'t Document) -> Self {
        Self { document, lines: Lines::new(&document.text), broken: HashSet::new(), problems: Vec::new() }
    }

    pub(super) fn document(&mut self) -> Found {
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

    pub(super) fn merge(
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

    pub(super) fn origin(&self, span: Range<usize>) -> Origin {
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

    pub(super) fn finish(mut self) -> Vec<Problem> {
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
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
