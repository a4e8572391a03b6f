//! What the daemon and the scanner say to each other, as bytes. Pure; no I/O.
//!
//! Integers are little-endian, strings are a `u32` length and bytes. Neither
//! side trusts the other: a length that does not fit is an error, never a panic,
//! and nothing is allocated for a length that the message cannot hold.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A request may have this many bytes; what is longer than [`MAX_INLINE`] travels in a memfd.
pub const MAX_REQUEST: usize = 1 << 20;
/// A datagram may have this many bytes.
pub const MAX_INLINE: usize = 32 << 10;
/// Descriptors in one reply; the kernel's limit is 253 (`SCM_MAX_FD`).
pub const MAX_FILES: usize = 64;

/// What the daemon asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Forget older requests, learn these patterns and teach every file they match.
    Scan {
        /// Chosen by the daemon; comes back in every reply.
        id: u32,
        /// Every open is watched.
        watch: Vec<String>,
        /// Only writes are.
        watch_write: Vec<String>,
        /// Exceptions to both.
        ignore: Vec<String>,
        /// Directories that are not entered.
        skip: Vec<PathBuf>,
    },
    /// Teach again what lies below a path, by the patterns of the last `Scan`.
    Tree {
        /// As above.
        id: u32,
        /// A true path: absolute, no symbolic link in it.
        path: PathBuf,
    },
    /// Send the configuration files.
    Config {
        /// As above.
        id: u32,
    },
}

/// How far a mount got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Every watched file on its file system has been taught.
    Complete,
    /// Some may be missing; names go on being checked there.
    Partial,
    /// It was not looked at; names go on being checked there.
    Skipped,
}

/// Sums of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// File systems marked complete.
    pub mounts_complete: u32,
    /// File systems walked in part.
    pub mounts_partial: u32,
    /// File systems not looked at.
    pub mounts_skipped: u32,
    /// Directories read.
    pub directories: u64,
    /// Files opened for the kernel side to learn; one with two names counts twice.
    pub files_taught: u64,
    /// Entries that could not be read (vanished ones are not among them).
    pub errors: u64,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// What the scanner answers, beside descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It runs, with one capability and its filter in place.
    Ready,
    /// One file system is finished.
    Mount {
        /// Of the request.
        id: u32,
        /// Where it is mounted.
        point: PathBuf,
        /// How far it got.
        coverage: Coverage,
        /// Why not further; empty for `Complete`.
        why: String,
    },
    /// The request is done.
    Done {
        /// Of the request.
        id: u32,
        /// What it came to.
        summary: Summary,
    },
    /// A newer `Scan` took its place.
    Superseded {
        /// Of the older one.
        id: u32,
    },
    /// The descriptors that came with this message belong to these paths.
    Config {
        /// Of the request.
        id: u32,
        /// The main file first, then the drop-ins in name order.
        paths: Vec<PathBuf>,
    },
    /// The request could not be done.
    Failed {
        /// Of the request; 0 where it could not be read.
        id: u32,
        /// Why.
        why: String,
    },
}

/// A message that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed message: {}", self.0)
    }
}

type Decoded<T> = Result<T, Malformed>;

impl Request {
    /// The message.
    ///
    /// # Errors
    /// When it would be longer than [`MAX_REQUEST`].
    pub fn encode(&self) -> Decoded<Vec<u8>> {
        let mut out = Writer::default();
        match self {
            Self::Scan { id, watch, watch_write, ignore, skip } => {
                out.head(1, *id);
                for list in [watch, watch_write, ignore] {
                    out.list(list.iter().map(String::as_bytes));
                }
                out.list(skip.iter().map(|path| path.as_os_str().as_bytes()));
            }
            Self::Tree { id, path } => {
                out.head(2, *id);
                out.bytes(path.as_os_str().as_bytes());
            }
            Self::Config { id } => out.head(3, *id),
        }
        if out.0.len() > MAX_REQUEST { Err(Malformed("more than 1 MiB of patterns")) } else { Ok(out.0) }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut input = Reader(bytes);
        let (kind, id) = (input.byte()?, input.u32()?);
        let request = match kind {
            1 => Self::Scan {
                id,
                watch: input.list(Reader::string)?,
                watch_write: input.list(Reader::string)?,
                ignore: input.list(Reader::string)?,
                skip: input.list(Reader::path)?,
            },
            2 => Self::Tree { id, path: input.path()? },
            3 => Self::Config { id },
            _ => return Err(Malformed("unknown kind of request")),
        };
        input.end(request)
    }
}

