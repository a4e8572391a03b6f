//! The command lines of both programs. The man pages are made from these
//! definitions too (`man.rs`), so a help text is written once, here.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::error::ExitStatus;

/// Where the configuration is unless `--config` says otherwise.
pub const CONFIG: &str = "/etc/bee-traced/config.toml";

/// Where the daemon is reached unless `--socket` says otherwise.
pub const SOCKET: &str = "/run/bee-traced/control";

/// The exit statuses: number, word, meaning. Shown by `--help`, the man pages and the documentation.
pub const EXIT_STATUS: &[(ExitStatus, &str)] = &[
    (ExitStatus::Ok, "All went well."),
    (
        ExitStatus::Failure,
        "Something failed; the message says what. For `bee-trace check`: a sensor is not at its best.",
    ),
    (ExitStatus::Usage, "The command line is wrong."),
    (
        ExitStatus::Unavailable,
        "This kernel offers nothing that can be used. For `bee-trace btf build`: something that must be installed is not.",
    ),
    (ExitStatus::NotPermitted, "A privilege is missing; the message names it."),
    (ExitStatus::Config, "The configuration is wrong; every mistake is named with its line."),
];

/// How well a sensor sees; the best that works is taken unless one is forced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Tier {
    /// Raw tracepoints only; names as the caller gave them.
    Portable,
    /// Raw tracepoints and kernel types.
    Tracepoint,
    /// Probes on kernel functions and kernel types.
    Kprobe,
    /// Security hooks and trampolines.
    Full,
}

impl Tier {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Tracepoint => "tracepoint",
            Self::Kprobe => "kprobe",
            Self::Full => "full",
        }
    }
}

/// A family of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Sensor {
    /// Exec, fork and exit of processes.
    Process,
    /// Opens and name changes of watched files.
    File,
    /// Connections, datagrams, listeners, unusual sockets.
    Network,
    /// Who reaches for the memory of other processes.
    Memory,
    /// Modules, eBPF programs of others, io_uring, the clock, and signals for the daemon.
    Kernel,
}

impl Sensor {
    /// The word used everywhere.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::File => "file",
            Self::Network => "network",
            Self::Memory => "memory",
            Self::Kernel => "kernel",
        }
    }
}

/// Where events go, and what they look like there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// One JSON object a line, with the names of the Elastic Common Schema.
    Json,
    /// For people, in colours where a terminal reads it.
    Pretty,
    /// Entries of the journal, each with its fields.
    Journal,
}

