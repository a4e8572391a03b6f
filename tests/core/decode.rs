//! `decode`: bytes in, records out, and a reason for everything that is none.

use bee_trace::decode::{self, Body, Undecodable, decode};
use bee_trace::wire;

use crate::records::{Bytes, File, HOOK_EXEC, Header, Memory, Random, walked};

/// One record of each shape, with every string filled.
fn each_shape() -> Vec<(&'static str, usize, Bytes)> {
    let header = Header::default();
    let file = File {
        inode: 12,
        name: b"../key\0",
        walk: &walked("/home/a/.ssh"),
        name_2: b"new\0",
        walk_2: &walked("/tmp"),
        ..File::default()
    };
    vec![
        ("exec", 128, header.exec(&walked("/usr/bin/cat"), b"./x.sh\0", b"cat\0a b\0", b"AWS_KEY\0")),
        ("fork", 112, header.fork()),
        ("exit", 112, header.exit(3 << 8)),
        ("rename", 160, header.file(wire::KIND_RENAME, &file)),
        ("connect", 160, header.socket(wire::KIND_CONNECT, b"/run/a.sock")),
        ("ptrace", 152, header.memory(wire::KIND_PTRACE, &Memory { request: 16, ..Memory::default() })),
        (
            "proc-mem",
            152,
            header.memory(wire::KIND_PROC_MEM, &Memory { name: b"mem\0", ..Memory::default() }),
        ),
        ("cgroup", 120, header.cgroup(5, 0, b"/system.slice/a.service\0")),
    ]
}

#[test]
fn an_exec_comes_out_as_it_went_in() {
    let header = Header { result: -13, comm: b"sixteen bytes ok", ..Header::default() };
    let image = walked("/usr/bin/cat");
    let bytes = header.exec(&image, b"./x.sh\0", b"cat\0\0a b\0", b"AWS_KEY\0TOKEN\0");
    let record = decode(&bytes).unwrap();
    let head = record.header;
    assert_eq!(
        (head.length as usize, head.version, head.kind),
        (bytes.len(), wire::WIRE_VERSION, wire::KIND_EXEC)
    );
    assert_eq!((head.time, head.start, head.cgroup, head.exec_id), (50_000_000_000, 40_000_000_000, 7, 3));
    assert_eq!((head.hook, head.generation, head.result, head.flags), (HOOK_EXEC, 1, -13, 0));
    assert_eq!((head.tgid, head.tid, head.ppid), (4000, 4001, 3000));
    assert_eq!((head.uid, head.gid, head.euid, head.login_uid, head.mnt_ns), (0, 0, 0, u32::MAX, 0));
    assert_eq!(head.comm.map(|byte| byte.to_ne_bytes()[0]), *b"sixteen bytes ok");
    let Body::Exec(exec) = record.body else { panic!("{record:?}") };
    assert_eq!((exec.inode, exec.device), (77, 8 << 20 | 1));
    assert_eq!(exec.image.0, image);
    assert_eq!(exec.script, b"./x.sh");
    assert_eq!(exec.args, b"cat\0\0a b\0");
    assert_eq!(exec.env, b"AWS_KEY\0TOKEN\0");
}

#[test]
fn processes_and_cgroups_come_out_as_they_went_in() {
    let header = Header::default();
    assert!(matches!(decode(&header.fork()).unwrap().body, Body::Fork { sibling: false }));
    assert!(matches!(decode(&header.exit(0x8b)).unwrap().body, Body::Exit(0x8b)));
    for removed in [0, 1] {
        let bytes = header.cgroup(99, removed, b"/user.slice\0");
        let Body::Cgroup { id, removed: gone, path } = decode(&bytes).unwrap().body else { panic!() };
        assert_eq!((id, gone, path), (99, removed != 0, &b"/user.slice"[..]));
    }
}

