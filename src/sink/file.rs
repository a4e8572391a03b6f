//! A file that grows to a size and is then put aside: `file.1` is the newest of
//! the old ones, `file.N` the oldest.
//!
//! Everything is done relative to a descriptor of the directory, opened while
//! the daemon still had its privileges: later it may not be able to search the
//! path above. What is needed then is the right to write in that directory;
//! without it the file is not rotated, which is counted and reported, and
//! writing goes on. A file that somebody removed is made again, since what goes
//! into it would be lost; one that somebody renamed is written on. The file is ours alone: 0600, one name, no symbolic link.

use std::ffi::{OsStr, OsString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat, write};

use super::writer::{Room, Target};
use crate::error::{Error, Result};

/// The end of the name of a file that is about to become the current one.
const NEW: &str = ".new";

/// A file with rotation; a [`Target`].
pub struct Rotating {
    path: PathBuf,
    dir: OwnedFd,
    name: OsString,
    file: OwnedFd,
    size: u64,
    /// The file is not to grow past this many bytes; 0: no limit.
    limit: u64,
    /// How many old files are kept.
    keep: u32,
    /// After a failed rotation: not before the file has grown to this.
    retry_at: u64,
    starts_mid_line: bool,
}

impl Rotating {
    /// Opens `path` for appending, or makes it. A file that is over `limit`
    /// already is rotated before the first line.
    ///
    /// # Errors
    /// The directory or the file cannot be opened; the file is a symbolic link,
    /// no regular file, has a second name, or others may write to it.
    pub fn open(path: &Path, limit: u64, keep: u32) -> Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(Error::failure("the path names no file"));
        };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = nix::fcntl::open(
            parent.unwrap_or(Path::new(".")),
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )
        .map_err(|why| Error::from(why).context("open its directory"))?;
        let file = match openat(&dir, name, append(), Mode::empty()) {
            Err(Errno::ENOENT) => create(&dir, name).map_err(|why| Error::from(why).context("create it"))?,
            Err(Errno::ELOOP) => return Err(Error::failure("is a symbolic link; name the file itself")),
            opened => opened?,
        };
        let file = std::fs::File::from(file);
        let stat = fstat(&file)?;
        check(&stat, &fstat(&dir)?)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut last = [b'\n'];
        if size > 0 {
            file.read_exact_at(&mut last, size - 1)?;
        }
        let starts_mid_line = last != [b'\n'];
        let name = name.to_owned();
        let path = path.to_owned();
        Ok(Self { path, dir, name, file: file.into(), size, limit, keep, retry_at: 0, starts_mid_line })
    }

    /// Puts the current file aside and goes on with an empty one. No step leaves
    /// the lines written so far without a name, and after a failure the current
    /// file is still the current file.
    fn rotate(&mut self) -> std::result::Result<(), String> {
        let say = |step: &str, why: Errno| {
            format!("{} was not rotated: {step}: {}", self.path.display(), why.desc())
        };
        // The new file first: if it cannot be made, nothing has been touched.
        let new = self.old_name(NEW);
        let file = match create(&self.dir, &new) {
            Err(Errno::EEXIST) => {
                // Left by a rotation that was killed; it holds nothing.
                let removed = unlinkat(&self.dir, new.as_os_str(), UnlinkatFlags::NoRemoveDir);
                removed.and_then(|()| create(&self.dir, &new))
            }
            made => made,
        }
        .map_err(|why| say("create the next file", why))?;
        let undo = |why| {
            // Nothing more can be done about a file that is empty anyway.
            let _ = unlinkat(&self.dir, new.as_os_str(), UnlinkatFlags::NoRemoveDir);
            say("rename", why)
        };
        if self.keep > 0 {
            self.shift().map_err(undo)?;
            renameat(&self.dir, self.name.as_os_str(), &self.dir, self.numbered(1).as_os_str())
                .or_else(|why| if why == Errno::ENOENT { Ok(()) } else { Err(why) })
                .map_err(undo)?;
        }
        if let Err(why) = renameat(&self.dir, new.as_os_str(), &self.dir, self.name.as_os_str()) {
            if self.keep > 0 {
                let _ = renameat(&self.dir, self.numbered(1).as_os_str(), &self.dir, self.name.as_os_str());
            }
            return Err(undo(why));
        }
        self.file = file;
        self.size = 0;
        Ok(())
    }

    /// Makes the current file again after somebody removed it.
    fn recreate(&mut self) -> std::result::Result<(), String> {
        self.file = create(&self.dir, &self.name).map_err(|why| {
            format!("{} was removed and cannot be made again: {}", self.path.display(), why.desc())
        })?;
        self.size = 0;
        Ok(())
    }

    /// Makes the name `file.1` free by moving each old file one further. Only up
    /// to the first gap: nothing older needs to go for want of a number.
    fn shift(&self) -> nix::Result<()> {
        let mut free = 1;
        while free < self.keep && self.exists(&self.numbered(free))? {
            free += 1;
        }
        for number in (1..free).rev() {
            renameat(
                &self.dir,
                self.numbered(number).as_os_str(),
                &self.dir,
                self.numbered(number + 1).as_os_str(),
            )?;
        }
        Ok(())
    }

    fn exists(&self, name: &OsStr) -> nix::Result<bool> {
        match fstatat(&self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(why) => Err(why),
        }
    }

    fn numbered(&self, number: u32) -> OsString {
        self.old_name(&format!(".{number}"))
    }

    fn old_name(&self, end: &str) -> OsString {
        let mut name = self.name.clone();
        name.push(end);
        name
    }
}

