//! The control socket: what `bee-trace` learns of a running daemon and has it do,
//! and that no client, however many, slow or strange, disturbs it.

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use bee_trace::control::protocol::{Answer, MAX_REQUEST, Request, Watch};
use bee_trace::control::status::Status;
use bee_trace::control::{MAX_CONNECTIONS, REQUEST_TIME};
use bee_trace::remote::{Connection, Heard};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, socket};
use nix::unistd::Pid;

use crate::harness::{Abi, Daemon, Event, Fixture, bee_trace, bee_traced, patience, wait_for};

/// `bee-trace COMMAND… --socket …`: exit status, standard output, standard error.
fn ask(fixture: &Fixture, arguments: &[&str]) -> (i32, String, String) {
    finish(bee_trace().args(arguments).arg("--socket").arg(fixture.socket()))
}

fn finish(command: &mut Command) -> (i32, String, String) {
    let done = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap_or(-1), text(done.stdout), text(done.stderr))
}

fn delivered(status: &Status, kind: &str) -> u64 {
    let row = status.kinds.iter().find(|row| row.kind == kind);
    row.and_then(|row| row.daemon.get("delivered")).copied().unwrap_or(0)
}

/// `bee-trace watch` at work; its output is read at its end.
struct Watching(Child);

impl Watching {
    fn start(fixture: &Fixture, arguments: &[&str]) -> Self {
        let before = fixture.status().control.watchers;
        let mut command = bee_trace();
        command.arg("watch").args(arguments).arg("--socket").arg(fixture.socket());
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for("the watcher", 10, || fixture.status().control.watchers == before + 1);
        Self(child)
    }

    /// Its events and what it said beside.
    fn finish(self) -> (Vec<Event>, String) {
        let done = self.0.wait_with_output().unwrap();
        let notes = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(0), "{notes}");
        let events = String::from_utf8(done.stdout).unwrap().lines().map(Event::parse).collect();
        (events, notes)
    }

    fn interrupt(self) -> (Vec<Event>, String) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGINT).unwrap();
        self.finish()
    }
}

#[test]
fn root_status_has_the_numbers_of_what_was_done() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let before = fixture.status();
    let path = fixture.secret(1);
    let ran =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "17"]).args([&path]).run().all_well(17);
    let after = fixture.status();
    assert_eq!(after.pid, daemon.pid());
    assert_eq!(after.version, env!("CARGO_PKG_VERSION"));
    assert!(after.sensors.iter().all(|sensor| sensor.running && !sensor.hooks.is_empty()), "{after:?}");
    let names: Vec<&str> = after.sensors.iter().map(|sensor| sensor.name.as_str()).collect();
    assert!(names.contains(&"process") && names.contains(&"file"), "{names:?}");
    assert!(after.rings.iter().all(|ring| ring.highest > 0 && ring.used <= ring.size), "{after:?}");
    assert!(after.process.rss_kib > Some(1000) && after.process.pss_kib <= after.process.rss_kib);
    assert!(after.process.cpu_seconds > Some(0.0) && after.process.cpu_seconds >= before.process.cpu_seconds);
    assert!(after.config.files[0].ends_with("config.toml") && after.config.last_reload.is_none());
    assert_eq!(after.sums.waiting, 0, "what waits is taken before it is counted");
    assert!(delivered(&after, "open") >= delivered(&before, "open") + 17);
    // Each line of the sink is an event, or said by the daemon itself: `start`, and losses.
    let sink = &after.sinks[0];
    assert!(sink.counters["offered"] > after.sums.delivered, "{sink:?}");
    assert_eq!(sink.counters["offered"] - after.sums.delivered, 1, "{sink:?}");
    let (code, line, _) = ask(&fixture, &["status", "--check"]);
    assert!(code == 0 && line.starts_with("bee-traced OK: "), "{code} {line}");
    let (code, page, _) = ask(&fixture, &["status"]);
    assert!(code == 0 && page.contains(&format!("process {}", daemon.pid())), "{page}");

    let run = daemon.stop();
    run.lossless();
    assert_eq!(run.files(&ran).len(), 17);
    assert_eq!(run.action("open").count() as u64, delivered(&after, "open"), "status and output differ");
    assert!(!fixture.socket().exists(), "the socket is taken away at the end");
    let (code, out, errors) = ask(&fixture, &["status"]);
    assert!(code == 1 && out.is_empty() && errors.contains("no daemon answers"), "{code} {errors}");
    let (code, line, _) = ask(&fixture, &["status", "--check"]);
    assert!(code == 2 && line.starts_with("bee-traced CRITICAL: "), "{code} {line}");
}

