//! Loading a configuration: every mistake is found, placed and answered, later
//! documents win, and no text makes it panic.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use bee_trace::config::{
    ALWAYS_WRITTEN, Config, Document, Files, Kind, Loaded, MAX_DOCUMENT, MAX_ENTRIES, OPTIONS, Origin,
    Preset, Shape, Source, load, load_files, read, restart_needed, shipped_names, show,
};
use bee_trace::error::ExitStatus;
use bee_trace::event::Action;
use bee_trace::watch::Pattern;

const SHIPPED: &str = include_str!("../config/bee-traced.toml");

fn document(name: &str, text: &str) -> Document {
    Document { name: name.into(), text: text.into() }
}

fn loaded(texts: &[&str]) -> Loaded {
    let names = ["main.toml", "10.toml", "20.toml"];
    let documents: Vec<Document> = names.iter().zip(texts).map(|(name, text)| document(name, text)).collect();
    load(&documents).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn problems(text: &str) -> Vec<String> {
    let problems = load(&[document("c.toml", text)]).err().unwrap_or_else(|| panic!("accepted: {text}"));
    problems.iter().map(ToString::to_string).collect()
}

fn texts(patterns: &[Pattern]) -> Vec<&str> {
    patterns.iter().map(Pattern::text).collect()
}

#[test]
fn each_mistake_is_placed_and_answered() {
    for (text, wanted) in [
        (
            "[limits]\nalert_ring_kb = 5",
            "c.toml:2:1: limits.alert_ring_kb: unknown key; did you mean `alert_ring_kib`?",
        ),
        ("[limits]\nwatch = []", "c.toml:2:1: limits.watch: unknown key here; it belongs in `[file]`"),
        (
            "[host]\nzzz = 1",
            "c.toml:2:1: host.zzz: unknown key; `[host]` has proc, sys, cgroup, btf, user, journal_socket",
        ),
        ("[limit]\ninodes = 5", "c.toml:1:2: limit: unknown; did you mean `limits`?"),
        ("inodes = 500", "c.toml:1:1: inodes: must stand in a section; write `[limits]` above it"),
        (
            "inherits = \"x\"",
            "c.toml:1:12: inherits: no profile is called \"x\"; known profiles: ci-runner, paranoid, raspberry-pi, server",
        ),
        ("limits = 5", "c.toml:1:1: limits: is a whole number; write `[limits]` and its keys below it"),
        (
            "[limits]\ninodes = 5",
            "c.toml:2:10: limits.inodes: 5 is out of range; write a whole number from 256 to 1048576",
        ),
        (
            "[limits]\ninodes = -5",
            "c.toml:2:10: limits.inodes: -5 is out of range; write a whole number from 256 to 1048576",
        ),
        (
            "[limits]\ninodes = 0x1",
            "c.toml:2:10: limits.inodes: 0x1 is out of range; write a whole number from 256 to 1048576",
        ),
        (
            "[limits]\ninodes = 99999999999999999999",
            "c.toml:2:10: limits.inodes: 99999999999999999999 is out of range; write a whole number from 256 to 1048576",
        ),
        (
            "[limits]\ninodes = \"500\"",
            "c.toml:2:10: limits.inodes: is a string; write a whole number from 256 to 1048576",
        ),
        (
            "[limits]\ninodes = 500.0",
            "c.toml:2:10: limits.inodes: is a number with a fraction; write a whole number from 256 to 1048576",
        ),
        ("[sensors]\nfile = 1", "c.toml:2:8: sensors.file: is a whole number; write `true` or `false`"),
        (
            "[output]\nformat = \"csv\"",
            "c.toml:2:10: output.format: \"csv\" is no format; write \"json\" or \"pretty\"",
        ),
        (
            "[output]\nformat = []",
            "c.toml:2:10: output.format: is a list; write a string: \"json\" or \"pretty\"",
        ),
        (
            "[output]\nactions = [\"opne\"]",
            "c.toml:2:12: output.actions: \"opne\" is no action; did you mean \"open\"?",
        ),
        (
            "[output]\nfile = \"x.log\"",
            "c.toml:2:8: output.file: \"x.log\" is not absolute; write the path from the root, beginning with `/`",
        ),
        (
            "[host]\nuser = \"root\"",
            "c.toml:2:8: host.user: \"root\" is who the daemon must stop being; name a user without privileges",
        ),
        (
            "[file]\nwatch = [\n  \"/ok\",\n  \"\u{e9}/b\",\n]",
            "c.toml:4:3: file.watch: \"\u{e9}/b\" is relative to nothing; write `/\u{e9}/b` from the root, or `~/\u{e9}/b` for any depth",
        ),
        (
            "[file]\nwatch_add = [5]",
            "c.toml:2:14: file.watch_add: is a whole number; write a string: a file pattern such as \"/etc/shadow\", \"~/.ssh/*\" or \"*.key\"",
        ),
        (
            "[file]\nwatch = \"/x\"",
            "c.toml:2:9: file.watch: is a string; write a list of strings, each a file pattern such as \"/etc/shadow\", \"~/.ssh/*\" or \"*.key\"",
        ),
        (
            "[file]\nscan_skip_add = []",
            "c.toml:2:1: file.scan_skip_add: unknown key; did you mean `scan_skip`?",
        ),
        (
            "[process]\nsecret_env_patterns = [\"*\"]",
            "c.toml:2:24: process.secret_env_patterns: \"*\" matches every variable; name a part of it, such as `*TOKEN*`",
        ),
        (
            "[[exclude]]\ncomm = \"sshd\"",
            "c.toml:2:1: exclude.comm: is refused: a process can give itself any name; write `exe` or `unit`",
        ),
        ("[[exclude]]\npath = [\"/x\"]", "c.toml:2:1: exclude.path: unknown key; did you mean `paths`?"),
        (
            "[[exclude]]\nexe = \"sshd\"",
            "c.toml:2:7: exclude.exe: \"sshd\" is not absolute; write the path from the root, beginning with `/`",
        ),
        (
            "[[exclude]]\nunit = \"cron\"",
            "c.toml:2:8: exclude.unit: \"cron\" lacks the unit's type; write \"cron.service\"",
        ),
        (
            "[[exclude]]\nunit = \"cron.service\"\npaths = []",
            "c.toml:3:9: exclude.paths: is empty; name some, or leave the key out to exclude all of them",
        ),
        (
            "[[exclude]]\nunit = \"cron.service\"\npaths = [\"*\"]",
            "c.toml:3:10: exclude.paths: \"*\" has nothing the kernel could test, so every open on the machine would have to be looked at; begin or end the name with fixed characters (`*.key`) or name a directory (`/srv/secrets/**`)",
        ),
        (
            "[[exclude]]\npaths = [\"/x\"]",
            "c.toml:1:1: exclude: names nobody; write `exe = \"/path\"` or `unit = \"name.service\"`",
        ),
        (
            "[exclude]\nexe = \"/x\"",
            "c.toml:1:2: exclude: is a table; write `[[exclude]]`, with two brackets, for each program or unit",
        ),
        (
            "exclude = [1]",
            "c.toml:1:12: exclude: is a whole number; write `[[exclude]]`, with two brackets, for each program or unit",
        ),
    ] {
        assert_eq!(problems(text), [wanted], "{text}");
    }
}

#[test]
fn text_that_is_not_toml_is_placed_and_the_rest_still_judged() {
    let text = "[limits]\ninodes = = 5\nqueue_kib = 1\n[file\nwatch = [\"a/b\"]\n[host]\nuser = \"root\"\n";
    let places: Vec<String> = load(&[document("c.toml", text)])
        .unwrap_err()
        .iter()
        .map(|one| {
            format!("{}:{} {}{}", one.line, one.column, one.key, one.message.split(':').next().unwrap())
        })
        .collect();
    let wanted = [
        "2:10 not valid TOML",
        "3:13 limits.queue_kib1 is out of range; write a whole number from 16 to 1048576",
        "4:6 not valid TOML",
        "7:8 host.user\"root\" is who the daemon must stop being; name a user without privileges",
    ];
    assert_eq!(places, wanted);
    let found = problems("[limits]\ninodes = 500\ninodes = 600\n");
    assert!(found.len() == 1 && found[0].contains("duplicate"), "{found:#?}");
}

#[test]
fn all_mistakes_of_all_documents_come_at_once_and_in_order() {
    let documents = [
        document("a", "[limits]\nqueue_kib = 1\nalert_burst = 0\n[sensors]\nfiel = true\n"),
        document("b", ""),
        document("c", "[file]\nwatch = [\"a/b\", \"/ok\", \"**\"]\n"),
    ];
    let found = load(&documents).unwrap_err();
    let places: Vec<(&str, usize, usize)> =
        found.iter().map(|one| (one.document.as_str(), one.line, one.column)).collect();
    assert_eq!(places, [("a", 2, 13), ("a", 3, 15), ("a", 5, 1), ("c", 2, 10), ("c", 2, 24)]);
}

#[test]
fn a_message_holds_nothing_a_terminal_would_obey() {
    for text in [
        "[file]\nwatch = [\"a/\\u001b[2J\"]",
        "\"\\u001b[2J\" = 1",
        "[limits]\n\"\\u001b[2J\" = 1",
        "[[exclude]]\n\"\\u001b[2J\" = 1",
        "[output]\nformat = \"\\u001b[2J\"",
        "[[exclude]]\nunit = \"\\u001b[2J\"",
        "[output]\nactions = [\"\\u009b2J\"]",
    ] {
        for message in problems(text) {
            assert!(!message.chars().any(char::is_control), "{message:?}");
        }
    }
    let long = format!("[output]\nformat = \"{}\"", "x".repeat(5000));
    assert!(problems(&long)[0].len() < 300);
}

#[test]
fn later_documents_replace_and_add_lists_append() {
    let all = loaded(&[
        "[file]\nwatch = [\"/a\"]\nignore_add = [\"/i\"]\n[limits]\ninodes = 1000\n",
        "[file]\nwatch_add = [\"/b\", \"/a\"]\n[limits]\ninodes = 2000\n",
        "[file]\nwatch_add = [\"/c\"]\nwatch_write = [\"/w\"]\nwatch_write_add = [\"/v\"]\n",
    ]);
    assert_eq!(texts(&all.config.file.watch), ["/a", "/b", "/c"]);
    assert_eq!(texts(&all.config.file.watch_write), ["/w", "/v"]);
    assert_eq!(all.config.limits.inodes, 2000);
    let ignore = texts(&all.config.file.ignore);
    assert_eq!(ignore.last(), Some(&"/i"));
    assert_eq!(ignore.len(), Config::default().file.ignore.len() + 1);
    let origin = |key: &str| all.origins[key].iter().map(Origin::to_string).collect::<Vec<_>>().join(" + ");
    assert_eq!(origin("file.watch"), "main.toml:2 + 10.toml:2 + 20.toml:2");
    assert_eq!(origin("file.watch_write"), "20.toml:3 + 20.toml:4");
    assert_eq!(origin("file.ignore"), "default + main.toml:3");
    assert_eq!(origin("limits.inodes"), "10.toml:4");
    assert_eq!(origin("limits.queue_kib"), "default");
}

#[test]
fn excludes_of_the_main_file_replace_the_built_in_ones_and_those_of_drop_ins_add() {
    let built_in = Config::default().exclude.len();
    let one = "[[exclude]]\nexe = \"/usr/bin/x\"\n";
    let two = "[[exclude]]\nunit = \"y.service\"\npaths = [\"/y\"]\n";
    assert_eq!(loaded(&[""]).config.exclude.len(), built_in);
    assert_eq!(loaded(&["", one]).config.exclude.len(), built_in + 1);
    assert_eq!(loaded(&["exclude = []", ""]).config.exclude, []);
    let all = loaded(&[one, two, one]);
    assert_eq!(all.config.exclude.len(), 3);
    assert_eq!(all.config.exclude[0].exe.as_deref(), Some(Path::new("/usr/bin/x")));
    assert_eq!(all.config.exclude[1].unit.as_deref(), Some("y.service"));
    assert_eq!(texts(&all.config.exclude[1].paths), ["/y"]);
    assert_eq!(all.exclude_origins[1].to_string(), "10.toml:1");
}

#[test]
fn what_is_shown_loads_to_the_same_and_says_where_it_came_from() {
    for texts in [
        &["", "", ""][..],
        &[
            "exclude = []\n[output]\nfile = \"/var/log/a \\\"b\\\".json\"\nformat = \"pretty\"\nactions = [\"open\"]",
        ],
        &[
            "[file]\nwatch = ['/a\\*b', '/c[\"]d*']\nscan_skip = [\"/srv\"]\n[host]\ncgroup = \"/x\"",
            "[[exclude]]\nunit = \"a.service\"",
        ],
    ] {
        let first = loaded(texts);
        let text = show(&first);
        assert_eq!(loaded(&[&text]).config, first.config, "{text}");
    }
    let text = show(&loaded(&[
        "[limits]\ninodes = 1000",
        "[file]\nwatch_add = [\"/x\"]\n[[exclude]]\nexe = \"/x\"",
    ]));
    assert!(text.contains("\ninodes = 1000 # main.toml:2\n"), "{text}");
    assert!(text.contains("\nqueue_kib = 1024 # default\n"), "{text}");
    assert!(text.contains("\nwatch = [ # default + 10.toml:2\n"), "{text}");
    assert!(text.ends_with("\n[[exclude]] # 10.toml:3\nexe = \"/x\"\n"), "{text}");
    // A file's name cannot leave the comment.
    let evil = load(&[document("a\n[limits]", "[limits]\ninodes = 1000")]).unwrap();
    assert_eq!(loaded(&[&show(&evil)]).config, evil.config);
}

#[test]
fn events_go_where_the_configuration_says_or_else_where_people_look() {
    use bee_trace::config::Place::{File, Journal, Stdout};
    let places = |text: &str, systemd| loaded(&[text]).config.output.places(systemd);
    assert_eq!((places("", false), places("", true)), (vec![Stdout], vec![Journal]));
    let file = "[output]\nfile = \"/x\"\n";
    assert_eq!((places(file, false), places(file, true)), (vec![File], vec![File]));
    let all = format!("{file}to = [\"journal\", \"stdout\", \"file\", \"journal\"]");
    assert_eq!(
        (places(&all, false), places(&all, true)),
        (vec![Stdout, File, Journal], vec![Stdout, File, Journal])
    );
    assert_eq!(places("[output]\nto = [\"stdout\"]", true), [Stdout]);
    assert_eq!(
        problems("\n[output]\nto = [\"file\"]"),
        ["c.toml:3:1: output.to: names the file, but `output.file` does not say which"]
    );
}

#[test]
fn actions_always_hold_those_that_are_always_written() {
    let only = loaded(&["[output]\nactions = [\"open\", \"exec\", \"loss\"]"]).config.output.actions;
    assert_eq!(only, [Action::Exec, Action::Open, Action::Loss, Action::Start, Action::Stop]);
    assert_eq!(loaded(&["[output]\nactions = []"]).config.output.actions, ALWAYS_WRITTEN);
}

/// For every option another value than its default.
fn another(kind: Kind, default: Preset) -> &'static str {
    match (kind, default) {
        (Kind::Bool, Preset::Bool(yes)) => {
            if yes {
                "false"
            } else {
                "true"
            }
        }
        (Kind::Integer { .. }, _) => "777",
        (Kind::Text(_), Preset::Text("json")) => "\"pretty\"",
        (Kind::Text(_), Preset::Text("bee-trace")) => "\"somebody\"",
        (Kind::Text(_), _) => "\"/elsewhere\"",
        (Kind::List(Shape::Port), _) => "[\"22\"]",
        (Kind::List(Shape::Address), _) => "[\"192.0.2.1\"]",
        (Kind::List(Shape::SocketKind), _) => "[\"raw\"]",
        (Kind::List(Shape::NetworkAction), _) => "[\"send\"]",
        (Kind::List(Shape::Place), _) => "[\"journal\"]",
        (Kind::List(shape), _) if shape.check("open").is_ok() && shape.check("/x").is_err() => "[\"open\"]",
        (Kind::List(shape), _) if shape.check("/x").is_ok() => "[\"/x\"]",
        _ => "[\"X\"]",
    }
}

