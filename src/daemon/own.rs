//! What the daemon has in the kernel: asked for once, while it may ask.

use std::os::fd::{AsFd as _, BorrowedFd};

use crate::pipeline::OwnObjects;
use crate::probe::loader::{Maps, Sensor};
use crate::store::object;

/// The numbers of all programs, maps and links. One that cannot be asked for is left out and named
/// in the log: who reaches for it is told as for anybody's.
pub(super) fn own_objects(sensors: &[Sensor], maps: &Maps) -> OwnObjects {
    let mut own = OwnObjects::default();
    for (name, map) in maps.all() {
        match object::map(map.as_fd()) {
            Ok(facts) => drop(own.maps.insert(facts.id)),
            Err(error) => tracing::debug!(map = name, %error, "not known as the daemon's own"),
        }
    }
    for part in sensors.iter().flat_map(Sensor::parts) {
        program(&mut own, part.program);
        // Before 5.15 what attaches kprobes and tracepoints is no link and has no number.
        if let Ok((link, _)) = object::link(part.link) {
            own.links.insert(link);
        }
    }
    // Programs that another one hands on to are held by an array alone.
    for id in maps.handed_on() {
        own.programs.insert(id);
        match object::open_program(id) {
            Ok(fd) => program(&mut own, fd.as_fd()),
            Err(error) => tracing::debug!(program = id, %error, "its maps are not known as the daemon's own"),
        }
    }
    own
}

/// A program and the maps it uses, those of its object alone among them.
fn program(own: &mut OwnObjects, fd: BorrowedFd<'_>) {
    let known = object::program(fd).and_then(|id| Ok((id, object::maps_of(fd)?)));
    match known {
        Ok((id, maps)) => {
            own.programs.insert(id);
            own.maps.extend(maps);
        }
        Err(error) => tracing::debug!(%error, "a program is not known as the daemon's own"),
    }
}
