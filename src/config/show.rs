//! The configuration and its options as text: the merged result for `config
//! show`, and the reference in `docs/configuration.md`.

use std::fmt::Write;

use super::Loaded;
use super::exclude::KEYS;
use super::load::Origin;
use super::options::{OPTIONS, Preset, Setting, Value};
use super::shape::Kind;
use super::walk::sections;

/// The merged configuration as TOML that loads to the same, each key with a
/// comment that says where it came from.
pub fn show(loaded: &Loaded) -> String {
    let mut out = String::new();
    if let Some(origin) = &loaded.sources.inherits {
        // A comment: what it gave stands below, and must not be merged a second time.
        let profiles = loaded.sources.profiles.join(" → ");
        let _ = writeln!(out, "# inherits {profiles} # {}\n", comment(origin));
    }
    if loaded.config.exclude.is_empty() {
        // A key of the root must stand in front of the first section.
        out.push_str("exclude = [] # none\n\n");
    }
    for section in sections().iter().filter(|section| **section != "exclude") {
        let _ = writeln!(out, "[{section}]");
        for option in OPTIONS.iter().filter(|option| option.section() == *section) {
            let origins: Vec<String> =
                loaded.origins.get(option.key).into_iter().flatten().map(comment).collect();
            let value = assignment(option.name(), &(option.get)(&loaded.config), &origins.join(" + "));
            out.push_str(&value);
        }
        out.push('\n');
    }
    for (exclude, origin) in loaded.config.exclude.iter().zip(&loaded.exclude_origins) {
        let _ = writeln!(out, "[[exclude]] # {}", comment(origin));
        if let Some(exe) = &exclude.exe {
            let _ = writeln!(out, "exe = {}", quoted(&exe.to_string_lossy()));
        }
        if let Some(unit) = &exclude.unit {
            let _ = writeln!(out, "unit = {}", quoted(unit));
        }
        if !exclude.actions.is_empty() {
            let actions: Vec<String> = exclude.actions.iter().map(|action| quoted(action.name())).collect();
            let _ = writeln!(out, "actions = [{}]", actions.join(", "));
        }
        if !exclude.paths.is_empty() {
            let paths: Vec<String> = exclude.paths.iter().map(|path| quoted(path.text())).collect();
            let _ = writeln!(out, "paths = [{}]", paths.join(", "));
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn assignment(name: &str, value: &Value, origin: &str) -> String {
    match value {
        Value::Bool(yes) => format!("{name} = {yes} # {origin}\n"),
        Value::Integer(number) => format!("{name} = {number} # {origin}\n"),
        Value::Text(text) => format!("{name} = {} # {origin}\n", quoted(text)),
        Value::List(list) if list.is_empty() => format!("{name} = [] # {origin}\n"),
        Value::List(list) => {
            let entries: String = list.iter().map(|text| format!("    {},\n", quoted(text))).collect();
            format!("{name} = [ # {origin}\n{entries}]\n")
        }
    }
}

/// An origin that cannot leave its comment, whatever a file is called.
fn comment(origin: &Origin) -> String {
    origin.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// One option, as documents tell of it.
pub struct Entry {
    /// Its key, without the section.
    pub key: &'static str,
    /// What its value is, in words.
    pub kind: String,
    /// Its default as TOML, or of a long list how many entries it has; `None`: no default.
    pub default: Option<String>,
    /// What it means.
    pub meaning: &'static str,
    /// A change takes effect with the next start only.
    pub restart: bool,
}

/// All options by section, `[file]` or `[[exclude]]`, in the order of the shipped file.
pub fn entries() -> Vec<(String, Vec<Entry>)> {
    let exclude = || {
        let rows = KEYS.iter();
        let entry = |(key, kind, meaning): &(&'static str, Kind, &'static str)| Entry {
            key,
            kind: kind.words(),
            default: None,
            meaning,
            restart: false,
        };
        rows.map(entry).collect()
    };
    let options = |section: &str| {
        let rows = OPTIONS.iter().filter(|option| option.section() == section);
        let entry = |option: &Setting| Entry {
            key: option.name(),
            kind: option.kind.words(),
            default: Some(match option.default {
                Preset::Bool(yes) => yes.to_string(),
                Preset::Integer(number) => number.to_string(),
                Preset::Text(text) => quoted(text),
                Preset::List([]) => "[]".into(),
                Preset::List(list) => format!("{} entries, see the shipped file", list.len()),
            }),
            meaning: option.doc,
            restart: option.restart,
        };
        rows.map(entry).collect()
    };
    let of = |section: &'static str| match section {
        "exclude" => ("[[exclude]]".to_owned(), exclude()),
        section => (format!("[{section}]"), options(section)),
    };
    sections().into_iter().map(of).collect()
}

/// The reference of all options in Markdown, for `docs/configuration.md`.
pub fn reference() -> String {
    let mut out = String::new();
    for (title, entries) in entries() {
        let _ = writeln!(out, "### `{title}`\n");
        if title == "[[exclude]]" {
            out.push_str("| key | value | meaning |\n|---|---|---|\n");
            for Entry { key, kind, meaning, .. } in entries {
                let _ = writeln!(out, "| `{key}` | {kind} | {meaning} |");
            }
            continue;
        }
        out.push_str("| key | value | default | meaning | change takes effect |\n|---|---|---|---|---|\n");
        for Entry { key, kind, default, meaning, restart } in entries {
            let default = default.unwrap_or_default();
            let default = if default.contains(" entries, ") { default } else { format!("`{default}`") };
            let when = if restart { "restart" } else { "reload" };
            let _ = writeln!(out, "| `{key}` | {kind} | {default} | {meaning} | {when} |");
        }
        out.push('\n');
    }
    out
}
