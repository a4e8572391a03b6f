//! The kernels there are, and the types built into them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bee_trace::btf::Btf;

/// How a BTF begins: magic, version, flags, length of the header.
const HEADER: &[u8] = b"\x9f\xeb\x01\x00\x18\0\0\0";
/// What a kernel's image is compressed with, and what unpacks it.
const PACKED: &[(&[u8], &str)] =
    &[(b"\xfd7zXZ\0", "xz"), (b"\x1f\x8b\x08", "gzip"), (b"(\xb5/\xfd", "zstd"), (b"\x02!L\x18", "lz4")];

/// A kernel, as `scripts/btf.sh` lays it down.
pub struct Kernel {
    pub release: String,
    pub arch: &'static str,
    pub headers: PathBuf,
    directory: PathBuf,
}

pub fn kernels() -> Vec<Kernel> {
    let trees = std::env::var_os("BEE_BTF_TREES").expect("BEE_BTF_TREES: run scripts/btf.sh");
    let mut all: Vec<Kernel> = fs::read_dir(trees)
        .unwrap()
        .filter_map(|entry| {
            let directory = entry.unwrap().path();
            let release = fs::read_to_string(directory.join("release")).ok()?.trim().to_owned();
            let headers = directory.join("tree/usr/src").join(format!("linux-headers-{release}"));
            let arch = if release.contains("-arm64") { "aarch64" } else { "x86_64" };
            Some(Kernel { release, arch, headers, directory })
        })
        .collect();
    all.sort_by(|one, other| one.release.cmp(&other.release));
    all
}

impl Kernel {
    /// `6.12`
    pub fn version(&self) -> String {
        self.release.split('.').take(2).collect::<Vec<_>>().join(".")
    }

    /// The types it has built in; unpacked once and kept beside it.
    pub fn types(&self) -> Vec<u8> {
        let kept = self.directory.join("kernel.btf");
        if let Ok(types) = fs::read(&kept) {
            return types;
        }
        let image = self.directory.join("vmlinuz");
        let types = extract(&image).unwrap_or_else(|| panic!("no types in {}", image.display()));
        fs::write(&kept, &types).unwrap();
        types
    }
}

fn extract(image: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(image).unwrap();
    if let Some(types) = find(&bytes) {
        return Some(types);
    }
    PACKED.iter().find_map(|(magic, program)| {
        positions(&bytes, magic).find_map(|at| {
            let command = format!("tail -c +{} {} | {program} -dcq 2>/dev/null", at + 1, image.display());
            let unpacked = Command::new("sh").args(["-c", &command]).output().unwrap().stdout;
            find(&unpacked)
        })
    })
}

fn find(bytes: &[u8]) -> Option<Vec<u8>> {
    positions(bytes, HEADER).find_map(|at| {
        let bytes = &bytes[at..];
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
        let types = bytes.get(..24 + word(16)?.checked_add(word(20)?)?)?;
        // A module's, or bytes that look so, have fewer.
        Btf::parse(types).ok().filter(|btf| btf.last() > 10_000)?;
        Some(types.to_vec())
    })
}

fn positions<'a>(bytes: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes.windows(wanted.len()).enumerate().filter(move |(_, window)| *window == wanted).map(|(at, _)| at)
}
