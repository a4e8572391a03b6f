//! The man pages, made from the command line definitions and the sections
//! written here; that of the configuration from the table of its options. `bee-trace man DIR` writes them; a test holds the committed
//! ones to this.

mod config;

use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::cli::{CONFIG, EXIT_STATUS, SOCKET, Trace, Traced};

/// A page: file name and text.
pub struct Page {
    /// `bee-traced.8`
    pub file: &'static str,
    /// roff.
    pub text: String,
}

/// A hand-written section: its title, and per entry a term in bold and what it means.
type Section = (&'static str, &'static [(&'static str, &'static str)]);

const TRACED: &[Section] = &[
    (
        "SIGNALS",
        &[
            (
                "SIGHUP",
                "Reads the configuration again. If it is wrong the old one stays in force and the log says why. A setting that needs a restart is named.",
            ),
            (
                "SIGTERM, SIGINT",
                "Stops: what the kernel has already reported is written, the programs are removed, and the daemon exits with 0.",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[(
            "INVOCATION_ID, JOURNAL_STREAM",
            "Set by systemd. Where both are, and standard error or output is the stream that JOURNAL_STREAM names, events go to the journal unless something else is asked for, and the daemon's own lines begin with their priority.",
        )],
    ),
    (
        "FILES",
        &[
            (CONFIG, "The configuration; every option is explained in it."),
            ("/etc/bee-traced/config.d/*.toml", "Drop-ins, merged into it in the order of their names."),
            (
                "/etc/bee-traced/profiles/*.toml, /usr/share/bee-traced/profiles/*.toml",
                "Profiles that a configuration can inherit; four are in the program itself.",
            ),
            (SOCKET, "The control socket, for bee-trace(1)."),
        ],
    ),
];

const TRACE: &[Section] = &[(
    "FILES",
    &[
        (CONFIG, "The configuration of the daemon."),
        (SOCKET, "Where a running daemon is reached, by root and the members of the group bee-trace."),
    ],
)];

/// All pages.
pub fn pages() -> io::Result<Vec<Page>> {
    Ok(vec![
        Page {
            file: "bee-traced.8",
            text: page(
                Traced::command(),
                "8",
                TRACED,
                "bee-trace(1), bee-traced.toml(5), journalctl(1), capabilities(7), bpf(2)",
            )?,
        },
        Page {
            file: "bee-trace.1",
            text: page(Trace::command(), "1", TRACE, "bee-traced(8), bee-traced.toml(5)")?,
        },
        Page { file: "bee-traced.toml.5", text: config::page() },
    ])
}

/// Writes all pages into `directory`, which must exist.
pub fn write(directory: &Path) -> io::Result<()> {
    pages()?.iter().try_for_each(|page| std::fs::write(directory.join(page.file), &page.text))
}

fn page(command: clap::Command, section: &str, sections: &[Section], see_also: &str) -> io::Result<String> {
    // The exit statuses get their own section below.
    let mut command = command.after_help("").disable_help_subcommand(true);
    command.build();
    let name = command.get_name().to_owned();
    let subcommands = described(&command, &name);
    // No date: the page changes when its text does.
    let man = Man::new(command).section(section).manual("bee-traced").date("");
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    man.render_options_section(&mut out)?;

    let mut roff = Roff::new();
    if !subcommands.is_empty() {
        roff.control("SH", ["COMMANDS"]);
        for (usage, about, arguments) in subcommands {
            roff.control("TP", []).text([bold(usage)]);
            let mut paragraphs = about.split("\n\n");
            roff.text([roman(paragraphs.next().unwrap_or_default())]);
            for paragraph in paragraphs {
                roff.control("IP", []).text([roman(paragraph.replace('\n', " "))]);
            }
            for (argument, help) in arguments {
                roff.control("RS", []).control("TP", []).text([bold(argument)]);
                roff.text([roman(help)]).control("RE", []);
            }
        }
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (status, meaning) in EXIT_STATUS {
        let number = (*status as u8).to_string();
        roff.control("TP", []).text([bold(number)]).text([roman(*meaning)]);
    }
    for (title, entries) in sections {
        roff.control("SH", [*title]);
        for (term, meaning) in *entries {
            roff.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
        }
    }
    roff.control("SH", ["SEE ALSO"]).text([roman(see_also)]);
    roff.to_writer(&mut out)?;
    String::from_utf8(out).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// A command of a page: how it is called, what it does, and its arguments with theirs.
type Described = (String, String, Vec<(String, String)>);

/// Every visible command that does something, depth first.
fn described(command: &clap::Command, path: &str) -> Vec<Described> {
    let mut rows = Vec::new();
    for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
        let path = format!("{path} {}", child.get_name());
        if child.has_subcommands() {
            rows.extend(described(child, &path));
            continue;
        }
        let mut usage = path;
        let mut arguments = Vec::new();
        for argument in child.get_arguments().filter(|argument| argument.get_id() != "help") {
            let value = argument.get_value_names().and_then(|names| names.first());
            let takes = argument.get_action().takes_values();
            let shown = match (argument.get_long(), value) {
                (Some(long), Some(value)) if takes => format!("--{long} {value}"),
                (Some(long), _) => format!("--{long}"),
                (None, value) => value.map(ToString::to_string).unwrap_or_default(),
            };
            usage.push_str(&format!(" [{shown}]"));
            let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string);
            let default =
                argument.get_default_values().first().filter(|_| takes).map(|value| value.to_string_lossy());
            let default = default.map(|value| format!("; {value} if none is given")).unwrap_or_default();
            arguments.push((shown, format!("{}{default}.", help.unwrap_or_default())));
        }
        let about = child.get_long_about().or(child.get_about()).map(ToString::to_string);
        rows.push((usage, about.unwrap_or_default(), arguments));
    }
    rows
}