/// Watches this machine from inside the kernel and reports who touches what it should not.
///
/// It reports programs that are executed, connections to and from other machines, and who opens,
/// changes or renames watched files: private keys, password files, credentials. Everything is
/// configured in one file; the options here are stronger than it.
///
/// It needs privilege only to load its eBPF programs. When they run it drops every capability,
/// is no longer root, and says so before it reports itself ready.
#[derive(Clone, Debug, Parser, PartialEq, Eq)]
#[command(name = "bee-traced", version, after_help = exit_help())]
pub struct Traced {
    /// Read this configuration file instead of /etc/bee-traced/config.toml
    ///
    /// Drop-ins are read from the directory config.d beside it.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What events look like: lines, entries of the journal, or both, separated by a comma
    ///
    /// Lines go to standard output, or to the file if there is one. Without this option, a daemon
    /// that systemd started writes to the journal, as the configuration says more exactly.
    #[arg(short, long, value_name = "FORMAT", value_delimiter = ',')]
    pub output: Option<Vec<OutputFormat>>,
    /// Write lines to this file instead of standard output
    ///
    /// It is made readable by its owner only, and rotated as the configuration says.
    #[arg(long, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
    /// Run only these sensors, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub sensors: Option<Vec<Sensor>>,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub duration: Option<u64>,
    /// Use no better mechanism than that of this tier, to see what it costs
    #[arg(long, value_name = "TIER")]
    pub force_tier: Option<Tier>,
    /// Check the configuration and exit
    #[arg(long)]
    pub check_config: bool,
    /// Say more about what is done and why; twice for the kernel's own words
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// Asks a running bee-traced, asks what this machine lets it see, and checks its configuration.
///
/// `status`, `watch`, `reload` and `debug` talk to the running daemon over its control socket. Root and
/// the members of the daemon's group may read there; `reload` and `debug` are for root and the daemon's
/// own user.
///
/// bee-traced takes, sensor by sensor, the best mechanism that works on the kernel it is started
/// on. `bee-trace check` shows which that is, what is lost against the best there is, and why.
#[derive(Clone, Debug, Parser, PartialEq, Eq)]
#[command(name = "bee-trace", version, after_help = exit_help())]
pub struct Trace {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of `bee-trace`.
#[derive(Clone, Debug, Subcommand, PartialEq, Eq)]
pub enum Command {
    /// Show what this kernel lets each sensor see, and what to do about the rest
    ///
    /// Every mechanism is tried by loading and attaching it for a moment, so this wants the
    /// privileges of the daemon (run it with sudo). Nothing is left behind.
    ///
    /// Exits with 0 if all sensors are at their best, 1 if one is not, 69 if none can run.
    Check {
        /// Write one JSON object with stable keys, for programs
        #[arg(long)]
        json: bool,
        /// Check the sensors that this configuration file switches on
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Try no better mechanism than those of this tier, as the daemon does with this option
        #[arg(long, value_name = "TIER")]
        force_tier: Option<Tier>,
    },
    /// Show how the running daemon is: sensors, counters, sinks, memory
    ///
    /// The sums add up: what the kernel had to tell is what reached the rings and what was lost,
    /// and so on to each sink.
    ///
    /// With --check it is a plug-in for a monitoring system: one line with performance data, and the
    /// exit status 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN).
    Status {
        /// Write one JSON object with stable keys, for programs
        #[arg(long)]
        json: bool,
        /// Judge it in one line, for a monitoring system
        #[arg(long, conflicts_with = "json")]
        check: bool,
        /// With --check: a loss of events is a warning for this many seconds
        #[arg(long, value_name = "SECS", default_value_t = 900)]
        loss_window: u64,
        /// Where the daemon is reached
        #[arg(long, value_name = "PATH", default_value = SOCKET)]
        socket: PathBuf,
    },
    /// Show events as they happen
    ///
    /// The daemon sends only what the options let through: of each option that is given one of the
    /// values must fit. What it says of itself (start, stop, and losses of events) always comes. What
    /// output.actions leaves out of the log can be seen here.
    ///
    /// A reader that is too slow never holds the daemon up: it loses events, and is told how many.
    Watch(WatchOptions),
    /// Have the daemon read its configuration again, and show what changed
    ///
    /// The same as systemctl reload bee-traced, which does not wait for the result.
    ///
    /// Exits with 0 if the new configuration is in force, 78 if it is wrong, 1 if the reload failed; the
    /// old one then stays in force.
    Reload {
        /// Where the daemon is reached
        #[arg(long, value_name = "PATH", default_value = SOCKET)]
        socket: PathBuf,
    },
    /// Have the daemon say more in its log, or as much as at its start
    Debug {
        /// More, or as before
        #[arg(value_name = "on|off")]
        state: Switch,
        /// Where the daemon is reached
        #[arg(long, value_name = "PATH", default_value = SOCKET)]
        socket: PathBuf,
    },
    /// List every kind of event and every field of one
    Events {
        /// Write one JSON object with stable keys, for programs
        #[arg(long)]
        json: bool,
    },
    /// Check or show a configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make or list files with the types of a kernel that has none built in
    #[command(subcommand)]
    Btf(BtfCommand),
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man {
        /// Where to
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

/// What `bee-trace watch` shows.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// Only events of these sensors, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub sensor: Vec<String>,
    /// Only these actions, such as open or exec
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub action: Vec<String>,
    /// Only acts of these processes
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub pid: Vec<u32>,
    /// Only acts of processes with this name; * stands for any characters
    #[arg(long, value_name = "NAME")]
    pub comm: Vec<String>,
    /// Only acts of these programs: a path or a pattern, as in the configuration
    #[arg(long, value_name = "PATH")]
    pub exe: Vec<String>,
    /// Only what is at least this grave: info, low, medium, high or critical
    #[arg(long, value_name = "LEVEL")]
    pub severity: Option<String>,
    /// What a line looks like; for people if a terminal reads it, JSON otherwise
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Look>,
    /// Stop after this many seconds
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub duration: Option<u64>,
    /// Where the daemon is reached
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    pub socket: PathBuf,
}

/// What a line of `bee-trace watch` looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Look {
    /// One JSON object.
    Json,
    /// For people.
    Pretty,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// More.
    On,
    /// As at the start.
    Off,
}

/// The commands of `bee-trace config`.
#[derive(Clone, Debug, Subcommand, PartialEq, Eq)]
pub enum ConfigCommand {
    /// Say everything that is wrong with a configuration file and its drop-ins
    ///
    /// Exits with 0 if nothing is, 78 otherwise.
    Check {
        /// The configuration file
        #[arg(value_name = "FILE", default_value = CONFIG)]
        file: PathBuf,
    },
    /// Show a configuration as the daemon understands it: merged, with all defaults
    Show {
        /// The configuration file
        #[arg(value_name = "FILE", default_value = CONFIG)]
        file: PathBuf,
    },
}

/// The commands of `bee-trace btf`.
#[derive(Clone, Debug, Subcommand, PartialEq, Eq)]
pub enum BtfCommand {
    /// Make the file with a kernel's types, from its headers
    ///
    /// For kernels without CONFIG_DEBUG_INFO_BTF, as Raspberry Pi OS has them. Wants the
    /// headers of the kernel and gcc; what is missing is named with its package. The daemon
    /// takes the file at its next start.
    ///
    /// Exits with 0 if the file is there, 69 if something is missing, 1 if it cannot be made.
    Build {
        /// For this kernel, as uname -r has it, instead of the running one
        #[arg(long, value_name = "RELEASE")]
        kernel: Option<String>,
        /// Where its headers are, instead of /lib/modules/RELEASE/build
        #[arg(long, value_name = "DIR")]
        headers: Option<PathBuf>,
        /// The file to write, instead of /var/lib/bee-traced/btf/RELEASE.btf
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Make nothing if the file is there and would be the same
        #[arg(long)]
        if_needed: bool,
    },
    /// Show which files there are, what they were made for, and which one is used
    List {
        /// Show the file that this configuration names, too
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Parses a command line. Help and version go to standard output and end with
/// [`ExitStatus::Ok`]; a mistake goes to standard error and ends with [`ExitStatus::Usage`].
pub fn parse<C: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<C, ExitStatus> {
    C::try_parse_from(arguments).map_err(|error| {
        // Written by clap itself to the right stream. Where that is closed there is nobody to tell.
        let _ = error.print();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitStatus::Ok,
            _ => ExitStatus::Usage,
        }
    })
}

fn exit_help() -> String {
    let mut text = "Exit status:\n".to_owned();
    for (status, meaning) in EXIT_STATUS {
        text.push_str(&format!("  {:>2}  {meaning}\n", *status as u8));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn traced(line: &str) -> Result<Traced, ExitStatus> {
        parse(line.split(' ').map(OsString::from))
    }

    fn trace(line: &str) -> Result<Command, ExitStatus> {
        parse::<Trace>(line.split(' ').map(OsString::from)).map(|line| line.command)
    }

    #[test]
    fn the_definitions_are_sound() {
        Traced::command().debug_assert();
        Trace::command().debug_assert();
    }

    #[test]
    fn the_daemons_options_are_understood() {
        let line = traced(
            "bee-traced --config /a --output json,journal --output-file /b --sensors process,file \
             --duration 5 --force-tier tracepoint --check-config -vv",
        );
        let wanted = Traced {
            config: Some("/a".into()),
            output: Some(vec![OutputFormat::Json, OutputFormat::Journal]),
            output_file: Some("/b".into()),
            sensors: Some(vec![Sensor::Process, Sensor::File]),
            duration: Some(5),
            force_tier: Some(Tier::Tracepoint),
            check_config: true,
            verbose: 2,
        };
        assert_eq!(line, Ok(wanted));
        assert!(
            Tier::Portable < Tier::Tracepoint && Tier::Tracepoint < Tier::Kprobe && Tier::Kprobe < Tier::Full
        );
    }

    #[test]
    fn the_commands_are_understood() {
        assert_eq!(
            trace("bee-trace check --json"),
            Ok(Command::Check { json: true, config: None, force_tier: None })
        );
        let check = |file: &str| Command::Config(ConfigCommand::Check { file: file.into() });
        assert_eq!(trace("bee-trace config check /a"), Ok(check("/a")));
        assert_eq!(trace("bee-trace config check"), Ok(check(CONFIG)));
        let build = Command::Btf(BtfCommand::Build {
            kernel: Some("6.1".into()),
            headers: Some("/h".into()),
            out: Some("/o".into()),
            if_needed: true,
        });
        assert_eq!(trace("bee-trace btf build --kernel 6.1 --headers /h --out /o --if-needed"), Ok(build));
        assert_eq!(trace("bee-trace btf list"), Ok(Command::Btf(BtfCommand::List { config: None })));
        let socket = std::path::PathBuf::from(SOCKET);
        let status = Command::Status { json: false, check: true, loss_window: 60, socket: socket.clone() };
        assert_eq!(trace("bee-trace status --check --loss-window 60"), Ok(status));
        let watch = Command::Watch(WatchOptions {
            sensor: vec!["process".into(), "file".into()],
            pid: vec![1, 2],
            comm: vec!["cat".into(), "d*".into()],
            format: Some(Look::Json),
            duration: Some(5),
            socket: "/s".into(),
            ..WatchOptions::default()
        });
        let line = "bee-trace watch --sensor process,file --pid 1,2 --comm cat --comm d* --format json \
                    --duration 5 --socket /s";
        assert_eq!(trace(line), Ok(watch));
        assert_eq!(trace("bee-trace reload"), Ok(Command::Reload { socket: socket.clone() }));
        assert_eq!(trace("bee-trace debug on"), Ok(Command::Debug { state: Switch::On, socket }));
        assert_eq!(trace("bee-trace events --json"), Ok(Command::Events { json: true }));
        let show = Command::Config(ConfigCommand::Show { file: "/a".into() });
        assert_eq!(trace("bee-trace config show /a"), Ok(show));
    }

    #[test]
    fn mistakes_end_with_64_and_help_with_0() {
        for line in [
            "bee-traced --no-such",
            "bee-traced extra",
            "bee-traced --duration 0",
            "bee-traced --duration -1",
            "bee-traced --sensors nothing",
            "bee-traced --sensors process,,file",
            "bee-traced --force-tier best",
            "bee-traced --output xml",
            "bee-traced --output json,xml",
            "bee-traced --config",
        ] {
            assert_eq!(traced(line), Err(ExitStatus::Usage), "{line}");
        }
        assert_eq!(trace("bee-trace"), Err(ExitStatus::Usage));
        for line in [
            "bee-trace frob",
            "bee-trace status --json --check",
            "bee-trace debug",
            "bee-trace debug perhaps",
            "bee-trace watch --pid x",
        ] {
            assert_eq!(trace(line), Err(ExitStatus::Usage), "{line}");
        }
        for line in ["bee-traced --help", "bee-traced -h", "bee-traced --version"] {
            assert_eq!(traced(line), Err(ExitStatus::Ok), "{line}");
        }
        assert_eq!(trace("bee-trace check --help"), Err(ExitStatus::Ok));
    }
}
