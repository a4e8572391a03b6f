//! The configuration and its options as text: the merged result for `config
//! show`, and the reference in `docs/configuration.md`.

use std::fmt::Write;

use super::Loaded;
use super::exclude::KEYS;
use super::load::{Origin, sections};
use super::options::{OPTIONS, Preset, Value};

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

/// The reference of all options in Markdown, for `docs/configuration.md`.
pub fn reference() -> String {
    let mut out = String::new();
    for section in sections() {
        let title = if section == "exclude" { "[[exclude]]" } else { &format!("[{section}]") };
        let _ = writeln!(out, "### `{title}`\n");
        if section == "exclude" {
            out.push_str("| key | value | meaning |\n|---|---|---|\n");
            for (key, kind, doc) in KEYS {
                let _ = writeln!(out, "| `{key}` | {} | {doc} |", kind.words());
            }
            continue;
        }
        out.push_str("| key | value | default | meaning | change takes effect |\n|---|---|---|---|---|\n");
        for option in OPTIONS.iter().filter(|option| option.section() == section) {
            let default = match option.default {
                Preset::Bool(yes) => format!("`{yes}`"),
                Preset::Integer(number) => format!("`{number}`"),
                Preset::Text(text) => format!("`{}`", quoted(text)),
                Preset::List([]) => "`[]`".into(),
                Preset::List(list) => format!("{} entries, see the shipped file", list.len()),
            };
            let when = if option.restart { "restart" } else { "reload" };
            let kind = option.kind.words();
            let _ = writeln!(out, "| `{}` | {kind} | {default} | {} | {when} |", option.name(), option.doc);
        }
        out.push('\n');
    }
    out
}
