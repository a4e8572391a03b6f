//! Classic tracepoints, of which a program gets a record instead of structures: where the
//! fields of the record are is read from tracefs and told to the program before it is
//! loaded. They differ between kernels: reading at the places of another is not refused
//! by anybody and gives garbage.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use libbpf_rs::libbpf_sys::{self, perf_event_attr};
use libbpf_rs::{Link, OpenObject, ProgramMut};

use super::Variant;
use crate::error::{Error, Result};
use crate::kernel::tracefs::{self, Format, FormatError, Kind};
use crate::kernel::{Places, plain};

/// In front of the event in `bee.hook`.
const HOOK: &str = "tp/";
/// The part of an object that has the places of fields: see nobtf.bpf.h.
const FIELDS: &str = ".rodata.fields";

/// A field of an event that a program reads.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As in the format file.
    pub name: &'static str,
    /// How the program reads it.
    pub shape: Shape,
    /// Where in the object's `struct bee_fields` its place is kept, in bytes.
    pub at: usize,
}

/// How a program reads a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A number of this many bytes.
    Number(u32),
    /// A string behind the fields.
    Text,
}

impl Field {
    /// Its place in this format, or why the program cannot read it.
    fn place(&self, format: &Format) -> std::result::Result<u32, String> {
        let event = &format.name;
        let Some(field) = format.field(self.name) else {
            return Err(format!("the event {event} of this kernel has no field {}", self.name));
        };
        let as_expected = match self.shape {
            Shape::Number(bytes) => field.kind == Kind::Value && field.size == bytes,
            Shape::Text => field.kind == Kind::DataLoc,
        };
        if as_expected {
            return Ok(field.offset);
        }
        Err(format!("the field {} of this kernel's event {event} is another: {}", self.name, field.ctype))
    }
}

/// Why a variant cannot work here: its tracepoint or a field of it is not there. `None` where it
/// can, or is none of a classic tracepoint.
pub fn missing(variant: &Variant) -> Option<String> {
    let event = variant.hook.strip_prefix(HOOK)?;
    match format(event) {
        Ok(format) => variant.fields.iter().find_map(|field| field.place(&format).err()),
        Err(why) => Some(why),
    }
}

/// Tells an object where the fields are that these programs read.
///
/// # Errors
/// When one is not there, which [`missing`] says before.
pub fn tell<'a>(object: &mut OpenObject, variants: impl Iterator<Item = &'a Variant>) -> Result<()> {
    let mut places = Vec::new();
    for variant in variants {
        let Some(event) = variant.hook.strip_prefix(HOOK) else { continue };
        let format = format(event).map_err(Error::failure)?;
        for field in variant.fields {
            places.push((field.at, field.place(&format).map_err(Error::failure)?));
        }
    }
    if places.is_empty() {
        return Ok(());
    }
    let no_room = || Error::failure(format!("the object has no room in {FIELDS} for the places of fields"));
    let mut map = object.maps_mut().find(|map| map.name() == FIELDS).ok_or_else(no_room)?;
    let bytes = map.initial_value_mut().ok_or_else(no_room)?;
    for (at, place) in places {
        bytes.get_mut(at..at + 4).ok_or_else(no_room)?.copy_from_slice(&place.to_ne_bytes());
    }
    Ok(())
}

/// Attaches a program to the classic tracepoint of this hook; `None` where it is another's.
///
/// Not left to libbpf, which finds the event's number in a mounted tracefs only.
pub fn attach(program: &ProgramMut<'_>, hook: &str) -> Option<Result<Link>> {
    let event = hook.strip_prefix(HOOK)?;
    Some(format(event).map_err(Error::failure).and_then(|format| {
        let event = open_event(format.id)?;
        // A link closes it.
        let link = program.attach_perf_event(event.as_raw_fd())?;
        let _ = event.into_raw_fd();
        Ok(link)
    }))
}

