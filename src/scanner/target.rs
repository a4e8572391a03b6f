//! What a watched name that is a symbolic link leads to: that is the file which
//! will be opened, so that is what has to be taught.
//!
//! Two things any user could do with a link of their own are kept out. Linking
//! a key's name to the C library would have every open of it reported: link and
//! target must have the same owner. Linking it into an automount or a dead
//! server would keep the scanner waiting: the way is gone step by step and ends
//! at the first mount that is not a local one.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;

use super::lesson;
use super::walk::{open_raw, stat};

/// Links followed on one way; the kernel's own limit is 40 (`MAXSYMLINKS`).
const MAX_LINKS: usize = 8;
/// Components of one way, all links written out.
const MAX_STEPS: usize = 256;

/// Teaches the target of the link `name`; `false` where it is not to be taught.
pub fn teach(directory: i32, name: &CStr, mode: u8, local: &HashSet<u64>) -> Result<bool, Errno> {
    let link = stat(directory, name, libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT)?;
    let Some((parent, name, found)) = resolve(directory, name, local)? else { return Ok(false) };
    if found.stx_uid != link.stx_uid || kind(&found) == libc::S_IFDIR {
        return Ok(false);
    }
    lesson::teach(parent.as_raw_fd(), &name, mode)
}

fn kind(found: &libc::statx) -> u32 {
    u32::from(found.stx_mode) & libc::S_IFMT
}

/// The directory and the name the way ends at.
fn resolve(
    directory: i32,
    name: &CStr,
    local: &HashSet<u64>,
) -> Result<Option<(OwnedFd, CString, libc::statx)>, Errno> {
    let mut at = open_path(directory, c".")?;
    let mut todo = vec![name.to_owned()];
    let mut links = 0;
    for _ in 0..MAX_STEPS {
        let Some(name) = todo.pop() else { return Ok(None) };
        let found = stat(at.as_raw_fd(), &name, libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT)?;
        if !local.contains(&found.stx_mnt_id) {
            return Ok(None);
        }
        if kind(&found) == libc::S_IFLNK {
            links += 1;
            if links > MAX_LINKS {
                return Ok(None);
            }
            // SAFETY: `at` is open for as long as it is borrowed here.
            let here = unsafe { BorrowedFd::borrow_raw(at.as_raw_fd()) };
            let text = nix::fcntl::readlinkat(here, name.as_c_str())?.into_vec();
            if text.starts_with(b"/") {
                at = open_path(libc::AT_FDCWD, c"/")?;
            }
            let parts = text.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
            todo.extend(parts.rev().filter_map(|part| CString::new(part).ok()));
        } else if todo.is_empty() {
            return Ok(Some((at, name, found)));
        } else {
            at = open_path(at.as_raw_fd(), &name)?;
        }
    }
    Ok(None)
}

fn open_path(directory: i32, name: &CStr) -> Result<OwnedFd, Errno> {
    open_raw(directory, name, libc::O_PATH | libc::O_NOFOLLOW | libc::O_DIRECTORY, 0)
}
