//! `enrich` with the /proc of this machine: the first scan becomes tables.

use std::path::Path;
use std::process::{Command, Stdio};

use bee_trace::decode::{Body, decode};
use bee_trace::enrich::{Enrich, seen};
use bee_trace::path;
use bee_trace::wire;

use crate::pipeline::Bench;
use crate::records::{Header, walked};

#[test]
fn a_process_that_was_there_before_is_known_from_its_first_record_on() {
    let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    let exe = std::fs::read_link(format!("/proc/{pid}/exe"));
    let mut enrich = Enrich::new(Path::new("/proc"), 100_000).unwrap();
    // Between fork and exec it is still this test; wait for the new image.
    while std::fs::read(format!("/proc/{pid}/cmdline")).unwrap() != b"sleep\x00600\x00" {
        std::thread::yield_now();
    }
    enrich.prime(Path::new("/proc"), None).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks: u64 = stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().parse().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let header =
        Header { tgid: pid, ppid: std::process::id(), start: ticks * 10_000_000, ..Header::default() };
    let record = header.fork();
    let record = decode(&record).unwrap();
    assert!(matches!(record.body, Body::Fork { sibling: false }));
    let actor = enrich.actor(record.header);
    assert_eq!(actor.flags.0, 0);
    let process = enrich.process(record.header, &actor);
    let executable = String::from_utf8_lossy(process.executable.unwrap()).into_owned();
    assert!(executable.ends_with("/sleep") || exe.is_ok_and(|exe| exe.ends_with(executable)));
    assert_eq!(process.args.iter().collect::<Vec<_>>(), [&b"sleep"[..], b"600"]);
    assert!(!process.parent.name.is_empty(), "this test");
    assert_eq!(process.login_uid, None);
}

#[test]
fn a_machine_without_proc_is_said_so() {
    let why = Enrich::new(Path::new("/nonexistent"), 10).err().unwrap().to_string();
    assert!(why.contains("boot id"), "{why}");
    let mut enrich = Enrich::new(Path::new("/proc"), 10).unwrap();
    assert!(enrich.prime(Path::new("/nonexistent"), None).is_err());
    // A cgroup tree that is not there costs only the names of units.
    enrich.prime(Path::new("/proc"), Some(Path::new("/nonexistent"))).unwrap();
}

#[test]
fn the_mount_namespace_is_compared_where_there_is_one() {
    use std::os::unix::fs::MetadataExt as _;
    let enrich = Enrich::new(Path::new("/proc"), 10).unwrap();
    let own = u32::try_from(std::fs::metadata("/proc/self/ns/mnt").unwrap().ino()).unwrap();
    for (mnt_ns, foreign) in [(0, false), (own, false), (own + 1, true)] {
        let record = Header { mnt_ns, ..Header::default() }.fork();
        assert_eq!(enrich.is_foreign(decode(&record).unwrap().header), foreign, "{mnt_ns}");
    }
}

#[test]
fn a_start_is_counted_in_ticks() {
    let record = Header { start: 40_019_999_999, comm: b"all sixteen used", ..Header::default() }.fork();
    let who = seen(decode(&record).unwrap().header);
    assert_eq!((who.tgid, who.start_ticks, who.exec_id), (4000, Some(4001), Some(3)));
    assert_eq!(&who.comm, b"all sixteen used");
}

#[test]
fn paths_of_any_text_stay_absolute_and_normal() {
    let mut random = crate::records::Random(5);
    let parts: [&[u8]; 8] = [b"", b".", b"..", b"a", b"b\xff", b"...", b"/", b"//"];
    for _ in 0..20_000 {
        let base = walked(&"/x/y/z"[..2 * random.below(4)]);
        let name: Vec<u8> =
            (0..random.below(7)).flat_map(|_| [*random.pick(&parts), b"/"].concat()).collect();
        let mut out = Vec::new();
        path::join(bee_trace::decode::Walk(&base), &name, &mut out);
        let mut link = Vec::new();
        path::resolve_link(b"/d/link", &name, &mut link);
        for out in [&out, &link] {
            assert!(out.starts_with(b"/"), "{name:?}");
            let bad = |part: &[u8]| part.is_empty() || part == b"." || part == b"..";
            assert!(**out == *b"/" || !out[1..].split(|byte| *byte == b'/').any(bad), "{name:?} → {out:?}");
        }
    }
}

#[test]
fn identities_and_devices_are_shown_as_documented() {
    use bee_trace::event::{Device, EntityId};
    assert_eq!(EntityId { boot: 0xbee, pid: 7, start_ticks: 99 }.to_string(), "00000bee-7-99");
    assert_eq!(Device { major: 8, minor: 1 }.to_string(), "8:1");
}

/// Found by fuzzing: a user nobody knows, at the end of all times.
#[test]
fn a_record_may_say_any_time() {
    let mut bench = Bench::new();
    for time in [u64::MAX, u64::MAX - 1, 0, 1 << 63] {
        let of = Header { time, start: time, uid: 3_999_999_999, ..Header::default() };
        let event = bench.event(&of.process(wire::KIND_EXIT, 0));
        assert_eq!(event["event"]["action"], "exit", "{event}");
    }
}
