//! The seven by real tools: gdb, strace, gcore, Python, cat. What a debugger does is its own affair and
//! differs by version, so the tests take it from strace, which traces the tool while the daemon watches:
//! both must tell the same.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{
    Abi, Daemon, Event, Fixture, Ran, Reach, Run, Target, User, check_process, reaches, skipped, tally,
    wait_for,
};

/// A tool's true path; one that this machine does not have is said to be left out.
fn tool(name: &str) -> Option<PathBuf> {
    let found = ["/usr/bin", "/bin"].iter().find_map(|dir| Path::new(dir).join(name).canonicalize().ok());
    if found.is_none() {
        skipped(&format!("what {name} does: it is not installed (scripts/setup.sh does)"));
    }
    found
}

/// The calls by which a process reaches for another, as strace names them.
const CALLS: &str = "trace=ptrace,process_vm_readv,process_vm_writev,pidfd_getfd,open,openat,openat2";

/// Runs a tool to its end.
fn run(program: &Path, args: &[&str], user: Option<&User>) -> Ran {
    run_by(program, args, user, Command::new(program).args(args))
}

/// The same, with strace, which is not its parent, telling of its calls in the file `calls`.
fn traced(program: &Path, args: &[&str], calls: &Path) -> Ran {
    let mut command = Command::new("/usr/bin/strace");
    command.args(["-D", "-s", "4096", "-e", CALLS, "-o"]).arg(calls).arg(program).args(args);
    let ran = run_by(program, args, None, &mut command);
    complete(calls);
    ran
}

/// Waits until strace has told of the end.
fn complete(calls: &Path) {
    wait_for("strace's last word", 10, || {
        std::fs::read_to_string(calls).is_ok_and(|text| text.ends_with(" +++\n"))
    });
}

fn run_by(program: &Path, args: &[&str], user: Option<&User>, command: &mut Command) -> Ran {
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (uid, gid) = user.map_or((0, 0), |user| (user.uid, user.gid));
    if user.is_some() {
        command.uid(uid).gid(gid);
    }
    let child = command.spawn().unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(user.is_some() || output.status.success(), "{} {args:?}: {said}", program.display());
    let first = program.to_str().unwrap().to_owned();
    let args = std::iter::once(first).chain(args.iter().map(|arg| (*arg).to_owned())).collect();
    Ran { pid, program: program.to_owned(), args, abi: Abi::Native, uid, gid, acts: Vec::new() }
}

/// What the calls strace told of must be events of, in their order: those about `target` that did
/// not fail. All others must be the tool's own affair.
fn told(calls: &Path, target: &Target) -> Vec<Reach> {
    let text = std::fs::read_to_string(calls).unwrap();
    text.lines().filter_map(|line| reach(line, &target.pid())).collect()
}

fn reach(line: &str, pid: &str) -> Option<Reach> {
    let (call, rest) = line.split_once('(')?;
    // Of what a call returns only a failure matters here.
    if line.rsplit_once(") ")?.1.trim_start().starts_with("= -1") {
        return None;
    }
    let first = rest.split([',', ')']).next()?;
    match call {
        "ptrace" => {
            let mut words = rest.split([',', ')']).map(str::trim);
            let request = ["PTRACE_ATTACH", "PTRACE_SEIZE"].into_iter().find(|name| *name == first)?;
            let on_target = words.nth(1) == Some(pid);
            on_target.then(|| Reach::new("ptrace", 73).request(request))
        }
        "process_vm_readv" | "process_vm_writev" => {
            let action = if call.ends_with("readv") { "vm-read" } else { "vm-write" };
            (first == pid).then(|| Reach::new(action, 73))
        }
        "open" | "openat" | "openat2" => opened(rest, pid),
        "pidfd_getfd" => panic!("whose descriptor? {line}"),
        _ => None,
    }
}

