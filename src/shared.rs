//! Memory shared with the kernel side: settings it reads, counters it writes.
//! Reading and writing them needs no system call and no privilege.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::error::{Error, Result};
use crate::wire::{CAUSE_COUNT, CAUSES, KIND_COUNT, bee_settings, bee_state};

/// A shared mapping of a BPF map's memory.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory belongs to the kernel object, not to a thread; all access
// is by atomics or by slices the ring's protocol makes exclusive.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `length` bytes of `fd` from `offset` (a multiple of the page size).
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new(fd: BorrowedFd<'_>, offset: usize, length: usize, writable: bool) -> Result<Self> {
        let size = NonZeroUsize::new(length).ok_or_else(|| Error::failure("an empty mapping"))?;
        let mut protection = ProtFlags::PROT_READ;
        if writable {
            protection |= ProtFlags::PROT_WRITE;
        }
        let offset = i64::try_from(offset).map_err(|_| Error::failure("a mapping beyond the file's end"))?;
        // SAFETY: a new mapping at an address the kernel chooses touches nothing of ours.
        let start = unsafe { mmap(None, size, protection, MapFlags::MAP_SHARED, fd, offset) }
            .map_err(|error| Error::from(error).context("mmap of a BPF map"))?;
        Ok(Self { start: start.cast(), length })
    }

    /// `length` bytes of memory of our own.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn private(length: usize) -> Result<Self> {
        let size = NonZeroUsize::new(length).ok_or_else(|| Error::failure("an empty mapping"))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address the kernel chooses touches nothing of ours.
        let start = unsafe { nix::sys::mman::mmap_anonymous(None, size, protection, MapFlags::MAP_PRIVATE) }
            .map_err(|error| Error::from(error).context("memory for counters"))?;
        Ok(Self { start: start.cast(), length })
    }

    fn at(&self, offset: usize, size: usize) -> NonNull<u8> {
        assert!(offset.checked_add(size).is_some_and(|end| end <= self.length), "outside of a mapping");
        // SAFETY: just checked to lie inside the mapping.
        unsafe { self.start.add(offset) }
    }

    /// The 64-bit word at `offset` (a multiple of 8).
    pub fn atomic_u64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset % 8 == 0, "a word off its alignment");
        // SAFETY: inside the mapping and aligned; lives as long as self. Stores to a
        // read-only mapping are not made (Ring and the types below).
        unsafe { AtomicU64::from_ptr(self.at(offset, 8).cast().as_ptr()) }
    }

    /// The 32-bit word at `offset` (a multiple of 4).
    pub fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset % 4 == 0, "a word off its alignment");
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4).cast().as_ptr()) }
    }

    /// The 16-bit word at `offset` (a multiple of 2).
    pub fn atomic_u16(&self, offset: usize) -> &AtomicU16 {
        assert!(offset % 2 == 0, "a word off its alignment");
        // SAFETY: as above.
        unsafe { AtomicU16::from_ptr(self.at(offset, 2).cast().as_ptr()) }
    }

    /// Bytes nobody writes while the slice lives: a ring's records between
    /// their commit and the move of the consumer position.
    pub fn slice(&self, offset: usize, length: usize) -> &[u8] {
        // SAFETY: inside the mapping; the kernel does not reuse the room before
        // the consumer position passes it, which needs &mut Ring.
        unsafe { std::slice::from_raw_parts(self.at(offset, length).as_ptr(), length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the whole mapping made in new(); no reference into it outlives self.
        let _ = unsafe { munmap(self.start.cast(), self.length) };
    }
}

/// `struct bee_settings`: what the kernel side is told, and a copy of it, by which one sees what
/// others have changed.
#[derive(Debug)]
pub struct Settings {
    shared: Mapping,
    told: Mapping,
    usual: Option<Usual>,
}

/// Where it is told which file system most opens are of, and which that is; 0: none.
#[derive(Debug)]
struct Usual {
    state: Mapping,
    device: AtomicU32,
}

impl Usual {
    fn word(&self) -> &AtomicU32 {
        self.state.atomic_u32(std::mem::offset_of!(bee_state, usual))
    }
}

/// What the word of the settings at `at` is called.
fn name(at: usize) -> &'static str {
    if let Some((_, name)) = NAMES.iter().find(|row| row.0 == at) {
        return name;
    }
    match at {
        _ if at == std::mem::offset_of!(bee_settings, canary_tgid) => "canary_tgid",
        _ if at == std::mem::offset_of!(bee_settings, names_everywhere) => "names_everywhere",
        _ if at >= std::mem::offset_of!(bee_settings, edges) => "edges",
        _ => "scanned",
    }
}

