//! `decide`: facts in, verdict out.

use bee_trace::config::{self, Config, Document};
use bee_trace::decide::{Decide, FileFacts, Match, Verdict, exec_severity};
use bee_trace::event::{Action, Flags, Severity};

const LISTS: &str = r#"
[file]
watch = ["/etc/shadow", "*.key", "/srv/*/vault/**"]
watch_write = ["/etc/sudoers", "*.conf"]
ignore = ["/srv/public/**", "example.key"]

[[exclude]]
exe = "/usr/sbin/nginx"
paths = ["*.key"]

[[exclude]]
unit = "backup.service"

[[exclude]]
exe = "/usr/bin/passwd"
unit = "session.scope"
paths = ["/etc/shadow"]
"#;

pub fn configuration(text: &str) -> Config {
    let document = Document { name: "test.toml".to_owned(), text: text.to_owned() };
    config::load(&[document]).unwrap_or_else(|problems| panic!("{problems:?}")).config
}

fn facts(action: Action, path: &'static str) -> FileFacts<'static> {
    FileFacts {
        action,
        path: path.as_bytes(),
        other: b"",
        known_as: None,
        writes: false,
        refused: false,
        executable: Some(b"/usr/bin/cat"),
        unit: Some("session.scope"),
    }
}

fn ask(facts: FileFacts<'_>) -> (Verdict, Match) {
    Decide::new(&configuration(LISTS)).file(&facts)
}

const HIGH: Verdict = Verdict::Deliver(Severity::High);
const MEDIUM: Verdict = Verdict::Deliver(Severity::Medium);

#[test]
fn each_list_means_what_it_says() {
    for (path, reading, writing) in [
        ("/etc/shadow", HIGH, HIGH),
        ("/mnt/etc/shadow", Verdict::NotWatched, Verdict::NotWatched),
        ("/a/b.key", HIGH, HIGH),
        ("/a/example.key", Verdict::NotWatched, Verdict::NotWatched),
        ("/etc/sudoers", Verdict::NotWatched, HIGH),
        ("/a/b.conf", Verdict::NotWatched, HIGH),
        ("/srv/x/vault/deep/down", HIGH, HIGH),
        ("/srv/public/vault/b.key", Verdict::NotWatched, Verdict::NotWatched),
        ("", Verdict::NotWatched, Verdict::NotWatched),
        ("/", Verdict::NotWatched, Verdict::NotWatched),
    ] {
        assert_eq!(ask(facts(Action::Open, path)).0, reading, "read {path}");
        assert_eq!(ask(FileFacts { writes: true, ..facts(Action::Open, path) }).0, writing, "write {path}");
    }
}

#[test]
fn whatever_changes_a_name_or_a_file_counts_as_writing() {
    for (action, severity) in [
        (Action::Create, HIGH),
        (Action::Delete, MEDIUM),
        (Action::Rename, HIGH),
        (Action::Link, HIGH),
        (Action::Symlink, MEDIUM),
        (Action::Chmod, HIGH),
        (Action::Chown, HIGH),
        (Action::Truncate, HIGH),
        (Action::Mknod, HIGH),
    ] {
        assert_eq!(ask(facts(action, "/etc/sudoers")), (severity, Match::Path), "{action:?}");
    }
}

#[test]
fn a_refused_try_is_less_grave_than_a_success() {
    assert_eq!(ask(FileFacts { refused: true, ..facts(Action::Open, "/etc/shadow") }).0, MEDIUM);
}

#[test]
fn which_of_the_names_matched_is_told_in_order() {
    let both = FileFacts { other: b"/b.key", known_as: Some(b"/c.key"), ..facts(Action::Link, "/a.key") };
    assert_eq!(ask(both), (HIGH, Match::Path));
    assert_eq!(ask(FileFacts { path: b"/a", ..both }), (HIGH, Match::Other));
    assert_eq!(ask(FileFacts { path: b"/a", other: b"/b", ..both }), (HIGH, Match::Identity));
    assert_eq!(
        ask(FileFacts { path: b"/a", other: b"/b", known_as: Some(b"/c"), ..both }).0,
        Verdict::NotWatched
    );
    // An ignored name says nothing about the others.
    assert_eq!(ask(FileFacts { path: b"/example.key", ..both }), (HIGH, Match::Other));
}

#[test]
fn a_file_known_for_writing_alone_is_not_told_for_reading() {
    let alias = FileFacts { known_as: Some(b"/etc/sudoers"), ..facts(Action::Open, "/tmp/alias") };
    assert_eq!(ask(alias).0, Verdict::NotWatched);
    assert_eq!(ask(FileFacts { writes: true, ..alias }), (HIGH, Match::Identity));
}

#[test]
fn a_renamed_directory_counts_where_names_below_it_are_watched() {
    for (from, to, wanted) in [
        ("/srv/x", "/tmp/x", HIGH),
        ("/tmp/x", "/srv/x", HIGH),
        ("/srv/x/vault", "/srv/x/old", HIGH),
        ("/home/x", "/home/y", Verdict::NotWatched),
        ("/etc", "/etc.old", HIGH),
    ] {
        let renamed = FileFacts { other: from.as_bytes(), ..facts(Action::Rename, "") };
        assert_eq!(ask(FileFacts { path: to.as_bytes(), ..renamed }).0, wanted, "{from} → {to}");
    }
    assert_eq!(
        ask(facts(Action::Delete, "/srv/x")).0,
        Verdict::NotWatched,
        "only a rename brings names along"
    );
}

#[test]
fn excludes_need_all_they_say() {
    let nginx = FileFacts { executable: Some(b"/usr/sbin/nginx"), ..facts(Action::Open, "/a.key") };
    assert_eq!(ask(nginx).0, Verdict::Excluded);
    assert_eq!(ask(FileFacts { path: b"/etc/shadow", ..nginx }).0, HIGH, "not one of its paths");
    assert_eq!(ask(FileFacts { executable: Some(b"/usr/sbin/nginx2"), ..nginx }).0, HIGH);
    assert_eq!(ask(FileFacts { executable: None, ..nginx }).0, HIGH, "unknown is not excused");

    let backup = FileFacts { unit: Some("backup.service"), ..facts(Action::Open, "/etc/shadow") };
    assert_eq!(ask(backup).0, Verdict::Excluded, "any path");
    assert_eq!(ask(FileFacts { unit: None, ..backup }).0, HIGH);

    let passwd = FileFacts { executable: Some(b"/usr/bin/passwd"), ..facts(Action::Open, "/etc/shadow") };
    assert_eq!(ask(passwd).0, Verdict::Excluded);
    assert_eq!(ask(FileFacts { unit: Some("other.scope"), ..passwd }).0, HIGH, "both, not one of the two");
}

#[test]
fn an_exclude_is_asked_about_the_name_that_matched() {
    let nginx = FileFacts { executable: Some(b"/usr/sbin/nginx"), ..facts(Action::Link, "/tmp/x") };
    assert_eq!(ask(FileFacts { other: b"/a.key", ..nginx }), (Verdict::Excluded, Match::Other));
    assert_eq!(ask(FileFacts { known_as: Some(b"/a.key"), ..nginx }), (Verdict::Excluded, Match::Identity));
    assert_eq!(ask(FileFacts { other: b"/etc/shadow", ..nginx }), (HIGH, Match::Other));
    // A watched name of its own cannot be covered by an excused alias.
    let covered = FileFacts { path: b"/etc/shadow", known_as: Some(b"/a.key"), ..nginx };
    assert_eq!(ask(covered), (HIGH, Match::Path));
}

#[test]
fn an_exec_is_as_grave_as_what_it_runs() {
    for (flags, secret, wanted) in [
        (Flags::default(), false, Severity::Info),
        (Flags::default(), true, Severity::Low),
        (Flags::EXE_TMPFS, false, Severity::Low),
        (Flags::SETUID, false, Severity::Low),
        (Flags::EXE_MEMFD, false, Severity::High),
        (Flags::EXE_DELETED, true, Severity::High),
    ] {
        assert_eq!(exec_severity(flags, secret), wanted, "{flags:?} {secret}");
    }
}

#[test]
fn secrets_in_an_environment_are_known_by_their_names() {
    let decide = Decide::new(&configuration("[process]\nsecret_env_patterns = [\"*_TOKEN\", \"AWS_*\"]\n"));
    assert!(decide.secret_env(b"GH_TOKEN") && decide.secret_env(b"AWS_SECRET"));
    assert!(!decide.secret_env(b"gh_token") && !decide.secret_env(b"PATH") && !decide.secret_env(b"\xff"));
}

#[test]
fn the_lists_go_to_the_scanner_as_they_were_written() {
    let config = configuration(LISTS);
    assert_eq!(Decide::texts(&config.file.watch), ["/etc/shadow", "*.key", "/srv/*/vault/**"]);
}

#[test]
fn a_name_whose_directory_is_not_known_is_watched_where_it_may_be_and_ignored_where_it_must_be() {
    for (path, verdict) in [
        ("shadow", HIGH),
        ("../../etc/shadow", HIGH),
        ("x/shadow", Verdict::NotWatched),
        ("..", Verdict::NotWatched),
        ("", Verdict::NotWatched),
        ("b.key", HIGH),
        // By name alone, so in every directory; the other only in one it may not lie in.
        ("example.key", Verdict::NotWatched),
        ("../public/b.key", HIGH),
        // Any name below a vault, which is not named.
        ("secret", Verdict::NotWatched),
        ("vault/secret", HIGH),
    ] {
        assert_eq!(ask(facts(Action::Open, path)).0, verdict, "{path}");
    }
    // A directory that comes to be a watched one's.
    assert_eq!(ask(facts(Action::Rename, "vault")).0, HIGH);
    assert_eq!(ask(facts(Action::Rename, "../srv")).0, HIGH);
    assert_eq!(ask(facts(Action::Rename, "anything")).0, Verdict::NotWatched);
}
