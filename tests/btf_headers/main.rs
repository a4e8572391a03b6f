//! The types made from a kernel's headers against those the same kernel has built
//! in: for every kernel below `$BEE_BTF_TREES`, which `scripts/btf.sh` (`make
//! test-btf`) fills with Debian's.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod kernels;
mod layouts;

use std::path::Path;

use bee_trace::btf::{self, Offset};
use bee_trace::btf_build::{self, Arch, Options};
use bee_trace::btf_file;
use bee_trace::kernel::Places;

use kernels::{Kernel, kernels};
use layouts::{Layouts, compare};

fn describe(kernel: &Kernel) -> btf_build::Described {
    let headers = btf_build::headers(&Places::default(), "", Some(&kernel.headers)).unwrap();
    assert_eq!(headers.release, kernel.release);
    let compilers = btf_build::compilers(&headers);
    assert!(!compilers.is_empty(), "no compiler for {}", headers.arch.machine());
    btf_build::describe(&headers, &compilers, btf::needs()).unwrap()
}

/// Not only what our objects read today: every type and every member in what the
/// headers gave, sizes included.
#[test]
fn every_layout_is_that_of_the_kernel() {
    let (mut all, mut failed) = (0, Vec::new());
    for kernel in kernels() {
        let made = describe(&kernel);
        let own = kernel.types();
        let result = compare(&Layouts::of(&made.btf), &Layouts::of(&own));
        let needs = btf::offsets(&made.btf, btf::needs()).unwrap();
        let wanted = btf::offsets(&own, btf::needs()).unwrap();
        let equal = needs.iter().zip(&wanted).filter(|(made, own)| made == own);
        let found = equal.clone().filter(|((_, offset), _)| matches!(offset, Offset::Is { .. })).count();
        println!(
            "{}: {} types with {} members equal, the beginning of {}; {} of {} needs equal, {found} of them found; by {}",
            kernel.release,
            result.types,
            result.members,
            result.beginnings.join(" and "),
            equal.count(),
            needs.len(),
            made.by,
        );
        failed.extend(result.different.iter().map(|what| format!("{}: {what}", kernel.release)));
        let pairs = needs.iter().zip(&wanted).filter(|(made, own)| made != own);
        failed
            .extend(pairs.map(|(made, own)| format!("{}: {made:?}, the kernel has {own:?}", kernel.release)));
        // Of those we declare ourselves the last members are left out, of no other.
        assert_eq!(result.beginnings, ["mnt_namespace", "mount"], "{}", kernel.release);
        assert!(result.types > 400 && found > 40, "{}: compared too little", kernel.release);
        all += 1;
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(all > 0, "no kernel to compare with: run scripts/btf.sh");
}

/// What `bee-trace btf build` does, up to a file that is there and would be the same.
#[test]
fn the_file_is_made_and_kept_and_is_of_its_headers() {
    let directory = std::env::temp_dir().join(format!("bee-btf-build-{}", std::process::id()));
    let build = |options: &Options| btf_build::build(&Places::default(), options);
    let mut made = 0;
    for kernel in kernels().iter().filter(|kernel| kernel.arch == std::env::consts::ARCH) {
        let path = directory.join(format!("{}.btf", kernel.release));
        let options = Options {
            headers: Some(kernel.headers.clone()),
            out: Some(path.clone()),
            if_needed: true,
            ..Options::default()
        };
        let first = build(&options).unwrap();
        let facts = first.made.expect("there was none");
        assert_eq!((&first.path, &facts.origin.release), (&path, &kernel.release));
        assert!(facts.known > 100 && facts.confirmed > 100, "{facts:?}");
        let (origin, types) = btf_file::read(&path).unwrap();
        assert_eq!(origin, facts.origin);
        let (ours, own) = (btf::offsets(&types, btf::needs()).unwrap(), kernel.types());
        assert_eq!(ours, btf::offsets(&own, btf::needs()).unwrap(), "{}", kernel.release);
        assert_eq!(build(&options).unwrap().made, None, "{}: made again", kernel.release);
        let other = Options { kernel: Some("6.1.0-none".to_owned()), ..options };
        let why = build(&other).unwrap_err().to_string();
        assert!(why.contains(&format!("are those of {}", kernel.release)), "{why}");
        made += 1;
    }
    std::fs::remove_dir_all(directory).unwrap();
    assert!(made > 0, "no kernel of this architecture: run scripts/btf.sh");
}

/// The comparison would find it: the headers of one kernel against the types of the next.
#[test]
fn another_kernels_types_are_told_apart() {
    let kernels = kernels();
    let mut pairs = 0;
    for one in &kernels {
        let made = Layouts::of(&describe(one).btf);
        let others = kernels.iter().filter(|other| other.version() != one.version());
        for other in others.filter(|other| other.arch == one.arch).take(1) {
            let result = compare(&made, &Layouts::of(&other.types()));
            assert!(result.different.len() > 10, "{} and {}", one.release, other.release);
            pairs += 1;
        }
    }
    assert!(pairs > 0);
}

/// A compiler that cannot write BTF itself leaves it to pahole.
#[test]
fn pahole_gives_the_same() {
    if std::process::Command::new("pahole").arg("--version").output().is_err() {
        println!("skipped: pahole is not installed");
        return;
    }
    let own =
        [Arch::X86, Arch::Arm].into_iter().find(|arch| arch.machine() == std::env::consts::ARCH).unwrap();
    let mut compared = 0;
    for kernel in kernels().iter().filter(|kernel| kernel.arch == own.machine()) {
        let headers = btf_build::headers(&Places::default(), "", Some(&kernel.headers)).unwrap();
        let mut compilers = btf_build::compilers(&headers);
        compilers.truncate(1);
        let directory = std::env::temp_dir().join(format!("bee-old-gcc-{}", std::process::id()));
        compilers[0].program = without_btf(&directory, &compilers[0].program);
        let made = btf_build::describe(&headers, &compilers, btf::needs()).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(made.by.contains("pahole"), "{}", made.by);
        let result = compare(&Layouts::of(&made.btf), &Layouts::of(&kernel.types()));
        assert_eq!(result.different, Vec::<String>::new(), "{}", kernel.release);
        println!("{}: {} types equal by {}", kernel.release, result.types, made.by);
        compared += 1;
    }
    assert!(compared > 0);
}

/// gcc as it was before version 12: it does not know `-gbtf`.
fn without_btf(directory: &Path, gcc: &Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(directory).unwrap();
    let path = directory.join("gcc");
    let text = format!(
        "#!/bin/sh\nfor one; do [ \"$one\" != -gbtf ] || {{ echo \"error: unrecognized debug output level 'btf'\" >&2; exit 1; }}; done\n\
         exec {} \"$@\"\n",
        gcc.display()
    );
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
