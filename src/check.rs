//! What `bee-trace check` says, made from data alone: the reports of the
//! loader's trials, the kernel's facts and its options. Nothing here reads
//! the host or writes anywhere.

mod text;

use serde_json::{Map, Value, json};

use crate::btf_build::{self, Missing};
use crate::btf_file::{Found, Refused, Source, TypesFile};
use crate::error::ExitStatus;
use crate::kernel::Fact;
use crate::kernel::config::{KernelConfig, Need, NotFound, OPTIONS, Setting};
use crate::kernel::facts::{BtfSource, Facts, Lockdown};

pub use text::Style;

/// What the trials found for one sensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SensorReport {
    /// `process`, `file`, …
    pub sensor: &'static str,
    /// The tier that works here; `None`: none does.
    pub tier: Option<&'static str>,
    /// The hooks it sees by.
    pub mechanism: String,
    /// What is lost against tier `full`; empty at its best.
    pub lost: Vec<String>,
    /// Every better tier, and what it failed at.
    pub why_not_better: Vec<(&'static str, String)>,
    /// What a person can do about it.
    pub remedy: Vec<String>,
}

impl SensorReport {
    /// It runs, loses nothing, and there is no better tier.
    pub fn at_best(&self) -> bool {
        self.tier.is_some() && self.lost.is_empty() && self.why_not_better.is_empty()
    }
}

/// All that is shown.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// One per sensor that is switched on.
    pub sensors: &'a [SensorReport],
    /// The host.
    pub facts: &'a Facts,
    /// The kernel's options, or where they were looked for.
    pub config: Result<&'a KernelConfig, &'a NotFound>,
    /// Its types.
    pub types: &'a Types,
}

/// Where the kernel's types come from, and what making a file with them wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Types {
    /// Where they come from, and the files that do not do.
    pub found: Found,
    /// What is not installed; nothing: a file can be made.
    pub missing: Vec<Missing>,
}

impl Types {
    /// The file in use.
    pub fn file(&self) -> Option<&TypesFile> {
        match &self.found.source {
            Source::File(file) => Some(file),
            _ => None,
        }
    }

    /// The file that was in use is not.
    pub fn refuse(&mut self, why: String) {
        if let Source::File(file) = std::mem::replace(&mut self.found.source, Source::Nowhere) {
            self.found.refused.push(Refused { path: file.path, why });
        }
    }
}

impl Report<'_> {
    /// `Ok`: all sensors at their best; `Failure`: one is not; `Unavailable`: none runs.
    pub fn exit_status(&self) -> ExitStatus {
        if !self.sensors.iter().any(|sensor| sensor.tier.is_some()) {
            ExitStatus::Unavailable
        } else if self.sensors.iter().all(SensorReport::at_best) {
            ExitStatus::Ok
        } else {
            ExitStatus::Failure
        }
    }

    /// One word for [`exit_status`](Self::exit_status).
    pub fn status(&self) -> &'static str {
        match self.exit_status() {
            ExitStatus::Ok => "best",
            ExitStatus::Unavailable => "unusable",
            _ => "degraded",
        }
    }

    /// For people.
    pub fn text(&self, style: Style) -> String {
        text::render(self, style)
    }

    /// For programs; the keys are described in docs/check.md and stay.
    /// A value that is not known is `null`, and `unknown` has the reason.
    pub fn json(&self) -> Value {
        let mut unknown = Map::new();
        let kernel = self.kernel(&mut unknown);
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "status": self.status(),
            "exit_status": self.exit_status() as u8,
            "sensors": self.sensors.iter().map(sensor_json).collect::<Vec<_>>(),
            "kernel": kernel,
            "unknown": unknown,
            "options_source": self.config.ok().map(|config| config.source.to_string_lossy()),
            "options": self.options(),
            "remedies": self.remedies(),
        })
    }

    fn kernel(&self, unknown: &mut Map<String, Value>) -> Value {
        let facts = self.facts;
        let mut kernel = json!({
            "release": facts.release,
            "arch": facts.arch,
            "page_size": facts.page_size,
        });
        let refused = self.types.found.refused.iter();
        let refused = refused.map(|file| json!({ "path": file.path.to_string_lossy(), "reason": file.why }));
        kernel["btf_file"] = json!(self.types.file().map(|file| file.path.to_string_lossy()));
        kernel["btf_files_refused"] = refused.collect();
        let mut add = |key: &str, fact: Fact<Value>| {
            kernel[key] = match fact {
                Fact::Known(value) => value,
                Fact::Unknown(why) => {
                    unknown.insert(format!("kernel.{key}"), why.into());
                    Value::Null
                }
            };
        };
        let path =
            |path: Option<std::path::PathBuf>| json!(path.map(|path| path.to_string_lossy().into_owned()));
        add("btf", facts.btf.clone().map(|btf| json!(matches!(btf, BtfSource::Kernel(_)))));
        add("kprobes", facts.kprobes.clone().map(Value::from));
        add("lsm", facts.lsm.clone().map(Value::from));
        add("lockdown", facts.lockdown.clone().map(|mode| lockdown_name(mode).into()));
        add("tracefs", facts.tracefs.clone().map(path));
        add("cgroup2", facts.cgroup2.clone().map(path));
        add("unprivileged_bpf_disabled", facts.unprivileged_bpf_disabled.clone().map(Value::from));
        add("perf_event_paranoid", facts.perf_event_paranoid.clone().map(Value::from));
        add("bpf_jit_enable", facts.bpf_jit_enable.clone().map(Value::from));
        add("ftrace_enabled", facts.ftrace_enabled.clone().map(Value::from));
        add("initial_pid_ns", facts.initial_pid_ns.clone().map(Value::from));
        if let Err(error) = self.config {
            unknown.insert("options".into(), error.to_string().into());
        }
        kernel
    }

    fn options(&self) -> Vec<Value> {
        let row = |row: &crate::kernel::config::OptionRow| {
            json!({
                "name": row.name,
                "value": self.config.ok().map(|config| config.get(row.name).to_string()),
                "need": match row.need { Need::Essential => "essential", Need::Wanted => "wanted" },
                "wanted_by": row.wanted_by,
                "lost_without": row.lost,
            })
        };
        OPTIONS.iter().map(row).collect()
    }

    /// What a person can do, each thing once: what the trials proposed, and
    /// what the facts alone show. Nothing if all is at its best.
    pub fn remedies(&self) -> Vec<String> {
        if self.exit_status() == ExitStatus::Ok {
            return Vec::new();
        }
        let mut all: Vec<String> = Vec::new();
        let proposed = self.sensors.iter().flat_map(|sensor| sensor.remedy.iter().cloned());
        for remedy in proposed.chain(remedies(self.facts, self.config.ok(), self.types)) {
            if !all.contains(&remedy) {
                all.push(remedy);
            }
        }
        all
    }
}

