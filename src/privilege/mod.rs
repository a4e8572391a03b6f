//! What the daemon may do: what it needs to start, how it lets go of all of
//! it, and the proof that it has. Nothing here knows of events, sensors or the
//! configuration; nothing here logs.
//!
//! The order is fixed: [`missing`] → [`ensure_user`] → (load, attach, fork the
//! scanner) → [`lock_down`] → start threads. See `docs/adr/0002-privileges.md`.

mod account;
mod drop;
pub mod seccomp;
pub mod selftest;
pub mod status;

use caps::{CapSet, Capability};

pub use account::{Account, ensure_user};
pub use drop::{drop_all, needs_cap_bpf};
pub(crate) use drop::{fork_child, reduce};
pub use selftest::Proof;

use crate::error::{Error, ExitStatus, Result};

/// A capability that starting needs.
pub struct Need {
    capability: Capability,
    /// As in capabilities(7).
    pub name: &'static str,
    /// What it is for, completing "needed to …".
    pub why: &'static str,
    when: When,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    /// `CAP_SYS_ADMIN` does as well: `bpf_capable()` and `perfmon_capable()` (include/linux/capability.h).
    NotAdmin,
    /// Only root has a user to change from.
    Root,
}

/// Everything starting needs. `CAP_NET_ADMIN` is not in it: without it the programs that attach to
/// the root cgroup are refused, which `bee-trace check` tells, and all others work.
pub const NEEDS: &[Need] = &[
    need(Capability::CAP_BPF, "CAP_BPF", "load eBPF programs and make maps", When::NotAdmin),
    need(Capability::CAP_PERFMON, "CAP_PERFMON", "read kernel memory from eBPF programs", When::NotAdmin),
    need(
        Capability::CAP_DAC_READ_SEARCH,
        "CAP_DAC_READ_SEARCH",
        "read tracefs, and find watched files in directories only root can search",
        When::Always,
    ),
    need(
        Capability::CAP_SYS_PTRACE,
        "CAP_SYS_PTRACE",
        "learn from /proc which programs already run",
        When::Always,
    ),
    need(Capability::CAP_SETPCAP, "CAP_SETPCAP", "empty the bounding set when letting go", When::Always),
    need(Capability::CAP_SETUID, "CAP_SETUID", "change from root to the daemon's own user", When::Root),
    need(Capability::CAP_SETGID, "CAP_SETGID", "change from root to the daemon's own group", When::Root),
];

const fn need(capability: Capability, name: &'static str, why: &'static str, when: When) -> Need {
    Need { capability, name, why, when }
}

/// The names of the capabilities that starting needs and that are not in the
/// effective set of this thread. Empty: go on.
pub fn missing() -> Vec<&'static str> {
    let has = caps::read(None, CapSet::Effective).unwrap_or_default();
    let root = nix::unistd::geteuid().is_root();
    missing_from(&has, root).map(|need| need.name).collect()
}

fn missing_from(has: &caps::CapsHashSet, root: bool) -> impl Iterator<Item = &'static Need> {
    let admin = has.contains(&Capability::CAP_SYS_ADMIN);
    NEEDS.iter().filter(move |need| {
        let wanted = match need.when {
            When::Always => true,
            When::NotAdmin => !admin,
            When::Root => root,
        };
        wanted && !has.contains(&need.capability)
    })
}

/// One message that names everything [`missing`] and what to do; exit status 77.
///
/// # Errors
/// When something is missing.
pub fn require() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> = NEEDS
        .iter()
        .filter(|need| missing.contains(&need.name))
        .map(|need| format!("{} (to {})", need.name, need.why))
        .collect();
    Err(Error::new(
        ExitStatus::NotPermitted,
        format!(
            "not permitted to watch this machine: missing {}. Run it with sudo; in a container add \
             these with --cap-add",
            reasons.join(", ")
        ),
    ))
}

/// Lets go of everything for good and proves it: [`drop_all`], the seccomp
/// filter, the state of every thread, and each forbidden act tried.
///
/// # Errors
/// When a step fails or when one act was not refused; the process must then
/// end, for it may be half way between.
pub fn lock_down(account: &Account, keep_bpf: bool) -> Result<Vec<Proof>> {
    drop_all(account, keep_bpf)?;
    seccomp::install(seccomp::DAEMON)?;
    status::verify_all_threads(keep_bpf)?;
    let proofs = selftest::prove();
    let open: Vec<String> = proofs
        .iter()
        .filter(|proof| !proof.refused)
        .map(|proof| format!("{} ({})", proof.what, proof.detail))
        .collect();
    if open.is_empty() {
        return Ok(proofs);
    }
    Err(Error::failure(format!(
        "letting go of privileges did not work: this process could still {}",
        open.join("; ")
    )))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(has: &[Capability], root: bool) -> Vec<&'static str> {
        missing_from(&has.iter().copied().collect(), root).map(|need| need.name).collect()
    }

    #[test]
    fn an_ordinary_user_lacks_all_but_the_change_of_user() {
        assert_eq!(
            names(&[], false),
            ["CAP_BPF", "CAP_PERFMON", "CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_SETPCAP"]
        );
    }

    #[test]
    fn sys_admin_stands_for_bpf_and_perfmon_only() {
        assert_eq!(
            names(&[Capability::CAP_SYS_ADMIN], false),
            ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_SETPCAP"]
        );
    }

    #[test]
    fn root_in_a_container_without_setuid_is_told() {
        let has: Vec<_> = NEEDS.iter().map(|need| need.capability).collect();
        assert!(names(&has, true).is_empty());
        let has: Vec<_> = has.into_iter().filter(|cap| *cap != Capability::CAP_SETUID).collect();
        assert_eq!(names(&has, true), ["CAP_SETUID"]);
        assert!(names(&has, false).is_empty());
    }

    #[test]
    fn names_are_those_of_the_crate() {
        for need in NEEDS {
            assert_eq!(need.name, need.capability.to_string());
        }
    }
}
