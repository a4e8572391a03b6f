//! What the kernel holds: eBPF objects and its own log.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use libbpf_rs::libbpf_sys;

/// Kind, id and name of every eBPF object of this kernel.
pub type Objects = BTreeSet<(&'static str, u32)>;

/// All of them now. By their numbers alone: to open one for a moment is to take part in its life,
/// and the kernel (6.18) never frees a PROG_ARRAY that is opened and closed again while it is
/// being emptied after its last user's end.
pub fn objects() -> Objects {
    let kinds: [(&str, unsafe extern "C" fn(u32, *mut u32) -> i32); 3] = [
        ("prog", libbpf_sys::bpf_prog_get_next_id),
        ("map", libbpf_sys::bpf_map_get_next_id),
        ("link", libbpf_sys::bpf_link_get_next_id),
    ];
    let mut found = Objects::new();
    for (kind, next) in kinds {
        let mut id = 0;
        // SAFETY: the second argument is a number that is written to.
        while unsafe { next(id, &raw mut id) } == 0 {
            found.insert((kind, id));
        }
    }
    found
}

/// As `objects`, when what was made for a moment, as libbpf does at a start, is gone: the kernel frees
/// some of it a grace period after its last use.
pub fn settled() -> Objects {
    let mut before = objects();
    loop {
        std::thread::sleep(super::patience(1) / 5);
        let now = objects();
        if now == before {
            return now;
        }
        before = now;
    }
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
