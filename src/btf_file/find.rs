//! Where the kernel's types come from on this host: the kernel itself, or the first
//! file that fits it. Reads, never writes, never logs.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Origin, Running, open};
use crate::kernel::{Places, plain, read_all};

/// Where files lie, as `RELEASE.btf`, in the order they are looked for: made here, shipped.
pub const DIRECTORIES: &[&str] = &["/var/lib/bee-traced/btf", "/usr/lib/bee-traced/btf"];

/// No file is longer: one that is not minimised is 250 KiB, a whole kernel's 7 MiB.
pub const LIMIT: usize = 16 << 20;

/// A file that fits the running kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypesFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Where it comes from.
    pub origin: Origin,
    /// The types. What was checked is what is used: the file is not opened again.
    pub btf: Vec<u8>,
}

/// Where the types come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel has them built in.
    Kernel(PathBuf),
    /// This file.
    File(TypesFile),
    /// Nowhere.
    Nowhere,
}

/// A file that is there and is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where it lies.
    pub path: PathBuf,
    /// Why, in words.
    pub why: String,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where the types come from.
    pub source: Source,
    /// Files that came before it and do not do.
    pub refused: Vec<Refused>,
}

/// Looks for the types of the running kernel: in the kernel, in [`DIRECTORIES`], at
/// the path the configuration has. `needs` is this build's [`super::needs_hash`].
pub fn find(places: &Places, running: &Running, needs: &str, configured: Option<&Path>) -> Found {
    let mut refused = Vec::new();
    let own = places.sys.join("kernel/btf/vmlinux");
    if own.exists() {
        return Found { source: Source::Kernel(own), refused };
    }
    for path in candidates(places, &running.release, configured) {
        let usable = read(&path).and_then(|(origin, btf)| {
            origin.fits(running, needs)?;
            Ok(TypesFile { path: path.clone(), origin, btf })
        });
        match usable {
            Ok(file) => return Found { source: Source::File(file), refused },
            Err(why) if why == NOT_THERE => {}
            Err(why) => refused.push(Refused { path, why }),
        }
    }
    // Only what a person named is missed by name.
    if let Some(path) = configured.filter(|path| !path.exists()) {
        refused.push(Refused { path: path.to_owned(), why: NOT_THERE.to_owned() });
    }
    Found { source: Source::Nowhere, refused }
}

fn candidates(places: &Places, release: &str, configured: Option<&Path>) -> Vec<PathBuf> {
    // A release is one file name; anything else would lead out of the directories.
    let named = DIRECTORIES.iter().filter(|_| !release.contains('/'));
    let named = named.map(|directory| places.join(directory.as_ref()).join(format!("{release}.btf")));
    named.chain(configured.map(Path::to_owned)).collect()
}

const NOT_THERE: &str = "not there";

/// Reads a file, if nobody but root can have made or changed it.
///
/// # Errors
/// Why it cannot be used, in words.
pub fn read(path: &Path) -> Result<(Origin, Vec<u8>), String> {
    read_of(path, 0)
}

/// [`read`], with another owner than root for tests that are not.
fn read_of(path: &Path, owner: u32) -> Result<(Origin, Vec<u8>), String> {
    // O_NONBLOCK: a pipe in its place must not hold us up.
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NOT_THERE.to_owned()),
        file => file.map_err(|error| plain(&error))?,
    };
    let facts = file.metadata().map_err(|error| plain(&error))?;
    if !facts.is_file() {
        return Err("not a regular file".to_owned());
    }
    safe(&facts, owner, "it")?;
    // Where it really lies, links followed: who may write there can put another in its place.
    let path = path.canonicalize().map_err(|error| plain(&error))?;
    safe_place(path.parent().unwrap_or(Path::new("/")), owner)?;
    let bytes = read_all(file, LIMIT).map_err(|error| plain(&error))?;
    let (btf, origin) = open(&bytes)?;
    Ok((origin, btf.to_vec()))
}

/// Whether nobody but root can put a file of his own in a directory, or another in its place.
///
/// # Errors
/// Who can, in words.
pub fn trusted(directory: &Path) -> Result<(), String> {
    safe_place(&directory.canonicalize().map_err(|error| plain(&error))?, 0)
}

fn safe_place(directory: &Path, owner: u32) -> Result<(), String> {
    directory.ancestors().try_for_each(|directory| {
        let facts = directory.metadata().map_err(|error| plain(&error))?;
        // In a directory like /tmp nobody can move what is not his own.
        if facts.uid() == 0 && facts.mode() & libc::S_ISVTX != 0 {
            return Ok(());
        }
        safe(&facts, owner, &directory.to_string_lossy())
    })
}

