//! What the documentation says of the code is what the code says.
//! `BEE_BLESS=1 cargo test --test docs` writes the generated parts anew.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bee_trace::error::ExitStatus;
use bee_trace::{cli, docs, event, pipeline, probe, wire};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
}

/// Every file below `directory`, as paths from the root of the source.
fn below(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![root().join(directory)];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every document: those at the top, and those under docs/.
fn documents() -> Vec<String> {
    let top = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned);
    top.into_iter().chain(below("docs").into_iter().filter(|name| name.ends_with(".md"))).collect()
}

/// The text without fenced blocks, whose content is no markup.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// What stands between `open` and `close`, wherever it does.
fn between<'a>(text: &'a str, open: &'a str, close: char) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split_once(close).map(|(inside, _)| inside))
}

/// Links of a document to files of the source: path from the root, and anchor.
fn links(document: &str) -> Vec<(String, Option<String>)> {
    let directory = Path::new(document).parent().unwrap();
    let text = prose(&read(document));
    between(&text, "](", ')')
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .map(|link| {
            let (path, anchor) =
                link.split_once('#').map_or((link, None), |(path, at)| (path, Some(at.to_owned())));
            let target = if path.is_empty() { PathBuf::from(document) } else { directory.join(path) };
            let mut clean = PathBuf::new();
            for part in target.components() {
                match part {
                    std::path::Component::ParentDir => {
                        assert!(clean.pop(), "{document}: {link} leads out of the source")
                    }
                    part => clean.push(part),
                }
            }
            (clean.to_str().unwrap().to_owned(), anchor)
        })
        .collect()
}

/// The anchors of a document's headings, as GitHub and GitLab make them.
fn anchors(document: &str) -> BTreeSet<String> {
    prose(&read(document))
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'))
                .map(|letter| if letter == ' ' { '-' } else { letter })
                .collect()
        })
        .collect()
}

#[test]
fn generated_parts_are_up_to_date() {
    for (name, parts) in docs::DOCUMENTS {
        let text = read(name);
        let want = docs::refresh(&text, parts).unwrap_or_else(|why| panic!("{name}: {why}"));
        if std::env::var_os("BEE_BLESS").is_some() {
            fs::write(root().join(name), &want).unwrap();
            continue;
        }
        assert!(text == want, "{name} is stale; BEE_BLESS=1 cargo test --test docs writes it");
    }
}

