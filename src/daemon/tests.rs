//! The parts of the daemon that decide: losses, file systems, scans, reload.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::filesystems::FileSystems;
use super::losses::Losses;
use super::reload::{self, Chosen, Overrides, build};
use super::scans::Scans;
use super::wait::{Source, Waiter};
use crate::cli::OutputFormat;
use crate::config::{Config, Document, Format, Place};
use crate::error::ExitStatus;
use crate::event::{Action, Loss};
use crate::pipeline::FATES;
use crate::scanner::{self, Answer, Init};
use crate::shared::Counters;
use crate::sink::SinkCounters;
use crate::wire::{CAUSES, KIND_COUNT, KIND_MKNOD, KIND_OPEN, SCANNED_MAX};

fn memory(text: &str) -> File {
    let mut file = File::from(memfd_create("test", MFdFlags::MFD_CLOEXEC).unwrap());
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn counters() -> Counters {
    let file = memory("");
    file.set_len(1 << 16).unwrap();
    Counters::new(file.as_fd()).unwrap()
}

const OPEN: usize = KIND_OPEN as usize;

#[test]
fn each_loss_is_told_once_with_its_span() {
    let (kernel, stages) = (counters(), counters());
    kernel.add(OPEN, 1, 100);
    let mut losses = Losses::begin(&kernel, &stages, 1000);
    assert!(!losses.waiting(&kernel, &stages), "what was lost before is not ours to tell");
    assert_eq!(losses.take(&kernel, &stages, &[], &[], 1100), []);
    kernel.add(OPEN, 1, 5);
    kernel.add(OPEN, 0, 50);
    kernel.add(OPEN, 6, 3);
    assert!(losses.waiting(&kernel, &stages));
    let told = losses.take(&kernel, &stages, &[], &[], 2000);
    let wanted =
        Loss { stage: "kernel", action: Some(Action::Open), cause: "ring_full", count: 5, since: 1000 };
    assert_eq!(told, std::slice::from_ref(&wanted), "submitted and map_full are no losses");
    assert!(!losses.waiting(&kernel, &stages));
    assert_eq!(losses.take(&kernel, &stages, &[], &[], 3000), []);
    kernel.add(OPEN, 1, 1);
    stages.add(0, 1, 2);
    let told = losses.take(&kernel, &stages, &[], &[], 4000);
    let undecodable = Loss { stage: "decode", action: None, cause: "undecodable", count: 2, since: 2000 };
    assert_eq!(told, [Loss { count: 1, since: 2000, ..wanted }, undecodable]);
}

#[test]
fn every_counter_of_a_loss_reaches_a_loss_event_and_the_sums_are_the_counters() {
    let (kernel, stages) = (counters(), counters());
    let mut losses = Losses::begin(&kernel, &stages, 0);
    let mut lost = 0;
    for kind in 0..KIND_COUNT {
        for (column, _, is_loss) in CAUSES {
            let count = 1 + (kind * 100 + column) as u64;
            kernel.add(kind, *column, count);
            lost += if *is_loss { count } else { 0 };
        }
        for (fate, _, is_loss, _) in FATES {
            stages.add(kind, *fate as usize, 7);
            lost += if *is_loss { 7 } else { 0 };
        }
    }
    let told = losses.take(&kernel, &stages, &[], &[], 1);
    assert_eq!(told.iter().map(|loss| loss.count).sum::<u64>(), lost);
    let of_mknod = told.iter().find(|loss| loss.action == Some(Action::Mknod) && loss.cause == "too_long");
    assert_eq!(of_mknod.map(|loss| loss.count), Some(1 + u64::from(KIND_MKNOD) * 100 + 5));
    // Kinds without an action (identities, cgroups) are told too.
    assert!(told.iter().any(|loss| loss.stage == "kernel" && loss.action.is_none()));
}

#[test]
fn a_sink_is_told_by_its_name() {
    let (kernel, stages) = (counters(), counters());
    let mut losses = Losses::begin(&kernel, &stages, 5);
    let counters =
        |queue_full, refused| SinkCounters { queue_full, refused, offered: 9, ..Default::default() };
    let told = losses.take(&kernel, &stages, &[("file", counters(3, 1))], &[], 6);
    let causes: Vec<_> = told.iter().map(|loss| (loss.stage, loss.cause, loss.count)).collect();
    assert_eq!(causes, [("file", "queue_full", 3), ("file", "refused", 1)]);
    let told = losses.take(&kernel, &stages, &[("file", counters(3, 2))], &[], 7);
    assert_eq!(told, [Loss { stage: "file", action: None, cause: "refused", count: 1, since: 6 }]);
}

#[test]
fn runs_the_kernel_skipped_are_told_by_their_sensor() {
    let (kernel, stages) = (counters(), counters());
    let mut losses = Losses::begin(&kernel, &stages, 5);
    let skipped = |count| [("process", 0), ("file", count)];
    assert_eq!(losses.take(&kernel, &stages, &[], &skipped(0), 6), []);
    let told = losses.take(&kernel, &stages, &[], &skipped(3), 7);
    assert_eq!(told, [Loss { stage: "file", action: None, cause: "skipped", count: 3, since: 5 }]);
    let told = losses.take(&kernel, &stages, &[], &skipped(5), 8);
    assert_eq!(told, [Loss { stage: "file", action: None, cause: "skipped", count: 2, since: 7 }]);
}

const MOUNTS: &str = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:40 / /tmp rw - tmpfs tmpfs rw\n";

fn rewrite(file: &mut File, text: &str) {
    file.set_len(0).unwrap();
    file.rewind().unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_file_system_counts_as_scanned_while_it_stays_mounted() {
    let mut mountinfo = memory(MOUNTS);
    let mut systems = FileSystems::new(&mut mountinfo);
    let (root, tmp) = (8 << 20 | 1, 40);
    assert!(!systems.complete(b"/"), "the kernel side has not marked it");
    systems.mark(b"".to_vec(), root);
    systems.mark(b"/tmp".to_vec(), tmp);
    assert!(systems.complete(b"/") && !systems.complete(b"/"), "once");
    assert!(systems.complete(b"/tmp"));
    assert_eq!(systems.list(), [root, tmp]);
    assert!(!systems.changed(&mut mountinfo));
    // Another mount of a known file system is nothing new.
    let bind = format!("{MOUNTS}31 22 8:1 /srv /mnt rw - ext4 /dev/sda1 rw\n");
    rewrite(&mut mountinfo, &bind);
    assert!(!systems.changed(&mut mountinfo));
    assert_eq!(systems.list(), [root, tmp]);
    // Unmounted, and its number given to another in one go: the mount's id gives it away.
    rewrite(&mut mountinfo, &MOUNTS.replace("30 22 0:40", "99 22 0:40"));
    assert!(!systems.changed(&mut mountinfo), "the device is not new");
    assert_eq!(systems.list(), [root]);
    rewrite(&mut mountinfo, &format!("{MOUNTS}41 22 0:77 / /new rw - tmpfs tmpfs rw\n"));
    assert!(systems.changed(&mut mountinfo), "one nobody has scanned");
    systems.forget();
    assert!(systems.list().is_empty());
    assert!(!systems.complete(b"/tmp"), "marks are those of the policy before");
}

#[test]
fn without_a_mount_table_nothing_counts_as_scanned() {
    let mut mountinfo = memory(MOUNTS);
    let mut systems = FileSystems::new(&mut mountinfo);
    systems.mark(b"/tmp".to_vec(), 40);
    assert!(systems.complete(b"/tmp"));
    let mut broken = File::open("/").unwrap();
    assert!(!systems.changed(&mut broken));
    assert!(systems.list().is_empty());
    // Lines that are none are passed over.
    let mut odd = memory("garbage\n1 2 3\n1 2 x:y z\n\n30 22 0:40 / /tmp rw\n");
    assert!(FileSystems::new(&mut odd).changed(&mut mountinfo), "8:1 is new");
}

#[test]
fn the_list_of_scanned_file_systems_is_bounded() {
    let mut systems = FileSystems::new(&mut memory(MOUNTS));
    for number in 0..5000u32 {
        systems.mark(format!("/{number}").into_bytes(), number);
        systems.complete(format!("/{number}").as_bytes());
    }
    assert_eq!(systems.list().len(), SCANNED_MAX, "the rest is checked by name");
}

#[test]
fn scans_without_a_scanner_ask_for_nothing() {
    let now = Instant::now();
    let mut scans = Scans::new(None);
    scans.start_over();
    scans.work(now, &Config::default());
    assert!(scans.due().is_none() && scans.fd().is_none() && scans.read().unwrap().is_none());
    assert!(!scans.is_idle(), "a scan is wanted, and nobody there to do it");
    let why = scans.ask_for_config().unwrap_err().to_string();
    assert!(why.contains("has ended"), "{why}");
    assert!(!scans.may_start_over(now));
}

/// Answers until one ends a request.
fn finish(scans: &Scans) -> Answer {
    loop {
        let mut fds = [PollFd::new(scans.fd().unwrap(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(60_000u16)).unwrap(), 1, "no answer in a minute");
        while let Some(reply) = scans.read().unwrap() {
            if !matches!(reply.answer, Answer::Mount { .. }) {
                return reply.answer;
            }
        }
    }
}

/// Runs `body` in a child with one thread, which the scanner must be forked from.
fn alone(body: fn()) {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    // SAFETY: the child runs `body` and ends; glibc's malloc is usable after fork.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let status = i32::from(std::panic::catch_unwind(body).is_err());
            // SAFETY: ends the child without the harness's exit handlers.
            unsafe { libc::_exit(status) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0), "see above");
        }
    }
}

