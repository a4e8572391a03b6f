//! One scan: every mount, in turn, by what can be done with it.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;

use super::lesson;
use super::mounts::{self, Class, Mount, Volume};
use super::walk::{self, Counts, Flow, Walk};
use super::wire::{Answer, Coverage, Summary};
use crate::text;
use crate::watch::{Pattern, PatternSet};

/// What is watched: the patterns of the last `Scan` request.
pub struct Patterns {
    all: PatternSet,
    writes: PatternSet,
    ignore: PatternSet,
    skip: Vec<Vec<u8>>,
}

impl Patterns {
    /// Parses them.
    ///
    /// # Errors
    /// Names the first that is none.
    pub fn parse(
        watch: &[String],
        writes: &[String],
        ignore: &[String],
        skip: &[PathBuf],
    ) -> Result<Self, String> {
        let set = |texts: &[String]| -> Result<PatternSet, String> {
            let parse = |text: &String| Pattern::parse(text).map_err(|why| format!("pattern '{text}' {why}"));
            Ok(PatternSet::new(&texts.iter().map(parse).collect::<Result<Vec<_>, _>>()?))
        };
        let trim = |path: &PathBuf| {
            path.as_os_str().as_bytes().strip_suffix(b"/").unwrap_or(path.as_os_str().as_bytes()).to_vec()
        };
        Ok(Self {
            all: set(watch)?,
            writes: set(writes)?,
            ignore: set(ignore)?,
            skip: skip.iter().map(trim).collect(),
        })
    }

    /// The mode to teach `path` with; 0: not at all.
    fn mode(&self, path: &[u8]) -> u8 {
        let mode = if self.all.matches(path) {
            lesson::TEACH_ALL
        } else if self.writes.matches(path) {
            lesson::TEACH_WRITE
        } else {
            return 0;
        };
        if self.ignore.matches(path) { 0 } else { mode }
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.all.patterns().iter().chain(self.writes.patterns()).map(Pattern::text)
    }

    /// Whether files can have watched names through this mount that they have not through another.
    fn concern(&self, point: &[u8]) -> bool {
        self.all.concerns_directory(point) || self.writes.concerns_directory(point)
    }
}

/// What a scan works with.
pub struct Scan<'a> {
    /// Of the request.
    pub id: u32,
    /// What is watched.
    pub patterns: &'a Patterns,
    /// Where answers go.
    pub emit: &'a dyn Fn(&Answer),
    /// Asked between directories.
    pub pause: &'a mut dyn FnMut() -> Flow,
}

impl Scan<'_> {
    /// Scans every mount in `mountinfo`, or with `below` one tree and the mounts in it.
    ///
    /// # Errors
    /// When the mounts cannot be read, or the tree's file system is left alone.
    pub fn run(self, mountinfo: &Path, below: Option<&Path>) -> Result<Flow, String> {
        let began = Instant::now();
        let text =
            std::fs::read(mountinfo).map_err(|error| format!("read {}: {error}", mountinfo.display()))?;
        let (mounts, malformed) = mounts::parse(&text);
        let volumes = mounts::volumes(&mounts);
        let skip: HashSet<Vec<u8>> = self.patterns.skip.iter().cloned().collect();
        let points: HashSet<Vec<u8>> = mounts.iter().map(|mount| mount.point.clone()).collect();
        let local: HashSet<u64> = volumes
            .iter()
            .filter(|volume| volume.class == Class::Walk)
            .flat_map(|volume| volume.mounts.iter().map(|mount| mount.id))
            .collect();

        let mut summary = Summary::default();
        let mut counts = Counts { errors: malformed, ..Counts::default() };
        let patterns = self.patterns;
        let matcher = |path: &[u8]| patterns.mode(path);
        let mut walk = Walk {
            matcher: &matcher,
            skip: &skip,
            points: &points,
            local: &local,
            pause: self.pause,
            counts,
        };
        let below =
            below.map(|path| path.as_os_str().as_bytes()).map(|path| path.strip_suffix(b"/").unwrap_or(path));
        if let Some(path) = below {
            if subtree(&mut walk, path, &mounts)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        for volume in &volumes {
            let Some((volume, telling)) = in_scope(volume, below) else { continue };
            let Some((coverage, why)) = one_volume(&mut walk, patterns, &volume, &mounts) else {
                return Ok(Flow::Stop);
            };
            if !telling {
                continue;
            }
            let number = match coverage {
                Coverage::Complete => &mut summary.mounts_complete,
                Coverage::Partial => &mut summary.mounts_partial,
                Coverage::Skipped => &mut summary.mounts_skipped,
            };
            *number += 1;
            (self.emit)(&Answer::Mount {
                id: self.id,
                point: path_of(&volume.mounts[0].point),
                coverage,
                why,
            });
        }
        counts = walk.counts;
        summary.directories = counts.directories;
        summary.files_taught = counts.taught;
        summary.errors = counts.errors;
        summary.duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.emit)(&Answer::Done { id: self.id, summary });
        Ok(Flow::Continue)
    }
}

fn path_of(point: &[u8]) -> PathBuf {
    let point = if point.is_empty() { b"/" } else { point };
    PathBuf::from(std::ffi::OsStr::from_bytes(point))
}

