//! The committed man pages and completions are those that the command line definitions give.
//! `BEE_BLESS=1 cargo test --test man` writes them anew.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use bee_trace::cli::{Trace, Traced};
use bee_trace::man;
use clap::CommandFactory as _;
use clap_complete::Shell;

#[test]
fn the_committed_pages_are_up_to_date() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man");
    if std::env::var_os("BEE_BLESS").is_some() {
        man::write(&directory).unwrap();
    }
    for page in man::pages().unwrap() {
        let committed = std::fs::read_to_string(directory.join(page.file)).unwrap();
        assert!(committed == page.text, "docs/man/{} is old: BEE_BLESS=1 cargo test --test man", page.file);
    }
}

#[test]
fn every_page_has_every_section_and_option() {
    let pages = man::pages().unwrap();
    for (page, words) in pages.iter().zip([
        &["SIGNALS", "SIGHUP", "FILES", "config.toml", "force\\-tier", "check\\-config"][..],
        &["COMMANDS", "bee\\-trace check", "bee\\-trace config show", "\\-\\-json"][..],
    ]) {
        for word in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO", "69"]
            .iter()
            .chain(words)
        {
            assert!(page.text.contains(word), "{}: no {word}", page.file);
        }
        assert!(!page.text.contains("Exit status:"), "{}: twice", page.file);
    }
    assert!(!pages[1].text.contains("bee\\-trace man"), "the hidden command is hidden");
}

#[test]
fn the_page_of_the_configuration_has_every_option() {
    let pages = man::pages().unwrap();
    let page = &pages.iter().find(|page| page.file == "bee-traced.toml.5").unwrap().text;
    // As man reads it.
    let page = page.replace("\\-", "-");
    let mut count = 0;
    for (title, entries) in bee_trace::config::entries() {
        assert!(
            page.contains(&format!("\n.SS {title}")) || page.contains(&format!("\n.SS \"{title}\"")),
            "{title}"
        );
        for entry in entries {
            assert!(page.contains(&format!("\\fB{}\\fR\n", entry.key)), "{title} {}", entry.key);
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
    assert!(!page.contains('`'), "marks of Markdown");
}

/// groff says nothing about any of them, as lintian wants it.
#[test]
fn groff_takes_every_page() {
    for page in man::pages().unwrap() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man").join(page.file);
        let groff = Command::new("groff").args(["-Kutf8", "-man", "-Tutf8", "-ww", "-z"]).arg(&path).output();
        let Ok(output) = groff else {
            // Past libtest's capture, so that it is counted.
            let _ = writeln!(std::io::stderr(), "skipped: groff is not installed");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{}: {said}", page.file);
    }
}

/// What bash offers for `program`. clap_complete 4.6 loses the commands below one whose name has a
/// hyphen, so it is given the name without.
fn completion(program: &str) -> String {
    let plain = program.replace('-', "");
    let mut command = if program == "bee-trace" { visible(Trace::command()) } else { Traced::command() };
    let mut out = Vec::new();
    clap_complete::generate(Shell::Bash, &mut command, &plain, &mut out);
    let text = String::from_utf8(out).unwrap();
    let line = |line: &str| match line.trim_end().strip_suffix(&format!(" {plain}")) {
        Some(rest) if rest.trim_start().starts_with("complete -F ") => format!("{rest} {program}\n"),
        _ => format!("{}\n", line.trim_end()),
    };
    text.lines().map(line).collect()
}

/// Without the commands that nobody is to type, which the crate offers all the same.
fn visible(command: clap::Command) -> clap::Command {
    let mut without = clap::Command::new("bee-trace").version(env!("CARGO_PKG_VERSION"));
    for argument in command.get_arguments() {
        without = without.arg(argument.clone());
    }
    for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
        without = without.subcommand(child.clone());
    }
    without
}

#[test]
fn the_committed_completions_are_up_to_date() {
    for program in ["bee-trace", "bee-traced"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/bash-completion").join(program);
        let want = completion(program);
        if std::env::var_os("BEE_BLESS").is_some() {
            std::fs::write(&path, &want).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == want, "{} is old: BEE_BLESS=1 cargo test --test man", path.display());
    }
}

/// The completion as bash runs it: words on the line, and what it offers for the last.
fn offered(program: &str, words: &[&str]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/bash-completion").join(program);
    let text = r#"
        . "$1" || exit 1; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        function=$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/')
        "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash").args(["-c", text, "-"]).arg(script).args(words).output().expect("bash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let commands = offered("bee-trace", &["bee-trace", ""]);
    for command in Trace::command().get_subcommands() {
        let there = commands.iter().any(|offer| offer == command.get_name());
        assert_eq!(there, !command.is_hide_set(), "{}: {commands:?}", command.get_name());
    }
    assert_eq!(offered("bee-trace", &["bee-trace", "sta"]), ["status"]);
    assert!(offered("bee-trace", &["bee-trace", "config", ""]).contains(&"show".to_owned()));
    assert!(offered("bee-trace", &["bee-trace", "watch", "--du"]).contains(&"--duration".to_owned()));
    assert_eq!(offered("bee-traced", &["bee-traced", "--force-tier", "k"]), ["kprobe"]);
    assert!(offered("bee-traced", &["bee-traced", "--che"]).contains(&"--check-config".to_owned()));
}
