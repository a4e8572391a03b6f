//! The lists of the shipped configuration. `config/bee-traced.toml` says the
//! same for people; a test compares the two.

use super::Exclude;
use crate::event::Action;
use crate::watch::Pattern;

/// `process.secret_env_patterns`
pub(super) const SECRET_ENV_PATTERNS: &[&str] = &[
    "*SECRET*",
    "*TOKEN*",
    "*PASSWORD*",
    "*PASSWD*",
    "*PASSPHRASE*",
    "*API_KEY*",
    "*APIKEY*",
    "*ACCESS_KEY*",
    "*PRIVATE_KEY*",
    "*ENCRYPTION_KEY*",
    "*CREDENTIALS*",
    "*CONNECTION_STRING*",
    "DATABASE_URL",
    "REDIS_URL",
    "PGPASS*",
    "MYSQL_PWD",
    "SSHPASS",
];

/// `file.watch`: chosen so that an ordinary machine at rest is silent.
pub(super) const WATCH: &[&str] = &[
    // SSH: keys in homes, keys by their usual names anywhere, keys of the host.
    "~/.ssh/*",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "/etc/ssh/ssh_host_*_key",
    // Other private keys and key stores. Certificates and CA bundles are public, so they are not here.
    "*.key",
    "*-key.pem",
    "key.pem",
    "privkey*.pem",
    "*.p8",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.ppk",
    "*.keytab",
    "/etc/ssl/private/*",
    "/etc/letsencrypt/accounts/**/private_key.json",
    "~/.config/sops/age/keys.txt",
    // Accounts and who may become root.
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/security/opasswd",
    "/etc/sudoers",
    "/etc/sudoers.d/*",
    "/var/lib/systemd/credential.secret",
    // Networks: Wi-Fi and VPN secrets.
    "/etc/NetworkManager/system-connections/*",
    "/etc/wpa_supplicant/wpa_supplicant*.conf",
    "/etc/wireguard/*",
    "/etc/ppp/chap-secrets",
    "/etc/ppp/pap-secrets",
    // Settings of applications.
    ".env",
    ".env.*",
    ".envrc",
    // Clouds.
    "~/.aws/credentials",
    "~/.aws/sso/cache/*",
    "~/.aws/cli/cache/*",
    "~/.config/gcloud/credentials.db",
    "~/.config/gcloud/access_tokens.db",
    "~/.config/gcloud/application_default_credentials.json",
    "~/.config/gcloud/legacy_credentials/**",
    "~/.azure/accessTokens.json",
    "~/.azure/msal_token_cache.*",
    "~/.azure/service_principal_entries.*",
    "~/.config/doctl/config.yaml",
    "~/.config/hcloud/cli.toml",
    "~/.config/rclone/rclone.conf",
    "~/.oci/*",
    "~/.s3cfg",
    "~/.boto",
    "~/.terraform.d/credentials.tfrc.json",
    // Containers and clusters.
    "~/.docker/config.json",
    "~/.config/containers/auth.json",
    "/run/user/*/containers/auth.json",
    "/run/containers/*/auth.json",
    "~/.kube/*",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/super-admin.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/scheduler.conf",
    "/etc/rancher/k3s/k3s.yaml",
    "/var/lib/rancher/k3s/server/token",
    "/run/secrets/kubernetes.io/serviceaccount/**",
    // Git and its hosts.
    ".git-credentials",
    "~/.config/git/credentials",
    ".netrc",
    "~/.config/gh/hosts.yml",
    "~/.config/glab-cli/config.yml",
    // Package registries.
    ".npmrc",
    ".pypirc",
    "~/.cargo/credentials",
    "~/.cargo/credentials.toml",
    "~/.gem/credentials",
    "~/.m2/settings.xml",
    "~/.gradle/gradle.properties",
    "~/.composer/auth.json",
    "~/.config/composer/auth.json",
    "~/.config/pypoetry/auth.toml",
    // Databases.
    ".pgpass",
    ".my.cnf",
    ".mylogin.cnf",
    "/etc/mysql/debian.cnf",
    // Vaults, password stores, wallets.
    ".vault-token",
    "~/.password-store/**",
    "*.kdbx",
    "~/.gnupg/private-keys-v1.d/*",
    "~/.gnupg/secring.gpg",
    "~/.local/share/keyrings/*",
    "~/.local/share/kwalletd/*",
    "~/.ethereum/keystore/*",
    "wallet.dat",
    // Passwords and sessions of browsers.
    "logins.json",
    "key4.db",
    "cookies.sqlite",
    "Login Data",
    "~/.config/chromium/**/Cookies",
    "~/.config/google-chrome/**/Cookies",
    // All of the memory. Devices are recognised by their numbers, whatever their names.
    "/dev/mem",
    "/dev/kmem",
    "/dev/port",
    "/proc/kcore",
];

