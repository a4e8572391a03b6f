//! uid → name from /etc/passwd. No NSS: its modules would be loaded into, and
//! run inside, a process that has given up everything; so users of LDAP and
//! the like have only their number.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use crate::kernel::read_all;

/// A passwd file longer than this is refused.
const FILE_LIMIT: usize = 4 << 20;
/// Lines after these are not looked at.
const LINE_LIMIT: usize = 65_536;

/// The users of this machine. Holds a descriptor of their directory, so that
/// it goes on working whatever is done to the daemon's own root.
#[derive(Debug)]
pub struct Users {
    directory: OwnedFd,
    seen: Option<Identity>,
    /// All names one after the other.
    names: String,
    /// (uid, start, end in `names`), sorted by uid, each uid once.
    rows: Vec<(u32, u32, u32)>,
    /// Lines over the limit.
    skipped: usize,
}

/// What changes when the file is edited or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, i64),
}

impl Identity {
    fn of(stat: &FileStat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
        }
    }
}

impl Users {
    /// Opens the directory of `passwd` (`/etc`). The table is empty until the first [`refresh`](Self::refresh).
    pub fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(directory, flags, Mode::empty())?;
        Ok(Self { directory, seen: None, names: String::new(), rows: Vec::new(), skipped: 0 })
    }

    /// Reads the file again if it is another or was changed; says whether it
    /// did. On an error the names known so far are kept.
    pub fn refresh(&mut self) -> io::Result<bool> {
        let now = Identity::of(&fstatat(self.directory.as_fd(), "passwd", AtFlags::empty())?);
        if self.seen == Some(now) {
            return Ok(false);
        }
        // Not blocking: a pipe in its place must not hold us up.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = File::from(openat(self.directory.as_fd(), "passwd", flags, Mode::empty())?);
        let stat = fstat(&file)?;
        if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "passwd: not a regular file"));
        }
        let text = read_all(&file, FILE_LIMIT)?;
        self.fill(&text);
        // Of the file that was read; if it was replaced meanwhile, the next refresh sees it.
        self.seen = Some(Identity::of(&stat));
        Ok(true)
    }

    /// The name of `uid`; of several, the first in the file, as getpwuid(3) has it.
    pub fn name(&self, uid: u32) -> Option<&str> {
        let at = self.rows.binary_search_by_key(&uid, |row| row.0).ok()?;
        let (_, start, end) = self.rows[at];
        self.names.get(start as usize..end as usize)
    }

    /// How many users are known.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many lines were not looked at because the file has too many.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    fn fill(&mut self, text: &[u8]) {
        self.names.clear();
        self.rows.clear();
        let mut lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for (name, uid) in lines.by_ref().take(LINE_LIMIT).filter_map(parse_line) {
            let start = self.names.len();
            self.names.push_str(name);
            // The file's limit is far below 4 GiB.
            if let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(self.names.len())) {
                self.rows.push((uid, start, end));
            }
        }
        self.skipped = lines.count();
        self.rows.sort_by_key(|row| row.0); // stable: the first of a uid stays first
        self.rows.dedup_by_key(|row| row.0);
        self.names.shrink_to_fit();
        self.rows.shrink_to_fit();
    }
}

/// `name:password:uid:…`. Lines of NIS (`+name`, `-name`) and comments are no users.
fn parse_line(line: &[u8]) -> Option<(&str, u32)> {
    let mut fields = line.split(|byte| *byte == b':');
    let name = std::str::from_utf8(fields.next()?).ok()?;
    let uid = std::str::from_utf8(fields.nth(1)?).ok()?;
    // `parse` alone would take "+0".
    let number = !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_digit());
    let plain = !name.is_empty() && !name.starts_with(['+', '-', '#']) && !name.chars().any(char::is_control);
    uid.parse().ok().filter(|_| number && plain).map(|uid| (name, uid))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn etc(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("bee-users-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn replace(etc: &Path, text: &[u8]) {
        fs::write(etc.join("new"), text).unwrap();
        fs::rename(etc.join("new"), etc.join("passwd")).unwrap();
    }

    #[test]
    fn names_are_found_and_follow_the_file() {
        let etc = etc("follow");
        replace(&etc, b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\npi:x:1000:1000::/home/pi:/bin/bash\n");
        let mut users = Users::open(&etc).unwrap();
        assert_eq!(users.name(0), None);
        assert!(users.refresh().unwrap());
        assert_eq!(
            (users.name(0), users.name(1000), users.name(1), users.len()),
            (Some("root"), Some("pi"), None, 2)
        );
        assert!(!users.refresh().unwrap());

        replace(&etc, b"bee:x:1000:1000:::\n");
        assert!(users.refresh().unwrap());
        assert_eq!((users.name(0), users.name(1000)), (None, Some("bee")));

        // Gone, or of no use: what was known stays known.
        fs::remove_file(etc.join("passwd")).unwrap();
        assert_eq!(users.refresh().unwrap_err().kind(), io::ErrorKind::NotFound);
        nix::unistd::mkfifo(&etc.join("passwd"), Mode::S_IRWXU).unwrap();
        assert!(users.refresh().is_err());
        fs::remove_file(etc.join("passwd")).unwrap();
        fs::write(etc.join("passwd"), vec![b'a'; FILE_LIMIT + 1]).unwrap();
        assert_eq!(users.refresh().unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(users.name(1000), Some("bee"));

        // The directory is held: it may be moved away.
        let moved = etc.with_extension("moved");
        fs::rename(&etc, &moved).unwrap();
        replace(&moved, b"late:x:7:7:::\n");
        assert!(users.refresh().unwrap());
        assert_eq!(users.name(7), Some("late"));
        fs::remove_dir_all(moved).unwrap();
    }

    #[test]
    fn odd_lines_are_no_users() {
        let etc = etc("odd");
        let mut users = Users::open(&etc).unwrap();
        users.fill(
            b"+nis:x:1:1:::\n-no:x:2:2:::\n#c:x:3:3:::\n:x:4:4:::\na:x:+5:5:::\nb:x::6:::\nc:x\nd\n\n\
              e\x1b[31m:x:8:8:::\n\xff:x:9:9:::\nf:x:4294967296:1:::\ng:x:-1:1:::\nh:x:4294967295:1\ni:x:10",
        );
        assert_eq!((users.len(), users.name(u32::MAX), users.name(10)), (2, Some("h"), Some("i")));
        fs::remove_dir_all(etc).unwrap();
    }

    #[test]
    fn the_number_of_lines_is_bounded_and_what_is_over_is_counted() {
        let etc = etc("many");
        let mut users = Users::open(&etc).unwrap();
        let text: String = (0..LINE_LIMIT + 17).map(|uid| format!("u{uid}:x:{uid}:0:::\n")).collect();
        users.fill(text.as_bytes());
        assert_eq!((users.len(), users.skipped()), (LINE_LIMIT, 17));
        assert_eq!(users.name(65_535), Some("u65535"));
        assert_eq!(users.name(65_536), None);
        fs::remove_dir_all(etc).unwrap();
    }

    #[test]
    fn this_machine_knows_root() {
        let mut users = Users::open(Path::new("/etc")).unwrap();
        users.refresh().unwrap();
        assert_eq!(users.name(0), Some("root"));
    }
}
