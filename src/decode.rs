//! Bytes to records. A pure function of its input: no I/O, no state, no panic on
//! any bytes (fuzzed). What a record says of its own length is checked against
//! what is there before anything is looked at.

use std::fmt;

use plain::Plain;

use crate::wire::{
    self, WIRE_VERSION, bee_cgroup, bee_exec, bee_file, bee_header, bee_kernel, bee_memory, bee_process,
    bee_socket,
};

/// Bytes a record has for the name of an AF_UNIX socket (`BEE_UNIX_PATH` of maps.bpf.h).
const UNIX_PATH: u16 = 112;

/// One record, borrowed from the ring.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Who, when, by which hook.
    pub header: &'a bee_header,
    /// What.
    pub body: Body<'a>,
}

/// The part after the header, its tail cut into strings.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// A new program image.
    Exec(Exec<'a>),
    /// A new process; the header is the child's.
    Fork {
        /// Whoever `ppid` is made it for its own parent to have.
        sibling: bool,
    },
    /// A process ended, with a wait status.
    Exit(u32),
    /// An act on a file, or an identity.
    File(File<'a>),
    /// An act on another process.
    Memory(Memory<'a>),
    /// A change of the kernel, or a signal for the daemon.
    Kernel(Kernel<'a>),
    /// A cgroup was made or removed.
    Cgroup {
        /// Its cgroup v2 id.
        id: u64,
        /// Whether it is gone.
        removed: bool,
        /// Path below the cgroup mount.
        path: &'a [u8],
    },
    /// An act on a socket.
    Socket(Socket<'a>),
}

/// See `struct bee_socket`.
#[derive(Clone, Copy, Debug)]
pub struct Socket<'a> {
    /// The fixed part.
    pub fixed: &'a bee_socket,
    /// The name of an AF_UNIX socket, as in `sun_path`; empty of any other.
    pub path: &'a [u8],
}

/// See `struct bee_exec`.
#[derive(Clone, Copy, Debug)]
pub struct Exec<'a> {
    /// Inode number of the image.
    pub inode: u64,
    /// `s_dev` of its file system.
    pub device: u32,
    /// Walked path of the image.
    pub image: Walk<'a>,
    /// What was asked for, where it is not the image or the image is not told; empty otherwise.
    pub script: &'a [u8],
    /// argv, NUL after each.
    pub args: &'a [u8],
    /// Names of environment variables, NUL after each.
    pub env: &'a [u8],
}

/// See `struct bee_file`.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// The fixed part.
    pub fixed: &'a bee_file,
    /// The name as given; empty where the act was on a descriptor.
    pub name: &'a [u8],
    /// The file's own path, or that of the directory `name` is relative to.
    pub walk: Walk<'a>,
    /// Second name.
    pub name_2: &'a [u8],
    /// Its directory.
    pub walk_2: Walk<'a>,
}

/// See `struct bee_memory`.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    /// The fixed part.
    pub fixed: &'a bee_memory,
    /// The name as given; empty where the target is known without.
    pub name: &'a [u8],
}

/// See `struct bee_kernel`.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<'a> {
    /// The fixed part.
    pub fixed: &'a bee_kernel,
    /// A module's name; empty where it is not known.
    pub name: &'a [u8],
}

/// A walked path: names ended by NUL, last component first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk<'a>(pub &'a [u8]);

impl Walk<'_> {
    /// Appends the path, from the root: `/a/b/c`. Nothing for the root itself.
    pub fn write(self, out: &mut Vec<u8>) {
        let names = self.0.strip_suffix(b"\0").unwrap_or(self.0);
        if self.0.is_empty() {
            return;
        }
        for name in names.rsplit(|byte| *byte == 0) {
            out.push(b'/');
            out.extend_from_slice(name);
        }
    }
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// Shorter than the fixed part of its kind.
    Short,
    /// Written by a build with another wire format.
    Version(u16),
    /// A kind this build does not know.
    Kind(u16),
    /// The length it states is not the length it has, or its strings do not fit.
    Length,
    /// Not where the kernel puts records.
    Alignment,
}

impl fmt::Display for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("a record is shorter than its fixed part"),
            Self::Version(version) => {
                write!(f, "a record of wire format {version}, this build reads {WIRE_VERSION}")
            }
            Self::Kind(kind) => write!(f, "a record of the unknown kind {kind}"),
            Self::Length => f.write_str("a record's lengths do not add up"),
            Self::Alignment => f.write_str("a record is not aligned to eight bytes"),
        }
    }
}

fn fixed<T: Plain>(bytes: &[u8]) -> Result<&T, Undecodable> {
    plain::from_bytes(bytes).map_err(|error| match error {
        plain::Error::TooShort => Undecodable::Short,
        plain::Error::BadAlignment => Undecodable::Alignment,
    })
}

/// Cuts strings off a tail, each exactly as long as the record says.
struct Tail<'a>(&'a [u8]);

