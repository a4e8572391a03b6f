//! What kinds of hooks this kernel has at all, found out once by the smallest trial
//! there is of each: a program of two instructions, loaded and attached. Without it
//! each of some thirty hooks would be refused one by one, and each refusal costs a
//! load of the whole object.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::OnceLock;

use libbpf_rs::libbpf_sys;

use super::{FAMILIES, Family};
use crate::btf::{Btf, Kind};

const BTF: &str = "/sys/kernel/btf/vmlinux";
/// There since 4.17 where there are kprobes: perf_event_open(2), dynamic PMUs.
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe/type";
/// Functions to attach to for a moment, the kernel's own one for tests first.
const FUNCTIONS: &[&str] = &["bpf_fentry_test1", "finalize_exec", "security_path_notify"];

/// Why a hook cannot be had here, in words; `None`: it is worth trying.
pub fn missing(hook: &str) -> Option<&'static str> {
    static TRAMPOLINES: OnceLock<Result<HashSet<Vec<u8>>, String>> = OnceLock::new();
    static FUNCTION_PROBES: OnceLock<Option<String>> = OnceLock::new();
    let (kind, function) = hook.split_once('/')?;
    match kind {
        "fentry" | "fexit" | "lsm" => match TRAMPOLINES.get_or_init(trampolines) {
            Err(why) => Some(why),
            Ok(functions) => {
                let prefix = if kind == "lsm" { "bpf_lsm_" } else { "" };
                let there = functions.contains(format!("{prefix}{function}").as_bytes());
                (!there).then_some("this kernel has no such function")
            }
        },
        "kprobe" | "kretprobe" => FUNCTION_PROBES.get_or_init(kprobes).as_deref(),
        _ => None,
    }
}

fn kprobes() -> Option<String> {
    (!Path::new(KPROBES).exists()).then(|| "this kernel has no kprobes (CONFIG_KPROBE_EVENTS)".to_owned())
}

/// The names of the functions that have a type, if tracing programs attach at all.
fn trampolines() -> Result<HashSet<Vec<u8>>, String> {
    // A kernel that allows none says so before it looks at the number of the function.
    if matches!(load(1), Err(libc::EPERM)) {
        return Err("this kernel refuses tracing programs".to_owned());
    }
    let types = std::fs::read(BTF)
        .map_err(|_| "this kernel has no types of its own (CONFIG_DEBUG_INFO_BTF)".to_owned())?;
    let btf = Btf::parse(&types).map_err(|why| format!("the kernel's types cannot be read: {why}"))?;
    let functions = (1..=btf.last()).filter_map(|id| {
        let one = btf.get(id)?;
        (one.kind == Kind::Function).then(|| (btf.name(one.name()), id))
    });
    let functions: HashMap<&[u8], u32> = functions.collect();
    let id = FUNCTIONS
        .iter()
        .find_map(|name| functions.get(name.as_bytes()))
        .ok_or_else(|| "none of the functions to try it on is in the kernel's types".to_owned())?;
    let program =
        load(*id).map_err(|errno| format!("the kernel refuses tracing programs: {}", words(errno)))?;
    // SAFETY: no name and a descriptor that is open: BPF_RAW_TRACEPOINT_OPEN of bpf(2).
    let link = unsafe { libbpf_sys::bpf_raw_tracepoint_open(std::ptr::null(), program.as_raw_fd()) };
    // arm64 before 6.4 loads and does not attach: kernel commit 2aa6ac03516d.
    owned(link).map_err(|errno| format!("the kernel cannot attach tracing programs: {}", words(errno)))?;
    let wanted = |name: &[u8]| {
        let name = name.strip_prefix(b"bpf_lsm_").unwrap_or(name);
        FAMILIES
            .iter()
            .flat_map(Family::variants)
            .any(|(_, variant)| variant.hook.split_once('/').is_some_and(|hook| hook.1.as_bytes() == name))
    };
    Ok(functions.into_keys().filter(|name| wanted(name)).map(<[u8]>::to_vec).collect())
}

fn words(errno: i32) -> String {
    match errno {
        // ENOTSUPP of linux/errno.h, which user space has no word for.
        524 => "not supported on this architecture before Linux 6.4 (error 524)".to_owned(),
        _ => std::io::Error::from_raw_os_error(errno).to_string(),
    }
}

/// A program at the entry of a function that does nothing.
fn load(function: u32) -> Result<OwnedFd, i32> {
    // r0 = 0; exit
    const CODE: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let mut options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as _,
        attempts: 1,
        expected_attach_type: libbpf_sys::BPF_TRACE_FENTRY,
        attach_btf_id: function,
        ..Default::default()
    };
    const _: () = assert!(size_of::<libbpf_sys::bpf_insn>() == 8);
    // SAFETY: two C strings, two whole instructions (linux/bpf.h, struct bpf_insn), and options
    // whose size is said; all of them live across the call.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_TRACING,
            c"bee_ability".as_ptr(),
            c"GPL".as_ptr(),
            CODE.as_ptr().cast(),
            CODE.len() as _,
            &mut options,
        )
    };
    owned(fd)
}

/// libbpf gives a descriptor or a negative errno.
fn owned(fd: RawFd) -> Result<OwnedFd, i32> {
    if fd < 0 {
        return Err(-fd);
    }
    // SAFETY: the kernel has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
