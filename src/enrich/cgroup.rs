//! cgroup id → systemd unit and container. The id is the inode number of the
//! cgroup's directory in the v2 tree, as `bpf_get_current_cgroup_id` gives it.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::Path;

/// The kernel's own default for `cgroup.max.depth` is unlimited; nothing real is deeper than 20.
const DEPTH_LIMIT: usize = 64;

/// Whose processes a cgroup holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The systemd unit; for a unit of a user's manager `user@1000.service/foo.service`.
    pub unit: Option<Cow<'a, str>>,
    /// The container's id (Docker, Podman, containerd, CRI-O) or name (LXC, systemd-nspawn).
    pub container: Option<Cow<'a, str>>,
}

/// Tells unit and container from the path of a cgroup.
///
/// Both are the **outermost** of their kind. What lies below a unit or a
/// container is often delegated, and whoever it is delegated to may make a
/// cgroup of any name there: were the innermost taken, a process in a container
/// could make itself `sshd.service` and be excluded. This is also how the
/// journal finds `_SYSTEMD_UNIT`. A unit of a user's manager is shown with the
/// manager in front, so it is never mistaken for the system's unit of that name.
/// Names stay escaped as systemctl shows them (`a\x2db.service`); names of
/// containers are unescaped as machinectl shows them.
pub fn identify(path: &str) -> Identity<'_> {
    Identity { unit: unit(path), container: container(path) }
}

/// The first component that is not a slice, if it is a unit (cg_path_get_unit of systemd).
fn unit(path: &str) -> Option<Cow<'_, str>> {
    let mut parts = components(path).skip_while(|part| part.ends_with(".slice"));
    let unit = parts.next().filter(|part| is_unit(part))?;
    if !(unit.starts_with("user@") && unit.ends_with(".service")) {
        return Some(Cow::Borrowed(unit));
    }
    // What is below belongs to that user: init.scope is the manager itself.
    match parts.find(|part| !part.ends_with(".slice")).filter(|part| is_unit(part) && *part != "init.scope") {
        Some(inner) => Some(Cow::Owned(format!("{unit}/{inner}"))),
        None => Some(Cow::Borrowed(unit)),
    }
}

/// The parts of a path. systemd puts `_` before a name that the kernel could
/// take for one of its own files (cg_escape).
fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty()).map(|part| part.strip_prefix('_').unwrap_or(part))
}

fn is_unit(name: &str) -> bool {
    const KINDS: [&str; 6] = [".service", ".scope", ".socket", ".mount", ".swap", ".slice"];
    name.len() <= 255 && KINDS.iter().any(|kind| name.strip_suffix(kind).is_some_and(|stem| !stem.is_empty()))
}

fn container(path: &str) -> Option<Cow<'_, str>> {
    let mut before = "";
    let mut parts = components(path).peekable();
    while let Some(part) = parts.next() {
        let after = parts.peek().copied();
        if let Some(found) = named(before, part, after).or_else(|| numbered(part).map(Cow::Borrowed)) {
            return Some(found);
        }
        before = part;
    }
    None
}

/// Containers that have a name: LXC and systemd-nspawn.
fn named<'a>(before: &str, part: &'a str, after: Option<&str>) -> Option<Cow<'a, str>> {
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some(Cow::Borrowed(name)).filter(|name| !name.is_empty());
    }
    if before == "lxc" {
        return Some(Cow::Borrowed(part));
    }
    // Everywhere else a user may have chosen such a name for a thing of his own.
    let scope = part.strip_prefix("machine-").and_then(|rest| rest.strip_suffix(".scope"));
    let service = part.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service"));
    let name = unescape(scope.or(service).filter(|_| before == "machine.slice")?);
    // nspawn itself waits in `supervisor`; libvirt's virtual machines are no containers.
    let inside = after != Some("supervisor") && !name.starts_with("qemu-") && !name.is_empty();
    Some(name).filter(|_| inside)
}