impl<'a> Tail<'a> {
    fn new<T>(bytes: &'a [u8]) -> Result<Self, Undecodable> {
        bytes.get(size_of::<T>()..).map(Self).ok_or(Undecodable::Short)
    }
    fn take(&mut self, length: u16) -> Result<&'a [u8], Undecodable> {
        let (string, rest) = self.0.split_at_checked(usize::from(length)).ok_or(Undecodable::Length)?;
        self.0 = rest;
        Ok(string)
    }
    /// A string that ends with NUL in the record, without it.
    fn string(&mut self, length: u16) -> Result<&'a [u8], Undecodable> {
        let string = self.take(length)?;
        Ok(string.strip_suffix(b"\0").unwrap_or(string))
    }
    fn end(self) -> Result<(), Undecodable> {
        if self.0.is_empty() { Ok(()) } else { Err(Undecodable::Length) }
    }
}

/// When a record was made, for merging two rings in order; the end of time where
/// the bytes are no record.
pub fn time(bytes: &[u8]) -> u64 {
    fixed::<bee_header>(bytes).map_or(u64::MAX, |header| header.time)
}

/// What every record begins with; `None` where the bytes are no record of this version.
pub fn header(bytes: &[u8]) -> Option<&bee_header> {
    fixed::<bee_header>(bytes).ok().filter(|header| header.version == WIRE_VERSION)
}

/// Takes a record apart.
///
/// # Errors
/// Says why the bytes are no record; the caller counts it.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, Undecodable> {
    let header: &bee_header = fixed(bytes)?;
    if header.version != WIRE_VERSION {
        return Err(Undecodable::Version(header.version));
    }
    if header.length as usize != bytes.len() {
        return Err(Undecodable::Length);
    }
    let body = match header.kind {
        wire::KIND_EXEC => {
            let exec: &bee_exec = fixed(bytes)?;
            let mut tail = Tail::new::<bee_exec>(bytes)?;
            let body = Exec {
                inode: exec.inode,
                device: exec.device,
                image: Walk(tail.take(exec.image_length)?),
                script: tail.string(exec.script_length)?,
                args: tail.take(exec.args_length)?,
                env: tail.take(exec.env_length)?,
            };
            tail.end()?;
            Body::Exec(body)
        }
        wire::KIND_FORK | wire::KIND_EXIT => {
            let process: &bee_process = fixed(bytes)?;
            Tail::new::<bee_process>(bytes)?.end()?;
            if header.kind == wire::KIND_FORK {
                Body::Fork { sibling: process.status != 0 }
            } else {
                Body::Exit(process.status)
            }
        }
        wire::KIND_OPEN..=wire::KIND_IDENTITY => {
            let file: &bee_file = fixed(bytes)?;
            let mut tail = Tail::new::<bee_file>(bytes)?;
            let [name, walk, name_2, walk_2] = file.length;
            let body = File {
                fixed: file,
                name: tail.string(name)?,
                walk: Walk(tail.take(walk)?),
                name_2: tail.string(name_2)?,
                walk_2: Walk(tail.take(walk_2)?),
            };
            tail.end()?;
            Body::File(body)
        }
        wire::KIND_PTRACE..=wire::KIND_PIDFD_GETFD => {
            let memory: &bee_memory = fixed(bytes)?;
            let mut tail = Tail::new::<bee_memory>(bytes)?;
            let body = Memory { fixed: memory, name: tail.string(memory.name_length)? };
            tail.end()?;
            Body::Memory(body)
        }
        wire::KIND_MODULE_LOAD..=wire::KIND_KILL => {
            let kernel: &bee_kernel = fixed(bytes)?;
            let mut tail = Tail::new::<bee_kernel>(bytes)?;
            let body = Kernel { fixed: kernel, name: tail.string(kernel.name_length)? };
            tail.end()?;
            Body::Kernel(body)
        }
        wire::KIND_CGROUP => {
            let group: &bee_cgroup = fixed(bytes)?;
            let mut tail = Tail::new::<bee_cgroup>(bytes)?;
            let path = tail.take(group.path_length)?;
            let path = path.split(|byte| *byte == 0).next().unwrap_or(path);
            tail.end()?;
            Body::Cgroup { id: group.id, removed: group.removed != 0, path }
        }
        wire::KIND_CONNECT..=wire::KIND_SOCKET => {
            let socket: &bee_socket = fixed(bytes)?;
            // A name, filled up to the room it has; or nothing.
            let mut tail = Tail::new::<bee_socket>(bytes)?;
            let room = if socket.facts.path_length == 0 { 0 } else { UNIX_PATH };
            let mut name = Tail(tail.take(room)?);
            tail.end()?;
            let path = name.take(socket.facts.path_length)?;
            Body::Socket(Socket { fixed: socket, path })
        }
        kind => return Err(Undecodable::Kind(kind)),
    };
    Ok(Record { header, body })
}
