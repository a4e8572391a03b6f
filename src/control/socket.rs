//! The socket's file: made before privileges go, safe against what lies there
//! already, taken away at the end. And who is at the other end of a connection.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, open};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, socket, sockopt,
};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, fstatat, umask};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, unlinkat};

use crate::error::{Error, Result};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Who is at the other end, as the kernel says it (`SO_PEERCRED` of unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process, where it was when it connected.
    pub pid: i32,
    /// User.
    pub uid: u32,
}

impl Peer {
    /// Asks the kernel.
    ///
    /// # Errors
    /// getsockopt(2)'s.
    pub fn of(socket: &impl AsFd) -> nix::Result<Self> {
        let found = getsockopt(socket, sockopt::PeerCredentials)?;
        Ok(Self { pid: found.pid(), uid: found.uid() })
    }

    /// Root and the daemon's own user may change what it does; who else may connect, reads.
    pub fn may_change(self, own: u32) -> bool {
        self.uid == 0 || self.uid == own
    }
}

/// A socket that listens, and its file.
#[derive(Debug)]
pub struct Opened {
    /// Where clients come in.
    pub listener: OwnedFd,
    /// Its path.
    pub path: PathBuf,
    directory: OwnedFd,
    name: CString,
    /// Device and inode of the file: at the end only this one is removed.
    identity: (u64, u64),
}

impl Opened {
    /// Makes the socket at `path` for the user `uid` and the group `gid`: mode 0660. Its directory is
    /// made where it is missing, with mode 0710: the group may go through it, and nobody else. What a
    /// daemon that is gone left there is replaced. To be called with one thread.
    ///
    /// # Errors
    /// Says what is in the way: a daemon that runs, with its process id; something that is no
    /// socket; a directory that others may write to.
    pub fn new(path: &Path, uid: Uid, gid: Gid) -> Result<Self> {
        Self::make(path, uid, gid).map_err(|why| why.context(path.display()))
    }