#[test]
fn a_part_that_is_missing_unknown_or_without_end_is_an_error() {
    let part = "<!-- generated: exit-status -->\nold\n<!-- end -->\nafter\n";
    let fresh = docs::refresh(part, &["exit-status"]).unwrap();
    assert!(fresh.contains("| 69 |") && !fresh.contains("old") && fresh.ends_with("after\n"), "{fresh}");
    for (text, wanted, word) in [
        (part, &["exit-status", "blind"][..], "blind"),
        ("<!-- generated: nonsense -->\n<!-- end -->\n", &[], "nonsense"),
        ("<!-- generated: blind -->\n", &["blind"], "no end"),
    ] {
        let why = docs::refresh(text, wanted).unwrap_err().to_string();
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn no_link_between_documents_is_broken() {
    let mut checked = 0;
    for document in documents() {
        for (path, anchor) in links(&document) {
            assert!(root().join(&path).exists(), "{document}: there is no {path}");
            if let Some(anchor) = anchor {
                assert!(anchors(&path).contains(&anchor), "{document}: {path} has no heading #{anchor}");
            }
            checked += 1;
        }
    }
    assert!(checked > 30, "only {checked} links were found");
}

#[test]
fn the_readme_leads_to_every_document() {
    let linked: BTreeSet<String> = links("README.md").into_iter().map(|(path, _)| path).collect();
    for document in below("docs").into_iter().chain(documents()).filter(|name| name != "README.md") {
        assert!(linked.contains(&document), "README.md has no link to {document}");
    }
}

/// Words in backticks that are paths of the source, of one kind or another.
#[test]
fn every_path_and_make_target_that_is_named_exists() {
    let makefile = read("Makefile");
    let tests: String =
        below("tests").iter().filter(|name| name.ends_with(".rs")).map(|name| read(name)).collect();
    let mut checked = 0;
    for document in documents() {
        let text = prose(&read(&document));
        // Every second piece between backticks is inside of a pair.
        for word in text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
            if let Some(target) = word.strip_prefix("make ") {
                let target = target.split(' ').next().unwrap();
                assert!(makefile.contains(&format!("\n{target}:")), "{document}: no target `make {target}`");
                checked += 1;
            }
            if word.starts_with("root_") {
                assert!(tests.contains(&format!("fn {word}()")), "{document}: no test {word}");
                checked += 1;
            }
            let first = ["src/", "tests/", "docs/", "scripts/", "config/", "fuzz/", "vmlinux/", ".ci/"];
            let pattern =
                word.contains(['*', '<', ' ', '{']) || word.contains("NAME") || word.contains("ARCH");
            if first.iter().any(|start| word.starts_with(start)) && !pattern {
                let path = word.split(':').next().unwrap();
                assert!(root().join(path).exists(), "{document}: there is no {word}");
                checked += 1;
            }
        }
    }
    assert!(checked > 50, "only {checked} names were found");
}

#[test]
fn every_exit_status_and_counter_has_a_row() {
    let text = read("docs/operations.md");
    for status in [
        ExitStatus::Ok,
        ExitStatus::Failure,
        ExitStatus::Usage,
        ExitStatus::Unavailable,
        ExitStatus::NotPermitted,
        ExitStatus::Config,
    ] {
        let number = status as u8;
        assert!(cli::EXIT_STATUS.iter().any(|(known, _)| *known == status), "{number} is not in EXIT_STATUS");
        assert!(text.contains(&format!("\n| {number} | ")), "{number} has no row");
    }
    let causes: Vec<&str> = wire::CAUSES.iter().map(|(_, name, _)| *name).collect();
    let meant: Vec<&str> = docs::CAUSE_MEANINGS.iter().map(|(name, _)| *name).collect();
    assert_eq!(causes, meant, "docs::CAUSE_MEANINGS");
    let names = causes
        .into_iter()
        .chain(pipeline::FATES.iter().map(|(_, name, ..)| *name))
        .chain(docs::sink_counter_rows().map(|(name, ..)| name));
    for name in names {
        assert!(text.contains(&format!("\n| `{name}` | ")), "{name} has no row");
    }
}

/// A cause that is told in a `loss` event is explained where people look for it.
#[test]
fn every_cause_of_a_loss_is_in_the_table_of_losses() {
    let text = read("docs/operations.md");
    let (_, losses) = text.split_once("\n## Losses\n").unwrap();
    let (losses, _) = losses.split_once("\n## ").unwrap();
    let kernel = wire::CAUSES.iter().filter(|row| row.2).map(|row| ("kernel", row.1));
    let decode = pipeline::FATES.iter().filter(|row| row.2).map(|row| ("decode", row.1));
    let sinks = docs::sink_counter_rows().into_iter().filter(|row| row.1).map(|row| ("a sink", row.0));
    for (stage, cause) in kernel.chain(decode).chain(sinks) {
        assert!(
            losses.lines().any(|line| line.starts_with(&format!("| {stage} | `{cause}` | "))),
            "{stage} {cause}"
        );
    }
}

#[test]
fn every_action_and_hook_is_in_the_documents_that_promise_it() {
    let events = read("docs/events.md");
    for facts in event::ACTIONS {
        assert!(events.contains(&format!("\n| `{}` |", facts.name)), "docs/events.md: {}", facts.name);
    }
    let architecture = read("docs/ARCHITECTURE.md");
    let variants = probe::FAMILIES.iter().flat_map(probe::Family::variants);
    for (_, variant) in variants {
        assert!(
            architecture.contains(&format!("`{}`", variant.hook)),
            "docs/ARCHITECTURE.md: {}",
            variant.hook
        );
    }
}

/// Every folder and file of `src/` has its place in the map of the code.
#[test]
fn the_map_of_the_code_is_complete() {
    let text = read("docs/ARCHITECTURE.md");
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let entry = entry.unwrap();
        let mut name = entry.file_name().to_str().unwrap().to_owned();
        if entry.path().is_dir() {
            name.push('/');
        } else if root().join("src").join(name.trim_end_matches(".rs")).is_dir() {
            continue; // check.rs is named with check/
        }
        assert!(text.contains(&format!("`{name}`")), "docs/ARCHITECTURE.md: {name} is not in the map");
    }
}

