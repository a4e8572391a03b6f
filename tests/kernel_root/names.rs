//! No watched name is missed, and none is made up: random lists, random names,
//! random acts on a tmpfs of the test's own; what the daemon reports is compared
//! with what `Pattern::matches` says of each path, one pattern after the other.
//! `BEE_SEED` repeats a run.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bee_trace::watch::{Pattern, PatternSet};
use serde_json::Value;

use crate::running::Daemon;
use crate::scanner_support::{everything_but, in_namespace};

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11).unwrap() % limit
    }
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// Few words, so that names and patterns meet.
const WORDS: &[&str] = &["key", "id_", "a", ".env", "vault", "é", "x y", "0123456789abcdef", "-"];
const DIRECTORIES: &[&str] = &[".ssh", "vault", "d", "keys", "x y"];

fn long() -> String {
    "long".repeat(20)
}

fn name(random: &mut Random) -> String {
    let mut name = String::new();
    if random.below(25) == 0 {
        // Only its first 64 bytes are hashed.
        name += &long();
    }
    for _ in 0..1 + random.below(3) {
        name += random.pick(WORDS);
    }
    name
}

fn pattern_name(random: &mut Random) -> String {
    match random.below(9) {
        0..=2 => name(random),
        3 => format!("*{}", name(random)),
        4 => format!("{}*", name(random)),
        5 => format!("{}*{}", random.pick(WORDS), random.pick(WORDS)),
        6 => format!("?{}", random.pick(WORDS)),
        7 => format!("[ak!é]*{}", random.pick(WORDS)),
        _ => "*".to_owned(),
    }
}

fn pattern_directory(random: &mut Random) -> String {
    match random.below(6) {
        0 => "*".to_owned(),
        1 => "**".to_owned(),
        2 => format!("{}*", &random.pick(DIRECTORIES)[..1]),
        _ => random.pick(DIRECTORIES).to_owned(),
    }
}

/// A pattern that `Pattern::parse` takes.
fn pattern(random: &mut Random, base: &Path) -> String {
    loop {
        let mut parts: Vec<String> = (0..random.below(3)).map(|_| pattern_directory(random)).collect();
        parts.push(if random.below(8) == 0 { "**".to_owned() } else { pattern_name(random) });
        let text = parts.join("/");
        let text = match random.below(3) {
            0 => format!("{}/{text}", base.display()),
            1 if parts.len() > 1 => format!("~/{text}"),
            _ => parts.last().unwrap().clone(),
        };
        if Pattern::parse(&text).is_ok() {
            return text;
        }
    }
}

/// The lists in force, and the reference: every pattern by itself.
struct Lists {
    watch: Vec<String>,
    watch_write: Vec<String>,
    ignore: Vec<String>,
}

impl Lists {
    fn random(random: &mut Random, base: &Path) -> Self {
        let mut some = |limit| (0..random.below(limit)).map(|_| pattern(random, base)).collect::<Vec<_>>();
        let mut lists = Self { watch: some(7), watch_write: some(5), ignore: some(3) };
        lists.watch.extend(["*.mark".to_owned(), "*key".to_owned()]);
        // A list that ignores everything tests nothing.
        let probes = ["0.mark", "d/a", "keys/.ssh/key"].map(|name| base.join(name));
        lists.ignore.retain(|text| probes.iter().all(|path| !Self::any(std::slice::from_ref(text), path)));
        lists
    }

    fn document(&self, base: &Path) -> String {
        let mut text =
            "[sensors]\nprocess = false\n[limits]\nalerts_per_second = 1000000\nalert_burst = 1000000\n\
                        alert_ring_kib = 8192\n[file]\n"
                .to_owned();
        let skip: Vec<String> =
            everything_but(base).iter().map(|path| path.to_str().unwrap().to_owned()).collect();
        for (key, list) in [
            ("watch", &self.watch),
            ("watch_write", &self.watch_write),
            ("ignore", &self.ignore),
            ("scan_skip", &skip),
        ] {
            writeln!(text, "{key} = {}", Value::from(list.clone())).unwrap();
        }
        text
    }

    fn any(list: &[String], path: &Path) -> bool {
        let path = path.as_os_str().as_encoded_bytes();
        list.iter().any(|text| Pattern::parse(text).unwrap().matches(path))
    }

    fn watched(&self, path: &Path, changes: bool) -> bool {
        (Self::any(&self.watch, path) || (changes && Self::any(&self.watch_write, path)))
            && !Self::any(&self.ignore, path)
    }

