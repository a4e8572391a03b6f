//! Tries to change the kernel, and signals for the daemon. The machine's kernel is everybody's: what is
//! done here is refused, all of it but a signal that changes nothing.

use crate::harness::{Abi, Daemon, Event, Fixture, Ran, Run, check_process, objects, settled, tally, tier};

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
    Want { act: "day", action: "time-set", request: "settimeofday", severity: 47, category: "configuration" },
    Want { act: "adjust", action: "time-set", request: "adjtimex", severity: 1, category: "configuration" },
    Want {
        act: "steer",
        action: "time-set",
        request: "clock_adjtime",
        severity: 1,
        category: "configuration",
    },
    Want { act: "image", action: "module-load", request: "", severity: 47, category: "driver" },
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
        // arm64 may be built without these calls for 32-bit programs.
        let none = want.action == "time-set" && ran.acts.iter().all(|act| act.1 == nix::libc::ENOSYS);
        if none && tier::NO_CLOCK.here() {
            assert!(events.is_empty(), "{}: {events:#?}", want.act);
            continue;
        }
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
        told.extend(["signal", "tsignal", "tgsignal", "queue"].map(|act| trigger(act, &pid)));
        let by_descriptor = trigger("pidsignal", &pid);
        if tier::PIDFD.here() { &mut untold } else { &mut told }.push(by_descriptor);
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

#[test]
fn root_a_user_who_may_not_signal_the_daemon_is_told_with_the_refusal() {
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let pid = daemon.pid().to_string();
    let mut done = Vec::new();
    for abi in Abi::all() {
        let trigger = fixture.trigger("kernel", abi).args(["resize", "3", &pid]);
        done.push(trigger.user(&fixture.users[0]).run());
    }
    let run = daemon.stop();
    for ran in &done {
        let events = kernel(&run, ran);
        assert_eq!(events.len(), 3, "{events:#?}");
        for (event, act) in events.iter().zip(&ran.acts) {
            assert_eq!(*act, (-1, nix::libc::EPERM));
            assert_eq!(event.action(), "kill", "{event}");
            assert_eq!(event.number("bee.signal"), Some(28), "{event}");
            assert_eq!(event.text("event.outcome"), "failure", "{event}");
            assert_eq!(event.text("event.code"), "EPERM", "{event}");
            assert_eq!(event.number("bee.target.process.pid"), Some(pid.parse().unwrap()), "{event}");
            assert_eq!(event.has_flag("compat_32bit"), ran.abi == Abi::Compat, "{event}");
            check_process(event, &run, ran);
        }
    }
    run.lossless();
}

#[test]
fn root_a_signal_for_the_daemons_group_is_one_for_the_daemon() {
    if tier::GROUP.skips("a signal for the daemon's group") {
        return;
    }
    let fixture = Fixture::new();
    let daemon = Daemon::start(&fixture, &[]);
    let pid = daemon.pid().to_string();
    let trigger = |abi| fixture.trigger("kernel", abi).args(["group", "3", &pid]).run().all_well(3);
    let done: Vec<Ran> = Abi::all().into_iter().map(trigger).collect();
    let run = daemon.stop();
    for ran in &done {
        let (daemons, others): (Vec<&Event>, Vec<&Event>) = kernel(&run, ran)
            .into_iter()
            .partition(|event| event.number("bee.target.process.pid") == Some(pid.parse().unwrap()));
        assert_eq!(daemons.len(), 3, "{daemons:#?}");
        // The scanner is of the group too, while it is there.
        assert!(others.len() <= 3, "{others:#?}");
        for event in daemons.iter().chain(&others) {
            assert_eq!(event.action(), "kill", "{event}");
            assert_eq!(event.number("bee.signal"), Some(18), "{event}");
            assert_eq!(event.text("event.outcome"), "success", "{event}");
        }
    }
    run.lossless();
}

/// What is wanted of the events of a process that opened these, `count` times each.
fn opened(run: &Run, ran: &Ran, request: &str, ids: &[u32], count: usize, own: bool, errno: Option<&str>) {
    tally::wanted("kernel", ids.len() * count);
    let events = kernel(run, ran);
    let mut wanted: Vec<_> = ids.iter().flat_map(|id| vec![Some(u64::from(*id)); count]).collect();
    let mut found: Vec<_> = events.iter().map(|event| event.number("bee.object_id")).collect();
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted, "{request}");
    for event in events {
        assert_eq!(event.action(), "bpf", "{event}");
        assert_eq!(event.text("bee.request"), request, "{event}");
        assert_eq!(event.has_flag("own_object"), own, "{event}");
        let severity = match (own, errno.is_some()) {
            (true, false) => 99,
            (true, true) => 73,
            (false, _) => 47,
        };
        assert_eq!(event.number("event.severity"), Some(severity), "{event}");
        assert_eq!(event.text("event.code"), errno.unwrap_or_default(), "{event}");
        assert_eq!(event.has_flag("compat_32bit"), ran.abi == Abi::Compat, "{event}");
        check_process(event, run, ran);
    }
    tally::right("kernel", ids.len() * count);
}

#[test]
fn root_who_reaches_for_what_is_the_daemons() {
    let fixture = Fixture::new();
    let before = objects();
    let daemon = Daemon::start(&fixture, &[]);
    // All that is new in the kernel is the daemon's, whether a descriptor of it is held or not.
    let new: Vec<_> = settled().difference(&before).copied().collect();
    let ids = |kind: &str| -> Vec<u32> { new.iter().filter(|row| row.0 == kind).map(|row| row.1).collect() };
    let kinds = [
        ("program", "BPF_PROG_GET_FD_BY_ID", ids("prog")),
        ("map", "BPF_MAP_GET_FD_BY_ID", ids("map")),
        ("link", "BPF_LINK_GET_FD_BY_ID", ids("link")),
    ];
    let mut own = Vec::new();
    let mut foreign = Vec::new();
    for abi in Abi::all() {
        for (act, request, ids) in &kinds {
            assert!(!ids.is_empty() || *act == "link", "{act}");
            let trigger = || {
                let numbers = ids.iter().map(u32::to_string);
                fixture.trigger("kernel", abi).args([*act, "3"]).args(numbers)
            };
            own.push((trigger().run().all_well(3 * ids.len()), *request, ids, None));
            let refused = trigger().user(&fixture.users[0]).run().all_failed(3 * ids.len(), libc::EPERM);
            own.push((refused, *request, ids, Some("EPERM")));
        }
        foreign.push(fixture.trigger("kernel", abi).args(["foreign", "3"]).run().all_well(3));
    }
    let run = daemon.stop();
    for (ran, request, ids, errno) in &own {
        opened(&run, ran, request, ids, 3, true, *errno);
    }
    for ran in &foreign {
        let events = kernel(&run, ran);
        let id = events.first().and_then(|event| event.number("bee.object_id")).unwrap();
        opened(&run, ran, "BPF_MAP_GET_FD_BY_ID", &[u32::try_from(id).unwrap()], 3, false, None);
    }
    run.lossless();
}
