//! `bee-trace status`: the numbers as a page for people. Pure.

use std::fmt::Write as _;

use super::number::{bytes, grouped, percent, span};
use crate::control::protocol::Reload;
use crate::control::status::{Counts, Status};

const LABEL: usize = 14;

/// The page.
pub fn text(status: &Status) -> String {
    let mut page = Page(String::new());
    page.head(status);
    page.sensors(status);
    page.events(status);
    page.sinks(status);
    page.rest(status);
    page.0
}

/// A page that grows. Writing to a String cannot fail.
struct Page(String);

impl Page {
    fn title(&mut self, text: &str) {
        let _ = writeln!(self.0, "\n{text}");
    }

    fn row(&mut self, label: &str, text: &str) {
        let _ = writeln!(self.0, "  {label:<LABEL$}{}", shown(text));
    }

    fn head(&mut self, status: &Status) {
        let _ = writeln!(
            self.0,
            "bee-traced {}, process {}, running for {}, log level {}",
            shown(&status.version),
            status.pid,
            span(status.uptime_seconds),
            shown(&status.log_level)
        );
        let restart = &status.restart;
        self.title("Restart");
        let begun = match (restart.adopted, restart.life) {
            (true, life) => {
                format!("life {}; it took over what ran, counters are those of all", grouped(life))
            }
            (false, _) => "everything was loaded anew".to_owned(),
        };
        self.row("this one", &begun);
        let next = match restart.stored {
            0 => "has a gap: nothing is kept by a service manager".to_owned(),
            stored => format!("without a gap: the service manager keeps {} descriptors", grouped(stored)),
        };
        self.row("the next", &next);
        let config = &status.config;
        self.title("Configuration");
        match config.files.split_first() {
            None => self.row("files", "none; the defaults hold"),
            Some((first, others)) => {
                self.row("files", first);
                others.iter().for_each(|file| self.row("", file));
            }
        }
        if !config.profiles.is_empty() {
            self.row("profile", &config.profiles.join(" → "));
        }
        let now = status.started + status.uptime_seconds;
        match &config.last_reload {
            None => self.row("reload", "none so far"),
            Some(reload) => {
                let ago = span(now.saturating_sub(reload.time));
                self.row("reload", &format!("{ago} ago: {}", outcome(reload)));
            }
        }
        if !config.restart.is_empty() {
            self.row("restart", &format!("needed for {}", config.restart.join(", ")));
        }
    }

    fn sensors(&mut self, status: &Status) {
        self.title("Sensors");
        for sensor in &status.sensors {
            let text = match &sensor.failure {
                Some(why) => format!("does not run: {why}"),
                None => {
                    let skipped = match sensor.skipped {
                        0 => String::new(),
                        runs => format!(", {} runs skipped by the kernel", grouped(runs)),
                    };
                    format!(
                        "{:<11} {} hooks, {} events, {} per second{skipped}",
                        sensor.tier,
                        sensor.hooks.len(),
                        grouped(sensor.events),
                        sensor.events_per_second
                    )
                }
            };
            self.row(&sensor.name, &text);
        }
        let scanner = match (status.scanner.running, status.scanner.idle) {
            (false, _) => "has ended: files are known by name only".to_owned(),
            (true, false) => "at work".to_owned(),
            (true, true) => {
                format!("done; files are known by identity on {} file systems", status.scanner.filesystems)
            }
        };
        self.row("scanner", &scanner);
        let guard = &status.guard;
        if guard.looks > 0 {
            let last =
                guard.last_well_seconds_ago.map_or("never".to_owned(), |ago| format!("{} ago", span(ago)));
            let mut text = format!(
                "{} of {} looks found all well, the last {last}",
                grouped(guard.well),
                grouped(guard.looks)
            );
            if guard.altered > 0 {
                text.push_str(&format!(
                    "; changed by others and put right: {} times",
                    grouped(guard.altered)
                ));
            }
            self.row("in the kernel", &text);
        }
    }

