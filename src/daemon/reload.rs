//! A new configuration for a running daemon. The unprivileged daemon may not be
//! able to open its own configuration any more (a checkout under a home only root
//! can read); the scanner opens it, and sends the descriptors.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::config::{self, Config};
use crate::error::{Error, ExitStatus, Result};

/// Reads documents from open files.
///
/// # Errors
/// As `config::read`.
pub fn documents(paths: &[PathBuf], files: Vec<OwnedFd>) -> Result<Vec<config::Document>> {
    paths.iter().zip(files).map(|(path, file)| config::document(File::from(file), path)).collect()
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
            config.sensors.network = sensors.contains(&"network");
        }
    }
}

/// Makes a configuration of documents.
///
/// # Errors
/// All mistakes of all documents, a line each.
pub fn build(documents: &[config::Document], overrides: &Overrides) -> Result<Config> {
    let loaded = config::load(documents).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Error::new(ExitStatus::Config, lines.join("\n"))
    })?;
    let mut config = loaded.config;
    overrides.apply(&mut config);
    Ok(config)
}
