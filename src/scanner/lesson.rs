//! The lesson: a watched file is shown to the kernel side, which takes its inode
//! itself, so that no number of ours has to agree with one of the kernel's.
//!
//! There are two ways to show one, for there are two kinds of hooks, and each is
//! nothing to the other. An `openat` with `O_PATH` and the note in the argument that
//! would be the mode of a new file: programs at the end of a system call see it.
//! And an inotify mark, taken away again at once, with the note as its event mask:
//! programs at `security_path_notify` see that (since 5.4; an `O_PATH` open never
//! reaches `security_file_open`, and the mode no other hook). Neither reads the file
//! or changes it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::walk::open_raw;

/// The note that every open is watched.
pub const TEACH_ALL: u8 = 1;
/// The note that only writes are watched.
pub const TEACH_WRITE: u8 = 2;
/// The note that all of this file system has been taught.
pub const TEACH_COMPLETE: u8 = 4;

/// Shows the file `name`. The libc wrapper of `openat` would drop the mode, for it
/// has no `O_CREAT`.
///
/// # Errors
/// When it is not there, or cannot be shown in both ways.
pub fn teach(directory: i32, name: &CStr, note: u8) -> Result<bool, Errno> {
    let file = open_raw(directory, name, libc::O_PATH | libc::O_NOFOLLOW, note)?;
    mark(&file, note).map(|()| true)
}

/// Says that all of the file system `root` belongs to has been taught.
///
/// # Errors
/// When it is gone.
pub fn mark_complete(root: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_DIRECTORY;
    mark(&open_raw(root.as_raw_fd(), c".", flags, TEACH_COMPLETE)?, TEACH_COMPLETE)
}

/// `BEE_NOTE_*` of `src/bpf/file.bpf.h`.
fn mask(note: u8) -> AddWatchFlags {
    [
        (TEACH_ALL, AddWatchFlags::IN_ATTRIB),
        (TEACH_WRITE, AddWatchFlags::IN_MOVE_SELF),
        (TEACH_COMPLETE, AddWatchFlags::IN_DELETE_SELF),
    ]
    .into_iter()
    .filter(|(bit, _)| note & bit != 0)
    .fold(AddWatchFlags::empty(), |mask, (_, flag)| mask | flag)
}

fn mark(file: &OwnedFd, note: u8) -> Result<(), Errno> {
    /// One for the life of this process.
    static INOTIFY: OnceLock<Result<Inotify, Errno>> = OnceLock::new();
    let inotify = INOTIFY
        .get_or_init(|| Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC))
        .as_ref()
        .map_err(|errno| *errno)?;
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(|_| Errno::EINVAL)?;
    let watch = inotify.add_watch(path.as_c_str(), mask(note))?;
    // A file that was removed meanwhile took its mark along.
    let _ = inotify.rm_watch(watch);
    // Taking it away is itself an event in the queue, which has a bound.
    let _ = inotify.read_events();
    Ok(())
}
