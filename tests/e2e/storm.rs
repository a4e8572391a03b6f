//! Numbered opens beside a storm of other work: each number once, and no noise.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::harness::{Abi, Daemon, Fixture, Run};

/// Ended, with all it started, when dropped.
struct Storm(Vec<Child>);

impl Drop for Storm {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let group = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
            let _ = child.wait();
        }
    }
}

fn start(script: &str) -> Child {
    use std::os::unix::process::CommandExt as _;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.process_group(0).spawn().unwrap()
}

/// The processes `roots` and all they started, by the fork events.
fn descendants(run: &Run, mut family: HashSet<u64>) -> HashSet<u64> {
    for fork in run.action("fork") {
        if fork.number("process.parent.pid").is_some_and(|parent| family.contains(&parent)) {
            family.extend(fork.pid());
        }
    }
    family
}

#[test]
fn root_every_number_arrives_once_and_nothing_else() {
    const NUMBERS: usize = 1999;
    let fixture = Fixture::new();
    for number in 0..NUMBERS {
        fixture.write(&format!("numbers/.env.{number:05}"), "x");
    }
    // A build that opens, makes, renames and removes many files and starts many programs.
    fixture.write(
        "crate/Cargo.toml",
        "[package]\nname = \"storm\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n",
    );
    fixture.write(
        "crate/src/main.rs",
        "fn main() { println!(\"{:?}\", std::env::args().collect::<Vec<_>>()); }\n",
    );
    // The toolchain's own cargo, in a home of its own: sudo may have changed ours.
    let cargo = Path::new(env!("CARGO"));
    let dir = fixture.dir.display();
    let build = format!(
        "export CARGO_HOME={dir}/cargo-home RUSTC={}; cd {dir}/crate && while :; do {} build --offline --quiet; rm -rf target; done",
        cargo.with_file_name("rustc").display(),
        cargo.display(),
    );

    let daemon = Daemon::start_scanned(&fixture, &[]);
    let storm = Storm(vec![
        start("while :; do find / -xdev -type f -newer /etc/hostname; done"),
        start(&build),
        start("while :; do cat /etc/passwd /etc/hosts; ls -l /usr/bin; done"),
    ]);
    let dir = fixture.dir.join("numbers");
    let mut openers = Vec::new();
    for (abi, share) in Abi::all().into_iter().zip([(0, 1000), (1000, 999)]) {
        let (first, count) = (share.0.to_string(), share.1.to_string());
        openers.push(fixture.trigger("numbers", abi).args([&dir]).args([&first, &count, "2000"]).spawn());
    }
    let done: Vec<_> = openers.into_iter().map(|opener| opener.finish()).collect();
    let roots = storm.0.iter().map(|child| child.id().into()).collect();
    drop(storm);
    let run = daemon.stop();

    let mut seen = BTreeMap::new();
    let prefix = format!("{}/", dir.display());
    for event in done.iter().flat_map(|ran| run.files(ran)) {
        assert_eq!(event.action(), "open", "{event}");
        let name = event.text("file.path").strip_prefix(&prefix).unwrap_or_else(|| panic!("{event}"));
        *seen.entry(name.to_owned()).or_insert(0) += 1;
    }
    let wanted: usize = done.iter().map(|ran| usize::try_from(ran.acts[0].0).unwrap()).sum();
    assert_eq!(seen.len(), wanted, "numbers are missing");
    assert!(seen.values().all(|times| *times == 1), "numbers came twice");
    // The storm opened thousands of files, and nobody watches one of them.
    let family = descendants(&run, roots);
    let rustc = run.action("exec").filter(|event| event.text("process.name") == "rustc");
    assert!(rustc.count() > 1, "the build did not run");
    for event in run.events.iter().filter(|event| event.text("bee.sensor") == "file") {
        let of_storm = event.pid().is_some_and(|pid| family.contains(&pid));
        assert!(!of_storm, "nobody asked about this: {event}");
    }
    assert_eq!(run.lost("open"), 0, "opens were lost");
}
