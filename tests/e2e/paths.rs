//! However the file is named, the event has its true path.

use crate::harness::{Abi, Daemon, Fixture, Want, tier};

#[test]
fn root_relative_dotdot_chdir_dirfd_and_a_path_in_an_untouched_page() {
    let fixture = Fixture::new();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let hows = [
        "relative",
        "dot",
        "dotdot",
        "fchdir",
        "dirfd",
        "elsewhere",
        "proc-cwd",
        "proc-root",
        "reopen",
        "cold",
    ];
    let mut done = Vec::new();
    for abi in Abi::all() {
        for (number, how) in hows.into_iter().enumerate() {
            let path = fixture.secret(1 + number);
            let (dir, name) = (path.parent().unwrap(), path.file_name().unwrap());
            let trigger = fixture.trigger("where", abi).args([how, "7"]).args([dir]).args([name]);
            done.push((trigger.run().all_well(7), path));
        }
    }
    let run = daemon.stop();
    for (ran, path) in &done {
        let want = Want::new("open").path(path).access("read");
        let name = std::path::Path::new(path.file_name().unwrap());
        let directory = std::path::Path::new(path.parent().unwrap().file_name().unwrap());
        let want = match ran.args[1].as_str() {
            "proc-root" | "cold" => want,
            "dotdot" => want.given(std::path::Path::new("..").join(directory).join(name)),
            "reopen" if tier::IDENTITY.here() => {
                assert!(run.files(ran).is_empty(), "/proc/self/fd is no name: {}", run.files(ran)[0]);
                continue;
            }
            _ => want.given(name),
        };
        want.exactly(7, &run, ran);
    }
    run.lossless();
}

/// Near what a system call takes (PATH_MAX of 4,096): 60 components, 3,900 bytes.
#[test]
fn root_a_path_sixty_components_deep() {
    const COMPONENTS: usize = 60;
    const BYTES: usize = 3900;
    let fixture = Fixture::new();
    let above = fixture.dir.join("tree");
    // The root counts as a component for `components`, the file takes one of ours.
    let levels = COMPONENTS - above.components().count();
    let room = BYTES - above.as_os_str().len() - "/.env".len();
    let mut deep = above;
    for level in 0..levels {
        let length = room / levels + usize::from(level < room % levels) - 1;
        deep.push(format!("{level:-<length$}"));
    }
    std::fs::create_dir_all(&deep).unwrap();
    let path = deep.join(".env");
    assert_eq!((path.components().count() - 1, path.as_os_str().len()), (COMPONENTS, BYTES));
    std::fs::write(&path, "x").unwrap();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let mut done = Vec::new();
    for abi in Abi::all() {
        let trigger = fixture.trigger("open", abi).args(["openat", "r", "3"]).args([&path]);
        done.push(trigger.run().all_well(3));
    }
    let run = daemon.stop();
    for ran in &done {
        Want::new("open").path(&path).access("read").exactly(3, &run, ran);
    }
    run.lossless();
}

#[test]
fn root_a_name_that_is_not_utf8() {
    use std::os::unix::ffi::OsStringExt as _;
    let fixture = Fixture::new();
    let mut bytes = fixture.dir.join("tree").into_os_string().into_vec();
    bytes.extend_from_slice(b"/.env.\xff\n\"");
    let path = std::path::PathBuf::from(std::ffi::OsString::from_vec(bytes));
    std::fs::write(&path, "x").unwrap();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    drop(std::fs::File::open(&path).unwrap());
    let run = daemon.stop();
    let shown = format!("{}/tree/.env.\\xff\n\"", fixture.dir.display());
    let me = std::process::id();
    let events: Vec<_> = run.of(me).filter(|event| event.text("file.path") == shown).collect();
    assert_eq!(events.len(), 1);
    assert!(events[0].has_flag("non_utf8"), "{}", events[0]);
}

#[test]
fn root_through_a_symbolic_link_the_file_itself_is_named() {
    if tier::IDENTITY.skips("root_through_a_symbolic_link_the_file_itself_is_named") {
        return;
    }
    let fixture = Fixture::new();
    let path = fixture.secret(5);
    let link = fixture.dir.join("looks-harmless");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let ran = fixture.trigger("open", Abi::Native).args(["openat", "r", "5"]).args([&link]).run().all_well(5);
    let run = daemon.stop();
    Want::new("open").path(&path).access("read").exactly(5, &run, &ran);
    run.lossless();
}
