//! `bee-trace status --check`: what a monitoring system asks. One line and one of
//! four statuses, as the Monitoring Plugins guidelines have them. Pure.

use std::process::ExitCode;

use super::number::{grouped, percent, span};
use crate::control::status::Status;
use crate::error::{Error, ExitStatus};

/// A ring that is fuller than this when nobody reads it is about to lose events.
const RING_FULL: u64 = 80;

/// How it is; the number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing to do.
    Ok = 0,
    /// Something should be looked at.
    Warning = 1,
    /// Something is not watched.
    Critical = 2,
    /// It could not be found out.
    Unknown = 3,
}

impl State {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl From<State> for ExitCode {
    fn from(state: State) -> Self {
        (state as u8).into()
    }
}

/// The rules, for the documentation: state and when.
pub const RULES: &[(State, &str)] = &[
    (State::Critical, "no daemon answers, or not within ten seconds"),
    (State::Critical, "a sensor that is switched on does not run"),
    (State::Critical, "a sink cannot write at present"),
    (State::Warning, "a `loss` event was told within the window (`--loss-window`, 15 minutes)"),
    (State::Warning, "the scanner has ended: files are known by name only"),
    (State::Warning, "the last reload was refused: the old configuration is in force"),
    (State::Warning, "a ring is more than 80 % full"),
    (State::Unknown, "the socket may not be used, or the answer cannot be read"),
];

/// The verdict: state, and the line with performance data behind a bar.
pub fn judge(status: &Result<Status, Error>, loss_window: u64) -> (State, String) {
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            let state = match error.status {
                // Refused by the socket's mode, or a message of another version.
                ExitStatus::NotPermitted | ExitStatus::Usage => State::Unknown,
                _ if error.to_string().contains("cannot be read") => State::Unknown,
                _ => State::Critical,
            };
            return (state, format!("bee-traced {}: {}\n", state.word(), one_line(&error.to_string())));
        }
    };
    let mut findings: Vec<(State, String)> = Vec::new();
    let mut find = |state, text: String| findings.push((state, text));
    for sensor in status.sensors.iter().filter(|sensor| !sensor.running) {
        let why = sensor.failure.as_deref().unwrap_or("it is not said why");
        find(State::Critical, format!("the {} sensor does not run ({why})", sensor.name));
    }
    if !status.sensors.iter().any(|sensor| sensor.running) {
        find(State::Critical, "no sensor runs".into());
    }
    for sink in &status.sinks {
        if let Some(problem) = &sink.problem {
            find(State::Critical, format!("the sink {} fails ({problem})", sink.name));
        }
    }
    if let Some(ago) = status.losses.last_seconds_ago.filter(|ago| *ago < loss_window) {
        let total = grouped(status.losses.total);
        find(State::Warning, format!("events were lost {} ago, {total} since the start", span(ago)));
    }
    if !status.scanner.running {
        find(State::Warning, "the scanner has ended".into());
    }
    if let Some(why) = status.config.last_reload.as_ref().and_then(|reload| reload.error.as_ref()) {
        find(State::Warning, format!("the last reload was refused ({why})"));
    }
    for ring in &status.rings {
        let full = percent(ring.used, ring.size);
        if full > RING_FULL {
            find(State::Warning, format!("the ring {} is {full} % full", ring.name));
        }
    }
    let state = findings.iter().map(|(state, _)| *state).max().unwrap_or(State::Ok);
    // The gravest first.
    findings.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
    let mut texts: Vec<String> = findings.into_iter().map(|(_, text)| text).collect();
    if texts.is_empty() {
        let sensors: Vec<String> =
            status.sensors.iter().map(|sensor| format!("{} ({})", sensor.name, sensor.tier)).collect();
        texts.push(format!("watches {}, up {}", sensors.join(", "), span(status.uptime_seconds)));
    }
    let line = one_line(&texts.join("; ")).replace('|', "/");
    (state, format!("bee-traced {}: {line} | {}\n", state.word(), performance(status)))
}

