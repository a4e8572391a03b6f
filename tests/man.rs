//! The committed man pages are those that the command line definitions give.
//! `BEE_BLESS=1 cargo test --test man` writes them anew.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use bee_trace::man;

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
