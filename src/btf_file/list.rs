//! Every file there is, for `bee-trace btf list`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{DIRECTORIES, Origin, Running, read};
use crate::kernel::Places;

/// More files than kernels are ever installed.
const FILES: usize = 256;

/// A file, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it lies.
    pub path: PathBuf,
    /// Where it comes from, or why it cannot be used.
    pub origin: Result<Origin, String>,
    /// Whether it fits the kernel that runs, or why not.
    pub fits: Result<(), String>,
}

/// The files in [`DIRECTORIES`] and the one the configuration names, by name within
/// each place.
pub fn list(places: &Places, running: &Running, needs: &str, configured: Option<&Path>) -> Vec<Row> {
    let mut rows = Vec::new();
    for directory in DIRECTORIES {
        let entries = std::fs::read_dir(places.join(directory.as_ref())).into_iter().flatten();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|end| end == "btf")).take(FILES).collect();
        paths.sort();
        rows.extend(paths);
    }
    rows.extend(configured.map(Path::to_owned));
    rows.into_iter()
        .map(|path| {
            let origin = read(&path).map(|(origin, _)| origin);
            let fits = origin.clone().and_then(|origin| origin.fits(running, needs));
            Row { path, origin, fits }
        })
        .collect()
}

/// The rows for people. `own`: the running kernel has its types built in.
pub fn text(rows: &[Row], running: &Running, own: bool) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = match own {
        true => writeln!(out, "{} has its types built in; files are not looked at.", running.release),
        false => writeln!(out, "{} has no types built in.", running.release),
    };
    if rows.is_empty() {
        let _ = writeln!(out, "There is no file in {}.", DIRECTORIES.join(" or "));
    }
    let used = rows.iter().position(|row| row.fits.is_ok() && !own);
    for (number, row) in rows.iter().enumerate() {
        let _ = writeln!(out, "\n{}", row.path.display());
        if let Ok(origin) = &row.origin {
            let version = origin.version.as_deref().unwrap_or("build not known");
            let pages = origin.page_size / 1024;
            let _ = writeln!(out, "  made for  {} ({}, {pages} KiB pages)", origin.release, origin.arch);
            let _ = writeln!(out, "            {version}");
            let _ = writeln!(out, "  made by   {}", origin.made_by);
        }
        let _ = match &row.fits {
            Ok(()) if used == Some(number) => writeln!(out, "  in use    it fits this kernel"),
            Ok(()) => writeln!(out, "  not used  it fits this kernel, which has a better source"),
            Err(why) => writeln!(out, "  not used  {why}"),
        };
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{origin, running};
    use super::*;

    #[test]
    fn the_list_says_which_file_is_used_and_why_the_others_are_not() {
        let row = |path: &str, origin: Result<Origin, String>| {
            let fits = origin.clone().and_then(|origin| origin.fits(&running(), "0123456789abcdef"));
            Row { path: path.into(), origin, fits }
        };
        let rows = [
            row("/a", Err("not trusted".into())),
            row("/b", Ok(Origin { release: "6.1".into(), ..origin() })),
            row("/c", Ok(origin())),
            row("/d", Ok(origin())),
        ];
        let out = text(&rows, &running(), false);
        for line in [
            "6.12.20+rpt-rpi-2712 has no types built in.",
            "  not used  not trusted",
            "  made for  6.1 (aarch64, 16 KiB pages)",
            "  not used  made for 6.1, this kernel is 6.12.20+rpt-rpi-2712",
        ] {
            assert!(out.lines().any(|found| found == line), "no {line:?} in\n{out}");
        }
        assert_eq!(out.matches("in use").count(), 1, "{out}");
        assert!(out.find("/c") < out.find("in use") && out.find("in use") < out.find("/d"), "{out}");
        assert!(!text(&rows, &running(), true).contains("in use"));
        assert!(text(&[], &running(), false).contains("/var/lib/bee-traced/btf"));
    }

    #[test]
    fn only_files_of_types_are_listed() {
        let root = std::env::temp_dir().join(format!("bee-types-list-{}", std::process::id()));
        let directory = root.join("var/lib/bee-traced/btf");
        std::fs::create_dir_all(&directory).unwrap();
        for name in ["b.btf", "a.btf", "README"] {
            std::fs::write(directory.join(name), "x").unwrap();
        }
        let rows = list(&Places::under(&root), &running(), "", Some(Path::new("/none")));
        let names: Vec<_> = rows.iter().filter_map(|row| row.path.file_name()).collect();
        assert_eq!(names, ["a.btf", "b.btf", "none"]);
        assert!(rows.iter().all(|row| row.fits.is_err()));
        std::fs::remove_dir_all(root).unwrap();
    }
}