    /// Whether a directory that comes to lie at `path` is to be looked at.
    fn leads(&self, path: &Path) -> bool {
        let patterns = |list: &[String]| -> Vec<Pattern> {
            list.iter().map(|text| Pattern::parse(text).unwrap()).collect()
        };
        let path = path.as_os_str().as_encoded_bytes();
        [&self.watch, &self.watch_write]
            .into_iter()
            .any(|list| PatternSet::new(&patterns(list)).concerns_directory(path))
    }
}

/// What an act must be reported as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    action: &'static str,
    path: PathBuf,
    other: Option<PathBuf>,
}

/// The world the acts take place in, as it should be.
struct World<'a> {
    /// Files are known by name alone, so each is named whole.
    by_name: bool,
    base: &'a Path,
    lists: Lists,
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
    wanted: Vec<Wanted>,
    /// Every act, for the message when one is missed.
    acts: usize,
}

impl World<'_> {
    fn expect(&mut self, action: &'static str, path: &Path, other: Option<&Path>, watched: bool) {
        self.acts += 1;
        if watched {
            let (path, other) = (path.to_owned(), other.map(Path::to_owned));
            self.wanted.push(Wanted { action, path, other });
        }
    }

    fn open(&mut self, path: &Path, writes: bool) {
        self.open_as(path, path, writes);
    }

    fn open_as(&mut self, given: &Path, path: &Path, writes: bool) {
        let file = OpenOptions::new().read(!writes).write(writes).open(given).unwrap();
        drop(file);
        self.expect("open", path, None, self.lists.watched(path, writes));
    }

    fn create(&mut self, path: &Path) {
        drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap());
        self.expect("create", path, None, self.lists.watched(path, true));
        self.files.push(path.to_owned());
    }

    fn fresh(&self, random: &mut Random) -> Option<PathBuf> {
        let path = self.directories[random.below(self.directories.len())].join(name(random));
        (!path.exists() && fs::symlink_metadata(&path).is_err()).then_some(path)
    }

    /// The name as a caller may give it: whole, or relative to where it is.
    fn given(&self, random: &mut Random, path: &Path) -> PathBuf {
        if random.below(2) == 0 {
            return path.to_owned();
        }
        let parent = path.parent().unwrap();
        let (file, directory) = (path.file_name().unwrap(), parent.file_name().unwrap());
        let (file, directory) = (file.to_str().unwrap(), directory.to_str().unwrap());
        if self.by_name {
            let parent = parent.display();
            return PathBuf::from(match random.below(4) {
                0 => format!("{parent}//./{file}"),
                1 => format!("{parent}/../{directory}/{file}"),
                2 => format!("{parent}/./../{directory}/.//{file}"),
                _ => format!("/proc/self/root{parent}/{file}"),
            });
        }
        std::env::set_current_dir(parent).unwrap();
        PathBuf::from(match random.below(6) {
            0 => file.to_owned(),
            1 => format!("./{file}"),
            2 => format!(".//./{file}"),
            3 => format!("../{directory}/{file}"),
            4 => format!("../{directory}/./{file}"),
            _ => format!("{}//{file}", parent.display()),
        })
    }

    fn act(&mut self, random: &mut Random) {
        let file = self.files.get(random.below(self.files.len().max(1))).cloned();
        match (random.below(18), file) {
            (0..=3, _) | (_, None) => {
                if let Some(path) = self.fresh(random) {
                    self.create(&path);
                }
            }
            (number @ 4..=9, Some(file)) => {
                let given = self.given(random, &file);
                self.open_as(&given, &file, number >= 8);
            }
            (10, Some(file)) => {
                let given = self.given(random, &file);
                fs::set_permissions(given, PermissionsExt::from_mode(0o400)).unwrap();
                self.expect("chmod", &file, None, self.lists.watched(&file, true));
            }
            (11, Some(file)) => {
                fs::remove_file(self.given(random, &file)).unwrap();
                self.files.retain(|known| *known != file);
                self.expect("delete", &file, None, self.lists.watched(&file, true));
            }
            (12, Some(file)) => {
                let Some(new) = self.fresh(random) else { return };
                fs::hard_link(&file, self.given(random, &new)).unwrap();
                self.files.push(new.clone());
                let watched = self.lists.watched(&new, true) || self.lists.watched(&file, true);
                self.expect("link", &new, Some(&file), watched);
                self.open(&new, false);
            }
            (13, Some(file)) => {
                let Some(new) = self.fresh(random) else { return };
                fs::rename(&file, self.given(random, &new)).unwrap();
                self.files.retain(|known| *known != file);
                self.files.push(new.clone());
                let lists = &self.lists;
                let watched = lists.watched(&new, true) || lists.watched(&file, true);
                let leads = lists.leads(&new) || lists.leads(&file);
                self.expect("rename", &new, Some(&file), watched || leads);
                // At once, long before the scanner has been there.
                self.open(&new, random.below(2) == 0);
            }
            (14, _) => self.move_directory(random),
            (15..=16, Some(file)) => {
                let (given, writes) = (self.given(random, &file), random.below(2) == 0);
                effective_user(65_534);
                let refused = OpenOptions::new().read(!writes).write(writes).open(given);
                effective_user(0);
                assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::EACCES));
                self.expect("open", &file, None, self.lists.watched(&file, writes));
            }
            (_, Some(file)) => {
                let link = file.with_file_name(format!("{}.ln", random.below(1 << 30)));
                std::os::unix::fs::symlink(&file, &link).unwrap();
                self.expect("symlink", &link, Some(&file), {
                    self.lists.watched(&link, true) || self.lists.watched(&file, true)
                });
                // Opened through it, a file is told by its true path, where that can be known.
                drop(File::open(&link).unwrap());
                let told = if self.by_name { &link } else { &file };
                self.expect("open", told, None, self.lists.watched(told, false));
                fs::remove_file(&link).unwrap();
                self.expect("delete", &link, None, self.lists.watched(&link, true));
            }
        }
    }

    /// Files below a directory that is renamed get other paths, and are opened there.
    fn move_directory(&mut self, random: &mut Random) {
        let from = self.directories[random.below(self.directories.len())].clone();
        let parent = self.directories[random.below(self.directories.len())].clone();
        let to = parent.join(random.pick(DIRECTORIES));
        if from == self.base || to.exists() || to.starts_with(&from) {
            return;
        }
        std::env::set_current_dir("/").unwrap();
        fs::rename(&from, &to).unwrap();
        let moved = |path: &PathBuf| path.strip_prefix(&from).map_or(path.clone(), |rest| to.join(rest));
        // join("") would leave a slash at the end.
        let moved = |path: &PathBuf| if *path == from { to.clone() } else { moved(path) };
        self.files = self.files.iter().map(moved).collect();
        self.directories = self.directories.iter().map(moved).collect();
        let lists = &self.lists;
        let watched = [&to, &from].iter().any(|path| lists.watched(path, true) || lists.leads(path));
        self.expect("rename", &to, Some(&from), watched);
        let below: Vec<PathBuf> = self.files.iter().filter(|file| file.starts_with(&to)).cloned().collect();
        for file in below.iter().take(5) {
            self.open(file, false);
        }
    }
}

