//! Records as the kernel side writes them, byte by byte: the offsets are written
//! out here once more, so that a change of the layout cannot go unnoticed.

use std::ops::{Deref, Range};

use bee_trace::wire;

/// `HOOK_TP_BTF_SYS_EXIT` and friends, as in wire.h.
pub const HOOK_SYS_EXIT: u16 = 1;
pub const HOOK_EXEC: u16 = 3;
pub const HOOK_FORK: u16 = 4;
pub const HOOK_EXIT: u16 = 5;

/// Bytes that begin at a multiple of eight, as a ring's records do.
#[derive(Clone)]
pub struct Bytes {
    words: Vec<u64>,
    length: usize,
}

impl Bytes {
    pub fn new(bytes: &[u8]) -> Self {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(8), 0xee);
        let words = padded.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect();
        Self { words, length: bytes.len() }
    }

    /// The same with some bytes replaced.
    pub fn with(&self, at: usize, new: &[u8]) -> Self {
        let mut bytes = self.to_vec();
        bytes[at..at + new.len()].copy_from_slice(new);
        Self::new(&bytes)
    }

    /// The first `length` bytes, with a header that says so where it is whole.
    pub fn cut(&self, length: usize) -> Self {
        let mut bytes = self[..length].to_vec();
        set_length(&mut bytes);
        Self::new(&bytes)
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: as many initialised bytes as words, eight times; u8 has no alignment.
        unsafe {
            &std::slice::from_raw_parts(self.words.as_ptr().cast::<u8>(), self.words.len() * 8)[..self.length]
        }
    }
}

/// What is in front of every record; `..Header::default()` is a process of root's.
#[derive(Clone, Copy)]
pub struct Header {
    pub time: u64,
    pub start: u64,
    pub cgroup: u64,
    pub exec_id: u64,
    pub flags: u64,
    pub hook: u16,
    pub result: i32,
    pub tgid: u32,
    pub tid: u32,
    pub ppid: u32,
    pub uid: u32,
    pub gid: u32,
    pub euid: u32,
    pub login_uid: u32,
    pub mnt_ns: u32,
    pub comm: &'static [u8],
}

impl Default for Header {
    fn default() -> Self {
        Self {
            time: 50_000_000_000,
            start: 40_000_000_000,
            cgroup: 7,
            exec_id: 3,
            flags: 0,
            hook: HOOK_SYS_EXIT,
            result: 0,
            tgid: 4000,
            tid: 4001,
            ppid: 3000,
            uid: 0,
            gid: 0,
            euid: 0,
            login_uid: u32::MAX,
            mnt_ns: 0,
            comm: b"cat",
        }
    }
}

fn put(out: &mut Vec<u8>, at: Range<usize>, bytes: &[u8]) {
    assert_eq!((out.len(), at.len()), (at.start, bytes.len()), "a field off its place");
    out.extend_from_slice(bytes);
}

fn set_length(bytes: &mut [u8]) {
    let length = u32::try_from(bytes.len()).unwrap().to_ne_bytes();
    if let Some(field) = bytes.get_mut(0..4) {
        field.copy_from_slice(&length);
    }
}

impl Header {
    fn bytes(&self, kind: u16) -> Vec<u8> {
        let mut comm = [0; 16];
        comm[..self.comm.len()].copy_from_slice(self.comm);
        let mut out = Vec::new();
        put(&mut out, 0..4, &[0; 4]);
        put(&mut out, 4..6, &wire::WIRE_VERSION.to_ne_bytes());
        put(&mut out, 6..8, &kind.to_ne_bytes());
        put(&mut out, 8..16, &self.time.to_ne_bytes());
        put(&mut out, 16..24, &self.start.to_ne_bytes());
        put(&mut out, 24..32, &self.cgroup.to_ne_bytes());
        put(&mut out, 32..40, &self.exec_id.to_ne_bytes());
        put(&mut out, 40..48, &self.flags.to_ne_bytes());
        put(&mut out, 48..50, &self.hook.to_ne_bytes());
        put(&mut out, 50..52, &1u16.to_ne_bytes());
        put(&mut out, 52..56, &self.result.to_ne_bytes());
        put(&mut out, 56..60, &self.tgid.to_ne_bytes());
        put(&mut out, 60..64, &self.tid.to_ne_bytes());
        put(&mut out, 64..68, &self.ppid.to_ne_bytes());
        put(&mut out, 68..72, &self.uid.to_ne_bytes());
        put(&mut out, 72..76, &self.gid.to_ne_bytes());
        put(&mut out, 76..80, &self.euid.to_ne_bytes());
        put(&mut out, 80..84, &self.login_uid.to_ne_bytes());
        put(&mut out, 84..88, &self.mnt_ns.to_ne_bytes());
        put(&mut out, 88..104, &comm);
        out
    }