macro_rules! setting {
    ($($(#[doc = $doc:literal])+ $set:ident = $field:ident;)+) => {
        impl Settings {
            $($(#[doc = $doc])+
            pub fn $set(&self, value: u32) {
                self.tell(std::mem::offset_of!(bee_settings, $field), value);
            })+
        }

    /// Where each setting begins, with its name.
    const NAMES: &[(usize, &str)] =
            &[$((std::mem::offset_of!(bee_settings, $field), stringify!($field)),)+];
    };
}

setting! {
    /// Objects of another generation do nothing.
    set_generation = generation;
    /// Keys of the rules and identities in force.
    set_policy = policy;
    /// Identities of this policy stay good too.
    set_policy_before = policy_before;
    /// The daemon's own process: never an event.
    set_self_tgid = self_tgid;
    /// The process whose opens teach identities.
    set_scanner_tgid = scanner_tgid;
    /// Bit n: some prefix rule has length n.
    set_prefix_lengths = prefix_lengths;
    /// Bit n: some suffix rule has length n.
    set_suffix_lengths = suffix_lengths;
    /// Tokens a process gains per second.
    set_alerts_per_second = alerts_per_second;
    /// Tokens it may hold.
    set_alert_burst = alert_burst;
    /// Hard limit; 0: none.
    set_events_per_second = events_per_second;
    /// Nonzero: any renamed directory may bring watched names along.
    set_every_directory = every_directory;
    /// Nonzero: collect names of environment variables.
    set_env_names = env_names;
    /// What the network sensor is asked for: `BEE_NET_*`.
    set_network_kinds = network_kinds;
    /// Nonzero: what a machine sends itself is reported too.
    set_network_loopback = network_loopback;
    /// Milliseconds in which datagrams of a flow are one event; 0: each is one.
    set_network_window = network_window;
    /// Address families of which sockets are reported, by their bits.
    set_network_families = network_families;
    /// Those from 32 on.
    set_network_families_2 = network_families_2;
    /// Sockets of the Internet that are reported: raw ones, other protocols.
    set_network_inet = network_inet;
}

impl Settings {
    /// Maps the map called `settings`.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn new(fd: BorrowedFd<'_>) -> Result<Self> {
        let length = size_of::<bee_settings>().next_multiple_of(crate::sys::page_size());
        let shared = Mapping::new(fd, 0, length, true)?;
        let told = Mapping::private(length)?;
        for at in Self::words() {
            told.atomic_u32(at).store(shared.atomic_u32(at).load(Ordering::Acquire), Ordering::Relaxed);
        }
        Ok(Self { shared, told, usual: None })
    }

    /// With the map called `state`, in which the kernel side finds what holds of most opens:
    /// `bee_usual` of inodes.bpf.h. Without it each open is told by the settings themselves.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn with_usual(mut self, state: BorrowedFd<'_>) -> Result<Self> {
        // What an earlier life has told goes on, as the list of file systems does.
        let usual = Usual { state: State::new(state)?.0, device: AtomicU32::new(0) };
        usual.device.store(usual.word().load(Ordering::SeqCst), Ordering::Relaxed);
        self.usual = Some(usual);
        Ok(self)
    }

    fn words() -> impl Iterator<Item = usize> {
        (0..size_of::<bee_settings>()).step_by(4)
    }

    fn tell(&self, at: usize, value: u32) {
        self.shared.atomic_u32(at).store(value, Ordering::SeqCst);
        self.told.atomic_u32(at).store(value, Ordering::Relaxed);
    }

    /// Puts right what somebody else has written there (root can, by the map's number), and gives
    /// the names of what that was.
    pub fn put_right(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for at in Self::words() {
            let (shared, told) = (self.shared.atomic_u32(at), self.told.atomic_u32(at));
            let right = told.load(Ordering::Relaxed);
            if shared.swap(right, Ordering::SeqCst) != right {
                names.push(name(at));
            }
        }
        if let Some(usual) = &self.usual {
            let right = self.usual_now(usual);
            if usual.word().swap(right, Ordering::SeqCst) != right {
                names.push("usual");
            }
        }
        names.dedup();
        names
    }

    /// Changes what must hold of an open that is passed over by its file system alone: nothing is,
    /// while it changes.
    fn change_usual(&self, change: impl FnOnce()) {
        if let Some(usual) = &self.usual {
            usual.word().store(0, Ordering::SeqCst);
        }
        change();
        if let Some(usual) = &self.usual {
            usual.word().store(self.usual_now(usual), Ordering::SeqCst);
        }
    }

    /// The usual file system, unless names are asked for on all of them.
    fn usual_now(&self, usual: &Usual) -> u32 {
        let asked = [
            std::mem::offset_of!(bee_settings, canary_tgid),
            std::mem::offset_of!(bee_settings, names_everywhere),
        ];
        let none = asked.into_iter().all(|at| self.told.atomic_u32(at).load(Ordering::Relaxed) == 0);
        if none { usual.device.load(Ordering::Relaxed) } else { 0 }
    }

    /// A process each of whose opens is an event; 0: none.
    pub fn set_canary_tgid(&self, tgid: u32) {
        self.change_usual(|| self.tell(std::mem::offset_of!(bee_settings, canary_tgid), tgid));
    }

    /// Nonzero: names are checked on every file system.
    pub fn set_names_everywhere(&self, value: u32) {
        self.change_usual(|| self.tell(std::mem::offset_of!(bee_settings, names_everywhere), value));
    }

    /// The policy in force.
    pub fn policy(&self) -> u32 {
        self.shared.atomic_u32(std::mem::offset_of!(bee_settings, policy)).load(Ordering::Acquire)
    }

    /// Says which file systems (`s_dev`) need no name check. At most
    /// `SCANNED_MAX`; the rest is checked by name, which loses nothing. `usual`, one of
    /// them, is the one most opens are of; no sensor asks for files of it but the file sensor, which
    /// is not so of /proc.
    pub fn set_scanned(&self, devices: &[u32], usual: Option<u32>) {
        self.change_usual(|| {
            self.list_scanned(devices);
            if let Some(place) = &self.usual {
                let usual = usual.filter(|usual| devices.contains(usual));
                place.device.store(usual.unwrap_or(0), Ordering::Relaxed);
            }
        });
    }

    /// What rules may be about, by the first and last byte of a name (`EDGE_*`); some bytes at a time,
    /// so that a reader in between finds what was or what will be of each.
    pub fn set_edges(&self, edges: &[u8; 256]) {
        let base = std::mem::offset_of!(bee_settings, edges);
        for (index, four) in edges.chunks_exact(4).enumerate() {
            self.tell(base + 4 * index, u32::from_ne_bytes([four[0], four[1], four[2], four[3]]));
        }
    }

    fn list_scanned(&self, devices: &[u32]) {
        let count = std::mem::offset_of!(bee_settings, scanned_count);
        let base = std::mem::offset_of!(bee_settings, scanned);
        // First none, then the list, then its length: a reader in between checks names.
        self.tell(count, 0);
        let devices = &devices[..devices.len().min(crate::wire::SCANNED_MAX)];
        for (index, device) in devices.iter().enumerate() {
            self.tell(base + 4 * index, *device);
        }
        self.tell(count, u32::try_from(devices.len()).unwrap_or(0));
    }
}

/// `struct bee_state`: what the kernel side tells.
#[derive(Debug)]
pub struct State(Mapping);

impl State {
    /// Maps the map called `state`.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn new(fd: BorrowedFd<'_>) -> Result<Self> {
        Mapping::new(fd, 0, size_of::<bee_state>().next_multiple_of(crate::sys::page_size()), true).map(Self)
    }

    /// A watched name was given to an inode the table does not know.
    pub fn names_everywhere(&self) -> bool {
        self.0.atomic_u16(std::mem::offset_of!(bee_state, names_everywhere)).load(Ordering::SeqCst) != 0
    }

    /// The scanner has been there.
    pub fn clear_names_everywhere(&self) {
        self.0.atomic_u16(std::mem::offset_of!(bee_state, names_everywhere)).store(0, Ordering::SeqCst);
    }

    /// The identity table could not take one.
    pub fn table_full(&self) -> bool {
        self.0.atomic_u16(std::mem::offset_of!(bee_state, table_full)).load(Ordering::SeqCst) != 0
    }

    /// The table was made anew.
    pub fn clear_table_full(&self) {
        self.0.atomic_u16(std::mem::offset_of!(bee_state, table_full)).store(0, Ordering::SeqCst);
    }
}

