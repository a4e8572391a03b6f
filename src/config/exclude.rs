//! One `[[exclude]]` table.

use std::ops::Range;

use toml::de::DeTable;

use super::options::Value;
use super::problem::nearest;
use super::shape::{Kind, Shape};
use super::walk::Walk;
use super::{AddressRange, Exclude, Pattern};
use crate::event::Action;

/// A key of the table: its name, its kind, and what it means for people.
pub(super) const KEYS: &[(&str, Kind, &str)] = &[
    ("exe", Kind::Text(Shape::Program), "True path of the program, as `readlink /proc/PID/exe` shows it."),
    ("unit", Kind::Text(Shape::Unit), "The systemd unit the process belongs to."),
    ("paths", Kind::List(Shape::Pattern), "Only what is done with these files is not reported."),
    (
        "networks",
        Kind::List(Shape::Address),
        "Only traffic with these addresses is not reported; without it, none is excluded but by `actions`.",
    ),
    (
        "actions",
        Kind::List(Shape::Action),
        "Only these actions are not reported; without it, none of those on files is. What is done to \
         other processes (`ptrace`, `vm-read`, …) is excluded only where it is named here.",
    ),
];

/// Reads the table at `span`; mistakes go to `walk`.
pub(super) fn read(walk: &mut Walk<'_>, span: Range<usize>, table: &DeTable<'_>) -> Option<Exclude> {
    let mut exclude =
        Exclude { exe: None, unit: None, paths: Vec::new(), networks: Vec::new(), actions: Vec::new() };
    let (mut named, mut good) = (false, true);
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let path = format!("exclude.{name}");
        let Some((_, kind, _)) = KEYS.iter().find(|(known, ..)| *known == name) else {
            walk.report(&key.span(), &path, unknown(name));
            good = false;
            continue;
        };
        named |= !matches!(name, "paths" | "networks" | "actions");
        match (name, walk.value(*kind, &path, value)) {
            ("exe", Some(Value::Text(text))) => exclude.exe = Some(text.into()),
            ("unit", Some(Value::Text(text))) => exclude.unit = Some(text),
            ("actions", Some(Value::List(list))) => {
                exclude.actions = list.iter().filter_map(|name| Action::from_name(name)).collect();
                if list.is_empty() && value.get_ref().as_array().is_some_and(|entries| entries.is_empty()) {
                    let message = "is empty; name the actions, or leave the key out to mean those on files";
                    walk.report(&value.span(), &path, message.into());
                    good = false;
                }
            }
            (key, Some(Value::List(list))) => {
                if key == "paths" {
                    exclude.paths = list.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
                } else {
                    exclude.networks = list.iter().filter_map(|text| AddressRange::parse(text)).collect();
                }
                // Empty would mean "for all": what a mistake must never come to mean.
                if list.is_empty() && value.get_ref().as_array().is_some_and(|entries| entries.is_empty()) {
                    let message = "is empty; name some, or leave the key out to exclude all of them";
                    walk.report(&value.span(), &path, message.into());
                    good = false;
                }
            }
            _ => good = false,
        }
    }
    if !named && good {
        walk.report(
            &span,
            "exclude",
            "names nobody; write `exe = \"/path\"` or `unit = \"name.service\"`".into(),
        );
        good = false;
    }
    good.then_some(exclude)
}

fn unknown(name: &str) -> String {
    if matches!(name, "comm" | "name" | "process") {
        return "is refused: a process can give itself any name; write `exe` or `unit`".into();
    }
    match nearest(name, KEYS.iter().map(|(known, ..)| *known)) {
        Some(near) => format!("unknown key; did you mean `{near}`?"),
        None => "unknown key; `[[exclude]]` has exe, unit, paths, networks, actions".into(),
    }
}
