//! The cost gate: how many instructions the kernel executes for a call, without us, beside
//! empty programs on the same hooks, and with the daemon watching. For a virtual machine whose
//! clock counts instructions (`scripts/gate.sh`); the numbers repeat there, so limits hold.
//!
//!     gate --source       prints C with an empty program for every hook there is
//!     gate --reads        prints C with what `portable` cannot do without, see `READS`
//!     gate DIRECTORY OUT  measures every tier, writes OUT, fails over a limit; DIRECTORY has both,
//!                         compiled: empty.bpf.o and reads-ARCH.bpf.o

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../e2e/harness/mod.rs"]
#[allow(dead_code, unused_imports)]
mod harness;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bee_trace::probe::{FAMILIES, Family, Tier};
use harness::{Abi, Daemon, Fixture, bee_trace};
use libbpf_rs::{Link, Object, ObjectBuilder};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Batches measured of each; the cheapest counts. They are so short that the timer, at 250 ticks of the
/// machine's own seconds, interrupts one in three or four.
const BATCHES: usize = 11;

/// What is called in a loop.
struct Call {
    name: &'static str,
    args: Vec<String>,
    count: u32,
}

/// How much dearer than the empty programs it may be, or by how many instructions than nothing. In
/// `portable` a file is known by its name alone: there the name of every open must be read, and what
/// does that and nothing else takes the place of the empty program.
enum Limit {
    Times(f64),
    More(f64),
    /// The whole call, beside the same without us.
    OfCall(f64),
    None,
}

fn limit(call: &str, tier: Tier) -> Limit {
    match (call, tier) {
        ("getpid", Tier::Full | Tier::Kprobe) => Limit::More(2.0),
        ("unwatched open+close", Tier::Full) => Limit::Times(1.25),
        ("unwatched open+close", _) => Limit::Times(1.8),
        ("connect+accept+close", _) => Limit::OfCall(1.03),
        ("process_vm_readv", _) => Limit::More(950.0),
        ("vfork+exec+wait", _) => Limit::OfCall(1.01),
        ("the same, 30 words", _) => Limit::OfCall(1.05),
        _ => Limit::None,
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &*args {
        [only] if only == "--source" => print!("{}", source()),
        [only] if only == "--reads" => print!("{READS}"),
        [objects, out] => return measure(Path::new(objects), Path::new(out)),
        _ => {
            eprintln!("gate: runs in a virtual machine: make bench-gate");
            return ExitCode::from(64);
        }
    }
    ExitCode::SUCCESS
}

fn hooks() -> BTreeSet<&'static str> {
    FAMILIES.iter().flat_map(Family::variants).map(|(_, variant)| variant.hook).collect()
}

fn source() -> String {
    let mut text = String::from("/* Made by tests/bench/gate.rs. */\n");
    for (number, hook) in hooks().iter().enumerate() {
        let section = format!("__attribute__((section(\"{hook}\"), used))");
        // The value a cgroup program must return to let the act pass.
        let value = u8::from(hook.starts_with("cgroup/"));
        writeln!(text, "{section} int empty_{number}(void *ctx) {{ return {value}; }}").unwrap();
    }
    text.push_str("__attribute__((section(\"license\"), used)) char LICENSE[] = \"GPL\";\n");
    text
}

/// A program at the end of every system call that looks which call it was, and of an open reads the
/// name and nothing else. The saved registers are ABI (`struct pt_regs`), and so is openat(2)'s number.
const READS: &str = r#"/* Made by tests/bench/gate.rs. */
#if defined(__TARGET_ARCH_x86_64)
#define NUMBER 120 /* orig_ax */
#define NAME 104 /* si */
#define OPENAT 257
#elif defined(__TARGET_ARCH_aarch64)
#define NUMBER 280 /* syscallno */
#define NAME 8 /* regs[1] */
#define OPENAT 56
#endif
typedef unsigned long long u64;
static long (*kernel)(void *to, unsigned size, const void *from) = (void *)113;
static long (*user_string)(void *to, unsigned size, const void *from) = (void *)114;
static char name[4096];
__attribute__((section("raw_tp/sys_exit"), used)) int reads(u64 *ctx)
{
	unsigned number = 0;
	u64 at = 0;
	kernel(&number, sizeof(number), (char *)ctx[0] + NUMBER);
	if (number != OPENAT)
		return 0;
	kernel(&at, sizeof(at), (char *)ctx[0] + NAME);
	user_string(name, sizeof(name), (void *)at);
	return 0;
}
__attribute__((section("license"), used)) char LICENSE[] = "GPL";
"#;

/// Empty programs on these hooks, until it is dropped.
struct Empty {
    _links: Vec<Link>,
    _object: Object,
}

impl Empty {
    fn attach(object_file: &Path, wanted: &BTreeSet<String>) -> Self {
        let mut open = ObjectBuilder::default().open_file(object_file).unwrap();
        for mut program in open.progs_mut() {
            let hook = program.section().to_str().unwrap().to_owned();
            program.set_autoload(wanted.contains(&hook));
        }
        let object = open.load().unwrap();
        let cgroup = File::open("/sys/fs/cgroup").unwrap();
        let links: Vec<Link> = object
            .progs_mut()
            .filter(|program| wanted.contains(program.section().to_str().unwrap()))
            .map(|program| {
                let in_cgroup = program.section().to_str().unwrap().starts_with("cgroup/");
                let link = if in_cgroup {
                    program.attach_cgroup(std::os::fd::AsRawFd::as_raw_fd(&cgroup))
                } else {
                    program.attach()
                };
                link.unwrap_or_else(|why| panic!("{}: {why:#}", program.section().to_str().unwrap()))
            })
            .collect();
        assert_eq!(links.len(), wanted.len(), "programs of {} for {wanted:?}", object_file.display());
        Self { _links: links, _object: object }
    }
}

