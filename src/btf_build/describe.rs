//! Has the types described: by the compiler itself, else by pahole from the
//! compiler's debug information. Which of them does it right here is found out by
//! trying: a description counts when the compiler confirms it.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Output;

use libbpf_rs::libbpf_sys;

use super::compiler::{Compiler, command};
use super::confirm;
use super::headers::Headers;
use super::scratch::Scratch;
use crate::btf::{self, Need};
use crate::error::{Error, ExitStatus, Result};

/// What is compiled.
pub(super) const STUB: &str = include_str!("stub.c");

/// Lines of a compiler's complaint that are passed on.
const COMPLAINT: usize = 3;

/// The types of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// All that the stub names, and all these hold: some 600 types.
    pub btf: Vec<u8>,
    /// Who wrote it, for people: `gcc 12.2.0`.
    pub by: String,
    /// How many of the needs the compiler confirmed.
    pub confirmed: usize,
}

/// Who writes the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// gcc, since its version 12.
    Compiler,
    /// pahole, from DWARF.
    Pahole,
}

/// Tells that the second way would be open with it.
const NO_PAHOLE: &str = "not installed (package pahole)";

/// Describes the types, each compiler with each writer until one is confirmed.
///
/// # Errors
/// What each of them failed at.
pub fn describe(headers: &Headers, compilers: &[Compiler], needs: &[Need]) -> Result<Described> {
    let scratch = Scratch::new()?;
    std::fs::write(scratch.path().join("stub.c"), STUB)?;
    let mut reasons: Vec<(String, String)> = Vec::new();
    for writer in [Writer::Compiler, Writer::Pahole] {
        for compiler in compilers {
            let with = match writer {
                Writer::Compiler => format!("gcc {}", compiler.version),
                Writer::Pahole => format!("gcc {} and {}", compiler.version, pahole_version()),
            };
            let tried = attempt(headers, compiler, writer, scratch.path(), needs);
            scratch.go_on()?;
            match tried {
                Ok((btf, confirmed)) => return Ok(Described { btf, by: with, confirmed }),
                // What the headers themselves are wrong in is wrong both times.
                Err(why) if reasons.iter().any(|(_, known)| *known == why) => {}
                Err(why) => reasons.push((with, why)),
            }
        }
    }
    let remedy = reasons.iter().any(|(_, why)| why == NO_PAHOLE);
    let status = if remedy { ExitStatus::Unavailable } else { ExitStatus::Failure };
    let mut text = format!("the types of {} cannot be made:", headers.release);
    for (with, why) in reasons {
        text.push_str(&format!("\n  {with}: {why}"));
    }
    if remedy {
        text.push_str("\ninstall with: apt install pahole");
    }
    Err(Error::new(status, text))
}

fn attempt(
    headers: &Headers,
    compiler: &Compiler,
    writer: Writer,
    directory: &Path,
    needs: &[Need],
) -> std::result::Result<(Vec<u8>, usize), String> {
    let object = directory.join("stub.o");
    let debug: &[&str] = match writer {
        Writer::Compiler => &["-gbtf"],
        // The oldest DWARF that is still written: every pahole reads it.
        Writer::Pahole => &["-g", "-gdwarf-4"],
    };
    let mut compile = command(&compiler.program);
    compile.args(arguments(headers, compiler)).args(debug).args(["-c", "stub.c", "-o", "stub.o"]);
    run(&mut compile, directory)?;
    let btf = match writer {
        Writer::Compiler => section(&object),
        Writer::Pahole => {
            let _ = std::fs::remove_file(directory.join("stub.btf"));
            let mut pahole = command("pahole");
            pahole.args(["-J", "--btf_encode_detached=stub.btf", "stub.o"]);
            run(&mut pahole, directory)
                .and_then(|()| std::fs::read(directory.join("stub.btf")).map_err(|error| error.to_string()))
        }
    };
    let btf = btf?;
    let wrong = |error: btf::Error| format!("what it wrote cannot be read: {error}");
    let offsets = btf::offsets(&btf, needs).map_err(wrong)?;
    let (source, asserted) = confirm::source(needs, &offsets);
    if asserted == 0 {
        return Err("none of the types we read is in what it wrote".to_owned());
    }
    std::fs::write(directory.join("confirm.c"), source).map_err(|error| error.to_string())?;
    let mut check = command(&compiler.program);
    check.args(arguments(headers, compiler)).args(["-fsyntax-only", "confirm.c"]);
    run(&mut check, directory)
        .map_err(|why| format!("it describes types otherwise than it compiles them: {why}"))?;
    Ok((btf, asserted))
}