/// `file.watch_write`: how someone comes to stay.
pub(super) const WATCH_WRITE: &[&str] = &[
    // Accounts and log-in.
    "/etc/passwd",
    "/etc/group",
    "/etc/pam.d/*",
    "/etc/security/*",
    "/etc/nsswitch.conf",
    "/etc/ssh/sshd_config",
    "/etc/ssh/sshd_config.d/*",
    "authorized_keys",
    "authorized_keys2",
    "/etc/polkit-1/rules.d/*",
    "/etc/doas.conf",
    // What is loaded into every program, and into the kernel.
    "/etc/ld.so.preload",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d/*",
    "/etc/modules",
    "/etc/modules-load.d/*",
    "/etc/modprobe.d/*",
    "/boot/firmware/cmdline.txt",
    "/boot/firmware/config.txt",
    // What is started by time, by the system and by a log-in.
    "/etc/crontab",
    "/etc/cron.d/*",
    "/etc/cron.hourly/*",
    "/etc/cron.daily/*",
    "/etc/cron.weekly/*",
    "/etc/cron.monthly/*",
    "/var/spool/cron/crontabs/*",
    "/etc/systemd/system/*",
    "/etc/systemd/system/*/*.service",
    "/etc/systemd/system/*/*.timer",
    "/etc/systemd/system/*/*.conf",
    "/etc/systemd/user/*",
    "~/.config/systemd/user/*",
    "~/.config/systemd/user/*/*.service",
    "~/.config/systemd/user/*/*.timer",
    "~/.config/autostart/*",
    "/etc/init.d/*",
    "/etc/rc.local",
    "/etc/udev/rules.d/*",
    "/etc/environment",
    "/etc/profile",
    "/etc/profile.d/*",
    "/etc/bash.bashrc",
    ".bashrc",
    ".bash_profile",
    ".profile",
    ".zshrc",
    // Where software comes from.
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d/*",
    "/etc/apt/trusted.gpg.d/*",
    "/etc/apt/keyrings/*",
    // Who watches the watchman.
    "/etc/bee-traced/*",
    "/etc/bee-traced/config.d/*",
];

/// `file.ignore`
pub(super) const IGNORE: &[&str] = &[
    // Public halves and lists of known hosts. ~/.ssh/config stays watched: a ProxyCommand in it runs programs.
    "~/.ssh/*.pub",
    "~/.ssh/known_hosts*",
    // Public trust anchors and files of packages, which only root can put there.
    "/usr/share/**/*.key",
    "/var/lib/unbound/root.key",
    // Examples that are checked in.
    ".env.example",
    ".env.sample",
    ".env.template",
    ".env.dist",
];

/// `network.actions`: all there are.
pub(super) const NETWORK_ACTIONS: &[&str] = &["connect", "send", "accept", "listen", "socket"];

