//! Acts on files: which paths, whether it is an event, and what it looks like;
//! and the identities the scanner shows.

use std::rc::Rc;

use super::{Errand, Fate, Pipeline, frame};
use crate::decide::{FileFacts, Match, Verdict};
use crate::decode::File;
use crate::event::{Access, Action, Device, Flags, Text};
use crate::wire::{self, bee_file, bee_header};
use crate::{canary, event, path};

/// A file whose identity the kernel side knows. An inode number is given again;
/// the generation tells.
#[derive(Debug)]
pub(super) struct Learned {
    generation: u32,
    path: Rc<[u8]>,
}

/// Identities remembered with their paths at most.
const LEARNED: usize = 65_536;

impl Pipeline {
    /// The scanner showed a file to the kernel side.
    pub(super) fn identity(&mut self, file: &File<'_>) -> Fate {
        let fixed = file.fixed;
        self.path.clear();
        file.walk.write(&mut self.path);
        if fixed.value & wire::WATCH_MOUNT != 0 {
            self.errands.push(Errand::Complete { point: self.path.clone(), device: fixed.device });
            return Fate::Context;
        }
        if fixed.node != 0 {
            self.devices.insert(fixed.node, self.path.as_slice().into());
        } else {
            self.learn(fixed);
        }
        Fate::Context
    }

    /// The file at `self.path` is a watched one with this identity.
    fn learn(&mut self, fixed: &bee_file) {
        let (device, inode, generation) = (fixed.device, fixed.inode, fixed.inode_generation);
        // Of several names of one file that whose every open is watched says the most.
        let known = self.learned.get(&(device, inode)).filter(|known| known.generation == generation);
        if known.is_some_and(|known| self.decide.watched(&known.path, false)) {
            return;
        }
        if self.learned.len() >= LEARNED && !self.learned.contains_key(&(device, inode)) {
            // Most are of files long gone: begin anew, and be shown those that are there.
            self.learned.clear();
            self.errands.push(Errand::RescanAll);
        }
        self.learned.insert((device, inode), Learned { generation, path: self.path.as_slice().into() });
    }

    pub(super) fn file(
        &mut self,
        header: &bee_header,
        action: Action,
        file: &File<'_>,
        sequence: u64,
    ) -> Fate {
        let fixed = file.fixed;
        let mut flags = Flags(header.flags);
        let by_name = !file.name.is_empty();

        // Which paths: of the file itself, or given names joined to their directories.
        self.path.clear();
        self.other.clear();
        // Where nothing is known of the process, neither is its directory.
        let join = if flags.contains(Flags::PROCESS_PARTIAL) { path::alone } else { path::join };
        match action {
            Action::Rename | Action::Link => {
                join(file.walk, file.name, &mut self.other);
                join(file.walk_2, file.name_2, &mut self.path);
            }
            _ if by_name => join(file.walk, file.name, &mut self.path),
            _ => file.walk.write(&mut self.path),
        }
        if action == Action::Symlink && !file.name_2.is_empty() {
            path::resolve_link(&self.path, file.name_2, &mut self.other);
        }
        if by_name {
            flags.insert(Flags::PATH_FROM_ARGS);
            if [&self.path, &self.other].iter().any(|path| path.first().is_some_and(|byte| *byte != b'/')) {
                flags.insert(Flags::PATH_RELATIVE);
            }
        }
        if self.canary.pid != 0 && self.canary.pid == header.tgid {
            // Of the other acts it does what was done is not compared: they have names of its own.
            let right = action != Action::Open
                || header.result < 0
                || self.path == self.canary_path
                || self.path == canary::FILE;
            self.canary.hears(header, right);
            return Fate::Canary;
        }
        if self.own.contains(&header.tgid) {
            return Fate::Own;
        }

        // Whether it is an event.
        let node = (fixed.node != 0).then_some(fixed.node);
        let known = match node {
            Some(node) => self.devices.get(&node),
            None => self
                .learned
                .get(&(fixed.device, fixed.inode))
                .filter(|known| fixed.inode != 0 && known.generation == fixed.inode_generation)
                .map(|known| &known.path),
        };
        let known = known.cloned();
        let known_as = known.as_deref();
        let actor = self.enrich.actor(header);
        let facts = FileFacts {
            action,
            path: &self.path,
            other: &self.other,
            known_as,
            writes: fixed.access & 2 != 0,
            refused: header.result < 0,
            executable: self.enrich.sure_path(header, &actor),
            unit: self.enrich.cgroups.get(header.cgroup).and_then(|(unit, _)| unit),
        };
        let (verdict, by) = self.decide.file(&facts);
        if matches!(action, Action::Rename | Action::Link) && header.result == 0 {
            let to = self.path.clone();
            self.errands.push(if verdict == Verdict::NotWatched {
                Errand::Moved(to)
            } else {
                Errand::Rescan(to)
            });
        }
        if fixed.inode != 0 && node.is_none() && known_as.is_none() && verdict != Verdict::NotWatched {
            // The kernel side learned it at once; other names of it are known by this.
            self.learn(fixed);
        }
        let severity = match verdict {
            Verdict::Deliver(severity) => severity,
            Verdict::Excluded => return Fate::Excluded,
            Verdict::NotWatched => {
                if fixed.inode != 0 && known_as.is_none() {
                    self.errands.push(Errand::Unlearn { inode: fixed.inode, device: fixed.device });
                }
                return Fate::NotWatched;
            }
        };

        // What it looks like to a reader.
        if by == Match::Identity {
            flags.insert(Flags::BY_IDENTITY);
        } else {
            flags.0 &= !Flags::BY_IDENTITY.0;
        }
        flags.insert(actor.flags);
        let other = || Some(Text::from(&*self.other));
        let body = event::Body::File(event::File {
            path: (&*self.path).into(),
            target_path: match action {
                Action::Symlink => Some(file.name_2.into()),
                Action::Link => other(),
                _ => None,
            },
            old_path: if action == Action::Rename { other() } else { None },
            known_as: known_as.filter(|_| by == Match::Identity).map(Text::from),
            inode: fixed.inode,
            device: (fixed.inode != 0).then(|| device(fixed.device)),
            node: node.map(device),
            mode: (fixed.mode != 0 || action == Action::Chmod).then_some(fixed.mode),
            owner: (action == Action::Chown).then(|| (owner(fixed.owner_uid), owner(fixed.owner_gid))),
            size: (action == Action::Truncate && fixed.value != wire::LENGTH_UNKNOWN).then_some(fixed.value),
            access: Access::of(fixed.access),
        });
        let mut event = frame(&self.enrich, header, action, severity, sequence, body);
        event.flags = flags;
        event.process = Some(self.enrich.process(header, &actor));
        Self::deliver(&mut self.sinks, &event)
    }
}

/// `s_dev` and `i_rdev` as the kernel keeps them: MKDEV of linux/kdev_t.h.
fn device(number: u32) -> Device {
    Device { major: number >> 20, minor: number & 0xfffff }
}

/// chown(2): -1 leaves it.
fn owner(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}