/// The mount a path lies on: the longest mount point above it, of equal ones the last.
fn mount_of<'a>(mounts: &'a [Mount], path: &[u8]) -> Option<&'a Mount> {
    mounts.iter().filter(|mount| mounts::is_below(path, &mount.point)).max_by_key(|mount| mount.point.len())
}

/// The part of a volume that lies in the tree asked for, and whether that is
/// enough to say something of the volume: not if the mount that shows all of it
/// lies elsewhere.
fn in_scope(volume: &Volume, below: Option<&[u8]>) -> Option<(Volume, bool)> {
    let Some(below) = below else { return Some((volume.clone(), true)) };
    let (inside, outside): (Vec<_>, Vec<_>) =
        volume.mounts.iter().cloned().partition(|mount| mounts::is_below(&mount.point, below));
    let telling = !outside.iter().any(|mount| mount.root == b"/");
    if inside.is_empty() { None } else { Some((Volume { class: volume.class, mounts: inside }, telling)) }
}

/// Walks a tree that is not itself a mount.
fn subtree(walk: &mut Walk<'_>, path: &[u8], mounts: &[Mount]) -> Result<Flow, String> {
    let Some(mount) = mount_of(mounts, path) else { return Ok(Flow::Continue) };
    if mount.point == path {
        return Ok(Flow::Continue);
    }
    match mounts::class(&mount.kind, mount.device.0) {
        Class::Walk => {}
        Class::Pseudo => return Ok(Flow::Continue),
        Class::Skip(why) => {
            return Err(format!("{} is on {}: {why}", text::shown(path), text::shown(mount.kind.as_bytes())));
        }
    }
    match walk::open_root(path) {
        Ok((root, id)) if id == mount.id => Ok(walk.tree(root, id, path)),
        Err(Errno::ENOTDIR) => {
            walk.one(path);
            Ok(Flow::Continue)
        }
        // Gone, or covered by a mount since: whoever did that makes the next request.
        Ok(_) | Err(Errno::ENOENT) => Ok(Flow::Continue),
        Err(errno) => Err(format!("open {}: {}", text::shown(path), errno.desc())),
    }
}

/// `None`: something newer has come.
fn one_volume(
    walk: &mut Walk<'_>,
    patterns: &Patterns,
    volume: &Volume,
    mounts: &[Mount],
) -> Option<(Coverage, String)> {
    let first = &volume.mounts[0];
    let before = walk.counts;
    let mut whole = None;
    match volume.class {
        Class::Skip(why) => return Some((Coverage::Skipped, format!("{}: {why}", first.kind))),
        Class::Pseudo => {
            for mount in &volume.mounts {
                literals(walk, patterns, mount, mounts);
                if let Some(wild) = patterns.texts().find(|text| mounts::wild_below(text, &mount.point)) {
                    let why =
                        format!("'{wild}' has a wildcard in a file system the kernel makes up as it goes");
                    return Some((Coverage::Partial, why));
                }
                if whole.is_none() && mount.root == b"/" && shown(mount).is_some() {
                    whole = Some(mount);
                }
            }
        }
        Class::Walk => {
            for mount in &volume.mounts {
                if patterns.skip.iter().any(|skip| mounts::is_below(&mount.point, skip)) {
                    walk.counts.left_out += 1;
                    continue;
                }
                if whole.is_some() && !patterns.concern(&mount.point) {
                    continue;
                }
                match walk::open_root(&mount.point) {
                    Ok((root, id)) if id == mount.id => {
                        walk.counts.directories += 1;
                        if walk.tree(root, id, &mount.point) == Flow::Stop {
                            return None;
                        }
                        if mount.root == b"/" {
                            whole = whole.or(Some(mount));
                        }
                    }
                    // Another mount hides it, or it is gone.
                    Ok(_) | Err(Errno::ENOENT) => {}
                    // A single file can be mounted, too.
                    Err(Errno::ENOTDIR) => walk.one(&mount.point),
                    Err(_) => walk.counts.errors += 1,
                }
            }
        }
    }
    let failed = walk.counts.errors - before.errors;
    if failed > 0 {
        return Some((Coverage::Partial, format!("{failed} entries could not be read")));
    }
    let left_out = walk.counts.left_out - before.left_out;
    if left_out > 0 {
        return Some((Coverage::Partial, format!("file.scan_skip leaves out {left_out} directories of it")));
    }
    let Some(root) = whole.and_then(shown) else {
        return Some((Coverage::Partial, "its top directory is not to be seen from here".into()));
    };
    match lesson::mark_complete(root.as_fd()) {
        Ok(()) => Some((Coverage::Complete, String::new())),
        Err(errno) => Some((Coverage::Partial, errno.desc().into())),
    }
}

/// The mount's top directory, if it is what one sees at its mount point.
fn shown(mount: &Mount) -> Option<std::os::fd::OwnedFd> {
    walk::open_root(&mount.point).ok().filter(|(_, id)| *id == mount.id).map(|(root, _)| root)
}

/// Teaches the patterns without wildcards that lie on this mount.
fn literals(walk: &mut Walk<'_>, patterns: &Patterns, mount: &Mount, mounts: &[Mount]) {
    let paths: HashSet<&[u8]> = patterns.texts().filter_map(mounts::literal).collect();
    for path in paths {
        // The first test is cheap and settles most.
        if mounts::is_below(path, &mount.point)
            && mount_of(mounts, path).is_some_and(|owner| owner.id == mount.id)
        {
            walk.one(path);
        }
    }
}
