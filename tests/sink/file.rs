//! Files: rotation, what others may do to them, and life without privileges.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::Duration;

use bee_trace::event::{ACTIONS, Action};
use bee_trace::sink::queue::Queue;
use bee_trace::sink::{file::Rotating, writer};

use crate::common::*;

#[test]
fn rotation_under_load_loses_no_line_and_splits_none() {
    let scratch = Scratch::new("rotate");
    let path = scratch.0.join("events.json");
    let queue = Queue::new(8 << 20).unwrap();
    let target = Rotating::open(&path, 16 * 1024, 400).unwrap();
    writer::start(&queue, Box::new(target), "sink-file").unwrap();
    let total = 20_011;
    for number in 0..total {
        queue.push(&numbered(number)).unwrap();
    }
    queue.drain(soon());
    let counters = queue.counters();
    assert_exact(counters, total);
    assert_eq!((counters.accepted, counters.rotate_failed), (total, 0));
    let mut files: Vec<PathBuf> = (1..=400).map(|n| scratch.0.join(format!("events.json.{n}"))).collect();
    files.retain(|file| file.exists());
    assert!(files.len() > 100, "{}", files.len());
    files.reverse();
    files.push(path);
    let mut all = Vec::new();
    for file in &files {
        let text = fs::read(file).unwrap();
        assert!(text.len() <= 16 * 1024 && text.ends_with(b"\n"), "{}: {}", file.display(), text.len());
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600);
        all.extend(numbers(&text));
    }
    assert_eq!(all, (0..total).collect::<Vec<_>>());
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), files.len(), "nothing else is left behind");
}

#[test]
fn only_so_many_old_files_are_kept_and_the_newest_of_them() {
    let scratch = Scratch::new("keep");
    let path = scratch.0.join("e");
    let queue = Queue::new(8 << 20).unwrap();
    writer::start(&queue, Box::new(Rotating::open(&path, 4096, 2).unwrap()), "sink-file").unwrap();
    for number in 0..1000 {
        queue.push(&numbered(number)).unwrap();
    }
    queue.drain(soon());
    assert_exact(queue.counters(), 1000);
    let mut all = Vec::new();
    for name in ["e.2", "e.1", "e"] {
        all.extend(numbers(&fs::read(scratch.0.join(name)).unwrap()));
    }
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 3);
    assert_eq!(all, (1000 - all.len() as u64..1000).collect::<Vec<_>>());
}

#[test]
fn an_existing_file_is_continued_or_rotated_first() {
    let scratch = Scratch::new("existing");
    let path = scratch.0.join("e");
    let write = |text: &[u8]| {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(text).unwrap();
    };
    let run = |limit| {
        let queue = Queue::new(1 << 20).unwrap();
        writer::start(&queue, Box::new(Rotating::open(&path, limit, 3).unwrap()), "sink-file").unwrap();
        queue.push(&numbered(1)).unwrap();
        queue.drain(soon());
        assert_exact(queue.counters(), 1);
        fs::read(&path).unwrap()
    };
    // Killed while it wrote: the new line does not hang on to the old one.
    write(b"{\"n\":0}\n{\"n\":9,\"f\":\"ff");
    assert_eq!(numbers(&run(4096)), [0, 1]);
    write(&[&b"x".repeat(5000)[..], b"\n"].concat());
    fs::write(scratch.0.join("e.new"), b"").unwrap();
    assert_eq!(numbers(&run(4096)), [1]);
    assert_eq!(fs::metadata(scratch.0.join("e.1")).unwrap().len(), 5001);
    assert!(!scratch.0.join("e.new").exists());
}

