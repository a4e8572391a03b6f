//! What the package installs beside the programs: units and hooks.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn packaging(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)
}

fn has(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        println!("skipped: {program} is not installed");
    }
    there
}

#[test]
fn systemd_understands_every_unit() {
    if !has("systemd-analyze") {
        return;
    }
    let directory = std::env::temp_dir().join(format!("bee-units-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let mut units = 0;
    for entry in fs::read_dir(packaging("systemd")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "service") {
            continue;
        }
        // The programs are not installed here, so systemd is shown those that were built.
        let text = fs::read_to_string(&path).unwrap();
        let text = text
            .replace("/usr/bin/bee-traced", env!("CARGO_BIN_EXE_bee-traced"))
            .replace("/usr/bin/bee-trace ", concat!(env!("CARGO_BIN_EXE_bee-trace"), " "));
        let unit = directory.join(path.file_name().unwrap());
        fs::write(&unit, text).unwrap();
        let output =
            Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let about = path.file_name().unwrap().to_str().unwrap();
        let own: Vec<&str> = said.lines().filter(|line| line.contains(about)).collect();
        assert!(output.status.success() && own.is_empty(), "{about}: {said}");
        units += 1;
    }
    fs::remove_dir_all(directory).unwrap();
    assert!(units > 0);
}

/// Under 3.0 of 10; what is left is explained in the unit.
#[test]
fn the_daemons_unit_is_hardened() {
    if !has("systemd-analyze") {
        return;
    }
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager", "--threshold=30"]);
    let output = command.arg(packaging("systemd/bee-traced.service")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("Overall exposure level"), "{output:?}");
    assert!(output.status.success(), "{said}");
}

/// What the unit gives is what the start asks for, and what it must not take away stays.
#[test]
fn the_daemons_unit_lets_it_load_and_see() {
    let text = fs::read_to_string(packaging("systemd/bee-traced.service")).unwrap();
    let values = |key: &str| -> Vec<&str> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        lines.flat_map(str::split_whitespace).collect()
    };
    let bounding = values("CapabilityBoundingSet");
    assert_eq!(bounding, values("AmbientCapabilities"));
    for need in bee_trace::privilege::NEEDS {
        // Started as its own user it changes to nobody.
        let changes_user = ["CAP_SETUID", "CAP_SETGID"].contains(&need.name);
        assert_eq!(bounding.contains(&need.name), !changes_user, "{}", need.name);
    }
    for absent in ["PrivateTmp", "PrivateDevices", "PrivateUsers", "ProtectKernelModules"] {
        assert!(values(absent).is_empty(), "{absent} blinds it");
    }
    assert_eq!(values("ProtectHome"), ["read-only"]);
    assert_eq!(values("ProtectProc"), ["default"]);
    assert_eq!(values("RestartPreventExitStatus"), ["64", "69", "77", "78"]);
}

/// Debian runs what is there by run-parts, which passes over names it does not like.
#[test]
fn the_hooks_are_run() {
    if !has("run-parts") {
        return;
    }
    for directory in ["kernel/postinst.d", "kernel/header_postinst.d", "kernel/postrm.d"] {
        let output = Command::new("run-parts").arg("--test").arg(packaging(directory)).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1, "{directory}");
    }
}

/// Whatever they are called with, the kernel's installation goes on.
#[test]
fn the_hooks_never_fail() {
    let programs = Path::new(env!("CARGO_BIN_EXE_bee-trace")).parent().unwrap();
    let path = |with: bool| {
        let own = if with { format!("{}:", programs.display()) } else { String::new() };
        format!("{own}/usr/sbin:/usr/bin:/sbin:/bin")
    };
    for hook in ["kernel/postinst.d/zz-bee-traced-btf", "kernel/postrm.d/zz-bee-traced-btf"] {
        for arguments in [&[][..], &["9.9.9-none", "/boot/vmlinuz-9.9.9-none"], &["../../etc/passwd"], &[""]]
        {
            for with in [true, false] {
                let output =
                    Command::new(packaging(hook)).args(arguments).env("PATH", path(with)).output().unwrap();
                assert!(output.status.success(), "{hook} {arguments:?}: {output:?}");
            }
        }
    }
    assert!(Path::new("/etc/passwd").exists());
}

/// What debhelper is to install is there, and everything people look for is installed.
#[test]
fn the_package_installs_what_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("debian/bee-traced.install")).unwrap();
    let mut installed = Vec::new();
    for line in text.lines() {
        let (source, target) = line.split_once(' ').unwrap();
        let (directory, name) = source.rsplit_once('/').unwrap();
        // debian/tmp is what the build makes; of a pattern the directory must be there.
        let there = if name.contains('*') { root.join(directory) } else { root.join(source) };
        assert!(source.starts_with("debian/tmp/") || there.exists(), "{source}");
        installed.push(format!("{}/{name}", target.trim()));
    }
    for wanted in [
        "usr/share/bash-completion/completions/bee-trace",
        "usr/share/bash-completion/completions/bee-traced",
        "usr/lib/systemd/system/bee-traced.service",
        "usr/lib/systemd/catalog/bee-traced.catalog",
        "usr/bin/bee-traced",
        "usr/bin/bee-trace",
    ] {
        assert!(installed.iter().any(|path| path == wanted), "{wanted}: {installed:?}");
    }
    let pages = std::fs::read_to_string(root.join("debian/bee-traced.manpages")).unwrap();
    assert_eq!(pages, "docs/man/*\n");
}
