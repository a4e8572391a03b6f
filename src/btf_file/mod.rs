//! Files with the types of a kernel that has none of its own built in: what such a
//! file holds, whom it may be trusted from, and which kernel it fits.
//!
//! It is BTF as any tool reads it, and behind its last section, where none looks,
//! the origin as TOML, closed by a hash of all that is before it. In the same file,
//! so that neither can be there without the other. libbpf takes the BTF of another
//! build without a word and then reads garbage: everything that tells one build from
//! another is compared before a file is used, and what cannot be told so is left to
//! the self-test.

mod find;
mod list;
mod running;

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

pub use find::{DIRECTORIES, Found, LIMIT, Refused, Source, TypesFile, find, read, trusted};
pub use list::{Row, list, text};
pub use running::Running;

use crate::btf::Need;

/// Begins the origin; the number is the version of this format.
const MARK: &str = "\n# bee-traced types 1\n";
/// An origin is some 500 bytes.
const ORIGIN_LIMIT: usize = 4096;

/// Where a file comes from and which kernel it describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `uname -r`
    pub release: String,
    /// `uname -v`: tells builds of one release apart. `None`: the headers did not say.
    pub version: Option<String>,
    /// The build id of the kernel's image, in hex: known where the file was made for
    /// the kernel that was running.
    pub build_id: Option<String>,
    /// `uname -m`
    pub arch: String,
    /// Bytes.
    pub page_size: u32,
    /// [`needs_hash`] of the build of bee-trace that made it.
    pub needs: String,
    /// The version of bee-trace that made it, and with what.
    pub made_by: String,
}

impl Origin {
    /// Whether the file describes the kernel that runs, and all that this build asks for.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn fits(&self, running: &Running, needs: &str) -> Result<(), String> {
        if self.release != running.release {
            return Err(format!("made for {}, this kernel is {}", self.release, running.release));
        }
        if self.arch != running.arch {
            return Err(format!("made for {}, this kernel is for {}", self.arch, running.arch));
        }
        if self.page_size != running.page_size {
            let kib = |bytes: u32| bytes / 1024;
            return Err(format!(
                "made for a kernel with pages of {} KiB, this one's have {} KiB",
                kib(self.page_size),
                kib(running.page_size)
            ));
        }
        if let Some(version) = self.version.as_ref().filter(|version| **version != running.version) {
            return Err(format!(
                "made for the build {version:?} of {}, this kernel is the build {:?}",
                self.release, running.version
            ));
        }
        if let (Some(made), Some(here)) = (&self.build_id, &running.build_id)
            && made != here
        {
            return Err(format!("made for another build of {} (build id {made}, here {here})", self.release));
        }
        if self.needs != needs {
            return Err(format!("made by {}, which reads other types than this version", self.made_by));
        }
        Ok(())
    }

    fn write(&self, out: &mut String) {
        let mut add = |key: &str, value: toml::Value| {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{key} = {value}");
        };
        add("release", self.release.as_str().into());
        if let Some(version) = &self.version {
            add("version", version.as_str().into());
        }
        if let Some(id) = &self.build_id {
            add("build_id", id.as_str().into());
        }
        add("arch", self.arch.as_str().into());
        add("page_size", i64::from(self.page_size).into());
        add("needs", self.needs.as_str().into());
        add("made_by", self.made_by.as_str().into());
    }

    fn parse(text: &str) -> Option<Self> {
        let table: toml::Table = text.parse().ok()?;
        let text = |key: &str| table.get(key).and_then(toml::Value::as_str).map(str::to_owned);
        Some(Self {
            release: text("release")?,
            version: text("version"),
            build_id: text("build_id"),
            arch: text("arch")?,
            page_size: table.get("page_size")?.as_integer()?.try_into().ok()?,
            needs: text("needs")?,
            made_by: text("made_by")?,
        })
    }
}

/// What our objects ask of the kernel's types, as one word: a file made for other
/// needs lacks some of them.
pub fn needs_hash(needs: &[Need]) -> String {
    let mut hash = Sha256::new();
    for need in needs {
        hash.update(format!("{:?} {need}\n", need.kind));
    }
    hex(&hash.finalize()[..8])
}

/// A file's content: `btf`, and where it comes from.
pub fn seal(btf: &[u8], origin: &Origin) -> Vec<u8> {
    let mut text = MARK.to_owned();
    origin.write(&mut text);
    let mut out = [btf, text.as_bytes()].concat();
    let sum = sum_line(&out);
    out.extend_from_slice(sum.as_bytes());
    out
}

/// The last line of a file, about all that is before it.
fn sum_line(before: &[u8]) -> String {
    format!("sha256 = \"{}\"\n", hex(&Sha256::digest(before)))
}

