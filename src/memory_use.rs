//! What only the start needed, given back. Loading reads every eBPF object that is part of the
//! program and runs most of libbpf; running needs a fraction of that.

use std::ffi::c_int;
use std::ptr;

/// Gives back what was allocated and is free, and the pages of the program's own file: what is
/// needed of them comes back at its next use, from the page cache.
pub fn give_back() {
    // SAFETY: malloc_trim(3) has no preconditions.
    unsafe { libc::malloc_trim(0) };
    // SAFETY: `of_program` is such a function, and wants no data.
    unsafe { libc::dl_iterate_phdr(Some(of_program), ptr::null_mut()) };
}

/// Called with the program itself first, and for the libraries not any more (dl_iterate_phdr(3)).
unsafe extern "C" fn of_program(
    info: *mut libc::dl_phdr_info,
    _: libc::size_t,
    _: *mut libc::c_void,
) -> c_int {
    // SAFETY: the loader passes a description that is valid during the call, with as many program
    // headers as it says.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr, std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()))
    };
    let page = crate::sys::page_size() as u64;
    for header in headers {
        // Those that are never written to are the file's own pages, byte for byte. (What is
        // relocated at the start belongs to a segment that can be written to: PT_GNU_RELRO.)
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let begin = (base + header.p_vaddr).next_multiple_of(page);
        let end = (base + header.p_vaddr + header.p_memsz) / page * page;
        if let Ok(length) = usize::try_from(end.saturating_sub(begin)) {
            // SAFETY: the range is one of this program's segments, mapped from its file and not
            // writable, so that every page that is dropped is read again as it was (madvise(2)).
            unsafe { libc::madvise(begin as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        }
    }
    1
}
