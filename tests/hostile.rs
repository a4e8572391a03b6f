//! Security: configurations that somebody made to do harm, a daemon that is no longer itself, and
//! hostile strings in every place an event has for one. What needs a kernel is in
//! tests/e2e/hostile.rs; the grammars are fuzzed (fuzz/).
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use bee_trace::control::protocol::{Answer, Reload, Why};
use bee_trace::control::status::Status;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept, bind, listen, recv, send, socket,
};

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bee-hostile-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn bee_trace(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bee-trace"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Nothing that a terminal obeys, but ends of lines.
fn tame(what: &str, output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8(all).unwrap_or_else(|why| panic!("{what}: {why}"));
    let obeyed = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if let Some(line) = text.lines().find(|line| line.contains(obeyed)) {
        panic!("{what}: {line:?}");
    }
    text
}

/// In a process of its own with 256 MiB to live in: it must not die of it, nor need long.
fn check(what: &str, path: &Path) -> String {
    let began = Instant::now();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 262144; exec \"$0\" config check \"$1\""]);
    command.arg(env!("CARGO_BIN_EXE_bee-trace")).arg(path).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = tame(what, &output);
    assert_eq!(output.status.code(), Some(78), "{what}: {}: {said}", output.status);
    assert!(began.elapsed().as_secs() < 20, "{what}: {:?}", began.elapsed());
    assert!(said.len() < 200_000, "{what}: {} bytes of words", said.len());
    said
}

#[test]
fn hostile_files_as_a_configuration_are_refused_in_words() {
    let scratch = Scratch::new("files");
    let at = |name: &str| scratch.0.join(name);
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    let big = fs::File::create(at("big")).unwrap();
    big.set_len(100 << 20).unwrap();
    std::os::unix::fs::symlink(at("loop-a"), at("loop-b")).unwrap();
    std::os::unix::fs::symlink(at("loop-b"), at("loop-a")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    for (path, word) in [
        (at("fifo"), "not a regular file"),
        (PathBuf::from("/dev/zero"), "not a regular file"),
        (PathBuf::from("/dev/full"), "not a regular file"),
        (PathBuf::from("/dev/tty"), "configuration /dev/tty "),
        (scratch.0.clone(), "not a regular file"),
        (at("big"), "longer than 1 MiB"),
        (at("loop-a"), "symbolic link"),
        (at("dangling"), "does not exist"),
        (at("socket"), "configuration "),
        (PathBuf::from("/proc/self/mem"), "configuration /proc/self/mem "),
    ] {
        let said = check(word, &path);
        assert!(said.contains(word), "{}: {said}", path.display());
    }
    drop(listener);
    // The same in place of a drop-in, of the directory, and of a profile.
    scratch.write("main/config.toml", "");
    fs::create_dir(at("main/config.d")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("main/config.d/1.toml")).unwrap();
    assert!(check("drop-in", &at("main/config.toml")).contains("1.toml is not a regular file"));
    fs::remove_dir_all(at("main/config.d")).unwrap();
    scratch.write("main/config.d", "");
    check("the directory is a file", &at("main/config.toml"));
    fs::remove_file(at("main/config.d")).unwrap();
    for number in 0..300 {
        scratch.write(&format!("main/config.d/{number}.toml"), "");
    }
    assert!(check("many drop-ins", &at("main/config.toml")).contains("300"));
    fs::remove_dir_all(at("main/config.d")).unwrap();
    scratch.write("main/config.toml", "inherits = \"x\"\n");
    fs::create_dir(at("main/profiles")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("main/profiles/x.toml")).unwrap();
    assert!(check("profile", &at("main/config.toml")).contains("x.toml is not a regular file"));
    // A name that would lead out of the directory of profiles is none.
    for name in ["../secret", "/etc/passwd", "a\\u0000b", "a\\nb", "", "..", "\\u001b[2J"] {
        scratch.write("secret.toml", "[limits]\nalert_burst = 7\n");
        scratch.write("main/config.toml", format!("inherits = \"{name}\"\n"));
        let said = check(name, &at("main/config.toml"));
        assert!(said.contains("inherits"), "{said}");
    }
}

#[test]
fn hostile_texts_as_a_configuration_neither_kill_nor_hang() {
    const ROOM: usize = (1 << 20) - 100;
    let scratch = Scratch::new("texts");
    let fill = |piece: &str| piece.repeat(ROOM / piece.len());
    for (number, text) in [
        format!("a = {}", fill("[")),
        format!("a = {}{}", "[".repeat(ROOM / 2), "]".repeat(ROOM / 2)),
        format!("a = {}", fill("{a=")),
        format!("{}a = 1", fill("a.")),
        format!("[{}a]", fill("a.")),
        format!("[[{}a]]", fill("a.")),
        fill("[[exclude]]\n"),
        fill("[a]\n"),
        (0..60_000).map(|number| format!("[a{number}]\n")).collect(),
        (0..60_000).map(|number| format!("k{number} = 1\n")).collect(),
        format!("[file]\nwatch = [{}]", (0..60_000).map(|n| format!("'/**/a{n}*b*c',")).collect::<String>()),
        format!("[file]\nwatch = ['{}']", fill("*a")),
        format!("[file]\nwatch = ['/{}']", fill("[a-z]")),
        format!("[file]\nwatch = ['/{}']", fill("../")),
        format!("[host]\nproc = '/{}'", fill("x")),
        fill("\u{1b}]0;x\u{7}\n"),
        fill("\u{202e}"),
        "\0".repeat(ROOM),
        format!("# {}\n[limits]\ninodes = 1", fill("\r")),
        format!("# {}\r\n", "x".repeat(50)).repeat(2000) + "[limits]\r\ninoeds = 1\r\n",
        "[limits]\ninodes = 99999999999999999999999999\nalert_burst = -9223372036854775808\n".into(),
    ]
    .into_iter()
    .enumerate()
    {
        let path = scratch.write("config.toml", text);
        check(&format!("text {number}"), &path);
    }
}

/// Answers every request with these messages, as a daemon would that somebody has taken over.
struct Impostor {
    scratch: Scratch,
}

impl Impostor {
    fn new(name: &str, messages: Vec<Vec<u8>>) -> Self {
        let scratch = Scratch::new(name);
        let listener =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(&scratch.0.join("control")).unwrap()).unwrap();
        listen(&listener, Backlog::new(8).unwrap()).unwrap();
        // Ends with the test.
        thread::spawn(move || {
            while let Ok(client) = accept(listener.as_raw_fd()) {
                // SAFETY: the kernel has just made this descriptor for us alone.
                let client = unsafe { OwnedFd::from_raw_fd(client) };
                let _ = recv(client.as_raw_fd(), &mut [0; 16 * 1024], MsgFlags::empty());
                for message in &messages {
                    let _ = send(client.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL);
                }
            }
        });
        Self { scratch }
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        bee_trace(arguments).arg("--socket").arg(self.scratch.0.join("control")).output().unwrap()
    }
}

