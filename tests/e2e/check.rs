//! `bee-trace check` and `bee-trace config`.

use bee_trace::probe::BLIND;
use serde_json::Value;

use crate::harness::{Fixture, bee_trace, tier};

/// Kernel options that `check` must speak of.
const OPTIONS: [&str; 9] = [
    "BPF",
    "BPF_SYSCALL",
    "BPF_JIT",
    "HAVE_EBPF_JIT",
    "BPF_EVENTS",
    "DEBUG_INFO_BTF",
    "DEBUG_INFO_BTF_MODULES",
    "KPROBES",
    "TRACEPOINTS",
];

#[test]
fn root_check_says_what_there_is_and_what_is_not() {
    let output = bee_trace().arg("check").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let code = output.status.code().unwrap();
    assert!([0, 1, 69].contains(&code), "{code}: {text}");
    for word in ["process", "file"].iter().chain(&OPTIONS) {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
    let tiers = ["full", "kprobe", "tracepoint", "portable"];
    assert!(tiers.iter().any(|tier| text.contains(tier)), "no tier in:\n{text}");
}

#[test]
fn root_check_for_machines() {
    let output = bee_trace().args(["check", "--json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
    assert!(value.is_object(), "{text}");
    for option in OPTIONS {
        assert!(
            text.contains(&format!("\"CONFIG_{option}\"")) || text.contains(&format!("\"{option}\"")),
            "{option}: {text}"
        );
    }
    assert!([0, 1, 69].contains(&output.status.code().unwrap()));
}

/// docs/blind-spots.md and this report are made of one table.
#[test]
fn root_check_names_every_blind_spot_of_its_tiers() {
    let output = bee_trace().args(["check", "--json"]).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sensors = value["sensors"].as_array().unwrap();
    assert!(!sensors.is_empty(), "{value}");
    for sensor in sensors {
        let lost: Vec<_> =
            sensor["lost"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        let rows = BLIND.iter().filter(|row| sensor["sensor"] == row.0 && sensor["tier"] == row.1.name());
        assert_eq!(lost, rows.map(|row| row.2).collect::<Vec<_>>(), "{sensor}");
    }
}

#[test]
fn root_check_agrees_with_what_the_daemon_does() {
    let fixture = Fixture::new();
    let mut check = bee_trace();
    check.args(["check", "--json"]);
    if let Some(tier) = tier::forced() {
        check.args(["--force-tier", &tier]);
    }
    let output = check.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let run = crate::harness::Daemon::start(&fixture, &[]).stop();
    for event in run.events.iter().filter(|event| event.text("bee.sensor") != "bee-traced") {
        let tier = event.text("bee.tier");
        assert!(text.contains(&format!("\"{tier}\"")), "an event of tier {tier}, and check says {text}");
    }
}

#[test]
fn root_config_show_and_check() {
    let fixture = Fixture::new();
    let file = fixture.config();
    for verb in ["check", "show"] {
        let output = bee_trace().args(["config", verb]).arg(&file).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{verb}: {errors}");
    }
    let wrong = fixture.write("wrong.toml", "[limits]\ninodes = \"many\"\n");
    let output = bee_trace().args(["config", "check"]).arg(&wrong).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("wrong.toml:2") && errors.contains("inodes"), "file, line and key: {errors}");
}
