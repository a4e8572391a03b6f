//! The stack of the kernel's programs, read from the objects. A program and all the functions it
//! is in at a time have 512 bytes together (`check_max_stack_depth` of the verifier). Since 6.13
//! kernels can give each function a stack of its own, and say nothing of what others refuse.

use std::collections::{BTreeMap, BTreeSet};

/// `MAX_BPF_STACK`.
const LIMIT: usize = 512;
/// What each function's part is rounded up to, before 6.10: the most any kernel takes.
const ROUNDED: usize = 32;

macro_rules! objects {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bpf.o")).as_slice())),*]
    };
}

/// A 64-bit ELF of little endian.
struct Elf<'a>(&'a [u8]);

#[derive(Clone, Copy)]
struct Symbol {
    kind: u8,
    section: usize,
    at: usize,
    bytes: usize,
}

/// What a function needs, and which it calls: sections and places.
#[derive(Default)]
struct Function {
    stack: usize,
    calls: BTreeSet<(usize, usize)>,
}

impl Elf<'_> {
    fn number(&self, at: usize, bytes: usize) -> usize {
        self.0[at..at + bytes].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    }

    /// Type, place, bytes and `sh_info` of every section.
    fn sections(&self) -> Vec<(usize, usize, usize, usize)> {
        assert_eq!(&self.0[..6], b"\x7fELF\x02\x01");
        let (table, size, count) = (self.number(0x28, 8), self.number(0x3a, 2), self.number(0x3c, 2));
        let sections = (0..count).map(|index| table + index * size);
        let facts = |at| {
            (
                self.number(at + 4, 4),
                self.number(at + 0x18, 8),
                self.number(at + 0x20, 8),
                self.number(at + 0x2c, 4),
            )
        };
        sections.map(facts).collect()
    }

    fn symbols(&self) -> Vec<Symbol> {
        let tables = self.sections().into_iter().filter(|(kind, ..)| *kind == 2);
        let entries = tables.flat_map(|(_, at, bytes, _)| (at..at + bytes).step_by(24));
        let symbol = |at| Symbol {
            kind: self.0[at + 4] & 15,
            section: self.number(at + 6, 2),
            at: self.number(at + 8, 8),
            bytes: self.number(at + 16, 8),
        };
        entries.map(symbol).collect()
    }

    /// Which symbol is meant at a place of a section.
    fn relocations(&self) -> BTreeMap<(usize, usize), usize> {
        let tables = self.sections().into_iter().filter(|(kind, ..)| *kind == 9);
        let entries = tables
            .flat_map(|(_, at, bytes, section)| (at..at + bytes).step_by(16).map(move |at| (section, at)));
        entries.map(|(section, at)| ((section, self.number(at, 8)), self.number(at + 12, 4))).collect()
    }

    /// Every function of the object.
    fn functions(&self) -> BTreeMap<(usize, usize), Function> {
        const FUNCTION: u8 = 2;
        let (sections, symbols, relocations) = (self.sections(), self.symbols(), self.relocations());
        let functions = symbols.iter().filter(|symbol| symbol.kind == FUNCTION);
        let read = functions.map(|function| {
            let code = &self.0[sections[function.section].1 + function.at..][..function.bytes];
            let mut found = Function { stack: stack(code), ..Function::default() };
            for (index, code) in code.chunks_exact(8).enumerate() {
                if !(code[0] == CALL && code[1] >> 4 == 1) {
                    continue;
                }
                let at = function.at + index * 8;
                // In instructions, from the next one, or from the symbol.
                let far = (i64::from(immediate(code)) + 1) * 8;
                let from = relocations.get(&(function.section, at)).map(|symbol| symbols[*symbol]);
                found.calls.insert(match from {
                    Some(symbol) if symbol.kind == FUNCTION => (symbol.section, symbol.at),
                    Some(symbol) => (symbol.section, usize::try_from(far).unwrap()),
                    None => (function.section, usize::try_from(at as i64 + far).unwrap()),
                });
            }
            ((function.section, function.at), found)
        });
        read.collect()
    }
}

/// A call, of linux/bpf.h: BPF_JMP | BPF_CALL.
const CALL: u8 = 0x85;

fn immediate(code: &[u8]) -> i32 {
    i32::from_le_bytes(code[4..8].try_into().unwrap())
}

/// How far below its frame pointer, r10, a function reaches.
fn stack(code: &[u8]) -> usize {
    const FRAME: u8 = 10;
    let mut deepest = 0;
    // Registers that hold a copy of r10.
    let mut copies = BTreeSet::new();
    for code in code.chunks_exact(8) {
        let (to, from) = (code[1] & 15, code[1] >> 4);
        let offset = i32::from(i16::from_le_bytes(code[2..4].try_into().unwrap()));
        // Classes of loads, stores of a number and stores of a register: 1, 2, 3.
        let used = match code[0] & 7 {
            1 => from == FRAME,
            2 | 3 => to == FRAME,
            _ => false,
        };
        let reached = match code[0] {
            _ if used => offset,
            // BPF_ALU64 | BPF_ADD | BPF_K
            0x07 if copies.contains(&to) => immediate(code),
            _ => 0,
        };
        deepest = deepest.min(reached);
        // BPF_ALU64 | BPF_MOV | BPF_X
        if code[0] == 0xbf && from == FRAME {
            copies.insert(to);
        } else {
            copies.remove(&to);
        }
    }
    usize::try_from(-deepest).unwrap()
}

/// The most that is in use at a time in a function and all that it calls.
fn depth(functions: &BTreeMap<(usize, usize), Function>, at: (usize, usize)) -> usize {
    let function = &functions[&at];
    let own = function.stack.max(1).next_multiple_of(ROUNDED);
    own + function.calls.iter().map(|called| depth(functions, *called)).max().unwrap_or(0)
}

#[test]
fn every_program_fits_the_stack_of_older_kernels() {
    let objects = objects!(
        "process",
        "process_portable",
        "file",
        "file_security",
        "file_portable",
        "network",
        "network_security",
        "network_portable",
        "memory",
        "memory_hooks",
        "memory_portable",
        "kernel",
        "kernel_hooks",
        "kernel_portable"
    );
    for mechanism in super::FAMILIES.iter().flat_map(|family| family.mechanisms) {
        assert!(objects.iter().any(|(name, _)| *name == mechanism.object), "{}", mechanism.object);
    }
    for (name, object) in objects {
        let functions = Elf(object).functions();
        let deepest = functions.keys().map(|at| depth(&functions, *at)).max().unwrap();
        assert!(functions.values().any(|function| !function.calls.is_empty()), "{name}: calls are found");
        assert!((ROUNDED + 1..=LIMIT).contains(&deepest), "{name}: {deepest} bytes of stack");
    }
}