#[test]
fn every_option_reaches_its_own_field_and_names_a_restart_where_one_is_needed() {
    let old = Config::default();
    for option in OPTIONS {
        let value = another(option.kind, option.default);
        let new = loaded(&[&format!("[{}]\n{} = {value}\n", option.section(), option.name())]);
        assert_ne!(new.config, old, "{} = {value} changed nothing", option.key);
        let wanted: &[&str] = if option.restart { &[option.key] } else { &[] };
        assert_eq!(restart_needed(&old, &new.config), wanted, "{}", option.key);
        // Put back, nothing else may have changed.
        let text = show(&new);
        let changed = text.lines().filter(|line| line.ends_with("# main.toml:2")).count();
        assert_eq!(changed, 1, "{text}");
        let back = show(&load(&[]).unwrap());
        let differing = strip(&text).iter().zip(strip(&back)).filter(|(one, other)| *one != other).count();
        assert_eq!(differing, 1, "{}", option.key);
    }
}

/// Each assignment without its origin, lists on one line.
fn strip(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for line in text.lines() {
        let bare = line.split(" # ").next().unwrap();
        if line.starts_with("    ") || line == "]" {
            out.last_mut().unwrap().push_str(bare);
        } else {
            out.push(bare.to_owned());
        }
    }
    out
}

