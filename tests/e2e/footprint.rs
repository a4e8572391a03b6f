//! What the daemon takes of a small machine's memory: its own, and the kernel's for it. The shipped
//! configuration, every sensor, 2,000 watched files.

use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;

use libbpf_rs::libbpf_sys;

use crate::harness::{Daemon, Fixture, objects};

/// The daemon's own at rest, PSS: KiB.
const AT_REST: u64 = 6 * 1024;
/// At its most, which is the start: KiB of resident memory.
const PEAK: u64 = 20 * 1024;
/// The kernel's, for maps and programs: bytes.
const OBJECTS: u64 = 8 << 20;

/// The first number after `key` in a file of /proc.
fn number(file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("no {key} in {file}")).split_whitespace().next().unwrap().parse().unwrap()
}

/// What the kernel says it keeps for an object (bpf_map_show_fdinfo and bpf_prog_show_fdinfo). What was
/// only tried at the start is let go of a little later: nothing, where it is gone.
fn kept_for((kind, id): (&str, u32)) -> u64 {
    let descriptor = match kind {
        // SAFETY: no pointer is passed; a descriptor or an error comes back.
        "map" => unsafe { libbpf_sys::bpf_map_get_fd_by_id(id) },
        // SAFETY: as above.
        "prog" => unsafe { libbpf_sys::bpf_prog_get_fd_by_id(id) },
        _ => return 0,
    };
    if descriptor == -nix::libc::ENOENT {
        return 0;
    }
    assert!(descriptor >= 0, "{kind} {id}: {descriptor}");
    // SAFETY: it was just opened, for this alone.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    number(&format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd()), "memlock:")
}

#[test]
fn root_it_fits_a_small_machine() {
    let fixture = Fixture::new();
    let before = objects();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let pid = daemon.pid();
    // A kernel without CONFIG_PROC_PAGE_MONITOR tells no PSS; the peak of all that is resident holds there.
    let rollup = format!("/proc/{pid}/smaps_rollup");
    let pss = Path::new(&rollup).exists().then(|| number(&rollup, "Pss:"));
    let peak = number(&format!("/proc/{pid}/status"), "VmHWM:");
    let kept: u64 = objects().difference(&before).map(|object| kept_for(*object)).sum();
    daemon.stop().lossless();
    println!("footprint: PSS {pss:?} KiB, peak {peak} KiB, maps and programs {} KiB", kept / 1024);
    // With counters of coverage in it, a program is another one.
    if std::env::var_os("LLVM_PROFILE_FILE").is_none() {
        assert!(pss <= Some(AT_REST), "PSS {pss:?} KiB");
        assert!(peak <= PEAK, "peak {peak} KiB");
    }
    assert!(kept <= OBJECTS, "maps and programs: {kept} bytes");
}
