//! What this host offers, gathered once at start and by `bee-trace check`.
//! Each fact is read by itself, so that one that cannot be read hides no other.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{SysconfVar, sysconf};

use super::{Fact, Places, mounts, plain, read_text, text_fact, tracefs};

/// Where the kernel's type information is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BtfSource {
    /// The kernel carries it; size in bytes.
    Kernel(u64),
    /// The kernel was built without.
    Missing,
}

/// How far the kernel is locked even against root (kernel_lockdown(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Not at all.
    None,
    /// The kernel cannot be changed; reading it is allowed.
    Integrity,
    /// Nor read: kprobes, tracefs and BPF reads of kernel memory are refused.
    Confidentiality,
}

/// All facts.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `uname -r`
    pub release: String,
    /// `uname -m`; of the kernel, not of this program.
    pub arch: String,
    /// Bytes.
    pub page_size: u32,
    /// Type information.
    pub btf: Fact<BtfSource>,
    /// The active security modules, in their order.
    pub lsm: Fact<Vec<String>>,
    /// Lockdown mode.
    pub lockdown: Fact<Lockdown>,
    /// Where tracefs is mounted.
    pub tracefs: Fact<Option<PathBuf>>,
    /// Where the cgroup v2 tree is mounted.
    pub cgroup2: Fact<Option<PathBuf>>,
    /// Whether programs can be attached to kprobes.
    pub kprobes: Fact<bool>,
    /// `kernel.unprivileged_bpf_disabled`
    pub unprivileged_bpf_disabled: Fact<i32>,
    /// `kernel.perf_event_paranoid`; Debian's kernels know 3.
    pub perf_event_paranoid: Fact<i32>,
    /// `net.core.bpf_jit_enable`; 0: programs are interpreted.
    pub bpf_jit_enable: Fact<i32>,
    /// `kernel.ftrace_enabled`; 0: fentry cannot be attached.
    pub ftrace_enabled: Fact<i32>,
    /// Whether this process is in the first pid namespace, whose numbers the events carry.
    pub initial_pid_ns: Fact<bool>,
    /// The boot id as the kernel writes it.
    pub boot_id: Fact<String>,
}

impl Facts {
    /// Looks at the host. Fails only where uname or sysconf do, which they never should.
    pub fn gather(places: &Places) -> io::Result<Self> {
        let uname = nix::sys::utsname::uname()?;
        let page_size = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|size| u32::try_from(size).ok());
        let mounts = mounts::read(places)
            .map_err(|error| format!("{}: {}", places.proc.join("self/mountinfo").display(), plain(&error)));
        let place_of = |kind: &str, preferred: &str| {
            let mounts = mounts.as_ref().map_err(String::clone)?;
            let found = mounts::find(mounts, kind, Path::new(preferred));
            Ok::<_, String>(found.map(|mount| places.join(&mount.point)))
        };
        let security = match place_of("securityfs", "/sys/kernel/security") {
            Ok(Some(path)) => Ok(path),
            Ok(None) => Err("securityfs is not mounted".to_owned()),
            Err(why) => Err(why),
        };
        let sysctl = |name: &str| number(&places.proc.join("sys").join(name));
        Ok(Self {
            release: uname.release().to_string_lossy().into_owned(),
            arch: uname.machine().to_string_lossy().into_owned(),
            page_size: page_size.ok_or(io::ErrorKind::InvalidData)?,
            btf: btf(places),
            lsm: Fact::from(security.clone().and_then(|path| lsm(&path))),
            lockdown: Fact::from(security.and_then(|path| lockdown(&path))),
            tracefs: Fact::from(tracefs::find(places).map_err(|error| plain(&error))),
            cgroup2: Fact::from(place_of("cgroup2", "/sys/fs/cgroup")),
            kprobes: kprobes(places),
            unprivileged_bpf_disabled: sysctl("kernel/unprivileged_bpf_disabled"),
            perf_event_paranoid: sysctl("kernel/perf_event_paranoid"),
            bpf_jit_enable: sysctl("net/core/bpf_jit_enable"),
            ftrace_enabled: sysctl("kernel/ftrace_enabled"),
            initial_pid_ns: initial_pid_ns(places),
            boot_id: text_fact(&places.proc.join("sys/kernel/random/boot_id")),
        })
    }

    /// Whether the BPF security module is active. Its programs load and attach
    /// also where it is not, and then never run.
    pub fn bpf_lsm(&self) -> Fact<bool> {
        self.lsm.clone().map(|names| names.iter().any(|name| name == "bpf"))
    }
}

fn btf(places: &Places) -> Fact<BtfSource> {
    let path = places.sys.join("kernel/btf/vmlinux");
    match std::fs::metadata(&path) {
        Ok(file) => Fact::Known(BtfSource::Kernel(file.len())),
        // Absent is an answer only where sysfs is there to say so.
        Err(error) if error.kind() == io::ErrorKind::NotFound && places.sys.join("kernel").is_dir() => {
            Fact::Known(BtfSource::Missing)
        }
        Err(error) => Fact::Unknown(format!("{}: {}", path.display(), plain(&error))),
    }
}

