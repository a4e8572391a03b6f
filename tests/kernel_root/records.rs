//! Real acts, and the records the kernel side makes of them. With `BEE_SEEDS` set
//! to a directory they become seeds of the fuzz target `wire` (`fuzz/README.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use bee_trace::decode::{Body, Record, decode};
use bee_trace::pipeline::action;
use bee_trace::shared::Settings;
use bee_trace::wire;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};

use crate::watch::{Watch, configuration};

/// The same in every run, so that seeds say nothing of the machine they come from.
const PLACE: &str = "/var/tmp/bee-seeds";

const LISTS: &str = r#"
[file]
watch = ["*.key", "~/.ssh/*"]
watch_write = ["*.conf"]
[limits]
alerts_per_second = 1000000
alert_burst = 1000000
"#;

/// A process of one thread that does something and ends.
fn child(act: impl FnOnce()) -> u32 {
    // SAFETY: the child makes system calls and ends; glibc's malloc is usable after fork.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_ok();
            // SAFETY: ends the child without the harness's exit handlers.
            unsafe { libc::_exit(if done { 7 } else { 1 }) }
        }
        ForkResult::Parent { child } => {
            waitpid(child, None).unwrap();
            child.as_raw().unsigned_abs()
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> u32 {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("GH_TOKEN", "x").env("LANG", "C").stdin(Stdio::null());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    child.wait().unwrap();
    pid
}

/// Everything the sensors report, each at least once.
fn acts(watch: &Watch) -> BTreeSet<u32> {
    let mut pids = BTreeSet::new();
    let at = |name: &str| Path::new(PLACE).join(name);
    pids.insert(child(|| {
        let create = |name: &str| drop(File::create(at(name)).unwrap());
        create("a.key");
        fs::create_dir_all(at("home/.ssh")).unwrap();
        create("home/.ssh/config");
        create("x.conf");
        create("odd\u{1b}[31m\n.key");
        fs::write(at("a.key"), "").unwrap();
        drop(File::open(at("a.key")));
        drop(OpenOptions::new().read(true).write(true).open("./home/../a.key"));
        drop(OpenOptions::new().write(true).open(at("x.conf")));
        fs::hard_link("a.key", "plain").unwrap();
        drop(File::open(at("plain")));
        symlink("../bee-seeds/a.key", "link").unwrap();
        drop(File::open(at("link")));
        fs::rename(at("plain"), "b.key").unwrap();
        fs::rename("home/.ssh", "home/old").unwrap();
        fs::set_permissions("b.key", PermissionsExt::from_mode(0o4600)).unwrap();
        std::os::unix::fs::chown("b.key", Some(65_534), None).unwrap();
        std::os::unix::fs::fchown(File::open("b.key").unwrap(), None, Some(65_534)).unwrap();
        nix::unistd::truncate("a.key", 1 << 33).unwrap();
        let (character, mode) = (nix::sys::stat::SFlag::S_IFCHR, nix::sys::stat::Mode::S_IRUSR);
        nix::sys::stat::mknod("node.key", character, mode, nix::sys::stat::makedev(1, 3)).unwrap();
        drop(File::open("node.key"));
        let deep = format!("{}/deep.key", vec!["d".repeat(100); 20].join("/"));
        fs::create_dir_all(Path::new(&deep).parent().unwrap()).unwrap();
        create(&deep);
        fs::remove_file("b.key").unwrap();
        drop(File::open("./////a.key").unwrap());
        let kept = File::open("a.key").unwrap();
        fs::remove_file("a.key").unwrap();
        fs::set_permissions(
            format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&kept)),
            PermissionsExt::from_mode(0o600),
        )
        .unwrap();
        nix::sys::stat::fchmod(&kept, mode).unwrap();
    }));
    // Refused, and by another user.
    pids.insert(child(|| {
        File::create("secret.key").unwrap().set_permissions(PermissionsExt::from_mode(0o600)).unwrap();
        nix::unistd::setresgid(65_534.into(), 65_534.into(), 65_534.into()).unwrap();
        nix::unistd::setresuid(65_534.into(), 65_534.into(), 65_534.into()).unwrap();
        assert!(File::open("secret.key").is_err());
        assert!(OpenOptions::new().write(true).open("../bee-seeds/secret.key").is_err());
        assert!(fs::remove_file("secret.key").is_err());
        assert!(fs::rename("secret.key", "mine").is_err());
    }));
    pids.insert(child(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _connected = TcpStream::connect(address).unwrap();
        let _accepted = listener.accept().unwrap();
        assert!(TcpStream::connect("[::1]:9").is_err() && UnixStream::connect("/bee-seeds/none").is_err());
        let four = UdpSocket::bind("127.0.0.1:0").unwrap();
        four.send_to(b"x", address).unwrap();
        four.connect(address).unwrap();
        let six = UdpSocket::bind("[::]:0").unwrap();
        six.send_to(b"x", "[::ffff:127.0.0.1]:9").unwrap();
        // SAFETY: three numbers; the child ends with what it gives.
        unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
    }));
    // The scanner's way to show a file: O_PATH, and a note where a mode would be.
    watch.settings.set_scanner_tgid(std::process::id());
    for note in [1, 2, 4] {
        let show = |path: &str| {
            let path = CString::new(path).unwrap();
            // SAFETY: a C string that lives through the call.
            let fd = unsafe {
                libc::syscall(
                    libc::SYS_openat,
                    libc::AT_FDCWD,
                    path.as_ptr(),
                    libc::O_PATH | libc::O_NOFOLLOW,
                    note,
                )
            };
            assert!(fd >= 0);
            // SAFETY: just opened, nobody else has it.
            unsafe { libc::close(fd as i32) };
        };
        show(if note == 4 { PLACE } else { "secret.key" });
        show("node.key");
    }
    watch.settings.set_scanner_tgid(0);
    pids.insert(std::process::id());
    // Programs: argument lists short and long, a script, a deleted image, one from a memfd.
    pids.insert(run("/bin/true", &[]));
    pids.insert(run("/bin/true", &["one", "", "t\tw\u{7}o", "\u{e9}"]));
    pids.insert(run("/bin/true", &["long".repeat(2000).as_str()]));
    let script = at("script");
    fs::write(&script, "#!/bin/sh\nexit 3\n").unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    pids.insert(run(script.to_str().unwrap(), &["argument"]));
    fs::copy("/bin/true", at("copy")).unwrap();
    pids.insert(child(|| {
        let program = File::open(at("copy")).unwrap();
        fs::remove_file(at("copy")).unwrap();
        let _ = nix::unistd::fexecve(program, &[c"gone"], &[] as &[CString]);
    }));
    pids.insert(child(|| {
        let memory = nix::sys::memfd::memfd_create(c"x", nix::sys::memfd::MFdFlags::empty()).unwrap();
        let mut memory = File::from(memory);
        std::io::Write::write_all(&mut memory, &fs::read("/bin/true").unwrap()).unwrap();
        let _ = nix::unistd::fexecve(memory, &[c"mem"], &[c"AWS_SECRET=x"]);
    }));
    pids.insert(child(|| {
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
    }));
    // O_DIRECTORY of a name nobody has, and a cgroup that comes and goes.
    if let Some(cgroups) = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .find(|mount| Path::new(mount).join("cgroup.procs").exists())
    {
        let group = Path::new(cgroups).join("bee-seeds.service");
        fs::create_dir(&group).unwrap();
        fs::remove_dir(&group).unwrap();
    }
    drop(OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(PLACE).unwrap());
    pids
}

