//! Small questions to the system: clocks, names of the host and of errnos.

use std::io;
use std::os::fd::RawFd;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// Turns times since boot, which the kernel stamps records with, into wall
/// time. The wall clock can be set while we run, so the owner refreshes this
/// now and then; between refreshes the order of events is that of their boot times.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Wall time minus boot time, nanoseconds. Negative where the wall clock is not set yet.
    offset: i64,
}

impl Clock {
    /// Reads both clocks.
    pub fn new() -> io::Result<Self> {
        let mut clock = Self { offset: 0 };
        clock.refresh()?;
        Ok(clock)
    }

    /// Reads both clocks again, for instance after the wall clock was set.
    pub fn refresh(&mut self) -> io::Result<()> {
        // Two clocks cannot be read in one moment. Of three tries the one in
        // which least time passed is taken; usually that is below 100 ns.
        let mut best = i64::MAX;
        for _ in 0..3 {
            let before = nanoseconds(ClockId::CLOCK_BOOTTIME)?;
            let wall = nanoseconds(ClockId::CLOCK_REALTIME)?;
            let took = nanoseconds(ClockId::CLOCK_BOOTTIME)? - before;
            if took < best {
                best = took;
                self.offset = wall - (before + took / 2);
            }
        }
        Ok(())
    }

    /// Nanoseconds since 1970 for `boot_ns` nanoseconds since boot (CLOCK_BOOTTIME).
    pub fn wall(self, boot_ns: u64) -> u64 {
        boot_ns.saturating_add_signed(self.offset)
    }

    /// Now, in nanoseconds since boot (CLOCK_BOOTTIME).
    pub fn boot_now() -> io::Result<u64> {
        Ok(nanoseconds(ClockId::CLOCK_BOOTTIME)?.unsigned_abs())
    }
}

/// Bytes in a page: 4096, 16384 (the Pi 5's kernel) or 65536.
pub fn page_size() -> usize {
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

fn nanoseconds(clock: ClockId) -> io::Result<i64> {
    let now: TimeSpec = clock_gettime(clock)?;
    // 64 bits of nanoseconds last until the year 2262.
    Ok(now.tv_sec().saturating_mul(1_000_000_000).saturating_add(now.tv_nsec()))
}

/// Whether systemd started this process and what it writes to standard error or
/// output goes to the journal: `JOURNAL_STREAM` names that very descriptor
/// (systemd.exec(5), sd-journal(3)), which is inherited by who is started from a
/// service and may be redirected, so it is compared; and `INVOCATION_ID` is set.
pub fn says_to_journal() -> bool {
    std::env::var_os("INVOCATION_ID").is_some()
        && [libc::STDERR_FILENO, libc::STDOUT_FILENO].into_iter().any(is_journal_stream)
}

/// Whether `JOURNAL_STREAM` means the descriptor `fd` of this process.
pub fn is_journal_stream(fd: RawFd) -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|named| is_named(&named, fd))
}

/// Whether `device:inode`, both decimal, are those of this descriptor.
fn is_named(named: &str, fd: RawFd) -> bool {
    let named = named.split_once(':');
    let Some((Ok(device), Ok(inode))) = named.map(|(device, inode)| (device.parse(), inode.parse())) else {
        return false;
    };
    // SAFETY: all zeroes is a valid stat.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for the call; of a descriptor that is closed it says so.
    let there = unsafe { libc::fstat(fd, &raw mut stat) } == 0;
    there && (stat.st_dev, stat.st_ino) == (device, inode)
}

/// The host's name (gethostname(2)); bytes that are not UTF-8 are replaced.
pub fn hostname() -> io::Result<String> {
    Ok(nix::unistd::gethostname()?.to_string_lossy().into_owned())
}

/// The first four bytes of the boot id, which differs for each boot
/// (`sys/kernel/random/boot_id` below `proc`).
pub fn boot_id(proc: &Path) -> io::Result<u32> {
    let path = proc.join("sys/kernel/random/boot_id");
    let text = crate::kernel::read_text(&path)?;
    let first = text.split('-').next().filter(|part| part.len() == 8);
    first.and_then(|part| u32::from_str_radix(part, 16).ok()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: not a boot id", path.display()))
    })
}

