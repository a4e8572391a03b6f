//! One line of the daemon's JSON output.

use serde_json::Value;

/// An event as a reader gets it.
#[derive(Clone, Debug)]
pub struct Event(Value);

impl Event {
    /// Parses one line; the output promises that every line is one JSON object.
    pub fn parse(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{why} in: {line}"));
        assert!(value.is_object(), "not an object: {line}");
        Self(value)
    }

    /// The value at a dotted key (`process.parent.pid`), if it is there.
    pub fn get(&self, key: &str) -> Option<&Value> {
        key.split('.').try_fold(&self.0, |value, part| value.get(part))
    }

    /// A string, or the empty one where the key is not there.
    pub fn text(&self, key: &str) -> &str {
        match self.get(key) {
            None => "",
            Some(value) => value.as_str().unwrap_or_else(|| panic!("{key} is no string: {self}")),
        }
    }

    /// A number, or `None` where the key is not there.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key).map(|value| value.as_u64().unwrap_or_else(|| panic!("{key} is no number: {self}")))
    }

    /// An array of strings; empty where the key is not there.
    pub fn list(&self, key: &str) -> Vec<&str> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let list = value.as_array().unwrap_or_else(|| panic!("{key} is no array: {self}"));
        list.iter().map(|item| item.as_str().unwrap_or_else(|| panic!("{key}: no string: {self}"))).collect()
    }

    /// `event.action`.
    pub fn action(&self) -> &str {
        self.text("event.action")
    }

    /// `process.pid`.
    pub fn pid(&self) -> Option<u64> {
        self.number("process.pid")
    }

    /// Whether `bee.flags` has this word.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.list("bee.flags").contains(&flag)
    }

    /// Whether an excerpt of the value is anywhere in the line.
    pub fn mentions(&self, text: &str) -> bool {
        self.0.to_string().contains(text)
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}
