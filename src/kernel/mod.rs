//! Facts about this kernel: its options, its tracepoint formats, its mounts
//! and settings. Reads /proc, /sys, /boot and /lib/modules; never loads a
//! program, never decides, never logs. Everything is found below [`Places`],
//! so that tests and containers can point elsewhere.

pub mod config;
pub mod facts;
pub mod mounts;
pub mod tracefs;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// Something about the host. What could not be found out is `Unknown`, which
/// is neither yes nor no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<T> {
    /// It was read.
    Known(T),
    /// It could not be read, and why, in words.
    Unknown(String),
}

impl<T> Fact<T> {
    /// The value, where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// Turns the value of a known fact into another.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value) => Fact::Known(f(value)),
            Self::Unknown(why) => Fact::Unknown(why),
        }
    }
}

impl<T, E: fmt::Display> From<Result<T, E>> for Fact<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

/// Where the host's trees are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// In front of `/boot`, `/lib/modules` and of every mount point that mountinfo names.
    pub root: PathBuf,
    /// procfs.
    pub proc: PathBuf,
    /// sysfs.
    pub sys: PathBuf,
}

impl Places {
    /// All of them below `root`, as they lie below `/`.
    pub fn under(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { proc: root.join("proc"), sys: root.join("sys"), root }
    }

    /// `path` (absolute) below the root. A `..` in it is dropped, so that
    /// nothing outside is reached by spelling.
    pub fn join(&self, path: &Path) -> PathBuf {
        let mut full = self.root.clone();
        full.extend(path.components().filter(|part| matches!(part, Component::Normal(_))));
        full
    }
}

impl Default for Places {
    fn default() -> Self {
        Self::under("/")
    }
}

/// Reads a whole regular file of at most `limit` bytes; a longer one, a
/// directory, a pipe or a device is an error. Files of procfs and sysfs are
/// regular and say size 0, so the size is found by reading.
pub(crate) fn read_bounded(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    // O_NONBLOCK: a pipe put in the place of a file must not hold us up.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    read_all(file, limit)
}

/// Reads `from` to its end; more than `limit` bytes is an error.
pub(crate) fn read_all(from: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {limit} bytes")));
    }
    Ok(bytes)
}

/// Reads a short text (a sysctl, an attribute of sysfs) without its newline.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let bytes = read_bounded(path, 4096)?;
    let text = String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(text.trim_end().to_owned())
}

/// The same as a fact, with the path in front of the reason.
pub(crate) fn text_fact(path: &Path) -> Fact<String> {
    Fact::from(read_text(path).map_err(|error| format!("{}: {}", path.display(), plain(&error))))
}

/// An error of the system in words, without Rust's "(os error 2)".
pub(crate) fn plain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_owned(),
        None => error.to_string(),
    }
}
