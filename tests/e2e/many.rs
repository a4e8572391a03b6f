//! Very many short lives and connections: every one is told, and nothing grows.

use crate::harness::{Abi, Daemon, Fixture, Run};

/// A prime number a little over a hundred thousand.
const MANY: usize = 100_003;
/// And one before it, by which every queue has been as long as it gets.
const FIRST: usize = 20_011;

/// KiB of the daemon's own memory.
fn pss(daemon: &Daemon) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", daemon.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// None is missing; on a machine too busy to keep up, none that is not told as lost.
fn accounted(run: &Run, action: &str, made: usize, told: usize) {
    let missing = made.checked_sub(told).expect("more were told than made");
    // A sink does not know of what it had no room for.
    let lost = run.lost(action) + run.lost("");
    println!("{action}: {told} of {made} told, {lost} lost");
    assert!(missing as u64 <= lost, "{action}: {missing} are missing, and {lost} told as lost");
}

#[test]
#[ignore = "slow; `make test-all` runs it"]
fn root_a_hundred_thousand_processes() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let fork = |count: usize| fixture.trigger("forks", Abi::Native).args(["exit", &count.to_string()]).run();
    // What the first need is kept for the next.
    let first = fork(FIRST).all_well(FIRST);
    let before = pss(&daemon);
    let ran = fork(MANY).all_well(MANY);
    let after = pss(&daemon);
    assert!(after <= before + 512, "{before} KiB before, {after} KiB after");
    let run = daemon.stop();
    for (parent, count) in [(first.pid, FIRST), (ran.pid, MANY)] {
        for (action, code) in [("fork", None), ("exit", Some(7))] {
            let of_children = run.action(action).filter(|event| {
                event.number("process.parent.pid") == Some(parent.into())
                    && event.text("process.name") == "forks"
            });
            let right = of_children.filter(|event| event.number("process.exit_code") == code);
            accounted(&run, action, count, right.count());
        }
    }
}

#[test]
#[ignore = "slow; `make test-all` runs it"]
fn root_a_hundred_thousand_connections() {
    let fixture = Fixture::new();
    fixture.config();
    fixture.set_drop_in("[network]\nignore = []\n");
    let daemon = Daemon::start_scanned(&fixture, &[]);
    // Nobody listens at the discard port: each is refused at once.
    let connect = |count: usize| {
        let count = count.to_string();
        fixture.trigger("net", Abi::Native).args(["direct", "connect", &count, "4", "9"]).run()
    };
    connect(FIRST).all_failed(FIRST, libc::ECONNREFUSED);
    let before = pss(&daemon);
    let ran = connect(MANY).all_failed(MANY, libc::ECONNREFUSED);
    let after = pss(&daemon);
    assert!(after <= before + 512, "{before} KiB before, {after} KiB after");
    let run = daemon.stop();
    let right = run.of(ran.pid).filter(|event| {
        event.action() == "connect"
            && event.text("destination.ip") == "127.0.0.1"
            && event.number("destination.port") == Some(9)
            && event.text("process.name") == "net"
            && event.text("event.code") == "ECONNREFUSED"
    });
    accounted(&run, "connect", MANY, right.count());
}