fn path(event: &Value, key: &str) -> Option<PathBuf> {
    event.pointer(key).map(|value| PathBuf::from(value.as_str().unwrap()))
}

/// Changes who this thread, and it alone, is to file systems.
fn effective_user(id: i64) {
    // SAFETY: takes numbers.
    assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, -1i64, id, -1i64) }, 0);
}

/// Compares what was reported with what was wanted, in order.
fn compare(world: &World<'_>, events: &[Value], note: &str) {
    let me = u64::from(std::process::id());
    let mut reported = Vec::new();
    for event in events {
        assert_ne!(event["event"]["action"], "loss", "{event}");
        let path_of = path(event, "/file/path");
        let ours =
            event["process"]["pid"] == me && path_of.as_ref().is_some_and(|at| at.starts_with(world.base));
        if !ours {
            continue;
        }
        let path_of = path_of.unwrap();
        if let Some(known) = path(event, "/bee/known_as") {
            // By identity: the present name is not watched, the one it was learned by is.
            assert!(world.lists.watched(&known, true), "{note}: known by a name nobody watches: {event}");
            assert!(!world.lists.watched(&path_of, false), "{note}: {event}");
            continue;
        }
        let action = event["event"]["action"].as_str().unwrap().to_owned();
        let other = path(event, "/bee/old_path").or_else(|| path(event, "/file/target_path"));
        reported.push((action, path_of, other));
    }
    let wanted: Vec<_> =
        world.wanted.iter().map(|act| (act.action.to_owned(), act.path.clone(), act.other.clone())).collect();
    for (index, (wanted, reported)) in wanted.iter().zip(&reported).enumerate() {
        assert_eq!(reported, wanted, "{note}: event {index} of {}", reported.1.display());
    }
    assert_eq!(
        reported.len(),
        wanted.len(),
        "{note}: {:?}",
        wanted.get(reported.len()).or(reported.get(wanted.len()))
    );
}

#[test]
fn root_no_watched_name_is_missed_and_none_is_made_up() {
    random_acts(false);
}

#[test]
fn root_by_names_alone_none_is_missed_and_none_is_made_up() {
    random_acts(true);
}

