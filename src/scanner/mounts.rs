//! Which mounts there are and what can be done with each. Pure; no I/O.

use std::collections::BTreeMap;

/// One line of proc_pid_mountinfo(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Mount id, as statx(2) gives it.
    pub id: u64,
    /// Major and minor number of the file system.
    pub device: (u32, u32),
    /// The directory of the file system that is mounted.
    pub root: Vec<u8>,
    /// Where; without a trailing slash, so the root is empty.
    pub point: Vec<u8>,
    /// File system type.
    pub kind: String,
}

/// All mounts of one file system, in the order they were made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// What can be done with it.
    pub class: Class,
    /// At least one.
    pub mounts: Vec<Mount>,
}

/// What can be done with a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Its entries are walked.
    Walk,
    /// Made up by the kernel: only patterns without wildcards are looked up.
    Pseudo,
    /// Left alone, for this reason.
    Skip(&'static str),
}

const REMOTE: &str = "its server can change it unseen, and can keep us waiting";
const USERSPACE: &str = "it is served by a process, which can keep us waiting";
const STACKED: &str = "its inode numbers do not outlive the cache";
const AUTO: &str = "looking into it would mount something";
const UNKNOWN: &str = "its type is not known and it has no block device";

/// Types with a class of their own; the others are walked if a block device carries them.
const CLASSES: &[(Class, &[&str])] = &[
    (Class::Walk, &["btrfs", "bcachefs", "devtmpfs", "ramfs", "tmpfs", "ubifs", "zfs", "jffs2"]),
    (
        Class::Pseudo,
        &[
            "binfmt_misc",
            "bpf",
            "cgroup",
            "cgroup2",
            "configfs",
            "cpuset",
            "debugfs",
            "devpts",
            "efivarfs",
            "functionfs",
            "fusectl",
            "hugetlbfs",
            "mqueue",
            "nfsd",
            "nsfs",
            "proc",
            "pstore",
            "resctrl",
            "rpc_pipefs",
            "securityfs",
            "selinuxfs",
            "smackfs",
            "sysfs",
            "tracefs",
        ],
    ),
    (
        Class::Skip(REMOTE),
        &[
            "9p",
            "afs",
            "beegfs",
            "ceph",
            "cifs",
            "coda",
            "gfs2",
            "glusterfs",
            "lustre",
            "nfs",
            "nfs4",
            "ocfs2",
            "orangefs",
            "smb3",
            "smbfs",
            "vboxsf",
            "virtiofs",
            "vmhgfs",
        ],
    ),
    (Class::Skip(USERSPACE), &["fuse", "fuseblk"]),
    (Class::Skip(STACKED), &["aufs", "ecryptfs", "overlay", "shiftfs"]),
    (Class::Skip(AUTO), &["autofs"]),
];

/// The class of a file system type; `major` is 0 where no block device carries it.
pub fn class(kind: &str, major: u32) -> Class {
    if kind.starts_with("fuse.") {
        return Class::Skip(USERSPACE);
    }
    let known = CLASSES.iter().find(|(_, kinds)| kinds.contains(&kind)).map(|(class, _)| *class);
    known.unwrap_or(if major == 0 { Class::Skip(UNKNOWN) } else { Class::Walk })
}

/// Reads a mountinfo file. The second value counts lines that are none.
pub fn parse(text: &[u8]) -> (Vec<Mount>, u64) {
    let mut malformed = 0;
    let mut mounts = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match parse_line(line) {
            Some(mount) => mounts.push(mount),
            None => malformed += 1,
        }
    }
    (mounts, malformed)
}

/// `id parent major:minor root point options [optional…] - type source options`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = text(fields.next()?)?.parse().ok()?;
    let (major, minor) = text(fields.nth(1)?)?.split_once(':')?;
    let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
    let kind = text(fields.skip_while(|field| *field != b"-").nth(1)?)?.to_owned();
    if !point.starts_with(b"/") {
        return None;
    }
    let point = if point == b"/" { Vec::new() } else { point };
    Some(Mount { id, device: (major.parse().ok()?, minor.parse().ok()?), root, point, kind })
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// The kernel writes space, tab, newline and backslash as `\ooo` (`mangle`, fs/proc_namespace.c).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let octal = match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        out.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    out
}

/// Groups mounts by file system; the one that shows all of it comes first in each.
pub fn volumes(mounts: &[Mount]) -> Vec<Volume> {
    let mut by_device: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    let mut volumes: Vec<Volume> = Vec::new();
    for mount in mounts {
        let at = *by_device.entry(mount.device).or_insert_with(|| {
            volumes.push(Volume { class: class(&mount.kind, mount.device.0), mounts: Vec::new() });
            volumes.len() - 1
        });
        volumes[at].mounts.push(mount.clone());
    }
    for volume in &mut volumes {
        volume.mounts.sort_by_key(|mount| mount.root != b"/");
    }
    volumes
}

