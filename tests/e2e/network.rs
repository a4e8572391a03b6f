//! Connections, datagrams, listeners, sockets: each act of a trigger is one event, whatever
//! the address family, the system call, its interface, and how it ends.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use crate::harness::{Abi, Daemon, Event, Fixture, Ran, Run, check_process, tally, tier};

/// How a trigger calls the kernel, with the width of its program.
fn gates() -> Vec<(Abi, &'static str)> {
    let mut gates: Vec<_> = Abi::all().into_iter().map(|abi| (abi, "direct")).collect();
    if cfg!(target_arch = "x86_64") {
        gates.push((Abi::Compat, "socketcall"));
        gates.push((Abi::Native, "int80"));
    }
    gates
}

/// What int80 of the trigger cannot do.
fn has(gate: &str, act: &str) -> bool {
    gate != "int80" || !["sendmsg", "sendmmsg", "send", "serve"].contains(&act)
}

/// A machine that speaks to itself, and is told of it.
struct Net {
    fixture: Fixture,
    four: TcpListener,
    six: TcpListener,
}

impl Net {
    fn new() -> Self {
        let fixture = Fixture::new();
        fixture.config();
        fixture.set_drop_in("[network]\nignore = []\nunix = [\"/run/bee-e2e.sock\", \"@bee-e2e*\"]\n");
        Self {
            fixture,
            four: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
            six: TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap(),
        }
    }

    /// Where something listens; mapped addresses lead to the IPv4 one.
    fn peer(&self, family: &str) -> SocketAddr {
        if family == "6" { self.six.local_addr() } else { self.four.local_addr() }.unwrap()
    }

    fn start(&self) -> Daemon {
        Daemon::start(&self.fixture, &[])
    }

    fn run(&self, abi: Abi, args: &[&str]) -> Ran {
        self.fixture.trigger("net", abi).args(args).run()
    }
}

/// One where nothing listens.
fn nowhere(family: &str) -> SocketAddr {
    if family == "6" { (Ipv6Addr::LOCALHOST, 9).into() } else { (Ipv4Addr::LOCALHOST, 9).into() }
}

/// What an event about a socket must say.
#[derive(Clone, Debug)]
struct Want {
    action: &'static str,
    transport: &'static str,
    /// `source` of `accept` is looked at by its address alone.
    destination: SocketAddr,
    outcome: &'static str,
    code: &'static str,
    flags: Vec<&'static str>,
}

impl Want {
    fn new(action: &'static str, transport: &'static str, destination: SocketAddr) -> Self {
        Self { action, transport, destination, outcome: "success", code: "", flags: Vec::new() }
    }

    fn failed(mut self, code: &'static str) -> Self {
        (self.outcome, self.code) = ("failure", code);
        self
    }

    fn unknown(mut self, flag: &'static str) -> Self {
        self.outcome = "unknown";
        self.flag(flag)
    }

    fn flag(mut self, flag: &'static str) -> Self {
        self.flags.push(flag);
        self
    }

    /// Asserts that the trigger made exactly `count` events with this action, all of them like this.
    fn exactly(&self, count: usize, run: &Run, ran: &Ran) -> Vec<Event> {
        tally::wanted("network", count);
        let events: Vec<Event> =
            network(run, ran).into_iter().filter(|event| event.action() == self.action).cloned().collect();
        for event in &events {
            self.check(event, run, ran);
        }
        assert_eq!(events.len(), count, "{} events of {:?}; wanted: {self:?}", self.action, ran.args);
        tally::right("network", count);
        events
    }

    fn check(&self, event: &Event, run: &Run, ran: &Ran) {
        let same = |key: &str, wanted: &str| assert_eq!(event.text(key), wanted, "{key} of {event}");
        let six = self.destination.is_ipv6();
        same("event.kind", "event");
        assert_eq!(event.list("event.category"), ["network"], "{event}");
        let told = match self.outcome {
            "success" => Some("allowed"),
            "failure" if ["EACCES", "EPERM"].contains(&self.code) => Some("denied"),
            "failure" => Some("error"),
            _ => None,
        };
        assert_eq!(event.list("event.type").last().copied().filter(|_| told.is_some()), told, "{event}");
        same("event.outcome", self.outcome);
        same("event.code", self.code);
        same("bee.sensor", "network");
        let here = ["accept", "listen"].contains(&self.action);
        let portable = event.text("bee.tier") == "portable";
        // What its arguments do not say.
        same("network.transport", if portable && here { "" } else { self.transport });
        same("network.type", if six { "ipv6" } else { "ipv4" });
        same("network.direction", if here { "ingress" } else { "egress" });
        same("destination.ip", &self.destination.ip().to_string());
        assert_eq!(event.number("destination.port"), Some(self.destination.port().into()), "{event}");
        if self.action == "accept" {
            same("source.ip", &self.destination.ip().to_string());
            assert!(event.number("source.port").is_some(), "{event}");
        }
        let mut flags = self.flags.clone();
        if portable {
            flags.extend(["process_partial", "exe_as_given"]);
            flags.extend(here.then_some("args_racy"));
        }
        let narrow = ran.abi == Abi::Compat || ran.args[1] == "int80";
        // Of several in one call the first is told before the call ends.
        let untold = tier::WIDTH.here() && ran.args[2] == "sendmmsg";
        if narrow && (!untold || event.has_flag("compat_32bit")) {
            flags.push("compat_32bit");
        }
        flags.sort_unstable();
        let mut found = event.list("bee.flags");
        found.sort_unstable();
        assert_eq!(found, flags, "bee.flags of {event}");
        check_process(event, run, ran);
    }
}

