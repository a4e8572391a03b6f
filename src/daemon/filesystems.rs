//! Which file systems need no name check: those the scanner has finished, for as
//! long as they stay mounted. The number of one that is gone is given to another,
//! so a change of the mount table is looked at closely. Pure, but for reading mountinfo.

use std::collections::HashMap;
use std::io::{Read, Seek};

use crate::wire::SCANNED_MAX;

/// See the module.
#[derive(Debug, Default)]
pub struct FileSystems {
    /// `s_dev` of the mount points the scanner marked.
    marks: HashMap<Vec<u8>, u32>,
    complete: Vec<u32>,
    mounted: HashMap<u32, Vec<String>>,
}

impl FileSystems {
    /// Nothing is known; mounts as they are now.
    pub fn new(mountinfo: &mut std::fs::File) -> Self {
        Self { mounted: read(mountinfo), ..Self::default() }
    }

    /// The kernel side reports the scanner's mark on a mount point.
    pub fn mark(&mut self, point: Vec<u8>, device: u32) {
        // As many as there are mount points; the scanner is ours.
        if self.marks.len() < 4096 {
            self.marks.insert(point, device);
        }
    }

    /// The scan of what is mounted at `point` is complete. True when that changes the list.
    pub fn complete(&mut self, point: &[u8]) -> bool {
        let point = if point == b"/" { &b""[..] } else { point };
        match self.marks.get(point) {
            Some(device) if !self.complete.contains(device) && self.complete.len() < SCANNED_MAX => {
                self.complete.push(*device);
                true
            }
            _ => false,
        }
    }

    /// The file systems that need no name check.
    pub fn list(&self) -> &[u32] {
        &self.complete
    }

    /// The one most opens are of, where it needs no name check: the root's.
    pub fn usual(&self) -> Option<u32> {
        self.marks.get(&b""[..]).copied().filter(|device| self.complete.contains(device))
    }

    /// A new policy: everything is to be scanned again.
    pub fn forget(&mut self) {
        self.marks.clear();
        self.complete.clear();
    }

    /// The mount table changed. Keeps only file systems of which a mount from
    /// before is still there. True when there is one nobody has scanned.
    pub fn changed(&mut self, mountinfo: &mut std::fs::File) -> bool {
        let now = read(mountinfo);
        let before = std::mem::replace(&mut self.mounted, now);
        let mounted = &self.mounted;
        self.complete.retain(|device| {
            let (Some(old), Some(new)) = (before.get(device), mounted.get(device)) else { return false };
            new.iter().any(|line| old.contains(line))
        });
        mounted.keys().any(|device| !before.contains_key(device))
    }
}

/// Mounts by device: proc_pid_mountinfo(5), fields 1 (id), 3 (major:minor) and on.
fn read(mountinfo: &mut std::fs::File) -> HashMap<u32, Vec<String>> {
    let mut bytes = Vec::new();
    let mut mounts: HashMap<u32, Vec<String>> = HashMap::new();
    if mountinfo.rewind().and_then(|()| mountinfo.read_to_end(&mut bytes)).is_err() {
        // Then nothing counts as mounted, and everything is checked by name.
        return mounts;
    }
    for line in String::from_utf8_lossy(&bytes).lines() {
        let Some((major, minor)) = line.split(' ').nth(2).and_then(|numbers| numbers.split_once(':')) else {
            continue;
        };
        if let (Ok(major), Ok(minor)) = (major.parse::<u32>(), minor.parse::<u32>()) {
            mounts.entry(major << 20 | minor).or_default().push(line.to_owned());
        }
    }
    mounts
}
