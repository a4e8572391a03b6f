//! What differs between two configurations, for whoever asked for a reload. Pure.

use std::collections::HashSet;

use super::Config;
use super::options::{OPTIONS, Value};

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `limits.inodes`, or `exclude`.
    pub key: &'static str,
    /// The value before, for a list how many entries it had.
    pub from: String,
    /// The value after.
    pub to: String,
    /// It has no effect before the daemon is started again.
    pub restart: bool,
}

/// Every setting that differs, in the order of the table.
pub fn differences(old: &Config, new: &Config) -> Vec<Difference> {
    let mut found = Vec::new();
    for option in OPTIONS {
        let (before, after) = ((option.get)(old), (option.get)(new));
        if before != after {
            let (from, to) = words(&before, &after);
            found.push(Difference { key: option.key, from, to, restart: option.restart });
        }
    }
    if old.exclude != new.exclude {
        let gone = old.exclude.iter().filter(|one| !new.exclude.contains(one)).count();
        let fresh = new.exclude.iter().filter(|one| !old.exclude.contains(one)).count();
        let from = format!("{} tables", old.exclude.len());
        let to = format!("{} tables ({fresh} new, {gone} gone)", new.exclude.len());
        found.push(Difference { key: "exclude", from, to, restart: false });
    }
    found
}

/// The values of the settings that need a restart, as they were at the start.
#[derive(Clone, Debug)]
pub struct InForce(Vec<Value>);

impl InForce {
    /// Those of the configuration the daemon starts with.
    pub fn new(config: &Config) -> Self {
        Self(OPTIONS.iter().filter(|option| option.restart).map(|option| (option.get)(config)).collect())
    }

    /// The keys that are written otherwise now.
    pub fn waiting(&self, config: &Config) -> Vec<&'static str> {
        let options = OPTIONS.iter().filter(|option| option.restart);
        let differ = options.zip(&self.0).filter(|(option, value)| (option.get)(config) != **value);
        differ.map(|(option, _)| option.key).collect()
    }
}

fn words(before: &Value, after: &Value) -> (String, String) {
    match (before, after) {
        (Value::List(before), Value::List(after)) => {
            let (old, new): (HashSet<_>, HashSet<_>) = (before.iter().collect(), after.iter().collect());
            let (fresh, gone) = (new.difference(&old).count(), old.difference(&new).count());
            let order = if fresh + gone == 0 {
                ", another order".into()
            } else {
                format!(" ({fresh} new, {gone} gone)")
            };
            (format!("{} entries", before.len()), format!("{} entries{order}", after.len()))
        }
        (before, after) => (before.words(), after.words()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_with_both_values() {
        let old = Config::default();
        assert_eq!(differences(&old, &old), []);
        let mut new = old.clone();
        new.limits.inodes = 512;
        new.limits.events_per_second = 7;
        new.output.file = Some("/x".into());
        new.file.watch.truncate(new.file.watch.len() - 2);
        new.exclude.clear();
        let found = differences(&old, &new);
        let (count, tables) = (old.file.watch.len(), old.exclude.len());
        let one = |key, from: &str, to: &str, restart| Difference {
            key,
            from: from.into(),
            to: to.into(),
            restart,
        };
        assert_eq!(
            found,
            [
                one(
                    "file.watch",
                    &format!("{count} entries"),
                    &format!("{} entries (0 new, 2 gone)", count - 2),
                    false
                ),
                one("limits.events_per_second", "0", "7", false),
                one("limits.inodes", "16384", "512", true),
                one("output.file", "\"\"", "\"/x\"", true),
                one(
                    "exclude",
                    &format!("{tables} tables"),
                    &format!("0 tables (0 new, {tables} gone)"),
                    false
                ),
            ]
        );
    }

    #[test]
    fn what_waits_for_a_restart_is_compared_with_the_start() {
        let mut config = Config::default();
        let in_force = InForce::new(&config);
        config.limits.inodes = 512;
        config.limits.events_per_second = 7;
        assert_eq!(in_force.waiting(&config), ["limits.inodes"]);
        config.limits.inodes = Config::default().limits.inodes;
        assert!(in_force.waiting(&config).is_empty());
    }
}
