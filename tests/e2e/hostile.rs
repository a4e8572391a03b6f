//! Security: strings, clients and descriptors that somebody made to do harm. Whatever a process is
//! called, runs, is given or opens arrives as it was, escaped as promised, and does nothing to who
//! reads it. (Configurations, and answers to `bee-trace`, need no kernel: tests/hostile.rs.)

use std::ffi::OsStr;
use std::fs;
use std::io::IoSlice;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bee_trace::control::protocol::{Answer, Request};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, sendmsg, socket,
};

use crate::harness::{
    Abi, Daemon, Event, Fixture, Journald, Manager, Run, bee_trace, memory, tier, wait_for,
};
use crate::journal::{compare, start, stop, unescaped};

/// What it tries, and the bytes. None has a `/`: each is the name of a file too.
const STRINGS: &[(&str, &[u8])] = &[
    ("a field of the journal", b"x\nBEE_X=1\nPRIORITY=0\nMESSAGE=all is well"),
    ("a field with a length", b"x\nBEE_X\n\x01"),
    ("the end of a JSON string", b"x\"},\"event\":{\"action\":\"stop\"}}\n{\"a\":\"b"),
    ("escapes of JSON and ours", b"\\\"\\\\\\x41\\u0041\\n\\"),
    ("a terminal's title and screen", b"\x1b]0;owned\x07\x1b[2J\x1b[1;31mred"),
    ("C1 controls", b"x\xc2\x9b2J\xc2\x9d0;owned\xc2\x9c"),
    ("the direction of writing", b"gpj\xe2\x80\xae.txt\xe2\x81\xa6\xe2\x80\xa8"),
    ("not UTF-8", b"\xff\xfe\xc0\xaf\xed\xa0\x80\xf5x\xe2\x80"),
    ("controls", b"\x01\x02\t\r\x08\x0b\x0c\x1f\x7f<0>"),
    ("quotes and a shell", b"$(id)';`id`\" #%s%n"),
];

/// Bytes the kernel keeps of a process's name.
const COMM: usize = 15;

fn path_in(directory: &Path, name: &[u8]) -> PathBuf {
    directory.join(OsStr::from_bytes(name))
}

/// One hostile string in every place it can have: what was done, to be found in the events.
struct Done {
    /// What the string tries.
    what: &'static str,
    raw: &'static [u8],
    /// A program of that name that opens a watched file in a directory of that name.
    pid: u32,
    program: PathBuf,
    args: Vec<Vec<u8>>,
    variable: Vec<u8>,
    file: PathBuf,
    renamed: PathBuf,
    /// A process that has given itself that name, opened the file, and has a child.
    named: u32,
}

/// The variable's name as it is seen: up to the first `=`.
fn variable(raw: &[u8]) -> Vec<u8> {
    let name = [b"MY_TOKEN", raw].concat();
    name.split(|byte| *byte == b'=').next().unwrap().to_vec()
}

fn finish(child: Child) -> u32 {
    let pid = child.id();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    pid
}

fn act(fixture: &Fixture, what: &'static str, raw: &'static [u8]) -> Done {
    let directory = path_in(&fixture.dir.join("tree"), raw);
    let opener = fixture.trigger("open", Abi::Native).program();
    let (program, file) = (path_in(&directory, raw), directory.join("id_rsa"));
    let renamed = path_in(&directory, &[b"id_rsa", raw].concat());
    fs::copy(&opener, &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["openat", "r", "1"]).arg(&file).arg0(OsStr::from_bytes(raw)).env_clear();
    command.env(OsStr::from_bytes(&variable(raw)), "a value").stdout(Stdio::null());
    let pid = finish(command.stderr(Stdio::piped()).spawn().unwrap());
    // The shell's own built-ins name it and open the file; `true` is its child.
    let octal: String = raw.iter().take(COMM).map(|byte| format!("\\{byte:03o}")).collect();
    let script = format!("printf '{octal}' > /proc/$$/comm; : < \"$0\"; /bin/true; :");
    let named =
        finish(Command::new("sh").arg("-c").arg(script).arg(&file).stderr(Stdio::piped()).spawn().unwrap());
    fs::rename(&file, &renamed).unwrap();
    let args = vec![
        raw.to_vec(),
        b"openat".to_vec(),
        b"r".to_vec(),
        b"1".to_vec(),
        file.as_os_str().as_bytes().to_vec(),
    ];
    Done { what, raw, pid, program, args, variable: variable(raw), file, renamed, named }
}