#[test]
fn root_watch_shows_exactly_what_the_filter_lets_through() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let path = fixture.secret(1);
    let trigger = || fixture.trigger("open", Abi::Native);
    let first = trigger().args(["openat", "r", "1"]).args([&path]).run().all_well(1);
    let me = std::process::id();
    let program = first.program.to_str().unwrap();

    let by_name = Watching::start(&fixture, &["--comm", "op*n", "--action", "open"]);
    let by_pid = Watching::start(&fixture, &["--pid", &me.to_string(), "--sensor", "file"]);
    let by_exe = Watching::start(&fixture, &["--exe", program, "--sensor", "process", "--action", "exec"]);
    let grave = Watching::start(&fixture, &["--severity", "critical"]);
    let pretty = Watching::start(&fixture, &["--format", "pretty", "--pid", &me.to_string()]);
    let ran = trigger().args(["openat", "r", "11"]).args([&path]).run().all_well(11);
    for _ in 0..7 {
        drop(fs::File::open(&path).unwrap());
    }
    // All of it has gone through the daemon.
    fixture.status();

    let (events, notes) = by_name.interrupt();
    assert_eq!(events.len(), 11, "{notes}");
    assert!(events.iter().all(|event| event.pid() == Some(ran.pid.into()) && event.action() == "open"));
    assert!(notes.contains("11 events, 0 dropped"), "{notes}");
    let (events, _) = by_pid.interrupt();
    assert_eq!(events.len(), 7);
    assert!(events.iter().all(|event| event.text("file.path") == path.to_str().unwrap()));
    let (events, _) = by_exe.interrupt();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((events[0].action(), events[0].pid()), ("exec", Some(ran.pid.into())));

    // A reader that goes away is no failure, nor is one to the daemon.
    let mut gone = Watching::start(&fixture, &["--pid", &me.to_string()]);
    drop(gone.0.stdout.take());
    drop(fs::File::open(&path).unwrap());
    fixture.status();
    assert_eq!(gone.0.wait().unwrap().code(), Some(0), "nobody reads: a quiet end");
    wait_for("the daemon to forget it", 10, || fixture.status().control.watchers == 2);

    let run = daemon.stop();
    run.lossless();
    // Those that were there at the end are told, and have seen it.
    let (events, notes) = grave.finish();
    // The signal that ends it is grave too.
    let actions: Vec<&str> = events.iter().map(Event::action).collect();
    assert_eq!(actions, ["kill", "stop"], "{notes}");
    assert!(notes.contains("the daemon stops"), "{notes}");
    let done = pretty.0.wait_with_output().unwrap();
    let lines = String::from_utf8(done.stdout).unwrap();
    assert!(lines.lines().filter(|line| line.contains("open")).count() >= 7, "{lines}");
    assert!(!lines.contains("\x1b"), "no colours in a pipe");
}

#[test]
fn root_watch_shows_what_came_before_it_was_ended() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let path = fixture.secret(1);
    let me = std::process::id().to_string();
    let watching = Watching::start(&fixture, &["--pid", &me, "--sensor", "file"]);
    let child = Pid::from_raw(i32::try_from(watching.0.id()).unwrap());
    kill(child, Signal::SIGSTOP).unwrap();
    for _ in 0..7 {
        drop(fs::File::open(&path).unwrap());
    }
    fixture.status();
    kill(child, Signal::SIGINT).unwrap();
    kill(child, Signal::SIGCONT).unwrap();
    let (events, notes) = watching.finish();
    assert_eq!(events.len(), 7, "{notes}");
    daemon.stop().lossless();
}

#[test]
fn root_watch_ends_after_its_time_and_refuses_what_there_is_not() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &["--sensors", "file"]);
    let clock = Instant::now();
    let (code, out, notes) = ask(&fixture, &["watch", "--pid", "1", "--duration", "1"]);
    assert!(code == 0 && out.is_empty() && notes.contains("0 events"), "{code} {out} {notes}");
    assert!(clock.elapsed().as_millis() >= 1000);
    let (code, _, errors) = ask(&fixture, &["watch", "--sensor", "flies"]);
    assert!(code == 64 && errors.contains("process, file"), "{code} {errors}");
    daemon.stop();
}