/// The other parts of the crate that a source file uses outside of its tests.
fn uses(path: &str) -> BTreeSet<String> {
    let text = read(path);
    let code = text.split("#[cfg(test)]").next().unwrap();
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        // One name, or a list of them in braces.
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split_once('}').unwrap().0,
            None => rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap(),
        };
        let names = names.split(',').map(|name| name.split("::").next().unwrap().trim().to_owned());
        found.extend(names.filter(|name| {
            root().join(format!("src/{name}.rs")).exists() || root().join("src").join(name).is_dir()
        }));
    }
    found
}

#[test]
fn the_map_of_the_code_says_what_each_part_uses() {
    let text = read("docs/ARCHITECTURE.md");
    let words =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let (mut files, mut used) = (0, 0);
    for line in text.lines().skip_while(|line| !line.starts_with("| where | duty ")).skip(2) {
        let Some(row) = line.strip_prefix("| ") else { break };
        let cells: Vec<&str> = row.split(" | ").collect();
        let names = words(cells[0]);
        if cells[2].starts_with("every") {
            continue;
        }
        let own = names.iter().map(|name| name.trim_end_matches('/').trim_end_matches(".rs").to_owned());
        let allowed: BTreeSet<String> = words(cells[2]).into_iter().chain(own).collect();
        for name in &names {
            let paths =
                if name.ends_with('/') { below(&format!("src/{name}")) } else { vec![format!("src/{name}")] };
            for path in paths.iter().filter(|path| path.ends_with(".rs")) {
                let uses = uses(path);
                let more: Vec<_> = uses.difference(&allowed).collect();
                assert!(
                    more.is_empty(),
                    "{path} uses {more:?}, which the map in docs/ARCHITECTURE.md does not allow"
                );
                files += 1;
                used += uses.len();
            }
        }
    }
    assert!(files > 50 && used > 60, "only {files} files with {used} uses were found");
}

/// Somebody searches for what the program said: it must be what it says.
#[test]
fn messages_that_are_quoted_are_those_of_the_program() {
    let files = below("src").into_iter().chain(["build.rs".to_owned()]).chain(below("scripts"));
    let source: String = files.map(|name| read(&name)).collect();
    // Long messages go on behind a backslash and an indent.
    let source = source.split("\\\n").map(str::trim_start).collect::<String>();
    let text = read("docs/troubleshooting.md");
    let quoted = text.lines().flat_map(|line| line.split('"').skip(1).step_by(2));
    let mut checked = 0;
    for piece in quoted.flat_map(|message| message.split('…')) {
        let piece = piece.trim_matches(|letter: char| !letter.is_alphanumeric());
        if piece.len() > 5 {
            assert!(source.contains(piece), "docs/troubleshooting.md: nothing says \"{piece}\"");
            checked += 1;
        }
    }
    assert!(checked > 15, "only {checked} messages were found");
}

/// Each dependency is a decision with a reason.
#[test]
fn every_dependency_has_its_reason() {
    let manifest = read("Cargo.toml");
    let reasons = read("docs/adr/0005-dependencies.md");
    let mut wanted = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| inside) {
            wanted.insert(name.to_owned());
        }
    }
    assert!(wanted.len() > 10, "{wanted:?}");
    let given: BTreeSet<String> = reasons
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(given, wanted, "docs/adr/0005-dependencies.md");
}

