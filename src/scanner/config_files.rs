//! The configuration files, opened for a daemon that no longer could. Which
//! files these are was fixed at the fork: a daemon in the wrong hands gets them
//! and nothing else.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::wire::MAX_FILES;
use crate::config::{BESIDE, INSTALLED};
use crate::text::shown;

/// Opens `main` and `config.d/*.toml` beside it, in name order, then every profile: which of them
/// is inherited is not found out here, where a capability is. What is not there is left out.
///
/// # Errors
/// Names the file that is there and cannot be used.
pub fn open(main: &Path) -> Result<Vec<(PathBuf, OwnedFd)>, String> {
    open_with(main, Path::new(INSTALLED))
}

fn open_with(main: &Path, installed: &Path) -> Result<Vec<(PathBuf, OwnedFd)>, String> {
    let mut paths = vec![main.to_path_buf()];
    paths.extend(toml_files(&main.with_file_name("config.d"))?);
    if paths.len() > MAX_FILES {
        return Err(format!("config.d has {} files; at most {} are read", paths.len() - 1, MAX_FILES - 1));
    }
    for directory in [&main.with_file_name(BESIDE), installed] {
        paths.extend(toml_files(directory)?);
    }
    if paths.len() > MAX_FILES {
        return Err(format!(
            "there are {} configuration files and profiles; at most {MAX_FILES} are read",
            paths.len()
        ));
    }
    let mut files = Vec::new();
    for path in paths {
        match open_one(&path) {
            Ok(fd) => files.push((path, fd)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("open {}: {error}", shown(path.as_os_str().as_bytes()))),
        }
    }
    Ok(files)
}

fn toml_files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(format!("read {}: {error}", shown(directory.as_os_str().as_bytes()))),
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter(|path| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')))
        .collect();
    paths.sort();
    Ok(paths)
}

/// A link is followed only if its target has the same owner: else whoever may
/// write in the directory could have any file of root's read, and find lines of
/// it in an error message.
fn open_one(path: &Path) -> std::io::Result<OwnedFd> {
    let link = fs::symlink_metadata(path)?;
    let nofollow = if link.is_symlink() { 0 } else { libc::O_NOFOLLOW };
    // O_NONBLOCK: a FIFO must not keep us waiting.
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(nofollow | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let opened = file.metadata()?;
    if !opened.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    if opened.uid() != link.uid() {
        return Err(std::io::Error::other("it is a symbolic link to a file of another owner"));
    }
    Ok(file.into())
}
