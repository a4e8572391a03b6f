//! Compiles every `src/bpf/*.bpf.c` into an object and its Rust skeleton. The
//! only place with compiler flags for the kernel side.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use libbpf_cargo::SkeletonBuilder;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    // The spelling of bpf_tracing.h, which knows the registers of each.
    let target = match arch.as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        other => return Err(format!("no kernel side for {other}; x86_64 and aarch64 have one").into()),
    };
    let bpf = root.join("src/bpf");
    let arguments: Vec<OsString> = vec![
        format!("-D__TARGET_ARCH_{target}").into(),
        "-mcpu=v3".into(),
        "-Wall".into(),
        "-Werror".into(),
        "-I".into(),
        root.join("vmlinux").join(&arch).into(),
        "-I".into(),
        bpf.clone().into(),
    ];
    let mut sources: Vec<PathBuf> =
        fs::read_dir(&bpf)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    sources.sort();
    for source in sources {
        println!("cargo:rerun-if-changed={}", source.display());
        let Some(name) =
            source.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".bpf.c"))
        else {
            continue;
        };
        SkeletonBuilder::new()
            .source(&source)
            .clang_args(&arguments)
            .build_and_generate(out.join(format!("{name}.skel.rs")))
            .map_err(|error| format!("{}: {error:#}", source.display()))?;
    }
    println!("cargo:rerun-if-changed=vmlinux/{arch}/vmlinux.h");
    Ok(())
}
