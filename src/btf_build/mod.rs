//! `bee-trace btf build`: the types of a kernel that has none built in, made from its
//! headers on the machine where they are used.
//!
//! A file of C that includes the headers of the types our programs read is compiled
//! with the headers' configuration, and the compiler's description of these types is
//! kept. The kernel's own build (Kbuild) is not used: it gives the same bytes, but
//! wants `make`, its tools for this machine, and the very compiler the kernel was
//! built with. Whatever described the types, the compiler is then asked to confirm
//! each number by itself (`confirm.rs`): writers of BTF have had faults.

mod compiler;
mod confirm;
mod describe;
mod headers;
mod missing;
mod scratch;

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use compiler::{Compiler, find as compilers};
pub use describe::{Described, describe};
pub use headers::{Arch, Headers, find as headers};
pub use missing::{Missing, packages};

use crate::btf::{self, Fact, Need, Offset};
use crate::btf_file::{self, DIRECTORIES, Origin, Running};
use crate::error::{Error, ExitStatus, Result};
use crate::kernel::Places;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `uname -r` of the kernel; else that of the headers, where they are given, or the running one.
    pub kernel: Option<String>,
    /// Its headers; else where packages put them.
    pub headers: Option<PathBuf>,
    /// The file to write; else where it is looked for.
    pub out: Option<PathBuf>,
    /// Make nothing where there is a file that fits.
    pub if_needed: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The file.
    pub path: PathBuf,
    /// Where it comes from; `None`: it was there and fits.
    pub made: Option<Made>,
    /// What a person should know, as sentences.
    pub notes: Vec<String>,
}

/// A file that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// As it stands in the file.
    pub origin: Origin,
    /// Of the file.
    pub bytes: usize,
    /// Facts about types that our objects ask for and the kernel has.
    pub known: usize,
    /// Of these, those the compiler confirmed.
    pub confirmed: usize,
}

/// Makes the file.
///
/// # Errors
/// Exit status 69 with the packages to install where something is missing; 77 where
/// the file may not be written; 1 for everything else.
pub fn build(places: &Places, options: &Options) -> Result<Built> {
    let running = Running::gather(places)?;
    let release = match (&options.kernel, &options.headers) {
        (Some(release), _) => release.clone(),
        (None, Some(directory)) => headers::release(directory)?,
        (None, None) => running.release.clone(),
    };
    if release.is_empty() || release.contains('/') {
        return Err(Error::new(ExitStatus::Usage, format!("{release:?} is no kernel release")));
    }
    let needs = btf_file::needs_hash(btf::needs());
    let path = options.out.clone().unwrap_or_else(|| {
        places.join(DIRECTORIES.first().copied().unwrap_or_default().as_ref()).join(format!("{release}.btf"))
    });
    let found = headers::find(places, &release, options.headers.as_deref());
    if let Ok(headers) = &found {
        usable(headers, &release)?;
        if options.if_needed && is_current(&path, headers, &running, &needs) {
            return Ok(Built { path, made: None, notes: Vec::new() });
        }
    }
    let (headers, compilers) = missing::survey(&release, found)
        .map_err(|missing| Error::new(ExitStatus::Unavailable, missing::sentence(&release, &missing)))?;
    let directory = make_directory(&path)?;
    if options.out.is_none() {
        // Root must not be led to write elsewhere by who may change links on the way.
        btf_file::trusted(&directory)
            .map_err(|why| Error::failure(format!("{}: {why}", directory.display())))?;
    }
    let described = describe(&headers, &compilers, btf::needs())?;
    let unreadable = |error: btf::Error| Error::failure(format!("the types of {release}: {error}"));
    let small = btf::minimise(&described.btf, btf::needs()).map_err(unreadable)?;
    let offsets = btf::offsets(&small, btf::needs()).map_err(unreadable)?;
    let origin = origin(&headers, &running, needs, &described.by);
    let bytes = btf_file::seal(&small, &origin);
    write(&path, &bytes)?;

    let mut notes = absent(btf::needs(), &offsets);
    notes.extend(note(&path, &origin, &running, places));
    let known = offsets.iter().filter(|(_, offset)| matches!(offset, Offset::Is { .. })).count();
    let made = Made { origin, bytes: bytes.len(), known, confirmed: described.confirmed };
    Ok(Built { path, made: Some(made), notes })
}

/// Whether headers are those that are wanted, and tell what is needed.
fn usable(headers: &Headers, release: &str) -> Result<()> {
    if headers.release != release {
        return Err(Error::failure(format!(
            "the headers in {} are those of {}, not of {release}",
            headers.build.display(),
            headers.release
        )));
    }
    if !headers.arch.is_native() {
        return Err(Error::failure(format!(
            "{release} is a kernel for {}: its file is made by bee-trace on such a machine, whose programs read \
             other types",
            headers.arch.machine()
        )));
    }
    if headers.randomised {
        return Err(Error::new(
            ExitStatus::Unavailable,
            format!(
                "{release} was built with the order of its structures shuffled (CONFIG_RANDSTRUCT), which headers \
                 do not tell: no file can be made for it"
            ),
        ));
    }
    Ok(())
}

