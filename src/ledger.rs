//! What the daemon has accounted for, in a memfd that outlives it: how far each ring was
//! read, what became of each record, what the sinks and the `loss` events were told. See
//! `docs/adr/0017-restart.md`.
//!
//! All of that belongs together, so it is written whole into the one of two places that is
//! not in force, and one word then says which is: a daemon that is killed at any moment
//! leaves a reading that holds. The numbers of events of the daemon's own are given out at
//! once instead: one that is used twice would be worse than one that is never used.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::{Error, Result};
use crate::shared::{Mapping, Reading};
use crate::sink::SinkCounters;
use crate::wire::{CAUSE_COUNT, KIND_COUNT};

/// `bee.book`, and the version of what follows.
const MAGIC: u64 = 0x6565_622e_626f_6f6b;
const FORMAT: u64 = 1;
/// Words before the first place.
const HEAD: usize = 16;
const AT_MAGIC: usize = 0;
const AT_FORMAT: usize = 1;
const AT_MADE: usize = 2;
const AT_LIVES: usize = 3;
const AT_SETS: usize = 4;
const AT_IN_FORCE: usize = 5;
const AT_DISTRUSTED: usize = 6;
/// Rings: those in use, and those of a build before that are being emptied.
pub const RINGS: usize = 4;
/// Sinks at most.
pub const SINKS: usize = 8;
/// Sensors at most.
pub const SENSORS: usize = 8;
const SINK_WORDS: usize = 2 + 9 + 2;
const PLACE: usize = RINGS * 3 + 3 * KIND_COUNT * CAUSE_COUNT + SINKS * SINK_WORDS + SENSORS + 2;
/// Bytes of the file.
pub const LENGTH: usize = (HEAD + 2 * PLACE) * 8;

/// How far a ring was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingPlace {
    /// The map's number in the kernel; 0: no ring.
    pub id: u64,
    /// What its positions are counted from: two rings have no event's number in common.
    pub base: u64,
    /// Everything before it is accounted for.
    pub position: u64,
}

/// What a sink was given and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkPlace {
    /// Its name, cut at 16 bytes.
    pub name: [u64; 2],
    /// Its counters.
    pub counters: SinkCounters,
}

/// What `loss` events have told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Of the kernel's counters.
    pub kernel: Reading,
    /// Of the daemon's.
    pub stages: Reading,
    /// Of each sink: `queue_full` and `refused`.
    pub sinks: [[u64; 2]; SINKS],
    /// Runs of its programs that were skipped, of each sensor.
    pub skipped: [u64; SENSORS],
    /// Since when nothing was lost, nanoseconds since 1970.
    pub since: u64,
    /// All losses that were told.
    pub total: u64,
}

impl Default for Told {
    fn default() -> Self {
        let none = [[0; CAUSE_COUNT]; KIND_COUNT];
        Self { kernel: none, stages: none, sinks: [[0; 2]; SINKS], skipped: [0; SENSORS], since: 0, total: 0 }
    }
}

/// One whole reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The rings.
    pub rings: [RingPlace; RINGS],
    /// What became of each record, by kind and fate.
    pub stages: StageCounts,
    /// The sinks.
    pub sinks: [SinkPlace; SINKS],
    /// The losses.
    pub told: Told,
}

/// A reading of the daemon's own counters that can be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageCounts(pub Reading);

impl Default for StageCounts {
    fn default() -> Self {
        Self([[0; CAUSE_COUNT]; KIND_COUNT])
    }
}

impl Page {
    /// Every word, always in the same order.
    fn each(&mut self, visit: &mut impl FnMut(&mut u64)) {
        for ring in &mut self.rings {
            visit(&mut ring.id);
            visit(&mut ring.base);
            visit(&mut ring.position);
        }
        for table in [&mut self.stages.0, &mut self.told.kernel, &mut self.told.stages] {
            table.as_flattened_mut().iter_mut().for_each(&mut *visit);
        }
        for (sink, told) in self.sinks.iter_mut().zip(&mut self.told.sinks) {
            sink.name.iter_mut().for_each(&mut *visit);
            let SinkCounters {
                unwanted,
                offered,
                accepted,
                queue_full,
                refused,
                folded,
                bytes,
                errors,
                rotate_failed,
            } = &mut sink.counters;
            for counter in
                [unwanted, offered, accepted, queue_full, refused, folded, bytes, errors, rotate_failed]
            {
                visit(counter);
            }
            told.iter_mut().for_each(&mut *visit);
        }
        self.told.skipped.iter_mut().for_each(&mut *visit);
        visit(&mut self.told.since);
        visit(&mut self.told.total);
    }

