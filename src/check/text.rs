//! The text of a report, for a terminal of 80 to 100 columns.

use std::fmt::{Display, Write};
use std::path::PathBuf;

use super::{Report, SensorReport, lockdown_name};
use crate::kernel::Fact;
use crate::kernel::config::{Need, OPTIONS, Setting};
use crate::kernel::facts::BtfSource;

/// How the text is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns; kept between 60 and 100, where it can be read well.
    pub width: usize,
    /// Whether to colour (a terminal reads it and `NO_COLOR` is not set).
    pub color: bool,
}

#[derive(Clone, Copy)]
enum Tone {
    Good,
    Poor,
    Bad,
    Title,
}

/// A label's column in front of every entry, after an indent of two.
const LABEL: usize = 24;

struct Page {
    out: String,
    style: Style,
}

pub(super) fn render(report: &Report<'_>, style: Style) -> String {
    let style = Style { width: style.width.clamp(60, 100), ..style };
    let mut page = Page { out: String::new(), style };
    page.sensors(report);
    page.remedies(report);
    page.kernel(report);
    page.options(report);
    page.out
}

impl Page {
    fn sensors(&mut self, report: &Report<'_>) {
        let summary = match report.status() {
            "best" => "every sensor is at its best",
            "unusable" => "no sensor can run on this kernel",
            _ => "it works, but sees less than it could",
        };
        let facts = report.facts;
        let host = format!("{} ({}, {} KiB pages)", facts.release, facts.arch, facts.page_size / 1024);
        self.wrapped(0, 0, &format!("bee-traced on kernel {host}: {summary}."));
        self.title("Sensors");
        for (number, sensor) in report.sensors.iter().enumerate() {
            if number > 0 {
                self.out.push('\n');
            }
            self.sensor(sensor);
        }
        if report.sensors.is_empty() {
            self.wrapped(2, 2, "None is switched on.");
        }
    }

    fn sensor(&mut self, sensor: &SensorReport) {
        let (tone, word) = match sensor.tier {
            None => (Tone::Bad, "cannot run".to_owned()),
            Some(tier) if sensor.at_best() => (Tone::Good, format!("tier {tier}, at its best")),
            Some(tier) => (Tone::Poor, format!("tier {tier}")),
        };
        let word = self.toned(tone, &word);
        let _ = writeln!(self.out, "  {:<LABEL$}{word}", sensor.sensor);
        if !sensor.mechanism.is_empty() {
            self.row("  sees by", &sensor.mechanism);
        }
        for (number, lost) in sensor.lost.iter().enumerate() {
            self.row(if number == 0 { "  loses" } else { "" }, lost);
        }
        for (tier, reason) in &sensor.why_not_better {
            self.row(&format!("  why not {tier}"), reason);
        }
    }

    fn remedies(&mut self, report: &Report<'_>) {
        let remedies = report.remedies();
        if remedies.is_empty() {
            return;
        }
        self.title("What to do");
        for remedy in remedies {
            self.wrapped(2, 4, &format!("- {remedy}"));
        }
    }

    fn kernel(&mut self, report: &Report<'_>) {
        let facts = report.facts;
        self.title("Kernel");
        self.fact(
            "kernel types (BTF)",
            &facts.btf.clone().map(|btf| match btf {
                BtfSource::Kernel(bytes) => format!("yes ({} KiB)", bytes / 1024),
                BtfSource::Missing => match report.types.file() {
                    Some(file) => format!("not built in; from {}", file.path.display()),
                    None => "no".to_owned(),
                },
            }),
        );
        for file in &report.types.found.refused {
            self.row("", &format!("{} is not used: {}", file.path.display(), file.why));
        }
        self.fact("kprobes", &facts.kprobes.clone().map(yes_no));
        self.fact(
            "security modules",
            &facts.lsm.clone().map(|names| match names.len() {
                0 => "none".to_owned(),
                _ => names.join(", "),
            }),
        );
        self.fact("lockdown", &facts.lockdown.clone().map(lockdown_name));
        self.fact("tracefs", &facts.tracefs.clone().map(mounted));
        self.fact("cgroup v2", &facts.cgroup2.clone().map(mounted));
        self.fact("BPF compiler", &facts.bpf_jit_enable.clone().map(|value| on_off(value != 0)));
        self.fact("function tracer", &facts.ftrace_enabled.clone().map(|value| on_off(value != 0)));
        self.fact("perf_event_paranoid", &facts.perf_event_paranoid);
        self.fact(
            "unprivileged BPF",
            &facts.unprivileged_bpf_disabled.clone().map(|value| match value {
                0 => "allowed to every user",
                1 => "refused, until the next boot",
                _ => "refused",
            }),
        );
        self.fact("host's pid namespace", &facts.initial_pid_ns.clone().map(yes_no));
    }