fn opened(arguments: &str, pid: &str) -> Option<Reach> {
    let mut quoted = arguments.split('"');
    let (path, flags) = (quoted.nth(1)?, quoted.next()?);
    let file = path.strip_prefix(&format!("/proc/{pid}/"))?.rsplit('/').next()?;
    let access = if flags.contains("O_RDWR") {
        "read-write"
    } else if flags.contains("O_WRONLY") {
        "write"
    } else {
        "read"
    };
    let rows = [("mem", "proc-mem", 73), ("environ", "proc-environ", 47), ("maps", "proc-maps", 21)];
    let more =
        [("smaps", "proc-maps", 21), ("smaps_rollup", "proc-maps", 21), ("numa_maps", "proc-maps", 21)];
    let (name, action, severity) = rows.into_iter().chain(more).find(|row| row.0 == file)?;
    Some(Reach::new(action, severity).request(name).access(access))
}

/// Asserts that the events are what strace told, one by one; gives how often each action was.
fn same(wanted: &[Reach], events: &[&Event], ran: &Ran, target: &Target) -> Vec<&'static str> {
    tally::wanted("memory", wanted.len());
    let actions: Vec<_> = wanted.iter().map(|want| want.action).collect();
    let found: Vec<_> = events.iter().map(|event| event.action()).collect();
    assert_eq!(found, actions, "events of {:?}", ran.args);
    for (want, event) in wanted.iter().zip(events) {
        want.check(event, ran, target);
    }
    tally::right("memory", wanted.len());
    actions
}

/// Events of the memory sensor by what `ran` has become last: strace starts what it traces.
fn by<'r>(run: &'r Run, ran: &Ran) -> Vec<&'r Event> {
    let name = ran.program.file_name().unwrap().to_str().unwrap();
    reaches(run, ran.pid).into_iter().filter(|event| event.text("process.name") == name).collect()
}

#[test]
fn root_gdb_looks_at_a_process_and_changes_it() {
    let (Some(gdb), Some(_)) = (tool("gdb"), tool("strace")) else { return };
    let fixture = Fixture::new();
    let target = Target::start(&fixture, Abi::Native, None);
    let daemon = Daemon::start(&fixture, &[]);
    let calls = fixture.dir.join("calls");
    let change = format!("set {{char}}{}='A'", target.address);
    let show = format!("x/8xb {}", target.address);
    let args = [
        "-nx",
        "-q",
        "-batch",
        "-p",
        &target.pid(),
        "-ex",
        &show,
        "-ex",
        &change,
        "-ex",
        "info proc mappings",
    ];
    let ran = traced(&gdb, &args, &calls);
    let run = daemon.stop();
    let wanted = told(&calls, &target);
    // The oracle must have seen something: a debugger attaches and opens the memory.
    for action in ["ptrace", "proc-mem", "proc-maps"] {
        assert!(wanted.iter().any(|want| want.action == action), "{action} of {wanted:?}");
    }
    let events = by(&run, &ran);
    same(&wanted, &events, &ran, &target);
    for event in events {
        check_process(event, &run, &ran);
    }
    run.lossless();
}

#[test]
fn root_strace_attaches_and_reads_what_a_call_is_given() {
    let Some(strace) = tool("strace") else { return };
    let fixture = Fixture::new();
    let mut target = Target::start(&fixture, Abi::Native, None);
    let daemon = Daemon::start(&fixture, &[]);
    let calls = fixture.dir.join("calls");
    let seen = fixture.dir.join("seen");
    let pid = target.pid();
    let program = strace.clone();
    let (inner, outer) = (seen.clone(), calls.clone());
    // It attaches, and ends by itself when the target has ended.
    let tracer = std::thread::spawn(move || {
        let args = ["-q", "-e", "trace=prctl", "-o", inner.to_str().unwrap(), "-p", &pid];
        traced(&program, &args, &outer)
    });
    // It is attached a moment before it stops the target for the first time. The name is the same: a
    // target is told by the one it has.
    wait_for("strace to see three calls", 20, || {
        assert_eq!(target.tell("name memory"), "done");
        std::fs::read_to_string(&seen).is_ok_and(|text| text.matches("PR_SET_NAME, \"memory\"").count() >= 3)
    });
    target.end();
    target.wait();
    let ran = tracer.join().unwrap();
    let run = daemon.stop();
    let wanted = told(&calls, &target);
    // Both traces, as they start, children of their own to see what the kernel can do.
    let pid = target.pid().parse().ok();
    let is_target = |event: &&Event| event.number("bee.target.process.pid") == pid;
    let (events, trials): (Vec<&Event>, Vec<&Event>) = by(&run, &ran).into_iter().partition(is_target);
    assert!(trials.iter().all(|event| event.action() == "ptrace"), "{trials:#?}");
    let actions = same(&wanted, &events, &ran, &target);
    assert_eq!(actions.iter().filter(|action| **action == "ptrace").count(), 1, "{actions:?}");
    assert!(actions.iter().filter(|action| **action == "vm-read").count() >= 3, "{actions:?}");
    for event in events {
        check_process(event, &run, &ran);
    }
    run.lossless();
}

