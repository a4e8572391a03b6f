//! What is shipped is what is documented is what holds, and the default lists
//! watch what they should at a cost an ordinary machine can bear.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use bee_trace::config::{Config, Document, Kind, OPTIONS, Preset, load, reference};
use bee_trace::event::ACTIONS;
use bee_trace::watch::{Pattern, PatternSet, RuleKind, candidate, compile, cost_class, env_matches};

const SHIPPED: &str = include_str!("../config/bee-traced.toml");

fn texts(patterns: &[Pattern]) -> Vec<&str> {
    patterns.iter().map(Pattern::text).collect()
}

#[test]
fn the_shipped_file_gives_the_defaults() {
    let document = Document { name: "shipped".into(), text: SHIPPED.into() };
    assert_eq!(load(&[document]).unwrap().config, Config::default());
    assert_eq!(load(&[]).unwrap().config, Config::default());
}

#[test]
fn no_default_is_lost_on_the_way_into_the_configuration() {
    let config = Config::default();
    let preset = |key: &str| match OPTIONS.iter().find(|option| option.key == key).unwrap().default {
        Preset::List(list) => list.to_vec(),
        _ => panic!("{key} is no list"),
    };
    assert_eq!(texts(&config.file.watch), preset("file.watch"));
    assert_eq!(texts(&config.file.watch_write), preset("file.watch_write"));
    assert_eq!(texts(&config.file.ignore), preset("file.ignore"));
    assert!(config.exclude.len() > 20);
    for exclude in &config.exclude {
        // Files, or actions that are not on files: never all that a program does.
        let bounded = exclude.paths.is_empty() != exclude.actions.is_empty();
        assert!(exclude.exe.is_some() && bounded, "{exclude:?}");
    }
    assert_eq!(config.output.actions, ACTIONS.iter().map(|facts| facts.action).collect::<Vec<_>>());
    // Whatever somebody should look at reaches the journal, and what is always written.
    let journal = |facts: &&bee_trace::event::ActionFacts| !["fork", "exit"].contains(&facts.name);
    assert_eq!(
        config.output.journal_actions,
        ACTIONS.iter().filter(journal).map(|facts| facts.action).collect::<Vec<_>>()
    );
    assert_eq!((config.output.to, config.output.journal_fold_seconds), (vec![], 60));
    assert_eq!(config.host.journal_socket, PathBuf::from("/run/systemd/journal/socket"));
    assert!(config.sensors.process && config.sensors.file && config.sensors.memory && config.sensors.kernel);
    assert_eq!((config.limits.alert_ring_kib, config.limits.bulk_ring_kib), (512, 512));
    assert_eq!((config.limits.inodes, config.limits.processes, config.limits.queue_kib), (16384, 8192, 1024));
    assert_eq!(
        (config.limits.alerts_per_second, config.limits.alert_burst, config.limits.events_per_second),
        (100, 200, 0)
    );
    assert_eq!((config.output.rotate_mib, config.output.rotate_keep, &config.output.file), (16, 4, &None));
    assert_eq!((config.host.proc, config.host.sys), (PathBuf::from("/proc"), PathBuf::from("/sys")));
    assert_eq!(config.control.socket, Some(PathBuf::from("/run/bee-traced/control")));
    assert_eq!((config.host.cgroup, config.host.user), (None, "bee-trace".into()));
}

/// The comment directly above `key = ` in `[section]` of the shipped file, as one line.
fn shipped_comment(section: &str, name: &str) -> Option<String> {
    let (mut here, mut comment) = (String::new(), Vec::new());
    for line in SHIPPED.lines() {
        if let Some(title) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            here = title.to_owned();
        } else if here == section && line.starts_with(&format!("{name} = ")) {
            return Some(comment.join(" "));
        }
        match line.strip_prefix("# ") {
            Some(text) => comment.push(text),
            None => comment.clear(),
        }
    }
    None
}

#[test]
fn every_option_is_explained_in_the_shipped_file() {
    for option in OPTIONS {
        let comment = shipped_comment(option.section(), option.name())
            .unwrap_or_else(|| panic!("{} is not in the shipped file", option.key));
        assert!(comment.starts_with(option.doc), "{}: {comment}\nwanted: {}", option.key, option.doc);
        let words = option.kind.words();
        assert!(comment.to_lowercase().contains(&words.to_lowercase()), "{}: {comment}\n{words}", option.key);
        assert_eq!(comment.ends_with("Needs a restart."), option.restart, "{}", option.key);
        assert!(!option.appends || matches!(option.kind, Kind::List(_)), "{}", option.key);
    }
}

#[test]
fn the_reference_in_the_documentation_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("<!-- begin generated -->\n").unwrap();
    let (there, after) = rest.split_once("<!-- end generated -->").unwrap();
    if std::env::var_os("BLESS").is_some() {
        let new = format!("{before}<!-- begin generated -->\n{}<!-- end generated -->{after}", reference());
        std::fs::write(&path, new).unwrap();
        return;
    }
    assert_eq!(there, reference(), "run the tests once with BLESS=1");
}

fn first(patterns: &[Pattern], path: &str) -> Option<String> {
    PatternSet::new(patterns).first_match(path.as_bytes()).map(|index| patterns[index].text().to_owned())
}

