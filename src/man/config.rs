//! `bee-traced.toml(5)`, made from the table of options, as `docs/configuration.md` is.

use clap_mangen::roff::{Roff, bold, italic, roman};

use crate::cli::CONFIG;
use crate::config;

const ABOUT: &[&str] = &[
    "The configuration of bee-traced(8) is one TOML file, with drop-ins beside it. The shipped file holds every \
     option at its default with a sentence on each; without any file the defaults hold.",
    "After the file itself, config.d/*.toml in the same directory are read in the order of their names. What a later \
     document says replaces what an earlier one said, lists as a whole; a list's key with _add appended adds to it. \
     [[exclude]] tables in the main file stand for the built-in ones; tables in drop-ins are added to them.",
    "inherits = \"NAME\" at the top of one document takes a profile as its base: profiles/NAME.toml beside the file, \
     else one in /usr/share/bee-traced/profiles, else one of the program's own (raspberry-pi, server, ci-runner, paranoid).",
    "A file that any user may write to, that is longer than 1 MiB or is not UTF-8 is refused. bee-trace config check \
     names every mistake with file, line and column; bee-trace config show prints what is in force and where each value \
     came from. A reload with a mistake changes nothing.",
];

const PATTERNS: &[(&str, &str)] = &[
    ("/etc/shadow", "This path."),
    ("/etc/sudoers.d/*", "Everything directly in this directory."),
    ("/etc/ssl/private/**", "Everything below it, at any depth."),
    ("id_rsa, *.kdbx", "Without a slash: every file of that name, wherever it is."),
    ("~/.ssh/*", "The same as /**/.ssh/*: a directory .ssh at any depth."),
];

const FILES: &[(&str, &str)] = &[
    (CONFIG, "The file."),
    ("/etc/bee-traced/config.d/*.toml", "Drop-ins."),
    ("/etc/bee-traced/profiles/*.toml, /usr/share/bee-traced/profiles/*.toml", "Profiles."),
    (
        "/usr/share/doc/bee-traced/configuration.md",
        "The language of patterns in full, profiles, and what is watched by default and why.",
    ),
];

/// The whole page.
pub(super) fn page() -> String {
    let mut roff = Roff::new();
    roff.control(
        "TH",
        ["bee-traced.toml", "5", "", concat!("bee-traced ", env!("CARGO_PKG_VERSION")), "bee-traced"],
    );
    roff.control("SH", ["NAME"])
        .text([roman("bee-traced.toml - configuration of the eBPF security daemon bee-traced")]);
    roff.control("SH", ["SYNOPSIS"]).text([bold(CONFIG)]);
    roff.control("SH", ["DESCRIPTION"]);
    for (number, paragraph) in ABOUT.iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(*paragraph)]);
    }
    roff.control("SH", ["OPTIONS"]);
    for (title, entries) in config::entries() {
        roff.control("SS", [title.as_str()]);
        for entry in entries {
            roff.control("TP", []).text([bold(entry.key)]);
            roff.text([roman(plain(entry.meaning))]);
            let mut facts = format!("Value: {}.", plain(&entry.kind));
            if let Some(default) = entry.default {
                facts.push_str(&format!(" Default: {default}."));
            }
            if entry.restart {
                facts.push_str(" A change takes effect with the next start.");
            }
            roff.control("IP", []).text([italic(facts)]);
        }
    }
    for (title, rows) in [("PATTERNS", PATTERNS), ("FILES", FILES)] {
        roff.control("SH", [title]);
        for (term, meaning) in rows {
            roff.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
        }
    }
    roff.control("SH", ["SEE ALSO"]).text([roman("bee-traced(8), bee-trace(1)")]);
    roff.to_roff()
}

/// Without the marks of Markdown.
fn plain(text: &str) -> String {
    text.replace('`', "")
}