/// What is not installed of all that making the file for `release` wants; nothing: it can be made.
pub fn missing(places: &Places, release: &str) -> Vec<Missing> {
    missing::survey(release, headers::find(places, release, None)).err().unwrap_or_default()
}

/// Whether the file that is there is the one that would be made.
fn is_current(path: &Path, headers: &Headers, running: &Running, needs: &str) -> bool {
    let Ok((there, _)) = btf_file::read(path) else { return false };
    let wanted = origin(headers, running, needs.to_owned(), "");
    there == Origin { made_by: there.made_by.clone(), ..wanted }
}

fn origin(headers: &Headers, running: &Running, needs: String, by: &str) -> Origin {
    // Of the build that runs, where the headers are not plainly those of another one.
    let same = headers.release == running.release
        && headers.version.as_ref().is_none_or(|version| *version == running.version);
    Origin {
        release: headers.release.clone(),
        version: headers.version.clone(),
        build_id: running.build_id.clone().filter(|_| same),
        arch: headers.arch.machine().to_owned(),
        page_size: headers.page_size,
        needs,
        made_by: format!("bee-trace {} with {by}", env!("CARGO_PKG_VERSION")),
    }
}

/// Fields that are read where they exist, and are not there, are as they should be;
/// others are missed.
fn absent(needs: &[Need], offsets: &[(String, Offset)]) -> Vec<String> {
    let asked = |need: &Need| {
        needs.iter().any(|other| {
            matches!(other.fact, Fact::Exists | Fact::TypeExists | Fact::ValueExists)
                && other.root == need.root
                && need.path.starts_with(&other.path)
        })
    };
    let missed = needs.iter().zip(offsets).filter(|(need, (_, offset))| {
        need.fact == Fact::ByteOffset && !matches!(offset, Offset::Is { .. }) && !asked(need)
    });
    missed
        .map(|(need, _)| {
            let field = need.to_string();
            let field = field.split(' ').next().unwrap_or_default();
            format!("This kernel has no {field}: a hook that reads it will be refused.")
        })
        .collect()
}

/// Whether the daemon will take the file, now or after the next boot.
fn note(path: &Path, origin: &Origin, running: &Running, places: &Places) -> Option<String> {
    if let Err(why) = btf_file::read(path) {
        return Some(format!("The daemon will not use this file: {why}."));
    }
    if origin.release == running.release && places.sys.join("kernel/btf/vmlinux").exists() {
        return Some(
            "The running kernel has its types built in, so the daemon does not need this file.".into(),
        );
    }
    let why = origin.fits(running, &origin.needs).err()?;
    Some(format!("It does not fit the kernel that runs now: {why}."))
}

/// The directory the file is to lie in; made at need.
fn make_directory(path: &Path) -> Result<PathBuf> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(directory);
    made.map(|()| directory.to_owned()).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    let status = match error.kind() {
        std::io::ErrorKind::PermissionDenied => ExitStatus::NotPermitted,
        _ => ExitStatus::Failure,
    };
    Error::new(status, format!("cannot write {}: {}", path.display(), crate::kernel::plain(error)))
}

/// Writes the file whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name =
        path.file_name().ok_or_else(|| Error::failure("the file to write has no name"))?.to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let all = || {
        let _ = std::fs::remove_file(&new);
        // Read by the daemon whatever the umask is; a name that is taken is not followed.
        let mut file = std::fs::File::options().write(true).create_new(true).mode(0o644).open(&new)?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    all().map_err(|error| {
        let _ = std::fs::remove_file(&new);
        cannot_write(path, &error)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_is_asked_for_is_in_the_stub() {
        let roots = btf::needs().iter().map(|need| &need.root);
        assert!(btf::needs().len() > 10);
        for root in roots {
            assert!(
                describe::STUB.contains(&format!("KEEP({root});")),
                "src/btf_build/stub.c lacks KEEP({root});"
            );
        }
    }

    #[test]
    fn a_file_is_written_whole_and_readable_by_all() {
        let directory = std::env::temp_dir().join(format!("bee-write-{}", std::process::id()));
        let path = directory.join("deep/one.btf");
        assert_eq!(make_directory(&path).unwrap(), directory.join("deep"));
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let error = write(Path::new("/proc/none/one.btf"), b"x").unwrap_err();
        assert!(error.to_string().starts_with("cannot write /proc/none/one.btf: "), "{error}");
        assert!(make_directory(Path::new("/proc/none/one.btf")).is_err());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
