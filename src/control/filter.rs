//! Which events a watcher wants. Pure.

use super::protocol::Watch;
use crate::config::ALWAYS_WRITTEN;
use crate::event::{ACTIONS, Action, Event, Severity};
use crate::watch::{Pattern, check_env_pattern, env_matches};

/// A checked [`Watch`]: every kind of value that is named must fit, by one of its values.
#[derive(Debug)]
pub struct Filter {
    sensors: Vec<String>,
    actions: Vec<Action>,
    pids: Vec<u32>,
    comms: Vec<String>,
    exes: Vec<Pattern>,
    severity: Severity,
}

const SEVERITIES: [Severity; 5] =
    [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

impl Filter {
    /// Checks what a client wants.
    ///
    /// # Errors
    /// What cannot be, and what could.
    pub fn new(watch: &Watch) -> Result<Self, String> {
        for sensor in &watch.sensors {
            if !ACTIONS.iter().any(|facts| facts.sensor == sensor) {
                let mut known: Vec<&str> = ACTIONS.iter().map(|facts| facts.sensor).collect();
                known.dedup();
                return Err(format!("no sensor is called {sensor:?}; there are {}", known.join(", ")));
            }
        }
        let action = |name: &String| {
            Action::from_name(name).ok_or_else(|| {
                let known: Vec<&str> = ACTIONS.iter().map(|facts| facts.name).collect();
                format!("no action is called {name:?}; there are {}", known.join(", "))
            })
        };
        for comm in watch.comms.iter().filter(|comm| comm.contains('*')) {
            check_env_pattern(comm).map_err(|why| format!("the name {comm:?} {why}"))?;
        }
        let exe =
            |text: &String| Pattern::parse(text).map_err(|why| format!("the executable {text:?} {why}"));
        let severity = match &watch.severity {
            None => Severity::Info,
            Some(word) => SEVERITIES.into_iter().find(|one| one.name() == word).ok_or_else(|| {
                format!("no severity is called {word:?}; write {}", SEVERITIES.map(Severity::name).join(", "))
            })?,
        };
        Ok(Self {
            sensors: watch.sensors.clone(),
            actions: watch.actions.iter().map(action).collect::<Result<_, _>>()?,
            pids: watch.pids.clone(),
            comms: watch.comms.clone(),
            exes: watch.exes.iter().map(exe).collect::<Result<_, _>>()?,
            severity,
        })
    }

    /// Whether the event is wanted. What the daemon says of itself, losses among it, always is:
    /// else nobody could tell whether something is missing.
    pub fn wants(&self, event: &Event) -> bool {
        if ALWAYS_WRITTEN.contains(&event.action) {
            return true;
        }
        let process = event.process.as_ref();
        let exe = process.and_then(|process| process.executable);
        let sensor = event.action.facts().sensor;
        event.severity >= self.severity
            && (self.actions.is_empty() || self.actions.contains(&event.action))
            && (self.sensors.is_empty() || self.sensors.iter().any(|one| one == sensor))
            && (self.pids.is_empty() || process.is_some_and(|process| self.pids.contains(&process.pid)))
            && (self.comms.is_empty()
                || process.is_some_and(|process| env_matches(&self.comms, &process.name)))
            && (self.exes.is_empty()
                || exe.is_some_and(|path| self.exes.iter().any(|pattern| pattern.matches(path))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::event::{Args, Body, Flags, Outcome, Parent, Process, User};

    fn event(action: Action, severity: Severity, pid: u32, name: &'static str) -> Event<'static> {
        let process = Process {
            pid,
            tid: pid,
            entity_id: None,
            start: 0,
            name: Cow::Borrowed(name.as_bytes()),
            executable: Some(b"/usr/bin/cat"),
            args: Args::default(),
            user: User { id: 0, name: None },
            gid: 0,
            euid: None,
            login_uid: None,
            parent: Parent::default(),
            unit: None,
            container_id: None,
        };
        Event {
            time: 0,
            sequence: 0,
            action,
            severity,
            outcome: Outcome::Success,
            hook: "",
            tier: "",
            flags: Flags::default(),
            process: (!ALWAYS_WRITTEN.contains(&action)).then_some(process),
            body: Body::Fork,
        }
    }

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn each_kind_of_value_narrows_and_values_of_one_kind_widen() {
        let open = event(Action::Open, Severity::Medium, 7, "cat");
        let cases: &[(Watch, bool)] = &[
            (Watch::default(), true),
            (Watch { sensors: words(&["file"]), ..Watch::default() }, true),
            (Watch { sensors: words(&["process"]), ..Watch::default() }, false),
            (Watch { sensors: words(&["process", "file"]), ..Watch::default() }, true),
            (Watch { actions: words(&["open"]), ..Watch::default() }, true),
            (Watch { actions: words(&["exec", "exit"]), ..Watch::default() }, false),
            (Watch { pids: vec![6, 7], ..Watch::default() }, true),
            (Watch { pids: vec![8], ..Watch::default() }, false),
            (Watch { comms: words(&["c*"]), ..Watch::default() }, true),
            (Watch { comms: words(&["ca"]), ..Watch::default() }, false),
            (Watch { exes: words(&["/usr/bin/*"]), ..Watch::default() }, true),
            (Watch { exes: words(&["/bin/cat"]), ..Watch::default() }, false),
            (Watch { severity: Some("medium".into()), ..Watch::default() }, true),
            (Watch { severity: Some("high".into()), ..Watch::default() }, false),
            (Watch { pids: vec![7], comms: words(&["dog"]), ..Watch::default() }, false),
        ];
        for (watch, wanted) in cases {
            assert_eq!(Filter::new(watch).unwrap().wants(&open), *wanted, "{watch:?}");
            // Whoever filters must still hear that something was lost.
            let loss = event(Action::Loss, Severity::Info, 0, "");
            assert!(Filter::new(watch).unwrap().wants(&loss), "{watch:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_could() {
        for (watch, word) in [
            (Watch { sensors: words(&["files"]), ..Watch::default() }, "process"),
            (Watch { actions: words(&["read"]), ..Watch::default() }, "open"),
            (Watch { comms: words(&["*"]), ..Watch::default() }, "matches every"),
            (Watch { exes: words(&["a/b"]), ..Watch::default() }, "a/b"),
            (Watch { severity: Some("grave".into()), ..Watch::default() }, "critical"),
        ] {
            let why = Filter::new(&watch).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
