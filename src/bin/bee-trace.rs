//! What a person types: parses, runs, maps the error to an exit status.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bee_trace::btf_build::{self, Built};
use bee_trace::btf_file::{self, Running};
use bee_trace::check::{Report, Style, Types};
use bee_trace::cli::{self, BtfCommand, Command, ConfigCommand, Look, Switch, Trace, WatchOptions};
use bee_trace::config::{self, Loaded};
use bee_trace::control::protocol::{Answer, Format, Request, Watch};
use bee_trace::control::status::Status;
use bee_trace::error::{Error, ExitStatus, Result};
use bee_trace::kernel::{self, Places, facts::Facts};
use bee_trace::probe::Tier;
use bee_trace::{event_docs, log, man, remote, text, trial};

fn main() -> ExitCode {
    let line: Trace = match cli::parse(std::env::args_os()) {
        Ok(line) => line,
        Err(status) => return status.into(),
    };
    let done = match line.command {
        Command::Status { check: true, loss_window, socket, .. } => return monitor(&socket, loss_window),
        Command::Status { json, socket, .. } => status(&socket, json),
        Command::Watch(options) => watch(options),
        Command::Reload { socket } => reload(&socket),
        Command::Debug { state, socket } => debug(&socket, state == Switch::On),
        Command::Events { json: true } => say(&event_docs::json()),
        Command::Events { json: false } => say(&event_docs::text()),
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

fn ask_status(socket: &Path) -> Result<Status> {
    match remote::ask(socket, &Request::Status {})? {
        Answer::Status(status) => Ok(*status),
        _ => Err(remote::unexpected()),
    }
}

fn status(socket: &Path, json: bool) -> Result<ExitStatus> {
    let status = ask_status(socket)?;
    if json {
        let text = serde_json::to_string_pretty(&status).map_err(|why| Error::failure(why.to_string()))?;
        return say(&format!("{text}\n"));
    }
    say(&remote::status::text(&status))
}

fn monitor(socket: &Path, loss_window: u64) -> ExitCode {
    let (state, line) = remote::check::judge(&ask_status(socket), loss_window);
    match say(&line) {
        Ok(_) => state.into(),
        Err(_) => remote::check::State::Unknown.into(),
    }
}

fn watch(options: WatchOptions) -> Result<ExitStatus> {
    let terminal = std::io::stdout().is_terminal();
    let coloured = terminal && std::env::var_os("NO_COLOR").is_none();
    let format = match options.format {
        Some(Look::Json) => Format::Json,
        None if !terminal => Format::Json,
        _ if coloured => Format::Colour,
        _ => Format::Pretty,
    };
    let watch = Watch {
        sensors: options.sensor,
        actions: options.action,
        pids: options.pid,
        comms: options.comm,
        exes: options.exe,
        severity: options.severity,
        format,
    };
    let duration = options.duration.map(Duration::from_secs);
    let (mut out, mut notes) = (std::io::stdout(), std::io::stderr());
    remote::watch::run(&options.socket, watch, duration, &mut out, &mut notes).map(|()| ExitStatus::Ok)
}

fn reload(socket: &Path) -> Result<ExitStatus> {
    match remote::ask(socket, &Request::Reload {})? {
        Answer::Reload(reload) => say(&remote::reload::text(&reload)?),
        _ => Err(remote::unexpected()),
    }
}

fn debug(socket: &Path, on: bool) -> Result<ExitStatus> {
    match remote::ask(socket, &Request::Debug { on })? {
        Answer::Debug { level } => say(&format!("the daemon's log level is {level} now\n")),
        _ => Err(remote::unexpected()),
    }
}

fn load(file: &Path) -> Result<Loaded> {
    config::load_files(&config::read(file)?).map_err(|problems| {
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
    let (replaced, set) = loaded.replaced();
    if let Some(profile) = loaded.sources.profiles.last() {
        text.push_str(&format!("profile {profile}: sets {set} keys"));
        if !replaced.is_empty() {
            text.push_str(&format!(
                ", of which your files replace {}: {}",
                replaced.len(),
                replaced.join(", ")
            ));
        }
        text.push('\n');
    }
    text.push_str(&format!("{}: nothing is wrong\n", file.display()));
    say(&text)
}

/// What comes from a daemon may come from one that is no longer itself: a terminal is shown nothing of
/// it that it would obey.
fn say(text: &str) -> Result<ExitStatus> {
    let mut out = Vec::with_capacity(text.len());
    text::push_tame(&mut out, text.as_bytes());
    match std::io::stdout().write_all(&out) {
        // `bee-trace check | head` is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitStatus::Ok),
    }
}
