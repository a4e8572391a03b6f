//! The options the kernel was built with, from its configuration file. What
//! each of them is wanted for stands in [`OPTIONS`]; whether a sensor works is
//! never concluded from here (the loader tries), this only explains.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use flate2::read::GzDecoder;

use super::{Places, plain, read_all, read_bounded};

/// Debian's is 260 KiB, a distribution kernel with every driver 300 KiB.
const TEXT_LIMIT: usize = 4 << 20;
/// Compressed, about 70 KiB.
const GZIP_LIMIT: usize = 1 << 20;

/// How much depends on an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// No sensor works without it.
    Essential,
    /// Something is lost without it.
    Wanted,
}

/// A kernel option and what it is for.
#[derive(Debug)]
pub struct OptionRow {
    /// Without `CONFIG_`.
    pub name: &'static str,
    /// Whether anything works without it.
    pub need: Need,
    /// Which part of the program wants it.
    pub wanted_by: &'static str,
    /// What a user misses on a kernel without it.
    pub lost: &'static str,
}

/// Every option that matters, the indispensable first.
pub const OPTIONS: &[OptionRow] = &[
    essential("BPF", "every sensor", "everything (the kernel has no BPF at all)"),
    essential("BPF_SYSCALL", "every sensor", "everything (no program can be loaded)"),
    essential("BPF_EVENTS", "every sensor", "everything (no program can be attached to a tracing hook)"),
    essential(
        "TRACEPOINTS",
        "every sensor",
        "everything (exec, fork, exit and system calls cannot be hooked)",
    ),
    wanted(
        "BPF_JIT",
        "tier full, and speed",
        "trampolines (fentry, LSM); programs run interpreted, several times slower",
    ),
    wanted("HAVE_EBPF_JIT", "tier full, and speed", "the same: this architecture has no JIT for BPF"),
    wanted("DEBUG_INFO_BTF", "tiers full, kprobe, tracepoint", "kernel types: only tier portable is left"),
    wanted("DEBUG_INFO_BTF_MODULES", "tier full", "hooks on functions and types that live in modules"),
    wanted("BPF_LSM", "tier full", "denying an open or an exec; results seen before the act"),
    wanted("KPROBES", "tier kprobe", "probes on kernel functions, the way without trampolines"),
    wanted("KPROBE_EVENTS", "tier kprobe", "attaching programs to kprobes"),
    wanted(
        "FTRACE_SYSCALLS",
        "tiers tracepoint, portable",
        "tracepoints of single system calls; the raw ones, used instead, see every call and cost more",
    ),
    wanted("CGROUP_BPF", "network sensor", "hooks on connections by control group"),
];

const fn essential(name: &'static str, wanted_by: &'static str, lost: &'static str) -> OptionRow {
    OptionRow { name, need: Need::Essential, wanted_by, lost }
}

const fn wanted(name: &'static str, wanted_by: &'static str, lost: &'static str) -> OptionRow {
    OptionRow { name, need: Need::Wanted, wanted_by, lost }
}

/// What an option is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `=y`
    Yes,
    /// `=m`
    Module,
    /// `is not set`, or not mentioned: then this kernel does not have it.
    No,
    /// A number or a string, as written.
    Other(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::Module => "module",
            Self::No => "no",
            Self::Other(value) => value,
        })
    }
}

/// A kernel's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelConfig {
    /// The file it was read from.
    pub source: PathBuf,
    settings: HashMap<String, Setting>,
}

impl KernelConfig {
    /// What `option` (without `CONFIG_`) is set to. The kernel's build leaves
    /// out what its dependencies rule out, so an option that is missing is off.
    pub fn get(&self, option: &str) -> Setting {
        self.settings.get(option).cloned().unwrap_or(Setting::No)
    }
}