impl Target for Rotating {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn prepare(&mut self, line: usize) -> Room {
        let line = line as u64;
        let mut rotation = None;
        // Once per run of lines, not per line: cheap enough to learn what others
        // did to the file, cut it or remove it.
        if let Ok(stat) = fstat(&self.file) {
            self.size = u64::try_from(stat.st_size).unwrap_or(0);
            if stat.st_nlink == 0 {
                rotation = Some(self.recreate());
            }
        }
        if self.limit == 0 {
            return Room { bytes: usize::MAX, rotation };
        }
        if self.size > 0 && self.size + line > self.limit.max(self.retry_at) {
            let result = self.rotate();
            // The next try after some more growth, not at every line.
            self.retry_at =
                if result.is_ok() { 0 } else { self.size + line + (self.limit / 8).max(64 * 1024) };
            rotation = Some(result);
        }
        let left = self.limit.max(self.retry_at).saturating_sub(self.size).max(line);
        Room { bytes: usize::try_from(left).unwrap_or(usize::MAX), rotation }
    }

    fn write(&mut self, bytes: &[u8]) -> nix::Result<usize> {
        let took = write(&self.file, bytes)?;
        self.size += took as u64;
        Ok(took)
    }

    fn wait(&mut self, _stop: BorrowedFd<'_>) {
        // A regular file never answers EAGAIN (open(2), O_NONBLOCK); if some file
        // system did, this keeps the thread from spinning.
        std::thread::sleep(std::time::Duration::from_millis(10));
    }

    fn starts_mid_line(&self) -> bool {
        self.starts_mid_line
    }
}

/// Reading is needed for the last byte only. `O_NONBLOCK` so that a FIFO of
/// that name cannot hold the daemon up before it is refused.
fn append() -> OFlag {
    OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC
}

fn create(dir: &OwnedFd, name: &OsStr) -> nix::Result<OwnedFd> {
    openat(dir, name, append() | OFlag::O_CREAT | OFlag::O_EXCL, Mode::S_IRUSR | Mode::S_IWUSR)
}

/// Whether the file is ours alone to write. Its owner may be us, root, or whose
/// the directory is, since that one can replace the file anyway.
fn check(file: &FileStat, dir: &FileStat) -> Result<()> {
    if SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(Error::failure("is not a regular file"));
    }
    if file.st_mode & 0o022 != 0 {
        return Err(Error::failure(format!(
            "others may write to it (mode {:04o}): remove it, or chmod it to 0600",
            file.st_mode & 0o7777
        )));
    }
    if file.st_nlink != 1 {
        return Err(Error::failure("has more than one name (hard links)"));
    }
    if ![0, geteuid().as_raw(), dir.st_uid].contains(&file.st_uid) {
        return Err(Error::failure(format!("belongs to uid {}, who could change it", file.st_uid)));
    }
    Ok(())
}