#[test]
fn root_reload_says_what_changed_or_what_is_wrong() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    assert_eq!(ask(&fixture, &["reload"]), (0, "nothing changed\n".into(), String::new()));
    fixture.set_drop_in("[file]\nwatch_add = [\"/srv/payroll\"]\n[limits]\ninodes = 4096\nalert_burst = 7\n");
    let (code, out, errors) = ask(&fixture, &["reload"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    for part in [
        "file.watch: ",
        "(1 new, 0 gone)",
        "limits.alert_burst: 200 → 7\n",
        "limits.inodes: 16384 → 4096; takes effect with the next start\n",
        "watched files are looked for anew",
        "not in force before a restart (systemctl restart bee-traced): limits.inodes\n",
    ] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
    fixture.set_drop_in("[limits]\ninoeds = 4096\n");
    let (code, out, errors) = ask(&fixture, &["reload"]);
    assert_eq!((code, out.as_str()), (78, ""), "{errors}");
    assert!(
        errors.contains("50-test.toml:2:1: limits.inoeds: unknown key; did you mean `inodes`?"),
        "{errors}"
    );
    let now = fixture.status();
    assert_eq!((now.config.reloads, now.config.restart.as_slice()), (3, &["limits.inodes".to_owned()][..]));
    assert!(now.config.last_reload.unwrap().error.is_some());
    let (code, line, _) = ask(&fixture, &["status", "--check"]);
    assert!(code == 1 && line.contains("reload was refused"), "{code} {line}");

    // A profile beside the configuration, which only the scanner may open.
    fs::create_dir(fixture.dir.join("etc/profiles")).unwrap();
    fs::write(
        fixture.dir.join("etc/profiles/site.toml"),
        "inherits = \"raspberry-pi\"\n[limits]\nalert_burst = 8\n",
    )
    .unwrap();
    fs::set_permissions(fixture.dir.join("etc"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    fixture.set_drop_in("inherits = \"site\"\n");
    let (code, out, errors) = ask(&fixture, &["reload"]);
    assert_eq!(code, 0, "{errors}");
    assert!(
        out.contains("limits.alert_burst: 7 → 8\n")
            && out.contains("output.actions: ")
            && out.contains("(0 new, 2 gone)\n"),
        "{out}"
    );
    assert_eq!(fixture.status().config.profiles, ["raspberry-pi", "site"]);

    // The signal goes the same way, and is told where the log is read.
    fs::remove_file(fixture.dir.join("etc/config.d/50-test.toml")).unwrap();
    daemon.signal(Signal::SIGHUP);
    wait_for("the reload by signal", 10, || fixture.status().config.reloads == 5);
    assert!(fixture.status().config.profiles.is_empty());
    daemon.stop();
}

#[test]
fn root_debug_changes_what_is_logged_while_it_runs() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &["--sensors", "process"]);
    assert!(!daemon.log().contains("DEBUG"), "{}", daemon.log());
    let (code, out, _) = ask(&fixture, &["debug", "on"]);
    assert_eq!((code, out.as_str()), (0, "the daemon's log level is debug now\n"));
    assert_eq!(fixture.status().log_level, "debug");
    assert!(daemon.log().contains("status is asked for on the control socket"), "{}", daemon.log());
    assert_eq!(ask(&fixture, &["debug", "off"]).1, "the daemon's log level is info now\n");
    let debug = daemon.log().matches("DEBUG").count();
    for _ in 0..3 {
        fixture.status();
    }
    assert_eq!(daemon.log().matches("DEBUG").count(), debug, "{}", daemon.log());
    daemon.stop();
}

#[test]
fn root_who_is_not_in_the_group_learns_nothing_and_the_group_changes_nothing() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &["--sensors", "file"]);
    let [user, _] = &fixture.users;
    let group = nix::unistd::User::from_name("bee-trace").unwrap().unwrap().gid.as_raw();
    // The build directory may lie where this user cannot go.
    let program = fixture.dir.join("bee-trace");
    fs::copy(bee_trace().get_program(), &program).unwrap();
    let as_user = |gid: u32, arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.args(arguments).arg("--socket").arg(fixture.socket()).uid(user.uid).gid(gid);
        finish(&mut command)
    };
    for arguments in [&["status"][..], &["watch"], &["reload"], &["debug", "on"]] {
        let (code, out, errors) = as_user(user.gid, arguments);
        assert!(code == 77 && out.is_empty() && errors.contains("not permitted"), "{code} {out} {errors}");
    }
    let (code, line, _) = as_user(user.gid, &["status", "--check"]);
    assert!(code == 3 && line.starts_with("bee-traced UNKNOWN: "), "{code} {line}");
    assert_eq!(as_user(group, &["status", "--check"]).0, 0);
    assert_eq!(as_user(group, &["watch", "--duration", "1"]).0, 0);
    for arguments in [&["reload"][..], &["debug", "on"]] {
        let (code, out, errors) = as_user(group, arguments);
        assert!(code == 77 && out.is_empty(), "{code} {out}");
        assert!(errors.contains(&format!("you are uid {}", user.uid)), "{errors}");
    }
    let now = fixture.status();
    assert_eq!((now.config.reloads, now.log_level.as_str()), (0, "info"));
    assert_eq!(now.control.refused, 2);
    // The daemon's own user may.
    let own = nix::unistd::User::from_name("bee-trace").unwrap().unwrap();
    let mut command = Command::new(&program);
    command.arg("reload").arg("--socket").arg(fixture.socket()).uid(own.uid.as_raw()).gid(group);
    assert_eq!(finish(&mut command).0, 0);
    daemon.stop();
}

