//! What the scanner finds, on real file systems in a mount namespace of the
//! test's own. What it opens is taken from its system calls (ptrace), not from
//! what it says. Needs root; without it the tests fail and say so.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod scanner_support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use bee_trace::scanner::mounts::{self, Class};
use bee_trace::scanner::{Answer, Coverage, Request};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use scanner_support::{bind, finish, in_namespace, lessons, put, scan, start, summary, tmpfs};

#[test]
fn root_every_watched_file_is_opened_with_its_mode_and_nothing_else() {
    in_namespace(|base| {
        for file in [
            "home/ann/.ssh/id_ed25519",
            "home/ann/.ssh/id_ed25519.pub",
            "home/ann/.ssh/other",
            "w/settings",
            "w/deep/er/file",
            "etc/shadow",
            "etc/passwd",
            "my disk/a\nb.kdbx",
            "sub/mount/key.kdbx",
        ] {
            put(&base.join(file));
        }
        // Hidden by a mount: not to be seen, and what covers it is.
        tmpfs(&base.join("sub/mount"));
        put(&base.join("sub/mount/inner.kdbx"));
        fs::set_permissions(base.join("home/ann"), PermissionsExt::from_mode(0o700)).unwrap();
        nix::sys::stat::mknod(
            &base.join("etc/disk.kdbx"),
            nix::sys::stat::SFlag::S_IFBLK,
            nix::sys::stat::Mode::S_IRUSR,
            nix::sys::stat::makedev(7, 200),
        )
        .unwrap();
        // Directories are walked, not taught, whatever their name.
        fs::create_dir(base.join("dir.kdbx")).unwrap();

        let scanner = start(base);
        let shadow = base.join("etc/shadow");
        let request = scan(1, &["~/.ssh/id_*", "*.kdbx", shadow.to_str().unwrap()], base);
        let found = lessons(&scanner, &request);

        let lesson = (libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC) as u64;
        let of_mode = |mode: u64| -> BTreeSet<PathBuf> {
            let found = found.iter().filter(|(m, ..)| *m == mode && found.len() < 100);
            found
                .map(|(_, path, _)| path.strip_prefix(base).map_or(path.clone(), Path::to_path_buf))
                .collect()
        };
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
        assert_eq!(
            of_mode(1),
            paths(&[
                "home/ann/.ssh/id_ed25519",
                "etc/shadow",
                "etc/disk.kdbx",
                "my disk/a\nb.kdbx",
                "sub/mount/inner.kdbx"
            ])
        );
        assert_eq!(of_mode(2), paths(&["w/settings", "w/deep/er/file"]));
        assert!(of_mode(4).is_superset(&paths(&["", "sub/mount"])), "{:?}", of_mode(4));
        for (mode, path, flags) in &found {
            let wanted = if *mode == 4 { lesson | libc::O_DIRECTORY as u64 } else { lesson };
            assert_eq!(*flags, wanted, "{mode} {}", path.display());
        }
    });
}

#[test]
fn root_links_are_taught_by_their_target_unless_somebody_else_owns_it() {
    in_namespace(|base| {
        for file in ["store/real", "store/roots", "store/far"] {
            put(&base.join(file));
        }
        let keys = base.join("keys");
        fs::create_dir(&keys).unwrap();
        chown(base.join("store/real"), Some(1000), Some(1000)).unwrap();
        let link = |target: &str, name: &str| {
            symlink(target, keys.join(name)).unwrap();
            std::os::unix::fs::lchown(keys.join(name), Some(1000), Some(1000)).unwrap();
        };
        link("../store/./real", "good.kdbx");
        link("../store/roots", "bad.kdbx");
        link("loop.kdbx", "loop.kdbx");
        link("/proc/self/mem", "away.kdbx");
        link("../store", "directory.kdbx");
        link("nowhere", "dangling.kdbx");
        symlink(base.join("store/far"), keys.join("absolute.kdbx")).unwrap();
        let scanner = start(base);
        let found = lessons(&scanner, &scan(1, &["*.kdbx"], base));
        let taught: BTreeSet<_> =
            found.into_iter().filter(|(mode, ..)| *mode == 1).map(|(_, path, _)| path).collect();
        let mut wanted = BTreeSet::from([base.join("store/real")]);
        // The absolute one leads through every directory above; on an overlay root it is not followed.
        let (mounts, _) = mounts::parse(&fs::read("/proc/self/mountinfo").unwrap());
        let walked = |path: &Path| {
            let point = path.as_os_str().as_encoded_bytes();
            let point = if point == b"/" { b"" } else { point };
            let mount = mounts.iter().rfind(|mount| mount.point == point);
            mount.is_none_or(|mount| mounts::class(&mount.kind, mount.device.0) == Class::Walk)
        };
        if base.ancestors().all(walked) {
            wanted.insert(base.join("store/far"));
        }
        assert_eq!(taught, wanted);
    });
}

