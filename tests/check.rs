//! `bee-trace check`: what it says and how it ends, from given data.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::PathBuf;

use bee_trace::btf_build::Missing;
use bee_trace::btf_file::{Found, Origin, Refused, Source, TypesFile};
use bee_trace::check::{Report, SensorReport, Style, Types, remedies};
use bee_trace::error::ExitStatus;
use bee_trace::kernel::config::{self, KernelConfig, NotFound};
use bee_trace::kernel::facts::{BtfSource, Facts, Lockdown};
use bee_trace::kernel::{Fact, Places};

const PLAIN: Style = Style { width: 80, color: false };

fn facts() -> Facts {
    Facts {
        release: "6.12.48+rpt-rpi-2712".into(),
        arch: "aarch64".into(),
        page_size: 16384,
        btf: Fact::Known(BtfSource::Missing),
        lsm: Fact::Known(vec!["capability".into(), "apparmor".into()]),
        lockdown: Fact::Known(Lockdown::None),
        tracefs: Fact::Known(Some("/sys/kernel/tracing".into())),
        cgroup2: Fact::Known(None),
        kprobes: Fact::Known(true),
        unprivileged_bpf_disabled: Fact::Known(2),
        perf_event_paranoid: Fact::Known(3),
        bpf_jit_enable: Fact::Unknown("/proc/sys/net/core/bpf_jit_enable: Permission denied".into()),
        ftrace_enabled: Fact::Known(1),
        initial_pid_ns: Fact::Known(true),
        boot_id: Fact::Unknown("not asked".into()),
    }
}

/// The kernel has none, and there is no file; `missing` is not installed.
fn no_types(missing: &[&str]) -> Types {
    let missing = missing.iter().map(|package| Missing {
        what: "something".into(),
        package: (*package).into(),
        instead: None,
    });
    Types { found: Found { source: Source::Nowhere, refused: vec![] }, missing: missing.collect() }
}

/// From a file, after another one that does not do.
fn types_of_a_file() -> Types {
    let origin = Origin {
        release: "6.12.48+rpt-rpi-2712".into(),
        version: None,
        build_id: None,
        arch: "aarch64".into(),
        page_size: 16384,
        needs: String::new(),
        made_by: "bee-trace".into(),
    };
    let file = TypesFile { path: "/usr/lib/bee-traced/btf/x.btf".into(), origin, btf: vec![] };
    let refused = Refused { path: "/var/lib/bee-traced/btf/x.btf".into(), why: "made for another".into() };
    Types { found: Found { source: Source::File(file), refused: vec![refused] }, missing: vec![] }
}

fn kernel_config(name: &str, text: &str) -> Result<KernelConfig, NotFound> {
    let root = std::env::temp_dir().join(format!("bee-check-{}-{name}", std::process::id()));
    fs::create_dir_all(root.join("boot")).unwrap();
    fs::write(root.join("boot/config-1"), text).unwrap();
    let config = config::read(&Places::under(&root), "1");
    fs::remove_dir_all(root).unwrap();
    config
}

fn best(sensor: &'static str) -> SensorReport {
    SensorReport {
        sensor,
        tier: Some("full"),
        mechanism: "lsm/file_open".into(),
        lost: vec![],
        why_not_better: vec![],
        remedy: vec![],
    }
}

fn degraded() -> SensorReport {
    SensorReport {
        tier: Some("tracepoint"),
        mechanism: "tp_btf/sys_enter, tp_btf/sys_exit".into(),
        lost: vec!["an open cannot be denied".into(), "arguments are read after the call".into()],
        why_not_better: vec![("kprobe", "the kernel has no kprobes".into()), ("full", "no BPF LSM".into())],
        remedy: vec!["Boot another kernel.".into()],
        ..best("file")
    }
}

fn unusable() -> SensorReport {
    SensorReport { tier: None, mechanism: String::new(), lost: vec!["everything".into()], ..degraded() }
}

fn status(sensors: &[SensorReport]) -> ExitStatus {
    let config = kernel_config("status", "CONFIG_BPF=y\n").unwrap();
    Report { sensors, facts: &facts(), config: Ok(&config), types: &no_types(&[]) }.exit_status()
}

