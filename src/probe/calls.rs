//! The functions of system calls, which the kernel calls by another name on each architecture
//! (`SYSCALL_DEFINE` of arch/*/include/asm/syscall_wrapper.h). The tables have one name for all.

use std::borrow::Cow;

/// What a function of a system call is called in the tables.
const NATIVE: &str = "sys_";
/// The same for 32-bit programs, where they have functions of their own.
const IA32: &str = "ia32_sys_";

#[cfg(target_arch = "x86_64")]
const PREFIX: &str = "__x64_";
#[cfg(target_arch = "aarch64")]
const PREFIX: &str = "__arm64_";

/// The kernel's name of the function a hook names: `sys_bpf` is `__x64_sys_bpf` or `__arm64_sys_bpf`.
pub(super) fn function(target: &str) -> Cow<'_, str> {
    if target.starts_with(NATIVE) {
        format!("{PREFIX}{target}").into()
    } else if target.starts_with(IA32) {
        format!("__{target}").into()
    } else {
        target.into()
    }
}

/// Why this architecture has no such function; `None`: it may have it.
pub(super) fn missing(hook: &str) -> Option<&'static str> {
    let (_, target) = hook.split_once('/')?;
    (target.starts_with(IA32) && !cfg!(target_arch = "x86_64"))
        .then_some("on this architecture 32-bit programs come by the same function as others")
}

/// The function of a kprobe or a return probe whose name libbpf does not know, and whether it is
/// a return probe.
pub(super) fn probed(hook: &str) -> Option<(bool, Cow<'_, str>)> {
    let (kind, target) = hook.split_once('/')?;
    let returns = match kind {
        "kprobe" => false,
        "kretprobe" => true,
        _ => return None,
    };
    match function(target) {
        Cow::Owned(function) => Some((returns, function.into())),
        Cow::Borrowed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_system_calls_have_the_name_of_this_architecture() {
        let native = if cfg!(target_arch = "x86_64") { "__x64_sys_bpf" } else { "__arm64_sys_bpf" };
        assert_eq!(function("sys_bpf"), native);
        assert_eq!(function("ia32_sys_bpf"), "__ia32_sys_bpf");
        assert_eq!(function("do_adjtimex"), "do_adjtimex");
        assert_eq!(probed("kretprobe/sys_bpf"), Some((true, native.into())));
        assert_eq!(probed("kprobe/ia32_sys_bpf"), Some((false, "__ia32_sys_bpf".into())));
        // libbpf finds these by itself, and a tracepoint is no function.
        assert_eq!(probed("kretprobe/do_adjtimex"), None);
        assert_eq!(probed("raw_tp/sys_exit"), None);
        assert_eq!(missing("fexit/ia32_sys_bpf").is_none(), cfg!(target_arch = "x86_64"));
        assert_eq!(missing("fexit/sys_bpf"), None);
    }
}