/// One use of `unsafe`: what is done, and the reason that stands above it.
struct Unsafe {
    what: String,
    why: String,
}

/// What is called or declared there: the first call, of a system call its name too.
fn done_by(code: &str) -> String {
    let code = code.trim_start();
    if let Some(declared) = code.strip_prefix("impl ").or(code.strip_prefix("extern \"C\" fn ")) {
        let end = declared.find(['{', '(']).unwrap_or(declared.len());
        let kind = if code.starts_with("impl") { "impl" } else { "extern fn" };
        return format!("{kind} {}", declared[..end].trim());
    }
    if code.starts_with("extern") {
        return "extern functions of C".to_owned();
    }
    let word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':';
    for (at, _) in code.match_indices('(') {
        let name = &code[..at];
        let name = &name[name.rfind(|letter: char| !word(letter)).map_or(0, |end| end + 1)..];
        if name.is_empty() || ["Some", "Ok", "drop"].contains(&name) {
            continue;
        }
        let number = code[at..].split(',').next().and_then(|first| first.split("SYS_").nth(1));
        return match number.filter(|_| name.ends_with("syscall")) {
            Some(number) => format!("{name}({})", number.trim_end_matches(')')),
            None => name.to_owned(),
        };
    }
    code.trim_start_matches('{').split('}').next().unwrap_or_default().trim().to_owned()
}

/// Every use of `unsafe` of a source file, outside of its tests.
fn unsafe_of(path: &str) -> Vec<Unsafe> {
    let text = read(path);
    let lines: Vec<&str> = text.split("#[cfg(test)]").next().unwrap().lines().collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap();
        for (at, _) in code.match_indices("unsafe ") {
            if code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == '"')
            {
                continue;
            }
            let after: String = std::iter::once(&code[at + "unsafe ".len()..])
                .chain(lines[number + 1..].iter().take(4).copied())
                .collect::<Vec<_>>()
                .join(" ");
            let extern_item = after.starts_with("extern");
            let begin = (0..number).rev().take(8).find(|above| lines[*above].contains("// SAFETY:"));
            let begin = begin.filter(|_| !extern_item);
            let why = begin.map_or_else(
                || "declared only; each call has its own reason".to_owned(),
                |begin| {
                    let comment =
                        lines[begin..number].iter().map_while(|line| line.trim().strip_prefix("//"));
                    let words: Vec<&str> = comment.map(str::trim).collect();
                    words.join(" ").trim_start_matches("SAFETY:").trim().to_owned()
                },
            );
            found.push(Unsafe { what: done_by(&after), why });
        }
    }
    found
}

/// So that no `unsafe` is added without being in the review.
#[test]
fn the_review_has_every_unsafe_of_the_source() {
    const NAME: &str = "docs/security-review.md";
    const BEGIN: &str = "<!-- from the source: unsafe -->\n";
    let mut table = "| where | what | why it is sound |\n|---|---|---|\n".to_owned();
    let mut count = 0;
    let sources = below("src").into_iter().chain(["build.rs".to_owned()]).chain(below("build"));
    for path in sources.filter(|path| path.ends_with(".rs") && !path.ends_with("tests.rs")) {
        for row in unsafe_of(&path) {
            count += 1;
            table.push_str(&format!("| `{path}` | `{}` | {} |\n", row.what, row.why.replace('|', "\\|")));
        }
    }
    // As the compiler counts them: the word, where it is none of a lint's or a comment's.
    assert!(count > 60, "only {count} were found");
    let text = read(NAME);
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once("<!-- end -->\n").unwrap();
    let want = format!("{before}{BEGIN}{table}<!-- end -->\n{after}");
    if std::env::var_os("BEE_BLESS").is_some() {
        return fs::write(root().join(NAME), want).unwrap();
    }
    assert!(text == want, "{NAME} is stale; BEE_BLESS=1 cargo test --test docs writes it");
}
