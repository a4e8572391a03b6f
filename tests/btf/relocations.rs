//! The relocations of an object, as `build.rs` reads them, on sections made by hand.

use bee_trace::btf::{Btf, Error, Need, Shape, ext};

use crate::make::Made;

/// `.BTF.ext` with one section of records: type, access string, kind.
fn section(records: &[(u32, u32, u32)]) -> Vec<u8> {
    let length = 4 + 8 + records.len() as u32 * 16;
    let mut words = vec![32, 0, 0, 0, 0, 0, length, 16, 0, records.len() as u32];
    for (root, access, kind) in records {
        words.extend([0, *root, *access, *kind]);
    }
    let mut all = 0xeb9f_u16.to_ne_bytes().to_vec();
    all.extend([1, 0]);
    all.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    all
}

struct Sample {
    btf: Made,
    task: u32,
    state: u32,
    pointer: u32,
}

fn sample() -> Sample {
    let mut btf = Made::new();
    let four = btf.int("int", 4, true);
    let inner = btf.composite(true, "", 8, &[("pid___x", four, 0)]);
    let three = btf.array(inner, four, 3);
    let state = btf.enumeration("state___v2", &[("ON", 1), ("OFF___v2", 0)]);
    let pointer = btf.pointer(four);
    let members = [("", inner, 0), ("grid", three, 64), ("state", state, 256), ("cred", pointer, 320)];
    let task = btf.structure("task___old", 48, &members);
    Sample { btf, task, state, pointer }
}

fn read(btf: &Made, ext: &[u8]) -> Result<Vec<Need>, Error> {
    let bytes = btf.bytes();
    ext::needs(&Btf::parse(&bytes).unwrap(), ext)
}

#[test]
fn records_become_needs_by_name_each_once() {
    let Sample { mut btf, task, state, .. } = sample();
    let [inner, grid, kind, cred, root, off] =
        ["0:0:0", "0:1:2:0", "0:2", "2:3", "0", "1"].map(|access| btf.name(access));
    let records = [
        (task, inner, 0),
        (task, inner, 0),
        (task, grid, 2),
        (task, kind, 1),
        (task, cred, 0),
        (task, root, 8),
        (task, root, 6),
        (state, off, 11),
    ];
    let mut all: Vec<String> = read(&btf, &section(&records)).unwrap().iter().map(Need::to_string).collect();
    all.sort();
    assert_eq!(
        all,
        [
            "state::OFF enumval_value",
            "task type_exists",
            "task.grid[2].pid___x field_exists",
            "task.pid___x byte_off",
            "task.state byte_sz",
            "task[2].cred byte_off",
        ]
    );
    let needs = read(&btf, &section(&[(task, kind, 1)])).unwrap();
    let bee_trace::btf::Step::Member { arrays, shape, .. } = &needs[0].path[0] else { panic!("{needs:?}") };
    assert_eq!((*arrays, shape), (0, &Shape::Enum("state".into())));
}

#[test]
fn what_cannot_be_kept_is_refused_by_name() {
    let Sample { mut btf, task, pointer, .. } = sample();
    let [root, bad, far] = ["0", "0:x", "0:9"].map(|access| btf.name(access));
    for (record, word) in [
        ((task, root, 7), "numbers of the kernel's types"),
        ((task, root, 12), "not known"),
        ((pointer, root, 8), "no name"),
        ((task, bad, 0), "its access"),
        ((task, far, 0), "its member"),
        ((task, far, 11), "its value"),
    ] {
        let why = read(&btf, &section(&[record])).unwrap_err().to_string();
        let word = word.replace("numbers", "a number");
        assert!(why.contains(&word), "{why}");
    }
    assert!(matches!(read(&btf, &section(&[(77, root, 0)])), Err(Error::Type(77, _))));
}

#[test]
fn a_section_that_is_cut_is_an_error_and_one_without_relocations_asks_nothing() {
    let Sample { mut btf, task, .. } = sample();
    let access = btf.name("0:0:0");
    let whole = section(&[(task, access, 0)]);
    for length in 0..whole.len() {
        assert!(read(&btf, &whole[..length]).is_err(), "{length}");
    }
    let mut none = whole.clone();
    none[28..32].fill(0);
    assert_eq!(read(&btf, &none), Ok(vec![]));
    let mut short = whole;
    short[4] = 24;
    assert_eq!(read(&btf, &short), Ok(vec![]), "a header of before CO-RE");
}
