//! What a value may look like: one check for each kind of word, each of which
//! says what would be right.

use super::{AddressRange, Place, PortRange, SocketKinds};
use crate::event::{ACTIONS, Action};
use crate::watch::{Pattern, check_env_pattern};

/// Actions that are written whatever `output.actions` says.
pub const ALWAYS_WRITTEN: [Action; 3] = [Action::Loss, Action::Start, Action::Stop];

/// A list may have this many entries once all documents are merged; the
/// tables in the kernel are sized for it.
pub const MAX_ENTRIES: usize = 2048;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number, both ends included.
    Integer {
        /// The smallest possible.
        min: u32,
        /// The greatest possible.
        max: u32,
    },
    /// A string.
    Text(Shape),
    /// A list of strings.
    List(Shape),
}

/// What a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A pattern for files.
    Pattern,
    /// A pattern for names of environment variables.
    Variable,
    /// An absolute path.
    Path,
    /// An absolute path, or nothing.
    PathOrEmpty,
    /// An absolute path that fits a socket's address, or nothing.
    Socket,
    /// Absolute path of a program, no wildcards.
    Program,
    /// A systemd unit with its suffix.
    Unit,
    /// `json` or `pretty`.
    Format,
    /// `stdout`, `file` or `journal`.
    Place,
    /// `event.action`.
    Action,
    /// An action of the network sensor.
    NetworkAction,
    /// A port or a range of them.
    Port,
    /// An address or a network.
    Address,
    /// A kind of socket.
    SocketKind,
    /// A system user who is not root.
    User,
}

impl Kind {
    /// In words, for messages and documentation.
    pub fn words(self) -> String {
        match self {
            Self::Bool => "`true` or `false`".into(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Text(shape) => format!("a string: {}", shape.words()),
            Self::List(shape) => format!("a list of strings, each {}", shape.words()),
        }
    }
}

impl Shape {
    /// In words, for messages and documentation.
    pub fn words(self) -> &'static str {
        match self {
            Self::Pattern => "a file pattern such as \"/etc/shadow\", \"~/.ssh/*\" or \"*.key\"",
            Self::Variable => "a variable's name with `*` as wildcard, such as \"*TOKEN*\"",
            Self::Path => "an absolute path",
            Self::PathOrEmpty => "an absolute path, or \"\"",
            Self::Socket => "an absolute path of at most 107 bytes, or \"\"",
            Self::Program => "the absolute path of a program",
            Self::Unit => "a systemd unit such as \"cron.service\"",
            Self::Format => "\"json\" or \"pretty\"",
            Self::Place => "\"stdout\", \"file\" or \"journal\"",
            Self::Action => "an action such as \"open\" or \"exec\"",
            Self::NetworkAction => "\"connect\", \"send\", \"accept\", \"listen\" or \"socket\"",
            Self::Port => "a port such as \"22\", or a range such as \"6660-6669\"",
            Self::Address => "an address such as \"192.0.2.1\", or a network such as \"2001:db8::/32\"",
            Self::SocketKind => "a kind of socket such as \"raw\" or \"packet\"",
            Self::User => "the name of a system user",
        }
    }

    /// Whether `text` has this shape.
    ///
    /// # Errors
    /// What is wrong and what would be right, to be read behind the text itself.
    pub fn check(self, text: &str) -> Result<(), String> {
        match self {
            Self::Pattern => Pattern::parse(text).map(|_| ()),
            Self::Variable => check_env_pattern(text),
            Self::PathOrEmpty | Self::Socket if text.is_empty() => Ok(()),
            Self::Path | Self::PathOrEmpty => path(text),
            Self::Socket => socket(text),
            Self::Program => program(text),
            Self::Unit => unit(text),
            Self::Format if matches!(text, "json" | "pretty") => Ok(()),
            Self::Format => Err("is no format; write \"json\" or \"pretty\"".into()),
            Self::Place if Place::from_name(text).is_some() => Ok(()),
            Self::Place => Err("is no place; write \"stdout\", \"file\" or \"journal\"".into()),
            Self::Action => action(text),
            Self::NetworkAction => network_action(text),
            Self::Port => port(text),
            Self::Address => address(text),
            Self::SocketKind => socket_kind(text),
            Self::User => user(text),
        }
    }
}

fn path(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("is not absolute; write the path from the root, beginning with `/`".into());
    }
    if text.len() > 4095 || text.chars().any(char::is_control) {
        return Err("is no path: too long, or with control characters in it".into());
    }
    if text.len() > 1 && text[1..].split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(
            "is not in its plain form; write it without `//`, `.`, `..` and without a slash at the end"
                .into(),
        );
    }
    Ok(())
}

fn socket(text: &str) -> Result<(), String> {
    // `sun_path` of unix(7), without its NUL.
    const MAX_SOCKET: usize = 107;
    path(text)?;
    if text == "/" {
        return Err("is a directory; write the path of the socket itself".into());
    }
    if text.len() > MAX_SOCKET {
        return Err(format!("is too long for a socket; at most {MAX_SOCKET} bytes are possible"));
    }
    Ok(())
}

fn program(text: &str) -> Result<(), String> {
    path(text)?;
    if text == "/" {
        return Err("is a directory; write the path of a program".into());
    }
    if text.contains(['*', '?']) {
        return Err("has a wildcard; write the path of one program, and one table for each program".into());
    }
    Ok(())
}