impl Answer {
    /// The message; texts are cut so that it fits a datagram.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Ready => out.head(1, 0),
            Self::Mount { id, point, coverage, why } => {
                out.head(2, *id);
                out.bytes(cut(point.as_os_str().as_bytes()));
                out.0.push(*coverage as u8);
                out.bytes(cut(why.as_bytes()));
            }
            Self::Done { id, summary } => {
                out.head(3, *id);
                let Summary { mounts_complete, mounts_partial, mounts_skipped, .. } = *summary;
                for number in [mounts_complete, mounts_partial, mounts_skipped] {
                    out.0.extend(number.to_le_bytes());
                }
                for number in [summary.directories, summary.files_taught, summary.errors, summary.duration_ms]
                {
                    out.0.extend(number.to_le_bytes());
                }
            }
            Self::Superseded { id } => out.head(4, *id),
            Self::Config { id, paths } => {
                out.head(5, *id);
                out.list(paths.iter().map(|path| path.as_os_str().as_bytes()));
            }
            Self::Failed { id, why } => {
                out.head(6, *id);
                out.bytes(cut(why.as_bytes()));
            }
        }
        out.0
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut input = Reader(bytes);
        let (kind, id) = (input.byte()?, input.u32()?);
        let answer = match kind {
            1 => Self::Ready,
            2 => Self::Mount {
                id,
                point: input.path()?,
                coverage: match input.byte()? {
                    0 => Coverage::Complete,
                    1 => Coverage::Partial,
                    2 => Coverage::Skipped,
                    _ => return Err(Malformed("unknown coverage")),
                },
                why: input.text()?,
            },
            3 => Self::Done {
                id,
                summary: Summary {
                    mounts_complete: input.u32()?,
                    mounts_partial: input.u32()?,
                    mounts_skipped: input.u32()?,
                    directories: input.u64()?,
                    files_taught: input.u64()?,
                    errors: input.u64()?,
                    duration_ms: input.u64()?,
                },
            },
            4 => Self::Superseded { id },
            5 => Self::Config { id, paths: input.list(Reader::path)? },
            6 => Self::Failed { id, why: input.text()? },
            _ => return Err(Malformed("unknown kind of answer")),
        };
        input.end(answer)
    }
}