#[test]
fn the_exit_status_is_that_of_the_worst_unless_one_still_runs() {
    assert_eq!(status(&[best("process"), best("file")]), ExitStatus::Ok);
    assert_eq!(status(&[best("process"), degraded()]), ExitStatus::Failure);
    assert_eq!(status(&[best("process"), unusable()]), ExitStatus::Failure);
    assert_eq!(status(&[unusable()]), ExitStatus::Unavailable);
    assert_eq!(status(&[]), ExitStatus::Unavailable);
    let mut partly = best("file");
    partly.lost.push("chmod".into());
    assert_eq!(status(&[partly]), ExitStatus::Failure);
}

#[test]
fn the_text_has_every_finding_and_fits_the_terminal() {
    let config = kernel_config("text", "CONFIG_BPF=y\nCONFIG_KPROBES=m\n").unwrap();
    let sensors = [best("process"), degraded(), SensorReport { sensor: "network", ..unusable() }];
    let facts = facts();
    let report = Report { sensors: &sensors, facts: &facts, config: Ok(&config), types: &no_types(&[]) };
    for width in [60, 80, 100, 5, 1000] {
        let text = report.text(Style { width, color: false });
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width.clamp(60, 100), "{width}: {widest}\n{text}");
        assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    }
    let text = report.text(PLAIN);
    for line in [
        "bee-traced on kernel 6.12.48+rpt-rpi-2712 (aarch64, 16 KiB pages): it works, but",
        "  process                 tier full, at its best",
        "  file                    tier tracepoint",
        "    loses                 an open cannot be denied",
        "    why not kprobe        the kernel has no kprobes",
        "  network                 cannot run",
        "  - Boot another kernel.",
        "  kernel types (BTF)      no",
        "  cgroup v2               not mounted",
        "  KPROBES                 module",
        "  BPF_SYSCALL             no, wanted by every sensor",
        "                          lost: everything (no program can be loaded)",
    ] {
        assert!(text.lines().any(|found| found == line), "no line {line:?} in\n{text}");
    }
    assert_eq!(text.matches("Boot another kernel.").count(), 1, "said once:\n{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("not known: /proc/sys/net/core/bpf_jit_enable: Permission denied"), "{text}");
    assert!(!text.contains('\x1b'));
    let coloured = report.text(Style { color: true, ..PLAIN });
    assert!(coloured.contains("\x1b[31mcannot run\x1b[0m") && coloured.contains("\x1b[32mmodule\x1b[0m"));
}

#[test]
fn a_configuration_that_is_not_found_is_said_and_changes_nothing_else() {
    let missing = config::read(&Places::under("/nonexistent"), "6.1").unwrap_err();
    let (sensors, facts) = ([best("process")], facts());
    let report = Report { sensors: &sensors, facts: &facts, config: Err(&missing), types: &no_types(&[]) };
    assert_eq!(report.exit_status(), ExitStatus::Ok);
    let text = report.text(PLAIN);
    assert!(text.contains("- /nonexistent/boot/config-6.1: No such file or directory"), "{text}");
    assert!(!text.contains("What to do"), "{text}");
    let json = report.json();
    assert_eq!(json["options"][0]["value"], serde_json::Value::Null);
    assert!(json["unknown"]["options"].as_str().unwrap().contains("/boot/config-6.1"), "{json}");
}

#[test]
fn the_json_has_its_documented_keys() {
    let config = kernel_config("json", "CONFIG_BPF=y\n").unwrap();
    let (sensors, facts) = ([degraded()], facts());
    let json =
        Report { sensors: &sensors, facts: &facts, config: Ok(&config), types: &types_of_a_file() }.json();
    assert_eq!((json["status"].as_str(), json["exit_status"].as_u64()), (Some("degraded"), Some(1)));
    let sensor = &json["sensors"][0];
    assert_eq!((sensor["tier"].as_str(), sensor["at_best"].as_bool()), (Some("tracepoint"), Some(false)));
    assert_eq!(sensor["why_not_better"][1]["tier"], "full");
    assert_eq!(json["kernel"]["btf"], false);
    assert_eq!(json["kernel"]["btf_file"], "/usr/lib/bee-traced/btf/x.btf");
    assert_eq!(json["kernel"]["btf_files_refused"][0]["reason"], "made for another");
    assert_eq!(json["kernel"]["bpf_jit_enable"], serde_json::Value::Null);
    let why = json["unknown"]["kernel.bpf_jit_enable"].as_str().unwrap();
    assert!(why.ends_with("Permission denied"), "{why}");
    assert_eq!(
        (json["options"][0]["name"].as_str(), json["options"][0]["value"].as_str()),
        (Some("BPF"), Some("yes"))
    );

    // Every key is explained in the documentation.
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/check.md");
    let docs = fs::read_to_string(path).unwrap();
    let documented = |value: &serde_json::Value| {
        for key in value.as_object().unwrap().keys() {
            assert!(docs.contains(&format!("`{key}`")), "docs/check.md lacks `{key}`");
        }
    };
    for value in [
        &json,
        &json["kernel"],
        &json["kernel"]["btf_files_refused"][0],
        sensor,
        &json["options"][0],
        &sensor["why_not_better"][0],
    ] {
        documented(value);
    }
}