/// Nothing that a terminal obeys: no control but the ends of lines, nothing that turns the writing.
fn tame(what: &str, bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).unwrap_or_else(|why| panic!("{what} is not UTF-8: {why}"));
    let obeyed = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if let Some(line) = text.lines().find(|line| line.contains(obeyed)) {
        panic!("{what}: {line:?}");
    }
}

/// The only event of this process that `wanted` picks.
fn one<'r>(run: &'r Run, pid: u32, action: &str, wanted: impl Fn(&Event) -> bool) -> &'r Event {
    let found: Vec<_> = run.of(pid).filter(|event| event.action() == action && wanted(event)).collect();
    assert_eq!(found.len(), 1, "{action} of {pid}: {:#?}", run.of(pid).collect::<Vec<_>>());
    found[0]
}

fn in_lines(run: &Run, done: &Done) {
    let bytes = |event: &Event, key: &str| unescaped(event.text(key));
    let path = |path: &Path| path.as_os_str().as_bytes().to_vec();
    let name = &done.raw[..done.raw.len().min(COMM)];
    let exec = one(run, done.pid, "exec", |_| true);
    assert_eq!(bytes(exec, "process.executable"), path(&done.program), "{}: {exec}", done.what);
    assert_eq!(bytes(exec, "process.name"), name, "{}: {exec}", done.what);
    let args: Vec<Vec<u8>> = exec.list("process.args").into_iter().map(unescaped).collect();
    assert_eq!(args, done.args, "{}: {exec}", done.what);
    let variables: Vec<Vec<u8>> = exec.list("bee.secret_env").into_iter().map(unescaped).collect();
    assert_eq!(variables, std::slice::from_ref(&done.variable), "{}: {exec}", done.what);
    assert!(!exec.mentions("a value"), "{exec}");
    let open = one(run, done.pid, "open", |_| true);
    assert_eq!(bytes(open, "file.path"), path(&done.file), "{}: {open}", done.what);
    let of_named = one(run, done.named, "open", |event| bytes(event, "file.path") == path(&done.file));
    assert_eq!(bytes(of_named, "process.name"), name, "{}: {of_named}", done.what);
    let child =
        run.action("exec").find(|event| event.number("process.parent.pid") == Some(done.named.into()));
    let child = child.unwrap_or_else(|| panic!("{}: no child of {}", done.what, done.named));
    assert_eq!(bytes(child, "process.parent.name"), name, "{}: {child}", done.what);
    let rename = run.action("rename").find(|event| bytes(event, "file.path") == path(&done.renamed));
    let rename = rename.unwrap_or_else(|| panic!("{}: no rename", done.what));
    assert_eq!(bytes(rename, "bee.old_path"), path(&done.file), "{}: {rename}", done.what);
    // A name that is cut may be cut within a letter.
    let not_utf8 = [done.raw, name].iter().any(|raw| std::str::from_utf8(raw).is_err());
    assert_eq!(open.has_flag("non_utf8"), not_utf8, "{}: {open}", done.what);
}

