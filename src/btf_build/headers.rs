//! A kernel's headers: where they lie, and what they say of the kernel they belong
//! to. Reads, never runs anything.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::kernel::{Places, read_bounded};

/// The configuration as C is 300 KiB.
const TEXT_LIMIT: usize = 4 << 20;

/// An architecture we have programs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86.
    X86,
    /// 64-bit Arm.
    Arm,
}

impl Arch {
    /// `uname -m`
    pub fn machine(self) -> &'static str {
        match self {
            Self::X86 => "x86_64",
            Self::Arm => "aarch64",
        }
    }

    /// Below `arch/` in the kernel's tree.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::Arm => "arm64",
        }
    }

    /// Compiler options that this architecture's headers want, from its Makefile.
    pub(super) fn flags(self) -> &'static [&'static str] {
        match self {
            // asm/ftrace.h refuses to be included without.
            Self::X86 => &["-m64", "-mcmodel=kernel", "-fno-pie", "-DCC_USING_FENTRY"],
            Self::Arm => &["-mgeneral-regs-only", "-fno-pie"],
        }
    }
}

/// The headers of one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// The tree with what was generated for this kernel.
    pub build: PathBuf,
    /// The tree with what is the same for all configurations; may be the same one.
    pub source: PathBuf,
    /// `uname -r`
    pub release: String,
    /// `uname -v`, where they have it.
    pub version: Option<String>,
    /// Of the kernel.
    pub arch: Arch,
    /// Bytes.
    pub page_size: u32,
    /// The order of structure members was shuffled, as no header tells.
    pub randomised: bool,
    /// What the compiler that built the kernel is called: `gcc-12`.
    pub compiler: Option<String>,
}

/// Finds the headers of `release`: in `given`, or where packages put them.
///
/// # Errors
/// What was looked for and is not there.
pub fn find(places: &Places, release: &str, given: Option<&Path>) -> std::result::Result<Headers, String> {
    let modules = ["/lib/modules", "/usr/lib/modules"].map(|base| places.join(base.as_ref()).join(release));
    let trees = match given {
        Some(directory) => vec![directory.to_owned()],
        None => modules.iter().map(|directory| directory.join("build")).collect(),
    };
    let build = trees.iter().find(|tree| tree.join("include/generated/autoconf.h").is_file());
    let first = trees.first().cloned().unwrap_or_default();
    let build = build
        .ok_or_else(|| format!("{} is not there", first.join("include/generated/autoconf.h").display()))?;
    let source = source(build, &modules).ok_or_else(|| {
        format!(
            "{} is there, but the tree with include/linux/kconfig.h that belongs to it is not",
            build.display()
        )
    })?;
    read(build, source)
}

/// What release the headers in `directory` are for.
pub(super) fn release(directory: &Path) -> Result<String> {
    text(&directory.join("include/generated/utsrelease.h"))
        .and_then(|text| defined(&text, "UTS_RELEASE").ok_or_else(|| "no UTS_RELEASE in it".to_owned()))
        .map_err(|why| {
            Error::failure(format!(
                "{} holds no kernel headers: include/generated/utsrelease.h: {why}",
                directory.display()
            ))
        })
}

/// Debian's packages have two trees: the Makefile of one includes that of the other.
/// A kernel that was built aside of its source has a link.
fn source(build: &Path, modules: &[PathBuf]) -> Option<PathBuf> {
    let makefile = text(&build.join("Makefile")).unwrap_or_default();
    let includes = makefile.lines().filter_map(|line| line.trim().strip_prefix("include "));
    let named = includes.filter_map(|path| Path::new(path.trim()).parent());
    let mut candidates = vec![build.to_owned(), build.join("source")];
    for named in named {
        // Beside it first: a tree that was unpacked elsewhere names a place on another machine.
        if let (Some(parent), Some(name)) = (build.canonicalize().ok(), named.file_name()) {
            candidates.extend(parent.parent().map(|parent| parent.join(name)));
        }
        candidates.push(named.to_owned());
    }
    candidates.extend(modules.iter().map(|directory| directory.join("source")));
    candidates.into_iter().find(|tree| tree.join("include/linux/kconfig.h").is_file())
}

fn read(build: &Path, source: PathBuf) -> std::result::Result<Headers, String> {
    // The compiler runs in another directory.
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| error.to_string());
    let (build, source) = (&absolute(build)?, absolute(&source)?);
    let generated = build.join("include/generated");
    let at = |name: &str| {
        let path = generated.join(name);
        text(&path).map_err(|why| format!("{}: {why}", path.display()))
    };
    let config = at("autoconf.h")?;
    let on = |option: &str| defined(&config, &format!("CONFIG_{option}")).is_some();
    let arch = match (on("X86_64"), on("ARM64")) {
        (true, _) => Arch::X86,
        (_, true) => Arch::Arm,
        _ => return Err(format!("{} is for an architecture without programs of ours", build.display())),
    };
    let page_size = match arch {
        Arch::X86 => 4096,
        // Since 6.9 there is PAGE_SHIFT on every architecture.
        Arch::Arm if on("ARM64_64K_PAGES") => 65536,
        Arch::Arm if on("ARM64_16K_PAGES") => 16384,
        Arch::Arm => 4096,
    };
    // Until 6.0 one file, then two; some packages leave them out.
    let version =
        ["utsversion.h", "compile.h"].iter().find_map(|name| defined(&at(name).ok()?, "UTS_VERSION"));
    let compiler = defined(&config, "CONFIG_CC_VERSION_TEXT")
        .or_else(|| defined(&at("compile.h").ok()?, "LINUX_COMPILER"))
        .and_then(|text| Some(text.split_whitespace().next()?.to_owned()));
    Ok(Headers {
        build: build.clone(),
        source,
        release: defined(&at("utsrelease.h")?, "UTS_RELEASE").ok_or("utsrelease.h has no UTS_RELEASE")?,
        version,
        arch,
        page_size,
        // Its name before 5.19 and since.
        randomised: on("GCC_PLUGIN_RANDSTRUCT") || on("RANDSTRUCT"),
        compiler,
    })
}

