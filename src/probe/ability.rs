//! What kinds of hooks this kernel has at all, found out once by the smallest trial
//! there is of each: a program of two instructions, loaded and attached. Without it
//! each of some thirty hooks would be refused one by one, and each refusal costs a
//! load of the whole object.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::OnceLock;

use libbpf_rs::libbpf_sys;

use super::{calls, types};

/// There since 4.17 where there are kprobes: perf_event_open(2), dynamic PMUs.
const KPROBES: &str = "/sys/bus/event_source/devices/kprobe/type";
/// Hooks to attach to for a moment, that of the kernel's own function for tests first.
pub(super) const TRIALS: &[&str] =
    &["fentry/bpf_fentry_test1", "fentry/finalize_exec", "fentry/security_path_notify"];

/// Why a hook cannot be had here, in words; `None`: it is worth trying.
pub fn missing(hook: &str) -> Option<&'static str> {
    static TRAMPOLINES: OnceLock<Option<String>> = OnceLock::new();
    static FUNCTION_PROBES: OnceLock<Option<String>> = OnceLock::new();
    calls::missing(hook).or_else(|| match hook.split('/').next()? {
        "fentry" | "fexit" | "lsm" => match TRAMPOLINES.get_or_init(trampolines) {
            Some(why) => Some(why.as_str()),
            None => unknown(hook, "this kernel has no such function"),
        },
        "tp_btf" => unknown(hook, "this kernel has no such tracepoint"),
        "kprobe" | "kretprobe" => FUNCTION_PROBES.get_or_init(kprobes).as_deref(),
        _ => None,
    })
}

/// Why there is no number to attach it by: `otherwise`, or there are no types at all.
fn unknown(hook: &str, otherwise: &'static str) -> Option<&'static str> {
    match types::kernel() {
        Ok(kernel) => kernel.number(hook).is_none().then_some(otherwise),
        Err(why) => Some(why),
    }
}

fn kprobes() -> Option<String> {
    (!Path::new(KPROBES).exists()).then(|| "this kernel has no kprobes (CONFIG_KPROBE_EVENTS)".to_owned())
}

/// Why tracing programs do not attach here.
fn trampolines() -> Option<String> {
    // A kernel that allows none says so before it looks at the number of the function.
    if matches!(load(1), Err(libc::EPERM)) {
        return Some("this kernel refuses tracing programs".to_owned());
    }
    let kernel = match types::kernel() {
        Ok(kernel) => kernel,
        Err(why) => return Some(why.to_owned()),
    };
    let Some(number) = TRIALS.iter().find_map(|hook| kernel.number(hook)) else {
        return Some("none of the functions to try it on is in the kernel's types".to_owned());
    };
    let program = match load(number) {
        Ok(program) => program,
        Err(errno) => return Some(format!("the kernel refuses tracing programs: {}", words(errno))),
    };
    // SAFETY: no name and a descriptor that is open: BPF_RAW_TRACEPOINT_OPEN of bpf(2).
    let link = unsafe { libbpf_sys::bpf_raw_tracepoint_open(std::ptr::null(), program.as_raw_fd()) };
    match owned(link) {
        Ok(_attached) => None,
        // arm64 before 6.4 loads and does not attach: kernel commit 2aa6ac03516d.
        Err(errno) => Some(format!("the kernel cannot attach tracing programs: {}", words(errno))),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_words_and_a_descriptor_is_ours() {
        assert!(words(524).contains("before Linux 6.4"), "{}", words(524));
        assert!(words(libc::EINVAL).contains("Invalid argument"));
        assert_eq!(owned(-libc::EPERM).unwrap_err(), libc::EPERM);
        let file = std::fs::File::open("/dev/null").unwrap();
        let number = std::os::fd::IntoRawFd::into_raw_fd(file);
        assert_eq!(owned(number).unwrap().as_raw_fd(), number);
    }

    #[test]
    fn what_is_missing_is_said_in_words() {
        assert_eq!(missing("raw_tp/sys_exit"), None);
        let tracepoint = missing("tp_btf/of_no_kernel").unwrap();
        let function = missing("fexit/of_no_kernel").unwrap();
        // Without types it is these that are missing, without trampolines those.
        let types = types::kernel().is_ok();
        assert_eq!(tracepoint.contains("no such tracepoint"), types, "{tracepoint}");
        assert!(!function.is_empty());
        assert_eq!(missing("kprobe/vfs_read").is_some(), !Path::new(KPROBES).exists());
    }
}
