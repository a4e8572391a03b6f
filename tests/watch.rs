//! The pattern language against an independent reading of its rules, and the
//! promise that neither the index nor the kernel's rules ever miss a match.
#![allow(clippy::unwrap_used)]

use bee_trace::watch::{
    ANCHOR, MAX_COMPONENTS, MAX_LENGTH, Pattern, PatternSet, Rule, RuleKind, candidate, compile, cost_class,
    fnv1a, moved,
};

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|why| panic!("`{text}` {why}"))
}

fn matches(text: &str, path: impl AsRef<[u8]>) -> bool {
    pattern(text).matches(path.as_ref())
}

#[test]
fn each_form_matches_what_it_says() {
    for (text, path, wanted) in [
        ("/etc/shadow", "/etc/shadow", true),
        ("/etc/shadow", "/etc/shadow-", false),
        ("/etc/shadow", "/mnt/etc/shadow", false),
        ("/etc/shadow", "/etc/shadow/x", false),
        ("id_rsa", "/home/a/.ssh/id_rsa", true),
        ("id_rsa", "/id_rsa", true),
        ("id_rsa", "/id_rsa/x", false),
        ("*.kdbx", "/srv/deep/down/all.kdbx", true),
        ("*.kdbx", "/srv/.kdbx", true),
        ("*.kdbx", "/srv/a.kdbx.bak", false),
        ("~/.ssh/*", "/home/a/.ssh/id_x", true),
        ("~/.ssh/*", "/root/.ssh/.hidden", true),
        ("~/.ssh/*", "/.ssh/id_x", true),
        ("~/.ssh/*", "/var/lib/machines/m/root/.ssh/id_x", true),
        ("~/.ssh/*", "/home/a/.ssh/deep/id_x", false),
        ("~/.ssh/*", "/home/a/.ssh", false),
        ("**/.ssh/*", "/home/a/.ssh/id_x", true),
        ("/srv/**/x.pem", "/srv/x.pem", true),
        ("/srv/**/x.pem", "/srv/a/b/c/x.pem", true),
        ("/srv/**/x.pem", "/srvx/x.pem", false),
        ("/srv/**", "/srv/a", true),
        ("/srv/**", "/srv/a/b/c", true),
        ("/srv/**", "/srv", false),
        ("/srv/**/**", "/srv/a", true),
        ("/home/*/.netrc", "/home/a/.netrc", true),
        ("/home/*/.netrc", "/home/.netrc", false),
        ("/home/*/.netrc", "/home/a/b/.netrc", false),
        ("/a/**/b/**/c", "/a/x/b/y/z/c", true),
        ("/a/**/b/**/c", "/a/b/c", true),
        ("/a/**/b/**/c", "/a/c/b", false),
        ("/a/**/b/*/c", "/a/b/b/x/c", true),
        ("/etc/ssh/ssh_host_*_key", "/etc/ssh/ssh_host_rsa_key", true),
        ("/etc/ssh/ssh_host_*_key", "/etc/ssh/ssh_host_key", false),
        ("key?.pem", "/x/key1.pem", true),
        ("key?.pem", "/x/key.pem", false),
        ("key?.pem", "/x/key\u{e9}.pem", true),
        ("key[0-9].pem", "/x/key7.pem", true),
        ("key[!0-9].pem", "/x/key7.pem", false),
        ("key[^0-9].pem", "/x/keyx.pem", true),
        ("key[]-].pem", "/x/key-.pem", true),
        ("key[]-].pem", "/x/key].pem", true),
        ("key[a-c\u{e0}-\u{ff}].pem", "/x/key\u{e9}.pem", true),
        ("a\\*b", "/x/a*b", true),
        ("a\\*b", "/x/axb", false),
        ("a[*]b*", "/x/a*b1", true),
        ("~backup", "/x/~backup", true),
        ("*~", "/x/shadow~", true),
    ] {
        assert_eq!(matches(text, path), wanted, "`{text}` on {path}");
    }
}

#[test]
fn names_need_not_be_utf8_and_cannot_hide_behind_it() {
    assert!(matches("*.key", b"/x/\xff\xfe.key"));
    assert!(matches("id_?", b"/x/id_\xff"));
    assert!(!matches("id_?", b"/x/id_\xff\xff"));
    assert!(matches("id_[!a]", b"/x/id_\xff"));
    assert!(!matches("id_[a]", b"/x/id_\xff"));
    assert!(matches("~/.ssh/*", b"/home/\xe2\x82/.ssh/x"));
    // A cut-off character in front of a fixed end.
    assert!(matches("a*?z", b"/x/a\xe2\x82z"));
}

