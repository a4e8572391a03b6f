//! What the kernel holds: eBPF objects and its own log.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use libbpf_rs::query::{LinkInfoIter, MapInfoIter, ProgInfoIter};

/// Kind, id and name of every eBPF object of this kernel.
pub type Objects = BTreeSet<(&'static str, u32)>;

/// All of them now.
pub fn objects() -> Objects {
    let programs = ProgInfoIter::default().map(|info| ("prog", info.id));
    let maps = MapInfoIter::default().map(|info| ("map", info.id));
    let links = LinkInfoIter::default().map(|info| ("link", info.id));
    programs.chain(maps).chain(links).collect()
}

/// Objects that some process on this machine holds open: another program's, not ours to judge.
fn held() -> Objects {
    let mut held = Objects::new();
    let Ok(processes) = fs::read_dir("/proc") else { return held };
    let directories = processes.flatten().map(|process| process.path().join("fdinfo"));
    for entry in directories.filter_map(|path| fs::read_dir(path).ok()).flatten().flatten() {
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let kind = match key {
                "prog_id" => "prog",
                "map_id" => "map",
                "link_id" => "link",
                _ => continue,
            };
            held.extend(value.trim().parse().ok().map(|id| (kind, id)));
        }
    }
    held
}

/// What is there now, was not `before`, and no living process holds. The kernel frees some
/// objects a grace period later, so this waits a little before it says so.
pub fn left_since(before: &Objects) -> Objects {
    let end = Instant::now() + super::patience(5);
    loop {
        let left: Objects = objects().difference(before).copied().collect();
        let left: Objects = left.difference(&held()).copied().collect();
        if left.is_empty() || Instant::now() > end {
            return left;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs `act` and gives what it left in the kernel.
pub fn objects_left(act: impl FnOnce()) -> Objects {
    let before = objects();
    act();
    left_since(&before)
}

/// The kernel's log, line by line.
pub fn dmesg() -> Vec<String> {
    let output = Command::new("dmesg").output().unwrap();
    assert!(output.status.success(), "dmesg: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
