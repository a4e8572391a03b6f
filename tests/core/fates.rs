//! The sum that must hold for any bytes: what came in is what was delivered plus
//! what was not, with a cause for each.

use bee_trace::pipeline::{FATES, Fate};
use bee_trace::wire;

use crate::pipeline::Bench;
use crate::records::{Bytes, File, Header, Random, walked};

const PATHS: [&str; 6] =
    ["/etc/shadow", "/a/b.key", "/home/public.key", "/etc/sudoers", "/usr/lib/x.so", "/"];

/// A record as the kernel side could write it, of a small world, so that
/// processes, identities and cgroups meet again.
fn record(random: &mut Random) -> Bytes {
    let header = Header {
        tgid: u32::try_from(random.below(9)).unwrap(),
        ppid: u32::try_from(random.below(9)).unwrap(),
        start: 10_000_000 * random.below(3) as u64,
        exec_id: random.below(3) as u64,
        cgroup: random.below(4) as u64,
        flags: random.next() & random.next(),
        hook: u16::try_from(random.below(13)).unwrap(),
        result: *random.pick(&[0, 0, 0, -13, -1]),
        mnt_ns: *random.pick(&[0, 0, 1]),
        ..Header::default()
    };
    let walks = [(); 2].map(|()| walked(random.pick::<&str>(&PATHS)));
    let file = File {
        inode: random.below(5) as u64,
        device: 8 << 20,
        node: *random.pick(&[0, 0, 0, 1 << 20 | 1]),
        value: random.below(8) as u64,
        mode: 0o100_600,
        owner: (3, u32::MAX),
        access: u8::try_from(random.below(4)).unwrap(),
        name: random.pick::<&[u8]>(&[b"", b"shadow\0", b"../x.key\0", b"/etc/shadow\0", b"\xff\xfe\0"]),
        walk: &walks[0],
        name_2: random.pick::<&[u8]>(&[b"", b"y.key\0", b"a/../b\0"]),
        walk_2: &walks[1],
    };
    match u16::try_from(1 + random.below(wire::KIND_CGROUP.into())).unwrap() {
        wire::KIND_EXEC => header.exec(&walks[0], b"./s\0", b"a\0b\0", b"GH_TOKEN\0X\0"),
        wire::KIND_FORK => header.fork(),
        wire::KIND_EXIT => header.exit(u32::try_from(random.below(1 << 16)).unwrap()),
        wire::KIND_CGROUP => header.cgroup(random.below(4) as u64, 0, b"/system.slice/backup.service\0"),
        kind => header.file(kind, &file),
    }
}

/// Bytes with something wrong with them, or not.
fn hostile(random: &mut Random) -> Bytes {
    let mut bytes = record(random).to_vec();
    match random.below(4) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            for _ in 0..1 + random.below(6) {
                let at = random.below(bytes.len());
                bytes[at] = random.next().to_ne_bytes()[0];
            }
        }
        2 => {
            // A right header in front of garbage.
            for byte in &mut bytes[8..] {
                *byte = random.next().to_ne_bytes()[0];
            }
        }
        _ => {
            bytes = (0..random.below(400)).map(|_| random.next().to_ne_bytes()[0]).collect();
        }
    }
    if bytes.len() < 8 {
        bytes.resize(8, 0);
    }
    Bytes::new(&bytes)
}

#[test]
fn every_record_has_one_fate_and_the_sums_hold() {
    let mut bench = Bench::new();
    bench.pipeline.canary.pid = 8;
    let mut random = Random(0x5eed_1e55);
    let (mut fates, mut received) = ([0u64; FATES.len()], 0u64);
    for round in 0..40_000 {
        let bytes = if round % 3 == 0 { hostile(&mut random) } else { record(&mut random) };
        let (fate, _) = bench.step(&bytes);
        fates[fate as usize] += 1;
        received += 1;
        bench.pipeline.errands.clear();
    }
    let reading = bench.pipeline.stages.read();
    assert_eq!(reading.iter().flatten().sum::<u64>(), received);
    for (fate, name, ..) in FATES {
        let counted: u64 = reading.iter().map(|row| row[*fate as usize]).sum();
        assert_eq!(counted, fates[*fate as usize], "{name}");
        assert!(counted > 0, "no record was {name}: the test does not reach it");
    }
    let delivered = bench.events[0].borrow().len() as u64;
    assert_eq!(delivered, fates[Fate::Delivered as usize]);
    let others: u64 = fates.iter().sum::<u64>() - delivered;
    assert_eq!(delivered + others, received);
    // Only what was no record is without a kind.
    assert_eq!(reading[0].iter().sum::<u64>(), fates[Fate::Undecodable as usize]);
}

#[test]
fn the_table_of_fates_is_in_the_order_that_is_stored() {
    for (index, (fate, name, ..)) in FATES.iter().enumerate() {
        assert_eq!(*fate as usize, index, "{name}");
    }
    let lost: Vec<&str> = FATES.iter().filter(|row| row.2).map(|row| row.1).collect();
    assert_eq!(lost, ["undecodable"], "all others are told, or are no events");
}