#[test]
fn lists_and_excludes_have_a_limit() {
    let many: String = (0..=MAX_ENTRIES).map(|n| format!("\"/x/{n}\",")).collect();
    assert!(problems(&format!("[file]\nwatch = [{many}]"))[0].contains("at most 2048"));
    let half: String = (0..1500).map(|n| format!("\"/y/{n}\",")).collect();
    let texts = format!("[file]\nwatch = [{half}]");
    let more = texts.replace("/y/", "/z/").replace("watch =", "watch_add =");
    assert_eq!(load(&[document("a", &texts), document("b", &more)]).unwrap_err()[0].document, "b");
    assert!(problems(&"[[exclude]]\nexe = \"/x\"\n".repeat(257))[0].contains("more than 256"));
    assert!(problems(&"#".repeat(MAX_DOCUMENT + 1))[0].contains("1 MiB"));
}

/// A directory of this test's own, gone when it ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bee-config-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("config.d")).unwrap();
        Self(path)
    }
    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn drop_ins_are_read_in_the_order_of_their_names() {
    let scratch = Scratch::new("order");
    let main = scratch.write("config.toml", "[limits]\ninodes = 1000\n");
    scratch.write("config.d/20-b.toml", "[limits]\ninodes = 3000\n");
    scratch.write("config.d/10-a.toml", "[limits]\ninodes = 2000\nqueue_kib = 64\n");
    scratch.write("config.d/30-c.toml~", "not toml");
    scratch.write("config.d/.40-d.toml", "not toml");
    let documents = read(&main).unwrap().documents;
    let names: Vec<String> = documents.iter().map(|one| one.name.clone()).collect();
    let shown = |name: &str| scratch.0.join(name).display().to_string();
    assert_eq!(names, [shown("config.toml"), shown("config.d/10-a.toml"), shown("config.d/20-b.toml")]);
    let config = load(&documents).unwrap().config;
    assert_eq!((config.limits.inodes, config.limits.queue_kib), (3000, 64));
    // The same file again, by the directory that was kept open.
    let source = Source::open(&main).unwrap();
    scratch.write("config.d/99.toml", "[limits]\ninodes = 4000\n");
    assert_eq!(load_files(&source.read().unwrap()).unwrap().config.limits.inodes, 4000);
    std::fs::remove_dir_all(scratch.0.join("config.d")).unwrap();
    assert_eq!(source.read().unwrap().documents.len(), 1);
}