macro_rules! errnos {
    ($($name:ident)+) => {
        /// Every errno of Linux under one name each (`EAGAIN`, not `EWOULDBLOCK`).
        const ERRNOS: &[(i32, &str)] = &[$((Errno::$name as i32, stringify!($name)),)+];
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK
    EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE
    EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM
    ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT
    EBFONT ENOSTR ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP
    EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ
    ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT
    ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH
    ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT
    ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM
    EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED
    EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON
}

/// Numbers above 511 stay inside the kernel, but a tracing program sees them
/// where a call is about to be restarted (include/linux/errno.h).
const INTERNAL: &[(i32, &str)] = &[
    (512, "ERESTARTSYS"),
    (513, "ERESTARTNOINTR"),
    (514, "ERESTARTNOHAND"),
    (516, "ERESTART_RESTARTBLOCK"),
    (517, "EPROBE_DEFER"),
    (518, "EOPENSTALE"),
    (524, "ENOTSUPP"),
];

/// The symbolic name of an errno (positive), `"EACCES"`; `"UNKNOWN"` for a number that has none.
pub fn errno_name(errno: i32) -> &'static str {
    let known = ERRNOS.iter().chain(INTERNAL).find(|(number, _)| *number == errno);
    known.map_or("UNKNOWN", |(_, name)| name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_becomes_wall_time() {
        let clock = Clock::new().unwrap();
        let boot = Clock::boot_now().unwrap();
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let difference = u128::from(clock.wall(boot)).abs_diff(wall);
        assert!(difference < 100_000_000, "{difference} ns apart");
        assert_eq!(clock.wall(boot + 5) - clock.wall(boot), 5);
    }

    #[test]
    fn times_out_of_range_stay_in_range() {
        assert_eq!(Clock { offset: -10 }.wall(3), 0);
        assert_eq!(Clock { offset: 10 }.wall(u64::MAX), u64::MAX);
    }

    #[test]
    fn every_errno_has_its_name_once() {
        assert_eq!(errno_name(libc::ENOENT), "ENOENT");
        assert_eq!(errno_name(libc::EWOULDBLOCK), "EAGAIN");
        assert_eq!(errno_name(libc::EHWPOISON), "EHWPOISON");
        assert_eq!(errno_name(512), "ERESTARTSYS");
        for unknown in [0, -1, 41, 58, i32::MAX] {
            assert_eq!(errno_name(unknown), "UNKNOWN");
        }
        // nix knows all of them; whatever it knows must have a name here.
        for number in 1..200 {
            assert_eq!(
                Errno::from_raw(number) == Errno::UnknownErrno,
                errno_name(number) == "UNKNOWN",
                "{number}"
            );
        }
    }

    #[test]
    fn a_journal_stream_is_told_by_device_and_inode() {
        use std::os::fd::AsRawFd as _;
        use std::os::unix::fs::MetadataExt as _;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let file = std::fs::File::from(std::os::fd::OwnedFd::from(ours.try_clone().unwrap()));
        let (device, inode) = (file.metadata().unwrap().dev(), file.metadata().unwrap().ino());
        let named = format!("{device}:{inode}");
        assert!(is_named(&named, ours.as_raw_fd()) && is_named(&named, file.as_raw_fd()));
        assert!(!is_named(&named, theirs.as_raw_fd()), "the other end is another inode");
        assert!(!is_named(&named, -1));
        for wrong in ["", ":", "1", "x:y", &format!("{device}:{inode}:"), &format!("{inode}:{device}")] {
            assert!(!is_named(wrong, ours.as_raw_fd()), "{wrong}");
        }
    }

    #[test]
    fn the_boot_id_is_read_and_checked() {
        let proc = Path::new("/proc");
        let text = std::fs::read_to_string(proc.join("sys/kernel/random/boot_id")).unwrap();
        assert_eq!(format!("{:08x}", boot_id(proc).unwrap()), text[..8]);
        assert!(boot_id(Path::new("/nonexistent")).is_err());
        assert!(!hostname().unwrap().is_empty());
    }
}