    fn options(&mut self, report: &Report<'_>) {
        self.title("Kernel options");
        let config = match report.config {
            Ok(config) => config,
            Err(error) => {
                let words = "Not known, which is no fault of the sensors above: they were tried.";
                self.wrapped(2, 2, words);
                for (path, why) in &error.tried {
                    self.wrapped(2, 4, &format!("- {}: {why}", path.display()));
                }
                return;
            }
        };
        self.wrapped(2, 2, &format!("From {}.", config.source.display()));
        for row in OPTIONS {
            let setting = config.get(row.name);
            let off = setting == Setting::No;
            let tone = match (off, row.need) {
                (false, _) => Tone::Good,
                (true, Need::Essential) => Tone::Bad,
                (true, Need::Wanted) => Tone::Poor,
            };
            let (start, word) = (self.out.len() + LABEL + 2, setting.to_string());
            if off {
                self.row(row.name, &format!("{word}, wanted by {}", row.wanted_by));
                self.row("", &format!("lost: {}", row.lost));
            } else {
                self.row(row.name, &word);
            }
            // Coloured afterwards, as the codes have no width to wrap by. The names of
            // options are ASCII and shorter than their column, so the word begins there.
            if let Some(end) = Some(start + word.len()).filter(|end| self.out.get(start..*end) == Some(&word))
            {
                let toned = self.toned(tone, &word);
                self.out.replace_range(start..end, &toned);
            }
        }
    }

    fn title(&mut self, title: &str) {
        let title = self.toned(Tone::Title, title);
        let _ = writeln!(self.out, "\n{title}");
    }

    fn fact(&mut self, label: &str, fact: &Fact<impl Display>) {
        match fact {
            Fact::Known(value) => self.row(label, &value.to_string()),
            Fact::Unknown(why) => self.row(label, &format!("not known: {why}")),
        }
    }

    /// `  label        text`, the text wrapped in its own column.
    fn row(&mut self, label: &str, text: &str) {
        let start = self.out.len();
        self.wrapped(LABEL + 2, LABEL + 2, text);
        let padded = format!("  {label:<LABEL$}");
        self.out.replace_range(start..start + LABEL + 2, &padded);
    }

    /// Writes words from column `first`, on further lines from column `rest`.
    /// A word that is too long for a line stands alone and whole: it may be a command or a path.
    fn wrapped(&mut self, first: usize, rest: usize, text: &str) {
        let _ = write!(self.out, "{:first$}", "");
        let mut column = first;
        for (number, word) in text.split_whitespace().enumerate() {
            let length = word.chars().count();
            if number > 0 && column + 1 + length > self.style.width {
                let _ = write!(self.out, "\n{:rest$}", "");
                column = rest;
            } else if number > 0 {
                self.out.push(' ');
                column += 1;
            }
            self.out.push_str(word);
            column += length;
        }
        self.out.push('\n');
    }

    fn toned(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Poor => "33",
            Tone::Bad => "31",
            Tone::Title => "1",
        };
        if self.style.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn mounted(path: Option<PathBuf>) -> String {
    path.map_or("not mounted".to_owned(), |path| path.display().to_string())
}