#[test]
fn a_file_that_cannot_be_meant_is_refused_in_words() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("refused");
    let refused = |path: &Path, word: &str| {
        let error = read(path).unwrap_err();
        assert_eq!(error.status, ExitStatus::Config);
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    };
    refused(&scratch.0.join("none.toml"), "does not exist");
    refused(&scratch.0.join("none/none.toml"), "does not exist");
    refused(Path::new("/"), "is no file");
    refused(&scratch.0, "not a regular file");
    refused(&scratch.write("long.toml", vec![b'#'; MAX_DOCUMENT + 1]), "longer than 1 MiB");
    refused(&scratch.write("latin.toml", b"a = 1\n# caf\xe9\n"), "not UTF-8 (line 2)");
    let fifo = scratch.0.join("fifo.toml");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    refused(&fifo, "not a regular file");
    let open = scratch.write("open.toml", "");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).unwrap();
    refused(&open, "chmod o-w");
    // A mistake in a drop-in names the drop-in.
    let good = scratch.write("good.toml", "");
    let bad = scratch.write("config.d/bad.toml", b"\xff");
    assert!(read(&good).unwrap_err().to_string().contains(&bad.display().to_string()));
}

#[test]
fn no_text_makes_it_panic() {
    let seeds = [
        SHIPPED.as_bytes(),
        b"[[exclude]]\nexe = '/x'\n[file]\nwatch_add = ['~/[a-z]*\\\\x']\n",
        b"a.b.c = {d = [1e9, 1979-05-27]}",
    ];
    let splices: [&[u8]; 14] = [
        b"[",
        b"]",
        b"\"",
        b"'''",
        b"\"\"\"",
        b"=",
        b".",
        b"{",
        b"}",
        b"\\u0000",
        b"\xc3\xa9",
        b"\xef\xbb\xbf",
        b"\n[[exclude]]\n",
        b"9999999999",
    ];
    let mut state = 0x5eed_0005_u64;
    let mut below = |limit: usize| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        usize::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % limit
    };
    let (mut good, mut bad) = (0, 0);
    for round in 0..1500 {
        let mut text = seeds[round % seeds.len()].to_vec();
        // A piece of the shipped file is enough, and keeps the test short.
        let from = below(text.len());
        text = text[from..text.len().min(from + 1200)].to_vec();
        for _ in 0..below(5) {
            let at = below(text.len() + 1);
            match below(4) {
                0 => text.truncate(at),
                1 => text.splice(at..at, splices[below(splices.len())].iter().copied()).for_each(drop),
                2 => text.splice(at..text.len().min(at + below(9)), []).for_each(drop),
                _ => text.splice(at..at, [u8::try_from(below(256)).unwrap()]).for_each(drop),
            }
        }
        match load(&[document("fuzz", &String::from_utf8_lossy(&text))]) {
            Ok(all) => {
                good += 1;
                assert_eq!(loaded(&[&show(&all)]).config, all.config);
            }
            Err(problems) => {
                bad += 1;
                assert!(problems.iter().all(|one| one.line > 0 && one.column > 0 && !one.message.is_empty()));
            }
        }
    }
    assert!(good > 20 && bad > 500, "{good} {bad}");
    for deep in ["[", "{a=", "a.", "[[", "\"", "[a."] {
        let _ = load(&[document("deep", &deep.repeat(20_000))]);
        let _ = load(&[document("deep", &format!("a = {}", deep.repeat(20_000)))]);
    }
}