/// Takes a file's content apart: the BTF, and where it comes from.
///
/// # Errors
/// Why it cannot be what [`seal`] made, in words.
pub fn open(bytes: &[u8]) -> Result<(&[u8], Origin), String> {
    let end = btf_end(bytes).ok_or("no BTF, or cut off")?;
    let (btf, behind) = bytes.split_at(end);
    let no_origin = "does not say where it comes from (only files that `bee-trace btf build` made are used)";
    let origin = behind.strip_prefix(MARK.as_bytes()).ok_or(no_origin)?;
    if origin.len() > ORIGIN_LIMIT {
        return Err(no_origin.to_owned());
    }
    let origin = std::str::from_utf8(origin).map_err(|_| "damaged: its origin is no text")?;
    let at = origin.rfind("sha256 = ").ok_or("damaged: its hash is missing")?;
    let (origin, sum) = origin.split_at(at);
    if sum != sum_line(&bytes[..bytes.len() - sum.len()]) {
        return Err("damaged: its content does not have the hash it should have".to_owned());
    }
    let origin = Origin::parse(origin).ok_or("damaged: its origin cannot be understood")?;
    Ok((btf, origin))
}

/// Where the BTF ends, by its own header (`struct btf_header` of linux/btf.h).
fn btf_end(bytes: &[u8]) -> Option<usize> {
    let word = |at: usize| -> Option<u64> {
        let word: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u64::from(u32::from_le_bytes(word)))
    };
    if bytes.get(..3)? != [0x9f, 0xeb, 1] {
        return None;
    }
    let types = word(8)?.checked_add(word(12)?)?;
    let strings = word(16)?.checked_add(word(20)?)?;
    let end = usize::try_from(word(4)?.checked_add(types.max(strings))?).ok()?;
    (end <= bytes.len()).then_some(end)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A BTF of no type and the one string that must be.
    pub(crate) fn nothing() -> Vec<u8> {
        let mut btf = vec![0x9f, 0xeb, 1, 0];
        for word in [24_u32, 0, 0, 0, 1] {
            btf.extend_from_slice(&word.to_le_bytes());
        }
        btf.push(0);
        btf
    }

    pub(crate) fn origin() -> Origin {
        Origin {
            release: "6.12.20+rpt-rpi-2712".into(),
            version: Some("#1 SMP PREEMPT Debian 1:6.12.20-1+rpt1 (2025-03-19)".into()),
            build_id: Some("00ff".into()),
            arch: "aarch64".into(),
            page_size: 16384,
            needs: "0123456789abcdef".into(),
            made_by: "bee-trace 0.1.0 \"with quotes\"".into(),
        }
    }

    pub(crate) fn running() -> Running {
        let origin = origin();
        Running {
            release: origin.release,
            version: origin.version.unwrap(),
            build_id: origin.build_id,
            arch: origin.arch,
            page_size: origin.page_size,
        }
    }

    #[test]
    fn what_is_sealed_opens_and_nothing_else_does() {
        let (btf, whole) = (nothing(), origin());
        let bare = Origin { version: None, build_id: None, ..origin() };
        for origin in [whole, bare] {
            let bytes = seal(&btf, &origin);
            assert_eq!(open(&bytes), Ok((btf.as_slice(), origin)));
            // Every single damage is found.
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1;
                assert!(open(&damaged).is_err(), "byte {at}");
                assert!(open(&bytes[..at]).is_err(), "cut at {at}");
            }
            let longer = [bytes.as_slice(), b"x"].concat();
            assert!(open(&longer).is_err());
        }
        let why = open(&btf).unwrap_err();
        assert!(why.contains("bee-trace btf build"), "{why}");
        assert_eq!(open(b"\x7fELF").unwrap_err(), "no BTF, or cut off");
    }

    #[test]
    fn a_file_of_another_kernel_is_refused_with_the_difference() {
        let needs = origin().needs;
        assert_eq!(origin().fits(&running(), &needs), Ok(()));
        let why = |change: fn(&mut Running)| {
            let mut running = running();
            change(&mut running);
            origin().fits(&running, "0123456789abcdef").unwrap_err()
        };
        assert_eq!(
            why(|running| running.release = "6.12.25+rpt-rpi-2712".into()),
            "made for 6.12.20+rpt-rpi-2712, this kernel is 6.12.25+rpt-rpi-2712"
        );
        assert_eq!(
            why(|running| running.arch = "x86_64".into()),
            "made for aarch64, this kernel is for x86_64"
        );
        assert_eq!(
            why(|running| running.page_size = 4096),
            "made for a kernel with pages of 16 KiB, this one's have 4 KiB"
        );
        let build = why(|running| running.version = "#2 SMP".into());
        assert!(
            build.contains("\"#1 SMP PREEMPT Debian") && build.ends_with("the build \"#2 SMP\""),
            "{build}"
        );
        assert!(why(|running| running.build_id = Some("aa".into())).contains("build id 00ff, here aa"));
        let other = origin().fits(&running(), "other").unwrap_err();
        assert!(other.contains("reads other types"), "{other}");
    }

    #[test]
    fn what_is_not_known_of_a_build_does_not_refuse_it() {
        let bare = Origin { version: None, build_id: None, ..origin() };
        assert_eq!(bare.fits(&running(), &bare.needs), Ok(()));
        let without = Running { build_id: None, ..running() };
        assert_eq!(origin().fits(&without, &bare.needs), Ok(()));
    }
}
