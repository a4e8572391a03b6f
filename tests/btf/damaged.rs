//! Bytes that are no BTF, or a broken one: an error or an answer, in no time, and
//! no panic.

use std::time::{Duration, Instant};

use bee_trace::btf::{Btf, Error, Fact, Kind, Need, Offset, Shape, Step, minimise, offsets};

use crate::make::{Made, in_arrays, int, member, need};

/// A little of everything.
fn sample() -> (Vec<u8>, Vec<Need>) {
    let mut btf = Made::new();
    let four = btf.int("int", 4, true);
    let inner = btf.composite(true, "", 8, &[("alone", four, 0)]);
    let three = btf.array(four, four, 3);
    let state = btf.enumeration("state", &[("ON", 1), ("OFF", 0)]);
    btf.enumeration64("wide", &[("ALL", 1)]);
    btf.structure(
        "task",
        40,
        &[("pid", four, 0), ("", inner, 64), ("rest", three, 128), ("state", state, 256)],
    );
    let needs = vec![
        int("task", "pid"),
        int("task", "alone"),
        need(
            Kind::Struct,
            "task",
            vec![in_arrays("rest", 1, Shape::Int), Step::Element(2)],
            Fact::ByteOffset,
        ),
        need(Kind::Struct, "task", vec![member("state", Shape::Enum("state".into()))], Fact::Signed),
        need(Kind::Enum, "wide", vec![Step::Value("ALL".into())], Fact::Value),
    ];
    (btf.bytes(), needs)
}

#[test]
fn every_cut_is_an_error() {
    let (whole, needs) = sample();
    offsets(&whole, &needs).unwrap();
    for length in 0..whole.len() {
        assert!(matches!(minimise(&whole[..length], &needs), Err(Error::Header(_))), "{length}");
    }
}

#[test]
fn every_changed_byte_gives_an_error_or_an_answer() {
    let (whole, needs) = sample();
    let (mut answers, mut errors) = (0, 0);
    for at in 0..whole.len() {
        for byte in 0..=255 {
            let mut changed = whole.clone();
            changed[at] = byte;
            match (offsets(&changed, &needs), minimise(&changed, &needs)) {
                (Ok(there), Ok(small)) => {
                    // A type that is asked for may stand behind one that is not looked at.
                    assert_eq!(offsets(&small, &needs).unwrap(), there, "byte {at} is {byte}");
                    answers += 1;
                }
                (there, small) => {
                    let why = there.err().into_iter().chain(small.err()).next().unwrap();
                    assert!(why.to_string().len() > 20);
                    errors += 1;
                }
            }
        }
    }
    assert!(answers > 1000 && errors > 1000, "{answers} answers, {errors} errors");
}

#[test]
fn headers_that_are_wrong_are_told_apart() {
    let (whole, needs) = sample();
    let why = |at: usize, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        minimise(&changed, &needs).unwrap_err().to_string()
    };
    assert!(why(0, b"\x7fELF").contains("magic"));
    assert!(why(0, &0xeb9f_u16.swap_bytes().to_ne_bytes()).contains("byte order"));
    assert!(why(2, &[2]).contains("version"));
    assert!(why(4, &8u32.to_ne_bytes()).contains("header is too short"));
    assert!(why(12, &u32::MAX.to_ne_bytes()).contains("types end"));
    assert!(why(20, &u32::MAX.to_ne_bytes()).contains("names end"));
    assert!(why(whole.len() - 1, b"x").contains("NUL"));
    // The kind of the first type, and a bit of its header that has no meaning.
    assert!(why(24 + 7, &[31]).contains("type 1"));
    assert!(why(24 + 6, &[1]).contains("no meaning"));
}

#[test]
fn types_that_stand_for_each_other_end() {
    let mut ring = Made::new();
    ring.typedef("a", 2);
    ring.typedef("b", 1);
    ring.structure("task", 8, &[("pid", 1, 0)]);
    let needs = [int("task", "pid")];
    assert!(matches!(minimise(&ring.bytes(), &needs), Err(Error::Type(..))));
    assert!(matches!(offsets(&ring.bytes(), &needs), Err(Error::Type(..))));
    let mut arrays = Made::new();
    arrays.array(1, 1, 1);
    arrays.structure("task", 8, &[("pid", 1, 0)]);
    let path = vec![in_arrays("pid", 100, Shape::Int), Step::Element(0)];
    let needs = [need(Kind::Struct, "task", path, Fact::ByteOffset)];
    assert_eq!(minimise(&arrays.bytes(), &needs), Err(Error::TooComplex));
    let (_, offset) = offsets(&arrays.bytes(), &needs).unwrap().remove(0);
    assert_eq!(offset, Offset::Absent);
}

#[test]
fn types_within_types_without_end_are_given_up() {
    let mut btf = Made::new();
    // Each level holds the next one many times, and the last the first: 16^n ways.
    let next = |btf: &Made| btf.count() + 2;
    btf.int("int", 4, true);
    for _ in 0..40 {
        let inside = next(&btf);
        btf.structure("", 8, &[("", inside, 0); 16]);
    }
    btf.structure("", 8, &[("", 2, 0); 16]);
    btf.structure("task", 8, &[("", 2, 0)]);
    let clock = Instant::now();
    let needs = [int("task", "pid")];
    assert_eq!(minimise(&btf.bytes(), &needs), Err(Error::TooComplex));
    assert_eq!(offsets(&btf.bytes(), &needs), Err(Error::TooComplex));
    assert!(clock.elapsed() < Duration::from_secs(20));
}

#[test]
fn numbers_of_types_and_names_that_are_not_there_are_no_harm() {
    let mut btf = Made::new();
    btf.structure("task", 8, &[("pid", 77, 0)]);
    let source = btf.bytes();
    assert!(matches!(minimise(&source, &[int("task", "pid")]), Err(Error::Type(77, _))));
    let read = Btf::parse(&source).unwrap();
    assert!(read.get(0).is_none() && read.get(2).is_none() && read.get(u32::MAX).is_none());
    assert_eq!(read.name(u32::MAX), b"");
    assert_eq!(read.skip(0), Ok(0));
    assert!(read.size(0).is_err());
}

/// Found by fuzzing: what stands in place of a pointer's size is a type's number, which changes.
#[test]
fn a_bit_field_of_a_pointer_is_refused() {
    let mut btf = Made::new();
    let long = btf.int("long", 8, false);
    let to = btf.pointer(long);
    btf.bitfields("task", 8, &[("signal", to, 33 << 24)]);
    let path = vec![in_arrays("signal", 0, Shape::Pointer)];
    let needs = [need(Kind::Struct, "task", path, Fact::ByteOffset)];
    assert!(matches!(offsets(&btf.bytes(), &needs), Err(Error::Type(2, _))));
}
