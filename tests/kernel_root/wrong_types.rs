//! Types that are not this kernel's: programs load with them and read garbage; the
//! canary must tell.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bee_trace::btf;
use bee_trace::btf_file::{self, Origin};
use bee_trace::canary::{Child, Known};
use bee_trace::config::Config;
use bee_trace::decode::decode;
use bee_trace::kernel::Places;
use bee_trace::probe::loader::{self, Conditions, Maps};
use bee_trace::probe::{GENERATION, Tier};
use bee_trace::ring::Ring;
use bee_trace::shared::Settings;

/// Bits a member is moved by.
const MOVED: u32 = 64;

/// Types whose fields no act of the canary's shows here: those that are only read at other
/// tiers or of other acts, and numbers that are 0, as root's are, like those beside them.
const NOT_SHOWN: &[&str] = &[
    "cgroup_root",
    "cred",
    "filename",
    "fs_struct",
    "open_flags",
    "signal_struct",
    "thread_info",
    // Of the sensors for networks, memory and the kernel, which this test does not run.
    "hlist_head",
    "hlist_node",
    "idr",
    "in6_addr",
    "module",
    "msghdr",
    "pid",
    "pid_namespace",
    "proc_fs_info",
    "sock",
    "sock_common",
    "socket",
    "upid",
    "xa_node",
    "xarray",
];

/// Every type with members: its name, and where in `bytes` the words are that say where they lie.
fn types(bytes: &[u8]) -> Vec<(String, Vec<usize>)> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (header, types, strings) = (word(4) as usize, word(12) as usize, word(16) as usize);
    let name = |offset: u32| {
        let text = &bytes[header + strings + offset as usize..];
        String::from_utf8(text.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap()
    };
    let (mut at, end) = (header, header + types);
    let mut found = Vec::new();
    while at < end {
        let (info, own) = (word(at + 4), name(word(at)));
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        at += 12;
        // Lengths of what follows, by kind: BTF_KIND_* of linux/btf.h.
        let length = match kind {
            1 | 14 | 17 => 4,
            3 => 12,
            4 | 5 | 15 | 19 => 12 * count,
            6 | 13 => 8 * count,
            _ => 0,
        };
        if kind == 4 && !own.is_empty() {
            found.push((own, (0..count).map(|member| at + member * 12 + 8).collect()));
        }
        at += length;
    }
    found
}

/// As if something had been put in front of what we read.
fn moved(types: &[u8], members: &[usize]) -> Vec<u8> {
    let mut wrong = types.to_vec();
    for at in members {
        let stored = u32::from_le_bytes(wrong[*at..at + 4].try_into().unwrap());
        wrong[*at..at + 4].copy_from_slice(&(stored + MOVED).to_le_bytes());
    }
    wrong
}