fn unit(text: &str) -> Result<(), String> {
    // systemd.unit(5): the characters and types a unit name may have.
    const TYPES: [&str; 5] = ["service", "scope", "slice", "socket", "mount"];
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.' | '\\' | '@');
    if text.is_empty() || text.len() > 255 || !text.chars().all(allowed) {
        return Err("is no unit name; write it as `systemctl` shows it, such as \"cron.service\"".into());
    }
    match text.rsplit_once('.') {
        Some((name, kind)) if !name.is_empty() && TYPES.contains(&kind) => Ok(()),
        _ => Err(format!("lacks the unit's type; write \"{text}.service\"")),
    }
}

fn action(text: &str) -> Result<(), String> {
    if Action::from_name(text).is_some() {
        return Ok(());
    }
    if let Some(near) = super::problem::nearest(text, ACTIONS.iter().map(|facts| facts.name)) {
        return Err(format!("is no action; did you mean \"{near}\"?"));
    }
    let known: Vec<&str> = ACTIONS.iter().map(|facts| facts.name).collect();
    Err(format!("is no action; the actions are {}", known.join(", ")))
}

fn network_action(text: &str) -> Result<(), String> {
    action(text)?;
    match Action::from_name(text) {
        Some(action) if action.facts().sensor == "network" => Ok(()),
        _ => Err(format!("is no action of the network sensor; write {}", Shape::NetworkAction.words())),
    }
}

fn port(text: &str) -> Result<(), String> {
    match PortRange::parse(text) {
        Some(_) => Ok(()),
        None => {
            Err(format!("is no port between 1 and 65535 and no range of them; write {}", Shape::Port.words()))
        }
    }
}

fn address(text: &str) -> Result<(), String> {
    match AddressRange::parse(text) {
        Some(_) => Ok(()),
        None => Err(format!(
            "is no address and no network (names are not looked up); write {}",
            Shape::Address.words()
        )),
    }
}

fn socket_kind(text: &str) -> Result<(), String> {
    if SocketKinds::default().add(text) {
        return Ok(());
    }
    if let Some(near) = super::problem::nearest(text, SocketKinds::words()) {
        return Err(format!("is no kind of socket; did you mean \"{near}\"?"));
    }
    let known: Vec<&str> = SocketKinds::words().collect();
    Err(format!("is no kind of socket that can be told; there are {}", known.join(", ")))
}

fn user(text: &str) -> Result<(), String> {
    if matches!(text, "root" | "0") {
        return Err("is who the daemon must stop being; name a user without privileges".into());
    }
    let first = text.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let rest =
        text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.'));
    if first && rest && text.len() <= 31 {
        return Ok(());
    }
    Err("is no user name: small letters, digits, `_`, `-` and `.`, at most 31, beginning with a letter"
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_takes_the_right_and_refuses_the_wrong() {
        for (shape, good, bad) in [
            (Shape::Pattern, &["/etc/shadow", "*.key"][..], &["a/b", "", "**"][..]),
            (Shape::Variable, &["*TOKEN*"], &["", "*", "A B"]),
            (Shape::Path, &["/", "/srv/x y"], &["", "srv", "/srv/", "/srv/../x", "/a//b", "/a\nb", "/./a"]),
            (Shape::PathOrEmpty, &["", "/srv"], &["srv", "./x"]),
            (Shape::Socket, &["", "/run/x/control"], &["run/x", "/", "/run/x/", &"/x".repeat(54)]),
            (Shape::Program, &["/usr/bin/[", "/usr/sbin/sshd"], &["sshd", "/", "/usr/bin/*", "/bin/?"]),
            (
                Shape::Unit,
                &["cron.service", "user@1000.service", "session-1.scope"],
                &["cron", "", ".service", "a b.service"],
            ),
            (Shape::Format, &["json", "pretty"], &["", "JSON", "csv"]),
            (Shape::Place, &["stdout", "file", "journal"], &["", "stderr", "Journal"]),
            (Shape::Action, &["open", "loss"], &["", "opne", "OPEN", "read"]),
            (Shape::NetworkAction, &["connect", "socket"], &["", "open", "loss", "conect"]),
            (Shape::Port, &["22", "6660-6669"], &["", "0", "65536", "9-1", "ssh"]),
            (
                Shape::Address,
                &["10.0.0.0/8", "::1", "192.0.2.7"],
                &["", "localhost", "10.0.0.0/33", "[::1]:22"],
            ),
            (Shape::SocketKind, &["raw", "packet", "other"], &["", "tcp", "unix", "PACKET"]),
            (Shape::User, &["bee-trace", "_bee"], &["", "root", "0", "Bee", "1bee", "a:b", "a b"]),
        ] {
            for text in good {
                assert_eq!(shape.check(text), Ok(()), "{shape:?} {text:?}");
            }
            for text in bad {
                assert!(shape.check(text).is_err(), "{shape:?} {text:?}");
            }
        }
        assert!(Shape::Action.check("opne").is_err_and(|why| why.contains("\"open\"")));
        assert!(Shape::Unit.check("cron").is_err_and(|why| why.contains("\"cron.service\"")));
    }
}