#[test]
fn a_file_that_others_control_is_refused_with_the_reason() {
    let scratch = Scratch::new("refuse");
    let at = |name: &str| scratch.0.join(name);
    let why =
        |name: &str| Rotating::open(&at(name), 0, 1).err().map(|why| why.to_string()).unwrap_or_default();
    fs::write(at("real"), b"").unwrap();
    fs::set_permissions(at("real"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink(at("real"), at("link")).unwrap();
    assert!(why("link").contains("symbolic link"), "{}", why("link"));
    assert_eq!(why("real"), "");
    fs::set_permissions(at("real"), fs::Permissions::from_mode(0o620)).unwrap();
    assert!(why("real").contains("others may write to it (mode 0620)"), "{}", why("real"));
    fs::set_permissions(at("real"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(at("real"), at("second")).unwrap();
    assert!(why("second").contains("more than one name"), "{}", why("second"));
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(why("fifo").contains("not a regular file"), "{}", why("fifo"));
    assert!(why("none/file").contains("directory"), "{}", why("none/file"));
}

#[test]
fn without_the_right_to_rotate_the_same_file_goes_on() {
    let scratch = Scratch::new("norotate");
    let path = scratch.0.join("e");
    let target = Rotating::open(&path, 4096, 3).unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o500)).unwrap();
    let queue = Queue::new(1 << 20).unwrap();
    let theirs = queue.clone();
    unprivileged(move || {
        writer::start(&theirs, Box::new(target), "sink-file").unwrap();
        for number in 0..2003 {
            theirs.push(&numbered(number)).unwrap();
        }
        theirs.drain(soon());
    });
    let counters = queue.counters();
    assert_exact(counters, 2003);
    assert_eq!(counters.accepted, 2003);
    assert!((1..20).contains(&counters.rotate_failed), "tried now and then: {}", counters.rotate_failed);
    let problem = queue.problem().unwrap();
    assert!(problem.ends_with("was not rotated: create the next file: Permission denied"), "{problem}");
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(numbers(&fs::read(&path).unwrap()), (0..2003).collect::<Vec<_>>());
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
}

#[test]
fn root_rotation_works_in_a_directory_whose_path_is_closed_to_the_later_user() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new("closed");
    let dir = scratch.0.join("log");
    fs::create_dir(&dir).unwrap();
    std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o700)).unwrap();
    let target = Rotating::open(&dir.join("e"), 64 * 1024, 9).unwrap();
    let queue = Queue::new(1 << 20).unwrap();
    let theirs = queue.clone();
    unprivileged(move || {
        writer::start(&theirs, Box::new(target), "sink-file").unwrap();
        for number in 0..2003 {
            theirs.push(&numbered(number)).unwrap();
        }
        theirs.drain(soon());
    });
    assert_exact(queue.counters(), 2003);
    assert_eq!((queue.counters().rotate_failed, queue.problem()), (0, None));
    assert!(dir.join("e.3").exists());
    // Started again by root, the file is the later user's: that is no stranger.
    Rotating::open(&dir.join("e"), 0, 1).unwrap();
}

#[test]
fn a_file_that_was_removed_is_made_again() {
    let scratch = Scratch::new("removed");
    let path = scratch.0.join("e");
    let queue = Queue::new(1 << 20).unwrap();
    writer::start(&queue, Box::new(Rotating::open(&path, 0, 3).unwrap()), "sink-file").unwrap();
    let accepted = |count| {
        while queue.counters().accepted < count {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    queue.push(&numbered(0)).unwrap();
    accepted(1);
    fs::remove_file(&path).unwrap();
    queue.push(&numbered(1)).unwrap();
    accepted(2);
    assert_eq!(numbers(&fs::read(&path).unwrap()), [1]);
    fs::write(&path, b"").unwrap();
    queue.push(&numbered(2)).unwrap();
    queue.drain(soon());
    assert_eq!(numbers(&fs::read(&path).unwrap()), [2], "no hole where it was cut");
}

#[test]
fn the_configured_file_gets_the_configured_actions() {
    use bee_trace::config::{Format, Output};
    use bee_trace::sink::Opening;
    let scratch = Scratch::new("open");
    for (format, start) in [(Format::Json, "{\"@timestamp\":"), (Format::Pretty, "")] {
        let path = scratch.0.join(format!("{format:?}"));
        let output = Output {
            format,
            file: Some(path.clone()),
            actions: vec![Action::Open, Action::Rename],
            ..output()
        };
        let with = Opening { terminal: true, ..opening() };
        let mut sinks = bee_trace::sink::open(&output, &with).unwrap();
        let sink = &mut sinks[0];
        samples().iter().for_each(|event| sink.write(event));
        assert_eq!((sink.name(), sink.written()), ("file", 0), "not started yet");
        sink.start().unwrap();
        assert!(sink.start().is_err());
        sink.drain(soon());
        let counters = sink.counters();
        assert_exact(counters, 5);
        assert_eq!((sink.written(), counters.unwanted), (5, ACTIONS.len() as u64 - 5));
        assert_eq!(sink.problem(), None);
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains('\x1b'), "a file has no colours");
        for (line, action) in text.lines().zip(["open", "rename", "loss", "start", "stop"]) {
            assert!(line.starts_with(start) && line.contains(action), "{line}");
        }
        assert_eq!(text.lines().count(), 5);
        let missing = Output { file: Some("/nonexistent/x".into()), ..output };
        let why = bee_trace::sink::open(&missing, &with).err().unwrap().to_string();
        assert_eq!(why, "output file /nonexistent/x: open its directory: No such file or directory");
    }
}