/// No configuration was found or none could be used: every place that was
/// looked at, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// Path and reason, in the order tried.
    pub tried: Vec<(PathBuf, String)>,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kernel's configuration was not found (")?;
        for (number, (path, why)) in self.tried.iter().enumerate() {
            let comma = if number == 0 { "" } else { "; " };
            write!(f, "{comma}{}: {why}", path.display())?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for NotFound {}

/// Reads the configuration of the running kernel, `release` as of uname -r.
pub fn read(places: &Places, release: &str) -> Result<KernelConfig, NotFound> {
    let mut tried = Vec::new();
    let gz = places.proc.join("config.gz");
    let texts = [
        format!("/boot/config-{release}"),
        format!("/lib/modules/{release}/config"),
        format!("/usr/lib/modules/{release}/config"),
        format!("/usr/lib/kernel/config-{release}"),
    ];
    // A release is one file name; anything else would lead out of the directories.
    let texts =
        texts.iter().filter(|_| !release.contains('/')).map(|path| (places.join(path.as_ref()), false));
    for (source, compressed) in std::iter::once((gz, true)).chain(texts) {
        let text = if compressed { read_gzip(&source) } else { read_bounded(&source, TEXT_LIMIT) };
        match text.map_err(|error| plain(&error)).and_then(|text| parse(&text).map_err(str::to_owned)) {
            Ok(settings) => return Ok(KernelConfig { source, settings }),
            Err(why) => tried.push((source, why)),
        }
    }
    Err(NotFound { tried })
}

fn read_gzip(path: &std::path::Path) -> io::Result<Vec<u8>> {
    let compressed = read_bounded(path, GZIP_LIMIT)?;
    read_all(GzDecoder::new(compressed.as_slice()), TEXT_LIMIT)
}

/// Parses `CONFIG_X=…` and `# CONFIG_X is not set`; keeps what [`OPTIONS`] asks for.
fn parse(text: &[u8]) -> Result<HashMap<String, Setting>, &'static str> {
    let mut settings = HashMap::new();
    let mut options = 0_u32;
    for line in text.split(|byte| *byte == b'\n') {
        let (name, value) = if let Some(line) = line.strip_prefix(b"CONFIG_") {
            let Some(equals) = line.iter().position(|byte| *byte == b'=') else { continue };
            (&line[..equals], &line[equals + 1..])
        } else if let Some(name) =
            line.strip_prefix(b"# CONFIG_").and_then(|line| line.strip_suffix(b" is not set"))
        {
            (name, &b"n"[..])
        } else {
            continue;
        };
        options += 1;
        let Some(row) = OPTIONS.iter().find(|row| row.name.as_bytes() == name) else { continue };
        let setting = match value {
            b"y" => Setting::Yes,
            b"m" => Setting::Module,
            b"n" => Setting::No,
            other => Setting::Other(String::from_utf8_lossy(&other[..other.len().min(64)]).into_owned()),
        };
        settings.insert(row.name.to_owned(), setting);
    }
    // The smallest kernel has hundreds; a file with none is something else.
    if options == 0 { Err("not a kernel configuration") } else { Ok(settings) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn tree(name: &str) -> (PathBuf, Places) {
        let root = std::env::temp_dir().join(format!("bee-config-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for directory in ["proc", "boot", "lib/modules/6.1.0", "usr/lib/modules/6.1.0"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        (root.clone(), Places::under(root))
    }

    const TEXT: &[u8] = b"# Linux/arm64 6.1.0\nCONFIG_BPF=y\nCONFIG_KPROBES=m\n# CONFIG_BPF_LSM is not set\n\
        CONFIG_BPF_JIT=\"odd\"\nCONFIG_NO_EQUALS\n# CONFIG_LOST\nCONFIG_BPFX=y\n";

    #[test]
    fn the_sources_are_taken_in_order_and_the_settings_understood() {
        let (root, places) = tree("order");
        fs::write(root.join("usr/lib/modules/6.1.0/config"), TEXT).unwrap();
        let config = read(&places, "6.1.0").unwrap();
        assert_eq!(config.source, root.join("usr/lib/modules/6.1.0/config"));
        assert_eq!(config.get("BPF"), Setting::Yes);
        assert_eq!(config.get("KPROBES"), Setting::Module);
        assert_eq!(config.get("BPF_LSM"), Setting::No);
        assert_eq!(config.get("BPF_EVENTS"), Setting::No);
        assert_eq!(config.get("BPF_JIT"), Setting::Other("\"odd\"".into()));

        for path in ["lib/modules/6.1.0/config", "boot/config-6.1.0"] {
            fs::write(root.join(path), TEXT).unwrap();
            assert_eq!(read(&places, "6.1.0").unwrap().source, root.join(path));
        }
        fs::write(root.join("proc/config.gz"), gzip(b"CONFIG_BPF=m\n")).unwrap();
        let config = read(&places, "6.1.0").unwrap();
        assert_eq!(
            (config.source, config.settings["BPF"].clone()),
            (root.join("proc/config.gz"), Setting::Module)
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn none_found_names_every_place() {
        let (root, places) = tree("none");
        let error = read(&places, "6.1.0").unwrap_err();
        assert_eq!(error.tried.len(), 5);
        assert!(error.tried.iter().all(|(_, why)| why == "No such file or directory"), "{error}");
        assert!(error.to_string().contains("boot/config-6.1.0"), "{error}");
        assert_eq!(read(&places, "../6.1.0").unwrap_err().tried.len(), 1);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn hostile_files_are_refused_and_the_next_is_tried() {
        let (root, places) = tree("hostile");
        fs::write(root.join("boot/config-6.1.0"), TEXT).unwrap();
        let bomb = gzip(&vec![b'C'; 64 << 20]);
        assert!(bomb.len() < GZIP_LIMIT);
        let mut cut = gzip(TEXT);
        cut.truncate(cut.len() / 2);
        for content in [bomb, cut, vec![0; GZIP_LIMIT + 1], b"\x1f\x8b".to_vec(), vec![], gzip(b"hello\n")] {
            fs::write(root.join("proc/config.gz"), content).unwrap();
            assert_eq!(read(&places, "6.1.0").unwrap().source, root.join("boot/config-6.1.0"));
        }
        for content in [vec![b'C'; TEXT_LIMIT + 1], vec![0xff; 4096], b"\n\n\n".to_vec()] {
            fs::write(root.join("boot/config-6.1.0"), content).unwrap();
            assert!(read(&places, "6.1.0").is_err());
        }
        // A pipe that nobody writes to, and a directory.
        fs::remove_file(root.join("boot/config-6.1.0")).unwrap();
        nix::unistd::mkfifo(&root.join("boot/config-6.1.0"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::create_dir(root.join("lib/modules/6.1.0/config")).unwrap();
        let error = read(&places, "6.1.0").unwrap_err();
        assert_eq!(error.tried[1].1, "not a regular file");
        assert_eq!(error.tried[2].1, "not a regular file");
        fs::remove_dir_all(root).unwrap();
    }
}