#[test]
fn paths_that_are_none_match_nothing_and_do_not_panic() {
    for path in [&b""[..], b"/", b"//", b"/etc/", b"etc/shadow", b"memfd:x"] {
        assert!(!matches("/etc/shadow", path), "{path:?}");
        assert!(!matches("/etc/*", path), "{path:?}");
    }
    // Where a path could not be followed to the root, patterns for any depth still count.
    assert!(matches("~/.ssh/*", "home/a/.ssh/id"));
    assert!(matches("id_rsa", "id_rsa"));
}

#[test]
fn a_refused_pattern_says_what_would_be_right() {
    let deep = format!("/{}x", "a/".repeat(MAX_COMPONENTS));
    let long = "x".repeat(MAX_LENGTH + 1);
    let name = "x".repeat(256);
    for (text, word) in [
        ("", "write a path"),
        ("/", "root directory"),
        ("a/b", "`/a/b`"),
        ("./b", "`/./b`"),
        ("~root/.ssh/x", "`~/…`"),
        ("~", "`~/…`"),
        ("/a//b", "one `/`"),
        ("/a/", "`/**`"),
        ("/a/../b", "`..`"),
        ("/a/./b", "`.`"),
        ("/a/b**", "stand alone"),
        ("/a**/b", "stand alone"),
        ("key[0-9", "closing"),
        ("key[", "closing"),
        ("key[]", "closing"),
        ("key[[:alpha:]]", "[a-z]"),
        ("key[z-a]", "`a-z`"),
        ("key\\", "backslash"),
        (" /etc/shadow", "white space"),
        ("/etc/sha\0dow", "NUL"),
        ("**", "nothing the kernel could test"),
        ("*", "nothing the kernel could test"),
        ("?", "nothing the kernel could test"),
        ("/*", "nothing the kernel could test"),
        ("/*/**", "nothing the kernel could test"),
        ("~/**", "nothing the kernel could test"),
        ("*SECRET*", "nothing the kernel could test"),
        ("[a-z]*", "nothing the kernel could test"),
        (&deep, "at most 60"),
        (&long, "at most 1024"),
        (&name, "255"),
    ] {
        let why = Pattern::parse(text).err().unwrap_or_else(|| panic!("`{text}` was accepted"));
        assert!(why.contains(word), "`{text}`: {why}");
    }
}

#[test]
fn the_last_component_decides_the_rule() {
    for (text, kind, bytes, class) in [
        ("/etc/shadow", RuleKind::Exact, "shadow", "exact name"),
        (".env.*", RuleKind::Prefix, ".env.", "name prefix"),
        ("privkey*.pem", RuleKind::Prefix, "privkey", "name prefix"),
        ("a?c", RuleKind::Prefix, "a", "name prefix"),
        ("0123456789abcdefXYZ*", RuleKind::Prefix, "0123456789abcdef", "name prefix"),
        ("*.kdbx", RuleKind::Suffix, ".kdbx", "name suffix"),
        ("a*-key.pem", RuleKind::Suffix, "-key.pem", "name suffix"),
        ("*XYZ0123456789abcdef", RuleKind::Suffix, "0123456789abcdef", "name suffix"),
        ("~/.ssh/*", RuleKind::Parent, ".ssh", "directory"),
        ("/srv/x/[ab]*", RuleKind::Parent, "x", "directory"),
        ("/etc/ssl/private/**", RuleKind::Directory, "private", "directory tree"),
        ("/srv/x/*/*", RuleKind::Directory, "x", "directory tree"),
    ] {
        let rules = compile(&[pattern(text)], &[]);
        assert_eq!(rules.mask(kind, bytes.as_bytes()) & !ANCHOR, 1, "`{text}`: {rules:?}");
        let opens = |rule: &&Rule| rule.kind != RuleKind::Anchor && rule.mask & !ANCHOR != 0;
        let tests = rules.rules.iter().filter(opens).count();
        assert_eq!(tests, 1, "`{text}`: {rules:?}");
        assert_eq!(cost_class(&pattern(text)), class, "`{text}`");
    }
}

