//! The user the daemon becomes. Read from the files themselves: NSS would load
//! modules into a process that is about to shut the door behind it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{Gid, Uid};

use crate::error::{Error, Result};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// A user and its primary group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Never 0.
    pub uid: Uid,
    /// Its primary group.
    pub gid: Gid,
}

/// The account called `name`; as root it is made when there is none. Without
/// root there is nothing to change to: the account is the one we run as.
///
/// # Errors
/// When the name is not one, is root, or no tool could make the user.
pub fn ensure_user(name: &str) -> Result<Account> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(Account { uid: nix::unistd::getuid(), gid: nix::unistd::getgid() });
    }
    check_name(name)?;
    if let Some(account) = look_up(name)? {
        return not_root(name, account);
    }
    let why = create(name)?;
    match look_up(name)? {
        Some(account) => not_root(name, account),
        None => Err(Error::failure(format!(
            "cannot make the user {name}: {why}; make it by hand: {}",
            by_hand(name)
        ))),
    }
}

fn not_root(name: &str, account: Account) -> Result<Account> {
    if account.uid.is_root() || account.gid.as_raw() == 0 {
        return Err(Error::failure(format!(
            "the user {name} has uid {} and gid {}; the daemon must not run as root, name another user",
            account.uid, account.gid
        )));
    }
    Ok(account)
}

/// The rule of useradd(8); it also keeps the name from being taken for an option.
fn check_name(name: &str) -> Result<()> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let rest = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if first && rest && name.len() <= 32 {
        return Ok(());
    }
    Err(Error::failure(format!(
        "'{name}' is no user name: use at most 32 of a-z, 0-9, _ and -, beginning with a letter or _"
    )))
}

fn look_up(name: &str) -> Result<Option<Account>> {
    let text = fs::read(PASSWD).map_err(|error| Error::failure(format!("read {PASSWD}: {error}")))?;
    Ok(find(&text, name))
}

/// passwd(5): `name:password:uid:gid:…`; lines that do not parse are none of ours.
fn find(passwd: &[u8], name: &str) -> Option<Account> {
    passwd.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        if fields.next()? != name.as_bytes() {
            return None;
        }
        let mut number = |skip| std::str::from_utf8(fields.nth(skip)?).ok()?.parse().ok();
        Some(Account { uid: Uid::from_raw(number(1)?), gid: Gid::from_raw(number(0)?) })
    })
}

fn group_exists(name: &str) -> bool {
    fs::read(GROUP).is_ok_and(|text| {
        text.split(|byte| *byte == b'\n')
            .any(|line| line.split(|byte| *byte == b':').next() == Some(name.as_bytes()))
    })
}

fn by_hand(name: &str) -> String {
    format!("useradd {}", useradd_arguments(name, false).join(" "))
}

fn useradd_arguments(name: &str, group_exists: bool) -> Vec<&str> {
    let mut arguments = vec!["--system", "--no-create-home", "--home-dir", "/nonexistent"];
    arguments.extend(["--shell", "/usr/sbin/nologin"]);
    // useradd refuses to make a group that is there already.
    if group_exists {
        arguments.extend(["--gid", name]);
    } else {
        arguments.push("--user-group");
    }
    arguments.push(name);
    arguments
}

/// Asks the system's tools, first the one every distribution has. Returns why
/// the last one did not; whether it worked is seen in the file.
fn create(name: &str) -> Result<String> {
    let exists = group_exists(name);
    let mut adduser =
        vec!["--system", "--no-create-home", "--home", "/nonexistent", "--shell", "/usr/sbin/nologin"];
    if exists {
        adduser.extend(["--ingroup", name]);
    } else {
        adduser.push("--group");
    }
    adduser.push(name);
    let tools = [("useradd", useradd_arguments(name, exists)), ("adduser", adduser)];
    let mut failures = Vec::new();
    for (tool, arguments) in tools {
        // Not looked up in PATH: we are root, and PATH came from whoever started us.
        let Some(path) = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
            .iter()
            .map(|directory| Path::new(directory).join(tool))
            .find(|path| path.exists())
        else {
            failures.push(format!("{tool} is not installed"));
            continue;
        };
        let output = Command::new(path)
            .args(&arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Error::failure(format!("run {tool}: {error}")))?;
        if output.status.success() {
            return Ok(format!("{tool} ended well but {PASSWD} has no such user"));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        failures.push(format!("{tool}: {} ({})", said.trim(), output.status));
    }
    Ok(failures.join("; "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"root:x:0:0:root:/root:/bin/bash\n\
        bee-trace2:x:7:7::/:/bin/sh\n\
        broken:x:many:7::/:\n\
        short:x\n\
        bee-trace:x:998:997::/nonexistent:/usr/sbin/nologin\n\
        latin:x:5:6:J\xf6rg:/:";

    #[test]
    fn finds_the_whole_name_only() {
        let account = find(TEXT, "bee-trace").unwrap();
        assert_eq!((account.uid.as_raw(), account.gid.as_raw()), (998, 997));
        assert_eq!(find(TEXT, "latin").unwrap().gid.as_raw(), 6);
        for none in ["bee", "broken", "short", "", "x"] {
            assert_eq!(find(TEXT, none), None, "{none}");
        }
    }

    #[test]
    fn root_under_any_name_is_refused() {
        let account = find(TEXT, "root").unwrap();
        let error = not_root("root", account).unwrap_err().to_string();
        assert!(error.contains("must not run as root"), "{error}");
    }

    #[test]
    fn names_that_could_be_options_are_refused() {
        for bad in ["", "-x", "--root=/tmp", "Bee", "a b", "a:b", "é", &"a".repeat(33)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in ["bee-trace", "_b", "a1"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
    }
}
