//! Who something was done to: what the record says of the process, and what the
//! process table adds.

use super::process::trim;
use super::{Enrich, TICK};
use crate::event::{EntityId, Flags, Target, User};
use crate::wire::{bee_header, bee_memory};

impl Enrich {
    /// The target whose facts the kernel side read.
    pub fn target_read<'a>(&'a self, fixed: &'a bee_memory, flags: &mut Flags) -> Target<'a> {
        let ticks = fixed.target_start / TICK;
        let entry = self.processes.target(fixed.target_tgid, Some(ticks));
        if entry.is_none() {
            flags.insert(Flags::TARGET_UNKNOWN);
        }
        Target {
            pid: Some(fixed.target_tgid),
            name: trim(comm(fixed)).into(),
            executable: entry.and_then(|entry| entry.executable()),
            user: Some(self.user(fixed.target_uid)),
            start: self.clock.wall(fixed.target_start),
            entity_id: Some(EntityId { boot: self.boot, pid: fixed.target_tgid, start_ticks: ticks }),
        }
    }

    /// The target that has this number, as far as the table knows it.
    pub fn target_numbered(&self, pid: u32, header: &bee_header, flags: &mut Flags) -> Target<'_> {
        let Some(entry) = self.processes.target(pid, None) else {
            flags.insert(Flags::TARGET_UNKNOWN);
            return Target { pid: Some(pid), ..Target::default() };
        };
        if entry.over(header.time) {
            flags.insert(Flags::TARGET_EXITED);
        }
        Target {
            pid: Some(pid),
            name: entry.name().into(),
            executable: entry.executable(),
            user: Some(self.user(entry.uid)),
            start: entry.start_ticks.map_or(0, |ticks| self.clock.wall(ticks.saturating_mul(TICK))),
            entity_id: entry.start_ticks.map(|start_ticks| EntityId { boot: self.boot, pid, start_ticks }),
        }
    }

    fn user(&self, id: u32) -> User<'_> {
        User { id, name: self.users.name(id) }
    }
}

fn comm(fixed: &bee_memory) -> &[u8] {
    // SAFETY: i8 and u8 have the same size and every bit pattern is both; C's
    // char is signed on x86 and the skeleton says i8.
    unsafe { &*(std::ptr::from_ref(&fixed.target_comm) as *const [u8; 16]) }
}
