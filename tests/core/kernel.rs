//! Records of the kernel sensor, all the way to JSON: whose an eBPF object is.

use bee_trace::pipeline::OwnObjects;
use bee_trace::wire;
use serde_json::Value;

use crate::pipeline::Bench;
use crate::records::Header;

const LOAD: u32 = 5;
const PROGRAM: u32 = 13;
const MAP: u32 = 14;
const LINK: u32 = 30;

fn is_own(event: &Value) -> bool {
    event["bee"]["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "own_object"))
}

#[test]
fn an_object_of_the_daemon_is_told_by_its_kind_and_number() {
    let mut bench = Bench::new();
    bench.pipeline.own_objects =
        OwnObjects { programs: [11].into(), maps: [12, 14].into(), links: [13].into() };
    let actor = Header::default();
    for (command, own) in [(PROGRAM, &[11][..]), (MAP, &[12, 14]), (LINK, &[13]), (LOAD, &[])] {
        for id in 10..16 {
            let event = bench.event(&actor.kernel(wire::KIND_BPF, command, id, b""));
            let (severity, own) = match command {
                LOAD => (21, false),
                _ if own.contains(&id) => (99, true),
                _ => (47, false),
            };
            assert_eq!(event["event"]["severity"], severity, "{event}");
            assert_eq!(is_own(&event), own, "{event}");
        }
    }
    let refused = Header { result: -1, ..actor };
    let event = bench.event(&refused.kernel(wire::KIND_BPF, MAP, 12, b""));
    assert_eq!((event["event"]["severity"].as_u64(), is_own(&event)), (Some(73), true), "{event}");
    let event = bench.event(&refused.kernel(wire::KIND_BPF, MAP, 13, b""));
    assert_eq!((event["event"]["severity"].as_u64(), is_own(&event)), (Some(47), false), "{event}");
    // Numbers of other acts are something else.
    let event = bench.event(&actor.kernel(wire::KIND_IO_URING, MAP, 12, b""));
    assert!(!is_own(&event), "{event}");
}