/// `by_name`: in the tier that knows nothing else.
fn random_acts(by_name: bool) {
    let seed = std::env::var("BEE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    in_namespace(|mount| {
        let mut random = Random(seed);
        let (base, state) = (mount.join("t"), mount.join("state"));
        fs::create_dir(&base).unwrap();
        fs::create_dir(&state).unwrap();
        fs::set_permissions(mount, PermissionsExt::from_mode(0o755)).unwrap();
        let mut world = World {
            by_name,
            base: &base,
            lists: Lists::random(&mut random, &base),
            files: Vec::new(),
            directories: vec![base.clone()],
            wanted: Vec::new(),
            acts: 0,
        };
        for _ in 0..12 {
            let parent = world.directories[random.below(world.directories.len())].clone();
            let directory = parent.join(random.pick(DIRECTORIES));
            if fs::create_dir(&directory).is_ok() {
                world.directories.push(directory);
            }
        }
        // Some are there before the daemon: only the scanner can tell of their other names.
        for _ in 0..40 {
            if let Some(path) = world.fresh(&mut random) {
                world.create(&path);
            }
        }
        world.wanted.clear();
        fs::write(state.join("config.toml"), world.lists.document(mount)).unwrap();
        let daemon = Daemon::start_with(&state, if by_name { &["--force-tier", "portable"] } else { &[] });
        let (mut seen, mut covered) = (0, BTreeSet::new());
        for round in 0..9 {
            let note = format!(
                "BEE_SEED={seed}, round {round}, watch {:?}, watch_write {:?}, ignore {:?}",
                world.lists.watch, world.lists.watch_write, world.lists.ignore
            );
            // One third by names alone, as the scan has hardly begun; one by what the scan
            // taught; one while a new list is being learned beside the old.
            for _ in 0..150 {
                world.act(&mut random);
            }
            let mark = base.join(format!("{round}.mark"));
            world.create(&mark);
            let line = format!("{}", Value::from(mark.to_str().unwrap()));
            daemon.wait(&note, || daemon.text().contains(&line));
            let events = daemon.events();
            compare(&world, &events[seen..], &note);
            covered.extend(world.wanted.drain(..).map(|act| act.action));
            seen = events.len();
            match round % 3 {
                0 if !by_name => daemon.wait_scans(1),
                1 => {
                    world.lists = Lists::random(&mut random, &base);
                    fs::write(state.join("config.toml"), world.lists.document(mount)).unwrap();
                    daemon.reload(round / 3 + 1);
                }
                _ => {}
            }
        }
        std::env::set_current_dir("/").unwrap();
        assert!(world.acts > 1000, "{} acts", world.acts);
        for action in ["open", "create", "delete", "rename", "link", "symlink", "chmod"] {
            assert!(covered.contains(action), "BEE_SEED={seed}: no {action} was ever watched");
        }
    });
}

#[test]
fn root_a_file_with_two_names_is_watched_for_the_more_of_both() {
    in_namespace(|mount| {
        let (base, state) = (mount.join("t"), mount.join("state"));
        fs::create_dir(&base).unwrap();
        fs::create_dir(&state).unwrap();
        fs::set_permissions(mount, PermissionsExt::from_mode(0o755)).unwrap();
        let list = |text: &str| vec![text.to_owned()];
        let mut lists = Lists { watch: list("*.key"), watch_write: list("*.conf"), ignore: Vec::new() };
        lists.watch.push("*.mark".to_owned());
        // In which order a directory gives its names is up to the file system: both ways are among these.
        for number in 0..16 {
            let file = |end: &str| base.join(format!("{number}.{end}"));
            let (first, second) = if number % 2 == 0 { ("key", "conf") } else { ("conf", "key") };
            fs::write(file(first), "x").unwrap();
            fs::hard_link(file(first), file(second)).unwrap();
            fs::hard_link(file(first), file("alias")).unwrap();
        }
        fs::write(state.join("config.toml"), lists.document(mount)).unwrap();
        let daemon = Daemon::start(&state);
        daemon.wait_scans(1);
        for number in 0..16 {
            drop(File::open(base.join(format!("{number}.alias"))).unwrap());
        }
        let mark = base.join("end.mark");
        drop(File::create(&mark).unwrap());
        daemon.wait("the mark", || daemon.text().contains("end.mark"));
        let me = u64::from(std::process::id());
        let events = daemon.events();
        let opened = events.iter().filter(|event| {
            event["process"]["pid"] == me
                && event["event"]["action"] == "open"
                && path(event, "/bee/known_as").is_some_and(|known| known.extension() == Some("key".as_ref()))
        });
        assert_eq!(opened.count(), 16);
    });
}
