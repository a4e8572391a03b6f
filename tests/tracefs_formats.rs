//! Tracepoint layouts of real kernels: the parser must give the offsets each
//! of them uses, and nothing at all for a text it does not understand.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use bee_trace::kernel::Places;
use bee_trace::kernel::tracefs::{self, Format, FormatError, Kind, parse};

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tracefs").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn place(format: &Format, field: &str) -> (u32, u32, Kind) {
    let field = format.field(field).unwrap_or_else(|| panic!("{} has no {field}", format.name));
    (field.offset, field.size, field.kind)
}

#[test]
fn fork_has_another_layout_on_each_kind_of_kernel() {
    let newest = parse(&fixture("sched_process_fork-6.18")).unwrap();
    assert_eq!((newest.name.as_str(), newest.id, newest.fields.len()), ("sched_process_fork", 366, 8));
    assert_eq!(place(&newest, "parent_comm"), (8, 4, Kind::DataLoc));
    assert_eq!(place(&newest, "parent_pid"), (12, 4, Kind::Value));
    assert_eq!(place(&newest, "child_comm"), (16, 4, Kind::DataLoc));
    assert_eq!(place(&newest, "child_pid"), (20, 4, Kind::Value));

    let older = parse(&fixture("sched_process_fork-6.1")).unwrap();
    assert_eq!(place(&older, "parent_comm"), (8, 16, Kind::Array(16)));
    assert_eq!(place(&older, "parent_pid"), (24, 4, Kind::Value));
    assert_eq!(place(&older, "child_comm"), (28, 16, Kind::Array(16)));
    assert_eq!(place(&older, "child_pid"), (44, 4, Kind::Value));

    let shifted = parse(&fixture("sched_process_fork-rhel9")).unwrap();
    assert_eq!(place(&shifted, "common_preempt_lazy_count"), (8, 1, Kind::Value));
    assert_eq!(place(&shifted, "parent_pid"), (28, 4, Kind::Value));
    assert_eq!(place(&shifted, "child_pid"), (48, 4, Kind::Value));
}

#[test]
fn raw_system_calls_have_their_number_arguments_and_result() {
    let enter = parse(&fixture("sys_enter-6.18")).unwrap();
    assert_eq!(place(&enter, "id"), (8, 8, Kind::Value));
    assert_eq!(place(&enter, "args"), (16, 48, Kind::Array(6)));
    assert!(enter.field("id").unwrap().signed && !enter.field("args").unwrap().signed);
    assert_eq!(enter.field("args").unwrap().ctype, "unsigned long");
    let exit = parse(&fixture("sys_exit-6.18")).unwrap();
    assert_eq!((place(&exit, "id"), place(&exit, "ret")), ((8, 8, Kind::Value), (16, 8, Kind::Value)));
    assert!(exit.field("ret").unwrap().signed);
}

#[test]
fn the_other_events_used_are_understood() {
    let exec = parse(&fixture("sched_process_exec-6.18")).unwrap();
    assert_eq!(place(&exec, "filename"), (8, 4, Kind::DataLoc));
    assert_eq!(place(&exec, "old_pid"), (16, 4, Kind::Value));
    let exit = parse(&fixture("sched_process_exit-6.18")).unwrap();
    assert_eq!(place(&exit, "group_dead"), (32, 1, Kind::Value));
    assert_eq!(exit.field("group_dead").unwrap().ctype, "bool");
    let mkdir = parse(&fixture("cgroup_mkdir-6.18")).unwrap();
    assert_eq!((place(&mkdir, "id"), place(&mkdir, "path")), ((16, 8, Kind::Value), (24, 4, Kind::DataLoc)));
    for name in ["sys_enter_execve-6.18", "sys_enter_execve-rhel9"] {
        let execve = parse(&fixture(name)).unwrap();
        assert_eq!(place(&execve, "filename"), (16, 8, Kind::Value));
        assert_eq!(execve.field("argv").unwrap().ctype, "const char *const *");
    }
}

#[test]
fn a_relative_location_is_not_taken_for_an_absolute_one() {
    let text = b"name: x\nID: 1\nformat:\n\tfield:__rel_loc char[] s;\toffset:8;\tsize:4;\tsigned:1;\n";
    assert_eq!(place(&parse(text).unwrap(), "s"), (8, 4, Kind::RelLoc));
}

#[test]
fn a_text_that_would_make_us_read_a_wrong_place_is_refused() {
    let one = |field: &str| parse(format!("name: x\nID: 1\nformat:\n{field}\n").as_bytes());
    for (field, why) in [
        ("field:int a;\toffset:0;", "a field without a size"),
        ("field:int a;\tsize:4;", "a field without an offset"),
        ("field:int a;\toffset:-4;\tsize:4;", "a property that is not a number"),
        ("field:int a;\toffset:4294967295;\tsize:4;", "a field outside of any record"),
        ("field:int a;\toffset:0;\tsize:65537;", "a field outside of any record"),
        ("field:int a;\toffset;\tsize:4;", "a property without a value"),
        ("field:int;\toffset:0;\tsize:4;", "a field without a type"),
        ("field:int *;\toffset:0;\tsize:4;", "a field whose name is not a C name"),
        ("field:char a[16;\toffset:0;\tsize:16;", "an array without its end"),
        ("field:__data_loc char[] a;\toffset:0;\tsize:8;", "a data location that is not four bytes"),
        (
            "field:int a;\toffset:0;\tsize:4;\nfield:int b;\toffset:3;\tsize:4;",
            "a field that lies over another",
        ),
        (
            "field:int a;\toffset:0;\tsize:4;\nfield:int a;\toffset:4;\tsize:4;",
            "a field that was there before",
        ),
        ("hello", "neither a field nor a heading"),
        ("", "there is no field"),
    ] {
        match one(field) {
            Err(FormatError::Line(_, what)) => assert_eq!(what, why, "{field}"),
            other => panic!("{field}: {other:?}"),
        }
    }
    let many: String = (0..300).map(|n| format!("field:char f{n};\toffset:{n};\tsize:1;\n")).collect();
    assert!(matches!(one(&many), Err(FormatError::Line(260, "too many fields"))));
}