/// The value of `#define NAME VALUE`, without quotes.
fn defined(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix("#define")?.trim_start().strip_prefix(name)?;
        let value = rest.strip_prefix([' ', '\t'])?.trim();
        Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value).to_owned())
    })
}

fn text(path: &Path) -> std::result::Result<String, String> {
    let bytes = read_bounded(path, TEXT_LIMIT).map_err(|error| crate::kernel::plain(&error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use std::fs;

    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn tree(name: &str) -> (PathBuf, Places) {
        let root = std::env::temp_dir().join(format!("bee-headers-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        (root.clone(), Places::under(root))
    }

    /// What Raspberry Pi OS has: two trees in /usr/src, and a link for each release.
    fn packages(root: &Path, release: &str) {
        let build = format!("usr/src/linux-headers-{release}");
        put(root, "usr/src/linux-headers-6.12-common/include/linux/kconfig.h", "");
        put(root, &format!("{build}/Makefile"), "include /usr/src/linux-headers-6.12-common/Makefile\n");
        put(
            root,
            &format!("{build}/include/generated/autoconf.h"),
            "#define CONFIG_ARM64 1\n#define CONFIG_ARM64_16K_PAGES 1\n\
             #define CONFIG_CC_VERSION_TEXT \"gcc-14 (Debian 14.2.0-19) 14.2.0\"\n#define CONFIG_RANDSTRUCT_NONE 1\n",
        );
        put(
            root,
            &format!("{build}/include/generated/utsrelease.h"),
            &format!("#define UTS_RELEASE \"{release}\"\n"),
        );
        put(
            root,
            &format!("{build}/include/generated/utsversion.h"),
            "#define UTS_VERSION \"#1 SMP x (2025-03-19)\"\n",
        );
        fs::create_dir_all(root.join("lib/modules").join(release)).unwrap();
        std::os::unix::fs::symlink(root.join(build), root.join("lib/modules").join(release).join("build"))
            .unwrap();
    }

    #[test]
    fn the_packages_of_a_release_are_found_and_read() {
        let (root, places) = tree("packages");
        let release = "6.12.20+rpt-rpi-2712";
        let why = find(&places, release, None).unwrap_err();
        assert!(
            why.ends_with("lib/modules/6.12.20+rpt-rpi-2712/build/include/generated/autoconf.h is not there"),
            "{why}"
        );
        packages(&root, release);
        let headers = find(&places, release, None).unwrap();
        assert_eq!(headers.source, root.join("usr/src/linux-headers-6.12-common"));
        assert_eq!((headers.release.as_str(), headers.arch, headers.page_size), (release, Arch::Arm, 16384));
        assert_eq!(headers.version.as_deref(), Some("#1 SMP x (2025-03-19)"));
        assert_eq!((headers.randomised, headers.compiler.as_deref()), (false, Some("gcc-14")));

        // Given by hand, also where the tree is not the place its Makefile names.
        let given = root.join("usr/src/linux-headers-6.12.20+rpt-rpi-2712");
        assert_eq!(super::release(&given).unwrap(), release);
        assert_eq!(find(&Places::under("/nonexistent"), "x", Some(&given)).unwrap().source, headers.source);

        fs::remove_dir_all(root.join("usr/src/linux-headers-6.12-common")).unwrap();
        let why = find(&places, release, None).unwrap_err();
        assert!(why.contains("the tree with include/linux/kconfig.h that belongs to it is not"), "{why}");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_tree_a_kernel_was_built_in_is_read() {
        let (root, places) = tree("own");
        put(&root, "include/linux/kconfig.h", "");
        put(
            &root,
            "include/generated/autoconf.h",
            "#define CONFIG_X86_64 1\n#define CONFIG_GCC_PLUGIN_RANDSTRUCT 1\n",
        );
        put(&root, "include/generated/utsrelease.h", "#define UTS_RELEASE \"5.10.1\"\n");
        put(
            &root,
            "include/generated/compile.h",
            "#define UTS_VERSION \"#7 SMP\"\n#define LINUX_COMPILER \"gcc (x) 9\"\n",
        );
        let headers = find(&places, "5.10.1", Some(&root)).unwrap();
        assert_eq!((headers.arch, headers.page_size, &headers.source), (Arch::X86, 4096, &root));
        assert_eq!((headers.version.as_deref(), headers.compiler.as_deref()), (Some("#7 SMP"), Some("gcc")));
        assert!(headers.randomised);

        put(&root, "include/generated/autoconf.h", "#define CONFIG_RISCV 1\n");
        assert!(find(&places, "5.10.1", Some(&root)).unwrap_err().contains("architecture"));
        let error = super::release(&root.join("include")).unwrap_err();
        assert!(error.to_string().contains("holds no kernel headers"), "{error}");
        fs::remove_dir_all(root).unwrap();
    }
}