#[test]
fn rules_of_both_lists_are_joined_and_lengths_announced() {
    let rules =
        compile(&[pattern("/etc/x*"), pattern("/etc/x*.y")], &[pattern("/srv/x*"), pattern("*.conf")]);
    assert_eq!(rules.mask(RuleKind::Prefix, b"x"), 3);
    assert_eq!(rules.mask(RuleKind::Suffix, b".conf"), 2);
    assert_eq!(rules.mask(RuleKind::Anchor, b"etc"), 1);
    assert_eq!(rules.mask(RuleKind::Anchor, b"srv"), 2);
    assert_eq!(rules.prefix_lengths, 1 << 1);
    assert_eq!(rules.suffix_lengths, 1 << 2 | 1 << 5);
    assert_eq!(candidate(&rules, b"/anywhere/xyz"), 3);
    assert_eq!(candidate(&rules, b"/anywhere/a.conf"), 2);
    assert_eq!(candidate(&rules, b"/anywhere/else"), 0);
    assert!(rules.rules.is_sorted_by_key(|rule| (rule.kind, rule.length, rule.hash)));
}

#[test]
fn names_longer_than_the_kernel_hashes_are_candidates() {
    let long = "n".repeat(200);
    let rules = compile(&[pattern(&long), pattern(&format!("/{long}/**"))], &[]);
    assert!(rules.rules.iter().all(|rule| rule.length <= 64));
    assert_eq!(candidate(&rules, format!("/a/{long}").as_bytes()), 1);
    assert_eq!(candidate(&rules, format!("/{long}/a/b").as_bytes()), 1);
    // The price: another long name with the same beginning is shown to user space.
    assert_eq!(candidate(&rules, format!("/a/{}x", "n".repeat(64)).as_bytes()), 1);
    assert_eq!(candidate(&rules, format!("/a/{}", "n".repeat(63)).as_bytes()), 0);
}

#[test]
fn fnv1a_gives_the_published_values() {
    // Test vectors of draft-eastlake-fnv, appendix C.
    assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
}

#[test]
fn a_moved_directory_concerns_those_patterns_it_is_part_of() {
    for (text, directory, wanted) in [
        ("~/.ssh/*", "/home/a/.ssh", true),
        ("~/.ssh/*", "/home/a", false),
        ("~/.ssh/*", "/home/a/.ssh/sub", false),
        ("~/.aws/sso/cache/*", "/x/.aws/sso", true),
        ("id_rsa", "/home/a/.ssh", false),
        ("/etc/ssl/private/**", "/etc", true),
        ("/etc/ssl/private/**", "/etc/ssl/private/new", true),
        ("/etc/ssl/private/**", "/srv/private", false),
        ("/srv/**/x.pem", "/srv/a/b", true),
        ("~/firefox/*/key4.db", "/home/a/firefox/profile", true),
        ("/etc/shadow", "/etc/", true),
    ] {
        assert_eq!(pattern(text).concerns_directory(directory.as_bytes()), wanted, "`{text}` at {directory}");
    }
    assert!(!compile(&[pattern("~/.ssh/*"), pattern("id_rsa")], &[]).every_directory);
    assert!(compile(&[pattern("/*/x.pem")], &[]).every_directory);
    // What lies above the wildcard tells: most renames are not shown.
    for (text, to, shown) in [
        ("/srv/**/x.pem", "/srv/a/b", true),
        ("/srv/**/x.pem", "/home/a/b", false),
        ("~/firefox/*/key4.db", "/home/a/firefox/profile", true),
        ("~/firefox/*/key4.db", "/home/a/b/profile", false),
    ] {
        let rules = compile(&[], &[pattern(text)]);
        assert!(!rules.every_directory, "`{text}`");
        assert_eq!(moved(&rules, to.as_bytes()), shown, "`{text}` at {to}");
    }
}

/// xorshift64*: the same series on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % limit
    }
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const NAMES: &[&str] = &[
    "a",
    "b",
    "ab",
    "ba",
    "aab",
    "abb",
    ".a",
    "\u{e9}",
    "a\u{e9}b",
    "abababab",
    "abcdefghijklmnopqr",
    "xbcdefghijklmnopqr",
];
const GLOBS: &[&str] = &[
    "*",
    "a*",
    "*b",
    "a*b",
    "?",
    "?b",
    "a?",
    "*a*",
    "[ab]",
    "[!a]*",
    "a*b*b",
    "*?b",
    "abcdefghijklmnopqr*",
    "*bcdefghijklmnopqr",
    "a[b\u{e9}]*",
];

fn random_pattern(random: &mut Random) -> Pattern {
    loop {
        let mut text = String::from(random.pick(&["/", "/", "~/", ""]));
        let depth = if text.is_empty() { 1 } else { 1 + random.below(5) };
        for level in 0..depth {
            if level > 0 {
                text.push('/');
            }
            let part = match random.below(6) {
                0 => "**",
                1 | 2 => random.pick(GLOBS),
                _ => random.pick(NAMES),
            };
            text.push_str(part);
        }
        if let Ok(pattern) = Pattern::parse(&text) {
            return pattern;
        }
    }
}

