//! Descriptors that the service manager keeps over a restart: maps, programs, what keeps them
//! attached, and the ledger (sd_pid_notify_with_fds(3), `FileDescriptorStoreMax=`). See
//! `docs/adr/0017-restart.md`.
//!
//! A set is what one start has loaded. Its descriptors have names that begin alike,
//! `bee-<set>-`, so that it can be given up as a whole; which of them is which says its list
//! ([`Manifest`]), by numbers the kernel tells again. Whatever comes back is checked: it is
//! anybody's until then.

pub mod manifest;
pub mod object;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

pub use manifest::Manifest;

use crate::error::{Error, Result};

/// The objects in the kernel that this build has: their hash.
pub const BUILD: &str = include_str!(concat!(env!("OUT_DIR"), "/build_id"));
/// Descriptors in one message at most: `SCM_MAX_FD` of the kernel (include/net/scm.h).
pub const MESSAGE: usize = 253;
/// Descriptors that come in at most; the unit's store has fewer.
const MAX: usize = 4096;
const PREFIX: &str = "bee-";

/// What a descriptor of a set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The list.
    Manifest,
    /// The ledger.
    Ledger,
    /// A map.
    Map,
    /// What keeps a program attached.
    Link,
    /// A program.
    Program,
}

const ROLES: [(Role, &str); 5] = [
    (Role::Manifest, "manifest"),
    (Role::Ledger, "ledger"),
    (Role::Map, "map"),
    (Role::Link, "link"),
    (Role::Program, "program"),
];

/// The name of a set: who made it, and when.
pub fn set_name() -> String {
    let now = crate::sys::Clock::boot_now().unwrap_or(0);
    format!("{:x}.{now:x}", std::process::id())
}

/// The name of descriptors in a set.
pub fn name(set: &str, role: Role) -> String {
    let word = ROLES.iter().find(|row| row.0 == role).map_or("", |row| row.1);
    format!("{PREFIX}{set}-{word}")
}

fn parse(name: &str) -> Option<(&str, Role)> {
    let (set, word) = name.strip_prefix(PREFIX)?.rsplit_once('-')?;
    let role = ROLES.iter().find(|row| row.1 == word)?.0;
    let sound = |byte: u8| byte.is_ascii_hexdigit() || byte == b'.';
    (!set.is_empty() && set.len() <= 40 && set.bytes().all(sound)).then_some((set, role))
}

/// What an earlier life has left, by name.
#[derive(Debug, Default)]
pub struct Given {
    /// Descriptors of each set.
    pub sets: BTreeMap<String, Vec<(Role, OwnedFd)>>,
    /// Names that are none of ours; their descriptors are closed.
    pub foreign: Vec<String>,
    /// How many there were in all.
    pub count: usize,
}

impl Given {
    /// Takes what the environment names: `LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`. To be called
    /// once, before any other descriptor is opened that is not closed by an exec.
    ///
    /// # Errors
    /// When the environment is not as systemd makes it; nothing is taken then.
    pub fn from_environment() -> Result<Self> {
        let wrong = |error: std::io::Error| {
            Error::from(error).context("LISTEN_FDS and LISTEN_FDNAMES are not as a service manager sets them")
        };
        let listed: Vec<_> = sd_notify::listen_fds_with_names().map_err(wrong)?.collect();
        if listed.len() > MAX {
            return Err(Error::failure(format!("LISTEN_FDS says {}, which cannot be", listed.len())));
        }
        let mut given = Self { count: listed.len(), ..Self::default() };
        for (fd, name) in listed {
            // SAFETY: systemd has opened this descriptor for us (sd_listen_fds(3)); the crate has
            // just set a flag of it, so it is open, and nobody else in this process knows of it.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            match parse(&name) {
                Some((set, role)) => given.sets.entry(set.to_owned()).or_default().push((role, fd)),
                None => given.foreign.push(name),
            }
        }
        given.foreign.sort();
        given.foreign.dedup();
        Ok(given)
    }
}

/// A set whose list was read.
#[derive(Debug)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Its list.
    pub manifest: Manifest,
    /// Its ledger.
    pub ledger: OwnedFd,
    maps: BTreeMap<u32, OwnedFd>,
    links: BTreeMap<u32, (u32, OwnedFd)>,
    programs: BTreeMap<u32, OwnedFd>,
}