/// The compiler's arguments but input, output and debug format: the search paths of
/// the kernel's own build (`LINUXINCLUDE` in its Makefile) in the same order, and
/// those of its flags that headers or layouts depend on.
fn arguments(headers: &Headers, compiler: &Compiler) -> Vec<OsString> {
    let Headers { build, source, arch, .. } = headers;
    let mut out: Vec<OsString> = vec!["-nostdinc".into()];
    // stdarg.h, until 5.15; the kernel has its own since.
    let own = command(&compiler.program).arg("-print-file-name=include").output().ok();
    if let Some(own) = own.filter(|output| output.status.success()) {
        out.push("-isystem".into());
        out.push(OsStr::from_bytes(own.stdout.trim_ascii()).into());
    }
    let folder = format!("arch/{}/include", arch.folder());
    for (tree, path) in [
        (source, folder.clone()),
        (build, format!("{folder}/generated")),
        (source, "include".to_owned()),
        (build, "include".to_owned()),
        (source, format!("{folder}/uapi")),
        (build, format!("{folder}/generated/uapi")),
        (source, "include/uapi".to_owned()),
        (build, "include/generated/uapi".to_owned()),
        // Ours: for fs/mount.h, where the whole source is there.
        (source, String::new()),
    ] {
        out.push("-I".into());
        out.push(tree.join(path).into());
    }
    for file in
        ["include/linux/compiler-version.h", "include/linux/kconfig.h", "include/linux/compiler_types.h"]
    {
        let file = source.join(file);
        // The first came with 5.12.
        if file.is_file() {
            out.push("-include".into());
            out.push(file.into());
        }
    }
    let flags = [
        "-D__KERNEL__",
        "-DMODULE",
        "-DKBUILD_MODNAME=\"bee\"",
        "-DKBUILD_BASENAME=\"bee\"",
        "-std=gnu11",
        // Structures without a name but with a tag, since 6.19.
        "-fms-extensions",
        "-fshort-wchar",
        "-fno-common",
        // Some headers count on functions that are not called to vanish.
        "-O2",
        "-w",
        "-fmax-errors=3",
        "-fdiagnostics-color=never",
        "-fno-diagnostics-show-caret",
    ];
    out.extend(flags.iter().chain(arch.flags()).map(OsString::from));
    out
}

/// Runs a tool in `directory`; what it complains about, if it does.
fn run(command: &mut std::process::Command, directory: &Path) -> std::result::Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = match command.current_dir(directory).env("TMPDIR", directory).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(if name == "pahole" { NO_PAHOLE.to_owned() } else { format!("{name} is gone") });
        }
        Err(error) => return Err(format!("{name}: {error}")),
    };
    if output.status.success() { Ok(()) } else { Err(complaint(&name, &output)) }
}

fn complaint(name: &str, output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let is_error = |line: &&str| line.contains("error") || line.contains("fatal");
    let mut lines: Vec<&str> = said.lines().filter(is_error).take(COMPLAINT).collect();
    if lines.is_empty() {
        lines = said.lines().take(COMPLAINT).collect();
    }
    match lines.is_empty() {
        true => format!("{name} ended with {}", output.status),
        false => lines.join("; "),
    }
}

fn pahole_version() -> String {
    let output = command("pahole").arg("--version").output().ok();
    let version = output.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    format!("pahole {}", version.trim().trim_start_matches('v')).trim_end().to_owned()
}

/// The section `.BTF` of an object file.
fn section(object: &Path) -> std::result::Result<Vec<u8>, String> {
    let path = CString::new(object.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // What it would print is said below.
    let before = libbpf_rs::set_print(None);
    // SAFETY: a path that ends in a NUL; null on failure.
    let btf = unsafe { libbpf_sys::btf__parse_elf(path.as_ptr(), std::ptr::null_mut()) };
    libbpf_rs::set_print(before);
    if btf.is_null() {
        return Err("what it wrote is no BTF that libbpf understands".to_owned());
    }
    let mut length = 0;
    // SAFETY: `btf` was made above; the bytes it tells the start and length of are valid until it
    // is freed, and copied before.
    let bytes = unsafe {
        let start = libbpf_sys::btf__raw_data(btf, &mut length).cast::<u8>();
        let bytes = (!start.is_null()).then(|| std::slice::from_raw_parts(start, length as usize).to_vec());
        libbpf_sys::btf__free(btf);
        bytes
    };
    bytes.ok_or_else(|| "there is not enough memory".to_owned())
}