#[test]
fn the_default_lists_watch_secrets_and_leave_the_public_alone() {
    let file = Config::default().file;
    let watched = |path: &str| first(&file.watch, path).filter(|_| first(&file.ignore, path).is_none());
    for path in [
        "/root/.ssh/id_ed25519",
        "/home/a/.ssh/id_rsa",
        "/home/a/.ssh/config",
        "/home/a/.ssh/work",
        "/backup/2024/home/a/.ssh/id_rsa",
        "/tmp/id_ecdsa",
        "/etc/ssh/ssh_host_ed25519_key",
        "/etc/ssl/private/b.pem",
        "/etc/letsencrypt/archive/example.org/privkey1.pem",
        "/srv/app/server.key",
        "/srv/app/tls-key.pem",
        "/etc/shadow",
        "/etc/shadow-",
        "/etc/gshadow",
        "/etc/sudoers",
        "/etc/sudoers.d/90-admin",
        "/srv/app/.env",
        "/srv/app/.env.production",
        "/home/a/.aws/credentials",
        "/home/a/.config/gcloud/credentials.db",
        "/root/.docker/config.json",
        "/root/.kube/config",
        "/run/secrets/kubernetes.io/serviceaccount/..2024_01_01/token",
        "/home/a/.git-credentials",
        "/home/a/.netrc",
        "/home/a/.npmrc",
        "/home/a/.pypirc",
        "/home/a/.cargo/credentials.toml",
        "/home/a/.vault-token",
        "/home/a/.password-store/mail/work.gpg",
        "/home/a/all.kdbx",
        "/home/a/.gnupg/private-keys-v1.d/0A.key",
        "/home/a/.mozilla/firefox/x.default/key4.db",
        "/home/a/.config/chromium/Default/Network/Cookies",
        "/dev/mem",
        "/proc/kcore",
    ] {
        assert!(watched(path).is_some(), "{path} is not watched");
    }
    for path in [
        "/home/a/.ssh/id_rsa.pub",
        "/home/a/.ssh/known_hosts",
        "/home/a/.ssh/known_hosts.old",
        "/etc/ssh/ssh_host_ed25519_key.pub",
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/ssl/certs/ca.pem",
        "/usr/share/dns/root.key",
        "/etc/passwd",
        "/etc/group",
        "/srv/app/.env.example",
        "/home/a/src/keys.rs",
        "/home/a/.bash_history",
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/dev/null",
    ] {
        assert_eq!(watched(path), None, "{path}");
    }
    for path in [
        "/etc/passwd",
        "/etc/ld.so.preload",
        "/home/a/.ssh/authorized_keys",
        "/etc/pam.d/sshd",
        "/var/spool/cron/crontabs/root",
        "/etc/systemd/system/multi-user.target.wants/x.service",
        "/etc/bee-traced/config.d/10.toml",
    ] {
        assert!(first(&file.watch_write, path).is_some(), "{path}");
        assert_eq!(first(&file.ignore, path), None, "{path}");
    }
    let secrets = Config::default().process.secret_env_patterns;
    for name in
        ["GITHUB_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "DB_PASSWORD", "OPENAI_API_KEY"]
    {
        assert!(env_matches(&secrets, name.as_bytes()), "{name}");
    }
    for name in ["PATH", "HOME", "LANG", "SSH_AUTH_SOCK", "KEYBOARD", "XAUTHORITY"] {
        assert!(!env_matches(&secrets, name.as_bytes()), "{name}");
    }
}

#[test]
fn the_default_lists_cost_the_kernel_little() {
    let file = Config::default().file;
    let rules = compile(&file.watch, &file.watch_write);
    for rule in &rules.rules {
        let affix = matches!(rule.kind, RuleKind::Prefix | RuleKind::Suffix);
        // One or two letters would make a candidate of every other file.
        assert!(!affix || rule.length >= 3, "{rule:?}");
    }
    let trees: Vec<&str> =
        file.watch.iter().filter(|one| cost_class(one) == "directory tree").map(Pattern::text).collect();
    assert_eq!(
        trees,
        [
            "~/.config/gcloud/legacy_credentials/**",
            "/run/secrets/kubernetes.io/serviceaccount/**",
            "~/.password-store/**"
        ],
        "each of them is looked for in every directory above every file"
    );
    for path in [
        "/usr/bin/ls",
        "/usr/lib/aarch64-linux-gnu/libc.so.6",
        "/etc/ld.so.cache",
        "/etc/passwd",
        "/etc/resolv.conf",
        "/etc/ssl/certs/ca-certificates.crt",
        "/proc/1234/status",
        "/sys/devices/system/cpu/online",
        "/run/user/1000/bus",
        "/run/systemd/journal/socket",
        "/var/log/journal/0123/system.journal",
        "/var/lib/private/app/state.db",
        "/home/a/src/project/.git/config",
        "/home/a/src/project/node_modules/left-pad/package.json",
        "/home/a/src/project/target/debug/deps/libx.rlib",
        "/home/a/.bash_history",
        "/dev/null",
        "/tmp/x",
    ] {
        assert_eq!(candidate(&rules, path.as_bytes()) & 1, 0, "{path}");
    }
}