/// Containers that have a number: 64 hex digits alone, or behind the word of
/// whoever made it, as `docker-….scope`, `cri-containerd-….scope`,
/// `crio-…`, `libpod-…`, or `…:cri-containerd:…` where runc made the path.
fn numbered(part: &str) -> Option<&str> {
    let stem = part.strip_suffix(".scope").unwrap_or(part);
    let (maker, id) = stem.rsplit_once(['-', ':']).unwrap_or(("", stem));
    let hex = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let known = ["docker", "libpod", "libpod-payload", "crio", "cri-containerd", "nerdctl"].contains(&maker);
    let long_enough = id.len() == 64 || (known && (12..64).contains(&id.len()));
    // conmon watches over a container from the outside.
    (hex && long_enough && !maker.ends_with("conmon")).then_some(id)
}

/// Undoes systemd's `\xNN`. What is no escape stays as it is.
fn unescape(name: &str) -> Cow<'_, str> {
    if !name.contains("\\x") {
        return Cow::Borrowed(name);
    }
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = rest.strip_prefix(b"\\x").and_then(|rest| rest.get(..2));
        let byte = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &rest[4..] } else { tail };
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// What is kept of a cgroup.
#[derive(Debug)]
struct Slot {
    id: u64,
    unit: Option<Box<str>>,
    container: Option<Box<str>>,
    /// Asked for since the hand last passed.
    used: Cell<bool>,
}

/// The cgroups of this machine, bounded. When it is full the one that was not
/// asked for the longest makes room (second chance), so that a storm of new
/// cgroups cannot push out those that have processes at work.
#[derive(Debug)]
pub struct Cgroups {
    capacity: usize,
    index: HashMap<u64, usize>,
    slots: Vec<Slot>,
    hand: usize,
    evicted: u64,
}

/// An entry of the table: unit and container, where there is one.
pub type Entry<'a> = (Option<&'a str>, Option<&'a str>);