    /// `struct bee_process`.
    pub fn process(&self, kind: u16, status: u32) -> Bytes {
        let mut out = self.bytes(kind);
        put(&mut out, 104..108, &status.to_ne_bytes());
        put(&mut out, 108..112, &[0; 4]);
        set_length(&mut out);
        Bytes::new(&out)
    }

    /// The birth of this process.
    pub fn fork(&self) -> Bytes {
        Self { hook: HOOK_FORK, ..*self }.process(wire::KIND_FORK, 0)
    }

    /// Its end, with a wait status.
    pub fn exit(&self, status: u32) -> Bytes {
        Self { hook: HOOK_EXIT, ..*self }.process(wire::KIND_EXIT, status)
    }

    /// `struct bee_exec`; strings as they lie in the tail.
    pub fn exec(&self, image: &[u8], script: &[u8], args: &[u8], env: &[u8]) -> Bytes {
        let mut out = Self { hook: HOOK_EXEC, ..*self }.bytes(wire::KIND_EXEC);
        put(&mut out, 104..112, &77u64.to_ne_bytes());
        put(&mut out, 112..116, &(8u32 << 20 | 1).to_ne_bytes());
        for (index, part) in [image, script, args, env].iter().enumerate() {
            put(&mut out, 116 + 2 * index..118 + 2 * index, &length(part));
        }
        put(&mut out, 124..128, &[0; 4]);
        out.extend([image, script, args, env].concat());
        set_length(&mut out);
        Bytes::new(&out)
    }

    /// `struct bee_file`.
    pub fn file(&self, kind: u16, file: &File<'_>) -> Bytes {
        let mut out = self.bytes(kind);
        put(&mut out, 104..112, &file.inode.to_ne_bytes());
        put(&mut out, 112..120, &file.value.to_ne_bytes());
        put(&mut out, 120..124, &9u32.to_ne_bytes());
        put(&mut out, 124..128, &file.device.to_ne_bytes());
        put(&mut out, 128..132, &file.node.to_ne_bytes());
        put(&mut out, 132..136, &file.mode.to_ne_bytes());
        put(&mut out, 136..140, &file.owner.0.to_ne_bytes());
        put(&mut out, 140..144, &file.owner.1.to_ne_bytes());
        put(&mut out, 144..146, &[file.access, 1]);
        put(&mut out, 146..148, &[0; 2]);
        for (index, part) in file.parts().iter().enumerate() {
            put(&mut out, 148 + 2 * index..150 + 2 * index, &length(part));
        }
        put(&mut out, 156..160, &[0; 4]);
        out.extend(file.parts().concat());
        set_length(&mut out);
        Bytes::new(&out)
    }

    /// `struct bee_socket`: TCP from 192.0.2.1:40000 to 198.51.100.7:443, or an AF_UNIX socket; as
    /// the kernel side does it the record is filled up behind the name.
    pub fn socket(&self, kind: u16, path: &[u8]) -> Bytes {
        let mut out = self.bytes(kind);
        put(&mut out, 104..108, &[192, 0, 2, 1]);
        put(&mut out, 108..120, &[0; 12]);
        put(&mut out, 120..124, &[198, 51, 100, 7]);
        put(&mut out, 124..136, &[0; 12]);
        put(&mut out, 136..144, &1u64.to_ne_bytes());
        put(&mut out, 144..146, &40_000u16.to_ne_bytes());
        put(&mut out, 146..148, &443u16.to_ne_bytes());
        let family: u16 = if path.is_empty() { 2 } else { 1 };
        put(&mut out, 148..150, &family.to_ne_bytes());
        put(&mut out, 150..152, &1u16.to_ne_bytes());
        put(&mut out, 152..154, &6u16.to_ne_bytes());
        put(&mut out, 154..156, &length(path));
        put(&mut out, 156..160, &[7, 0, 0, 0]);
        out.extend_from_slice(path);
        out.resize(if path.is_empty() { 160 } else { 160 + 112 }, 0);
        set_length(&mut out);
        Bytes::new(&out)
    }