fn measure(objects: &Path, out: &Path) -> ExitCode {
    let fixture = Fixture::new();
    let plain = fixture.write("plain", "x");
    let secret = fixture.secret(1);
    let call = |name, count: u32, args: &[&str]| {
        let mut args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        args.insert(1, count.to_string());
        Call { name, args, count }
    };
    let calls = [
        call("getpid", 4000, &["getpid"]),
        call("unwatched open+close", 100, &["open", plain.to_str().unwrap()]),
        // Fewer than the rings hold while nobody reads them.
        call("watched open+close", 40, &["open", secret.to_str().unwrap()]),
        call("connect+accept+close", 40, &["connect"]),
        call("process_vm_readv", 40, &["vm-read"]),
        call("vfork+exec+wait", 10, &["exec"]),
        call("the same, 30 words", 10, &["exec+"]),
    ];
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut table = String::new();
    let mut failed = false;
    println!("{:<11} {:<22} {:>8} {:>8} {:>8} {:>7}", "tier", "call", "bare", "empty", "ours", "ratio");
    let tiers = std::env::var("GATE_TIERS").ok();
    let asked = |tier: &&Tier| tiers.as_ref().is_none_or(|names| names.split(',').any(|n| n == tier.name()));
    for tier in Tier::ALL.iter().filter(asked) {
        let Some(used) = used(*tier) else {
            println!("{:<11} not here", tier.name());
            continue;
        };
        let bare = each(&fixture, &calls, None);
        let (reading, empty): (BTreeSet<_>, BTreeSet<_>) =
            used.into_iter().partition(|hook| *tier == Tier::Portable && hook.ends_with("/sys_exit"));
        let reads = objects.join(format!("reads-{}.bpf.o", std::env::consts::ARCH));
        let attached = [(objects.join("empty.bpf.o"), empty), (reads, reading)]
            .map(|(object, hooks)| Empty::attach(&object, &hooks));
        let with_empty = each(&fixture, &calls, None);
        drop(attached);
        let daemon = Daemon::start_scanned(&fixture, &["--force-tier", tier.name()]);
        let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
        // File systems turn from names to identities a moment after their scan.
        std::thread::sleep(Duration::from_secs(5));
        let ours = each(&fixture, &calls, Some(pid));
        daemon.stop().lossless();
        for (index, call) in calls.iter().enumerate() {
            let (bare, empty, ours) = (bare[index], with_empty[index], ours[index]);
            let (limit_adds, ours_adds) = (empty - bare, ours - bare);
            let ratio = ours_adds / limit_adds;
            let over = match limit(call.name, *tier) {
                Limit::Times(times) => (ratio > times).then(|| format!("more than {times} times")),
                Limit::OfCall(times) => {
                    (ours > bare * times).then(|| format!("more than {times} of the call"))
                }
                Limit::More(more) => (ours_adds > more).then(|| format!("more than {more} instructions")),
                Limit::None => None,
            };
            failed |= over.is_some();
            let shown = if limit_adds.abs() < 3.0 { "-".to_owned() } else { format!("{ratio:.2}") };
            println!(
                "{:<11} {:<22} {bare:>8.0} {empty:>8.0} {ours:>8.0} {shown:>7} {}",
                tier.name(),
                call.name,
                over.map(|why| format!("OVER: {why}")).unwrap_or_default()
            );
            writeln!(
                table,
                "{}\t{}\t{}\t{bare:.0}\t{empty:.0}\t{ours:.0}",
                release.trim(),
                tier.name(),
                call.name
            )
            .unwrap();
        }
    }
    fs::write(out, table).unwrap();
    ExitCode::from(u8::from(failed))
}

/// The hooks all sensors use at this tier; `None` where a sensor does not reach it.
fn used(tier: Tier) -> Option<BTreeSet<String>> {
    let output = bee_trace().args(["check", "--json", "--force-tier", tier.name()]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sensors = report["sensors"].as_array().unwrap();
    let reached = sensors.iter().all(|sensor| sensor["tier"] == tier.name());
    let hooks = sensors.iter().flat_map(|sensor| sensor["mechanism"].as_str().unwrap().split(", "));
    // The functions of other system calls have other names on each architecture, and none of the
    // calls that are measured comes by.
    let hooks = hooks.filter(|hook| !hook.contains("/sys_") || hook.ends_with("/sys_exit"));
    let hooks = hooks.filter(|hook| !hook.contains("/ia32_sys_"));
    reached.then(|| hooks.map(str::to_owned).collect())
}

/// Instructions of each call: the clock shows one nanosecond for each. Only what the kernel does is
/// counted: who reads the events sleeps until a batch is done.
fn each(fixture: &Fixture, calls: &[Call], reader: Option<Pid>) -> Vec<f64> {
    // What was attached before is let go of a little later.
    std::thread::sleep(Duration::from_secs(2));
    let once = |call: &Call| {
        if let Some(reader) = reader {
            std::thread::sleep(Duration::from_millis(300));
            kill(reader, Signal::SIGSTOP).unwrap();
        }
        let ran = fixture.trigger("load", Abi::Native).args(&call.args).run();
        #[allow(clippy::cast_precision_loss)] // nanoseconds of seconds
        let all = ran.acts[0].0 as f64;
        if let Some(reader) = reader {
            kill(reader, Signal::SIGCONT).unwrap();
        }
        all / f64::from(call.count)
    };
    calls
        .iter()
        .map(|call| {
            once(call); // caches of the kernel's: dentries, slabs
            // What else the kernel does meanwhile only adds.
            (0..BATCHES).map(|_| once(call)).fold(f64::INFINITY, f64::min)
        })
        .collect()
}
