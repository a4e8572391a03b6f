//! `bee-trace` as the program: what needs no daemon, and what it makes of a daemon that is none.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use bee_trace::control::protocol::{Answer, Request, Why};
use bee_trace::event_docs;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept, bind, listen, recv, send, socket,
};

fn bee_trace(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bee-trace"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A directory of the test's own, empty.
fn scratch(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("bee-cli-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

#[test]
fn the_table_of_events_is_that_of_the_library() {
    let output = bee_trace(&["events"]);
    assert!(output.status.success());
    assert_eq!(text(&output.stdout), event_docs::text());
    let output = bee_trace(&["events", "--json"]);
    assert_eq!(text(&output.stdout), event_docs::json());
    let table: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(table.to_string().contains("\"open\""));
}

#[test]
fn manual_pages_are_written_where_they_are_wanted() {
    let directory = scratch("man");
    let output = bee_trace(&["man", directory.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for page in bee_trace::man::pages().unwrap() {
        assert_eq!(fs::read_to_string(directory.join(page.file)).unwrap(), page.text);
    }
    let missing = directory.join("none/at/all");
    let output = bee_trace(&["man", missing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stderr.is_empty());
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut command = Command::new("sh");
    command.args(["-c", "\"$0\" events; echo $? >&2", env!("CARGO_BIN_EXE_bee-trace")]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(text(&child.wait_with_output().unwrap().stderr), "0\n");
}

#[test]
fn a_configuration_is_shown_with_what_its_profile_sets() {
    let directory = scratch("config");
    let file = directory.join("config.toml");
    fs::write(&file, "inherits = \"raspberry-pi\"\n[output]\njournal_fold_seconds = 7\n").unwrap();
    let output = bee_trace(&["config", "check", file.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(said.contains("profile raspberry-pi: sets "), "{said}");
    assert!(said.contains("of which your files replace 1: output.journal_fold_seconds"), "{said}");
    let output = bee_trace(&["check", "--config", directory.join("none.toml").to_str().unwrap()]);
    assert!(!output.status.success() && text(&output.stderr).contains("none.toml"));
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn wrong_usage_has_its_own_status() {
    let output = bee_trace(&["watch", "--format", "flowers"]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output.stderr));
    assert_eq!(bee_trace(&["no-such-command"]).status.code(), Some(64));
    assert_eq!(bee_trace(&["--version"]).status.code(), Some(0));
}

/// Somebody at the socket who answers every request with `message`, or hangs up without one.
struct Impostor {
    path: PathBuf,
    directory: PathBuf,
}

impl Impostor {
    fn new(name: &str, message: Option<Vec<u8>>) -> Self {
        let directory = scratch(name);
        let path = directory.join("control");
        let listener =
            socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&listener, Backlog::new(8).unwrap()).unwrap();
        // Ends with the test.
        thread::spawn(move || {
            while let Ok(client) = accept(listener.as_raw_fd()) {
                // SAFETY: the kernel has just made this descriptor for us alone.
                let client = unsafe { OwnedFd::from_raw_fd(client) };
                let mut request = [0; 16 * 1024];
                let length = recv(client.as_raw_fd(), &mut request, MsgFlags::empty()).unwrap_or(0);
                assert!(Request::parse(&request[..length]).is_ok(), "the client asks what there is");
                if let Some(message) = &message {
                    let _ = send(client.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL);
                }
            }
        });
        Self { path, directory }
    }

    /// Exit status, and what is said to the person.
    fn ask(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let socket = self.path.to_str().unwrap();
        let output = bee_trace(&[arguments, &["--socket", socket]].concat());
        assert!(output.stdout.is_empty() || arguments.contains(&"--check"), "{}", text(&output.stdout));
        (output.status.code(), text(&[output.stdout, output.stderr].concat()).to_owned())
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

const COMMANDS: &[&[&str]] = &[&["status"], &["status", "--json"], &["reload"], &["debug", "on"], &["watch"]];

#[test]
fn whoever_answers_strangely_is_said_to() {
    let cases: [(&str, Option<Vec<u8>>, &str); 5] = [
        ("garbage", Some(b"\x00\xff{{{\n".to_vec()), "cannot be read"),
        ("empty", Some(b"{}\n".to_vec()), "cannot be read"),
        ("closes", None, "closed the connection"),
        ("other", Some(Answer::Stopping {}.encode()), "something else"),
        ("refuses", Some(Answer::refused(Why::Busy, "not now").encode()), "not now"),
    ];
    for (name, message, says) in cases {
        let impostor = Impostor::new(name, message);
        for command in COMMANDS {
            let (code, said) = impostor.ask(command);
            assert_eq!(code, Some(1), "{name} {command:?}: {said}");
            assert!(said.contains(says), "{name} {command:?}: {said}");
        }
        let (code, said) = impostor.ask(&["status", "--check"]);
        assert_ne!(code, Some(0), "{said}");
    }
}

#[test]
fn a_path_that_cannot_be_a_socket_is_refused_in_words() {
    let long = format!("/{}", "x".repeat(200));
    for path in ["/proc/version", "/dev/null", long.as_str()] {
        let output = bee_trace(&["status", "--socket", path]);
        assert!(!output.status.success() && text(&output.stderr).contains(path), "{path}");
    }
    assert!(!Path::new(&long).exists());
}