    fn events(&mut self, status: &Status) {
        let sums = &status.sums;
        self.title("Records");
        let kernel = [(sums.submitted, "in the rings so far"), (sums.lost_in_kernel, "lost")];
        self.row("kernel", &sum(sums.emitted, &kernel));
        let daemon = [
            (sums.delivered, "events"),
            (sums.no_event, "no events"),
            (sums.lost_in_daemon, "lost"),
            (sums.waiting, "waiting"),
        ];
        self.row("daemon", &sum(sums.submitted, &daemon));
        for ring in &status.rings {
            let text = format!(
                "ring of {}, {} % full, {} % at most",
                bytes(ring.size),
                percent(ring.used, ring.size),
                percent(ring.highest, ring.size)
            );
            self.row(&ring.name, &text);
        }
        let losses = match (status.losses.total, status.losses.last_seconds_ago) {
            (0, _) | (_, None) => "none told".to_owned(),
            (total, Some(ago)) => format!("{} events, the last told {} ago", grouped(total), span(ago)),
        };
        self.row("losses", &losses);
        for kind in &status.kinds {
            self.row(&kind.kind, &format!("{} | {}", counts(&kind.kernel), counts(&kind.daemon)));
        }
    }

    fn sinks(&mut self, status: &Status) {
        self.title("Sinks");
        for sink in &status.sinks {
            let count = |name: &str| sink.counters.get(name).copied().unwrap_or(0);
            let parts = [
                (count("accepted"), "written"),
                (count("queue_full"), "lost to a full queue"),
                (count("refused"), "refused"),
                (count("folded"), "folded"),
                (sink.queued, "waiting"),
            ];
            self.row(&sink.name, &sum(count("offered"), &parts));
            self.row("", &counts(&sink.counters));
            if let Some(problem) = &sink.problem {
                self.row("", &format!("PROBLEM: {problem}"));
            }
        }
    }

    fn rest(&mut self, status: &Status) {
        let process = &status.process;
        self.title("Process");
        let kib = |number: Option<u64>| number.map_or("unknown".to_owned(), |kib| bytes(kib * 1024));
        self.row(
            "memory",
            &format!("{} resident, {} shared out", kib(process.rss_kib), kib(process.pss_kib)),
        );
        self.row(
            "time",
            &process.cpu_seconds.map_or("unknown".to_owned(), |time| format!("{time} s of processor")),
        );
        self.row("written", &bytes(process.bytes_written));
        let control = &status.control;
        let text = format!(
            "{} connections, {} watch; {} refused so far; {} events sent, {} dropped",
            control.connections,
            control.watchers,
            control.refused,
            grouped(control.sent),
            grouped(control.dropped)
        );
        self.row("control", &text);
    }
}

/// `12 = 10 events + 2 lost`
fn sum(whole: u64, parts: &[(u64, &str)]) -> String {
    let parts: Vec<String> = parts.iter().map(|(part, word)| format!("{} {word}", grouped(*part))).collect();
    format!("{} = {}", grouped(whole), parts.join(" + "))
}

fn counts(counts: &Counts) -> String {
    let shown: Vec<String> = counts
        .iter()
        .filter(|(_, value)| **value > 0)
        .map(|(name, value)| format!("{name} {}", grouped(*value)))
        .collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
}

fn outcome(reload: &Reload) -> String {
    match &reload.error {
        Some(why) => format!("refused: {why}"),
        None if reload.changed.is_empty() => "nothing changed".to_owned(),
        None => {
            let keys: Vec<&str> = reload.changed.iter().map(|change| change.key.as_str()).collect();
            format!("changed {}", keys.join(", "))
        }
    }
}

/// What came from elsewhere, such as a file's name, without anything a terminal would obey.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control::status;

    #[test]
    fn the_page_says_what_does_not_run_and_what_is_wrong() {
        let mut status = Status { version: "1".into(), pid: 7, uptime_seconds: 90_000, ..Status::default() };
        status.sensors = vec![
            status::Sensor {
                name: "process".into(),
                running: true,
                tier: "kprobe".into(),
                events: 1234,
                ..Default::default()
            },
            status::Sensor {
                name: "file".into(),
                failure: Some("no\nBTF\x1b[2J".into()),
                ..Default::default()
            },
        ];
        status.sinks = vec![status::Sink {
            name: "stdout".into(),
            counters: [("offered".to_owned(), 9), ("accepted".to_owned(), 7)].into(),
            queued: 2,
            problem: Some("the disk is full".into()),
        }];
        status.config.last_reload =
            Some(Reload { error: Some("a.toml:1:1: wrong".into()), ..Reload::default() });
        let page = text(&status);
        for part in [
            "process 7, running for 1 d 1 h",
            "kprobe",
            "1,234 events",
            "does not run: no BTF [2J",
            "9 = 7 written + 0 lost to a full queue + 0 refused + 0 folded + 2 waiting",
            "PROBLEM: the disk is full",
            "refused: a.toml:1:1: wrong",
        ] {
            assert!(page.contains(part), "{part:?} is not in:\n{page}");
        }
        assert!(!page.contains('\x1b'));
    }
}
