//! `ring` against the kernel's own ring buffer.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Stdio};

use bee_trace::decode::decode;
use bee_trace::ring::Ring;
use bee_trace::shared::emitted;
use bee_trace::wire;
use libbpf_rs::libbpf_sys;

use crate::watch::{Watch, configuration};

/// A BPF ring and a program that puts one record in it, or takes it back, each
/// time it is run: what the tracepoints do, without a tracepoint.
struct Kernel {
    ring: OwnedFd,
    submit: OwnedFd,
    discard: OwnedFd,
}

const HELPER_RESERVE: i32 = 131;
const HELPER_SUBMIT: i32 = 132;
const HELPER_DISCARD: i32 = 133;

impl Kernel {
    fn new(size: u32, record: i32) -> Self {
        let ring = owned(unsafe {
            // SAFETY: a name that lives through the call, no options.
            libbpf_sys::bpf_map_create(
                libbpf_sys::BPF_MAP_TYPE_RINGBUF,
                c"bee_test".as_ptr(),
                0,
                0,
                size,
                std::ptr::null(),
            )
        });
        let submit = program(&ring, record, HELPER_SUBMIT);
        let discard = program(&ring, record, HELPER_DISCARD);
        Self { ring, submit, discard }
    }

    fn run(program: &OwnedFd) {
        // SAFETY: all zero is a valid value of this struct of numbers and pointers.
        let mut options: libbpf_sys::bpf_test_run_opts = unsafe { std::mem::zeroed() };
        options.sz = size_of::<libbpf_sys::bpf_test_run_opts>() as u64;
        // SAFETY: the program takes no context; options live through the call.
        let failed = unsafe { libbpf_sys::bpf_prog_test_run_opts(program.as_raw_fd(), &mut options) };
        assert_eq!((failed, options.retval), (0, 0), "{}", std::io::Error::last_os_error());
    }

    fn reader(&self, size: usize) -> Ring {
        Ring::new(self.ring.try_clone().unwrap(), size).unwrap()
    }
}