impl Set {
    /// Reads its list and asks the kernel what each descriptor is.
    ///
    /// # Errors
    /// When it is not whole, or something in it is not what its name says.
    pub fn open(name: &str, descriptors: Vec<(Role, OwnedFd)>) -> Result<Self> {
        let (mut manifest, mut ledger) = (None, None);
        let (mut maps, mut links, mut programs) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (role, fd) in descriptors {
            let twice = match role {
                Role::Manifest => manifest.replace(fd).is_some(),
                Role::Ledger => ledger.replace(fd).is_some(),
                Role::Map => maps.insert(object::map(fd.as_fd())?.id, fd).is_some(),
                Role::Link => {
                    let (link, program) = object::link(fd.as_fd())?;
                    links.insert(link, (program, fd)).is_some()
                }
                Role::Program => programs.insert(object::program(fd.as_fd())?, fd).is_some(),
            };
            if twice {
                return Err(Error::failure(format!("it has the same {} twice", word(role))));
            }
        }
        let manifest = manifest.ok_or_else(|| Error::failure("it has no list"))?;
        if object::kind(manifest.as_fd()) != object::Kind::Memory {
            return Err(Error::failure("its list is no memory"));
        }
        Ok(Self {
            name: name.to_owned(),
            manifest: Manifest::read(manifest)?,
            ledger: ledger.ok_or_else(|| Error::failure("it has no ledger"))?,
            maps,
            links,
            programs,
        })
    }

    /// The map of this name.
    ///
    /// # Errors
    /// When it is not there.
    pub fn map(&self, name: &str) -> Result<BorrowedFd<'_>> {
        let id = self.manifest.maps.iter().find(|(known, _)| known == name).map(|row| row.1);
        let map = id.and_then(|id| self.maps.get(&id));
        map.map(AsFd::as_fd).ok_or_else(|| Error::failure(format!("the map {name} is not there")))
    }

    /// The link and the program of an attached part.
    ///
    /// # Errors
    /// When one is not there, or the link keeps another program attached.
    pub fn part(&self, part: &manifest::Part) -> Result<(OwnedFd, OwnedFd)> {
        let lost = |what: &str| Error::failure(format!("the {what} of {} is not there", part.hook));
        let (program, link) = self.links.get(&part.link).ok_or_else(|| lost("link"))?;
        if *program != part.program {
            return Err(Error::failure(format!("the link of {} keeps another program attached", part.hook)));
        }
        let program = self.programs.get(&part.program).ok_or_else(|| lost("program"))?;
        Ok((link.try_clone()?, program.try_clone()?))
    }
}

fn word(role: Role) -> &'static str {
    ROLES.iter().find(|row| row.0 == role).map_or("descriptor", |row| row.1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn memory() -> OwnedFd {
        let flags = nix::sys::memfd::MFdFlags::empty();
        nix::sys::memfd::memfd_create("x", flags).unwrap()
    }

    #[test]
    fn names_come_back_and_others_are_none() {
        let set = set_name();
        for (role, _) in ROLES {
            let made = name(&set, role);
            assert!(made.len() < 255 && !made.contains(':'), "{made}");
            assert_eq!(parse(&made), Some((set.as_str(), role)));
        }
        for wrong in ["", "stored", "bee-", "bee--map", "bee-1-", "bee-1-mapp", "bee-x y-map", "bee-../-map"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse(&format!("bee-{}-map", "1".repeat(41))), None);
    }

    #[test]
    fn a_set_that_is_not_whole_is_refused() {
        let why = |descriptors| Set::open("1", descriptors).unwrap_err().to_string();
        let manifest = || (Role::Manifest, Manifest { format: 1, ..Manifest::default() }.write().unwrap());
        assert!(why(vec![]).contains("no list"));
        assert!(why(vec![manifest()]).contains("no ledger"));
        assert!(why(vec![manifest(), manifest()]).contains("manifest twice"));
        assert!(why(vec![manifest(), (Role::Map, memory())]).contains("no BPF map"));
        assert!(why(vec![manifest(), (Role::Link, memory())]).contains("no BPF link"));
        assert!(why(vec![manifest(), (Role::Program, memory())]).contains("no BPF program"));
        let (pipe, _other) = nix::unistd::pipe().unwrap();
        assert!(why(vec![(Role::Manifest, pipe)]).contains("no memory"));
        let set = Set::open("1", vec![manifest(), (Role::Ledger, memory())]).unwrap();
        assert!(set.map("alerts").unwrap_err().to_string().contains("alerts"));
        assert!(set.part(&manifest::Part::default()).is_err());
    }
}
