//! Where a configuration comes from: one file and the drop-ins beside it.
//! Reads files and nothing else; what they say is `load`'s business.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

use super::Document;
use super::profiles::{BESIDE, Files, INSTALLED};
use crate::error::{Error, ExitStatus, Result};
use crate::text;

/// A document may have this many bytes.
pub const MAX_DOCUMENT: usize = 1 << 20;
/// This many drop-ins are read.
const MAX_DROPINS: usize = 256;
/// The drop-ins' directory, beside the file.
const DROPINS: &str = "config.d";

/// A configuration file by the directory that holds it. The directory stays
/// open, so that the file can be read again by a daemon that may no longer
/// walk the path to it.
#[derive(Debug)]
pub struct Source {
    directory: OwnedFd,
    name: OsString,
    shown: PathBuf,
}

impl Source {
    /// Opens the directory `path` lies in; the file itself is not touched yet.
    ///
    /// # Errors
    /// `path` names no file, or its directory cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(wrong(path, "is no file; name the configuration file itself"));
        };
        let shown = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(shown, flags, Mode::empty()).map_err(|errno| failed(path, errno))?;
        Ok(Self { directory, name: name.to_owned(), shown: shown.to_owned() })
    }

    /// The file, then `config.d/*.toml` beside it in the order of their names, and the profiles they
    /// inherit: `profiles/NAME.toml` beside it, else an installed one, else a shipped one.
    ///
    /// # Errors
    /// The file is missing, or one of them cannot be read, is no regular file,
    /// may be written by anyone, is longer than 1 MiB or is not UTF-8.
    pub fn read(&self) -> Result<Files> {
        Files::gather(self.documents()?, |name| self.profile(name))
    }

    fn profile(&self, name: &str) -> Result<Option<Document>> {
        let file = format!("{name}.toml");
        let beside = Path::new(BESIDE).join(&file);
        let shown = self.shown.join(&beside);
        if let Some(found) = document_if_there(&self.directory, beside.as_os_str(), &shown)? {
            return Ok(Some(found));
        }
        let installed = Path::new(INSTALLED).join(&file);
        // An absolute path: the directory does not matter.
        document_if_there(&self.directory, installed.as_os_str(), &installed)
    }

    fn documents(&self) -> Result<Vec<Document>> {
        let mut documents = vec![document_at(&self.directory, &self.name, &self.shown.join(&self.name))?];
        let shown = self.shown.join(DROPINS);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut directory = match nix::dir::Dir::openat(&self.directory, DROPINS, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::ENOENT) => return Ok(documents),
            Err(errno) => return Err(failed(&shown, errno)),
        };
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(|errno| failed(&shown, errno))?;
            let name = entry.file_name().to_bytes();
            if name.ends_with(b".toml") && !name.starts_with(b".") {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        if names.len() > MAX_DROPINS {
            return Err(wrong(&shown, &format!("has {} files; at most {MAX_DROPINS} are read", names.len())));
        }
        names.sort();
        for name in names {
            documents.push(document_at(&directory, &name, &shown.join(&name))?);
        }
        Ok(documents)
    }
}

/// Reads the file at `path` and its drop-ins; [`Source`] in one step.
///
/// # Errors
/// As [`Source::open`] and [`Source::read`].
pub fn read(path: &Path) -> Result<Files> {
    Source::open(path)?.read()
}

fn document_at(directory: impl AsFd, name: &OsStr, shown: &Path) -> Result<Document> {
    document_if_there(directory, name, shown)?.ok_or_else(|| failed(shown, Errno::ENOENT))
}

fn document_if_there(directory: impl AsFd, name: &OsStr, shown: &Path) -> Result<Option<Document>> {
    // O_NONBLOCK: a fifo in its place must not hold up the start.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    match openat(directory, name, flags, Mode::empty()) {
        Ok(file) => document(File::from(file), shown).map(Some),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(failed(shown, errno)),
    }
}

/// Reads an open file as a document; `shown` is its name in messages.
///
/// # Errors
/// As [`Source::read`].
pub fn document(file: File, shown: &Path) -> Result<Document> {
    let facts = file.metadata().map_err(|error| wrong(shown, &error.to_string()))?;
    if !facts.is_file() {
        return Err(wrong(shown, "is not a regular file"));
    }
    if facts.mode() & 0o002 != 0 {
        return Err(wrong(
            shown,
            "can be changed by any user, who could so switch the watch off; run `chmod o-w` on it",
        ));
    }
    let limit = MAX_DOCUMENT as u64 + 1;
    let mut bytes = Vec::new();
    (&file).take(limit).read_to_end(&mut bytes).map_err(|error| wrong(shown, &error.to_string()))?;
    let after = file.metadata().map_err(|error| wrong(shown, &error.to_string()))?;
    if is_torn(&facts, &after) {
        return Err(wrong(
            shown,
            "was changed while it was read; try again. Write a new file beside it and rename it: then this cannot be",
        ));
    }
    if bytes.len() > MAX_DOCUMENT {
        return Err(wrong(shown, "is longer than 1 MiB, which no configuration is"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
        wrong(shown, &format!("is not UTF-8 (line {line}); save it in that encoding"))
    })?;
    Ok(Document { name: shown.display().to_string(), text })
}

/// Whether somebody wrote into a file between two looks. (One that was renamed over it meanwhile
/// changes neither of these: it was read whole.)
fn is_torn(before: &Metadata, after: &Metadata) -> bool {
    let facts = |file: &Metadata| (file.len(), file.mtime(), file.mtime_nsec());
    facts(before) != facts(after)
}

fn wrong(path: &Path, what: &str) -> Error {
    Error::new(
        ExitStatus::Config,
        format!("configuration {} {what}", text::shown(path.as_os_str().as_bytes())),
    )
}

fn failed(path: &Path, errno: Errno) -> Error {
    let what = match errno {
        Errno::ENOENT => "does not exist; name another with --config".to_owned(),
        Errno::EACCES => {
            "cannot be read: permission denied; it must be readable for the daemon's user".to_owned()
        }
        other => format!("cannot be read: {}", other.desc()),
    };
    wrong(path, &what)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_somebody_writes_into_is_torn_and_one_that_is_replaced_is_not() {
        let directory = std::env::temp_dir().join(format!("bee-source-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("config.toml");
        std::fs::write(&path, "[file]\n").unwrap();
        let file = File::open(&path).unwrap();
        let before = file.metadata().unwrap();
        std::fs::write(directory.join("new"), "[limits]\n").unwrap();
        std::fs::rename(directory.join("new"), &path).unwrap();
        assert!(!is_torn(&before, &file.metadata().unwrap()), "it is still the old one");
        let mut file = std::fs::OpenOptions::new().read(true).append(true).open(&path).unwrap();
        let before = file.metadata().unwrap();
        file.write_all(b"# more\n").unwrap();
        assert!(is_torn(&before, &file.metadata().unwrap()));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