    /// The place of the sink called `name`, if it has one.
    pub fn sink(&self, name: &str) -> Option<&SinkPlace> {
        let name = sink_name(name);
        self.sinks.iter().find(|sink| sink.name == name)
    }
}

/// A sink's name in two words.
pub fn sink_name(name: &str) -> [u64; 2] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    let [low, high] = [0, 8].map(|at| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    });
    [low, high]
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    file: OwnedFd,
    memory: Mapping,
}

impl Ledger {
    /// An empty one.
    ///
    /// # Errors
    /// When there can be no memfd.
    pub fn create() -> Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = memfd_create("bee-ledger", flags)?;
        nix::unistd::ftruncate(&file, LENGTH as i64)?;
        // It can be cut by nobody: to read what is not there any more would end the daemon.
        fcntl(&file, FcntlArg::F_ADD_SEALS(Self::seals() | SealFlag::F_SEAL_SEAL))?;
        let ledger = Self::map(file)?;
        ledger.word(AT_FORMAT).store(FORMAT, Ordering::Relaxed);
        ledger.word(AT_MAGIC).store(MAGIC, Ordering::Release);
        Ok(ledger)
    }

    /// One that an earlier life has left.
    ///
    /// # Errors
    /// When it is none, or of another format.
    pub fn adopt(file: OwnedFd) -> Result<Self> {
        let seals = fcntl(&file, FcntlArg::F_GET_SEALS)
            .map_err(|error| Error::from(error).context("it is no sealed memory"))?;
        if !SealFlag::from_bits_retain(seals).contains(Self::seals()) {
            return Err(Error::failure("it could be cut by others: its size is not sealed"));
        }
        let length = nix::sys::stat::fstat(&file)?.st_size;
        if length != LENGTH as i64 {
            return Err(Error::failure(format!("it has {length} bytes, and not {LENGTH}")));
        }
        let ledger = Self::map(file)?;
        let [magic, format] = [AT_MAGIC, AT_FORMAT].map(|at| ledger.word(at).load(Ordering::Acquire));
        if (magic, format) != (MAGIC, FORMAT) {
            return Err(Error::failure(format!("it is no ledger of format {FORMAT}")));
        }
        Ok(ledger)
    }

    fn seals() -> SealFlag {
        SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW
    }

    fn map(file: OwnedFd) -> Result<Self> {
        let length = LENGTH.next_multiple_of(crate::sys::page_size());
        let memory = Mapping::new(file.as_fd(), 0, length, true)?;
        Ok(Self { file, memory })
    }

    fn word(&self, at: usize) -> &std::sync::atomic::AtomicU64 {
        self.memory.atomic_u64(8 * at)
    }

    fn place(&self, number: u64) -> usize {
        HEAD + if number % 2 == 0 { 0 } else { PLACE }
    }

    /// The reading in force.
    pub fn read(&self) -> Box<Page> {
        let mut page = Box::<Page>::default();
        let mut at = self.place(self.word(AT_IN_FORCE).load(Ordering::Acquire));
        page.each(&mut |word| {
            *word = self.word(at).load(Ordering::Relaxed);
            at += 1;
        });
        page
    }

    /// Puts a reading in force, whole.
    pub fn commit(&self, page: &mut Page) {
        let next = self.word(AT_IN_FORCE).load(Ordering::Relaxed).wrapping_add(1) % 2;
        let mut at = self.place(next);
        page.each(&mut |word| {
            self.word(at).store(*word, Ordering::Relaxed);
            at += 1;
        });
        self.word(AT_IN_FORCE).store(next, Ordering::Release);
    }

    /// A number for an event of the daemon's own, which was never given out; from 1.
    pub fn next_made(&self) -> u64 {
        self.word(AT_MADE).fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A life begins; how many there are with it.
    pub fn next_life(&self) -> u64 {
        self.word(AT_LIVES).fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A number for a set of rings, which was never given out; from 0.
    pub fn next_set(&self) -> u64 {
        self.word(AT_SETS).fetch_add(1, Ordering::Relaxed)
    }

    /// What is kept with it does not report any more: the next life is to load it anew, and go on
    /// counting here. Or, with `false`, that is done.
    pub fn distrust(&self, kept: bool) {
        self.word(AT_DISTRUSTED).store(kept.into(), Ordering::Release);
    }

    /// Whether the life before found that what is kept with it does not report any more.
    pub fn is_distrusted(&self) -> bool {
        self.word(AT_DISTRUSTED).load(Ordering::Acquire) != 0
    }

    /// The file's number, to be told from others by.
    pub fn raw(&self) -> i32 {
        self.file.as_raw_fd()
    }
}

impl AsFd for Ledger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filled(seed: u64) -> Page {
        let mut page = Page::default();
        let mut next = seed;
        page.each(&mut |word| {
            next += 1;
            *word = next;
        });
        page
    }

    #[test]
    fn every_word_of_a_reading_comes_back() {
        let mut words = 0;
        Page::default().each(&mut |_| words += 1);
        assert_eq!(words, PLACE);
        let ledger = Ledger::create().unwrap();
        assert_eq!(*ledger.read(), Page::default());
        for seed in [1, 5_000_000, 9] {
            ledger.commit(&mut filled(seed));
            assert_eq!(*ledger.read(), filled(seed));
        }
        let again = Ledger::adopt(ledger.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert_eq!(*again.read(), filled(9));
    }

    #[test]
    fn a_reading_that_was_not_completed_is_not_in_force() {
        let ledger = Ledger::create().unwrap();
        ledger.commit(&mut filled(7));
        // What a daemon has written that was killed before the last word.
        let other = ledger.place(ledger.word(AT_IN_FORCE).load(Ordering::Relaxed) + 1);
        for at in 0..PLACE / 2 {
            ledger.word(other + at).store(u64::MAX, Ordering::Relaxed);
        }
        assert_eq!(*ledger.read(), filled(7));
    }

    #[test]
    fn numbers_are_given_out_once_over_all_lives() {
        let ledger = Ledger::create().unwrap();
        assert_eq!([ledger.next_made(), ledger.next_made(), ledger.next_set()], [1, 2, 0]);
        let again = Ledger::adopt(ledger.as_fd().try_clone_to_owned().unwrap()).unwrap();
        drop(ledger);
        assert_eq!([again.next_made(), again.next_set(), again.next_life()], [3, 1, 1]);
    }

    #[test]
    fn distrust_outlives_the_life_that_found_it() {
        let ledger = Ledger::create().unwrap();
        assert!(!ledger.is_distrusted());
        ledger.distrust(true);
        ledger.commit(&mut filled(3));
        let again = Ledger::adopt(ledger.as_fd().try_clone_to_owned().unwrap()).unwrap();
        assert!(again.is_distrusted());
        assert_eq!(*again.read(), filled(3), "it is no part of a reading");
        again.distrust(false);
        assert!(!ledger.is_distrusted());
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        let refused = |fd: OwnedFd| Ledger::adopt(fd).unwrap_err().to_string();
        let pipe = nix::unistd::pipe().unwrap().0;
        assert!(refused(pipe).contains("no sealed memory"));
        let open = || memfd_create("x", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        assert!(refused(open()).contains("not sealed"));
        let sealed = |length| {
            let file = open();
            nix::unistd::ftruncate(&file, length).unwrap();
            fcntl(&file, FcntlArg::F_ADD_SEALS(Ledger::seals())).unwrap();
            file
        };
        assert!(refused(sealed(64)).contains("64 bytes"));
        assert!(refused(sealed(LENGTH as i64)).contains("no ledger"));
    }

    #[test]
    fn a_sink_is_found_by_its_name() {
        let mut page = Page::default();
        page.sinks[3].name = sink_name("journal");
        page.sinks[3].counters.accepted = 5;
        assert_eq!(page.sink("journal").unwrap().counters.accepted, 5);
        assert!(page.sink("stdout").is_none());
    }
}
