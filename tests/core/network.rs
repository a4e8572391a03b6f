//! Sockets: by which list an act is how grave, and what a record becomes for readers.

use bee_trace::decide::{Decide, NetworkFacts, Verdict};
use bee_trace::event::{Action, Endpoint, Network, Severity};
use bee_trace::pipeline::Fate;
use bee_trace::wire;
use serde_json::json;

use crate::decide::configuration;
use crate::pipeline::Bench;
use crate::records::Header;

const LISTS: &str = r#"
[network]
suspicious_ports = ["4444", "6660-6669"]
suspicious_addresses = ["203.0.113.0/24"]
monitored_ports = ["22", "4444"]
monitored_addresses = ["2001:db8::/32"]
safe_ports = ["443", "22"]
safe_addresses = ["10.0.0.0/8"]
ignore = ["127.0.0.0/8", "::1", "192.0.2.66"]
unix = ["/run/docker.sock", "@agent*"]
[[exclude]]
exe = "/usr/bin/ssh"
networks = ["10.0.0.0/8"]
[[exclude]]
unit = "backup.service"
paths = ["/etc/**"]
[[exclude]]
unit = "proxy.service"
actions = ["connect", "open"]
"#;

fn end(text: &str) -> Option<Endpoint> {
    let address: std::net::SocketAddr = text.parse().unwrap();
    Some(Endpoint { ip: address.ip(), port: address.port() })
}

/// As `judge`, of this program in this unit.
fn of(exe: &str, unit: &str, action: Action, network: &Network<'_>) -> Verdict {
    Decide::new(&configuration(LISTS)).network(&NetworkFacts {
        action,
        network,
        executable: Some(exe.as_bytes()),
        unit: Some(unit),
    })
}

fn judge(action: Action, network: &Network<'_>) -> Verdict {
    of("/usr/bin/curl", "session.scope", action, network)
}

fn to(destination: &str) -> Network<'static> {
    Network { destination: end(destination), family: 2, ..Network::default() }
}

#[test]
fn the_graver_list_counts() {
    let severity = |word| Verdict::Deliver(word);
    for (destination, wanted) in [
        ("198.51.100.1:4444", severity(Severity::High)),
        ("198.51.100.1:6665", severity(Severity::High)),
        ("203.0.113.9:443", severity(Severity::High)),
        ("198.51.100.1:22", severity(Severity::Medium)),
        ("[2001:db8::1]:443", severity(Severity::Medium)),
        ("198.51.100.1:443", severity(Severity::Info)),
        ("10.1.2.3:8080", severity(Severity::Info)),
        ("10.1.2.3:22", severity(Severity::Medium)),
        ("198.51.100.1:8080", severity(Severity::Low)),
        ("127.0.0.1:4444", Verdict::NotWatched),
        ("[::1]:4444", Verdict::NotWatched),
        ("192.0.2.66:22", Verdict::NotWatched),
    ] {
        for action in [Action::Connect, Action::Send] {
            assert_eq!(judge(action, &to(destination)), wanted, "{destination}");
        }
    }
}

#[test]
fn of_a_server_the_own_port_counts_and_the_others_address() {
    let accepted = |source| Network { source: end(source), ..to("198.51.100.1:22") };
    let medium = Verdict::Deliver(Severity::Medium);
    assert_eq!(judge(Action::Accept, &accepted("198.51.100.9:4444")), medium);
    assert_eq!(judge(Action::Accept, &accepted("203.0.113.9:5")), Verdict::Deliver(Severity::High));
    assert_eq!(judge(Action::Accept, &accepted("127.0.0.1:5")), Verdict::NotWatched);
    // A listener has no other side, and is told wherever it waits.
    assert_eq!(judge(Action::Listen, &to("127.0.0.1:22")), medium);
    assert_eq!(judge(Action::Listen, &to("203.0.113.9:8080")), Verdict::Deliver(Severity::Low));
}

#[test]
fn local_sockets_by_name_and_others_by_kind() {
    let local =
        |path: &'static str| Network { path: Some(path.as_bytes().into()), family: 1, ..Network::default() };
    let medium = Verdict::Deliver(Severity::Medium);
    for (path, wanted) in [
        ("/run/docker.sock", medium),
        ("@agent-7", medium),
        ("/run/other.sock", Verdict::NotWatched),
        ("docker.sock", Verdict::NotWatched),
    ] {
        assert_eq!(judge(Action::Connect, &local(path)), wanted, "{path}");
    }
    let nameless = Network { family: 1, ..Network::default() };
    assert_eq!(judge(Action::Connect, &nameless), Verdict::NotWatched);
    let raw = Network { family: 2, protocol: Some((3, 1)), ..Network::default() };
    assert_eq!(judge(Action::Socket, &raw), medium);
}