#[test]
fn root_hostile_strings_arrive_escaped_in_lines_terminal_and_journal() {
    let fixture = Fixture::new();
    let journald = Journald::start();
    for (_, raw) in STRINGS {
        let directory = path_in(&fixture.dir.join("tree"), raw);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("id_rsa"), "").unwrap();
    }
    let daemon = start(&fixture, &journald, "journal_fold_seconds = 0\n");
    let watch = |format: &str| {
        let mut command = bee_trace();
        command.args(["watch", "--format", format, "--socket"]).arg(fixture.socket());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let (people, programs) = (watch("pretty"), watch("json"));
    wait_for("both who watch", 20, || fixture.status().control.watchers == 2);
    let done: Vec<Done> = STRINGS.iter().map(|(what, raw)| act(&fixture, what, raw)).collect();
    let (run, counted, log) = stop(daemon);

    // Lines: each is one object (`Run::read`), and the file is fit for `cat`.
    tame("the output", &fs::read(fixture.dir.join("events.json")).unwrap());
    done.iter().for_each(|done| in_lines(&run, done));

    // A terminal: one line for an event, whatever is in it.
    let [people, programs] = [people, programs].map(|child| child.wait_with_output().unwrap().stdout);
    tame("the view for people", &people);
    tame("the view for programs", &programs);
    let seen: Vec<Event> = std::str::from_utf8(&programs).unwrap().lines().map(Event::parse).collect();
    let people = String::from_utf8(people).unwrap();
    // From the first act on: one of the two began to watch before the other.
    let first = done[0].pid;
    let seen = seen.iter().skip_while(|event| event.pid() != Some(first.into())).count();
    let lines = people.lines().skip_while(|line| !line.contains(&format!("[{first}]"))).count();
    assert!(seen == lines && seen > 6 * done.len(), "{seen} events in {lines} lines");
    for done in &done {
        let pid = format!("[{}]", done.pid);
        assert_eq!(
            people.lines().filter(|line| line.contains(&pid) && line.contains("id_rsa")).count(),
            2,
            "{}: its exec and its open:\n{people}",
            done.what
        );
    }

    // The journal: each field is what the line says, and there is no other.
    let entries = journald.entries();
    assert_eq!(entries.len() as u64, counted["accepted"], "{log}");
    assert_eq!((counted["refused"], counted["queue_full"]), (0, 0), "{log}");
    compare(&entries, &run);
    for entry in &entries {
        tame("MESSAGE", entry.bytes("MESSAGE"));
        assert!(!entry.bytes("MESSAGE").contains(&b'\n') && entry.all("BEE_X").is_empty());
    }
    tame("the log", log.as_bytes());
}

/// An overlay, which the scanner leaves alone; taken away when dropped.
struct Overlay(PathBuf);

impl Overlay {
    fn on(directory: &Path) -> Self {
        let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| {
            let path = directory.join(name);
            fs::create_dir_all(&path).unwrap();
            path
        });
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("overlay"), &merged, Some("overlay"), flags, Some(options.as_str())).unwrap();
        Self(merged)
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH).unwrap();
    }
}

/// What it says in its own log of a name that somebody chose cannot begin a line there.
#[test]
fn root_hostile_directories_do_not_write_the_log() {
    let fixture = Fixture::new();
    let overlay = Overlay::on(&fixture.dir.join("overlay"));
    // The scanner is sent after a rename to a watched name, whatever else it is at.
    fixture.config();
    fixture.set_drop_in(&format!("[file]\nwatch_add = [\"{}/t*\"]\n", overlay.0.display()));
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let forged = "\n INFO bee-traced: all is well\x1b]0;owned\x07\u{202e}";
    let (before, after) = (overlay.0.join("before"), overlay.0.join(format!("t{forged}")));
    // It says why it does not go there.
    fs::create_dir_all(before.join("d")).unwrap();
    fs::write(before.join("d/id_rsa"), "").unwrap();
    fs::rename(&before, &after).unwrap();
    if tier::IDENTITY.here() {
        fixture.status();
    } else {
        wait_for("what the scanner says of it", 20, || daemon.log().contains(" is on overlay"));
    }
    let log = daemon.log();
    tame("the log", log.as_bytes());
    assert!(!log.lines().any(|line| line.starts_with(" INFO bee-traced: all is well")), "{log}");
    daemon.stop();
}