/// Events of the network sensor of a trigger.
fn network<'a>(run: &'a Run, ran: &Ran) -> Vec<&'a Event> {
    run.of(ran.pid).filter(|event| event.text("bee.sensor") == "network").collect()
}

/// All that a trigger did was told by these.
fn nothing_else(count: usize, run: &Run, ran: &Ran) {
    let events = network(run, ran);
    assert_eq!(events.len(), count, "{:?}: {:#?}", ran.args, events);
}

#[test]
fn root_a_connection_is_one_event_however_it_is_made() {
    let net = Net::new();
    let daemon = net.start();
    let mut done: Vec<(Ran, Want)> = Vec::new();
    for (abi, gate) in gates() {
        for family in ["4", "6", "mapped"] {
            let peer = net.peer(family);
            let port = peer.port().to_string();
            for (act, transport, want) in [
                ("connect", "tcp", Want::new("connect", "tcp", peer)),
                ("nonblock", "tcp", Want::new("connect", "tcp", peer).unknown("in_progress")),
                ("udpconnect", "udp", Want::new("connect", "udp", peer)),
            ] {
                let ran = net.run(abi, &[gate, act, "5", family, &port]);
                assert_eq!(ran.acts.len(), 5);
                done.push((ran, Want { transport, ..want }));
            }
            let ran = net.run(abi, &[gate, "connect", "3", family, "9"]).all_failed(3, libc::ECONNREFUSED);
            done.push((ran, Want::new("connect", "tcp", nowhere(family)).failed("ECONNREFUSED")));
        }
    }
    let run = daemon.stop();
    for (ran, want) in &done {
        want.exactly(ran.acts.len(), &run, ran);
        nothing_else(ran.acts.len(), &run, ran);
    }
    run.lossless();
}

#[test]
fn root_a_connection_with_data_in_its_first_packet() {
    let net = Net::new();
    let daemon = net.start();
    let mut done = Vec::new();
    for (abi, gate) in gates() {
        for family in ["4", "6"] {
            let peer = net.peer(family);
            let port = peer.port().to_string();
            let ran = net.run(abi, &[gate, "fastopen", "3", family, &port]).all_well(3);
            let want = Want::new("connect", "tcp", peer).flag("fast_open");
            let want = if tier::FAST_OPEN.here() { want.unknown("result_unknown") } else { want };
            done.push((ran, want));
        }
    }
    let run = daemon.stop();
    for (ran, want) in &done {
        want.exactly(3, &run, ran);
        nothing_else(3, &run, ran);
    }
    run.lossless();
}

#[test]
fn root_datagrams_are_one_event_and_a_count() {
    let net = Net::new();
    let daemon = net.start();
    let mut done = Vec::new();
    for (abi, gate) in gates() {
        for family in ["4", "6", "mapped"] {
            for act in ["sendto", "sendmsg", "sendmmsg", "send"] {
                if !has(gate, act) || (act == "send" && tier::CONNECTED_SEND.here()) {
                    continue;
                }
                // Somebody must be there, or the second datagram of a connected socket fails.
                let there = std::net::UdpSocket::bind((nowhere(family).ip(), 0)).unwrap();
                let address = there.local_addr().unwrap();
                let ran = net.run(abi, &[gate, act, "17", family, &address.port().to_string()]);
                done.push((ran.all_well(17), Want::new("send", "udp", address), act));
            }
        }
    }
    let run = daemon.stop();
    for (ran, want, act) in &done {
        let events = want.exactly(2, &run, ran);
        let counts: Vec<u64> = events.iter().filter_map(|event| event.number("bee.count")).collect();
        assert_eq!(counts.iter().sum::<u64>(), 17, "{:?}", ran.args);
        assert_eq!(counts[0], 1, "the first at once: {counts:?}");
        nothing_else(2 + usize::from(*act == "send"), &run, ran);
    }
    run.lossless();
}