/// Whether `path` is `directory` or lies below it; both without a trailing slash.
pub fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// A pattern without wildcards: the path it names.
pub fn literal(pattern: &str) -> Option<&[u8]> {
    (pattern.starts_with('/') && !pattern.contains(WILD)).then_some(pattern.as_bytes())
}

/// Whether `pattern` has a wildcard and all it matches lies below `point`.
pub fn wild_below(pattern: &str, point: &[u8]) -> bool {
    let Some(wild) = pattern.find(WILD) else { return false };
    let fixed = pattern[..wild].rsplit_once('/').map_or("", |(directory, _)| directory);
    pattern.starts_with('/') && is_below(fixed.as_bytes(), point)
}

const WILD: [char; 4] = ['*', '?', '[', '\\'];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
        22 27 0:21 / /proc rw shared:5 master:2 - proc proc rw\n\
        40 27 254:0 /srv/data /mnt/my\\040disk\\134 rw shared:1 - ext4 /dev/vda rw\n\
        41 27 0:50 / /run/user/1000/doc rw - fuse.portal portal rw\n\
        garbage\n\
        42 27 0:51 / /n rw - nfs4 server:/x rw\n";

    #[test]
    fn lines_are_read_with_optional_fields_and_escapes() {
        let (mounts, malformed) = parse(TEXT);
        assert_eq!(malformed, 1);
        assert_eq!(mounts.len(), 5);
        assert_eq!((mounts[0].id, mounts[0].device, mounts[0].point.as_slice()), (27, (254, 0), &b""[..]));
        assert_eq!(mounts[1].kind, "proc");
        assert_eq!(mounts[2].point, b"/mnt/my disk\\");
        assert_eq!(mounts[2].root, b"/srv/data");
    }

    #[test]
    fn mounts_of_one_file_system_come_together_whole_one_first() {
        let (mut mounts, _) = parse(TEXT);
        mounts.rotate_left(2);
        let volumes = volumes(&mounts);
        assert_eq!(volumes.len(), 4);
        let disk = &volumes[0];
        assert_eq!(disk.class, Class::Walk);
        assert_eq!(disk.mounts.iter().map(|mount| mount.id).collect::<Vec<_>>(), [27, 40]);
    }

    #[test]
    fn classes() {
        assert_eq!(class("ext4", 8), Class::Walk);
        assert_eq!(class("something_new", 8), Class::Walk);
        assert_eq!(class("tmpfs", 0), Class::Walk);
        assert_eq!(class("cgroup2", 0), Class::Pseudo);
        for skipped in ["nfs4", "fuse.sshfs", "fuseblk", "overlay", "autofs", "something_new"] {
            assert!(matches!(class(skipped, 0), Class::Skip(_)), "{skipped}");
        }
    }

    #[test]
    fn garbage_is_counted_and_never_panics() {
        for bad in [
            "",
            " ",
            "1 2 3",
            "1 2 a:b / / rw - x y",
            "1 2 0:1 / relative rw - x y",
            "1 2 0:1 / / rw -",
            "1 2 0:1 / /",
        ] {
            assert!(parse_line(bad.as_bytes()).is_none(), "{bad}");
        }
        assert_eq!(unescape(b"a\\04"), b"a\\04");
        assert_eq!(unescape(b"\\777\\"), b"\\777\\");
        assert_eq!(unescape(b"\\377"), b"\xff");
    }

    #[test]
    fn what_lies_below_what() {
        assert!(is_below(b"/proc/kcore", b"/proc"));
        assert!(is_below(b"/proc", b"/proc"));
        assert!(is_below(b"/x", b""));
        assert!(!is_below(b"/process", b"/proc"));
        assert_eq!(literal("/proc/kcore"), Some(&b"/proc/kcore"[..]));
        assert_eq!(literal("/proc/*/mem"), None);
        assert_eq!(literal("id_rsa"), None);
        assert!(wild_below("/proc/*/mem", b"/proc"));
        assert!(wild_below("/proc/1/m*", b"/proc"));
        assert!(!wild_below("/proc/kcore", b"/proc"));
        assert!(!wild_below("/pro*", b"/proc"));
        assert!(!wild_below("~/.ssh/*", b"/proc"));
        assert!(!wild_below("*.key", b"/proc"));
    }
}