fn client(path: &Path) -> OwnedFd {
    let client = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    connect(client.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    client
}

fn answer(client: &OwnedFd) -> Option<Answer> {
    let mut buffer = vec![0; 256 * 1024];
    match nix::unistd::read(client, &mut buffer) {
        Ok(0) | Err(nix::errno::Errno::ECONNRESET) => None,
        length => Some(Answer::parse(&buffer[..length.unwrap()]).unwrap().0),
    }
}

/// How many descriptors the daemon has.
fn descriptors(daemon: &Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
}

/// Beside what `control.rs` tries: descriptors and credentials sent along, halves of requests, two
/// requests where there is one, and clients that ask and never read.
#[test]
fn root_hostile_clients_leave_nothing_behind_in_the_daemon() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let path = fixture.socket();
    fixture.status();
    let before = descriptors(&daemon);
    let request = Request::Status {}.encode();

    // Descriptors that nobody asked for are closed by the kernel, not kept by the daemon.
    let null = fs::File::open("/dev/null").unwrap();
    let many: Vec<RawFd> = vec![null.as_raw_fd(); 253];
    for _ in 0..20 {
        let client = client(&path);
        let parts = [IoSlice::new(&request)];
        let rights = [ControlMessage::ScmRights(&many)];
        sendmsg::<UnixAddr>(client.as_raw_fd(), &parts, &rights, MsgFlags::MSG_NOSIGNAL, None).unwrap();
        assert!(matches!(answer(&client), Some(Answer::Status(_))));
    }
    // Half a request is none, and the other half has no second chance.
    for cut in 1..request.len() - 2 {
        let client = client(&path);
        send(client.as_raw_fd(), &request[..cut], MsgFlags::MSG_NOSIGNAL).unwrap();
        let _ = send(client.as_raw_fd(), &request[cut..], MsgFlags::MSG_NOSIGNAL);
        assert!(matches!(answer(&client), Some(Answer::Refused { .. })), "{cut} bytes");
        assert!(answer(&client).is_none(), "and an end");
    }
    // An empty message, which reads like an end.
    let empty = client(&path);
    send(empty.as_raw_fd(), &[], MsgFlags::MSG_NOSIGNAL).unwrap();
    assert!(answer(&empty).is_none());
    // Requests in a row: the first is answered.
    let twice = client(&path);
    for _ in 0..2 {
        let _ = send(twice.as_raw_fd(), &request, MsgFlags::MSG_NOSIGNAL);
    }
    assert!(matches!(answer(&twice), Some(Answer::Status(_))));
    // Who watches and then says more is sent away.
    let chatty = client(&path);
    send(chatty.as_raw_fd(), &Request::Watch(Default::default()).encode(), MsgFlags::MSG_NOSIGNAL).unwrap();
    assert!(matches!(answer(&chatty), Some(Answer::Watching {})));
    send(chatty.as_raw_fd(), &request, MsgFlags::MSG_NOSIGNAL).unwrap();
    wait_for("the talker to be sent away", 10, || fixture.status().control.watchers == 0);
    // Nobody reads these answers.
    let mute: Vec<OwnedFd> = (0..200)
        .map(|_| {
            let client = client(&path);
            send(client.as_raw_fd(), &request, MsgFlags::MSG_NOSIGNAL).unwrap();
            client
        })
        .collect();
    let ran = fixture.trigger("open", Abi::Native).args(["openat", "r", "7"]).args([fixture.secret(1)]);
    let ran = ran.run().all_well(7);
    drop((mute, empty, twice, chatty));
    wait_for("all to be forgotten", 20, || {
        let now = fixture.status().control;
        now.connections == 1 && now.watchers == 0
    });
    assert!(descriptors(&daemon) <= before, "{before} descriptors before, {} now", descriptors(&daemon));
    let run = daemon.stop();
    run.lossless();
    assert_eq!(run.files(&ran).len(), 7);
}

