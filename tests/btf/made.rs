//! Each rule of CO-RE on types made for it.

use bee_trace::btf::Offset::{Absent, Ambiguous};
use bee_trace::btf::{Btf, Fact, Kind, Need, Shape, Step, minimise, offsets};

use crate::make::{Made, in_arrays, int, member, need};
use crate::{at, found, is};

#[test]
fn a_field_is_found_by_name_through_typedefs_and_members_without_a_name() {
    let mut btf = Made::new();
    let four = btf.int("int", 4, true);
    let constant = btf.constant(four);
    let number = btf.typedef("number_t", constant);
    let inner = btf.composite(true, "", 8, &[("alone", four, 0), ("both", number, 32)]);
    let value = btf.structure("value", 4, &[("val", four, 0)]);
    let pointer = btf.pointer(value);
    btf.structure(
        "task",
        40,
        &[("pid", four, 0), ("", inner, 64), ("uid", value, 128), ("cred", pointer, 192)],
    );
    btf.structure("other", 4, &[("pid", four, 0)]);
    let uid = vec![member("uid", Shape::Composite), member("val", Shape::Int)];
    let needs = [
        int("task", "pid"),
        int("task", "both"),
        need(Kind::Struct, "task", uid, Fact::ByteOffset),
        need(Kind::Struct, "task", vec![member("cred", Shape::Pointer)], Fact::ByteOffset),
        need(Kind::Struct, "task", vec![member("cred", Shape::Pointer)], Fact::ByteSize),
        need(Kind::Struct, "task", vec![member("pid", Shape::Int)], Fact::Signed),
        need(Kind::Struct, "task", vec![], Fact::TypeSize),
    ];
    assert_eq!(
        found(&btf.bytes(), &needs),
        [at(0, 4), at(12, 4), at(16, 4), at(24, 8), is(8), is(1), is(40)]
    );
    // What nobody asked for is gone: `alone`, `other`, the inside of `cred`.
    let small = minimise(&btf.bytes(), &needs).unwrap();
    let small = Btf::parse(&small).unwrap();
    let mut names = Vec::new();
    for id in 1..=small.last() {
        let one = small.get(id).unwrap();
        names.push(small.name(one.name()));
        names.extend(one.members().map(|member| small.name(member.name)));
    }
    for gone in ["alone", "other", "number_t"] {
        assert!(!names.contains(&gone.as_bytes()), "{gone}");
    }
    assert!(names.contains(&&b"both"[..]));
    let pointer = (1..=small.last()).map(|id| small.get(id).unwrap()).find(|one| one.kind == Kind::Pointer);
    assert_eq!(pointer.unwrap().target(), 0);
}

#[test]
fn what_is_not_there_is_absent_or_0() {
    let mut btf = Made::new();
    let four = btf.int("int", 4, true);
    btf.structure("task", 4, &[("pid", four, 0)]);
    let exists = |root, field| need(Kind::Struct, root, vec![member(field, Shape::Int)], Fact::Exists);
    let needs = [
        int("task", "gone"),
        int("gone", "pid"),
        exists("task", "pid"),
        exists("task", "gone"),
        exists("gone", "pid"),
        need(Kind::Struct, "task", vec![], Fact::TypeExists),
        need(Kind::Union, "task", vec![], Fact::TypeExists),
        need(Kind::Struct, "gone", vec![], Fact::TypeSize),
        need(Kind::Enum, "gone", vec![Step::Value("A".into())], Fact::Value),
        need(Kind::Enum, "gone", vec![Step::Value("A".into())], Fact::ValueExists),
    ];
    let want = [Absent, Absent, is(1), is(0), is(0), is(1), is(0), is(0), Absent, is(0)];
    assert_eq!(found(&btf.bytes(), &needs), want);
}

