//! `ring` over a file with the layout of a BPF ring (kernel/bpf/ringbuf.c). The
//! kernel maps the data twice in a row; here the file is twice as long and both
//! halves are written. `tests/kernel_root` reads rings the kernel itself fills.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use bee_trace::ring::Ring;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::records::Random;

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;

/// The kernel's side of a ring.
struct Kernel {
    file: File,
    page: u64,
    size: u64,
    produced: u64,
}

impl Kernel {
    /// A ring of `pages` pages whose positions begin at `begin`.
    fn new(pages: usize, begin: u64) -> (Self, Ring) {
        let page = bee_trace::sys::page_size();
        let size = pages * page;
        let fd: OwnedFd = memfd_create("ring", MFdFlags::MFD_CLOEXEC).unwrap();
        let file = File::from(fd.try_clone().unwrap());
        file.set_len((2 * page + 2 * size) as u64).unwrap();
        let mut kernel = Self { file, page: page as u64, size: size as u64, produced: begin };
        kernel.file.write_all_at(&begin.to_ne_bytes(), 0).unwrap();
        kernel.commit_position(begin);
        (kernel, Ring::new(fd, size).unwrap())
    }

    fn commit_position(&mut self, position: u64) {
        self.produced = position;
        self.file.write_all_at(&position.to_ne_bytes(), self.page).unwrap();
    }

    fn consumed(&self) -> u64 {
        let mut word = [0; 8];
        self.file.read_exact_at(&mut word, 0).unwrap();
        u64::from_ne_bytes(word)
    }

    fn room(&self) -> u64 {
        self.size - (self.produced - self.consumed())
    }

    /// Bytes at a position, in both copies of the data.
    fn write(&self, position: u64, bytes: &[u8]) {
        let at = position & (self.size - 1);
        let (front, wrapped) = bytes.split_at(bytes.len().min(usize::try_from(self.size - at).unwrap()));
        for (at, part) in [(at, front), (0, wrapped)] {
            for copy in [0, self.size] {
                self.file.write_all_at(part, 2 * self.page + copy + at).unwrap();
            }
        }
    }

    fn header(&self, position: u64, length: u32) {
        self.write(position, &length.to_ne_bytes());
    }

    /// Reserves and writes a record, with these bits in its length. Where it lies.
    fn put(&mut self, bytes: &[u8], bits: u32) -> u64 {
        let at = self.produced;
        self.header(at, u32::try_from(bytes.len()).unwrap() | bits);
        self.write(at + 8, bytes);
        self.commit_position(at + (8 + bytes.len() as u64).next_multiple_of(8));
        at
    }
}

fn take(ring: &mut Ring) -> Option<(u64, Vec<u8>)> {
    let taken = ring.peek().unwrap().map(|record| (record.position, record.bytes.to_vec()));
    if taken.is_some() {
        ring.advance();
    }
    taken
}

#[test]
fn records_come_in_order_with_their_positions() {
    let (mut kernel, mut ring) = Kernel::new(1, 0);
    assert_eq!(take(&mut ring), None);
    let first = kernel.put(b"one", 0);
    let second = kernel.put(b"", 0);
    let third = kernel.put(b"eight by", 0);
    assert_eq!((first, second, third), (0, 16, 24));
    for (at, bytes) in [(first, &b"one"[..]), (second, b""), (third, b"eight by")] {
        assert_eq!(take(&mut ring), Some((at, bytes.to_vec())));
    }
    assert_eq!(take(&mut ring), None);
}

#[test]
fn peeking_does_not_move_and_nothing_is_given_back_before_release() {
    let (mut kernel, mut ring) = Kernel::new(1, 0);
    kernel.put(b"one", 0);
    kernel.put(b"two", 0);
    for _ in 0..3 {
        assert_eq!(ring.peek().unwrap().unwrap().bytes, b"one");
    }
    assert_eq!(ring.waiting(), 32);
    ring.advance();
    assert_eq!(ring.waiting(), 16);
    assert_eq!(kernel.consumed(), 0, "a reader that dies now leaves both in the ring");
    assert!(ring.release(), "one is still waiting");
    assert_eq!(kernel.consumed(), 16);
    assert_eq!(take(&mut ring).unwrap().1, b"two");
    assert!(!ring.release());
    assert_eq!(kernel.consumed(), 32);
    // Advancing without a new peek does not skip what nobody has seen.
    kernel.put(b"three", 0);
    ring.advance();
    assert_eq!(take(&mut ring).unwrap().1, b"three");
}

#[test]
fn a_second_reader_goes_on_where_the_first_gave_back() {
    let (mut kernel, mut ring) = Kernel::new(1, 0);
    for text in [&b"one"[..], b"two", b"three"] {
        kernel.put(text, 0);
    }
    take(&mut ring);
    ring.release();
    take(&mut ring);
    drop(ring);
    let mut again =
        Ring::new(kernel.file.try_clone().unwrap().into(), kernel.page.try_into().unwrap()).unwrap();
    assert_eq!(take(&mut again).unwrap(), (16, b"two".to_vec()), "not released, so delivered twice");
}

