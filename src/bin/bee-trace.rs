//! What a person types: parses, runs, maps the error to an exit status.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use bee_trace::btf_build::{self, Built};
use bee_trace::btf_file::{self, Running};
use bee_trace::check::{Report, Style, Types};
use bee_trace::cli::{self, BtfCommand, Command, ConfigCommand, Trace};
use bee_trace::config::{self, Loaded};
use bee_trace::error::{Error, ExitStatus, Result};
use bee_trace::kernel::{self, Places, facts::Facts};
use bee_trace::probe::Tier;
use bee_trace::{log, man, trial};

fn main() -> ExitCode {
    let line: Trace = match cli::parse(std::env::args_os()) {
        Ok(line) => line,
        Err(status) => return status.into(),
    };
    let done = match line.command {
        Command::Check { json, config, force_tier } => {
            let forced = force_tier.and_then(|tier| Tier::from_name(tier.name()));
            check(json, config.as_deref(), forced)
        }
        Command::Config(ConfigCommand::Check { file }) => {
            load(&file).and_then(|loaded| config_check(&file, &loaded))
        }
        Command::Config(ConfigCommand::Show { file }) => {
            load(&file).and_then(|loaded| say(&config::show(&loaded)))
        }
        Command::Btf(BtfCommand::Build { kernel, headers, out, if_needed }) => {
            btf_build(&btf_build::Options { kernel, headers, out, if_needed })
        }
        Command::Btf(BtfCommand::List { config }) => btf_list(config.as_deref()),
        Command::Man { directory } => man::write(&directory).map(|()| ExitStatus::Ok).map_err(Error::from),
    };
    match done {
        Ok(status) => status.into(),
        Err(error) => {
            log::fatal("bee-trace", &error);
            error.status.into()
        }
    }
}

fn check(json: bool, file: Option<&Path>, forced: Option<Tier>) -> Result<ExitStatus> {
    let config = match file {
        Some(file) => load(file)?.config,
        None => config::Config::default(),
    };
    let places = Places { proc: config.host.proc.clone(), sys: config.host.sys.clone(), ..Places::default() };
    let facts = Facts::gather(&places)?;
    let options = kernel::config::read(&places, &facts.release);
    let mut types = types(&places, &config)?;
    let tried = trial::sensors(&config, types.file().map(|file| file.path.as_path()), forced)?;
    if let Some(why) = tried.untrue {
        types.refuse(format!("the self-test found that it is not this kernel's: {why}"));
    }
    let report = Report { sensors: &tried.sensors, facts: &facts, config: options.as_ref(), types: &types };
    if json {
        say(&format!("{}\n", report.json()))?;
    } else {
        let terminal = std::io::stdout().is_terminal();
        let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(90);
        let color = terminal && std::env::var_os("NO_COLOR").is_none();
        say(&report.text(Style { width, color }))?;
    }
    Ok(report.exit_status())
}

/// Where the types come from; where from nowhere, what making them wants.
fn types(places: &Places, config: &config::Config) -> Result<Types> {
    let running = Running::gather(places)?;
    let needs = btf_file::needs_hash(bee_trace::btf::needs());
    let found = btf_file::find(places, &running, &needs, config.host.btf.as_deref());
    let missing = match found.source {
        btf_file::Source::Nowhere => btf_build::missing(places, &running.release),
        _ => Vec::new(),
    };
    Ok(Types { found, missing })
}

fn btf_build(options: &btf_build::Options) -> Result<ExitStatus> {
    let Built { path, made, notes } = btf_build::build(&Places::default(), options)?;
    let mut text = match made {
        Some(made) => format!(
            "{}: {} bytes, the types of {} by {}; {} facts, {} confirmed by the compiler\n",
            path.display(),
            made.bytes,
            made.origin.release,
            made.origin.made_by,
            made.known,
            made.confirmed
        ),
        None => format!("{}: there, and would be the same\n", path.display()),
    };
    for note in notes {
        text.push_str(&note);
        text.push('\n');
    }
    say(&text)
}

fn btf_list(file: Option<&Path>) -> Result<ExitStatus> {
    let config = match file {
        Some(file) => load(file)?.config,
        None => config::Config::default(),
    };
    let places = Places { proc: config.host.proc.clone(), sys: config.host.sys.clone(), ..Places::default() };
    let running = Running::gather(&places)?;
    let needs = btf_file::needs_hash(bee_trace::btf::needs());
    let rows = btf_file::list(&places, &running, &needs, config.host.btf.as_deref());
    let own = places.sys.join("kernel/btf/vmlinux").exists();
    say(&btf_file::text(&rows, &running, own))
}

fn load(file: &Path) -> Result<Loaded> {
    config::load(&config::read(file)?).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Error::new(ExitStatus::Config, lines.join("\n"))
    })
}

/// What each pattern costs, and that nothing is wrong.
fn config_check(file: &Path, loaded: &Loaded) -> Result<ExitStatus> {
    let mut text = String::new();
    for (list, patterns) in [
        ("watch", &loaded.config.file.watch),
        ("watch_write", &loaded.config.file.watch_write),
        ("ignore", &loaded.config.file.ignore),
    ] {
        for pattern in patterns {
            let class = bee_trace::watch::cost_class(pattern);
            text.push_str(&format!("{list:<12} {class:<16} {}\n", pattern.text()));
        }
    }
    text.push_str(&format!("{}: nothing is wrong\n", file.display()));
    say(&text)
}

fn say(text: &str) -> Result<ExitStatus> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // `bee-trace check | head` is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitStatus::Ok),
    }
}
