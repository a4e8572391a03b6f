//! Tries to change the kernel, and signals for the daemon. The machine's kernel is everybody's: what is
//! done here is refused, all of it but a signal that changes nothing.

use crate::harness::{Abi, Daemon, Event, Fixture, Ran, Run, check_process, tally};

fn kernel<'r>(run: &'r Run, ran: &Ran) -> Vec<&'r Event> {
    run.of(ran.pid).filter(|event| event.text("bee.sensor") == "kernel").collect()
}

/// What each of a trigger's three tries must look like.
struct Want {
    act: &'static str,
    action: &'static str,
    request: &'static str,
    severity: u64,
    category: &'static str,
}

const TRIES: &[Want] = &[
    Want {
        act: "bpf",
        action: "bpf",
        request: "BPF_PROG_GET_FD_BY_ID",
        severity: 47,
        category: "configuration",
    },
    Want { act: "uring", action: "io-uring", request: "", severity: 21, category: "process" },
    Want {
        act: "clock",
        action: "time-set",
        request: "clock_settime",
        severity: 47,
        category: "configuration",
    },
    Want { act: "adjust", action: "time-set", request: "adjtimex", severity: 1, category: "configuration" },
    Want { act: "module", action: "module-load", request: "", severity: 47, category: "driver" },
];

#[test]
fn root_tries_to_change_the_kernel() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let mut done = Vec::new();
    for abi in Abi::all() {
        for want in TRIES {
            done.push((fixture.trigger("kernel", abi).args([want.act, "3"]).run(), want));
        }
    }
    let run = daemon.stop();
    for (ran, want) in &done {
        let events = kernel(&run, ran);
        tally::wanted("kernel", 3);
        assert_eq!(events.len(), 3, "{}: {events:#?}", want.act);
        for (event, (result, errno)) in events.iter().zip(&ran.acts) {
            assert_eq!(*result, -1, "{}", want.act);
            assert_eq!(event.action(), want.action, "{event}");
            assert_eq!(event.text("bee.request"), want.request, "{event}");
            assert_eq!(event.number("event.severity"), Some(want.severity), "{event}");
            assert_eq!(event.list("event.category"), [want.category], "{event}");
            assert_eq!(event.text("event.outcome"), "failure", "{event}");
            let code = format!("{:?}", nix::errno::Errno::from_raw(*errno));
            assert_eq!(event.text("event.code"), code, "{event}");
            assert_eq!(event.has_flag("compat_32bit"), ran.abi == Abi::Compat, "{event}");
            let id = (want.act == "bpf").then_some(0xffff_fff0);
            assert_eq!(event.number("bee.object_id"), id, "{event}");
            check_process(event, &run, ran);
        }
        tally::right("kernel", 3);
    }
    run.lossless();
}

#[test]
fn root_signals_for_the_daemon_and_for_nobody_else() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let (pid, me) = (daemon.pid().to_string(), std::process::id().to_string());
    let mut told = Vec::new();
    let mut untold = Vec::new();
    for abi in Abi::all() {
        let trigger =
            |act: &str, pid: &str| fixture.trigger("kernel", abi).args([act, "3", pid]).run().all_well(3);
        told.extend(["signal", "tgsignal"].map(|act| trigger(act, &pid)));
        untold.extend([trigger("ask", &pid), trigger("signal", &me)]);
        untold.push(fixture.trigger("kernel", abi).args(["lookup", "3"]).run());
    }
    let run = daemon.stop();
    for ran in &told {
        let events = kernel(&run, ran);
        assert_eq!(events.len(), 3, "{events:#?}");
        for event in events {
            assert_eq!(event.action(), "kill", "{event}");
            assert_eq!(event.number("bee.signal"), Some(18), "{event}");
            assert_eq!(event.number("event.severity"), Some(99), "{event}");
            assert_eq!(event.number("bee.target.process.pid"), Some(pid.parse().unwrap()), "{event}");
            assert_eq!(event.text("bee.target.process.name"), "bee-traced", "{event}");
        }
    }
    for ran in &untold {
        assert!(kernel(&run, ran).is_empty(), "{}", kernel(&run, ran)[0]);
    }
    run.lossless();
}
