//! One program at the end of every system call, for all sensors that read there: it goes on to
//! the sensor whose call it is (`src/bpf/exits.bpf.h`). And one at the end of every open, for the
//! two that look there (`src/bpf/opens.bpf.c`). What every call of the machine pays is
//! one program's run, however many sensors there are.
//!
//! Where the kernel does not take it (arm64 before 6.0 does not let programs with functions of
//! their own hand on), each sensor attaches its own program there.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use libbpf_rs::{Link, MapCore as _, MapFlags, MapHandle, ProgramMut};

use super::loader::{self, Load, Maps};
use super::maps::SCRATCH;
use super::tables;
use super::types::TypesFile;
use crate::error::{Error, Result};

/// Which programs an array takes; as one of the kernel's it takes those of one kind only.
struct Kind {
    hook: &'static str,
    /// The array: maps.bpf.h.
    array: &'static str,
    load: Load,
    /// The program in front.
    program: &'static str,
}

const fn opens(hook: &'static str, array: &'static str, program: &'static str) -> Kind {
    Kind { hook, array, load: tables::OPENS, program }
}

const KINDS: [Kind; 6] = [
    Kind { hook: "tp_btf/sys_exit", array: "exits_typed", load: tables::EXITS, program: "exits" },
    Kind { hook: "raw_tp/sys_exit", array: "exits_raw", load: tables::EXITS_PORTABLE, program: "exits" },
    opens("fexit/do_filp_open", "opens_typed", "fexit__do_filp_open"),
    opens("fexit/do_file_open", "opens_typed", "fexit__do_file_open"),
    opens("kretprobe/do_filp_open", "opens_probed", "kretprobe__do_filp_open"),
    opens("kretprobe/do_file_open", "opens_probed", "kretprobe__do_file_open"),
];

/// What lies beside the program in front, and is loaded as a trial.
const TRIAL: &str = "hands_on";

/// The place of a sensor's program in an array: `enum bee_reader`.
fn place(sensor: &str) -> Option<u32> {
    let readers = ["file", "memory", "network", "kernel"];
    readers.iter().zip(0..).find(|(reader, _)| **reader == sensor).map(|(_, place)| place)
}

/// The arrays of programs that are handed on to, by name.
pub(super) fn arrays() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.array)
}

/// Whether a program of `sensor` lies in its place, `number`, for `hook`.
pub(crate) fn is_filled(maps: &Maps, sensor: &str, hook: &str, number: u32) -> bool {
    let kind = KINDS.iter().find(|kind| kind.hook == hook);
    let array = kind.filter(|_| place(sensor) == Some(number)).and_then(|kind| maps.get(kind.array).ok());
    array.is_some_and(|array| matches!(array.lookup(&number.to_ne_bytes(), MapFlags::ANY), Ok(Some(_))))
}

/// The programs in front that are attached.
#[derive(Debug, Default)]
pub(crate) struct Exits {
    attached: Mutex<[Weak<Front>; KINDS.len()]>,
}

/// A program in front, attached as long as a sensor uses it.
#[derive(Debug)]
struct Front {
    array: MapHandle,
    program: OwnedFd,
    link: Link,
}

/// Where a sensor's program is going to be, or is.
#[derive(Debug)]
pub(crate) struct Place {
    front: Arc<Front>,
    number: u32,
    taken: bool,
}

impl Exits {
    /// A place for the program of `sensor` at `hook`, in front of which a program is attached by
    /// then. `None` where the sensor has none, or the kernel does not take that program.
    pub(crate) fn place(&self, sensor: &str, hook: &str, btf: Option<&Path>, maps: &Maps) -> Option<Place> {
        let number = place(sensor)?;
        let (kind, of_kind) = KINDS.iter().enumerate().find(|(_, kind)| kind.hook == hook)?;
        let mut attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner);
        let front = match attached[kind].upgrade() {
            Some(front) => front,
            None => match Front::new(of_kind, btf, maps) {
                Ok(front) => Arc::new(front),
                Err(why) => {
                    tracing::debug!(hook, %why, "each sensor has its own program there");
                    return None;
                }
            },
        };
        attached[kind] = Arc::downgrade(&front);
        Some(Place { front, number, taken: false })
    }
}

impl Front {
    fn new(kind: &Kind, btf: Option<&Path>, maps: &Maps) -> Result<Self> {
        let mut attached = None;
        let own = loader::own_types(btf)?;
        let btf = btf.or(own.as_ref().map(TypesFile::path));
        let said = loader::capture();
        let result = (kind.load)(
            btf,
            &mut |object| {
                loader::tell_found(object, true, own.as_ref());
                for mut program in object.progs_mut() {
                    let wanted = [kind.program, TRIAL].iter().any(|name| program.name() == *name);
                    program.set_autoload(wanted);
                }
                // It makes no record.
                for mut map in object.maps_mut().filter(|map| map.name() == SCRATCH) {
                    map.set_autocreate(false)?;
                }
                maps.share(object)
            },
            &mut |object| {
                let program = loader::program(object, kind.program)?;
                attached =
                    Some((loader::attach_trace(&program, kind.hook)?, program.as_fd().try_clone_to_owned()?));
                Ok(())
            },
        );
        let said = said();
        result.map_err(|error| loader::explain(&error, &said))?;
        let (link, program) = attached.ok_or_else(|| Error::failure("it was not attached"))?;
        let array = maps.get(kind.array)?;
        // The kernel empties the array when no process has it open any more.
        let array = MapHandle::try_from(array)?;
        Ok(Self { array, program, link })
    }
}

impl Place {
    /// Puts the program there: from now on it runs.
    ///
    /// # Errors
    /// When the kernel does not take it.
    pub(crate) fn take(mut self, program: &ProgramMut<'_>) -> Result<Self> {
        let descriptor = program.as_fd().as_raw_fd();
        self.front.array.update(&self.number.to_ne_bytes(), &descriptor.to_ne_bytes(), MapFlags::ANY)?;
        self.taken = true;
        Ok(self)
    }

    /// What keeps the program in front attached.
    pub(crate) fn link(&self) -> BorrowedFd<'_> {
        self.front.link.as_fd()
    }

    /// Its place in the array.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The program in front, which the kernel counts what it skips of.
    pub(crate) fn program(&self) -> Result<OwnedFd> {
        Ok(self.front.program.try_clone()?)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.taken {
            // The program in front is detached with the last place; after privileges are gone
            // that alone ends it.
            let _ = self.front.array.delete(&self.number.to_ne_bytes());
        }
    }
}