#[test]
fn every_kind_of_file_record_has_its_four_strings() {
    let (walk, walk_2) = (walked("/home/a"), walked("/srv/b/c"));
    let file = File {
        inode: 1 << 40,
        value: u64::MAX,
        device: 254 << 20 | 3,
        node: 1 << 20 | 1,
        mode: 0o100_600,
        owner: (10, 20),
        access: 3,
        name: b"x\0",
        walk: &walk,
        name_2: b"yy\0",
        walk_2: &walk_2,
    };
    for kind in wire::KIND_OPEN..=wire::KIND_IDENTITY {
        let bytes = Header::default().file(kind, &file);
        let record = decode(&bytes).unwrap();
        assert_eq!(record.header.kind, kind);
        let Body::File(out) = record.body else { panic!("{kind}: {record:?}") };
        let fixed = out.fixed;
        assert_eq!((fixed.inode, fixed.value, fixed.inode_generation), (1 << 40, u64::MAX, 9));
        assert_eq!((fixed.device, fixed.node, fixed.mode), (254 << 20 | 3, 1 << 20 | 1, 0o100_600));
        assert_eq!((fixed.owner_uid, fixed.owner_gid, fixed.access, fixed.mask), (10, 20, 3, 1));
        assert_eq!(
            (out.name, out.walk.0, out.name_2, out.walk_2.0),
            (&b"x"[..], &*walk, &b"yy"[..], &*walk_2)
        );
    }
}

#[test]
fn a_name_may_lack_its_nul_and_loses_only_one() {
    let name =
        |name: &'static [u8]| Header::default().file(wire::KIND_OPEN, &File { name, ..File::default() });
    for (given, wanted) in
        [(&b""[..], &b""[..]), (b"\0", b""), (b"a", b"a"), (b"a\0", b"a"), (b"a\0\0", b"a\0")]
    {
        let bytes = name(given);
        let Body::File(file) = decode(&bytes).unwrap().body else { panic!() };
        assert_eq!(file.name, wanted, "{given:?}");
    }
}

#[test]
fn a_record_cut_anywhere_is_refused() {
    for (what, fixed, bytes) in each_shape() {
        for length in 0..bytes.len() {
            // As if the kernel side had said so itself: only the rest gives it away.
            let wanted = if length < fixed { Undecodable::Short } else { Undecodable::Length };
            assert_eq!(decode(&bytes.cut(length)).unwrap_err(), wanted, "{what} cut to {length}");
            // And with the old length still in the header.
            let honest = if length < 104 { Undecodable::Short } else { Undecodable::Length };
            assert_eq!(decode(&Bytes::new(&bytes[..length])).unwrap_err(), honest, "{what} at {length}");
        }
        assert!(decode(&bytes).is_ok(), "{what}");
    }
}

#[test]
fn a_byte_too_many_is_refused() {
    for (what, _, bytes) in each_shape() {
        let mut longer = bytes.to_vec();
        longer.push(0);
        let stated = u32::try_from(longer.len()).unwrap().to_ne_bytes();
        let longer = Bytes::new(&longer);
        assert_eq!(decode(&longer).unwrap_err(), Undecodable::Length, "{what}");
        assert_eq!(decode(&longer.with(0, &stated)).unwrap_err(), Undecodable::Length, "{what}");
    }
}

#[test]
fn lengths_that_do_not_add_up_are_refused() {
    let lengths: &[(&str, &[usize])] = &[
        ("exec", &[116, 118, 120, 122]),
        ("rename", &[148, 150, 152, 154]),
        ("cgroup", &[116]),
        ("proc-mem", &[134]),
    ];
    for (what, _, bytes) in each_shape() {
        let Some((_, at)) = lengths.iter().find(|(name, _)| *name == what) else { continue };
        for at in *at {
            let old = u16::from_ne_bytes(bytes[*at..at + 2].try_into().unwrap());
            for new in [0, old - 1, old + 1, 0x7fff, 0xffff] {
                let bytes = bytes.with(*at, &new.to_ne_bytes());
                assert_eq!(decode(&bytes).unwrap_err(), Undecodable::Length, "{what}: {old} → {new} at {at}");
            }
        }
    }
}