#[test]
fn a_field_of_another_shape_is_absent() {
    let mut btf = Made::new();
    let four = btf.int("int", 4, true);
    let old_bits = btf.add("old", 1, false, 0, 4, &[8 << 16 | 8]);
    let pointer = btf.pointer(0);
    let real = btf.add("double", 16, false, 0, 8, &[]);
    let state = btf.enumeration("state", &[("ON", 1)]);
    let nameless = btf.enumeration("", &[("OFF", 0)]);
    let forward = btf.add("page", 7, false, 0, 0, &[]);
    let inside = btf.structure("inside", 4, &[("a", four, 0)]);
    let three = btf.array(four, four, 3);
    let pointers = btf.array(pointer, four, 3);
    let types = [four, old_bits, pointer, real, state, nameless, forward, inside, three, pointers];
    let names = ["int", "old", "ptr", "real", "enum", "anon", "fwd", "inside", "three", "ptrs"];
    let members: Vec<_> =
        (0..).zip(names.iter().zip(types)).map(|(at, (name, id))| (*name, id, at * 128)).collect();
    btf.structure("all", 160, &members);
    let source = btf.bytes();
    let of = |name: &'static str| Shape::Enum(name.into());
    let shapes: [(Shape, u32, &[&str]); 9] = [
        (Shape::Int, 0, &["int"]),
        (Shape::Pointer, 0, &["ptr"]),
        (Shape::Float, 0, &["real"]),
        (of("state"), 0, &["enum", "anon"]),
        (of("other"), 0, &["anon"]),
        (of(""), 0, &["enum", "anon"]),
        (Shape::Forward("page".into()), 0, &["fwd"]),
        (Shape::Composite, 0, &["inside"]),
        (Shape::Int, 1, &["three"]),
    ];
    for (shape, arrays, fitting) in shapes {
        for name in names {
            let step = in_arrays(name, arrays, shape.clone());
            let got = found(&source, &[need(Kind::Struct, "all", vec![step], Fact::Exists)]);
            assert_eq!(got, [is(fitting.contains(&name).into())], "{shape:?} {arrays} {name}");
        }
    }
}

#[test]
fn flavours_are_one_type_and_must_agree() {
    let mut btf = Made::new();
    let four = btf.int("int", 4, true);
    btf.structure("task___old", 8, &[("same", four, 0), ("moved", four, 32), ("only_here", four, 0)]);
    btf.structure("task", 8, &[("same", four, 0), ("moved", four, 0)]);
    btf.structure("task_", 4, &[("same", four, 0)]);
    btf.structure("task____", 4, &[("moved", four, 0)]);
    let needs =
        [int("task", "same"), int("task", "moved"), int("task", "only_here"), int("task____", "moved")];
    assert_eq!(found(&btf.bytes(), &needs), [at(0, 4), Ambiguous, at(0, 4), at(0, 4)]);
    // Whether a field is there must not hide that it lies elsewhere.
    let exists = need(Kind::Struct, "task", vec![member("moved", Shape::Int)], Fact::Exists);
    assert_eq!(found(&btf.bytes(), &[exists]), [Ambiguous]);
}

#[test]
fn arrays_have_as_many_elements_as_they_say_but_the_last_member() {
    let mut btf = Made::new();
    let four = btf.int("int", 4, true);
    let pair = btf.structure("pair", 8, &[("a", four, 0), ("b", four, 32)]);
    let three = btf.array(pair, four, 3);
    let two_three = btf.array(three, four, 2);
    let none = btf.array(four, four, 0);
    btf.structure(
        "all",
        64,
        &[("middle", none, 0), ("grid", two_three, 0), ("end", four, 384), ("rest", none, 416)],
    );
    btf.structure("early", 8, &[("rest", none, 0), ("end", four, 0)]);
    let grid = |first, second| {
        let steps = [in_arrays("grid", 2, Shape::Composite), Step::Element(first), Step::Element(second)];
        let path = steps.into_iter().chain([member("b", Shape::Int)]).collect();
        need(Kind::Struct, "all", path, Fact::ByteOffset)
    };
    let element = |root, field, number| {
        let path = vec![in_arrays(field, 1, Shape::Int), Step::Element(number)];
        need(Kind::Struct, root, path, Fact::ByteOffset)
    };
    let whole = need(Kind::Struct, "all", vec![in_arrays("grid", 2, Shape::Composite)], Fact::ByteSize);
    let first = need(Kind::Struct, "all", vec![in_arrays("grid", 2, Shape::Composite)], Fact::ByteOffset);
    let needs = [
        grid(0, 0),
        grid(1, 2),
        grid(1, 3),
        grid(2, 0),
        element("all", "rest", 5),
        element("all", "middle", 0),
        element("early", "rest", 0),
        Need { element: 2, ..int("pair", "b") },
        whole,
        first,
    ];
    let want = [at(4, 4), at(44, 4), Absent, Absent, at(72, 4), Absent, Absent, at(20, 4), is(48), at(0, 8)];
    assert_eq!(found(&btf.bytes(), &needs), want);
    // Alone too: no other need keeps the member behind it.
    assert_eq!(found(&btf.bytes(), &[element("early", "rest", 0)]), [Absent]);
}

