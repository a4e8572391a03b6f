//! Compiles every `src/bpf/*.bpf.c` into an object and its Rust skeleton, and makes
//! the table of what all objects need of the kernel's types. The only place with
//! compiler flags for the kernel side.

use std::env;
use std::error::Error;
use std::ffi::{CString, OsString};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use libbpf_cargo::SkeletonBuilder;
use libbpf_rs::libbpf_sys;
use sha2::{Digest as _, Sha256};

use need::{Need, Step};

// The reader of BTF, as the programs have it; they use more of it than is used here.
#[allow(dead_code)]
#[path = "src/btf/ext.rs"]
mod ext;
#[path = "build/lines.rs"]
mod lines;
#[allow(dead_code)]
#[path = "src/btf/need.rs"]
mod need;
#[allow(dead_code)]
#[path = "src/btf/raw.rs"]
mod raw;

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
    let mut arguments: Vec<OsString> = vec![
        format!("-D__TARGET_ARCH_{target}").into(),
        "-mcpu=v3".into(),
        "-Wall".into(),
        "-Werror".into(),
        "-I".into(),
        root.join("vmlinux").join(&arch).into(),
        "-I".into(),
        bpf.clone().into(),
    ];
    // Another format of records, for tests of an upgrade.
    println!("cargo:rerun-if-env-changed=BEE_TEST_FORMAT");
    println!("cargo:rustc-check-cfg=cfg(bee_test_format)");
    if env::var_os("BEE_TEST_FORMAT").is_some() {
        println!("cargo:rustc-cfg=bee_test_format");
        arguments.push("-DBEE_TEST_FORMAT".into());
    }
    let mut sources: Vec<PathBuf> =
        fs::read_dir(&bpf)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    sources.sort();
    // For who reads what the verifier says.
    let keep_lines = env::var_os("BEE_BPF_LINES").is_some();
    println!("cargo:rerun-if-env-changed=BEE_BPF_LINES");
    let (mut needs, mut objects) = (Vec::new(), String::new());
    let mut build = Sha256::new();
    for source in sources {
        println!("cargo:rerun-if-changed={}", source.display());
        let Some(name) =
            source.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".bpf.c"))
        else {
            continue;
        };
        let object = out.join(format!("{name}.bpf.o"));
        let failed = |error| format!("{}: {error:#}", source.display());
        let mut builder = SkeletonBuilder::new();
        builder.source(&source).obj(&object).clang_args(&arguments).build().map_err(failed)?;
        let (types, relocations) = sections(&object)?;
        if !keep_lines {
            lines::strip(&object, &types, &relocations)
                .map_err(|error| format!("{}: {error}", object.display()))?;
        }
        builder.generate(out.join(format!("{name}.skel.rs"))).map_err(failed)?;
        build.update(name);
        build.update(fs::read(&object)?);
        if !relocations.is_empty() {
            let of_object = raw::Btf::parse(&types).and_then(|types| ext::needs(&types, &relocations));
            let of_object = of_object.map_err(|error| format!("{}: {error}", object.display()))?;
            if !of_object.is_empty() {
                let btf = out.join(format!("{name}.btf"));
                fs::write(&btf, types)?;
                writeln!(objects, "    ({name:?}, include_bytes!({object:?}), include_bytes!({btf:?})),")?;
            }
            needs.extend(of_object);
        }
    }
    // Half of what is relocated at the start takes 24 bytes each otherwise. glibc 2.36 and later; a
    // linker that does not know it says so and goes on.
    if env::var("PROFILE").as_deref() == Ok("release") {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // A daemon takes over what another has loaded only where all of it is the same.
    let build: String = build.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(out.join("build_id"), build)?;
    needs.sort();
    needs.dedup();
    fs::write(out.join("needs.rs"), table(&needs)?)?;
    // For tests: every object that needs the kernel's types, and its own, which are there on any machine.
    fs::write(out.join("objects.rs"), format!("&[\n{objects}]\n"))?;
    println!("cargo:rerun-if-changed=vmlinux/{arch}/vmlinux.h");
    for file in ["src/btf/raw", "src/btf/need", "src/btf/ext", "build/lines"] {
        println!("cargo:rerun-if-changed={file}.rs");
    }
    Ok(())
}

/// The sections `.BTF` and `.BTF.ext` of an object; an object without programs has no second.
fn sections(object: &Path) -> Result<(Vec<u8>, Vec<u8>), Box<dyn Error>> {
    let path = CString::new(object.as_os_str().as_bytes())?;
    let mut ext = std::ptr::null_mut();
    // SAFETY: a path that ends in a NUL, and a place for a pointer; what comes back is null on failure.
    let btf = unsafe { libbpf_sys::btf__parse_elf(path.as_ptr(), &mut ext) };
    if btf.is_null() {
        return Err(format!("{}: its types cannot be read", object.display()).into());
    }
    let copy = |start: *const std::ffi::c_void, length: u32| {
        // SAFETY: libbpf tells start and length of bytes it holds until the free below.
        unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length as usize) }.to_vec()
    };
    let (mut length, mut relocations) = (0, Vec::new());
    // SAFETY: it is not null and not freed yet.
    let types = copy(unsafe { libbpf_sys::btf__raw_data(btf, &mut length) }, length);
    if !ext.is_null() {
        // SAFETY: as above.
        relocations = copy(unsafe { libbpf_sys::btf_ext__raw_data(ext, &mut length) }, length);
    }
    // SAFETY: both are libbpf's, or null, and not used any more.
    unsafe {
        libbpf_sys::btf_ext__free(ext);
        libbpf_sys::btf__free(btf);
    }
    Ok((types, relocations))
}

/// The needs as Rust, for `src/btf/mod.rs`.
fn table(needs: &[Need]) -> Result<String, std::fmt::Error> {
    let (mut paths, mut rows) = (String::new(), String::new());
    for (index, need) in needs.iter().enumerate() {
        let mut steps = String::new();
        for step in need.path.iter() {
            match step {
                Step::Member { name, arrays, shape } => {
                    let shape = match shape {
                        need::Shape::Enum(name) => format!("Enum(Cow::Borrowed({name:?}))"),
                        need::Shape::Forward(name) => format!("Forward(Cow::Borrowed({name:?}))"),
                        plain => format!("{plain:?}"),
                    };
                    write!(
                        steps,
                        "Member {{ name: Cow::Borrowed({name:?}), arrays: {arrays}, shape: {shape} }}, "
                    )?;
                }
                Step::Element(number) => write!(steps, "Element({number}), ")?,
                Step::Value(name) => write!(steps, "Value(Cow::Borrowed({name:?})), ")?,
            }
        }
        let Need { kind, root, path, element, fact } = need;
        writeln!(paths, "static PATH_{index}: [Step; {}] = [{steps}];", path.len())?;
        writeln!(
            rows,
            "    Need {{ kind: Kind::{kind:?}, root: Cow::Borrowed({root:?}), path: Cow::Borrowed(&PATH_{index}), \
             element: {element}, fact: Fact::{fact:?} }},"
        )?;
    }
    Ok(format!("{paths}pub(super) static NEEDS: &[Need] = &[\n{rows}];\n"))
}