const EVIL: &str = "x\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}1m\u{202e}\r\u{7f}";

/// Root asks a daemon that an attacker has: nothing of its answer moves root's terminal.
#[test]
fn hostile_answers_of_a_daemon_show_nothing_a_terminal_obeys() {
    let refuses = Impostor::new("refuses", vec![Answer::refused(Why::Failed, EVIL).encode()]);
    for command in [&["status"][..], &["status", "--json"], &["status", "--check"], &["reload"], &["watch"]] {
        let said = tame("refused", &refuses.ask(command));
        assert!(said.contains("owned"), "{command:?}: {said}");
    }
    let mut status = Status { version: EVIL.into(), log_level: EVIL.into(), ..Status::default() };
    status.config.files = vec![EVIL.into(); 3];
    let gives = Impostor::new("status", vec![Answer::Status(Box::new(status)).encode()]);
    for command in [&["status"][..], &["status", "--check"]] {
        let said = tame("status", &gives.ask(command));
        assert!(command.len() > 1 || said.contains("owned"), "{said}");
    }
    let json = gives.ask(&["status", "--json"]);
    tame("status --json", &json);
    let read: Status = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(read.version, EVIL, "it is still what was said");
    let debug = Impostor::new("debug", vec![Answer::Debug { level: EVIL.into() }.encode()]);
    tame("debug", &debug.ask(&["debug", "on"]));
    for error in [None, Some(EVIL.to_owned())] {
        let reload = Reload { error, restart: vec![EVIL.into()], ..Reload::default() };
        let reload = Impostor::new(
            if reload.error.is_some() { "reload-error" } else { "reload" },
            vec![Answer::Reload(reload).encode()],
        );
        assert!(tame("reload", &reload.ask(&["reload"])).contains("owned"));
    }
    let events = [
        Answer::Events { count: 1, dropped: 0 }.encode(),
        format!("{EVIL}\n\u{1b}[1;31mHIGH\u{1b}[0m open\n").into_bytes(),
        b"\xff\xc2\n".to_vec(),
    ];
    let watch = Impostor::new(
        "watch",
        vec![Answer::Watching {}.encode(), events.concat(), Answer::Stopping {}.encode()],
    );
    let mut output = watch.ask(&["watch", "--format", "pretty"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(text.contains("\u{1b}[1;31mHIGH\u{1b}[0m open\n"), "colours stay: {text:?}");
    output.stdout = text.replace("\u{1b}[1;31m", "").replace("\u{1b}[0m", "").into_bytes();
    let said = tame("watch", &output);
    assert!(said.contains("\\u001b]0;owned\\u0007") && said.contains("\\xff"), "{said}");
}