#[test]
fn other_versions_and_kinds_are_named() {
    let bytes = Header::default().fork();
    for version in [0, wire::WIRE_VERSION + 1, u16::MAX] {
        let bytes = bytes.with(4, &version.to_ne_bytes());
        assert_eq!(decode(&bytes).unwrap_err(), Undecodable::Version(version));
    }
    // The version comes first: of another format nothing else can be judged, not even the length.
    let bytes_2 = bytes.with(4, &9u16.to_ne_bytes()).with(0, &[0xff; 4]);
    assert_eq!(decode(&bytes_2).unwrap_err(), Undecodable::Version(9));
    for kind in [0, 21, 63, 255, u16::MAX] {
        let bytes = bytes.with(6, &kind.to_ne_bytes());
        assert_eq!(decode(&bytes).unwrap_err(), Undecodable::Kind(kind));
    }
}

#[test]
fn records_off_their_alignment_are_refused() {
    let record = Header::default().exec(&walked("/bin/sh"), b"", b"sh\0", b"");
    let mut shifted = vec![0; 8];
    shifted.extend_from_slice(&record);
    let shifted = Bytes::new(&shifted);
    for by in 1..8 {
        let moved: Vec<u8> = [&vec![0; by][..], &record[..]].concat();
        let moved = Bytes::new(&moved);
        assert_eq!(decode(&moved[by..]).unwrap_err(), Undecodable::Alignment, "{by}");
        assert_eq!(decode::time(&moved[by..]), u64::MAX, "{by}");
    }
    assert!(decode(&shifted[8..]).is_ok());
}

#[test]
fn the_time_is_read_without_judging_the_rest() {
    let bytes = Header { time: 17, ..Header::default() }.fork();
    assert_eq!(decode::time(&bytes), 17);
    assert_eq!(decode::time(&bytes.with(4, &[0xff; 4])), 17, "of another version too");
    assert_eq!(decode::time(&bytes[..96]), u64::MAX);
    assert_eq!(decode::time(&[]), u64::MAX);
}

#[test]
fn each_reason_has_its_own_words() {
    let reasons = [
        Undecodable::Short,
        Undecodable::Version(7),
        Undecodable::Kind(99),
        Undecodable::Length,
        Undecodable::Alignment,
    ];
    let words: std::collections::BTreeSet<String> = reasons.iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), reasons.len(), "{words:?}");
    assert!(Undecodable::Version(7).to_string().contains("format 7"));
    assert!(Undecodable::Kind(99).to_string().contains("kind 99"));
}

#[test]
fn no_single_changed_byte_panics_and_what_is_read_lies_inside() {
    let mut random = Random(0x9e37_79b9);
    for (_, _, bytes) in each_shape() {
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, random.next().to_ne_bytes()[0]] {
                let bytes = bytes.with(at, &[value]);
                let Ok(record) = decode(&bytes) else { continue };
                let inside = bytes.as_ptr_range();
                let strings: Vec<&[u8]> = match record.body {
                    Body::Exec(exec) => vec![exec.image.0, exec.script, exec.args, exec.env],
                    Body::File(file) => vec![file.name, file.walk.0, file.name_2, file.walk_2.0],
                    Body::Cgroup { path, .. } => vec![path],
                    Body::Socket(socket) => vec![socket.path],
                    Body::Memory(memory) => vec![memory.name],
                    Body::Kernel(kernel) => vec![kernel.name],
                    Body::Fork { .. } | Body::Exit(_) => vec![],
                };
                for string in strings {
                    let range = string.as_ptr_range();
                    assert!(inside.start <= range.start && range.end <= inside.end);
                }
            }
        }
    }
}

#[test]
fn a_walk_becomes_a_path() {
    let write = |walk: &[u8]| {
        let mut out = b"kept".to_vec();
        decode::Walk(walk).write(&mut out);
        String::from_utf8(out.split_off(4)).unwrap()
    };
    assert_eq!(write(b""), "");
    assert_eq!(write(b"etc\0"), "/etc");
    assert_eq!(write(b"etc"), "/etc");
    assert_eq!(write(&walked("/a/b/c")), "/a/b/c");
    assert_eq!(write(b"\0"), "/");
    let mut random = Random(3);
    for _ in 0..1000 {
        let names: Vec<String> =
            (0..1 + random.below(9)).map(|_| "n".repeat(1 + random.below(255))).collect();
        let path = format!("/{}", names.join("/"));
        assert_eq!(write(&walked(&path)), path);
    }
}