    /// `struct bee_memory`.
    pub fn memory(&self, kind: u16, memory: &Memory<'_>) -> Bytes {
        let mut comm = [0; 16];
        comm[..memory.comm.len()].copy_from_slice(memory.comm);
        let mut out = self.bytes(kind);
        put(&mut out, 104..112, &memory.start.to_ne_bytes());
        put(&mut out, 112..116, &memory.tgid.to_ne_bytes());
        put(&mut out, 116..120, &memory.tgid.to_ne_bytes());
        put(&mut out, 120..124, &memory.uid.to_ne_bytes());
        put(&mut out, 124..128, &memory.number.to_ne_bytes());
        put(&mut out, 128..132, &memory.request.to_ne_bytes());
        put(&mut out, 132..134, &[memory.access, 0]);
        put(&mut out, 134..136, &length(memory.name));
        put(&mut out, 136..152, &comm);
        out.extend_from_slice(memory.name);
        set_length(&mut out);
        Bytes::new(&out)
    }

    /// `struct bee_kernel`.
    pub fn kernel(&self, kind: u16, code: u32, detail: u32, name: &[u8]) -> Bytes {
        let mut out = self.bytes(kind);
        put(&mut out, 104..108, &code.to_ne_bytes());
        put(&mut out, 108..112, &detail.to_ne_bytes());
        put(&mut out, 112..116, &[0; 4]);
        put(&mut out, 116..118, &length(name));
        put(&mut out, 118..120, &[0; 2]);
        out.extend_from_slice(name);
        set_length(&mut out);
        Bytes::new(&out)
    }

    /// `struct bee_cgroup`.
    pub fn cgroup(&self, id: u64, removed: u32, path: &[u8]) -> Bytes {
        let mut out = self.bytes(wire::KIND_CGROUP);
        put(&mut out, 104..112, &id.to_ne_bytes());
        put(&mut out, 112..116, &removed.to_ne_bytes());
        put(&mut out, 116..118, &length(path));
        put(&mut out, 118..120, &[0; 2]);
        out.extend_from_slice(path);
        set_length(&mut out);
        Bytes::new(&out)
    }
}

fn length(part: &[u8]) -> [u8; 2] {
    u16::try_from(part.len()).unwrap().to_ne_bytes()
}

/// The part of a memory record that is not the header.
#[derive(Clone, Copy, Default)]
pub struct Memory<'a> {
    pub start: u64,
    pub tgid: u32,
    pub uid: u32,
    pub number: u32,
    pub request: u32,
    pub access: u8,
    pub comm: &'a [u8],
    pub name: &'a [u8],
}

/// The part of a file record that is not the header.
#[derive(Clone, Copy)]
pub struct File<'a> {
    pub inode: u64,
    pub value: u64,
    pub device: u32,
    pub node: u32,
    pub mode: u32,
    pub owner: (u32, u32),
    pub access: u8,
    pub name: &'a [u8],
    pub walk: &'a [u8],
    pub name_2: &'a [u8],
    pub walk_2: &'a [u8],
}

impl Default for File<'_> {
    fn default() -> Self {
        Self {
            inode: 0,
            value: 0,
            device: 0,
            node: 0,
            mode: 0,
            owner: (u32::MAX, u32::MAX),
            access: 0,
            name: b"",
            walk: b"",
            name_2: b"",
            walk_2: b"",
        }
    }
}

impl<'a> File<'a> {
    fn parts(&self) -> [&'a [u8]; 4] {
        [self.name, self.walk, self.name_2, self.walk_2]
    }
}

/// A path as the kernel side walks it: names ended by NUL, the last one first.
pub fn walked(path: &str) -> Vec<u8> {
    path.split('/')
        .rev()
        .filter(|name| !name.is_empty())
        .flat_map(|name| [name.as_bytes(), b"\0"].concat())
        .collect()
}

/// xorshift64*: the same numbers in every run, so that a failure can be had again.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap() % limit
    }
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