#[test]
fn remedies_follow_from_what_is_known() {
    let lsm = kernel_config("lsm", "CONFIG_BPF_LSM=y\n").unwrap();
    let mut facts = facts();
    let found = remedies(&facts, Some(&lsm), &no_types(&[]));
    assert!(
        found.iter().any(|text| text.starts_with("Add lsm=apparmor,bpf to the kernel command line")),
        "{found:?}"
    );
    assert!(found.iter().any(|text| text.contains("CONFIG_DEBUG_INFO_BTF=y")), "{found:?}");

    let without = kernel_config("nolsm", "CONFIG_BPF=y\n").unwrap();
    assert!(
        remedies(&facts, Some(&without), &no_types(&[])).iter().any(|text| text.contains("CONFIG_BPF_LSM=y"))
    );

    let build = |types: &Types| {
        let found = remedies(&facts, Some(&lsm), types);
        found.into_iter().find(|text| text.contains("bee-trace btf build"))
    };
    let text = build(&no_types(&["linux-headers-6.12.48+rpt-rpi-2712", "gcc"])).unwrap();
    let start = "Install linux-headers-6.12.48+rpt-rpi-2712, gcc and run `bee-trace btf build`";
    assert!(text.starts_with(start), "{text}");
    assert!(build(&no_types(&[])).unwrap().starts_with("Run `bee-trace btf build`"));
    assert_eq!(build(&types_of_a_file()), None, "there are types");

    facts.btf = Fact::Unknown("x".into());
    facts.lsm = Fact::Unknown("x".into());
    facts.kprobes = Fact::Unknown("x".into());
    assert_eq!(
        remedies(&facts, Some(&lsm), &no_types(&[])),
        Vec::<String>::new(),
        "the unknown proposes nothing"
    );

    facts.kprobes = Fact::Known(false);
    facts.bpf_jit_enable = Fact::Known(0);
    facts.ftrace_enabled = Fact::Known(0);
    facts.initial_pid_ns = Fact::Known(false);
    facts.lockdown = Fact::Known(Lockdown::Confidentiality);
    let found = remedies(&facts, None, &no_types(&[])).join("\n");
    for words in
        ["CONFIG_KPROBES=y", "bpf_jit_enable=1", "ftrace_enabled=1", "--pid=host", "lockdown=confidentiality"]
    {
        assert!(found.contains(words), "no {words} in {found}");
    }
}

#[test]
fn the_text_says_where_the_types_come_from() {
    let config = kernel_config("types", "CONFIG_BPF=y\n").unwrap();
    let (sensors, facts, types) = ([degraded()], facts(), types_of_a_file());
    let text = Report { sensors: &sensors, facts: &facts, config: Ok(&config), types: &types }.text(PLAIN);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in [
        "kernel types (BTF) not built in; from /usr/lib/bee-traced/btf/x.btf",
        "/var/lib/bee-traced/btf/x.btf is not used: made for another",
    ] {
        assert!(words.contains(sentence), "no {sentence:?} in\n{text}");
    }
}

/// With the real facts and options of the machine the tests run on, whatever it is.
#[test]
fn this_machine_is_described() {
    let places = Places::default();
    let facts = Facts::gather(&places).unwrap();
    let config = config::read(&places, &facts.release);
    let sensors = [degraded()];
    let types = no_types(&[]);
    let report = Report { sensors: &sensors, facts: &facts, config: config.as_ref(), types: &types };
    let text = report.text(PLAIN);
    println!("{text}\n{:#}", report.json());
    assert!(text.contains(&facts.release) && text.contains("Kernel options"), "{text}");
    assert_eq!(report.json()["kernel"]["release"].as_str(), Some(facts.release.as_str()));
}