fn random_path(random: &mut Random) -> Vec<u8> {
    let mut path = Vec::new();
    for _ in 0..=random.below(5) {
        path.push(b'/');
        path.extend_from_slice(random.pick(NAMES).as_bytes());
        if random.below(12) == 0 {
            path.push(0xff);
        }
    }
    path
}

/// The rules read literally, by trying everything; shares no code with the library.
fn reference(text: &str, path: &[u8]) -> bool {
    let absolute = if let Some(rest) = text.strip_prefix('/') {
        rest.to_owned()
    } else {
        format!("**/{}", text.strip_prefix("~/").unwrap_or(text))
    };
    let mut parts: Vec<&str> = absolute.split('/').collect();
    if parts.last() == Some(&"**") {
        parts.push("*");
    }
    let names: Vec<&[u8]> = path[1..].split(|byte| *byte == b'/').collect();
    walk(&parts, &names)
}

fn walk(parts: &[&str], names: &[&[u8]]) -> bool {
    match parts.split_first() {
        None => names.is_empty(),
        Some((&"**", rest)) => (0..=names.len()).any(|skip| walk(rest, &names[skip..])),
        Some((part, rest)) => names.split_first().is_some_and(|(name, names)| {
            let part: Vec<char> = part.chars().collect();
            glob(&part, &characters(name)) && walk(rest, names)
        }),
    }
}

/// Characters; bytes that are none as `None`.
fn characters(name: &[u8]) -> Vec<Option<char>> {
    let chunks = name.utf8_chunks();
    chunks
        .flat_map(|chunk| {
            let valid = chunk.valid().chars().map(Some).collect::<Vec<_>>();
            valid.into_iter().chain(chunk.invalid().iter().map(|_| None))
        })
        .collect()
}

fn glob(part: &[char], name: &[Option<char>]) -> bool {
    let Some(first) = part.first() else { return name.is_empty() };
    match first {
        '*' => (0..=name.len()).any(|skip| glob(&part[1..], &name[skip..])),
        '?' => !name.is_empty() && glob(&part[1..], &name[1..]),
        '[' => {
            let end = part.iter().position(|c| *c == ']').unwrap();
            let (negated, members) =
                if part[1] == '!' { (true, &part[2..end]) } else { (false, &part[1..end]) };
            let Some((character, name)) = name.split_first() else { return false };
            character.is_some_and(|c| members.contains(&c)) != negated && glob(&part[end + 1..], name)
        }
        literal => name.first() == Some(&Some(*literal)) && glob(&part[1..], &name[1..]),
    }
}

#[test]
fn matching_agrees_with_the_reference() {
    let mut random = Random(0x5eed_0001);
    let mut hits = 0;
    for _ in 0..60_000 {
        let (pattern, path) = (random_pattern(&mut random), random_path(&mut random));
        let wanted = reference(pattern.text(), &path);
        assert_eq!(pattern.matches(&path), wanted, "`{}` on {}", pattern.text(), path.escape_ascii());
        hits += u32::from(wanted);
    }
    assert!(hits > 2_000, "the generator no longer makes matching pairs: {hits}");
}

#[test]
fn the_index_gives_what_a_loop_gives() {
    let mut random = Random(0x5eed_0002);
    let mut hits = 0;
    for _ in 0..60 {
        let patterns: Vec<Pattern> = (0..random.below(150)).map(|_| random_pattern(&mut random)).collect();
        let set = PatternSet::new(&patterns);
        for _ in 0..300 {
            let path = random_path(&mut random);
            let wanted = patterns.iter().position(|pattern| pattern.matches(&path));
            assert_eq!(set.first_match(&path), wanted, "{}", path.escape_ascii());
            hits += u32::from(wanted.is_some());
        }
    }
    assert!(hits > 2_000, "{hits}");
    assert_eq!(PatternSet::new(&[]).first_match(b"/a"), None);
}

#[test]
fn the_kernel_rules_never_miss_a_match() {
    let mut random = Random(0x5eed_0003);
    let (mut hits, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let watch: Vec<Pattern> = (0..random.below(3)).map(|_| random_pattern(&mut random)).collect();
        let watch_write: Vec<Pattern> = (0..random.below(3)).map(|_| random_pattern(&mut random)).collect();
        let rules = compile(&watch, &watch_write);
        let path = random_path(&mut random);
        let mask = candidate(&rules, &path);
        for (list, bit) in [(&watch, 1), (&watch_write, 2)] {
            for pattern in list.iter().filter(|pattern| pattern.matches(&path)) {
                assert_ne!(mask & bit, 0, "`{}` on {}", pattern.text(), path.escape_ascii());
                hits += 1;
            }
        }
        refused += u32::from(mask == 0);
    }
    assert!(hits > 1_500 && refused > 2_000, "{hits} {refused}");
}

