//! Modules that are really loaded, and such that are refused. The kernel is everybody's, so this is done
//! in a machine of its own only, which names a module that it does not use: `BEE_MODULE` is its file.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Abi, Daemon, Event, Fixture, Ran, Run, check_process, skipped, tally, tier};

/// What is wanted of events of modules.
struct Want<'a> {
    /// `bee.module` of a tier that knows names.
    name: &'a str,
    errno: Option<i32>,
}

fn modules(run: &Run, pid: u32) -> Vec<&Event> {
    run.of(pid).filter(|event| event.action() == "module-load").collect()
}

impl Want<'_> {
    fn check(&self, event: &Event, abi: Abi) {
        let same = |key: &str, wanted: &str| assert_eq!(event.text(key), wanted, "{key} of {event}");
        same("event.action", "module-load");
        same("event.kind", "alert");
        assert_eq!(event.list("event.category"), ["driver"], "{event}");
        assert_eq!(event.list("event.type"), ["start"], "{event}");
        assert_eq!(event.number("event.severity"), Some(47), "{event}");
        same("event.outcome", if self.errno.is_some() { "failure" } else { "success" });
        let code = self.errno.map(|code| format!("{:?}", nix::errno::Errno::from_raw(code)));
        same("event.code", &code.unwrap_or_default());
        same("bee.sensor", "kernel");
        let (portable, hook) = (event.text("bee.tier") == "portable", event.text("bee.hook"));
        same("bee.module", if portable { "" } else { self.name });
        if self.errno.is_none() && !portable {
            assert!(["tp_btf/module_load", "raw_tp/module_load"].contains(&hook), "{event}");
        }
        for key in ["bee.request", "bee.object_id", "bee.object_type", "bee.entries", "bee.signal"] {
            assert!(event.get(key).is_none(), "{key} of {event}");
        }
        let mut flags = Vec::new();
        if abi == Abi::Compat {
            flags.push("compat_32bit");
        }
        if portable {
            flags.extend(["process_partial", "exe_as_given"]);
        }
        flags.sort_unstable();
        let mut found = event.list("bee.flags");
        found.sort_unstable();
        assert_eq!(found, flags, "bee.flags of {event}");
    }

    fn exactly(&self, count: usize, run: &Run, ran: &Ran) {
        tally::wanted("kernel", count);
        let events = modules(run, ran.pid);
        assert_eq!(events.len(), count, "{:?}: {events:#?}", ran.args);
        for event in events {
            self.check(event, ran.abi);
            check_process(event, run, ran);
        }
        tally::right("kernel", count);
    }
}

/// Runs insmod, modprobe or rmmod; its process id.
fn kmod(program: &str, argument: &str) -> u32 {
    let program = ["/usr/sbin", "/sbin"].iter().map(|dir| Path::new(dir).join(program));
    let program = program.into_iter().find(|path| path.exists()).unwrap();
    let mut child = Command::new(program).arg(argument).stdin(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    assert!(child.wait().unwrap().success(), "{argument}");
    pid
}

#[test]
fn root_modules_that_are_loaded_and_such_that_are_refused() {
    let Some(file) = std::env::var_os("BEE_MODULE").map(PathBuf::from) else {
        return skipped(
            "modules that are really loaded: only in a machine of its own (make test-vm TEST=kernel.sh)",
        );
    };
    let fixture = Fixture::new();
    let name = file.file_stem().unwrap().to_str().unwrap();
    let of_file = file.file_name().unwrap().to_str().unwrap();
    let (path, garbage) = (file.to_str().unwrap(), fixture.dir.join("garbage.ko"));
    std::fs::write(&garbage, [b'x'; 4096]).unwrap();
    let daemon = Daemon::start(&fixture, &[]);
    let well = || Want { name, errno: None };
    let mut done = Vec::new();
    for abi in Abi::all() {
        let load = |act: &str, file: &str| fixture.trigger("kernel", abi).args([act, "3", file, name]);
        done.push((load("file", path).run().all_well(3), well()));
        done.push((load("bytes", path).run().all_well(3), well()));
        let garbage = garbage.to_str().unwrap();
        let no_module = |name| Want { name, errno: Some(libc::ENOEXEC) };
        done.push((load("file", garbage).run().all_failed(3, libc::ENOEXEC), no_module("garbage.ko")));
        done.push((load("bytes", garbage).run().all_failed(3, libc::ENOEXEC), no_module("")));
        let user = |act| load(act, path).user(&fixture.users[0]).run().all_failed(3, libc::EPERM);
        done.push((user("file"), Want { name: of_file, errno: Some(libc::EPERM) }));
        done.push((user("bytes"), Want { name: "", errno: Some(libc::EPERM) }));
    }
    // As people do it; and again while it is loaded.
    let mut tools = vec![("insmod", kmod("insmod", path))];
    for abi in Abi::all() {
        let load = |act: &str| fixture.trigger("kernel", abi).args([act, "3", path, name]);
        let there = |name| Want { name, errno: Some(libc::EEXIST) };
        done.push((load("file").run().all_failed(3, libc::EEXIST), there(of_file)));
        done.push((load("bytes").run().all_failed(3, libc::EEXIST), there("")));
    }
    let removed = kmod("rmmod", name);
    tools.push(("modprobe", kmod("modprobe", name)));
    kmod("rmmod", name);
    let run = daemon.stop();
    for (ran, want) in &done {
        want.exactly(3, &run, ran);
    }
    for (tool, pid) in tools {
        let events = modules(&run, pid);
        assert_eq!(events.len(), 1, "{tool}: {events:#?}");
        well().check(events[0], Abi::Native);
        assert_eq!(events[0].text("process.name"), tool, "{}", events[0]);
        if !tier::IMAGE.here() {
            assert!(events[0].text("process.executable").ends_with("/bin/kmod"), "{}", events[0]);
        }
    }
    assert!(modules(&run, removed).is_empty());
    run.lossless();
}