/// What tells one record from another where it matters to a decoder.
fn sort(record: &Record<'_>) -> String {
    let head = record.header;
    let shape = match record.body {
        Body::Exec(exec) => {
            format!(
                "{}{}{}",
                u8::from(!exec.script.is_empty()),
                u8::from(exec.args.len() > 100),
                u8::from(!exec.env.is_empty())
            )
        }
        Body::File(file) => {
            format!("{}{}", u8::from(!file.name.is_empty()), u8::from(file.walk.0.len() > 1000))
        }
        Body::Exit(status) => format!("{status}"),
        Body::Cgroup { removed, .. } => format!("{removed}"),
        Body::Socket(socket) => format!("{:?}", socket.fixed.facts),
        Body::Memory(memory) => format!("{}", u8::from(!memory.name.is_empty())),
        Body::Kernel(_) => String::new(),
        Body::Fork { .. } => String::new(),
    };
    format!("{}-{:x}-{}-{shape}", head.kind, head.flags, head.result)
}

fn name(kind: u16) -> &'static str {
    match kind {
        wire::KIND_IDENTITY => "identity",
        wire::KIND_CGROUP => "cgroup",
        kind => action(kind).map_or("none", |action| action.name()),
    }
}

/// A record as the fuzz target reads it: its length in front.
fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_le_bytes()[..], bytes].concat()
}