/// `network.suspicious_ports`: where shells, bots and anonymising networks wait, by their own defaults.
pub(super) const SUSPICIOUS_PORTS: &[&str] = &[
    // Shells of attack frameworks, and the numbers people choose for their own.
    "1337",
    "4444",
    "31337",
    // Internet Relay Chat, which bots are led by.
    "6660-6669",
    "6697",
    // Tor: relays, and its local door.
    "9001",
    "9030",
    "9050",
    "9150",
    // Miners of cryptocurrency.
    "3333",
    "14444",
    "45700",
    // The interface of Docker without any password: whoever reaches it is root.
    "2375",
];

/// `network.monitored_ports`: log-ins, file shares, databases, mail: what few programs have a business with.
pub(super) const MONITORED_PORTS: &[&str] = &[
    "20-23",
    "25",
    "69",
    "110",
    "111",
    "135",
    "137-139",
    "143",
    "389",
    "445",
    "465",
    "512-514",
    "587",
    "636",
    "873",
    "1080",
    "1433",
    "1521",
    "2049",
    "2376",
    "2379-2380",
    "3128",
    "3306",
    "3389",
    "5432",
    "5555",
    "5900-5903",
    "5985-5986",
    "6379",
    "6443",
    "9200",
    "10250",
    "11211",
    "27017",
];

/// `network.safe_ports`: what every machine does all day.
pub(super) const SAFE_PORTS: &[&str] = &["53", "67-68", "80", "123", "443", "546-547", "853", "5353", "5355"];

/// `network.ignore`
pub(super) const NETWORK_IGNORE: &[&str] = &["127.0.0.0/8", "::1"];

/// `network.unix`: whoever reaches these is root, or has somebody's keys.
pub(super) const UNIX: &[&str] = &[
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/podman/podman.sock",
    "/run/user/*/podman/podman.sock",
    "/var/lib/lxd/unix.socket",
    "/var/lib/incus/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
    "/run/libvirt/libvirt-sock",
    "/tmp/ssh-*/agent.*",
    "/run/user/*/keyring/ssh",
    "/run/user/*/gnupg/S.gpg-agent*",
    "~/.gnupg/S.gpg-agent*",
];

/// `network.sockets`
pub(super) const SOCKETS: &[&str] = &[
    "raw",
    "protocol",
    "key",
    "packet",
    "rds",
    "can",
    "tipc",
    "bluetooth",
    "alg",
    "nfc",
    "vsock",
    "smc",
    "xdp",
    "other",
];

/// `output.actions`: all that can be chosen.
pub(super) const ACTIONS: &[&str] = &[
    "exec",
    "fork",
    "exit",
    "open",
    "create",
    "delete",
    "rename",
    "link",
    "symlink",
    "chmod",
    "chown",
    "truncate",
    "mknod",
    "ptrace",
    "vm-read",
    "vm-write",
    "proc-mem",
    "proc-environ",
    "proc-maps",
    "pidfd-getfd",
    "connect",
    "send",
    "accept",
    "listen",
    "socket",
    "module-load",
    "bpf",
    "io-uring",
    "time-set",
    "kill",
];

/// `output.journal_actions`: all but the comings and goings of processes.
pub(super) const JOURNAL_ACTIONS: &[&str] = &[
    "exec",
    "open",
    "create",
    "delete",
    "rename",
    "link",
    "symlink",
    "chmod",
    "chown",
    "truncate",
    "mknod",
    "ptrace",
    "vm-read",
    "vm-write",
    "proc-mem",
    "proc-environ",
    "proc-maps",
    "pidfd-getfd",
    "connect",
    "send",
    "accept",
    "listen",
    "socket",
    "module-load",
    "bpf",
    "io-uring",
    "time-set",
    "kill",
];

