//! C that only compiles where the compiler agrees with a description of the types:
//! an assertion for each number that our objects would be given. Pure.

use std::fmt::Write as _;

use crate::btf::{Fact, Kind, Need, Offset, Step};

/// The source, and how many numbers it asserts.
pub(super) fn source(needs: &[Need], offsets: &[(String, Offset)]) -> (String, usize) {
    let mut out = "#include \"stub.c\"\n".to_owned();
    let mut count = 0;
    for (need, (name, offset)) in needs.iter().zip(offsets) {
        let Offset::Is { value, size } = *offset else { continue };
        if is_bit_field(need, needs) {
            continue;
        }
        let Some(claims) = claims(need, value, size) else { continue };
        for claim in claims {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "_Static_assert({claim}, \"{name}\");");
        }
        count += 1;
    }
    (out, count)
}

/// A bit field has no address and no size in C.
fn is_bit_field(need: &Need, needs: &[Need]) -> bool {
    let shifts = |other: &&Need| matches!(other.fact, Fact::LeftShift | Fact::RightShift);
    needs.iter().filter(shifts).any(|other| other.root == need.root && other.path == need.path)
}

fn claims(need: &Need, value: u64, size: u64) -> Option<Vec<String>> {
    let root = match need.kind {
        Kind::Struct => format!("struct {}", need.root),
        Kind::Union => format!("union {}", need.root),
        Kind::Typedef => need.root.to_string(),
        _ if matches!(need.fact, Fact::Value) => String::new(),
        _ => return None,
    };
    let path = path(&need.path);
    match need.fact {
        Fact::ByteOffset => {
            let path = path?;
            let element = u64::from(need.element);
            let mut claims =
                vec![format!("{element} * sizeof({root}) + __builtin_offsetof({root}, {path}) == {value}")];
            // Of an array the size of an element is told.
            if !matches!(need.path.last(), Some(Step::Member { arrays: 1.., .. })) {
                claims.push(format!("sizeof((({root} *)0)->{path}) == {size}"));
            }
            Some(claims)
        }
        Fact::ByteSize => Some(vec![format!("sizeof((({root} *)0)->{}) == {value}", path?)]),
        Fact::TypeSize => Some(vec![format!("sizeof({root}) == {value}")]),
        Fact::Value => match need.path.last() {
            Some(Step::Value(name)) => Some(vec![format!("(unsigned long long)({name}) == {value}ULL")]),
            _ => None,
        },
        _ => None,
    }
}

/// `f_path.dentry`, `slots[2].x`; `None` for a path C has no word for.
fn path(steps: &[Step]) -> Option<String> {
    let mut out = String::new();
    for step in steps {
        match step {
            Step::Member { name, .. } if out.is_empty() => out.push_str(name),
            Step::Member { name, .. } => {
                out.push('.');
                out.push_str(name);
            }
            Step::Element(number) if !out.is_empty() => {
                let _ = write!(out, "[{number}]");
            }
            Step::Element(_) | Step::Value(_) => return None,
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::btf::Shape;

    fn member(name: &'static str, arrays: u32) -> Step {
        Step::Member { name: Cow::Borrowed(name), arrays, shape: Shape::Int }
    }

    fn need(root: &'static str, path: Vec<Step>, fact: Fact) -> Need {
        Need { kind: Kind::Struct, root: Cow::Borrowed(root), path: Cow::Owned(path), element: 0, fact }
    }

    #[test]
    fn every_number_is_asserted_in_the_words_of_c() {
        let needs = [
            need("file", vec![member("f_path", 0), member("dentry", 0)], Fact::ByteOffset),
            need("task_struct", vec![member("comm", 1)], Fact::ByteOffset),
            need("task_struct", vec![member("slots", 1), Step::Element(2)], Fact::ByteSize),
            need("task_struct", vec![member("gone", 0)], Fact::ByteOffset),
            need("task_struct", vec![member("loginuid", 0)], Fact::Exists),
            need("task_struct", vec![member("flag", 0)], Fact::ByteOffset),
            need("task_struct", vec![member("flag", 0)], Fact::LeftShift),
            Need {
                kind: Kind::Enum,
                ..need("pid_type", vec![Step::Value(Cow::Borrowed("PIDTYPE_TGID"))], Fact::Value)
            },
        ];
        let is = |value, size| Offset::Is { value, size };
        let offsets: Vec<_> =
            [is(24, 8), is(1992, 1), is(4, 0), Offset::Absent, is(1, 0), is(8, 4), is(60, 0), is(1, 0)]
                .into_iter()
                .zip(&needs)
                .map(|(offset, need)| (need.to_string(), offset))
                .collect();
        let (text, count) = source(&needs, &offsets);
        let wanted = "#include \"stub.c\"\n\
            _Static_assert(0 * sizeof(struct file) + __builtin_offsetof(struct file, f_path.dentry) == 24, \"file.f_path.dentry byte_off\");\n\
            _Static_assert(sizeof(((struct file *)0)->f_path.dentry) == 8, \"file.f_path.dentry byte_off\");\n\
            _Static_assert(0 * sizeof(struct task_struct) + __builtin_offsetof(struct task_struct, comm) == 1992, \"task_struct.comm byte_off\");\n\
            _Static_assert(sizeof(((struct task_struct *)0)->slots[2]) == 4, \"task_struct.slots[2] byte_sz\");\n\
            _Static_assert((unsigned long long)(PIDTYPE_TGID) == 1ULL, \"pid_type::PIDTYPE_TGID enumval_value\");\n";
        assert_eq!(text, wanted);
        assert_eq!(count, 4);
    }
}