/// Whatever single byte is changed, cut out or doubled, the parser answers
/// without a panic, and what it accepts keeps its own rules.
#[test]
fn mutations_never_panic_nor_break_the_rules() {
    let mut accepted = 0_u32;
    for name in ["sched_process_fork-6.18", "sched_process_fork-rhel9", "sys_enter-6.18", "cgroup_mkdir-6.18"]
    {
        let text = fixture(name);
        for at in 0..text.len() {
            for byte in [0, b'\n', b';', b':', b'[', b']', b' ', b'9', b'-', 0xff] {
                let mut changed = text.clone();
                changed[at] = byte;
                accepted += u32::from(holds(&changed));
            }
            let mut shorter = text.clone();
            shorter.remove(at);
            accepted += u32::from(holds(&shorter));
            let mut longer = text.clone();
            longer.insert(at, text[at]);
            accepted += u32::from(holds(&longer));
            accepted += u32::from(holds(&text[..at])) + u32::from(holds(&text[at..]));
        }
    }
    assert!(accepted > 1000, "mutations in names and texts must still be understood: {accepted}");
}

fn holds(text: &[u8]) -> bool {
    let Ok(format) = parse(text) else { return false };
    assert!(!format.fields.is_empty());
    let mut ends: Vec<_> =
        format.fields.iter().map(|field| (field.offset, field.offset + field.size)).collect();
    ends.sort_unstable();
    assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0 || pair[0].0 == pair[0].1), "{format:?}");
    assert!(ends.last().unwrap().1 <= 64 << 10);
    true
}

fn root_tree(name: &str, mountinfo: &str) -> std::path::PathBuf {
    let root = std::env::temp_dir().join(format!("bee-tracefs-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(root.join("proc/self")).unwrap();
    std::fs::write(root.join("proc/self/mountinfo"), mountinfo).unwrap();
    root
}

#[test]
fn the_reader_says_what_is_missing() {
    let root = root_tree("missing", "1 0 0:5 / /sys rw - sysfs sysfs rw\n");
    let places = Places::under(&root);
    assert_eq!(tracefs::format(&places, "sched", "x"), Err(FormatError::NoTracefs));

    std::fs::write(root.join("proc/self/mountinfo"), "1 0 0:5 / /t\\040x rw - tracefs none rw\n").unwrap();
    let error = tracefs::format(&places, "sched", "sched_process_fork").unwrap_err();
    let path = root.join("t x/events/sched/sched_process_fork/format");
    assert_eq!(error, FormatError::NoEvent(path.clone()));
    assert!(error.to_string().ends_with("this kernel has no such event"), "{error}");

    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, fixture("sched_process_fork-6.1")).unwrap();
    assert_eq!(place(&tracefs::format(&places, "sched", "sched_process_fork").unwrap(), "child_pid").0, 44);

    std::fs::write(&path, vec![b' '; 1 << 20]).unwrap();
    let error = tracefs::format(&places, "sched", "sched_process_fork").unwrap_err();
    assert!(matches!(error, FormatError::Unreadable(..)), "{error}");
    std::fs::remove_dir_all(root).unwrap();
}

/// Every event of the running kernel, read through the reader, from a tracefs
/// mounted for this thread alone.
#[test]
fn root_every_format_of_this_kernel_is_understood() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: mounting tracefs needs root");
        return;
    }
    let root = root_tree("live", "1 0 0:5 / /tracing rw - tracefs none rw\n");
    let mount = root.join("tracing");
    std::fs::create_dir(&mount).unwrap();
    let places = Places::under(&root);
    let checked = std::thread::spawn(move || {
        use nix::mount::MsFlags;
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        nix::mount::mount(Some("none"), &mount, Some("tracefs"), MsFlags::empty(), none).unwrap();
        let mut checked = 0_u32;
        for category in std::fs::read_dir(mount.join("events")).unwrap().map(Result::unwrap) {
            let Ok(events) = std::fs::read_dir(category.path()) else { continue };
            for event in events.map(Result::unwrap).filter(|event| event.path().join("format").exists()) {
                let (category, event) = (category.file_name(), event.file_name());
                let (category, event) = (category.to_str().unwrap(), event.to_str().unwrap());
                let format = tracefs::format(&places, category, event)
                    .unwrap_or_else(|error| panic!("{category}/{event}: {error}"));
                assert_eq!(format.name, event);
                checked += 1;
            }
        }
        nix::mount::umount(&mount).unwrap();
        checked
    });
    let checked = checked.join().unwrap();
    assert!(checked > 100, "only {checked} events");
    std::fs::remove_dir_all(root).unwrap();
}