/// The kernel side's counters, by kind and cause; and those of user space, by kind and fate.
#[derive(Debug)]
pub struct Counters(Mapping);

/// A reading of all counters of one side.
pub type Reading = [[u64; CAUSE_COUNT]; KIND_COUNT];

impl Counters {
    /// Maps the map called `counters`.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn new(fd: BorrowedFd<'_>) -> Result<Self> {
        Mapping::new(fd, 0, (KIND_COUNT * CAUSE_COUNT * 8).next_multiple_of(crate::sys::page_size()), true)
            .map(Self)
    }

    /// User space's own, which begin at `reading`.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn of(reading: &Reading) -> Result<Self> {
        let length = (KIND_COUNT * CAUSE_COUNT * 8).next_multiple_of(crate::sys::page_size());
        let counters = Self(Mapping::private(length)?);
        for (kind, row) in reading.iter().enumerate() {
            for (column, value) in row.iter().enumerate() {
                counters.cell(kind, column).store(*value, Ordering::Relaxed);
            }
        }
        Ok(counters)
    }

    fn cell(&self, kind: usize, column: usize) -> &AtomicU64 {
        self.0.atomic_u64(8 * (kind * CAUSE_COUNT + column))
    }

    /// One counter.
    pub fn get(&self, kind: usize, column: usize) -> u64 {
        self.cell(kind, column).load(Ordering::Relaxed)
    }

    /// Adds to one counter (user space's side only).
    pub fn add(&self, kind: usize, column: usize, count: u64) {
        self.cell(kind, column).fetch_add(count, Ordering::Relaxed);
    }

    /// All of them.
    pub fn read(&self) -> Reading {
        let mut reading = [[0; CAUSE_COUNT]; KIND_COUNT];
        for (kind, row) in reading.iter_mut().enumerate() {
            for (column, value) in row.iter_mut().enumerate() {
                *value = self.get(kind, column);
            }
        }
        reading
    }
}

/// What one kind came to in the kernel: emitted = submitted + lost.
pub fn emitted(row: &[u64; CAUSE_COUNT]) -> u64 {
    CAUSES.iter().filter(|(column, _, lost)| *lost || *column == 0).map(|(column, ..)| row[*column]).sum()
}
