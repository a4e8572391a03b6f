//! The list that is handed over with the descriptors: who made them, for which kernel and
//! which configuration, and what each is. It is as untrusted as they are.

use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Of this file. A reader of another takes nothing from it.
pub const FORMAT: u32 = 1;
/// No list is longer, in bytes.
const MAX: i64 = 256 * 1024;

/// See the module.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The release that made them, for people.
    pub version: String,
    /// Hash of the objects in the kernel.
    pub build: String,
    /// Of the records in the rings.
    pub wire: u16,
    /// The kernel's release.
    pub kernel: String,
    /// Which boot it was.
    pub boot: u32,
    /// Settings that take effect with a start only, in words.
    pub shape: String,
    /// Name and number of each map.
    pub maps: Vec<(String, u32)>,
    /// Sensors that run.
    pub sensors: Vec<Sensor>,
    /// Sensors that cannot run here, with the reason.
    pub absent: Vec<(String, String)>,
}

/// A sensor that runs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sensor {
    /// `bee.sensor`.
    pub name: String,
    /// What of it is attached.
    pub attached: Vec<Part>,
}

/// A program that is attached.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Which point of the sensor.
    pub point: String,
    /// Which hook of it.
    pub hook: String,
    /// The tier of its program there.
    pub tier: String,
    /// What that is called in its object.
    pub name: String,
    /// The link's number.
    pub link: u32,
    /// The program's.
    pub program: u32,
    /// It is handed on to by that program, from this place of an array.
    pub place: Option<u32>,
}

impl Manifest {
    /// As a file that nobody can change any more.
    ///
    /// # Errors
    /// When there can be no memfd.
    pub fn write(&self) -> Result<OwnedFd> {
        let text = serde_json::to_vec(self).map_err(|error| Error::failure(error.to_string()))?;
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file = std::fs::File::from(memfd_create("bee-manifest", flags)?);
        file.write_all(&text)?;
        let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
        Ok(file.into())
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is none, with the reason.
    pub fn read(fd: OwnedFd) -> Result<Self> {
        let mut file = std::fs::File::from(fd);
        let length = nix::sys::stat::fstat(&file)?.st_size;
        if !(1..=MAX).contains(&length) {
            return Err(Error::failure(format!("its list has {length} bytes")));
        }
        let mut text = Vec::new();
        file.rewind()?;
        file.take(MAX.unsigned_abs()).read_to_end(&mut text)?;
        #[derive(Deserialize)]
        struct Begin {
            format: u32,
        }
        let broken = |error: serde_json::Error| Error::failure(format!("its list cannot be read: {error}"));
        let Begin { format } = serde_json::from_slice(&text).map_err(broken)?;
        if format != FORMAT {
            return Err(Error::failure(format!(
                "its list has format {format}, and this release knows {FORMAT}"
            )));
        }
        serde_json::from_slice(&text).map_err(broken)
    }

    /// Why a daemon that would make `own` cannot take over what this one lists; `None`: it can.
    pub fn differs(&self, own: &Self) -> Option<String> {
        let pairs = [
            ("another boot", self.boot != own.boot),
            ("another kernel", self.kernel != own.kernel),
            ("another format of records", self.wire != own.wire),
            ("another build", self.build != own.build),
        ];
        if let Some((why, _)) = pairs.iter().find(|pair| pair.1) {
            return Some(format!("it is of {why}"));
        }
        (self.shape != own.shape)
            .then(|| "settings have changed that take effect with a new start only".to_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn made() -> Manifest {
        Manifest {
            format: FORMAT,
            version: "0".into(),
            build: "b".into(),
            wire: 1,
            kernel: "6.1".into(),
            boot: 7,
            shape: "s".into(),
            maps: vec![("alerts".into(), 3)],
            sensors: vec![Sensor {
                name: "file".into(),
                attached: vec![Part {
                    point: "p".into(),
                    hook: "h".into(),
                    tier: "full".into(),
                    name: "n".into(),
                    link: 1,
                    program: 2,
                    place: None,
                }],
            }],
            absent: vec![("kernel".into(), "no".into())],
        }
    }

    fn file(text: &str) -> OwnedFd {
        let mut file = std::fs::File::from(memfd_create("x", MFdFlags::empty()).unwrap());
        file.write_all(text.as_bytes()).unwrap();
        file.into()
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(Manifest::read(made().write().unwrap()).unwrap(), made());
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        let why = |text: &str| Manifest::read(file(text)).unwrap_err().to_string();
        assert!(why("").contains("0 bytes"));
        assert!(why("hello").contains("cannot be read"));
        assert!(why("{\"format\":2,\"later\":1}").contains("format 2"));
        assert!(why("{\"format\":1}").contains("missing field"));
        assert!(why(&" ".repeat(300_000)).contains("300000 bytes"));
        let (pipe, _other) = nix::unistd::pipe().unwrap();
        assert!(Manifest::read(pipe).is_err());
    }

    #[test]
    fn each_difference_is_named() {
        assert_eq!(made().differs(&made()), None);
        type Change = fn(&mut Manifest);
        let changes: [(Change, &str); 5] = [
            (|m| m.boot = 8, "boot"),
            (|m| m.kernel = "6.2".into(), "kernel"),
            (|m| m.wire = 2, "format"),
            (|m| m.build = "c".into(), "build"),
            (|m| m.shape = "t".into(), "settings"),
        ];
        for (change, word) in changes {
            let mut other = made();
            change(&mut other);
            assert!(other.differs(&made()).unwrap().contains(word), "{word}");
        }
        let mut other = made();
        other.version = "1".into();
        assert_eq!(other.differs(&made()), None, "the same kernel side is enough");
    }
}