#[test]
fn root_every_kind_of_record_is_made_by_a_real_act() {
    let _ = fs::remove_dir_all(PLACE);
    fs::create_dir(PLACE).unwrap();
    fs::set_permissions(PLACE, PermissionsExt::from_mode(0o755)).unwrap();
    std::env::set_current_dir(PLACE).unwrap();
    let mut watch = Watch::start(&configuration(LISTS), &["process", "file", "network"]);
    ask_for_all(&watch);
    let pids = acts(&watch);
    watch.hush();
    std::env::set_current_dir("/").unwrap();
    fs::remove_dir_all(PLACE).unwrap();
    let mut records: Vec<Vec<u8>> =
        [0, 1].into_iter().flat_map(|ring| watch.take(ring)).map(|taken| taken.1).collect();
    records.retain(|bytes| {
        let record = decode(bytes).unwrap();
        let of_place = |path: &[u8]| path.windows(9).any(|part| part == b"bee-seeds");
        match record.body {
            Body::Cgroup { path, .. } => of_place(path),
            Body::File(file) => {
                pids.contains(&record.header.tgid)
                    && [file.name, file.walk.0, file.walk_2.0].into_iter().any(of_place)
            }
            // Between its fork and its exec a child's command line is this test's.
            _ => pids.contains(&record.header.tgid) && record.header.tgid != std::process::id(),
        }
    });
    records.sort_by_key(|bytes| bee_trace::decode::time(bytes));

    let kinds: BTreeSet<u16> = records.iter().map(|bytes| decode(bytes).unwrap().header.kind).collect();
    let mut all: BTreeSet<u16> = (wire::KIND_EXEC..=wire::KIND_SOCKET).collect();
    if !["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .iter()
        .any(|at| Path::new(at).join("cgroup.procs").exists())
    {
        all.remove(&wire::KIND_CGROUP);
    }
    assert_eq!(kinds, all);
    for bytes in &records {
        let record = decode(bytes).unwrap();
        let (hook, tier) = bee_trace::probe::hook(record.header.hook);
        assert_ne!((hook, tier), ("unknown", "unknown"), "hook {}", record.header.hook);
        assert!(bytes.len() < 16 << 10 && record.header.time > record.header.start);
    }
    if let Some(seeds) = std::env::var_os("BEE_SEEDS") {
        write_seeds(Path::new(&seeds), &records);
    }
}

/// Of sockets, too, what a machine sends itself.
fn ask_for_all(watch: &Watch) {
    let all: [fn(&Settings, u32); 5] = [
        Settings::set_network_kinds,
        Settings::set_network_loopback,
        Settings::set_network_families,
        Settings::set_network_families_2,
        Settings::set_network_inet,
    ];
    for set in all {
        set(&watch.settings, u32::MAX);
    }
}

/// One file for each sort of record, and some with the life of a whole process.
fn write_seeds(seeds: &Path, records: &[Vec<u8>]) {
    fs::create_dir_all(seeds).unwrap();
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    let mut write = |name: &'static str, bytes: &[u8]| {
        if bytes.len() < 4096 {
            let number = numbers.entry(name).or_default();
            *number += 1;
            fs::write(seeds.join(format!("{name}-{number}")), bytes).unwrap();
        }
    };
    let mut sorts = BTreeSet::new();
    let mut lives: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for bytes in records {
        let record = decode(bytes).unwrap();
        if sorts.insert(sort(&record)) {
            write(name(record.header.kind), &framed(bytes));
        }
        lives.entry(record.header.tgid).or_default().extend(framed(bytes));
    }
    for life in lives.values().filter(|life| life.len() > 300) {
        write("life", life);
    }
}