fn profile(name: &str, text: &str) -> (String, Document) {
    (name.into(), document(&format!("profiles/{name}.toml"), text))
}

fn files(documents: &[&str], profiles: &[(&str, &str)]) -> Files {
    Files {
        documents: (0..).zip(documents).map(|(n, text)| document(&format!("{n}.toml"), text)).collect(),
        profiles: profiles.iter().map(|(name, text)| profile(name, text)).collect(),
    }
}

#[test]
fn a_profile_holds_where_it_is_inherited_and_what_follows_is_stronger() {
    let base = "[limits]\ninodes = 1000\nprocesses = 1000\nqueue_kib = 100\n[file]\nwatch_add = [\"/a\"]\n";
    let derived = "inherits = \"base\"\n[limits]\nprocesses = 2000\nqueue_kib = 200\n";
    let main = "inherits = \"derived\"\n[limits]\nqueue_kib = 300\n";
    let loaded =
        load_files(&files(&[main, "[limits]\nalert_burst = 7\n"], &[("derived", derived), ("base", base)]))
            .unwrap();
    let limits = &loaded.config.limits;
    assert_eq!((limits.inodes, limits.processes, limits.queue_kib, limits.alert_burst), (1000, 2000, 300, 7));
    assert_eq!(loaded.config.file.watch.len(), Config::default().file.watch.len() + 1);
    assert_eq!(loaded.sources.profiles, ["base", "derived"]);
    assert_eq!(loaded.sources.files, ["0.toml", "1.toml"]);
    assert_eq!(loaded.origins["limits.inodes"], [Origin::Line("profiles/base.toml".into(), 2)]);
    assert_eq!(loaded.origins["limits.processes"], [Origin::Line("profiles/derived.toml".into(), 3)]);
    assert_eq!(loaded.origins["limits.queue_kib"], [Origin::Line("0.toml".into(), 3)]);
    assert_eq!(loaded.replaced(), (vec!["limits.queue_kib"], 4));
    // What is shown says so, and loads to the same without the profile.
    let shown = show(&loaded);
    assert!(shown.contains("inodes = 1000 # profiles/base.toml:2\n"), "{shown}");
    assert!(shown.starts_with("# inherits base → derived # 0.toml:1\n"), "{shown}");
    assert_eq!(load(&[document("again", &shown)]).unwrap().config, loaded.config);
    // In a drop-in it stands over the main file.
    let over = load_files(&files(
        &["[limits]\ninodes = 5000\nalert_burst = 9\n", "inherits = \"base\"\n"],
        &[("base", base)],
    ))
    .unwrap();
    assert_eq!((over.config.limits.inodes, over.config.limits.alert_burst), (1000, 9));
}