#[test]
fn bit_fields_have_the_load_that_covers_them() {
    let mut btf = Made::new();
    let four = btf.int("unsigned int", 4, false);
    let one = btf.int("unsigned char", 1, false);
    let members = [("a", four, 3 << 24 | 35), ("b", one, 4 << 24 | 6), ("whole", four, 64)];
    btf.bitfields("flags", 12, &members);
    let field = |name, fact| need(Kind::Struct, "flags", vec![member(name, Shape::Int)], fact);
    let facts = [Fact::ByteOffset, Fact::ByteSize, Fact::LeftShift, Fact::RightShift, Fact::Signed];
    let source = btf.bytes();
    let of = |name| found(&source, &facts.map(|fact| field(name, fact)));
    let left = |little: u64, big: u64| is(if cfg!(target_endian = "little") { little } else { big });
    assert_eq!(of("a"), [is(4), is(4), left(64 - 6, 32 + 3), is(61), is(0)]);
    // Over the border of its byte: two bytes are loaded.
    assert_eq!(of("b"), [is(0), is(2), left(64 - 10, 48 + 6), is(60), is(0)]);
    assert_eq!(of("whole"), [at(8, 4), is(4), left(32, 32), is(32), is(0)]);
}

#[test]
fn values_of_enums_are_found_in_both_kinds_of_enum() {
    let mut btf = Made::new();
    btf.enumeration("state", &[("ON", 1), ("LOST", -1), ("NEW___v2", 7)]);
    btf.enumeration64("wide", &[("ALL", u64::MAX - 1), ("ONE", 1)]);
    let value = |root: &'static str, name: &'static str, fact| {
        need(Kind::Enum, root, vec![Step::Value(name.into())], fact)
    };
    let needs = [
        value("state", "ON", Fact::Value),
        value("state", "LOST", Fact::Value),
        value("state", "NEW", Fact::Value),
        value("state", "GONE", Fact::Value),
        value("state", "GONE", Fact::ValueExists),
        value("wide", "ALL", Fact::Value),
        value("wide", "ALL", Fact::ValueExists),
    ];
    let want = [is(1), is(u64::MAX), is(7), Absent, is(0), is(u64::MAX - 1), is(1)];
    assert_eq!(found(&btf.bytes(), &needs), want);
}

#[test]
fn a_typedef_can_be_the_root() {
    let mut btf = Made::new();
    let four = btf.int("int", 4, true);
    let inside = btf.structure("", 8, &[("counter", four, 32)]);
    btf.typedef("atomic_t", inside);
    btf.structure("atomic_t", 4, &[("counter", four, 0)]);
    let path = vec![member("counter", Shape::Int)];
    assert_eq!(found(&btf.bytes(), &[need(Kind::Typedef, "atomic_t", path, Fact::ByteOffset)]), [at(4, 4)]);
}

#[test]
fn needs_say_what_they_are_about() {
    let path = vec![member("uid", Shape::Composite), Step::Element(3), member("val", Shape::Int)];
    let one = Need { element: 2, ..need(Kind::Struct, "cred", path, Fact::ByteOffset) };
    assert_eq!(one.to_string(), "cred[2].uid[3].val byte_off");
    let value = need(Kind::Enum, "state", vec![Step::Value("ON".into())], Fact::ValueExists);
    assert_eq!(value.to_string(), "state::ON enumval_exists");
    assert_eq!(offsets(&Made::new().bytes(), &[]), Ok(vec![]));
}

#[test]
fn types_are_found_by_kind_and_name_the_first_of_each() {
    let mut btf = Made::new();
    let four = btf.int("int", 4, true);
    let first = btf.structure("task", 4, &[("pid", four, 0)]);
    btf.structure("task", 8, &[("pid", four, 32)]);
    let typedef = btf.typedef("task", first);
    let one = btf.structure("t", 4, &[]);
    btf.structure("t___x", 4, &[("pid", four, 0)]);
    let source = btf.bytes();
    let wanted = [
        (Kind::Struct, "task"),
        (Kind::Typedef, "task"),
        (Kind::Struct, "t"),
        (Kind::Union, "task"),
        (Kind::Struct, "tas"),
        (Kind::Struct, ""),
    ];
    let found = Btf::parse(&source).unwrap().find(&wanted);
    assert_eq!(found, [Some(first), Some(typedef), Some(one), None, None, None]);
    // A name of one letter has flavours too.
    assert_eq!(crate::found(&source, &[int("t", "pid")]), [at(0, 4)]);
}
