//! `bee-trace btf`: what it says and how it ends, as the program.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn bee_trace(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bee-trace")).arg("btf").args(arguments).output().unwrap()
}

fn words(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(text).unwrap()
}

fn tree(name: &str) -> PathBuf {
    let root = std::env::temp_dir().join(format!("bee-btf-cli-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).unwrap();
    root
}

/// As much of headers as is read before the compiler is called.
fn headers(root: &Path, release: &str, config: &str) {
    for (path, text) in [
        ("include/linux/kconfig.h", String::new()),
        ("include/linux/compiler_types.h", String::new()),
        ("include/generated/autoconf.h", config.to_owned()),
        ("include/generated/utsrelease.h", format!("#define UTS_RELEASE \"{release}\"\n")),
    ] {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), text).unwrap();
    }
}

fn own_config() -> &'static str {
    if cfg!(target_arch = "x86_64") { "#define CONFIG_X86_64 1\n" } else { "#define CONFIG_ARM64 1\n" }
}

#[test]
fn what_is_not_installed_is_named_with_its_package() {
    let output = bee_trace(&["build", "--kernel", "6.12.20+rpt-rpi-nosuch"]);
    let text = words(&output);
    assert_eq!(output.status.code(), Some(69), "{text}");
    assert!(text.contains("install with: apt install linux-headers-6.12.20+rpt-rpi-nosuch"), "{text}");
    assert!(text.contains("apt install linux-headers-rpi-nosuch, and boot"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("bee-trace: ")).count(), 1, "{text}");
}

#[test]
fn headers_that_do_not_do_are_refused_before_anything_is_written() {
    let root = tree("refused");
    let out = root.join("out/x.btf");
    let build = |more: &[&str]| {
        let (headers, out) = (root.to_str().unwrap(), out.to_str().unwrap());
        let output = bee_trace(&[&["build", "--headers", headers, "--out", out], more].concat());
        (output.status.code(), words(&output))
    };
    let (code, text) = build(&[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("holds no kernel headers"), "{text}");

    headers(&root, "6.1.0-9-x", own_config());
    let (code, text) = build(&["--kernel", "6.1.0-10-x"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("are those of 6.1.0-9-x, not of 6.1.0-10-x"), "{text}");
    assert_eq!(build(&["--kernel", "../x"]).0, Some(64));

    headers(&root, "6.1.0-9-x", &format!("{}#define CONFIG_RANDSTRUCT 1\n", own_config()));
    let (code, text) = build(&[]);
    assert_eq!(code, Some(69), "{text}");
    assert!(text.contains("CONFIG_RANDSTRUCT"), "{text}");

    let other =
        if cfg!(target_arch = "x86_64") { "#define CONFIG_ARM64 1\n" } else { "#define CONFIG_X86_64 1\n" };
    headers(&root, "6.1.0-9-x", other);
    let (code, text) = build(&[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("is made by bee-trace on such a machine"), "{text}");
    assert!(!out.exists());
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_compiler_that_fails_is_quoted_and_leaves_nothing() {
    let root = tree("fails");
    headers(&root, "6.1.0-9-x", own_config());
    let temporary = root.join("tmp");
    fs::create_dir(&temporary).unwrap();
    let out = root.join("x.btf");
    let output = Command::new(env!("CARGO_BIN_EXE_bee-trace"))
        .args(["btf", "build", "--headers"])
        .arg(&root)
        .arg("--out")
        .arg(&out)
        .env("TMPDIR", &temporary)
        .output()
        .unwrap();
    let text = words(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("the types of 6.1.0-9-x cannot be made:"), "{text}");
    assert!(text.contains("linux/version.h: No such file or directory"), "{text}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "left behind");
    assert!(!out.exists());
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn the_list_says_what_this_kernel_has() {
    let output = bee_trace(&["list"]);
    let text = words(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let has = Path::new("/sys/kernel/btf/vmlinux").exists();
    assert_eq!(text.contains("has its types built in"), has, "{text}");
}
