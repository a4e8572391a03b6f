//! The C compilers of this machine that can describe a kernel's types.

use std::path::PathBuf;
use std::process::Command;

use super::headers::{Arch, Headers};

/// A compiler for the kernel's architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// What it is called.
    pub program: PathBuf,
    /// `12.2.0`
    pub version: String,
}

impl Arch {
    /// The first part of the name of its tools.
    pub(super) fn triple(self) -> &'static str {
        match self {
            Self::X86 => "x86_64-linux-gnu",
            Self::Arm => "aarch64-linux-gnu",
        }
    }

    /// Whether programs for it run on the machine this program was built for.
    pub(super) fn is_native(self) -> bool {
        self.machine() == std::env::consts::ARCH
    }
}

/// Those that are there, each once, the one the kernel was built with first.
pub fn find(headers: &Headers) -> Vec<Compiler> {
    let cross = format!("{}-gcc", headers.arch.triple());
    // A name only: a path would be one of the machine that built the kernel.
    let built_with = headers.compiler.iter().filter(|name| name.contains("gcc") && !name.contains('/'));
    let mut found: Vec<Compiler> = Vec::new();
    for name in built_with.map(String::as_str).chain(["gcc", &cross]) {
        let Some(compiler) = ask(name, headers.arch) else { continue };
        if !found.iter().any(|known| known.version == compiler.version) {
            found.push(compiler);
        }
    }
    found
}

fn ask(name: &str, arch: Arch) -> Option<Compiler> {
    let says = |question: &str| {
        let output = command(name).arg(question).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    says("-dumpmachine").filter(|machine| machine.starts_with(&format!("{}-", arch.machine())))?;
    // clang, which may be called gcc, does not know this question.
    let version = says("-dumpfullversion").filter(|version| !version.is_empty())?;
    Some(Compiler { program: name.into(), version })
}

/// A tool, undisturbed by the environment: variables such as CPATH change what a
/// compiler includes.
pub(super) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    command.env_clear().env("PATH", path).env("LC_ALL", "C").stdin(std::process::Stdio::null());
    command
}

/// Those that are there for `arch`, whatever the kernel was built with.
pub(super) fn any(arch: Arch) -> Vec<Compiler> {
    ["gcc".to_owned(), format!("{}-gcc", arch.triple())].iter().filter_map(|name| ask(name, arch)).collect()
}