impl Cgroups {
    /// An empty table for at most `capacity` cgroups (at least one).
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), index: HashMap::new(), slots: Vec::new(), hand: 0, evicted: 0 }
    }

    /// Remembers the cgroup `id`, whose path in the v2 tree begins with `/`.
    pub fn insert(&mut self, id: u64, path: &[u8]) {
        let path = String::from_utf8_lossy(path);
        let identity = identify(&path);
        let own = |name: Option<Cow<'_, str>>| name.map(|name| name.into_owned().into_boxed_str());
        // New ones start unused: one that is never asked for goes first.
        let slot =
            Slot { id, unit: own(identity.unit), container: own(identity.container), used: Cell::new(false) };
        if let Some(&at) = self.index.get(&id) {
            self.slots[at] = slot;
        } else if self.slots.len() < self.capacity {
            self.index.insert(id, self.slots.len());
            self.slots.push(slot);
        } else {
            let at = self.victim();
            self.index.remove(&self.slots[at].id);
            self.index.insert(id, at);
            self.slots[at] = slot;
            self.evicted += 1;
        }
    }

    /// Forgets the cgroup `id`. Its number may be asked for a little longer by
    /// events that were under way, so call this when those are through.
    pub fn remove(&mut self, id: u64) {
        let Some(at) = self.index.remove(&id) else { return };
        self.slots.swap_remove(at);
        if let Some(moved) = self.slots.get(at) {
            self.index.insert(moved.id, at);
        }
    }

    /// Unit and container of the cgroup `id`; `None` where it was never seen or had to make room.
    pub fn get(&self, id: u64) -> Option<Entry<'_>> {
        let slot = &self.slots[*self.index.get(&id)?];
        slot.used.set(true);
        Some((slot.unit.as_deref(), slot.container.as_deref()))
    }

    /// How many cgroups are known.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many had to make room since the start.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Learns every cgroup below `mount`, where the v2 tree is mounted, until
    /// the table is full. Directories that vanish meanwhile are passed over.
    /// Returns how many there were, those that found no room included.
    pub fn prime(&mut self, mount: &Path) -> io::Result<usize> {
        let mut seen = 1;
        self.insert(fs::metadata(mount)?.ino(), b"/");
        let mut waiting = vec![(mount.to_owned(), 0)];
        while let Some((directory, depth)) = waiting.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                seen += 1;
                let path = entry.path();
                match path.strip_prefix(mount) {
                    // kernfs lists the same number that stat gives; no stat of each is needed.
                    Ok(below) if self.slots.len() < self.capacity => {
                        self.insert(entry.ino(), &[b"/", below.as_os_str().as_bytes()].concat());
                    }
                    _ => {}
                }
                if depth < DEPTH_LIMIT {
                    waiting.push((path, depth + 1));
                }
            }
        }
        Ok(seen)
    }

    /// The slot that makes room: the first that was not asked for since the hand last passed it.
    fn victim(&mut self) -> usize {
        loop {
            let at = self.hand % self.slots.len();
            self.hand = at + 1;
            if !self.slots[at].used.replace(false) {
                return at;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn check(path: &str, unit: Option<&str>, container: Option<&str>) {
        let path = path.replace("ID", ID);
        let found = identify(&path);
        let wanted = container.map(|name| name.replace("ID", ID));
        assert_eq!((found.unit.as_deref(), found.container.as_deref()), (unit, wanted.as_deref()), "{path}");
    }

    #[test]
    fn units() {
        check("/", None, None);
        check("", None, None);
        check("/init.scope", Some("init.scope"), None);
        check("/system.slice/ssh.service", Some("ssh.service"), None);
        check("/system.slice/system-getty.slice/getty@tty1.service", Some("getty@tty1.service"), None);
        check("/system.slice/dev-disk-by\\x2duuid.swap", Some("dev-disk-by\\x2duuid.swap"), None);
        check("/system.slice/_cgroup.service", Some("cgroup.service"), None);
        check("/system.slice/dbus.socket", Some("dbus.socket"), None);
        check("/user.slice/user-1000.slice/session-3.scope", Some("session-3.scope"), None);
        check("/user.slice/user-1000.slice", None, None);
        check("/system.slice/.service", None, None);
        check("/process_api/x", None, None);
    }

    #[test]
    fn a_users_unit_is_never_mistaken_for_one_of_the_system() {
        let user = "/user.slice/user-1000.slice/user@1000.service";
        check(user, Some("user@1000.service"), None);
        check(&format!("{user}/init.scope"), Some("user@1000.service"), None);
        check(&format!("{user}/app.slice/ssh.service"), Some("user@1000.service/ssh.service"), None);
        check(&format!("{user}/app.slice/anything"), Some("user@1000.service"), None);
        // What a service or a container makes below itself does not count.
        check("/system.slice/a.service/system.slice/ssh.service", Some("a.service"), None);
        check(
            "/system.slice/docker-ID.scope/system.slice/ssh.service",
            Some("docker-ID.scope".replace("ID", ID).as_str()),
            Some("ID"),
        );
        check("/anything/ssh.service", None, None);
    }

    #[test]
    fn containers() {
        let scope = |maker: &str| format!("{maker}-{ID}.scope");
        check("/system.slice/docker-ID.scope", Some(&scope("docker")), Some("ID"));
        check("/docker/ID", None, Some("ID"));
        check("/docker/ID/docker/fff", None, Some("ID"));
        check("/system.slice/docker.service/docker/ID", Some("docker.service"), Some("ID"));
        check("/machine.slice/libpod-ID.scope/container", Some(&scope("libpod")), Some("ID"));
        check("/libpod_parent/libpod-ID/ctr", None, Some("ID"));
        check("/machine.slice/libpod-conmon-ID.scope", Some(&scope("libpod-conmon")), None);
        check(
            "/user.slice/user-7.slice/user@7.service/user.slice/libpod-ID.scope/container",
            Some(&format!("user@7.service/{}", scope("libpod"))),
            Some("ID"),
        );
        let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a_1.slice";
        check(&format!("{pod}/cri-containerd-ID.scope"), Some(&scope("cri-containerd")), Some("ID"));
        check(&format!("{pod}/crio-ID.scope"), Some(&scope("crio")), Some("ID"));
        check(&format!("{pod}/crio-conmon-ID.scope"), Some(&scope("crio-conmon")), None);
        check("/kubepods/burstable/pod7a2b/ID", None, Some("ID"));
        check(
            "/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:ID",
            Some("containerd.service"),
            Some("ID"),
        );
        check("/ecs/task/ID", None, Some("ID"));
        check(
            "/system.slice/docker-0123456789ab.scope",
            Some("docker-0123456789ab.scope"),
            Some("0123456789ab"),
        );
        check("/lxc.payload.web", None, Some("web"));
        check("/lxc.monitor.web", None, None);
        check("/lxc/101/ns/init.scope", None, Some("101"));
        check(
            "/machine.slice/machine-my\\x2dbox.scope/payload",
            Some("machine-my\\x2dbox.scope"),
            Some("my-box"),
        );
        check(
            "/machine.slice/systemd-nspawn@deb.service/payload/init.scope",
            Some("systemd-nspawn@deb.service"),
            Some("deb"),
        );
        check(
            "/machine.slice/systemd-nspawn@deb.service/supervisor",
            Some("systemd-nspawn@deb.service"),
            None,
        );
        check(
            "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
            Some("machine-qemu\\x2d1\\x2dvm.scope"),
            None,
        );
    }

    #[test]
    fn what_only_looks_like_a_container_is_none() {
        check("/system.slice/machine-x.scope", Some("machine-x.scope"), None);
        check("/system.slice/docker-01234567.scope", Some("docker-01234567.scope"), None);
        check("/system.slice/x-0123456789ab.scope", Some("x-0123456789ab.scope"), None);
        check(&format!("/docker/{}", ID.to_uppercase()), None, None);
        check(&format!("/docker/{ID}0"), None, None);
        check("/lxc", None, None);
        check("/lxc.payload.", None, None);
    }

    #[test]
    fn escapes_that_are_none_stay() {
        assert_eq!(unescape("a\\x2db"), "a-b");
        assert_eq!(unescape("a\\x2"), "a\\x2");
        assert_eq!(unescape("\\x+1\\xzz"), "\\x+1\\xzz");
        assert_eq!(unescape("\\xff"), "\u{fffd}");
    }

    #[test]
    fn the_table_is_bounded_and_keeps_what_is_used() {
        let mut table = Cgroups::new(4);
        table.insert(1, b"/system.slice/ssh.service");
        for id in 2..1000 {
            assert!(table.get(1).is_some(), "{id}");
            table.insert(id, b"/docker/\xff");
            assert!(table.len() <= 4);
        }
        assert_eq!(table.get(1), Some((Some("ssh.service"), None)));
        assert_eq!((table.evicted(), table.get(999), table.get(2)), (995, Some((None, None)), None));
        table.remove(999);
        table.remove(999);
        assert_eq!((table.len(), table.get(999)), (3, None));
        table.insert(1, b"/init.scope");
        assert_eq!((table.len(), table.get(1)), (3, Some((Some("init.scope"), None))));
        assert!(table.index.iter().all(|(id, at)| table.slots[*at].id == *id));
    }

    #[test]
    fn a_tree_is_learned_with_its_inode_numbers() {
        let root = std::env::temp_dir().join(format!("bee-cgroup-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let unit = root.join("system.slice/ssh.service");
        fs::create_dir_all(&unit).unwrap();
        fs::write(unit.join("cgroup.procs"), "1\n").unwrap();
        fs::create_dir(root.join("docker")).unwrap();
        let mut table = Cgroups::new(100);
        assert_eq!(table.prime(&root).unwrap(), 4);
        assert_eq!(table.get(fs::metadata(&unit).unwrap().ino()), Some((Some("ssh.service"), None)));
        assert_eq!(table.get(fs::metadata(&root).unwrap().ino()), Some((None, None)));
        let mut small = Cgroups::new(2);
        assert_eq!((small.prime(&root).unwrap(), small.len(), small.evicted()), (4, 2, 0));
        assert!(small.prime(&root.join("none")).is_err());
        fs::remove_dir_all(root).unwrap();
    }

    /// On the real v2 tree the listed inode number must be the cgroup's id.
    #[test]
    fn root_this_machines_cgroups_are_learned() {
        let mounts = crate::kernel::mounts::read(&Default::default()).unwrap();
        let Some(mount) = crate::kernel::mounts::find(&mounts, "cgroup2", Path::new("/sys/fs/cgroup")) else {
            eprintln!("skipped: no cgroup v2 here");
            return;
        };
        let made = mount.point.join(format!("bee-test-{}.service", std::process::id()));
        if fs::create_dir(&made).is_err() {
            eprintln!("skipped: cgroups cannot be made here");
            return;
        }
        let mut table = Cgroups::new(10_000);
        let primed = table.prime(&mount.point);
        let id = fs::metadata(&made).map(|directory| directory.ino());
        fs::remove_dir(&made).unwrap();
        primed.unwrap();
        let name = made.file_name().unwrap().to_str();
        assert_eq!(table.get(id.unwrap()), Some((name, None)));
    }
}
