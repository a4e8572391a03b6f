//! Starting and stopping: exit statuses, what is said, what is left.

use nix::sys::signal::Signal;

use crate::harness::{Daemon, Fixture, bee_traced};

/// Exit status and standard error of a daemon that does not get to run.
fn refused(arguments: &[&str]) -> (i32, String) {
    let output = bee_traced().args(arguments).output().unwrap();
    let code = output.status.code().unwrap_or_else(|| panic!("{}", output.status));
    (code, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn root_flags_that_do_not_exist_are_64() {
    for arguments in [
        &["--no-such-flag"][..],
        &["--output", "xml"],
        &["--duration", "soon"],
        &["--sensors", "smell"],
        &["--force-tier", "best"],
        &["surplus"],
    ] {
        let (code, errors) = refused(arguments);
        assert_eq!(code, 64, "{arguments:?}: {errors}");
        assert!(!errors.is_empty(), "{arguments:?} said nothing");
    }
}

#[test]
fn root_a_wrong_configuration_is_78_with_all_its_errors() {
    let fixture = Fixture::new();
    let wrong = fixture.write(
        "wrong/config.toml",
        "[sensors]\nfile = \"yes\"\n[limits]\ninodes = -1\nbogus = 3\n[nonsense]\nx = 1\n",
    );
    for arguments in [&["--check-config"][..], &[]] {
        let arguments = [&["--config", wrong.to_str().unwrap()], arguments].concat();
        let (code, errors) = refused(&arguments);
        assert_eq!(code, 78, "{errors}");
        for word in ["config.toml", "file", "inodes", "bogus", "nonsense"] {
            assert!(errors.contains(word), "{word} is not named: {errors}");
        }
    }
    let (code, errors) = refused(&["--config", "/nowhere/config.toml"]);
    assert_eq!(code, 78, "{errors}");
    assert!(errors.contains("/nowhere/config.toml"), "{errors}");
}

#[test]
fn root_the_shipped_configuration_is_right() {
    let fixture = Fixture::new();
    let (code, errors) = refused(&["--config", fixture.config().to_str().unwrap(), "--check-config"]);
    assert_eq!(code, 0, "{errors}");
}

#[test]
fn root_both_signals_stop_it_cleanly() {
    let fixture = Fixture::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut daemon = Daemon::start(&fixture, &[]);
        daemon.signal(signal);
        let status = daemon.wait(10);
        daemon.finish(status);
    }
}

#[test]
fn root_a_duration_ends_it_by_itself() {
    let fixture = Fixture::new();
    let mut daemon = Daemon::start(&fixture, &["--duration", "1"]);
    let status = daemon.wait(10);
    daemon.finish(status);
}

#[test]
fn root_it_runs_with_one_sensor_only() {
    let fixture = Fixture::new();
    for (sensor, other) in [("file", "process"), ("process", "file")] {
        let daemon = Daemon::start(&fixture, &["--sensors", sensor]);
        for path in ["/etc/shadow", "/etc/gshadow"] {
            let status = std::process::Command::new("cat").arg(path).output().unwrap().status;
            assert!(status.success());
        }
        let run = daemon.stop();
        assert!(
            run.events.iter().any(|event| event.text("bee.sensor") == sensor),
            "{sensor} alone saw nothing"
        );
        assert!(!run.events.iter().any(|event| event.text("bee.sensor") == other), "{other} was off");
    }
}

#[test]
fn root_the_daemon_never_reports_itself() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let pid = daemon.pid();
    let run = daemon.stop();
    let own = run.of(pid).count();
    assert_eq!(own, 0, "the daemon reported itself");
    let own = |event: &&crate::harness::Event| event.number("process.parent.pid") == Some(pid.into());
    if let Some(event) = run.events.iter().find(own) {
        panic!("the daemon reported its own child: {event}");
    }
}

#[test]
fn root_a_closed_output_does_not_bring_it_down() {
    use std::io::{BufRead as _, BufReader};
    let fixture = Fixture::new();
    let log = fixture.dir.join("closed.log");
    let mut child = bee_traced()
        .arg("--config")
        .arg(fixture.config())
        .args(["--output", "json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("\"start\"")));
    drop(lines);
    // A sink that fails is named, and is not the end of watching.
    crate::harness::wait_for("word of the broken pipe", 20, || {
        assert!(std::process::Command::new("true").status().unwrap().success());
        std::thread::sleep(std::time::Duration::from_millis(100));
        let log = std::fs::read_to_string(&log).unwrap().to_lowercase();
        child.try_wait().unwrap().is_some() || log.contains("output") || log.contains("pipe")
    });
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    if child.try_wait().unwrap().is_none() {
        nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
    }
    let status = child.wait().unwrap();
    assert!(status.code().is_some(), "it was ended by a signal: {status}");
}
