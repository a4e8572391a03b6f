//! A reader of a BPF ring buffer over its mapped pages, whose layout is kernel
//! ABI (kernel/bpf/ringbuf.c, linux/bpf.h `BPF_RINGBUF_*`).
//!
//! libbpf's reader moves the consumer position as it reads; this one moves it
//! when told (`release`), after the sinks have taken what was read, so that a
//! daemon that dies in between leaves the records in the ring.
//!
//! The position of a record is 64 bits wide and never comes again, which makes
//! it the event's sequence number.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use libbpf_rs::{MapCore, MapHandle};

use crate::error::{Error, Result};
use crate::shared::Mapping;

const BUSY: u32 = 1 << 31;
const DISCARD: u32 = 1 << 30;
const HEADER: u64 = 8;

/// One ring.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    consumer: Mapping,
    data: Mapping,
    page: usize,
    size: u64,
    /// Read up to here; the consumer position in the kernel may be behind.
    position: u64,
    next: u64,
}

/// One record, valid until the next call that moves the ring.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Where it lies; unique for the life of the ring, a multiple of eight.
    pub position: u64,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl Ring {
    /// Maps the ring behind `fd`; `size` is its `max_entries`, a power of two
    /// of pages.
    ///
    /// # Errors
    /// When it cannot be mapped, or `size` is no possible size.
    pub fn new(fd: OwnedFd, size: usize) -> Result<Self> {
        let page = crate::sys::page_size();
        if !size.is_power_of_two() || size % page != 0 {
            return Err(Error::failure(format!("a ring of {size} bytes cannot be")));
        }
        let consumer = Mapping::new(fd.as_fd(), 0, page, true)?;
        // One page with the producer position, then the data twice in a row, so
        // that a record that wraps is still one slice.
        let data = Mapping::new(fd.as_fd(), page, page + 2 * size, false)?;
        let mut ring = Self { fd, consumer, data, page, size: size as u64, position: 0, next: 0 };
        ring.position = ring.consumer_position().load(Ordering::Acquire);
        ring.next = ring.position;
        Ok(ring)
    }

    /// Maps the ring that is this map.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of(map: &MapHandle) -> Result<Self> {
        Self::new(map.as_fd().try_clone_to_owned()?, map.max_entries() as usize)
    }

    fn consumer_position(&self) -> &AtomicU64 {
        self.consumer.atomic_u64(0)
    }

    fn producer(&self) -> u64 {
        self.data.atomic_u64(0).load(Ordering::Acquire)
    }

    /// The next record that is complete, without moving past it.
    ///
    /// # Errors
    /// When the ring holds what no kernel writes; the ring is then emptied.
    pub fn peek(&mut self) -> Result<Option<Record<'_>>> {
        loop {
            let produced = self.producer();
            if self.position >= produced {
                return Ok(None);
            }
            let offset = self.page + usize::try_from(self.position & (self.size - 1)).unwrap_or(0);
            let length = self.data.atomic_u32(offset).load(Ordering::Acquire);
            if length & BUSY != 0 {
                return Ok(None);
            }
            let size = u64::from(length & !(BUSY | DISCARD));
            let next = self.position + (size + HEADER).next_multiple_of(8);
            if size > self.size || next > produced {
                self.position = produced;
                self.next = produced;
                return Err(Error::failure(
                    "a ring buffer holds a record longer than itself; it was emptied",
                ));
            }
            if length & DISCARD != 0 {
                self.position = next;
                continue;
            }
            self.next = next;
            let bytes = self.data.slice(offset + 8, usize::try_from(size).unwrap_or(0));
            return Ok(Some(Record { position: self.position, bytes }));
        }
    }

    /// Moves past the record last peeked at.
    pub fn advance(&mut self) {
        self.position = self.next;
    }

    /// Goes on at `position`, where an earlier reader was with what it had accounted for, although
    /// it did not come to give it back. `false`: no such place is in the ring.
    pub fn start_at(&mut self, position: u64) -> bool {
        let fits = (self.position..=self.producer()).contains(&position) && position % 8 == 0;
        if fits {
            (self.position, self.next) = (position, position);
        }
        fits
    }

    /// Read up to here.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Gives what lies before `position`, which was read, back to the kernel. Where the reader
    /// has caught up by that, the kernel will wake it again: it must look once more after this.
    pub fn release_to(&mut self, position: u64) {
        let position = position.min(self.position);
        if position > self.consumer_position().load(Ordering::Relaxed) {
            self.consumer_position().store(position, Ordering::Release);
            fence(Ordering::SeqCst);
        }
    }

    /// Bytes the kernel cannot use: those not read, and those read and not given back.
    pub fn used(&self) -> u64 {
        self.producer().saturating_sub(self.consumer_position().load(Ordering::Relaxed))
    }

    /// Gives what was read back to the kernel. True when more is waiting: the
    /// kernel wakes its reader only for a record it has caught up with, so a
    /// reader that goes to sleep must look once more after this.
    pub fn release(&mut self) -> bool {
        self.consumer_position().store(self.position, Ordering::Release);
        fence(Ordering::SeqCst);
        self.waiting() > 0
    }

    /// Bytes between what was read and what was written.
    pub fn waiting(&self) -> u64 {
        self.producer().saturating_sub(self.position)
    }

    /// Size of the data area in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const _: () = assert!(size_of::<AtomicU64>() == 8 && size_of::<AtomicU32>() == 4);