#[test]
fn root_gcore_takes_a_process_apart() {
    let (Some(gcore), Some(gdb), Some(_)) = (tool("gcore"), tool("gdb"), tool("strace")) else { return };
    let fixture = Fixture::new();
    let target = Target::start(&fixture, Abi::Native, None);
    let daemon = Daemon::start(&fixture, &[]);
    // gcore is a script that runs the gdb of its own directory: there it finds one that is traced.
    let bin = fixture.dir.join("tools");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(&gcore, bin.join("gcore")).unwrap();
    let calls = fixture.dir.join("calls");
    let script = bin.join("gdb");
    let text = format!(
        "#!/bin/sh\nexec /usr/bin/strace -D -s 4096 -e {CALLS} -o {} {} \"$@\"\n",
        calls.display(),
        gdb.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let core = fixture.dir.join("core");
    let taken = run(&bin.join("gcore"), &["-o", core.to_str().unwrap(), &target.pid()], None);
    complete(&calls);
    let core = fixture.dir.join(format!("core.{}", target.pid()));
    assert!(std::fs::metadata(&core).unwrap().len() > 0);
    let run = daemon.stop();
    let wanted = told(&calls, &target);
    for action in ["ptrace", "proc-mem", "proc-maps"] {
        assert!(wanted.iter().any(|want| want.action == action), "{action} of {wanted:?}");
    }
    let of_gcore = |event: &&Event| {
        event.text("bee.sensor") == "memory"
            && event.text("process.name") == "gdb"
            && event.number("process.parent.pid") == Some(taken.pid.into())
    };
    let events: Vec<_> = run.events.iter().filter(of_gcore).collect();
    same(&wanted, &events, &taken, &target);
    for event in events {
        assert_eq!(event.text("process.executable"), gdb.to_str().unwrap(), "{event}");
        assert!(event.list("process.args").iter().any(|arg| arg.starts_with("gcore ")), "{event}");
    }
    run.lossless();
}

/// Does one of the seven so often, with nothing but the standard library of Python.
const PYTHON: &str = r#"
import ctypes, os, sys
act, count, pid, address = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
libc = ctypes.CDLL(None, use_errno=True)
class Piece(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("length", ctypes.c_size_t)]
here = ctypes.create_string_buffer(b"abcdefg", 8)
local, remote = Piece(ctypes.addressof(here), 8), Piece(address, 8)
def well(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), act)
    return result
for _ in range(count):
    if act in ("mem", "environ", "maps"):
        open(f"/proc/{pid}/{act}", "rb").close()
    elif act == "write":
        open(f"/proc/{pid}/mem", "r+b", buffering=0).close()
    elif act in ("process_vm_readv", "process_vm_writev"):
        call = getattr(libc, act)
        call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
        well(call(pid, ctypes.addressof(local), 1, ctypes.addressof(remote), 1, 0))
    elif act == "pidfd_getfd":
        descriptor = os.pidfd_open(pid)
        os.close(well(libc.syscall(438, descriptor, 1, 0)))
        os.close(descriptor)
    else:
        sys.exit("no such act")
"#;

#[test]
fn root_python_does_each_of_the_seven_but_trace() {
    let Some(python) = tool("python3") else { return };
    let fixture = Fixture::new();
    let target = Target::start(&fixture, Abi::Native, Some(&fixture.users[0]));
    let daemon = Daemon::start(&fixture, &[]);
    let act = |act: &str, count: &str| {
        run(&python, &["-I", "-S", "-c", PYTHON, act, count, &target.pid(), &target.address], None)
    };
    let file = |action, severity, name, access| Reach::new(action, severity).request(name).access(access);
    let done = [
        (act("process_vm_readv", "7"), 7, Reach::new("vm-read", 73)),
        (act("process_vm_writev", "5"), 5, Reach::new("vm-write", 73)),
        (act("pidfd_getfd", "11"), 11, Reach::new("pidfd-getfd", 73)),
        (act("mem", "3"), 3, file("proc-mem", 73, "mem", "read")),
        (act("write", "5"), 5, file("proc-mem", 73, "mem", "read-write")),
        (act("environ", "13"), 13, file("proc-environ", 47, "environ", "read")),
        (act("maps", "7"), 7, file("proc-maps", 21, "maps", "read")),
    ];
    let run = daemon.stop();
    for (ran, count, want) in &done {
        want.exactly(*count, &run, ran, &target);
    }
    run.lossless();
}