#[test]
fn root_a_mount_is_complete_only_if_all_of_it_was_seen() {
    in_namespace(|base| {
        for directory in ["whole", "part", "hidden", "skipped", "alias"] {
            fs::create_dir(base.join(directory)).unwrap();
        }
        tmpfs(&base.join("whole"));
        put(&base.join("whole/inside/a.kdbx"));
        bind(&base.join("whole/inside"), &base.join("alias"));
        tmpfs(&base.join("hidden"));
        tmpfs(&base.join("hidden"));
        // Only a part of this file system stays mounted.
        tmpfs(&base.join("skipped"));
        put(&base.join("skipped/sub/b.kdbx"));
        bind(&base.join("skipped/sub"), &base.join("part"));
        nix::mount::umount(&base.join("skipped")).unwrap();

        let scanner = start(base);
        let alias = base.join("alias/*.kdbx");
        assert!(scanner.request(&scan(3, &["*.kdbx", alias.to_str().unwrap()], base)).unwrap());
        let (answer, mounts) = finish(&scanner, 3);
        let summary = summary(answer);
        let of = |name: &str| -> Vec<Coverage> {
            mounts
                .iter()
                .filter(|(point, ..)| *point == base.join(name))
                .map(|(_, coverage, _)| *coverage)
                .collect()
        };
        assert_eq!(of("whole"), [Coverage::Complete]);
        assert_eq!(of("part"), [Coverage::Partial]);
        assert_eq!(of("hidden"), [Coverage::Partial, Coverage::Complete]);
        assert_eq!(
            summary.mounts_complete + summary.mounts_partial + summary.mounts_skipped,
            mounts.len() as u32
        );
        // a.kdbx by both of its paths, for a pattern names the second; b.kdbx where it is to be seen.
        assert_eq!(summary.files_taught, 3, "{mounts:?}");
        for (point, coverage, why) in &mounts {
            assert_eq!(why.is_empty(), *coverage == Coverage::Complete, "{}: {why}", point.display());
        }
    });
}

#[test]
fn root_a_directory_left_out_keeps_its_mount_on_name_checks() {
    in_namespace(|base| {
        put(&base.join("in/a.kdbx"));
        put(&base.join("out/b.kdbx"));
        fs::create_dir(base.join("out/mount")).unwrap();
        tmpfs(&base.join("out/mount"));
        put(&base.join("out/mount/c.kdbx"));
        let scanner = start(base);
        let Request::Scan { id, watch, watch_write, ignore, mut skip } = scan(1, &["*.kdbx"], base) else {
            panic!("not a scan");
        };
        skip.push(base.join("out/"));
        assert!(scanner.request(&Request::Scan { id, watch, watch_write, ignore, skip }).unwrap());
        let (answer, mounts) = finish(&scanner, 1);
        assert_eq!(summary(answer).files_taught, 1);
        for point in [base.to_path_buf(), base.join("out/mount")] {
            let (_, coverage, why) = mounts.iter().find(|(at, ..)| *at == point).unwrap();
            assert_eq!(*coverage, Coverage::Partial, "{}", point.display());
            assert!(why.contains("file.scan_skip leaves out 1"), "{why}");
        }
    });
}

#[test]
fn root_pseudo_file_systems_are_looked_up_and_never_walked() {
    in_namespace(|base| {
        let at = base.join("proc");
        fs::create_dir(&at).unwrap();
        mount(Some("proc"), &at, Some("proc"), MsFlags::empty(), None::<&str>).unwrap();
        let version = at.join("version");
        let scanner = start(base);
        let found = lessons(&scanner, &scan(1, &[version.to_str().unwrap(), "~/.ssh/*"], base));
        let taught: Vec<_> =
            found.iter().filter(|(mode, ..)| *mode == 1).map(|(_, path, _)| path.clone()).collect();
        assert_eq!(taught, [version]);

        let wild = format!("{}/*/mem", at.display());
        assert!(scanner.request(&scan(2, &[&wild], base)).unwrap());
        let (answer, mounts) = finish(&scanner, 2);
        assert_eq!(summary(answer).files_taught, 0);
        let why =
            mounts.iter().find(|(_, coverage, why)| *coverage == Coverage::Partial && why.contains(&wild));
        assert!(why.is_some(), "{mounts:?}");
    });
}

