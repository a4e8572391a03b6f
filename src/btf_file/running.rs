//! What tells the kernel that runs from every other.

use std::io;

use nix::unistd::{SysconfVar, sysconf};

use crate::kernel::{Places, read_bounded};

/// Notes are some hundred bytes.
const NOTES_LIMIT: usize = 64 << 10;
/// `NT_GNU_BUILD_ID` of elf.h.
const BUILD_ID: u32 = 3;

/// The kernel that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// `uname -r`
    pub release: String,
    /// `uname -v`
    pub version: String,
    /// The build id of its image, in hex, where it tells.
    pub build_id: Option<String>,
    /// `uname -m`
    pub arch: String,
    /// Bytes.
    pub page_size: u32,
}

impl Running {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When uname or sysconf fail, which they never should.
    pub fn gather(places: &Places) -> io::Result<Self> {
        let uname = nix::sys::utsname::uname()?;
        let page_size = sysconf(SysconfVar::PAGE_SIZE)?.and_then(|size| u32::try_from(size).ok());
        let notes = read_bounded(&places.sys.join("kernel/notes"), NOTES_LIMIT).unwrap_or_default();
        Ok(Self {
            release: uname.release().to_string_lossy().into_owned(),
            version: uname.version().to_string_lossy().into_owned(),
            build_id: build_id(&notes),
            arch: uname.machine().to_string_lossy().into_owned(),
            page_size: page_size.ok_or(io::ErrorKind::InvalidData)?,
        })
    }
}

/// The build id among ELF notes: each has the lengths of its name and its content,
/// its kind, and both, padded to four bytes (elf(5)).
fn build_id(mut notes: &[u8]) -> Option<String> {
    let word = |bytes: &[u8], at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    let padded = |length: u32| usize::try_from(length).ok()?.checked_next_multiple_of(4);
    loop {
        let (name, content, kind) = (word(notes, 0)?, word(notes, 4)?, word(notes, 8)?);
        let start = padded(name)?.checked_add(12)?;
        let end = start.checked_add(content as usize)?;
        let found = notes.get(start..end)?;
        if kind == BUILD_ID && notes.get(12..16)? == b"GNU\0" {
            return Some(super::hex(found));
        }
        notes = notes.get(start.checked_add(padded(content)?)?..)?;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn note(name: &[u8], kind: u32, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [name.len(), content.len()] {
            out.extend_from_slice(&u32::try_from(word).unwrap().to_le_bytes());
        }
        out.extend_from_slice(&kind.to_le_bytes());
        for part in [name, content] {
            out.extend_from_slice(part);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn the_build_id_is_found_among_other_notes() {
        let notes = [note(b"Xen\0", 3, b"12345"), note(b"GNU\0", 3, &[0xab, 0xcd, 1])].concat();
        assert_eq!(build_id(&notes), Some("abcd01".into()));
        assert_eq!(build_id(&notes[..notes.len() - 4]), None);
        assert_eq!(build_id(b""), None);
        assert_eq!(build_id(&[0xff; 64]), None);
        assert_eq!(build_id(&note(b"GNU\0", 1, b"x")), None);
    }

    #[test]
    fn this_kernel_is_described() {
        let running = Running::gather(&Places::default()).unwrap();
        let text = std::fs::read_to_string("/proc/version").unwrap();
        assert!(text.contains(&running.release) && text.contains(running.version.trim()), "{running:?}");
        assert!(running.page_size >= 4096);
        if std::path::Path::new("/sys/kernel/notes").exists() {
            assert!(running.build_id.is_some(), "{running:?}");
        }
    }
}
