//! The daemon: parses, runs, maps the error to an exit status. Nothing else.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use bee_trace::cli::{self, Traced};
use bee_trace::config;
use bee_trace::daemon::{self, Chosen, Options, Overrides};
use bee_trace::error::{ExitStatus, Result};
use bee_trace::log;
use bee_trace::probe::Tier;

fn main() -> ExitCode {
    let line: Traced = match cli::parse(std::env::args_os()) {
        Ok(line) => line,
        Err(status) => return status.into(),
    };
    log::start(line.verbose);
    match run(line) {
        Ok(()) => ExitStatus::Ok.into(),
        Err(error) => {
            log::fatal("bee-traced", &error);
            error.status.into()
        }
    }
}

fn run(line: Traced) -> Result<()> {
    let overrides = Overrides {
        output: line.output.as_deref().map(Chosen::new),
        file: line.output_file,
        sensors: line.sensors.map(|sensors| sensors.iter().map(|sensor| sensor.name()).collect()),
    };
    let config_file = line.config.clone().unwrap_or_else(|| PathBuf::from(cli::CONFIG));
    // Without --config, a machine that has no configuration runs with the defaults.
    let files = if line.config.is_none() && !Path::new(cli::CONFIG).exists() {
        config::Files::default()
    } else {
        config::read(&config_file)?
    };
    let loaded = daemon::build(&files, &overrides)?;
    if line.check_config {
        return Ok(());
    }
    let options = Options {
        config_file,
        overrides,
        force_tier: line.force_tier.and_then(|tier| Tier::from_name(tier.name())),
        duration: line.duration.map(Duration::from_secs),
        terminal: std::io::stdout().is_terminal(),
    };
    daemon::start(loaded, &options)
}