#[test]
fn a_record_under_way_holds_back_those_behind_it() {
    let (mut kernel, mut ring) = Kernel::new(1, 0);
    let slow = kernel.put(b"slow", BUSY);
    kernel.put(b"fast", 0);
    assert_eq!(take(&mut ring), None);
    assert!(ring.release(), "it is waiting all the same");
    assert_eq!(kernel.consumed(), 0);
    kernel.header(slow, 4);
    assert_eq!(take(&mut ring).unwrap().1, b"slow");
    assert_eq!(take(&mut ring).unwrap().1, b"fast");
}

#[test]
fn discarded_records_are_passed_over_and_given_back() {
    let (mut kernel, mut ring) = Kernel::new(1, 0);
    kernel.put(b"not this", DISCARD);
    kernel.put(b"nor this", DISCARD);
    kernel.put(b"this", 0);
    kernel.put(b"and not this", DISCARD);
    assert_eq!(take(&mut ring), Some((32, b"this".to_vec())));
    assert_eq!(take(&mut ring), None);
    assert!(!ring.release());
    assert_eq!(kernel.consumed(), kernel.produced);
}

#[test]
fn a_record_across_the_end_is_one_slice() {
    let page = bee_trace::sys::page_size();
    let (mut kernel, mut ring) = Kernel::new(1, 0);
    kernel.put(&vec![1; page - 8 - 16], 0);
    take(&mut ring);
    ring.release();
    let bytes: Vec<u8> = (0..=255).cycle().take(page / 2).collect();
    let at = kernel.put(&bytes, 0);
    assert_eq!(at, page as u64 - 16, "its header fits, its bytes wrap");
    assert_eq!(take(&mut ring), Some((at, bytes)));
}

#[test]
fn the_largest_record_there_can_be_is_read() {
    let page = bee_trace::sys::page_size();
    let (mut kernel, mut ring) = Kernel::new(2, 0);
    let bytes = vec![7; 2 * page - 8];
    kernel.put(&bytes, 0);
    assert_eq!(kernel.room(), 0);
    assert_eq!(take(&mut ring), Some((0, bytes)));
    assert!(!ring.release());
    assert_eq!(kernel.room(), 2 * page as u64);
}

#[test]
fn ten_thousand_records_of_any_length_survive_the_wraps() {
    // Positions near 2^32 and beyond: they are 64 bits wide.
    let (mut kernel, mut ring) = Kernel::new(2, (1 << 32) - 4096);
    let mut random = Random(11);
    let (mut written, mut read) = (std::collections::VecDeque::new(), 0);
    while read < 10_000 {
        while written.len() < 32 {
            let length = random.below(600);
            if kernel.room() < 8 + length as u64 + 8 {
                break;
            }
            let bytes: Vec<u8> = (0..length).map(|_| random.next().to_ne_bytes()[0]).collect();
            let discarded = random.below(5) == 0;
            let at = kernel.put(&bytes, if discarded { DISCARD } else { 0 });
            if !discarded {
                written.push_back((at, bytes));
            }
        }
        for _ in 0..1 + random.below(8) {
            let taken = take(&mut ring);
            assert_eq!(taken, written.pop_front());
            read += usize::from(taken.is_some());
        }
        if random.below(3) == 0 {
            ring.release();
        }
        if written.is_empty() {
            ring.release();
        }
    }
    assert!(kernel.produced > 1 << 32);
}

#[test]
fn a_length_no_kernel_writes_empties_the_ring_and_says_so() {
    for wrong in [!BUSY & !DISCARD, 5000, 17] {
        let (mut kernel, mut ring) = Kernel::new(1, 0);
        let at = kernel.put(b"fine", 0);
        kernel.header(at, wrong);
        let why = ring.peek().unwrap_err().to_string();
        assert!(why.contains("emptied"), "{why}");
        assert_eq!(take(&mut ring), None, "{wrong}: nothing is read from there any more");
        assert!(!ring.release());
        assert_eq!(kernel.consumed(), kernel.produced);
        kernel.put(b"after", 0);
        assert_eq!(take(&mut ring).unwrap().1, b"after", "it works again");
    }
}

#[test]
fn a_discarded_record_of_a_wrong_length_does_not_lead_astray() {
    let (mut kernel, mut ring) = Kernel::new(1, 0);
    let at = kernel.put(b"fine", 0);
    kernel.header(at, DISCARD | 0x3fff_ffff);
    assert!(ring.peek().is_err());
    assert_eq!(take(&mut ring), None);
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let page = bee_trace::sys::page_size();
    for size in [0, 1, page - 1, page + 1, 3 * page, page / 2] {
        let fd = memfd_create("ring", MFdFlags::MFD_CLOEXEC).unwrap();
        assert!(Ring::new(fd, size).is_err(), "{size}");
    }
    let fd = File::open("/dev/null").unwrap();
    let why = Ring::new(fd.into(), page).unwrap_err().to_string();
    assert!(why.contains("mmap"), "{why}");
}

#[test]
fn the_descriptor_to_wait_for_is_the_rings() {
    let (kernel, ring) = Kernel::new(1, 0);
    assert_eq!(ring.size(), kernel.page);
    let stat = |fd: std::os::fd::BorrowedFd<'_>| nix::sys::stat::fstat(fd).unwrap().st_ino;
    assert_eq!(stat(ring.as_fd()), stat(kernel.file.as_fd()));
}
