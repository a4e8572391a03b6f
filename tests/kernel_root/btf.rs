//! What libbpf itself finds: the same in the kernel's types as in the small BTF
//! that is made of them, and the same as `btf::offsets` says.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;

use bee_trace::btf::{self, Offset};
use libbpf_rs::{ObjectBuilder, PrintLevel};

/// Our objects: name, object, and the types it was compiled against.
const OBJECTS: &[(&str, &[u8], &[u8])] = include!(concat!(env!("OUT_DIR"), "/objects.rs"));

static SAID: Mutex<String> = Mutex::new(String::new());

fn keep(_: PrintLevel, text: String) {
    SAID.lock().unwrap().push_str(&text);
}

/// All that libbpf says while it loads an object. Whether the kernel takes the
/// programs is not asked: each is relocated before the first is loaded.
fn load(object: &[u8], types: Option<&str>) -> String {
    SAID.lock().unwrap().clear();
    libbpf_rs::set_print(Some((PrintLevel::Debug, keep)));
    let mut builder = ObjectBuilder::default();
    if let Some(types) = types {
        builder.btf_custom_path(types).unwrap();
    }
    drop(builder.open_memory(object).unwrap().load());
    libbpf_rs::set_print(None);
    std::mem::take(&mut SAID.lock().unwrap())
}

/// What was written into which instruction.
fn patches(said: &str) -> Vec<&str> {
    let patch = |line: &&str| line.contains(": patched insn #") || line.contains(": substituting insn #");
    said.lines().filter(patch).collect()
}

/// `<byte_off> [17] struct file.f_path.dentry (0:4:1 @ offset 72)`: the field and its offset.
fn matches(said: &str) -> BTreeSet<(String, u64)> {
    said.lines()
        .filter(|line| line.contains(": matching candidate #"))
        .filter_map(|line| line.split_once("<byte_off> [")?.1.split_once("] "))
        .map(|(_, found)| {
            let mut words = found.split(' ');
            let field = words.nth(1).unwrap().to_owned();
            let offset = words.next_back().unwrap().trim_end_matches(')').parse().unwrap();
            (field, offset)
        })
        .collect()
}

#[test]
fn root_libbpf_finds_in_the_small_btf_what_it_finds_in_the_kernel_s() {
    let kernel = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let small = btf::minimise(&kernel, btf::needs()).unwrap();
    let file = std::env::temp_dir().join(format!("bee-btf-{}", std::process::id()));
    fs::write(&file, small).unwrap();
    let ours: BTreeSet<(String, u64)> = btf::offsets(&kernel, btf::needs())
        .unwrap()
        .into_iter()
        .filter_map(|(need, offset)| match offset {
            Offset::Is { value, .. } => Some((need.strip_suffix(" byte_off")?.to_owned(), value)),
            _ => None,
        })
        .collect();
    let mut all = BTreeSet::new();
    for (name, object, _) in OBJECTS {
        let whole = load(object, None);
        let part = load(object, file.to_str());
        let wanted = patches(&whole);
        assert!(wanted.len() > 20, "{name}: only {} instructions were patched:\n{whole}", wanted.len());
        assert_eq!(patches(&part), wanted, "{name}");
        assert_eq!(matches(&part), matches(&whole), "{name}");
        all.extend(matches(&whole));
    }
    fs::remove_file(file).unwrap();
    assert_eq!(all, ours);
}
