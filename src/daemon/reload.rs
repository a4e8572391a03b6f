//! A new configuration for a running daemon. The unprivileged daemon may not be
//! able to open its own configuration any more (a checkout under a home only root
//! can read); the scanner opens it, and sends the descriptors.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::Daemon;
use crate::cli::OutputFormat;
use crate::config::{self, Config, Loaded, Place};
use crate::control::protocol::Reload;
use crate::decide::Decide;
use crate::error::{Error, ExitStatus, Result};

/// Reads what the scanner opened for the configuration `main`: of the profiles only those that are
/// inherited.
///
/// # Errors
/// As `config::read`: when `main` is gone, too.
pub fn documents(main: &Path, paths: &[PathBuf], files: Vec<OwnedFd>) -> Result<config::Files> {
    // The scanner leaves out what is not there; the defaults alone are nobody's configuration.
    if paths.iter().all(|path| path != main) {
        let file = crate::text::shown(main.as_os_str().as_encoded_bytes());
        return Err(Error::new(ExitStatus::Config, format!("there is no configuration {file} any more")));
    }
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
    pub output: Option<Chosen>,
    /// `--output-file`
    pub file: Option<PathBuf>,
    /// `--sensors`
    pub sensors: Option<Vec<&'static str>>,
}

/// What `--output` asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chosen {
    /// Lines of this look, to the file if there is one.
    pub lines: Option<config::Format>,
    /// Entries of the journal.
    pub journal: bool,
}

impl Chosen {
    /// The words of the command line; of two looks the last one counts.
    pub fn new(words: &[OutputFormat]) -> Self {
        let mut chosen = Self::default();
        for word in words {
            match word {
                OutputFormat::Json => chosen.lines = Some(config::Format::Json),
                OutputFormat::Pretty => chosen.lines = Some(config::Format::Pretty),
                OutputFormat::Journal => chosen.journal = true,
            }
        }
        chosen
    }
}

impl Overrides {
    /// Puts it over a configuration.
    pub fn apply(&self, config: &mut Config) {
        let output = &mut config.output;
        if let Some(file) = &self.file {
            output.file = Some(file.clone());
            output.to.iter_mut().filter(|to| **to == Place::Stdout).for_each(|to| *to = Place::File);
            if !output.to.is_empty() && !output.to.contains(&Place::File) {
                output.to.push(Place::File);
            }
        }
        if let Some(chosen) = &self.output {
            let lines = if output.file.is_some() { Place::File } else { Place::Stdout };
            output.to = chosen.lines.map(|_| lines).into_iter().collect();
            output.to.extend(chosen.journal.then_some(Place::Journal));
            output.format = chosen.lines.unwrap_or(output.format);
        }
        if let Some(sensors) = &self.sensors {
            config.sensors.process = sensors.contains(&"process");
            config.sensors.file = sensors.contains(&"file");
            config.sensors.network = sensors.contains(&"network");
            config.sensors.memory = sensors.contains(&"memory");
            config.sensors.kernel = sensors.contains(&"kernel");
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

impl Daemon<'_> {
    pub(super) fn ask_for_config(&mut self) {
        let mut byte = [0; 16];
        let _ = std::io::Read::read(&mut &self.signals.reload, &mut byte);
        match self.scans.ask_for_config() {
            Ok(id) => self.hands.expect(id, None),
            Err(error) => {
                self.note_problem(&format!("reload: {error}; the configuration stays as it was"));
            }
        }
    }

    pub(super) fn reload(&mut self, loaded: Result<Loaded>) -> Reload {
        self.notify.reloading();
        let outcome = self.replace_config(loaded);
        self.hands.last_reload = Some(outcome.clone());
        let words = self.in_words();
        self.notify.reloaded(&words);
        outcome
    }

    fn replace_config(&mut self, loaded: Result<Loaded>) -> Reload {
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return self.refuse_reload(&error),
        };
        // What happened before is judged by the lists it happened under.
        self.drain();
        let config = loaded.config;
        let restart = crate::config::restart_needed(&self.config, &config);
        let lists = self.config.file != config.file;
        for sink in &mut self.pipeline.sinks {
            sink.configure(&config.output);
        }
        self.pipeline.decide = Decide::new(&config);
        self.pipeline.enrich.processes.set_capacity(config.limits.processes as usize);
        let old = std::mem::replace(&mut self.config, config);
        let mut enforced = Ok(());
        if lists {
            enforced = self.policies.enforce(&self.config);
        } else {
            self.policies.limits(&self.config);
        }
        if let Err(error) = enforced {
            self.pipeline.decide = Decide::new(&old);
            for sink in &mut self.pipeline.sinks {
                sink.configure(&old.output);
            }
            self.config = old;
            return self.refuse_reload(&error);
        }
        if lists {
            self.filesystems.forget();
            self.scans.start_over();
        }
        let _ = self.pipeline.enrich.users.refresh();
        self.hands.sources = loaded.sources;
        tracing::info!("configuration reloaded");
        if !restart.is_empty() {
            tracing::warn!("these settings take effect with the next start: {}", restart.join(", "));
        }
        self.done_reload(&old, lists)
    }

    fn refuse_reload(&mut self, error: &Error) -> Reload {
        self.note_problem(&format!("reload refused, the old configuration stays in force: {error}"));
        self.refused_reload(error)
    }

    pub(super) fn note_problem(&mut self, text: &str) {
        tracing::error!("{text}");
    }
}