#[test]
fn an_exclude_holds_for_what_it_names() {
    let ssh = |to: &Network<'_>| of("/usr/bin/ssh", "x.service", Action::Connect, to);
    assert_eq!(ssh(&to("10.0.0.1:22")), Verdict::Excluded);
    assert_eq!(ssh(&to("11.0.0.1:22")), Verdict::Deliver(Severity::Medium));
    // One for files says nothing of networks; one for actions of those alone.
    let backup = of("/usr/bin/rsync", "backup.service", Action::Connect, &to("11.0.0.1:22"));
    assert_eq!(backup, Verdict::Deliver(Severity::Medium));
    assert_eq!(of("/x", "proxy.service", Action::Connect, &to("11.0.0.1:22")), Verdict::Excluded);
    let sent = of("/x", "proxy.service", Action::Send, &to("11.0.0.1:22"));
    assert_eq!(sent, Verdict::Deliver(Severity::Medium));
    let raw = Network { family: 2, protocol: Some((3, 1)), ..Network::default() };
    assert_eq!(of("/usr/bin/ssh", "x.service", Action::Socket, &raw), Verdict::Deliver(Severity::Medium));
}

#[test]
fn a_record_becomes_an_event_of_the_common_schema() {
    let mut bench = Bench::new();
    let (fate, event) = bench.step(&Header::default().socket(wire::KIND_CONNECT, b""));
    assert_eq!(fate, Fate::Delivered);
    let event = event.unwrap();
    assert_eq!(event["event"]["category"], json!(["network"]));
    assert_eq!(event["event"]["type"], json!(["connection", "start", "allowed"]));
    assert_eq!(event["source"], json!({"ip": "192.0.2.1", "port": 40000}));
    assert_eq!(event["destination"], json!({"ip": "198.51.100.7", "port": 443}));
    assert_eq!(event["network"], json!({"transport": "tcp", "type": "ipv4", "direction": "egress"}));
    assert_eq!(event["bee"]["socket"], json!({"family": 2, "type": "stream", "protocol": 6}));

    for (result, outcome, code, word) in [
        (-13, "failure", "EACCES", "denied"),
        (-1, "failure", "EPERM", "denied"),
        (-111, "failure", "ECONNREFUSED", "error"),
    ] {
        let header = Header { result, ..Header::default() };
        let (_, event) = bench.step(&header.socket(wire::KIND_CONNECT, b""));
        let event = &event.unwrap()["event"];
        assert_eq!((&event["outcome"], &event["code"]), (&json!(outcome), &json!(code)));
        assert_eq!(event["type"], json!(["connection", "start", word]));
    }
    let header = Header { flags: bee_trace::event::Flags::IN_PROGRESS.0, ..Header::default() };
    let (_, event) = bench.step(&header.socket(wire::KIND_CONNECT, b""));
    let event = event.unwrap();
    assert_eq!(event["event"]["outcome"], "unknown");
    assert_eq!(event["bee"]["flags"], json!(["process_unknown", "in_progress"]));

    let (_, event) = bench.step(&Header::default().socket(wire::KIND_SEND, b""));
    let event = event.unwrap();
    assert_eq!((&event["event"]["action"], &event["bee"]["count"]), (&json!("send"), &json!(1)));
    let (_, event) = bench.step(&Header::default().socket(wire::KIND_ACCEPT, b""));
    assert_eq!(event.unwrap()["network"]["direction"], "ingress");
}

#[test]
fn names_of_local_sockets_end_where_the_kernel_says() {
    let mut bench = Bench::new();
    let lists = "[network]\nunix = [\"/run/*\", \"@a*\"]\n";
    bench.pipeline.decide = Decide::new(&configuration(lists));
    for (path, told) in [
        (&b"/run/a.sock\0"[..], Some("/run/a.sock")),
        (b"/run/a.sock", Some("/run/a.sock")),
        (b"/run/a.sock\0junk", Some("/run/a.sock")),
        // An abstract name is all of its bytes.
        (b"\0a", Some("@a")),
        (b"\0b", None),
        (b"/srv/a.sock\0", None),
    ] {
        let (fate, event) = bench.step(&Header::default().socket(wire::KIND_CONNECT, path));
        assert_eq!(fate, if told.is_some() { Fate::Delivered } else { Fate::NotWatched }, "{path:?}");
        if let Some(told) = told {
            let event = event.unwrap();
            assert_eq!(
                (&event["destination"]["address"], &event["network"]["type"]),
                (&json!(told), &json!("unix"))
            );
        }
    }
}

#[test]
fn what_the_daemon_and_the_canary_do_is_no_event() {
    let mut bench = Bench::new();
    let own = Header { tgid: 1, tid: 1, ..Header::default() };
    assert_eq!(bench.step(&own.socket(wire::KIND_CONNECT, b"")).0, Fate::Own);
    (bench.pipeline.canary.pid, bench.pipeline.canary.port) = (77, 443);
    let canary = Header { tgid: 77, tid: 77, hook: 128, ..Header::default() };
    assert_eq!(bench.step(&canary.socket(wire::KIND_CONNECT, b"")).0, Fate::Canary);
    // It speaks to 127.0.0.1 alone: this is of wrong types.
    assert!(bench.pipeline.canary.hooks.is_empty());
    let loopback = canary.socket(wire::KIND_CONNECT, b"").with(120, &[127, 0, 0, 1]);
    bench.step(&loopback);
    assert_eq!(bench.pipeline.canary.hooks, [128]);
}