/// `[[exclude]]`: the program's true path, and the files whose reading is its job.
const EXCLUDE: &[(&str, &[&str])] = &[
    ("/usr/sbin/sshd", &["/etc/ssh/ssh_host_*_key", "~/.ssh/authorized_keys*", "/etc/shadow"]),
    ("/usr/lib/openssh/sshd-session", &["/etc/ssh/ssh_host_*_key", "~/.ssh/authorized_keys*", "/etc/shadow"]),
    ("/usr/lib/openssh/sshd-auth", &["/etc/ssh/ssh_host_*_key", "~/.ssh/authorized_keys*", "/etc/shadow"]),
    ("/usr/bin/login", &["/etc/shadow", "/etc/gshadow"]),
    ("/usr/bin/su", &["/etc/shadow", "/etc/gshadow"]),
    ("/usr/bin/sudo", &["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/sudoers.d/*"]),
    ("/usr/sbin/unix_chkpwd", &["/etc/shadow"]),
    ("/usr/sbin/cron", &["/etc/shadow"]),
    ("/usr/sbin/lightdm", &["/etc/shadow"]),
    ("/usr/lib/polkit-1/polkit-agent-helper-1", &["/etc/shadow"]),
    ("/usr/libexec/accounts-daemon", &["/etc/shadow"]),
    ("/usr/lib/systemd/systemd", &["/etc/shadow", "/etc/gshadow", "/var/lib/systemd/credential.secret"]),
    (
        "/usr/lib/systemd/systemd-executor",
        &["/etc/shadow", "/etc/gshadow", "/var/lib/systemd/credential.secret"],
    ),
    ("/usr/lib/systemd/systemd-userwork", &["/etc/shadow", "/etc/gshadow"]),
    ("/usr/bin/systemd-sysusers", &["/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-"]),
    ("/usr/bin/ssh", &["~/.ssh/*"]),
    ("/usr/sbin/NetworkManager", &["/etc/NetworkManager/system-connections/*"]),
    ("/usr/sbin/wpa_supplicant", &["/etc/wpa_supplicant/wpa_supplicant*.conf"]),
    ("/usr/bin/gpg-agent", &["~/.gnupg/private-keys-v1.d/*"]),
    ("/usr/bin/gnome-keyring-daemon", &["~/.local/share/keyrings/*"]),
    ("/usr/bin/docker", &["~/.docker/config.json"]),
    ("/usr/bin/kubectl", &["~/.kube/*"]),
    ("/usr/sbin/nginx", &["/etc/ssl/private/*", "privkey*.pem"]),
    ("/usr/sbin/apache2", &["/etc/ssl/private/*", "privkey*.pem"]),
    ("/usr/lib/firefox/firefox", &["logins.json", "key4.db", "cookies.sqlite"]),
    ("/usr/lib/firefox-esr/firefox-esr", &["logins.json", "key4.db", "cookies.sqlite"]),
    ("/usr/lib/chromium/chromium", &["Login Data", "~/.config/chromium/**/Cookies"]),
    ("/opt/google/chrome/chrome", &["Login Data", "~/.config/google-chrome/**/Cookies"]),
];

/// `[[exclude]]` of what is no act on files: the program, and what it does whatever it is asked for.
/// ps of procps 4 opens the environment of every process each time it runs.
const EXCLUDE_ACTIONS: &[(&str, &[Action])] = &[("/usr/bin/ps", &[Action::ProcEnviron])];

/// `[[exclude]]`, ready.
pub(super) fn exclude() -> Vec<Exclude> {
    let ready = |(exe, paths): &(&str, &[&str])| Exclude {
        exe: Some(exe.into()),
        unit: None,
        // The tests hold that every one parses.
        networks: Vec::new(),
        paths: paths.iter().filter_map(|text| Pattern::parse(text).ok()).collect(),
        actions: Vec::new(),
    };
    let acts = |(exe, actions): &(&str, &[Action])| Exclude {
        exe: Some(exe.into()),
        unit: None,
        networks: Vec::new(),
        paths: Vec::new(),
        actions: actions.to_vec(),
    };
    EXCLUDE.iter().map(ready).chain(EXCLUDE_ACTIONS.iter().map(acts)).collect()
}