#[test]
fn root_a_reader_of_every_environment_is_told_for_each_process() {
    let (Some(cat), Some(python)) = (tool("cat"), tool("python3")) else { return };
    let fixture = Fixture::new();
    let [user, other] = &fixture.users;
    let targets = [None, Some(user), Some(other), Some(user), None];
    let targets = targets.map(|user| Target::start(&fixture, Abi::Native, user));
    let daemon = Daemon::start(&fixture, &[]);
    let files: Vec<_> = targets.iter().map(|target| target.file("environ").display().to_string()).collect();
    let named = run(&cat, &files.iter().map(String::as_str).collect::<Vec<_>>(), None);
    let script = "import glob\nfor name in glob.glob('/proc/[0-9]*/environ'):\n try: open(name).close()\n except OSError: pass";
    let all = run(&python, &["-I", "-S", "-c", script], None);
    // A user may read the own ones and is refused all others.
    let shell = run(
        &tool("sh").unwrap(),
        &[
            "-c",
            "for name in \"$@\"; do true <$name; done 2>/dev/null; true",
            "sh",
            &files[0],
            &files[1],
            &files[2],
        ],
        Some(user),
    );
    let run = daemon.stop();
    let want = || Reach::new("proc-environ", 47).request("environ").access("read");
    let about = |ran: &Ran, target: &Target| -> Vec<&Event> {
        let pid = target.pid().parse().ok();
        reaches(&run, ran.pid)
            .into_iter()
            .filter(|event| event.number("bee.target.process.pid") == pid)
            .collect()
    };
    assert_eq!(reaches(&run, named.pid).len(), targets.len());
    for (ran, target) in targets.iter().flat_map(|target| [(&named, target), (&all, target)]) {
        same(&[want()], &about(ran, target), ran, target);
    }
    for event in reaches(&run, all.pid) {
        assert_eq!(event.action(), "proc-environ", "{event}");
        assert_ne!(event.number("bee.target.process.pid"), Some(all.pid.into()), "its own: {event}");
    }
    let refused = || want().errno(libc::EACCES).named();
    assert_eq!(reaches(&run, shell.pid).len(), 3);
    same(&[refused()], &about(&shell, &targets[0]), &shell, &targets[0]);
    same(&[want()], &about(&shell, &targets[1]), &shell, &targets[1]);
    same(&[refused()], &about(&shell, &targets[2]), &shell, &targets[2]);
    run.lossless();
}

#[test]
fn root_debuggers_that_are_refused_are_told_with_the_refusal() {
    let (Some(gdb), Some(strace)) = (tool("gdb"), tool("strace")) else { return };
    let fixture = Fixture::new();
    let [user, _] = &fixture.users;
    let target = Target::start(&fixture, Abi::Native, None);
    let daemon = Daemon::start(&fixture, &[]);
    let done = [
        (run(&gdb, &["-nx", "-q", "-batch", "-p", &target.pid()], Some(user)), "PTRACE_ATTACH"),
        (run(&strace, &["-q", "-p", &target.pid()], Some(user)), "PTRACE_SEIZE"),
    ];
    let run = daemon.stop();
    let pid = target.pid().parse().ok();
    for (ran, request) in &done {
        let events = by(&run, ran);
        let tries: Vec<_> = events
            .into_iter()
            .filter(|event| event.number("bee.target.process.pid") == pid && event.action() == "ptrace")
            .collect();
        same(&[Reach::new("ptrace", 47).request(request).errno(libc::EPERM)], &tries, ran, &target);
        check_process(tries[0], &run, ran);
    }
    run.lossless();
}
