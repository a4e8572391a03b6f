//! Walking a tree and teaching what is watched (`lesson.rs`).
//!
//! Symbolic links are never followed on the way and mounts never crossed. No
//! descriptor is opened that could read or write a file's contents.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::lesson;
use super::target;

/// How deep a tree is followed, and how many directories are open at once. A
/// file system with a deeper one is not complete, so names go on being checked.
pub const MAX_DEPTH: usize = 512;
/// Bytes of entries read at once; what is remembered of one directory is never more.
const BUFFER: usize = 32 << 10;

/// What a walk came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Directories read.
    pub directories: u64,
    /// Files taught.
    pub taught: u64,
    /// What could not be read; the file system is then not complete.
    pub errors: u64,
    /// Directories the configuration leaves out; the file system is then not complete.
    pub left_out: u64,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Something newer has come.
    Stop,
}

/// Everything a walk needs to know.
pub struct Walk<'a> {
    /// The mode to teach a path with; 0: it is not watched.
    pub matcher: &'a dyn Fn(&[u8]) -> u8,
    /// Mount points: not entered, for even looking into one could mount something.
    pub points: &'a HashSet<Vec<u8>>,
    /// Directories the configuration leaves out.
    pub skip: &'a HashSet<Vec<u8>>,
    /// Ids of the mounts a symbolic link may lead through.
    pub local: &'a HashSet<u64>,
    /// Asked between directories.
    pub pause: &'a mut dyn FnMut() -> Flow,
    /// Sums over all trees of this walk.
    pub counts: Counts,
}

/// A directory that is being read.
struct Level {
    fd: OwnedFd,
    path_length: usize,
    /// Names of subdirectories found and not yet entered, each ended by NUL.
    pending: Vec<u8>,
    exhausted: bool,
}

impl Walk<'_> {
    /// Walks everything below `root`, which is called `path` (no trailing
    /// slash; empty for `/`) and lies on the mount with this id.
    pub fn tree(&mut self, root: OwnedFd, mount: u64, path: &[u8]) -> Flow {
        let mut path = path.to_vec();
        let mut buffer = vec![0u8; BUFFER];
        let mut stack =
            vec![Level { fd: root, path_length: path.len(), pending: Vec::new(), exhausted: false }];
        while let Some(level) = stack.last_mut() {
            path.truncate(level.path_length);
            if let Some(name) = pop_name(&mut level.pending) {
                path.push(b'/');
                path.extend(name.to_bytes());
                if self.points.contains(&path) {
                    continue;
                }
                if self.skip.contains(&path) {
                    self.counts.left_out += 1;
                    continue;
                }
                if stack.len() == MAX_DEPTH {
                    self.counts.errors += 1;
                    continue;
                }
                let parent = stack[stack.len() - 1].fd.as_raw_fd();
                if let Some(fd) = self.enter(parent, &name, mount) {
                    let path_length = path.len();
                    stack.push(Level { fd, path_length, pending: Vec::new(), exhausted: false });
                    self.counts.directories += 1;
                    if self.counts.directories % 16 == 0 && (self.pause)() == Flow::Stop {
                        return Flow::Stop;
                    }
                }
            } else if level.exhausted {
                stack.pop();
            } else {
                self.read(level, &mut buffer, &mut path);
            }
        }
        Flow::Continue
    }

    /// Opens a subdirectory; `None` where it is gone, is no directory any more or begins another mount.
    fn enter(&mut self, parent: i32, name: &CStr, mount: u64) -> Option<OwnedFd> {
        match open_directory(parent, name).and_then(|fd| Ok((mount_id(fd.as_raw_fd())?, fd))) {
            Ok((id, fd)) => (id == mount).then_some(fd),
            Err(errno) => {
                self.count(errno);
                None
            }
        }
    }

    /// Reads one buffer of entries: teaches what is watched, remembers the directories.
    fn read(&mut self, level: &mut Level, buffer: &mut [u8], path: &mut Vec<u8>) {
        let length = match entries(level.fd.as_raw_fd(), buffer) {
            Ok(0) => {
                level.exhausted = true;
                return;
            }
            Ok(length) => length,
            Err(errno) => {
                level.exhausted = true;
                self.count(errno);
                return;
            }
        };
        for (kind, name) in Entries(&buffer[..length]) {
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = if kind == libc::DT_UNKNOWN { self.kind(level.fd.as_raw_fd(), name) } else { kind };
            if kind == libc::DT_DIR {
                level.pending.extend(name.to_bytes_with_nul());
                continue;
            }
            path.truncate(level.path_length);
            path.push(b'/');
            path.extend(name.to_bytes());
            let mode = (self.matcher)(path);
            if mode != 0 {
                self.teach_entry(level.fd.as_raw_fd(), name, kind, mode);
            }
        }
    }

    /// Some file systems do not say in the directory what an entry is.
    fn kind(&mut self, directory: i32, name: &CStr) -> u8 {
        match stat(directory, name, libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT) {
            Ok(found) => match u32::from(found.stx_mode) & libc::S_IFMT {
                libc::S_IFDIR => libc::DT_DIR,
                libc::S_IFLNK => libc::DT_LNK,
                _ => libc::DT_REG,
            },
            Err(errno) => {
                self.count(errno);
                libc::DT_UNKNOWN
            }
        }
    }

    fn teach_entry(&mut self, directory: i32, name: &CStr, kind: u8, mode: u8) {
        let result = if kind == libc::DT_LNK {
            target::teach(directory, name, mode, self.local)
        } else {
            lesson::teach(directory, name, mode)
        };
        match result {
            Ok(true) => self.counts.taught += 1,
            Ok(false) => {}
            Err(errno) => self.count(errno),
        }
    }

    /// Teaches one path, if it is watched and there.
    pub fn one(&mut self, path: &[u8]) {
        let mode = (self.matcher)(path);
        let Some(slash) = path.iter().rposition(|byte| *byte == b'/') else { return };
        let Ok(name) = CString::new(&path[slash + 1..]) else { return };
        if mode == 0 {
            return;
        }
        match open_root(&path[..slash]) {
            Ok((parent, _)) => {
                let kind = self.kind(parent.as_raw_fd(), &name);
                if kind != libc::DT_DIR && kind != libc::DT_UNKNOWN {
                    self.teach_entry(parent.as_raw_fd(), &name, kind, mode);
                }
            }
            Err(errno) => self.count(errno),
        }
    }

    /// What has vanished or become something else meanwhile needs no lesson:
    /// whoever did that was seen doing it.
    fn count(&mut self, errno: Errno) {
        if !matches!(errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) {
            self.counts.errors += 1;
        }
    }
}