#[test]
fn a_moved_directory_that_brings_matches_concerns_its_pattern_and_the_kernel() {
    let mut random = Random(0x5eed_0004);
    let mut hits = 0;
    for _ in 0..60_000 {
        let pattern = random_pattern(&mut random);
        let (from, to, below) =
            (random_path(&mut random), random_path(&mut random), random_path(&mut random));
        let (old, new) = ([from.as_slice(), &below].concat(), [to.as_slice(), &below].concat());
        if pattern.matches(&old) || !pattern.matches(&new) {
            continue;
        }
        hits += 1;
        let story = || format!("`{}`: {} to {}", pattern.text(), from.escape_ascii(), to.escape_ascii());
        let rules = compile(std::slice::from_ref(&pattern), &[]);
        assert!(moved(&rules, &to), "{}", story());
        assert!(pattern.concerns_directory(&to), "{}", story());
    }
    assert!(hits > 200, "{hits}");
}

#[test]
fn the_end_of_a_path_is_watched_where_its_directory_may_make_it_so() {
    for (text, end, wanted) in [
        ("/etc/shadow", "shadow", true),
        ("/etc/shadow", "etc/shadow", true),
        ("/etc/shadow", "x/shadow", false),
        ("/etc/shadow", "x/etc/shadow", false),
        ("*.kdbx", "a/b/c.kdbx", true),
        ("~/.ssh/id_*", "id_rsa", true),
        ("~/.ssh/id_*", ".ssh/id_rsa", true),
        ("~/.ssh/id_*", "home/a/.ssh/id_rsa", true),
        ("~/.ssh/id_*", "keys/id_rsa", false),
        // Any name in a directory: the directory must be named.
        ("~/.ssh/*", "known_hosts", false),
        ("~/.ssh/*", ".ssh/known_hosts", true),
        ("/srv/vault/**", "a/b", false),
        ("/srv/vault/**", "vault/a/b", true),
        ("/srv/vault/**", "srv/vault/a/b", true),
        // It may lie in /srv/vault as well.
        ("/srv/vault/**", "x/srv/vault/a/b", true),
        ("/srv/vault/key", "x/srv/vault/key", false),
        ("/srv/*/key?", "key1", true),
        ("/srv/*/key?", "a/key1", true),
        ("/srv/*/key?", "srv/a/b/key1", false),
        ("id_rsa", "", false),
    ] {
        assert_eq!(pattern(text).may_match(end.as_bytes()), wanted, "`{text}` on {end}");
    }
    for (text, end, wanted) in [
        ("~/.ssh/id_*", ".ssh", true),
        ("~/.ssh/id_*", "home/a/.ssh", true),
        ("~/.ssh/id_*", "ssh", false),
        ("/etc/ssl/private/*", "ssl", true),
        ("/etc/ssl/private/*", "etc/ssl", true),
        ("/etc/ssl/private/*", "x/ssl", false),
        ("/srv/**/key", "anything", false),
        ("id_rsa", "anything", false),
    ] {
        assert_eq!(pattern(text).may_concern_directory(end.as_bytes()), wanted, "`{text}` on {end}");
    }
}

#[test]
fn what_the_kernel_finds_in_the_end_of_a_path_is_not_missed() {
    let mut random = Random(0x5eed_0005);
    let (mut hits, mut not_to_be_told) = (0, 0);
    for _ in 0..60_000 {
        let (pattern, path) = (random_pattern(&mut random), random_path(&mut random));
        let rules = compile(std::slice::from_ref(&pattern), &[]);
        let set = PatternSet::new(std::slice::from_ref(&pattern));
        for (slash, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let end = &path[slash + 1..];
            let found = candidate(&rules, end) != 0;
            let story = || format!("`{}` on {}", pattern.text(), end.escape_ascii());
            assert!(!pattern.may_match(end) || found, "the kernel would not show it: {}", story());
            assert_eq!(set.may_match(end), pattern.may_match(end), "{}", story());
            if pattern.matches(&path) {
                assert_eq!(pattern.may_match(end), found, "in {}: {}", path.escape_ascii(), story());
                hits += u32::from(found);
                not_to_be_told += u32::from(!found);
            }
            // What is said of an end alone holds in every directory.
            if pattern.matches(end) {
                assert!(pattern.matches(&path) && pattern.may_match(end), "{}", story());
            }
        }
    }
    assert!(hits > 2_000 && not_to_be_told > 100, "{hits} {not_to_be_told}");
}