#[test]
fn root_a_tree_is_taught_again_by_the_last_patterns() {
    in_namespace(|base| {
        put(&base.join("a/one.kdbx"));
        let scanner = start(base);
        assert!(scanner.request(&Request::Tree { id: 1, path: base.join("a") }).unwrap());
        assert!(
            matches!(finish(&scanner, 1).0, Answer::Failed { why, .. } if why.contains("no scan request"))
        );
        assert!(scanner.request(&scan(2, &["*.kdbx"], base)).unwrap());
        assert_eq!(summary(finish(&scanner, 2).0).files_taught, 1);

        put(&base.join("b/c/two.kdbx"));
        put(&base.join("b/three.kdbx"));
        fs::create_dir(base.join("b/new")).unwrap();
        tmpfs(&base.join("b/new"));
        put(&base.join("b/new/four.kdbx"));
        let tree = |id, path: &str| {
            assert!(scanner.request(&Request::Tree { id, path: base.join(path) }).unwrap());
            let (answer, mounts) = finish(&scanner, id);
            (summary(answer), mounts)
        };
        let (all, mounts) = tree(3, "b");
        assert_eq!((all.files_taught, all.mounts_complete, all.errors), (3, 1, 0));
        assert_eq!(mounts[0].0, base.join("b/new"));
        let (new, mounts) = tree(4, "b/new");
        assert_eq!((new.files_taught, mounts[0].1), (1, Coverage::Complete));
        // A second view of a file system that was complete: walked, and nothing said against it.
        fs::create_dir(base.join("b/view")).unwrap();
        bind(&base.join("a"), &base.join("b/view"));
        let (view, mounts) = tree(7, "b/view");
        assert_eq!((view.mounts_partial, mounts.len()), (0, 0), "{mounts:?}");
        assert_eq!(tree(5, "b/three.kdbx").0.files_taught, 1);
        assert_eq!(tree(6, "gone").0.files_taught, 0);
    });
}

#[test]
fn root_deep_and_wide_trees_are_survived() {
    in_namespace(|base| {
        for number in 0..3_001 {
            put(&base.join(format!("wide/d{number}/k.kdbx")));
        }
        // Deeper than any path can be long; built downwards, as an attacker would.
        fs::create_dir(base.join("deep")).unwrap();
        std::env::set_current_dir(base.join("deep")).unwrap();
        for _ in 0..700 {
            fs::create_dir("dddddddd").unwrap();
            std::env::set_current_dir("dddddddd").unwrap();
        }
        fs::write("too-deep.kdbx", "").unwrap();
        std::env::set_current_dir("/").unwrap();
        let scanner = start(base);
        assert!(scanner.request(&scan(1, &["*.kdbx"], base)).unwrap());
        let (answer, mounts) = finish(&scanner, 1);
        let summary = summary(answer);
        assert_eq!(summary.files_taught, 3_001);
        assert_eq!(summary.errors, 1);
        let (_, coverage, why) = mounts.iter().find(|(point, ..)| point == base).unwrap();
        assert_eq!((*coverage, why.as_str()), (Coverage::Partial, "1 entries could not be read"));
    });
}

#[test]
fn root_a_newer_scan_takes_the_place_of_the_older() {
    in_namespace(|base| {
        for number in 0..2_000 {
            fs::create_dir_all(base.join(format!("d{number}/e"))).unwrap();
        }
        put(&base.join("d7/a.kdbx"));
        put(&base.join("d8/b.key"));
        let scanner = start(base);
        // Stopped, so that both wait when it looks.
        nix::sys::signal::kill(scanner.pid(), nix::sys::signal::Signal::SIGSTOP).unwrap();
        assert!(scanner.request(&scan(1, &["*.kdbx"], base)).unwrap());
        assert!(scanner.request(&Request::Tree { id: 2, path: base.join("d8") }).unwrap());
        assert!(scanner.request(&scan(3, &["*.key", "*.kdbx"], base)).unwrap());
        nix::sys::signal::kill(scanner.pid(), nix::sys::signal::Signal::SIGCONT).unwrap();
        let mut ends = Vec::new();
        while ends.len() < 3 {
            let mut fds = [PollFd::new(scanner.fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, PollTimeout::from(20_000u16)).unwrap(), 1);
            while let Some(reply) = scanner.read_reply().unwrap() {
                if !matches!(reply.answer, Answer::Mount { .. }) {
                    ends.push(reply.answer);
                }
            }
        }
        ends.sort_by_key(|answer| match answer {
            Answer::Superseded { id } | Answer::Done { id, .. } => *id,
            other => panic!("{other:?}"),
        });
        assert_eq!(ends[..2], [Answer::Superseded { id: 1 }, Answer::Superseded { id: 2 }]);
        assert_eq!(summary(ends.remove(2)).files_taught, 2);
    });
}

/// The whole machine, with the patterns of a default configuration; prints how long it took.
#[test]
fn root_the_whole_machine() {
    in_namespace(|base| {
        let scanner = start(base);
        let watch: Vec<String> =
            ["/etc/shadow", "~/.ssh/*", "*.kdbx", ".env*", "/proc/kcore", "/dev/mem", "id_rsa"]
                .map(str::to_owned)
                .to_vec();
        let request =
            Request::Scan { id: 1, watch, watch_write: vec![], ignore: vec!["*.pub".into()], skip: vec![] };
        for id in 0..2 {
            assert!(scanner.request(&request).unwrap());
            let (answer, mounts) = finish(&scanner, 1);
            let summary = summary(answer);
            assert!(summary.directories > 100, "{summary:?}");
            assert!(summary.files_taught > 0);
            println!("walk {id}: {summary:?}\n{mounts:?}");
        }
    });
}