/// What the facts show can be mended, as sentences for people. An unknown fact proposes nothing.
pub fn remedies(facts: &Facts, config: Option<&KernelConfig>, types: &Types) -> Vec<String> {
    let mut out = Vec::new();
    if facts.lockdown == Fact::Known(Lockdown::Confidentiality) {
        out.push(
            "The kernel is locked down against reading its memory: boot it without lockdown=confidentiality \
             (integrity is no hindrance)."
                .to_owned(),
        );
    }
    if facts.btf == Fact::Known(BtfSource::Missing) && types.file().is_none() {
        let install = match types.missing.is_empty() {
            true => "Run".to_owned(),
            false => format!("Install {} and run", btf_build::packages(&types.missing)),
        };
        out.push(format!(
            "{install} `bee-trace btf build`: it makes the kernel's types, which are not built in, from its \
             headers. (A kernel with CONFIG_DEBUG_INFO_BTF=y, as Debian's and Ubuntu's are, wants no such file.)"
        ));
    }
    if facts.kprobes == Fact::Known(false) {
        out.push("Boot a kernel built with CONFIG_KPROBES=y; Debian's and Raspberry Pi OS's are.".to_owned());
    }
    match (&facts.lsm, config.map(|config| config.get("BPF_LSM"))) {
        (Fact::Known(names), Some(Setting::Yes)) if !names.iter().any(|name| name == "bpf") => {
            // `capability` is always first and not named on the command line.
            let names: Vec<_> =
                names.iter().map(String::as_str).filter(|name| *name != "capability").collect();
            let list = [&names[..], &["bpf"]].concat().join(",");
            out.push(format!(
                "Add lsm={list} to the kernel command line and boot again: the kernel has the BPF security \
                 module, but it is not active."
            ));
        }
        (_, Some(Setting::No)) => out.push(
            "Boot a kernel built with CONFIG_BPF_LSM=y; Debian's and Ubuntu's are, Raspberry Pi OS's is not."
                .to_owned(),
        ),
        _ => {}
    }
    if facts.bpf_jit_enable == Fact::Known(0) {
        out.push("Let the kernel compile BPF programs: sysctl net.core.bpf_jit_enable=1".to_owned());
    }
    if facts.ftrace_enabled == Fact::Known(0) {
        out.push("Let functions be traced: sysctl kernel.ftrace_enabled=1".to_owned());
    }
    if facts.initial_pid_ns == Fact::Known(false) {
        out.push("Run in the host's pid namespace (docker run --pid=host): process numbers in events are the host's.".to_owned());
    }
    out
}

pub(crate) fn lockdown_name(mode: Lockdown) -> &'static str {
    match mode {
        Lockdown::None => "none",
        Lockdown::Integrity => "integrity",
        Lockdown::Confidentiality => "confidentiality",
    }
}

fn sensor_json(sensor: &SensorReport) -> Value {
    let why: Vec<_> = sensor
        .why_not_better
        .iter()
        .map(|(tier, reason)| json!({ "tier": tier, "reason": reason }))
        .collect();
    json!({
        "sensor": sensor.sensor,
        "tier": sensor.tier,
        "at_best": sensor.at_best(),
        "mechanism": sensor.mechanism,
        "lost": sensor.lost,
        "why_not_better": why,
        "remedy": sensor.remedy,
    })
}
