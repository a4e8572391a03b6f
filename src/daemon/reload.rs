//! A new configuration for a running daemon. The unprivileged daemon may not be
//! able to open its own configuration any more (a checkout under a home only root
//! can read); the scanner opens it, and sends the descriptors.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::config::{self, Config, Loaded};
use crate::error::{Error, ExitStatus, Result};

/// Reads what the scanner opened for the configuration `main`: of the profiles only those that are
/// inherited.
///
/// # Errors
/// As `config::read`.
pub fn documents(main: &Path, paths: &[PathBuf], files: Vec<OwnedFd>) -> Result<config::Files> {
    let beside = main.with_file_name(config::BESIDE);
    let is_profile = |path: &PathBuf| {
        path != main
            && path.parent().is_some_and(|parent| parent == beside || parent == Path::new(config::INSTALLED))
    };
    let (mut profiles, others): (Vec<_>, Vec<_>) =
        paths.iter().zip(files).partition(|(path, _)| is_profile(path));
    let documents = others
        .into_iter()
        .map(|(path, file)| config::document(File::from(file), path))
        .collect::<Result<Vec<_>>>()?;
    config::Files::gather(documents, |name| {
        // Those beside the configuration come first.
        let found = profiles.iter().position(|(path, _)| path.file_stem().is_some_and(|stem| stem == name));
        found
            .map(|at| profiles.remove(at))
            .map(|(path, file)| config::document(File::from(file), path))
            .transpose()
    })
}

/// What the command line says, stronger than any file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--output`
    pub format: Option<config::Format>,
    /// `--output-file`
    pub file: Option<PathBuf>,
    /// `--sensors`
    pub sensors: Option<Vec<&'static str>>,
}

impl Overrides {
    /// Puts it over a configuration.
    pub fn apply(&self, config: &mut Config) {
        if let Some(format) = self.format {
            config.output.format = format;
        }
        if let Some(file) = &self.file {
            config.output.file = Some(file.clone());
        }
        if let Some(sensors) = &self.sensors {
            config.sensors.process = sensors.contains(&"process");
            config.sensors.file = sensors.contains(&"file");
        }
    }
}

/// Makes a configuration of documents.
///
/// # Errors
/// All mistakes of all documents, a line each.
pub fn build(files: &config::Files, overrides: &Overrides) -> Result<Loaded> {
    let mut loaded = config::load_files(files).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Error::new(ExitStatus::Config, lines.join("\n"))
    })?;
    overrides.apply(&mut loaded.config);
    Ok(loaded)
}