#[test]
fn root_datagrams_that_are_forbidden_are_told_one_by_one() {
    let net = Net::new();
    let daemon = net.start();
    let mut done = Vec::new();
    for (abi, gate) in gates() {
        for family in ["broadcast", "mapped-broadcast"] {
            for act in ["sendto", "sendmsg"] {
                if has(gate, act) {
                    let ran = net.run(abi, &[gate, act, "5", family, "9"]).all_failed(5, libc::EACCES);
                    done.push(ran);
                }
            }
        }
    }
    let run = daemon.stop();
    let to = (Ipv4Addr::new(127, 255, 255, 255), 9).into();
    for ran in &done {
        let events = Want::new("send", "udp", to).failed("EACCES").exactly(5, &run, ran);
        assert!(events.iter().all(|event| event.number("bee.count") == Some(1)), "{events:#?}");
        nothing_else(5, &run, ran);
    }
    run.lossless();
}

#[test]
fn root_without_a_window_each_datagram_is_an_event() {
    let net = Net::new();
    net.fixture.set_drop_in("[network]\nignore = []\nwindow = 0\n");
    let daemon = net.start();
    let ran = net.run(Abi::Native, &["direct", "sendto", "23", "4", "9"]).all_well(23);
    let many = net.run(Abi::Native, &["direct", "sendmmsg", "19", "4", "9"]).all_well(19);
    let run = daemon.stop();
    for (ran, count) in [(&ran, 23), (&many, 19)] {
        let events = network(&run, ran);
        assert_eq!(events.len(), count);
        assert!(events.iter().all(|event| event.number("bee.count") == Some(1)));
    }
    run.lossless();
}

#[test]
fn root_io_uring_is_seen_and_said_so() {
    let net = Net::new();
    if std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").is_ok_and(|text| text.trim() == "2") {
        return crate::harness::skipped("io_uring is switched off on this machine");
    }
    let daemon = net.start();
    let mut done = Vec::new();
    for abi in Abi::all() {
        for act in ["uring", "uringasync"] {
            for family in ["4", "6"] {
                let peer = net.peer(family);
                let ran = net.run(abi, &["direct", act, "3", family, &peer.port().to_string()]).all_well(3);
                done.push((ran, Want::new("connect", "tcp", peer), 3));
            }
        }
        let there = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = there.local_addr().unwrap();
        let ran = net.run(abi, &["direct", "uringsend", "7", "4", &address.port().to_string()]).all_well(7);
        done.push((ran, Want::new("send", "udp", address), 2));
    }
    let run = daemon.stop();
    for (ran, want, count) in &done {
        let events: Vec<&Event> = network(&run, ran);
        assert_eq!(events.len(), *count, "{:?}: {events:#?}", ran.args);
        for event in events {
            assert_eq!(event.action(), want.action, "{event}");
            assert_eq!(event.text("destination.ip"), want.destination.ip().to_string(), "{event}");
            assert_eq!(event.number("destination.port"), Some(want.destination.port().into()), "{event}");
            let said = ran.args[2] == "uringasync" || !tier::URING_INLINE.here();
            assert!(event.has_flag("io_uring") || !said, "{event}");
            assert_eq!(event.pid(), Some(ran.pid.into()), "{event}");
        }
    }
    run.lossless();
}

#[test]
fn root_listeners_and_accepted_connections() {
    let net = Net::new();
    let daemon = net.start();
    let mut done = Vec::new();
    for (abi, gate) in gates() {
        for family in ["4", "6", "mapped"] {
            let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
            let at = SocketAddr::new(nowhere(family).ip(), probe.port());
            let port = at.port().to_string();
            let ran = net.run(abi, &[gate, "listen", "3", family, &port]).all_well(3);
            done.push((ran, at, 0));
            if has(gate, "serve") {
                let ran = net.run(abi, &[gate, "serve", "5", family, &port]).all_well(11);
                done.push((ran, at, 5));
            }
        }
    }
    let run = daemon.stop();
    for (ran, at, count) in &done {
        let listeners = if *count == 0 { 3 } else { 1 };
        Want::new("listen", "tcp", *at).exactly(listeners, &run, ran);
        Want::new("connect", "tcp", *at).exactly(*count, &run, ran);
        Want::new("accept", "tcp", *at).exactly(*count, &run, ran);
        nothing_else(listeners + 2 * count, &run, ran);
    }
    run.lossless();
}