#[test]
fn excludes_of_profiles_join_the_others_and_an_empty_list_removes_the_built_in_ones() {
    let built_in = Config::default().exclude.len();
    let adds = "[[exclude]]\nunit = \"a.service\"\n";
    let count =
        |main: &str, text: &str| load_files(&files(&[main], &[("p", text)])).unwrap().config.exclude.len();
    assert_eq!(count("inherits = \"p\"\n", adds), built_in + 1);
    assert_eq!(count("inherits = \"p\"\n", "exclude = []\n"), 0);
    let own = "inherits = \"p\"\n[[exclude]]\nunit = \"b.service\"\n";
    assert_eq!(count(own, adds), 2, "the main file's stand for the built-in ones only");
    assert_eq!(count("inherits = \"p\"\nexclude = []\n", adds), 0);
}

#[test]
fn profiles_that_cannot_be_are_named_with_those_that_can() {
    let problem = |documents: &[&str], profiles: &[(&str, &str)]| {
        let problems = load_files(&files(documents, profiles)).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].to_string()
    };
    let unknown = problem(&["\ninherits = \"raspberrypi\"\n"], &[("mine", "")]);
    assert!(unknown.starts_with("0.toml:2:12: inherits: "), "{unknown}");
    assert!(
        unknown.contains("did you mean \\\"raspberry-pi\\\"?")
            || unknown.contains("did you mean \"raspberry-pi\"?")
    );
    for name in shipped_names().chain(["mine"]) {
        assert!(unknown.contains(name), "{unknown}");
    }
    let round =
        problem(&["inherits = \"a\"\n"], &[("a", "inherits = \"b\"\n"), ("b", "\n\ninherits = \"a\"\n")]);
    assert!(round.starts_with("profiles/b.toml:3:12: inherits: leads round in a circle"), "{round}");
    let itself = problem(&["inherits = \"a\"\n"], &[("a", "inherits = \"a\"\n")]);
    assert!(itself.contains("circle"), "{itself}");
    let twice = problem(&["inherits = \"server\"\n", "inherits = \"paranoid\"\n"], &[]);
    assert!(twice.starts_with("1.toml:1:12: inherits: is said a second time, after 0.toml:1"), "{twice}");
    for bad in ["inherits = 3\n", "inherits = [\"server\"]\n", "inherits = \"../../etc/shadow\"\n"] {
        assert!(problem(&[bad], &[]).contains("name"), "{bad}");
    }
    // A mistake in a profile is told with the others.
    let problems = load_files(&files(
        &["inherits = \"p\"\n[limits]\ninodes = 1\n"],
        &[("p", "[limits]\nnonsense = 1\n")],
    ));
    let names: Vec<String> = problems.unwrap_err().iter().map(|one| one.document.clone()).collect();
    assert_eq!(names, ["profiles/p.toml", "0.toml"]);
}