    fn make(path: &Path, uid: Uid, gid: Gid) -> Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::failure("is no path for a socket"));
        };
        let directory = directory(parent, uid, gid)?;
        let name = CString::new(name.as_bytes()).map_err(|_| Error::failure("has a NUL in it"))?;
        // Two that start at once must not both find the old one dead and then remove the new.
        // Where somebody else holds the lock the check is as good as it can be without.
        let lock = lock(&directory);
        clear(&directory, &name, path)?;
        let listener = socket(
            AddressFamily::Unix,
            SockType::SeqPacket,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = bind(listener.as_raw_fd(), &UnixAddr::new(path)?);
        umask(before);
        bound.map_err(|errno| Error::from(errno).context("make the socket"))?;
        // Nobody can connect before it listens.
        if Uid::effective().is_root() {
            fchownat(&directory, name.as_c_str(), Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        fchmodat(&directory, name.as_c_str(), Mode::from_bits_truncate(0o660), FchmodatFlags::FollowSymlink)?;
        let facts = fstatat(&directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        listen(&listener, Backlog::new(BACKLOG)?)?;
        drop(lock);
        Ok(Self { listener, path: path.to_owned(), directory, name, identity: identity(&facts) })
    }

    /// Takes the file away, where it is still this socket's. Works without privilege if the directory
    /// belongs to the daemon's user.
    ///
    /// # Errors
    /// Why it stays. The next start replaces it.
    pub fn remove(&self) -> nix::Result<()> {
        let facts = fstatat(&self.directory, self.name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if identity(&facts) != self.identity {
            return Ok(());
        }
        unlinkat(&self.directory, self.name.as_c_str(), UnlinkatFlags::NoRemoveDir)
    }
}

#[allow(clippy::unnecessary_cast)] // Widths differ between architectures.
fn identity(facts: &FileStat) -> (u64, u64) {
    (facts.st_dev as u64, facts.st_ino as u64)
}

/// The directory, made where it is not there; never one that others may write to.
fn directory(path: &Path, uid: Uid, gid: Gid) -> Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let made = match nix::unistd::mkdir(path, Mode::from_bits_truncate(0o700)) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        Err(errno) => {
            return Err(Error::from(errno).context(format!("make the directory {}", path.display())));
        }
    };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(path, flags, Mode::empty())
        .map_err(|errno| Error::from(errno).context(format!("open the directory {}", path.display())))?;
    if made {
        if Uid::effective().is_root() {
            fchown(&directory, Some(uid), Some(gid))?;
        }
        nix::sys::stat::fchmod(&directory, Mode::from_bits_truncate(0o710))?;
    }
    let facts = fstat(&directory)?;
    if facts.st_uid != 0 && facts.st_uid != uid.as_raw() {
        return Err(Error::failure(format!(
            "the directory {} belongs to uid {}, who could put another socket in its place",
            path.display(),
            facts.st_uid
        )));
    }
    let others = if facts.st_gid == gid.as_raw() || facts.st_gid == 0 { 0o002 } else { 0o022 };
    if facts.st_mode & others != 0 {
        return Err(Error::failure(format!(
            "the directory {} may be written to by others, who could put another socket in its place",
            path.display()
        )));
    }
    Ok(directory)
}

fn lock(directory: &OwnedFd) -> Option<Flock<OwnedFd>> {
    let mut copy = directory.try_clone().ok()?;
    for _ in 0..40 {
        match Flock::lock(copy, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((back, _)) => copy = back,
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    None
}

/// Removes the socket of a daemon that is gone.
fn clear(directory: &OwnedFd, name: &CString, path: &Path) -> Result<()> {
    let facts = match fstatat(directory, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(facts) => facts,
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    if SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT != SFlag::S_IFSOCK {
        return Err(Error::failure("there is something that is no socket; it is left alone"));
    }
    match reach(path) {
        Ok(other) => Err(Error::failure(format!(
            "another daemon answers there{}",
            Peer::of(&other).map_or_else(|_| String::new(), |peer| format!(", process {}", peer.pid))
        ))),
        // Its queue is full: it lives.
        Err(Errno::EAGAIN) => Err(Error::failure("another daemon answers there")),
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => {
            match unlinkat(directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => Ok(()),
                Err(errno) => Err(Error::from(errno).context("remove the socket of a daemon that is gone")),
            }
        }
        Err(errno) => Err(Error::from(errno).context("find out whether a daemon answers there")),
    }
}

/// Connects without waiting.
fn reach(path: &Path) -> nix::Result<OwnedFd> {
    let client = connection()?;
    connect(client.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(client)
}

/// A socket of the kind both ends use.
pub(crate) fn connection() -> nix::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let place = std::env::temp_dir().join(format!("bee-control-{name}-{}", std::process::id()));
            std::fs::create_dir(&place).unwrap();
            Self(place)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn open_here(path: &Path) -> Result<Opened> {
        Opened::new(path, Uid::effective(), Gid::effective())
    }

    #[test]
    fn the_socket_and_its_directory_are_for_user_and_group_only() {
        let place = Place::new("made");
        let path = place.0.join("run/control");
        let opened = open_here(&path).unwrap();
        let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o660, 0o710));
        let client = reach(&path).unwrap();
        let peer = Peer::of(&client).unwrap();
        assert_eq!(peer.pid.unsigned_abs(), std::process::id());
        opened.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_a_dead_daemon_left_is_replaced_and_a_living_one_is_named() {
        let place = Place::new("stale");
        let path = place.0.join("control");
        drop(open_here(&path).unwrap());
        assert!(path.exists(), "nobody removed it");
        let living = open_here(&path).unwrap();
        let why = open_here(&path).unwrap_err().to_string();
        assert!(
            why.contains("another daemon answers") && why.contains(&std::process::id().to_string()),
            "{why}"
        );
        // Another one in its place is not the first one's to remove.
        std::fs::remove_file(&path).unwrap();
        let other = open_here(&path).unwrap();
        living.remove().unwrap();
        assert!(path.exists());
        other.remove().unwrap();
    }

    #[test]
    fn nothing_but_a_socket_is_removed_and_no_open_directory_used() {
        let place = Place::new("wrong");
        let path = place.0.join("control");
        std::fs::write(&path, "mine").unwrap();
        assert!(open_here(&path).unwrap_err().to_string().contains("no socket"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        std::fs::remove_file(&path).unwrap();
        symlink("/nowhere", &path).unwrap();
        assert!(open_here(&path).unwrap_err().to_string().contains("no socket"));
        std::fs::remove_file(&path).unwrap();
        std::fs::set_permissions(&place.0, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(open_here(&path).unwrap_err().to_string().contains("written to by others"));
    }

    #[test]
    fn only_root_and_the_daemons_user_may_change_something() {
        for (uid, may) in [(0, true), (7, true), (8, false)] {
            assert_eq!(Peer { pid: 1, uid }.may_change(7), may, "{uid}");
        }
    }
}