#[test]
fn root_scans_are_asked_for_one_after_the_other() {
    if !nix::unistd::geteuid().is_root() {
        // Past libtest's capture, so that scripts/test.sh counts it.
        let _ = writeln!(std::io::stderr(), "skipped: the scanner needs root");
        return;
    }
    alone(one_after_the_other);
}

fn one_after_the_other() {
    let place = std::env::temp_dir().join(format!("bee-scans-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("config.toml"), "").unwrap();
    let account = crate::privilege::Account { uid: 54_321.into(), gid: 54_322.into() };
    let (path, mountinfo) = (place.join("config.toml"), PathBuf::from("/proc/self/mountinfo"));
    let scanner = scanner::spawn(Init { account, config: path.clone(), mountinfo }).unwrap();
    let mut config = Config::default();
    // Nothing of this machine: the requests are what is tested.
    config.file.scan_skip = std::fs::read_dir("/").unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut scans = Scans::new(Some(scanner));
    assert!(scans.is_idle() && scans.due().is_none());

    let now = Instant::now();
    scans.tree(b"/nowhere/a".to_vec());
    scans.tree(b"/nowhere/b".to_vec());
    scans.start_over();
    assert!(scans.due().unwrap() <= Instant::now(), "at once");
    let now = now.max(Instant::now());
    scans.work(now, &config);
    assert!(scans.due().is_none() && !scans.is_idle());
    assert!(!scans.may_start_over(now + Duration::from_secs(7200)), "while one is under way");
    let Answer::Done { id, .. } = finish(&scans) else { panic!() };
    assert!(scans.is_current(id) && scans.done(id) && !scans.done(id));
    assert!(scans.is_idle(), "starting over has made the trees superfluous");
    assert!(!scans.may_start_over(now) && scans.may_start_over(now + Duration::from_secs(3600)));

    // A change of the mount table: not at once, and not often.
    scans.want(now);
    let due = scans.due().unwrap();
    assert_eq!(due, now + Duration::from_secs(60), "a minute after the last");
    scans.want(now + Duration::from_secs(30));
    assert_eq!(scans.due(), Some(due), "a second one does not put it off");
    scans.work(now, &config);
    assert_eq!(scans.due(), Some(due), "not before its time");

    // Two trees, one after the other.
    scans.tree(b"/nowhere/a".to_vec());
    scans.tree(b"/nowhere/b".to_vec());
    for _ in 0..2 {
        scans.work(now, &config);
        let (Answer::Done { id, .. } | Answer::Failed { id, .. }) = finish(&scans) else { panic!() };
        assert!(!scans.is_current(id) && !scans.done(id), "a tree is no full scan");
    }
    // More than can be remembered become one full scan, when a minute has passed.
    scans.work(due, &config);
    let Answer::Done { id, .. } = finish(&scans) else { panic!() };
    assert!(scans.done(id) && scans.is_idle());
    for number in 0..65 {
        scans.tree(format!("/nowhere/{number}").into_bytes());
    }
    assert_eq!(scans.due(), Some(due + Duration::from_secs(60)));
    scans.work(due + Duration::from_secs(60), &config);
    let Answer::Done { id, .. } = finish(&scans) else { panic!() };
    assert!(scans.done(id));

    scans.ask_for_config().unwrap();
    let Answer::Config { paths, .. } = finish(&scans) else { panic!() };
    assert_eq!(paths, [path]);
    scans.ended();
    assert!(scans.fd().is_none());
    std::fs::remove_dir_all(&place).unwrap();
}

fn document(text: &str) -> Document {
    Document { name: "test.toml".to_owned(), text: text.to_owned() }
}

#[test]
fn the_command_line_is_stronger_than_any_file() {
    let text = "[sensors]\nprocess = false\n[output]\nformat = \"pretty\"\n";
    let plain = build(&vec![document(text)].into(), &Overrides::default()).unwrap().config;
    assert!(!plain.sensors.process && plain.sensors.file);
    assert_eq!((plain.output.format, &plain.output.file), (Format::Pretty, &None));
    let overrides = Overrides {
        output: Some(Chosen::new(&[OutputFormat::Json])),
        file: Some("/var/log/bee.json".into()),
        sensors: Some(vec!["process"]),
    };
    let strong = build(&vec![document(text)].into(), &overrides).unwrap().config;
    assert!(strong.sensors.process && !strong.sensors.file);
    assert_eq!(strong.output.format, Format::Json);
    assert_eq!(strong.output.file.as_deref(), Some(Path::new("/var/log/bee.json")));
    assert_eq!(strong.output.to, [Place::File]);
}

#[test]
fn the_command_line_says_where_events_go() {
    let places = |text: &str, words: &[OutputFormat], file: Option<&str>| {
        let output = (!words.is_empty()).then(|| Chosen::new(words));
        let overrides = Overrides { output, file: file.map(PathBuf::from), sensors: None };
        build(&vec![document(text)].into(), &overrides).unwrap().config.output.places(true)
    };
    use OutputFormat::{Journal, Json, Pretty};
    let both = "[output]\nto = [\"stdout\", \"journal\"]\n";
    for (text, words, file, wanted) in [
        ("", &[][..], None, &[Place::Journal][..]),
        ("", &[Json], None, &[Place::Stdout]),
        ("", &[Pretty, Journal], None, &[Place::Stdout, Place::Journal]),
        ("", &[Journal], Some("/x"), &[Place::Journal]),
        ("", &[], Some("/x"), &[Place::File]),
        (both, &[], None, &[Place::Stdout, Place::Journal]),
        (both, &[], Some("/x"), &[Place::File, Place::Journal]),
        (both, &[Json], Some("/x"), &[Place::File]),
        ("[output]\nto = [\"journal\"]\n", &[], Some("/x"), &[Place::File, Place::Journal]),
    ] {
        assert_eq!(places(text, words, file), wanted, "{text:?} {words:?} {file:?}");
    }
}

#[test]
fn a_wrong_configuration_is_refused_with_every_mistake() {
    let why =
        build(&vec![document("[file]\nwatch = 3\n[nonsense]\n")].into(), &Overrides::default()).unwrap_err();
    assert_eq!(why.status, ExitStatus::Config);
    assert!(why.to_string().lines().count() >= 2, "{why}");
}

#[test]
fn documents_are_read_from_what_the_scanner_opened() {
    let file = memory("[sensors]\nfile = false\n");
    // A new memfd may be written by anybody, which is refused of a configuration.
    let why =
        reload::documents(Path::new("/x"), &[PathBuf::from("/x")], vec![file.try_clone().unwrap().into()])
            .unwrap_err();
    assert!(why.to_string().contains("any user"), "{why}");
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut rewound = file.try_clone().unwrap();
    rewound.rewind().unwrap();
    let files: Vec<OwnedFd> = vec![rewound.into()];
    let documents = reload::documents(
        Path::new("/etc/bee-traced/config.toml"),
        &[PathBuf::from("/etc/bee-traced/config.toml")],
        files,
    )
    .unwrap();
    assert_eq!(documents.documents.len(), 1);
    assert!(documents.documents[0].name.ends_with("config.toml"));
    assert!(!build(&documents, &Overrides::default()).unwrap().config.sensors.file);
    // A directory in the place of a file.
    let directory = vec![File::open("/").unwrap().into()];
    assert!(reload::documents(Path::new("/x"), &[PathBuf::from("/x")], directory).is_err());
}

#[test]
fn waiting_ends_with_what_happened_first() {
    let mut waiter = Waiter::new().unwrap();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    waiter.add(ours.as_fd(), Source::Scanner).unwrap();
    let mut happened = vec![Source::Stop];
    let begun = Instant::now();
    // A time that has passed wakes at once, and an earlier one is not put off.
    waiter.wake_at(begun);
    waiter.wake_at(begun + Duration::from_secs(60));
    waiter.wait(&mut happened).unwrap();
    assert_eq!(happened, [Source::Timer]);
    (&theirs).write_all(b"x").unwrap();
    waiter.wake_at(begun + Duration::from_secs(60));
    waiter.wait(&mut happened).unwrap();
    assert_eq!(happened, [Source::Scanner]);
    waiter.remove(ours.as_fd());
    waiter.wake_at(Instant::now() + Duration::from_millis(10));
    waiter.wait(&mut happened).unwrap();
    assert_eq!(happened, [Source::Timer], "the byte is still there, and nobody waits for it");
    assert!(begun.elapsed() < Duration::from_secs(50));
    let why = waiter.add(File::open("/etc/passwd").unwrap().as_fd(), Source::Alerts).unwrap_err();
    assert!(why.to_string().contains("Alerts"), "{why}");
}