/// A path of the kernel's has at most 4096 bytes; a reason needs fewer.
fn cut(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(4096)]
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn head(&mut self, kind: u8, id: u32) {
        self.0.push(kind);
        self.0.extend(id.to_le_bytes());
    }
    /// Saturates: a length past `u32` is past [`MAX_REQUEST`] and refused as a whole.
    fn length(&mut self, length: usize) {
        self.0.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }
    fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend(bytes);
    }
    fn list<'a>(&mut self, items: impl ExactSizeIterator<Item = &'a [u8]>) {
        self.length(items.len());
        for item in items {
            self.bytes(item);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Decoded<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed("it is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }
    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| Malformed("it is cut off"))
    }
    fn byte(&mut self) -> Decoded<u8> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }
    fn u32(&mut self) -> Decoded<u32> {
        self.array().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Decoded<u64> {
        self.array().map(u64::from_le_bytes)
    }
    fn bytes(&mut self) -> Decoded<&'a [u8]> {
        let length = self.u32()? as usize;
        self.take(length)
    }
    fn string(&mut self) -> Decoded<String> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed("a pattern is not UTF-8"))
    }
    /// For people: cutting may have split a character.
    fn text(&mut self) -> Decoded<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
    fn path(&mut self) -> Decoded<PathBuf> {
        let bytes = self.bytes()?;
        if !bytes.starts_with(b"/") || bytes.contains(&0) {
            return Err(Malformed("a path is not absolute or has a NUL"));
        }
        Ok(Path::new(&OsString::from_vec(bytes.to_vec())).to_path_buf())
    }
    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Decoded<T>) -> Decoded<Vec<T>> {
        let count = self.u32()? as usize;
        // Each item has a length of four bytes at least.
        if count > self.0.len() / 4 {
            return Err(Malformed("a list is longer than the message"));
        }
        (0..count).map(|_| item(self)).collect()
    }
    fn end<T>(&self, value: T) -> Decoded<T> {
        if self.0.is_empty() { Ok(value) } else { Err(Malformed("there is something behind its end")) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn requests() -> Vec<Request> {
        vec![
            Request::Scan {
                id: 7,
                watch: vec!["/etc/shadow".into(), "*.kdbx".into()],
                watch_write: vec!["/etc/ü".into()],
                ignore: vec![],
                skip: vec![PathBuf::from(OsString::from_vec(b"/srv/\xff".to_vec()))],
            },
            Request::Tree { id: u32::MAX, path: "/home".into() },
            Request::Config { id: 0 },
        ]
    }

    fn answers() -> Vec<Answer> {
        let summary = Summary {
            mounts_complete: 1,
            mounts_partial: 2,
            mounts_skipped: 3,
            directories: 4,
            files_taught: 5,
            errors: 6,
            duration_ms: u64::MAX,
        };
        vec![
            Answer::Ready,
            Answer::Mount { id: 1, point: "/".into(), coverage: Coverage::Partial, why: "because".into() },
            Answer::Done { id: 2, summary },
            Answer::Superseded { id: 3 },
            Answer::Config { id: 4, paths: vec!["/a".into(), "/b".into()] },
            Answer::Failed { id: 5, why: "no".into() },
        ]
    }

    #[test]
    fn both_ways_is_the_same() {
        for request in requests() {
            assert_eq!(Request::decode(&request.encode().unwrap()).unwrap(), request);
        }
        for answer in answers() {
            assert_eq!(Answer::decode(&answer.encode()).unwrap(), answer);
        }
    }

    #[test]
    fn every_cut_and_every_extra_byte_is_an_error() {
        for message in requests().iter().map(|request| request.encode().unwrap()) {
            for end in 0..message.len() {
                assert!(Request::decode(&message[..end]).is_err(), "{end} of {message:?}");
            }
            assert!(Request::decode(&[message, vec![0]].concat()).is_err());
        }
        for message in answers().iter().map(Answer::encode) {
            for end in 0..message.len() {
                assert!(Answer::decode(&message[..end]).is_err(), "{end} of {message:?}");
            }
            assert!(Answer::decode(&[message, vec![0]].concat()).is_err());
        }
    }

    #[test]
    fn every_single_changed_byte_is_read_or_refused_without_panic() {
        for message in requests().iter().map(|request| request.encode().unwrap()) {
            for at in 0..message.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut message = message.clone();
                    message[at] = value;
                    let _ = Request::decode(&message);
                    let _ = Answer::decode(&message);
                }
            }
        }
    }

    #[test]
    fn a_huge_count_allocates_nothing() {
        let mut message = vec![1, 0, 0, 0, 0];
        message.extend(u32::MAX.to_le_bytes());
        assert_eq!(Request::decode(&message), Err(Malformed("a list is longer than the message")));
    }

    #[test]
    fn relative_paths_and_nul_are_refused() {
        for bad in [&b"etc"[..], b"", b"/a\0b"] {
            let mut out = Writer::default();
            out.head(2, 1);
            out.bytes(bad);
            assert!(Request::decode(&out.0).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn too_many_patterns_are_refused_by_the_sender() {
        let watch = vec!["/x".repeat(300); 2000];
        let request = Request::Scan { id: 1, watch, watch_write: vec![], ignore: vec![], skip: vec![] };
        assert!(request.encode().is_err());
    }
}