struct Bench {
    maps: Maps,
    rings: [Ring; 2],
    file: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let maps = Maps::create(&Config::default().limits).unwrap();
        let rings = ["alerts", "bulk"].map(|name| Ring::of(maps.get(name).unwrap()).unwrap());
        let file = std::env::temp_dir().join(format!("bee-wrong-types-{}", std::process::id()));
        Self { maps, rings, file }
    }

    /// What the canary finds wrong with these types; `None`: nothing.
    fn verdict(&mut self, types: &[u8]) -> Option<String> {
        fs::write(&self.file, types).unwrap();
        let settings = Settings::new(self.maps.get("settings").unwrap().as_fd()).unwrap();
        settings.set_self_tgid(std::process::id());
        settings.set_generation(GENERATION);
        let conditions = Conditions {
            btf: Some(&self.file),
            forced: Some(Tier::Tracepoint),
            ..Conditions::new(&self.maps)
        };
        let sensors = ["process", "file"].map(|name| loader::start(name, &conditions).unwrap());
        if let Some(why) = sensors.iter().find_map(|sensor| sensor.failure.clone()) {
            return Some(format!("refused: {why}"));
        }
        let child = Child::fork().unwrap();
        let pid = child.pid();
        let mut known = Known::of(pid, Some(Path::new("/sys/fs/cgroup"))).unwrap();
        settings.set_canary_tgid(pid);
        let acted = child.act().unwrap();
        let (mut wrong, mut heard) = (None, Vec::new());
        let deadline = Instant::now() + Duration::from_millis(100);
        while Instant::now() < deadline {
            for ring in &mut self.rings {
                while let Some(record) = ring.peek().unwrap() {
                    if let Ok(record) = decode(record.bytes)
                        && record.header.tgid == pid
                    {
                        heard.push(record.header.hook);
                        wrong = wrong.or(known.check(&record).err());
                    }
                    ring.advance();
                }
                ring.release();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        settings.set_canary_tgid(0);
        let silent = sensors.iter().flat_map(|sensor| sensor.unproven(acted, &heard)).next();
        wrong
            .or_else(|| known.untold(true, true).map(str::to_owned))
            .or(silent.map(|variant| format!("{} is silent", variant.hook)))
    }
}

#[test]
fn root_the_canary_tells_types_of_another_kernel() {
    let kernel = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let right = btf::minimise(&kernel, btf::needs()).unwrap();
    let mut bench = Bench::new();
    assert_eq!(bench.verdict(&right), None, "with the right types");
    let (mut shown, mut not) = (0, Vec::new());
    for (name, members) in types(&right) {
        let wrong = moved(&right, &members);
        match bench.verdict(&wrong) {
            Some(why) => {
                println!("{name}: {why}");
                shown += 1;
            }
            None => not.push(name),
        }
    }
    fs::remove_file(&bench.file).unwrap();
    println!("{shown} of {} wrong types shown; not: {}", shown + not.len(), not.join(" "));
    not.retain(|name| !NOT_SHOWN.contains(&name.as_str()));
    assert_eq!(not, Vec::<String>::new());
}

/// The daemon where sysfs shows no types, and a file holds them.
#[test]
fn root_the_daemon_takes_types_from_a_file_and_gives_up_wrong_ones() {
    let kernel = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let right = btf::minimise(&kernel, btf::needs()).unwrap();
    let running = btf_file::Running::gather(&Places::default()).unwrap();
    let origin = Origin {
        release: running.release,
        version: Some(running.version),
        build_id: running.build_id,
        arch: running.arch,
        page_size: running.page_size,
        needs: btf_file::needs_hash(btf::needs()),
        made_by: "a test".into(),
    };
    let root = PathBuf::from(format!("/var/tmp/bee-types-file-{}", std::process::id()));
    fs::create_dir_all(root.join("sys/kernel")).unwrap();
    let (config, file) = (root.join("config.toml"), root.join("types.btf"));
    let text = format!(
        "[host]\nsys = {:?}\nbtf = {file:?}\n[output]\nfile = {:?}\n",
        root.join("sys"),
        root.join("out.jsonl")
    );
    fs::write(&config, text).unwrap();
    let run = |types: &[u8], origin: &Origin| {
        fs::write(&file, btf_file::seal(types, origin)).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_bee-traced"))
            .args(["--duration", "1", "-v", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        let events = fs::read_to_string(root.join("out.jsonl")).unwrap();
        assert!(events.contains("\"start\"") && events.contains("watches: process"), "{events}");
        fs::remove_file(root.join("out.jsonl")).unwrap();
        said
    };
    let name = file.display().to_string();
    let said = run(&right, &origin);
    assert!(said.contains(&format!("the kernel's types are those in {name}")), "{said}");
    assert!(!said.contains("not this kernel's"), "{said}");

    let (_, members) = types(&right).into_iter().find(|(name, _)| name == "nsproxy").unwrap();
    let said = run(&moved(&right, &members), &origin);
    assert!(said.contains(&format!("the types in {name} are not this kernel's (")), "{said}");
    assert!(said.contains("its mount namespace: "), "{said}");

    let other = Origin { release: "6.1".into(), ..origin };
    let said = run(&right, &other);
    assert!(said.contains(&format!("{name} is not used: made for 6.1, this kernel is ")), "{said}");
    fs::remove_dir_all(root).unwrap();
}