fn raw(path: &Path) -> nix::Result<OwnedFd> {
    let client = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
    connect(client.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(client)
}

/// Everything the daemon says to a client that sends `bytes`.
fn answer_to(path: &Path, bytes: &[u8]) -> Option<Answer> {
    let client = raw(path).unwrap();
    // Longer than the kernel takes in one packet is refused by it.
    send(client.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL).unwrap();
    let mut buffer = vec![0; 256 * 1024];
    match nix::unistd::read(&client, &mut buffer) {
        Ok(0) | Err(nix::errno::Errno::ECONNRESET) => None,
        length => Some(Answer::parse(&buffer[..length.unwrap()]).unwrap().0),
    }
}

#[test]
fn root_garbage_is_refused_and_harms_nobody() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let path = fixture.socket();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let mut step = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..length).map(|_| step()).collect()
    };
    let mut messages: Vec<Vec<u8>> = (0..200).map(|length| noise(length * 7 + 1)).collect();
    messages.push(vec![b'['; MAX_REQUEST]);
    messages.push(vec![b'{'; MAX_REQUEST + 1]);
    messages.push(noise(100_000));
    messages.push(br#"{"shutdown":{}}"#.to_vec());
    for message in &messages {
        let answer = answer_to(&path, message);
        assert!(matches!(answer, Some(Answer::Refused { .. })), "{} bytes: {answer:?}", message.len());
    }
    // Nothing at all, and an end without a word.
    drop(raw(&path).unwrap());
    let ran = fixture
        .trigger("open", Abi::Native)
        .args(["openat", "r", "5"])
        .args([fixture.secret(1)])
        .run()
        .all_well(5);
    let now = fixture.status();
    assert_eq!(now.control.refused, messages.len() as u64);
    assert_eq!(now.control.connections, 1, "this one");
    let run = daemon.stop();
    run.lossless();
    assert_eq!(run.files(&ran).len(), 5);
}