/// `'label'=value[unit];warn;crit;min;max`, a space apart.
fn performance(status: &Status) -> String {
    let mut data =
        vec![format!("events={}c", status.sums.delivered), format!("lost={}c", status.losses.total)];
    for ring in &status.rings {
        data.push(format!("{}={}%;{RING_FULL};;0;100", ring.name, percent(ring.used, ring.size)));
        data.push(format!("{}_max={}%;;;0;100", ring.name, percent(ring.highest, ring.size)));
    }
    data.extend(status.process.rss_kib.map(|kib| format!("rss={kib}KB;;;0")));
    data.extend(status.process.cpu_seconds.map(|seconds| format!("cpu={seconds}s;;;0")));
    data.push(format!("written={}c", status.process.bytes_written));
    data.push(format!("uptime={}s;;;0", status.uptime_seconds));
    data.push(format!("watchers={};;;0", status.control.watchers));
    data.join(" ")
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::Reload;
    use crate::control::status::{Ring, Sensor, Sink};

    fn well() -> Status {
        let sensor =
            Sensor { name: "file".into(), running: true, tier: "kprobe".into(), ..Default::default() };
        let mut status = Status {
            sensors: vec![sensor],
            sinks: vec![Sink { name: "stdout".into(), ..Default::default() }],
            rings: vec![Ring { name: "alerts".into(), size: 1000, used: 10, highest: 500 }],
            ..Default::default()
        };
        status.scanner.running = true;
        status
    }

    fn of(change: impl FnOnce(&mut Status)) -> (State, String) {
        let mut status = well();
        change(&mut status);
        judge(&Ok(status), 900)
    }

    #[test]
    fn a_daemon_that_is_well_is_ok_with_numbers() {
        let (state, line) = of(|_| {});
        assert_eq!(state, State::Ok, "{line}");
        assert!(line.starts_with("bee-traced OK: watches file (kprobe)"), "{line}");
        assert!(line.contains("| events=0c lost=0c alerts=1%;80;;0;100 alerts_max=50%;;;0;100"), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
    }

    /// The state, a word of the line, and what is changed of a daemon that is well.
    type Case = (State, &'static str, fn(&mut Status));

    #[test]
    fn each_rule_has_its_state() {
        let cases: &[Case] = &[
            (State::Critical, "file sensor does not run", |s| s.sensors[0].running = false),
            (State::Critical, "stdout fails (disk / full)", |s| {
                s.sinks[0].problem = Some("disk | full".into())
            }),
            (State::Warning, "lost", |s| s.losses.last_seconds_ago = Some(899)),
            (State::Ok, "watches", |s| s.losses.last_seconds_ago = Some(900)),
            (State::Warning, "scanner", |s| s.scanner.running = false),
            (State::Warning, "refused (a b)", |s| {
                s.config.last_reload = Some(Reload { error: Some("a\nb".into()), ..Reload::default() });
            }),
            (State::Ok, "watches", |s| s.config.last_reload = Some(Reload::default())),
            (State::Warning, "81 % full", |s| s.rings[0].used = 805),
            (State::Ok, "watches", |s| s.rings[0].used = 800),
            (State::Critical, "does not run", |s| {
                s.sensors[0].running = false;
                s.scanner.running = false;
            }),
        ];
        for (wanted, word, change) in cases {
            let (state, line) = of(change);
            assert!(state == *wanted && line.contains(word), "{word}: {line}");
            assert_eq!((line.matches('|').count(), line.matches('\n').count()), (1, 1), "{line}");
        }
    }

    #[test]
    fn whoever_cannot_ask_does_not_know() {
        for (error, wanted) in [
            (Error::failure("no daemon answers"), State::Critical),
            (Error::new(ExitStatus::NotPermitted, "not permitted"), State::Unknown),
            (Error::failure("the daemon's answer cannot be read (x)"), State::Unknown),
        ] {
            let (state, line) = judge(&Err(error), 900);
            assert_eq!(state, wanted, "{line}");
            assert!(line.starts_with(&format!("bee-traced {}: ", wanted.word())), "{line}");
        }
    }
}