fn safe(facts: &std::fs::Metadata, owner: u32, what: &str) -> Result<(), String> {
    if facts.uid() != owner && facts.uid() != 0 {
        return Err(format!("not trusted: {what} belongs to uid {}, not to root", facts.uid()));
    }
    if facts.mode() & 0o022 != 0 {
        return Err(format!("not trusted: others than root may write to {what}"));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::seal;
    use super::super::tests::{nothing, origin, running};
    use super::*;

    fn tree(name: &str) -> (PathBuf, Places) {
        let root = std::env::temp_dir().join(format!("bee-types-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for directory in ["sys/kernel", "var/lib/bee-traced/btf", "usr/lib/bee-traced/btf", "own"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for directory in ["var/lib/bee-traced/btf", "usr/lib/bee-traced/btf", "own"] {
            mode(&root.join(directory), 0o755);
        }
        (root.clone(), Places::under(root))
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn put(path: &Path, origin: &Origin) {
        fs::write(path, seal(&nothing(), origin)).unwrap();
        mode(path, 0o644);
    }

    fn is_root() -> bool {
        let root = nix::unistd::geteuid().is_root();
        if !root {
            println!("skipped: files that belong to root can only be made by root");
        }
        root
    }

    #[test]
    fn the_first_that_fits_is_taken_and_the_others_are_named() {
        if !is_root() {
            return;
        }
        let (root, places) = tree("order");
        let (running, needs) = (running(), origin().needs);
        let file = |directory: &str| root.join(directory).join(format!("{}.btf", running.release));
        let (made, shipped, own) =
            (file("var/lib/bee-traced/btf"), file("usr/lib/bee-traced/btf"), root.join("own/mine"));
        let find = || find(&places, &running, &needs, Some(&own));

        let found = find();
        assert_eq!(found.source, Source::Nowhere);
        assert_eq!(found.refused, [Refused { path: own.clone(), why: "not there".into() }]);

        let path = |found: &Found| match &found.source {
            Source::File(file) => file.path.clone(),
            other => panic!("{other:?}"),
        };
        put(&own, &origin());
        assert_eq!(path(&find()), own);
        put(&shipped, &origin());
        assert_eq!(path(&find()), shipped);
        put(&made, &Origin { page_size: 4096, ..origin() });
        let found = find();
        assert_eq!(path(&found), shipped);
        assert_eq!((found.refused.len(), &found.refused[0].path), (1, &made));
        assert!(found.refused[0].why.contains("pages of 4 KiB"), "{found:?}");
        put(&made, &origin());
        assert_eq!(path(&find()), made);

        fs::create_dir_all(root.join("sys/kernel/btf")).unwrap();
        fs::write(root.join("sys/kernel/btf/vmlinux"), "x").unwrap();
        assert_eq!(find().source, Source::Kernel(root.join("sys/kernel/btf/vmlinux")));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_file_that_others_could_have_written_is_refused() {
        let (root, _) = tree("trust");
        let (file, me) = (root.join("own/one"), nix::unistd::geteuid().as_raw());
        put(&file, &origin());
        assert!(read_of(&file, me).is_ok());
        for (path, good) in [(file.clone(), 0o644), (root.join("own"), 0o755), (root.clone(), 0o755)] {
            for bad in [good | 0o020, good | 0o002] {
                mode(&path, bad);
                let why = read_of(&file, me).unwrap_err();
                assert!(why.starts_with("not trusted: others than root may write"), "{why}");
            }
            mode(&path, good);
        }
        mode(&root, 0o1777);
        assert_eq!(read_of(&file, me).is_ok(), is_root(), "a directory of root's like /tmp does no harm");
        mode(&root, 0o755);
        // Through a link from a safe place it is still where it is.
        mode(&root.join("own"), 0o777);
        std::os::unix::fs::symlink(&file, root.join("usr/lib/bee-traced/btf/link")).unwrap();
        assert!(read_of(&root.join("usr/lib/bee-traced/btf/link"), me).is_err());
        mode(&root.join("own"), 0o755);

        if is_root() {
            std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
            let why = read(&file).unwrap_err();
            assert_eq!(why, "not trusted: it belongs to uid 65534, not to root");
        }
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn hostile_files_are_refused() {
        let (root, _) = tree("hostile");
        let (file, me) = (root.join("own/one"), nix::unistd::geteuid().as_raw());
        let mut huge = nothing();
        huge.resize(LIMIT + 1, 0);
        for content in [vec![], vec![0; 4096], nothing(), huge] {
            fs::write(&file, content).unwrap();
            mode(&file, 0o644);
            assert!(read_of(&file, me).is_err());
        }
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
        assert_eq!(read_of(&file, me).unwrap_err(), "not a regular file");
        assert_eq!(read_of(&root.join("own/none"), me).unwrap_err(), NOT_THERE);
        fs::remove_dir_all(root).unwrap();
    }
}