#[test]
fn root_a_thousand_clients_and_those_beyond() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let path = fixture.socket();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(4096.min(hard)), hard).unwrap();
    let silent: Vec<OwnedFd> = (0..1000).map(|_| raw(&path).unwrap()).collect();
    let opened = Instant::now();
    wait_for("a thousand connections", 10, || fixture.status().control.connections == 1001);
    // It does what it is there for.
    let ran = fixture
        .trigger("open", Abi::Native)
        .args(["openat", "r", "5"])
        .args([fixture.secret(1)])
        .run()
        .all_well(5);
    let more: Vec<OwnedFd> = (1000..MAX_CONNECTIONS).map(|_| raw(&path).unwrap()).collect();
    let (code, _, errors) = ask(&fixture, &["status"]);
    if opened.elapsed() < REQUEST_TIME {
        assert!(code == 1 && errors.contains("too many connections"), "{code} {errors}");
    }
    // Who says nothing is sent away, with the reason.
    let mut buffer = [0; 4096];
    let length = nix::unistd::read(&silent[0], &mut buffer).unwrap();
    let (answer, _) = Answer::parse(&buffer[..length]).unwrap();
    assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
    assert!(opened.elapsed() + std::time::Duration::from_secs(1) >= REQUEST_TIME, "{:?}", opened.elapsed());
    wait_for("room for others", 15, || ask(&fixture, &["status"]).0 == 0);
    wait_for("the last to be sent away", 15, || fixture.status().control.connections == 1);
    drop((silent, more));
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    let run = daemon.stop();
    run.lossless();
    assert_eq!(run.files(&ran).len(), 5);
}

#[test]
fn root_a_client_that_does_not_read_loses_its_own_events_and_nobody_elses() {
    const OPENS: u64 = 8009;
    let fixture = Fixture::new();
    // Room for all of it: what is tried here is the watcher's queue.
    fixture.config();
    fixture.set_drop_in("[limits]\nqueue_kib = 65536\nalert_ring_kib = 16384\nbulk_ring_kib = 16384\n");
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut stuck = Connection::open(&fixture.socket()).unwrap();
    let watch = Watch { comms: vec!["open".into()], actions: vec!["open".into()], ..Watch::default() };
    stuck.ask(&Request::Watch(watch)).unwrap();
    wait_for("the watcher", 10, || fixture.status().control.watchers == 1);
    let count = OPENS.to_string();
    let ran = fixture
        .trigger("open", Abi::Native)
        .args(["openat", "r", &count])
        .args([fixture.secret(1)])
        .run()
        .all_well(usize::try_from(OPENS).unwrap());
    let now = fixture.status().control;
    assert_eq!(now.offered, OPENS);
    assert!(now.dropped > 0, "{now:?}");
    assert_eq!(now.offered, now.sent + now.dropped + now.queued, "{now:?}");
    // At last it reads: what it got and what it is told it lost is all there was.
    let (mut got, mut lost, mut lines) = (0, 0, 0);
    let end = Instant::now() + patience(30);
    while got + lost < OPENS {
        match stuck.hear(Some(end), None).unwrap() {
            Heard::Answer(answer, rest) => match *answer {
                Answer::Watching {} => {}
                Answer::Events { count, dropped } => {
                    got += count;
                    lost += dropped;
                    lines += rest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as u64;
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{got} and {lost} of {OPENS}, then {other:?}"),
        }
    }
    assert_eq!((got, got + lost), (lines, OPENS));
    let now = fixture.status().control;
    assert_eq!((now.sent, now.dropped, now.queued), (got, lost, 0));
    let run = daemon.stop();
    run.lossless();
    assert_eq!(run.files(&ran).len() as u64, OPENS, "the output has every one of them");
}

#[test]
fn root_a_second_daemon_says_so_and_a_dead_ones_socket_is_replaced() {
    let fixture = Fixture::new();
    let mut daemon = Daemon::start(&fixture, &["--sensors", "file"]);
    let mut second = bee_traced();
    second.arg("--config").arg(fixture.config()).args(["--sensors", "file", "--duration", "1"]);
    let (code, _, log) = finish(&mut second);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("another daemon answers") && log.contains(&daemon.pid().to_string()), "{log}");
    assert_eq!(fixture.status().pid, daemon.pid(), "the first keeps its socket");

    daemon.signal(Signal::SIGKILL);
    daemon.wait(10);
    assert!(fixture.socket().exists(), "nobody was there to remove it");
    let third = Daemon::start(&fixture, &["--sensors", "file"]);
    assert_eq!(fixture.status().pid, third.pid());
    third.stop();

    // Something else in its place is left alone.
    fs::write(fixture.socket(), "mine").unwrap();
    let fourth = Daemon::start(&fixture, &["--sensors", "file"]);
    assert!(fourth.log().contains("no socket"), "{}", fourth.log());
    fourth.stop();
    assert_eq!(fs::read_to_string(fixture.socket()).unwrap(), "mine");
}
