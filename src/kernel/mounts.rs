//! Where pseudo file systems are mounted, from mountinfo (proc_pid_mountinfo(5)).
//! The parser is pure.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::{Places, read_bounded};

/// A mountinfo of a machine with very many containers is a few MiB.
const MOUNTINFO_LIMIT: usize = 16 << 20;

/// One line of mountinfo, as far as it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The directory of the file system that is mounted; `/` unless it is a bind mount of a part.
    pub root: PathBuf,
    /// Where it is mounted, in the reader's mount namespace.
    pub point: PathBuf,
    /// `cgroup2`, `tracefs`, …
    pub kind: String,
}

/// Every mount of the calling process, in the order they were made.
pub fn read(places: &Places) -> io::Result<Vec<Mount>> {
    Ok(parse(&read_bounded(&places.proc.join("self/mountinfo"), MOUNTINFO_LIMIT)?))
}

/// The lines of a mountinfo; one that cannot be understood is left out.
pub fn parse(mountinfo: &[u8]) -> Vec<Mount> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

/// The best place where a file system of this kind is mounted: a whole one
/// before a bind mount of a part, `preferred` before another, and of the rest
/// the last, which is the one that is seen where several lie upon each other.
pub fn find<'a>(mounts: &'a [Mount], kind: &str, preferred: &Path) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| mount.kind == kind)
        .max_by_key(|mount| (mount.root == Path::new("/"), mount.point == preferred))
}

/// Where the cgroup v2 tree is mounted.
pub fn cgroup2(places: &Places) -> Option<PathBuf> {
    find(&read(places).ok()?, "cgroup2", Path::new("/sys/fs/cgroup")).map(|mount| mount.point.clone())
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    // "36 35 98:0 /root /point opts [optional…] - kind source superopts"
    let mut fields = line.split(|byte| *byte == b' ');
    let root = unescape(fields.nth(3)?);
    let point = unescape(fields.next()?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    let path = |bytes| PathBuf::from(OsString::from_vec(bytes));
    Some(Mount { root: path(root), point: path(point), kind: String::from_utf8_lossy(kind).into_owned() })
}

/// The kernel writes space, tab, newline and backslash as `\ooo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        out.push(octal.unwrap_or(first));
        rest = if octal.is_some() { &rest[4..] } else { tail };
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - tmpfs tmpfs rw,mode=755\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:1 master:2 - cgroup2 cgroup2 rw\n\
        50 31 0:38 /kubepods /var/lib/x\\040y rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_cgroup2_mount_of_a_hybrid_machine_is_found() {
        let mounts = parse(HYBRID);
        assert_eq!(mounts.len(), 5);
        let found = find(&mounts, "cgroup2", Path::new("/sys/fs/cgroup")).unwrap();
        assert_eq!(found.point, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(mounts[4].point, Path::new("/var/lib/x y"));
        assert_eq!(mounts[4].root, Path::new("/kubepods"));
    }

    #[test]
    fn a_part_is_taken_only_where_there_is_no_whole() {
        let mounts = parse(b"50 31 0:38 /a /b rw - cgroup2 c rw");
        assert_eq!(find(&mounts, "cgroup2", Path::new("/x")).unwrap().point, Path::new("/b"));
        assert_eq!(find(&mounts, "tracefs", Path::new("/x")), None);
    }

    #[test]
    fn lines_that_make_no_sense_are_left_out() {
        for line in [
            &b""[..],
            b"\0\xff",
            b"1 2 3 4",
            b"1 2 3:4 / /p rw shared:1",
            b"1 2 3:4 / /p rw -",
            b"- - - - - -",
        ] {
            assert_eq!(parse(line), [], "{line:?}");
        }
        assert_eq!(unescape(b"a\\04"), b"a\\04");
        assert_eq!(unescape(b"\\134\\012"), b"\\\n");
    }
}
