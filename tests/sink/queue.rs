//! The counters are exact whatever the descriptor does.

use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use bee_trace::event::ACTIONS;
use bee_trace::sink::queue::Queue;
use bee_trace::sink::{stdout::Descriptor, writer};

use crate::common::*;

fn to_descriptor(fd: impl AsFdOwned, limit: usize) -> Queue {
    let queue = Queue::new(limit).unwrap();
    let target = Descriptor::new(fd.into_owned().as_fd(), "test").unwrap();
    writer::start(&queue, Box::new(target), "sink-test").unwrap();
    queue
}

trait AsFdOwned {
    fn into_owned(self) -> std::os::fd::OwnedFd;
}

impl<T: Into<std::os::fd::OwnedFd>> AsFdOwned for T {
    fn into_owned(self) -> std::os::fd::OwnedFd {
        self.into()
    }
}

#[test]
fn a_full_device_refuses_every_line_and_is_named() {
    let queue = to_descriptor(fs::OpenOptions::new().write(true).open("/dev/full").unwrap(), 1 << 20);
    for number in 0..5003 {
        let _ = queue.push(&numbered(number));
        if number == 7 {
            while queue.problem().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    assert_eq!(queue.problem().as_deref(), Some("test: No space left on device"));
    queue.drain(soon());
    let counters = queue.counters();
    assert_exact(counters, 5003);
    assert_eq!((counters.accepted, counters.queue_full, counters.bytes), (0, 0, 0));
    assert!(counters.errors > 0 && counters.errors < 100, "it pauses: {}", counters.errors);
}

#[test]
fn a_reader_that_goes_away_is_survived_and_counted() {
    let (mut reader, pipe) = pipe();
    let queue = to_descriptor(pipe, 4 << 20);
    for number in 0..4001 {
        queue.push(&numbered(number)).unwrap();
    }
    // Reads a part that ends somewhere inside a line, then goes.
    let mut part = vec![0; 30_011];
    reader.read_exact(&mut part).unwrap();
    drop(reader);
    while queue.problem().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(queue.problem().as_deref(), Some("test: Broken pipe"));
    queue.drain(soon());
    let counters = queue.counters();
    assert_exact(counters, 4001);
    assert!(counters.accepted >= numbers(&part).len() as u64 - 1);
    assert!(counters.refused > 0);
}

#[test]
fn what_tells_of_losses_has_room_where_others_have_none() {
    // Nobody takes anything out: there is no writer yet.
    let queue = Queue::new(1024).unwrap();
    while queue.push(&numbered(1)).is_ok() {}
    assert!(queue.push_reserved(&[b'x'; 2048]).is_ok());
    assert!(queue.push(b"y\n").is_err(), "the reserve is not for all");
    while queue.push_reserved(&[b'x'; 512]).is_ok() {}
    let counters = queue.counters();
    assert_eq!(counters.queue_full, 3, "each of the three that found no room");
    queue.drain(Instant::now());
    assert_exact(queue.counters(), counters.offered);
}

fn read_slowly(mut reader: fs::File) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), [0; 1013]);
    loop {
        match reader.read(&mut piece).unwrap() {
            0 => return all,
            count => all.extend_from_slice(&piece[..count]),
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn a_slow_reader_gets_every_accepted_line_once_and_in_order() {
    let (reader, pipe) = pipe();
    let queue = to_descriptor(pipe, 64 * 1024);
    let slow = std::thread::spawn(move || read_slowly(reader));
    let mut kept = Vec::new();
    for number in 0..20_011 {
        if queue.push(&numbered(number)).is_ok() {
            kept.push(number);
        }
        if number % 512 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    queue.drain(soon());
    let counters = queue.counters();
    assert_exact(counters, 20_011);
    assert!(counters.queue_full > 0, "the reader is slow enough for this to test something");
    assert_eq!((counters.refused, counters.accepted), (0, kept.len() as u64));
    drop(queue);
    let all = slow.join().unwrap();
    assert_eq!(numbers(&all), kept);
    assert_eq!(counters.bytes, all.len() as u64);
}

#[test]
fn a_reader_that_never_reads_cannot_hold_up_the_end() {
    let (mut reader, pipe) = pipe();
    let queue = to_descriptor(pipe, 1 << 20);
    for number in 0..3001 {
        queue.push(&numbered(number)).unwrap();
    }
    let before = Instant::now();
    queue.drain(before + Duration::from_millis(100));
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    let counters = queue.counters();
    assert_exact(counters, 3001);
    assert!(counters.accepted > 0 && counters.refused > 0);
    // What the pipe holds is what was counted, and nothing comes later.
    drop(queue);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.len() as u64, counters.bytes);
    assert_eq!(numbers(&all), (0..counters.accepted).collect::<Vec<_>>());
}

#[test]
fn a_socket_works_as_a_pipe_does() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let queue = to_descriptor(ours, 1 << 20);
    let reader = std::thread::spawn(move || {
        let (mut theirs, mut all) = (theirs, Vec::new());
        theirs.read_to_end(&mut all).unwrap();
        all
    });
    for number in 0..2003 {
        queue.push(&numbered(number)).unwrap();
    }
    queue.drain(soon());
    assert_exact(queue.counters(), 2003);
    drop(queue);
    assert_eq!(numbers(&reader.join().unwrap()), (0..2003).collect::<Vec<_>>());
}

/// Fails as told: takes a few bytes, then an error, then is well again.
struct Flaky {
    random: Random,
    out: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
}

impl writer::Target for Flaky {
    fn describe(&self) -> String {
        "flaky".into()
    }
    fn prepare(&mut self, _line: usize) -> writer::Room {
        writer::Room { bytes: 1 + (self.random.next() % 900) as usize, rotation: None }
    }
    fn write(&mut self, bytes: &[u8]) -> nix::Result<usize> {
        use nix::errno::Errno;
        match self.random.next() % 16 {
            0 => Err(Errno::EINTR),
            1 => Err(Errno::EAGAIN),
            2 if self.random.next() % 4 == 0 => Err(Errno::ENOSPC),
            pick => {
                // Often all but the newline: the line is then owed, not lost.
                let most = if pick < 6 { bytes.len() - 1 } else { bytes.len() };
                let took = if pick < 9 {
                    most.max(1)
                } else {
                    1 + (self.random.next() % most.max(1) as u64) as usize
                };
                self.out.lock().unwrap().extend_from_slice(&bytes[..took]);
                Ok(took)
            }
        }
    }
    fn wait(&mut self, _stop: std::os::fd::BorrowedFd<'_>) {}
}

#[test]
fn cut_lines_are_refused_and_the_next_begins_on_its_own() {
    for seed in 1..12 {
        let queue = Queue::new(1 << 20).unwrap();
        let out = std::sync::Arc::default();
        let flaky = Flaky { random: Random(seed * 0x9e37_79b9), out: std::sync::Arc::clone(&out) };
        writer::start(&queue, Box::new(flaky), "sink-flaky").unwrap();
        for number in 0..1009 {
            queue.push(&numbered(number)).unwrap();
            if number % 64 == 0 {
                std::thread::sleep(Duration::from_millis(6));
            }
        }
        queue.drain(soon());
        let counters = queue.counters();
        assert_exact(counters, 1009);
        let out = out.lock().unwrap();
        let mut whole = numbers(&out);
        // At the very end a line may lack its newline; then it was not accepted.
        if out.last() != Some(&b'\n') && whole.len() as u64 > counters.accepted {
            whole.pop();
        }
        assert_eq!(whole.len() as u64, counters.accepted, "seed {seed}: {counters:?}");
        assert!(whole.is_sorted() && whole.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(counters.bytes, out.len() as u64);
    }
}

#[test]
fn lines_pushed_before_the_thread_and_after_the_end_are_counted() {
    let queue = Queue::new(4096).unwrap();
    for number in 0..100 {
        let _ = queue.push(&numbered(number));
    }
    let full = queue.counters();
    assert!(full.queue_full > 0 && full.accepted == 0);
    let before = Instant::now();
    queue.drain(soon());
    assert!(before.elapsed() < Duration::from_secs(1), "there is no writer to wait for");
    assert!(queue.push(b"late\n").is_err());
    assert_exact(queue.counters(), 101);
}

#[test]
fn a_pipe_that_cannot_be_opened_again_does_not_hold_up_the_end_either() {
    let (mut reader, pipe) = pipe();
    let queue = Queue::new(1 << 20).unwrap();
    let theirs = queue.clone();
    // Another user's pipe: /proc/self/fd/N is closed to nobody.
    unprivileged(move || {
        let target = Descriptor::new(pipe.as_fd(), "test").unwrap();
        drop(pipe);
        writer::start(&theirs, Box::new(target), "sink-test").unwrap();
        for number in 0..3001 {
            theirs.push(&numbered(number)).unwrap();
        }
        theirs.drain(Instant::now() + Duration::from_millis(100));
    });
    let counters = queue.counters();
    assert_exact(counters, 3001);
    assert!(counters.accepted > 100 && counters.refused > 0, "{counters:?}");
    drop(queue);
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.len() as u64, counters.bytes);
    assert_eq!(numbers(&all), (0..counters.accepted).collect::<Vec<_>>());
}

#[test]
fn the_thread_has_its_name_and_takes_no_signal() {
    let (_reader, pipe) = pipe();
    let queue = Queue::new(4096).unwrap();
    let target = Descriptor::new(pipe.as_fd(), "test").unwrap();
    writer::start(&queue, Box::new(target), "sink-named").unwrap();
    let status = || {
        fs::read_dir("/proc/self/task").unwrap().find_map(|task| {
            let text = fs::read_to_string(task.ok()?.path().join("status")).ok()?;
            text.starts_with("Name:\tsink-named\n").then_some(text)
        })
    };
    let deadline = soon();
    let status =
        std::iter::repeat_with(status).take_while(|_| Instant::now() < deadline).flatten().next().unwrap();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
    let blocked = u64::from_str_radix(blocked, 16).unwrap();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE] {
        assert_ne!(blocked & 1 << (signal - 1), 0, "signal {signal}");
    }
    queue.drain(soon());
}

/// Not a test of its own: the process that [`standard_output_is_left_as_it_was`] starts.
#[test]
fn child_that_writes_to_standard_output() {
    if std::env::var_os("BEE_SINK_CHILD").is_none() {
        return;
    }
    let output = bee_trace::config::Output { to: vec![bee_trace::config::Place::Stdout], ..output() };
    let mut sink = bee_trace::sink::open(&output, &opening()).unwrap().pop().unwrap();
    sink.start().unwrap();
    for _ in 0..101 {
        samples().iter().for_each(|event| sink.write(event));
    }
    sink.drain(soon());
    assert_eq!((sink.name(), sink.written()), ("stdout", 101 * ACTIONS.len() as u64));
}

#[test]
fn standard_output_is_left_as_it_was() {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let (mut reader, pipe) = pipe();
    let flags = |fd: &fs::File| OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap());
    let ours = pipe.try_clone().unwrap();
    let before = flags(&ours);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "queue::child_that_writes_to_standard_output", "--nocapture"])
        .env("BEE_SINK_CHILD", "1")
        .stdout(pipe)
        .spawn()
        .unwrap();
    let reading = std::thread::spawn(move || {
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        all
    });
    assert!(child.wait().unwrap().success());
    assert_eq!(flags(&ours), before);
    assert!(!before.contains(OFlag::O_NONBLOCK));
    drop(ours);
    // The test harness writes there too.
    let all = reading.join().unwrap();
    let lines = all.lines().filter(|line| line.starts_with("{\"@timestamp\":")).count();
    assert_eq!(lines, 101 * ACTIONS.len());
}