fn lsm(security: &Path) -> Result<Vec<String>, String> {
    let path = security.join("lsm");
    let text = read_text(&path).map_err(|error| format!("{}: {}", path.display(), plain(&error)))?;
    Ok(text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn lockdown(security: &Path) -> Result<Lockdown, String> {
    let path = security.join("lockdown");
    let text = match read_text(&path) {
        Ok(text) => text,
        // The file belongs to the module; no module, no lockdown.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lockdown::None),
        Err(error) => return Err(format!("{}: {}", path.display(), plain(&error))),
    };
    // "none [integrity] confidentiality": the one in force is in brackets.
    match text.split('[').nth(1).and_then(|rest| rest.split(']').next()) {
        Some("none") => Ok(Lockdown::None),
        Some("integrity") => Ok(Lockdown::Integrity),
        Some("confidentiality") => Ok(Lockdown::Confidentiality),
        _ => Err(format!("{}: cannot be understood: {text:?}", path.display())),
    }
}

/// The perf "kprobe" unit is how libbpf attaches (since 4.17); its presence in
/// sysfs needs neither tracefs nor privilege to see.
fn kprobes(places: &Places) -> Fact<bool> {
    let devices = places.sys.join("bus/event_source/devices");
    if devices.join("kprobe").exists() {
        return Fact::Known(true);
    }
    if devices.is_dir() {
        return Fact::Known(false);
    }
    Fact::Unknown(format!("{}: not there", devices.display()))
}

/// The kernel gives the first pid namespace this number (PROC_PID_INIT_INO).
fn initial_pid_ns(places: &Places) -> Fact<bool> {
    let path = places.proc.join("self/ns/pid");
    let link = std::fs::read_link(&path).map_err(|error| format!("{}: {}", path.display(), plain(&error)));
    Fact::from(link).map(|link| link == Path::new("pid:[4026531836]"))
}

fn number(path: &Path) -> Fact<i32> {
    let parsed = read_text(path).map_err(|error| plain(&error)).and_then(|text| {
        text.parse().map_err(|_| format!("not a number: {:?}", text.chars().take(32).collect::<String>()))
    });
    Fact::from(parsed.map_err(|why| format!("{}: {why}", path.display())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }

    fn tree(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("bee-facts-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        root
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_not_no() {
        let root = tree("empty");
        let facts = Facts::gather(&Places::under(&root)).unwrap();
        for why in [
            facts.btf.known().is_some(),
            facts.lsm.known().is_some(),
            facts.lockdown.known().is_some(),
            facts.tracefs.known().is_some(),
            facts.cgroup2.known().is_some(),
            facts.kprobes.known().is_some(),
            facts.perf_event_paranoid.known().is_some(),
            facts.initial_pid_ns.known().is_some(),
            facts.bpf_lsm().known().is_some(),
        ] {
            assert!(!why, "{facts:?}");
        }
        let Fact::Unknown(why) = &facts.lsm else { panic!("{:?}", facts.lsm) };
        assert!(why.ends_with("self/mountinfo: No such file or directory"), "{why}");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_stock_raspberry_pi_is_described() {
        let root = tree("pi");
        write(
            &root,
            "proc/self/mountinfo",
            "1 0 0:5 / /sys/kernel/security rw - securityfs securityfs rw\n\
             2 0 0:6 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
             3 0 0:7 / /sys/kernel/debug rw - debugfs debugfs rw\n",
        );
        write(&root, "sys/kernel/security/lsm", "capability,apparmor");
        write(&root, "sys/kernel/mm/x", "");
        write(&root, "sys/bus/event_source/devices/kprobe/type", "6\n");
        write(&root, "sys/kernel/debug/tracing/events/enable", "0\n");
        write(&root, "proc/sys/kernel/perf_event_paranoid", "3\n");
        write(&root, "proc/sys/kernel/unprivileged_bpf_disabled", "two\n");
        write(&root, "proc/sys/net/core/bpf_jit_enable", "1\n");
        let facts = Facts::gather(&Places::under(&root)).unwrap();
        assert_eq!(facts.btf, Fact::Known(BtfSource::Missing));
        assert_eq!(facts.lsm, Fact::Known(vec!["capability".into(), "apparmor".into()]));
        assert_eq!(facts.bpf_lsm(), Fact::Known(false));
        assert_eq!(facts.lockdown, Fact::Known(Lockdown::None));
        assert_eq!(facts.kprobes, Fact::Known(true));
        assert_eq!(facts.perf_event_paranoid, Fact::Known(3));
        assert_eq!(facts.bpf_jit_enable, Fact::Known(1));
        assert_eq!(facts.tracefs, Fact::Known(Some(root.join("sys/kernel/debug/tracing"))));
        assert_eq!(facts.cgroup2, Fact::Known(Some(root.join("sys/fs/cgroup"))));
        let Fact::Unknown(why) = &facts.unprivileged_bpf_disabled else { panic!() };
        assert!(why.ends_with("not a number: \"two\""), "{why}");

        write(&root, "sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
        write(&root, "sys/kernel/security/lsm", "lockdown,bpf\n");
        write(&root, "sys/kernel/btf/vmlinux", "12345");
        fs::remove_dir_all(root.join("sys/bus/event_source/devices/kprobe")).unwrap();
        let facts = Facts::gather(&Places::under(&root)).unwrap();
        assert_eq!(facts.lockdown, Fact::Known(Lockdown::Confidentiality));
        assert_eq!(facts.bpf_lsm(), Fact::Known(true));
        assert_eq!(facts.btf, Fact::Known(BtfSource::Kernel(5)));
        assert_eq!(facts.kprobes, Fact::Known(false));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn this_host_is_described() {
        let facts = Facts::gather(&Places::default()).unwrap();
        assert!(facts.page_size.is_power_of_two() && facts.page_size >= 4096);
        assert!(!facts.release.is_empty() && !facts.arch.is_empty());
        assert_eq!(facts.boot_id.known().map(String::len), Some(36), "{:?}", facts.boot_id);
    }
}