fn open_event(id: u32) -> io::Result<OwnedFd> {
    let attributes = perf_event_attr {
        type_: libbpf_sys::PERF_TYPE_TRACEPOINT,
        size: u32::try_from(size_of::<perf_event_attr>()).unwrap_or(0),
        config: id.into(),
        ..Default::default()
    };
    let (any_process, cpu, no_group) = (-1, 0, -1);
    // SAFETY: perf_event_open(2) with attributes whose size is said and which live across the
    // call. The processor does not matter: programs of a tracepoint run on all.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            any_process,
            cpu,
            no_group,
            libbpf_sys::PERF_FLAG_FD_CLOEXEC,
        )
    };
    owned(fd)
}

fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(fd) {
        // SAFETY: the kernel has just given this descriptor to us alone.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The format of `category/event`, read once.
fn format(event: &str) -> std::result::Result<Format, String> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Format>>> = LazyLock::new(Mutex::default);
    let Some((category, name)) = event.split_once('/') else {
        return Err(format!("{event} is no tracepoint"));
    };
    if let Ok(known) = KNOWN.lock()
        && let Some(format) = known.get(event)
    {
        return Ok(format.clone());
    }
    let format = match tracefs::format(&Places::default(), category, name) {
        Err(FormatError::NoTracefs) => mounted_nowhere(category, name),
        read => read.map_err(|why| why.to_string()),
    }?;
    if let Ok(mut known) = KNOWN.lock() {
        known.insert(event.to_owned(), format.clone());
    }
    Ok(format)
}

/// Reads a format where tracefs is mounted nowhere (containers): by a mount that no one sees
/// and that is gone with its descriptor.
fn mounted_nowhere(category: &str, name: &str) -> std::result::Result<Format, String> {
    let mount = detached().map_err(|error| {
        let why = plain(&error);
        format!("{}, and it cannot be mounted for a moment: {why}", FormatError::NoTracefs)
    })?;
    let root = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
    tracefs::format_in(&root, category, name).map_err(|why| why.to_string())
}

fn detached() -> io::Result<OwnedFd> {
    // linux/mount.h
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    const MOUNT_ATTR_RDONLY: libc::c_uint = 1;
    // SAFETY: fsopen(2): a C string and a number.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"tracefs".as_ptr(), FSOPEN_CLOEXEC) })?;
    let nothing = std::ptr::null::<libc::c_char>();
    // SAFETY: fsconfig(2) with a descriptor that is open; this command takes no key and no value.
    let made = unsafe {
        libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), FSCONFIG_CMD_CREATE, nothing, nothing, 0)
    };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fsmount(2) with a descriptor that is open, and numbers.
    owned(unsafe {
        libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Format {
        let path = format!("{}/tests/fixtures/tracefs/{name}", env!("CARGO_MANIFEST_DIR"));
        tracefs::parse(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn a_field_is_where_this_kernel_has_it_or_the_program_is_not_for_it() {
        let place = |name, shape, format: &str| Field { name, shape, at: 0 }.place(&fixture(format));
        let pid = |format| place("child_pid", Shape::Number(4), format);
        assert_eq!(pid("sched_process_fork-6.18"), Ok(20));
        assert_eq!(pid("sched_process_fork-6.1"), Ok(44));
        assert_eq!(pid("sched_process_fork-rhel9"), Ok(48));
        assert_eq!(place("filename", Shape::Text, "sched_process_exec-6.18"), Ok(8));
        let why = place("group_dead", Shape::Number(1), "sched_process_fork-6.18").unwrap_err();
        assert!(why.contains("no field group_dead"), "{why}");
        // A string that was an array before, a number of another size.
        let why = place("parent_comm", Shape::Text, "sched_process_fork-6.1").unwrap_err();
        assert!(why.contains("parent_comm"), "{why}");
        assert!(place("child_pid", Shape::Number(8), "sched_process_fork-6.18").is_err());
    }
}
