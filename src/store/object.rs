//! What a descriptor is, by the kernel's own word. Descriptors that were kept elsewhere are
//! anybody's until they were asked.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd};

use libbpf_rs::libbpf_sys;

use crate::error::{Error, Result};

/// Kinds of descriptors that are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A BPF map.
    Map,
    /// A BPF program.
    Program,
    /// What keeps a program attached.
    Link,
    /// Anonymous memory.
    Memory,
    /// Something else.
    Other,
}

/// Which it is. A file's own name is a path and cannot pass for one of these.
pub fn kind(fd: BorrowedFd<'_>) -> Kind {
    let name = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default();
    match name.as_os_str().as_encoded_bytes() {
        b"anon_inode:bpf-map" => Kind::Map,
        b"anon_inode:bpf-prog" => Kind::Program,
        b"anon_inode:bpf_link" | b"anon_inode:bpf-link" => Kind::Link,
        other if other.starts_with(b"/memfd:") => Kind::Memory,
        _ => Kind::Other,
    }
}

/// What a map is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFacts {
    /// Its number in the kernel.
    pub id: u32,
    /// `enum bpf_map_type`.
    pub kind: u32,
    /// Bytes.
    pub key_size: u32,
    /// Bytes.
    pub value_size: u32,
    /// Entries; of a ring, bytes.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Its name, cut by the kernel to 15 bytes.
    pub name: Name,
}

/// What the kernel keeps of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name([u8; 16]);

impl Name {
    /// Of a map that is called so in its object.
    pub fn of(name: &str) -> Self {
        let mut kept = [0; 16];
        for (to, from) in kept.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        Self(kept)
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        String::from_utf8_lossy(&self.0[..end]).fmt(f)
    }
}

/// Asks a descriptor for what the kernel knows of it. `T` is the kernel's structure for its kind.
fn info<T: Default>(fd: BorrowedFd<'_>) -> Result<T> {
    let mut info = T::default();
    let mut length = u32::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: the descriptor is open, and `info` is all zero (no buffers asked for) and as long as
    // said (BPF_OBJ_GET_INFO_BY_FD of bpf(2)); each T below is plain numbers.
    let failed =
        unsafe { libbpf_sys::bpf_obj_get_info_by_fd(fd.as_raw_fd(), (&raw mut info).cast(), &mut length) };
    if failed != 0 {
        let error = std::io::Error::from_raw_os_error(failed.saturating_neg());
        return Err(Error::from(error).context("ask for facts about a descriptor"));
    }
    Ok(info)
}

/// Of a map.
///
/// # Errors
/// When it is none.
pub fn map(fd: BorrowedFd<'_>) -> Result<MapFacts> {
    if kind(fd) != Kind::Map {
        return Err(Error::failure("it is no BPF map"));
    }
    let info: libbpf_sys::bpf_map_info = info(fd)?;
    Ok(MapFacts {
        id: info.id,
        kind: info.type_,
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        flags: info.map_flags,
        name: Name(info.name.map(|letter| letter.to_ne_bytes()[0])),
    })
}

/// The maps a program uses, by their numbers.
///
/// # Errors
/// When it is none.
pub fn maps_of(program: BorrowedFd<'_>) -> Result<Vec<u32>> {
    if kind(program) != Kind::Program {
        return Err(Error::failure("it is no BPF program"));
    }
    let count = info::<libbpf_sys::bpf_prog_info>(program)?.nr_map_ids;
    // As many as the kernel lets a program have: MAX_USED_MAPS of linux/bpf_verifier.h.
    let mut ids = vec![0_u32; usize::try_from(count.min(64)).unwrap_or(0)];
    let mut info = libbpf_sys::bpf_prog_info {
        nr_map_ids: u32::try_from(ids.len()).unwrap_or(0),
        map_ids: ids.as_mut_ptr() as u64,
        ..Default::default()
    };
    let mut length = u32::try_from(size_of_val(&info)).unwrap_or(0);
    // SAFETY: the descriptor is open, `info` as long as said, and the only buffer it names is `ids`,
    // which has room for as many numbers as it says and is not touched meanwhile.
    let failed = unsafe {
        libbpf_sys::bpf_obj_get_info_by_fd(program.as_raw_fd(), (&raw mut info).cast(), &mut length)
    };
    if failed != 0 {
        let error = std::io::Error::from_raw_os_error(failed.saturating_neg());
        return Err(Error::from(error).context("ask for the maps of a program"));
    }
    ids.truncate(usize::try_from(info.nr_map_ids).unwrap_or(0));
    Ok(ids)
}

/// Opens the program with a number in the kernel.
///
/// # Errors
/// When there is none, or it is not allowed (it takes `CAP_SYS_ADMIN`).
pub fn open_program(id: u32) -> Result<OwnedFd> {
    // SAFETY: a plain number goes in, a descriptor of our own or an error comes out.
    let fd = unsafe { libbpf_sys::bpf_prog_get_fd_by_id(id) };
    if fd < 0 {
        let error = std::io::Error::from_raw_os_error(fd.saturating_neg());
        return Err(Error::from(error).context(format!("open the program {id}")));
    }
    // SAFETY: it is open, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A program's number in the kernel.
///
/// # Errors
/// When it is none.
pub fn program(fd: BorrowedFd<'_>) -> Result<u32> {
    if kind(fd) != Kind::Program {
        return Err(Error::failure("it is no BPF program"));
    }
    info::<libbpf_sys::bpf_prog_info>(fd).map(|info| info.id)
}

/// A link's number in the kernel, and that of the program it keeps attached.
///
/// # Errors
/// When it is none: of kprobes and tracepoints before 5.15, whose programs hang on a descriptor
/// that tells nothing of itself.
pub fn link(fd: BorrowedFd<'_>) -> Result<(u32, u32)> {
    if kind(fd) != Kind::Link {
        return Err(Error::failure("it is no BPF link"));
    }
    info::<libbpf_sys::bpf_link_info>(fd).map(|info| (info.id, info.prog_id))
}

/// Whether a link keeps its program attached: those of cgroups can be detached by others
/// (`BPF_LINK_DETACH`) and then have no cgroup any more; no other kind of ours can.
///
/// # Errors
/// When it is no link.
pub fn is_attached(fd: BorrowedFd<'_>) -> Result<bool> {
    if kind(fd) != Kind::Link {
        return Err(Error::failure("it is no BPF link"));
    }
    let info: libbpf_sys::bpf_link_info = info(fd)?;
    if info.type_ != libbpf_sys::BPF_LINK_TYPE_CGROUP {
        return Ok(true);
    }
    // SAFETY: of this type the kernel fills this part (bpf_cgroup_link_fill_link_info), and plain
    // numbers have no wrong values.
    Ok(unsafe { info.__bindgen_anon_1.cgroup }.cgroup_id != 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn what_is_no_map_says_so() {
        let (pipe, _other) = nix::unistd::pipe().unwrap();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let memory = nix::sys::memfd::memfd_create("x", nix::sys::memfd::MFdFlags::empty()).unwrap();
        assert_eq!(kind(memory.as_fd()), Kind::Memory);
        for fd in [pipe.as_fd(), file.as_fd()] {
            assert_eq!(kind(fd), Kind::Other);
        }
        for fd in [pipe.as_fd(), file.as_fd(), memory.as_fd()] {
            assert!(map(fd).unwrap_err().to_string().contains("no BPF map"));
            assert!(program(fd).unwrap_err().to_string().contains("no BPF program"));
            assert!(link(fd).unwrap_err().to_string().contains("no BPF link"));
        }
    }
}
