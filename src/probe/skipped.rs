//! Runs of programs the kernel skipped. It never runs a program while another task of
//! the same CPU is in the middle of it, which happens where programs can be preempted
//! (trampolines since 5.14, tracepoints since 7.0), and counts that for each program
//! (`recursion_misses` of `struct bpf_prog_info`, since 5.12). What the run would have
//! reported, if anything, is lost.

use std::os::fd::{AsRawFd, OwnedFd};

use libbpf_rs::libbpf_sys;

/// How often any of these programs was skipped since it was loaded. Needs no privilege;
/// one whose kernel does not count has 0.
pub fn skipped(programs: &[OwnedFd]) -> u64 {
    programs.iter().map(one).sum()
}

fn one(program: &OwnedFd) -> u64 {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut length = u32::try_from(size_of_val(&info)).unwrap_or(0);
    // SAFETY: the descriptor is open, and `info` is all zero (no buffers asked for) and as long as
    // said; the kernel fills what it knows of it (BPF_OBJ_GET_INFO_BY_FD of bpf(2)).
    let failed = unsafe {
        libbpf_sys::bpf_obj_get_info_by_fd(program.as_raw_fd(), (&raw mut info).cast(), &mut length)
    };
    if failed == 0 { info.recursion_misses } else { 0 }
}
