//! What the daemon costs here: interleaved rounds with and without it, on the
//! shipped configuration and the fixture of the end-to-end tests. Prints,
//! never asserts: the numbers are for people, and machines differ.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../e2e/harness/mod.rs"]
#[allow(dead_code, unused_imports)]
mod harness;

use std::fs;
use std::time::{Duration, Instant};

use harness::{Abi, Daemon, Fixture};

const ROUNDS: usize = 9;
const STARTS: usize = 21;

/// One loop that is timed.
struct Load {
    what: &'static str,
    promise: f64,
    args: Vec<String>,
    count: u32,
}

fn main() {
    let fixture = Fixture::new();
    let only_starts = std::env::args().any(|argument| argument == "starts");
    if !only_starts {
        loads(&fixture);
    }
    starts(&fixture);
    if !only_starts {
        at_rest(&fixture);
    }
}

/// Work with and without the daemon.
fn loads(fixture: &Fixture) {
    let plain = fixture.write("plain", "x");
    let secret = fixture.secret(1);
    let load = |what, promise, count: u32, args: &[&str]| {
        let mut args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        args.insert(1, count.to_string());
        Load { what, promise, args, count }
    };
    let loads = [
        load("getpid", 1.65, 2_000_000, &["getpid"]),
        load("unwatched open+close", 1.35, 300_000, &["open", plain.to_str().unwrap()]),
        // Few enough that the promise is about opens whose event really comes.
        load("watched open, its event", 1.8, 500, &["open", secret.to_str().unwrap()]),
    ];
    // Ratios of each load, and nanoseconds without the daemon.
    let mut ratios = vec![Vec::new(); loads.len()];
    let mut base = vec![Vec::new(); loads.len()];
    let (mut delivered, mut lost) = (0, 0);
    for round in 0..ROUNDS {
        // Every other round the other way round, so that a drift of the machine evens out.
        let without = |out: &mut Vec<f64>| out.extend(loads.iter().map(|load| time(fixture, load)));
        let mut with = |out: &mut Vec<f64>| {
            let daemon = Daemon::start_scanned(fixture, &[]);
            out.extend(loads.iter().map(|load| time(fixture, load)));
            let run = daemon.stop();
            let of_load =
                |event: &&harness::Event| event.text("process.name") == "load" && event.action() == "open";
            delivered += run.events.iter().filter(of_load).count();
            lost += run.lost("open");
        };
        let (mut off, mut on) = (Vec::new(), Vec::new());
        if round % 2 == 0 {
            without(&mut off);
            with(&mut on);
        } else {
            with(&mut on);
            without(&mut off);
        }
        for index in 0..loads.len() {
            ratios[index].push(on[index] / off[index]);
            base[index].push(off[index]);
        }
    }
    println!("\n{ROUNDS} rounds with and without the daemon, medians\n");
    println!("{:<26} {:>10} {:>8} {:>9}", "", "ns without", "ratio", "promised");
    for (index, load) in loads.iter().enumerate() {
        let (ns, ratio) = (median(&mut base[index]), median(&mut ratios[index]));
        println!("{:<26} {ns:>10.0} {ratio:>7.2}x {:>8.2}x", load.what, load.promise);
    }
    let opens = ROUNDS * usize::try_from(loads[2].count).unwrap();
    println!("\nevents of the watched opens: {delivered} delivered of {opens}, {lost} lost");
}

/// Nanoseconds a call.
fn time(fixture: &Fixture, load: &Load) -> f64 {
    let ran = fixture.trigger("load", Abi::Native).args(&load.args).run();
    #[allow(clippy::cast_precision_loss)] // nanoseconds of seconds
    let all = ran.acts[0].0 as f64;
    all / f64::from(load.count)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// From the exec of the daemon to its `start` event, and to the event of an open made as
/// soon as that was seen; both as a reader of the output sees them.
fn starts(fixture: &Fixture) {
    let path = fixture.secret(2);
    let wanted = path.to_str().unwrap();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let (mut start, mut cpu, mut first) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let clock = Instant::now();
        let mut daemon = Daemon::start(fixture, &[]);
        cpu.push(milliseconds(cpu_time(daemon.pid())));
        // What the harness notes before it begins is not the daemon's.
        let before = clock.elapsed() - daemon.to_start;
        start.push(milliseconds(daemon.to_start));
        drop(fs::File::open(&path).unwrap());
        daemon.wait_event("the first event", 10, |event| event.text("file.path") == wanted);
        first.push(milliseconds(clock.elapsed() - before));
        daemon.stop();
    }
    println!("\n{STARTS} starts, medians");
    let (start, cpu) = (median(&mut start), median(&mut cpu));
    println!("exec to the start event: {start:.0} ms; {cpu:.0} ms of processor time");
    println!("exec to the first event of an open: {:.0} ms (promised 100)", median(&mut first));
}

/// Memory, and wake-ups while nothing happens.
fn at_rest(fixture: &Fixture) {
    let mut daemon = Daemon::start(fixture, &[]);
    daemon.wait_scanned(&fixture.scan_probe());
    let pid = daemon.pid();
    let pss = kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:");
    println!(
        "memory: PSS {pss} KiB (promised 6144), peak RSS {} KiB (promised 20480)",
        kib(&format!("/proc/{pid}/status"), "VmHWM:")
    );
    // The daemon's own timers and the last events of the scan.
    std::thread::sleep(Duration::from_secs(2));
    let before = switches(pid);
    std::thread::sleep(Duration::from_secs(5));
    let woken = switches(pid) - before;
    let run = daemon.stop();
    println!(
        "wake-ups in 5 s of rest: {woken} (the machine made {} events in all of this run)",
        run.events.len()
    );
}

fn kib(file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("0");
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// How often its threads went to sleep, which is how often they were woken.
fn switches(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads
        .map(|thread| {
            kib(thread.unwrap().path().join("status").to_str().unwrap(), "voluntary_ctxt_switches:")
        })
        .sum()
}

/// Time all threads of the process have run so far, those that have ended too; children apart.
fn cpu_time(pid: u32) -> Duration {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::time::clock_gettime(nix::time::clock_getcpuclockid(pid).unwrap()).unwrap().into()
}