fn owned(fd: i32) -> OwnedFd {
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: just made for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// reserve(ring, size) → write 7 in front → submit or discard; linux/bpf.h's encoding.
fn program(ring: &OwnedFd, size: i32, end: i32) -> OwnedFd {
    let op = |code: u8, registers: u8, offset: i16, value: i32| libbpf_sys::bpf_insn {
        code,
        _bitfield_align_1: [],
        _bitfield_1: libbpf_sys::bpf_insn::new_bitfield_1(registers & 0xf, registers >> 4),
        off: offset,
        imm: value,
    };
    let instructions = [
        op(0x18, 0x11, 0, ring.as_raw_fd()), // r1 = ring (BPF_PSEUDO_MAP_FD)
        op(0, 0, 0, 0),
        op(0xb7, 0x02, 0, size), // r2 = size
        op(0xb7, 0x03, 0, 0),    // r3 = 0
        op(0x85, 0, 0, HELPER_RESERVE),
        op(0x55, 0x00, 2, 0), // if r0 != 0, two on
        op(0xb7, 0x00, 0, 1), // full: return 1
        op(0x95, 0, 0, 0),
        op(0x7a, 0x00, 0, 7), // *(u64 *)r0 = 7
        op(0xbf, 0x01, 0, 0), // r1 = r0
        op(0xb7, 0x02, 0, 0), // r2 = 0
        op(0x85, 0, 0, end),
        op(0xb7, 0x00, 0, 0), // return 0
        op(0x95, 0, 0, 0),
    ];
    // SAFETY: all zero is a valid value of this struct of numbers and pointers.
    let mut options: libbpf_sys::bpf_prog_load_opts = unsafe { std::mem::zeroed() };
    options.sz = size_of::<libbpf_sys::bpf_prog_load_opts>() as u64;
    options.prog_flags = libbpf_sys::BPF_F_SLEEPABLE;
    // SAFETY: instructions, name, licence and options live through the call.
    owned(unsafe {
        libbpf_sys::bpf_prog_load(
            libbpf_sys::BPF_PROG_TYPE_SYSCALL,
            c"bee_test".as_ptr(),
            c"GPL".as_ptr(),
            instructions.as_ptr(),
            instructions.len() as u64,
            &mut options,
        )
    })
}

#[test]
fn root_the_kernels_records_are_read_past_discarded_ones_and_over_the_end() {
    let page = bee_trace::sys::page_size();
    let kernel = Kernel::new(page as u32, 200);
    let mut ring = kernel.reader(page);
    let (mut expected, mut read) = (0u64, 0);
    // A record takes 208 bytes, so that it lies across the end every time round.
    for round in 0..500 {
        if round % 3 == 0 {
            Kernel::run(&kernel.discard);
            expected += 208;
        }
        Kernel::run(&kernel.submit);
        let record = ring.peek().unwrap().unwrap();
        assert_eq!((record.position, record.bytes.len()), (expected, 200));
        assert_eq!(record.bytes[..8], 7u64.to_ne_bytes());
        expected += 208;
        ring.advance();
        read += 1;
        assert!(ring.peek().unwrap().is_none());
        assert!(!ring.release());
    }
    assert!(read == 500 && expected > 20 * page as u64);
}

#[test]
fn root_room_comes_back_only_by_release() {
    let page = bee_trace::sys::page_size();
    let kernel = Kernel::new(page as u32, 1000);
    let mut ring = kernel.reader(page);
    let fits = page / 1008;
    for _ in 0..fits {
        Kernel::run(&kernel.submit);
    }
    for _ in 0..fits {
        assert!(ring.peek().unwrap().is_some());
        ring.advance();
    }
    assert!(ring.peek().unwrap().is_none());
    let full = |kernel: &Kernel| {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Kernel::run(&kernel.submit)));
        result.is_err()
    };
    assert!(full(&kernel), "read, but not released");
    assert!(!ring.release());
    assert!(!full(&kernel));
    assert_eq!(ring.waiting(), 1008);
    assert!(ring.release(), "what was not read stays");
    // A reader that begins now goes on there: nothing is lost with the old one.
    drop(ring);
    let mut again = kernel.reader(page);
    assert_eq!(again.peek().unwrap().unwrap().position, fits as u64 * 1008);
}

#[test]
fn root_a_ring_nobody_reads_is_counted_to_the_last_record() {
    let mut watch = Watch::start(&configuration("[limits]\nbulk_ring_kib = 16\n"), &["process"]);
    let mut processes = 0;
    while watch.counters.get(wire::KIND_FORK.into(), 1) < 40 {
        let done = Command::new("true").stdin(Stdio::null()).status().unwrap();
        assert!(done.success());
        processes += 1;
    }
    watch.hush();
    let records = watch.take(1);
    let reading = watch.counters.read();
    let mut by_kind = [0u64; wire::KIND_COUNT];
    let mut last = None;
    for (position, bytes) in &records {
        assert!(position % 8 == 0 && last.is_none_or(|last| last < *position));
        last = Some(*position);
        by_kind[usize::from(decode(bytes).unwrap().header.kind)] += 1;
    }
    for (kind, row) in reading.iter().enumerate() {
        assert_eq!(row[0], by_kind[kind], "kind {kind}: submitted is what lies in the ring");
        assert_eq!(emitted(row), row[0] + row[1], "kind {kind}: and the rest found it full");
    }
    let forks = emitted(&reading[usize::from(wire::KIND_FORK)]);
    assert!(forks >= processes, "{forks} forks seen, {processes} made");
    assert!(!watch.rings[1].release());
    assert_eq!(watch.take(0), [], "not one of them is an alert");
    let info = watch.rings[1].as_fd();
    assert!(info.as_raw_fd() >= 0 && watch.rings[1].size() >= 16 << 10);
}