/// Takes the last name off; the order of a walk does not matter.
fn pop_name(pending: &mut Vec<u8>) -> Option<CString> {
    let end = pending.len().checked_sub(1)?;
    let start = pending[..end].iter().rposition(|byte| *byte == 0).map_or(0, |nul| nul + 1);
    let name = CString::new(&pending[start..end]).ok();
    pending.truncate(start);
    name
}

/// Opens the root of a tree and says which mount it lies on. Nothing is mounted by it.
///
/// # Errors
/// The errno; `ENOTDIR` where it is no directory.
pub fn open_root(path: &[u8]) -> Result<(OwnedFd, u64), Errno> {
    let path = CString::new(if path.is_empty() { b"/" } else { path }).map_err(|_| Errno::EINVAL)?;
    // O_PATH first: it triggers no automount, and what is found is then opened by itself.
    let found = open_raw(libc::AT_FDCWD, &path, libc::O_PATH | libc::O_NOFOLLOW | libc::O_DIRECTORY, 0)?;
    let id = mount_id(found.as_raw_fd())?;
    Ok((open_directory(found.as_raw_fd(), c".")?, id))
}

fn open_directory(parent: i32, name: &CStr) -> Result<OwnedFd, Errno> {
    open_raw(parent, name, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK, 0)
}

pub(super) fn open_raw(directory: i32, name: &CStr, flags: i32, mode: u8) -> Result<OwnedFd, Errno> {
    // SAFETY: the name is a C string that lives across the call.
    let fd = Errno::result(unsafe {
        libc::syscall(
            libc::SYS_openat,
            directory,
            name.as_ptr(),
            flags | libc::O_CLOEXEC,
            libc::c_uint::from(mode),
        )
    })?;
    // SAFETY: the kernel has just given this descriptor to us alone; descriptors are ints.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(|_| Errno::EBADF)?) })
}

fn mount_id(fd: i32) -> Result<u64, Errno> {
    stat(fd, c"", libc::AT_EMPTY_PATH).map(|found| found.stx_mnt_id)
}

/// statx(2); `STATX_MNT_ID` is there since 5.8, and so are ring buffers.
pub(super) fn stat(directory: i32, name: &CStr, flags: i32) -> Result<libc::statx, Errno> {
    const WANTED: u32 = libc::STATX_TYPE | libc::STATX_UID | libc::STATX_MNT_ID;
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the name is a C string, the buffer a whole struct statx.
    Errno::result(unsafe { libc::statx(directory, name.as_ptr(), flags, WANTED, found.as_mut_ptr()) })?;
    // SAFETY: zero is a value for every field, and the kernel has filled it.
    Ok(unsafe { found.assume_init() })
}

fn entries(fd: i32, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the buffer is as long as said.
    let length =
        Errno::result(unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer.as_mut_ptr(), buffer.len()) })?;
    usize::try_from(length).map_err(|_| Errno::EIO)
}

/// `struct linux_dirent64`: inode 8, offset 8, length 2, type 1, name (getdents(2)).
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = (u8, &'a CStr);
    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(self.0.get(16..18)?.try_into().ok()?));
        let entry = self.0.get(..length)?;
        let name = CStr::from_bytes_until_nul(entry.get(19..)?).ok()?;
        self.0 = &self.0[length..];
        Some((entry[18], name))
    }
}