#[test]
fn every_shipped_profile_loads_and_changes_something() {
    for name in shipped_names() {
        let text = format!("inherits = \"{name}\"\n");
        let loaded = load(&[document("main", &text)]).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert!(loaded.config != Config::default(), "{name}");
        assert_eq!(loaded.sources.profiles.last().map(String::as_str), Some(name));
        let (replaced, set) = loaded.replaced();
        assert!(replaced.is_empty() && set > 3, "{name}");
        // The file in the source is the one in the program.
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/profiles/{name}.toml"));
        assert!(path.exists(), "{}", path.display());
    }
    // A new action is left out of a profile on purpose only: name it here, or there.
    let all = Config::default().output;
    for (name, lines, journal) in [
        ("raspberry-pi", &[Action::Fork, Action::Exit][..], &[][..]),
        ("server", &[Action::Fork, Action::Exit], &[]),
        ("ci-runner", &[Action::Fork, Action::Exit], &[Action::Exec]),
        ("paranoid", &[], &[]),
    ] {
        let output = load(&[document("main", &format!("inherits = \"{name}\"\n"))]).unwrap().config.output;
        let without = |from: &[Action], out: &[Action]| -> Vec<Action> {
            from.iter().copied().filter(|action| !out.contains(action)).collect()
        };
        assert_eq!(output.actions, without(&all.actions, lines), "actions of {name}");
        let wanted = if name == "paranoid" { &all.actions } else { &all.journal_actions };
        assert_eq!(output.journal_actions, without(wanted, journal), "journal_actions of {name}");
    }
    let pi = load(&[document("main", "inherits = \"raspberry-pi\"\n")]).unwrap().config;
    assert!(pi.limits.alert_ring_kib + pi.limits.bulk_ring_kib <= 512);
    let paranoid = load(&[document("main", "inherits = \"paranoid\"\n")]).unwrap().config;
    assert!(paranoid.exclude.is_empty());
    assert_eq!(paranoid.output.actions, Config::default().output.actions);
}

#[test]
fn profiles_are_read_beside_the_file_before_the_shipped_ones() {
    let place = std::env::temp_dir().join(format!("bee-profiles-{}", std::process::id()));
    std::fs::create_dir_all(place.join("profiles")).unwrap();
    let main = place.join("config.toml");
    std::fs::write(&main, "inherits = \"server\"\n").unwrap();
    let shipped = load_files(&read(&main).unwrap()).unwrap();
    std::fs::write(place.join("profiles/server.toml"), "inherits = \"deep\"\n").unwrap();
    std::fs::write(place.join("profiles/deep.toml"), "[limits]\ninodes = 777\n").unwrap();
    // Not inherited, so not read.
    std::fs::write(place.join("profiles/broken.toml"), b"\xff").unwrap();
    let own = load_files(&read(&main).unwrap()).unwrap();
    assert_eq!(shipped.config.limits.inodes, 65536);
    assert_eq!((own.config.limits.inodes, own.config.limits.bulk_ring_kib), (777, 512));
    std::fs::write(place.join("profiles/server.toml"), b"\xff").unwrap();
    assert!(read(&main).unwrap_err().to_string().contains("UTF-8"));
    std::fs::remove_dir_all(&place).unwrap();
}