/// Nobody can say to be somebody else: the kernel tells who has connected.
#[test]
fn root_hostile_credentials_are_not_believed() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &["--sensors", "file"]);
    let [user, _] = &fixture.users;
    let group = nix::unistd::User::from_name("bee-trace").unwrap().unwrap().gid.as_raw();
    // A member of the group that asks for a change and says to be root. The kernel refuses the lie
    // (EPERM, unix(7)); without it the daemon does.
    let script = format!(
        r#"
import socket, struct, os, sys
os.setgroups([]); os.setgid({group}); os.setuid({uid})
def ask(ancillary):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect(sys.argv[1])
    s.sendmsg([b'{{"debug":{{"on":true}}}}'], ancillary)
    return s.recv(65536).decode()
try:
    print("told", ask([(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", 1, 0, 0))]))
except PermissionError:
    print("refused by the kernel")
print(ask([]))
"#,
        uid = user.uid
    );
    let output = Command::new("python3").arg("-c").arg(script).arg(fixture.socket()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("refused by the kernel\n") && said.contains("refused"), "{said}");
    assert!(said.contains(&format!("you are uid {}", user.uid)), "{said}");
    assert_eq!(fixture.status().log_level, "info");
    daemon.stop();
}

/// Changes what a daemon is started with.
type Harm = fn(&mut Manager);

const HARMS: &[(&str, Harm)] = &[
    ("somebody else's map under our name", |manager| {
        use libbpf_rs::{MapHandle, MapType, libbpf_sys};
        let options = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as u64,
            ..Default::default()
        };
        let map = MapHandle::create(MapType::Hash, Some("settings"), 4, 4, 1, &options).unwrap();
        let at = manager.kept("map").next().unwrap();
        manager.store[at].1 = map.as_fd().try_clone_to_owned().unwrap();
    }),
    ("names that lead elsewhere", |manager| {
        for (number, (name, _)) in manager.store.iter_mut().enumerate() {
            *name = [
                "bee-../../etc/shadow-map",
                "bee-\x1b]0;owned\x07-map",
                "bee--manifest",
                "bee-1.2-map\n<0>all is well",
                "",
                "bee-\u{202e}-link",
            ][number % 6]
                .to_owned();
        }
    }),
    ("two hundred pipes", |manager| {
        let set = manager.store[0].0.rsplit_once('-').unwrap().0.to_owned();
        for _ in 0..200_usize.saturating_sub(manager.store.len()) {
            manager.store.push((format!("{set}-map"), nix::unistd::pipe().unwrap().0));
        }
    }),
    ("a list that names what there is not", |manager| {
        let at = manager.kept("manifest").next().unwrap();
        let text = r#"{"format":1,"version":"\u001b[2J","build":"x","wire":1,"kernel":"x","boot":1,"shape":"",
            "maps":[["../../x",4294967295]],"sensors":[],"absent":[]}"#;
        manager.store[at].1 = memory(text.as_bytes());
    }),
    ("a list without an end", |manager| {
        let at = manager.kept("manifest").next().unwrap();
        manager.store[at].1 = memory("[".repeat(200_000).as_bytes());
    }),
];

#[test]
fn root_hostile_descriptors_in_the_store_are_a_plain_start() {
    for (what, harm) in HARMS {
        let fixture = Fixture::new();
        let left = crate::harness::objects_left(|| {
            let mut manager = Manager::new(&fixture);
            manager.start(&[]);
            manager.end(Signal::SIGTERM);
            harm(&mut manager);
            let before = manager.log().len();
            manager.start(&[]);
            let log = manager.log()[before..].to_owned();
            assert!(!log.contains("panicked"), "{what}: {log}");
            tame(what, log.as_bytes());
            assert!(!log.lines().any(|line| line.starts_with("<0>")), "{what}: {log}");
            assert!(!fixture.status().restart.adopted, "{what}: {log}");
            let path = fixture.secret(1);
            drop(fs::File::open(&path).unwrap());
            wait_for("the open", 20, || {
                let of = |event: &Event| event.text("file.path") == path.to_str().unwrap();
                manager.events().iter().any(of)
            });
            manager.end(Signal::SIGTERM);
        });
        assert!(left.is_empty(), "{what}: left in the kernel: {left:?}");
    }
}

/// Numbers and names that no service manager sets.
#[test]
fn root_hostile_environments_of_a_service_manager_are_a_plain_start() {
    let fixture = Fixture::new();
    for (count, names) in [
        ("3", "a:b:c"),
        ("40000", ""),
        ("4294967295", "x"),
        ("18446744073709551616", "x"),
        ("-1", "x"),
        ("0", "x"),
        ("many", "x"),
        ("1", "bee-1.1-map:bee-1.1-map"),
        ("1", "\x1b[2J\n<0>all is well"),
    ] {
        let output = fixture.dir.join("events.json");
        let mut command = Command::new("sh");
        // Descriptors from 3 on are closed.
        command.args(["-c", "export LISTEN_PID=$$; exec 3<&- 4<&- 5<&-; exec \"$0\" \"$@\""]);
        command.arg(crate::harness::bee_traced().get_program()).arg("--config").arg(fixture.config());
        command.args(["--output", "json", "--duration", "1"]);
        if let Some(tier) = tier::forced() {
            command.args(["--force-tier", &tier]);
        }
        command.env("LISTEN_FDS", count).env("LISTEN_FDNAMES", names).stdin(Stdio::null());
        command.stdout(fs::File::create(&output).unwrap()).stderr(Stdio::piped());
        let done = command.output().unwrap();
        let log = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(0), "{count} {names:?}: {log}");
        assert!(!log.contains("panicked"), "{count} {names:?}: {log}");
        tame("the log", log.as_bytes());
        let run = Run::read(&output);
        assert_eq!(run.action("start").count(), 1, "{count} {names:?}: {log}");
    }
}
