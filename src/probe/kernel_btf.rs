//! The bytes of the kernel's own BTF: mapped where the kernel can (since 6.16), else
//! read, which takes ten times as long.

use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// Where a kernel that has its types built in shows them, and where libbpf looks.
const PATH: &str = "/sys/kernel/btf/vmlinux";

/// The BTF of the running kernel.
#[derive(Debug)]
pub(crate) enum KernelBtf {
    /// The kernel's own memory.
    Mapped { start: NonNull<u8>, length: NonZeroUsize },
    /// A copy.
    Read(Vec<u8>),
}

impl KernelBtf {
    /// Opens it.
    ///
    /// # Errors
    /// When the kernel has none, or does not let us read it.
    pub(crate) fn open() -> io::Result<Self> {
        let file = File::open(PATH)?;
        let length = usize::try_from(file.metadata()?.len()).ok().and_then(NonZeroUsize::new);
        let Some(length) = length else { return Ok(Self::Read(fs::read(PATH)?)) };
        // SAFETY: a new mapping, at an address the kernel chooses, touches nothing of ours.
        match unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, &file, 0) } {
            Ok(start) => Ok(Self::Mapped { start: start.cast(), length }),
            Err(_) => Ok(Self::Read(fs::read(PATH)?)),
        }
    }
}

impl Deref for KernelBtf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            // SAFETY: mapped in `open`, readable, and as long as said until `drop`; the kernel's types
            // are never written after it has started.
            Self::Mapped { start, length } => unsafe {
                std::slice::from_raw_parts(start.as_ptr(), length.get())
            },
            Self::Read(bytes) => bytes,
        }
    }
}

impl Drop for KernelBtf {
    fn drop(&mut self) {
        if let Self::Mapped { start, length } = self {
            // SAFETY: the whole mapping made in `open`; no slice of it outlives self.
            let _ = unsafe { munmap(start.cast(), length.get()) };
        }
    }
}
