//! What goes over the control socket. A message is one packet: a JSON object
//! and a newline, after `events` followed by that many lines. Pure.

use serde::{Deserialize, Serialize};

use super::status::Status;

/// A request may have this many bytes.
pub const MAX_REQUEST: usize = 16 * 1024;
/// No answer has more bytes; a client reads with a buffer of this size.
pub const MAX_MESSAGE: usize = 192 * 1024;
/// A list in a filter may have this many entries.
const MAX_VALUES: usize = 64;

/// What a client asks for.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How it goes.
    Status {},
    /// Events from now on.
    Watch(Watch),
    /// Read the configuration again.
    Reload {},
    /// Say more in the log, or as much as at the start.
    Debug {
        /// More.
        on: bool,
    },
}

/// Which events, and how they look. An empty list leaves everything through.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// `bee.sensor`.
    pub sensors: Vec<String>,
    /// `event.action`.
    pub actions: Vec<String>,
    /// `process.pid`.
    pub pids: Vec<u32>,
    /// `process.name`, with `*` as wildcard.
    pub comms: Vec<String>,
    /// `process.executable`, as a file pattern.
    pub exes: Vec<String>,
    /// At least this grave: the word.
    pub severity: Option<String>,
    /// How a line looks.
    pub format: Format,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object.
    #[default]
    Json,
    /// For people.
    Pretty,
    /// For people, in colours.
    Colour,
}

/// The first line of a message to a client.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To `status`.
    Status(Box<Status>),
    /// To `watch`: it begins.
    Watching {},
    /// This many lines follow in this message.
    Events {
        /// Lines.
        count: u64,
        /// Events this client lost for being slow, since the message before.
        dropped: u64,
    },
    /// To `reload`, when it is done.
    Reload(Reload),
    /// To `debug`.
    Debug {
        /// The level in force now.
        level: String,
    },
    /// The daemon stops; nothing follows.
    Stopping {},
    /// The request is not carried out.
    Refused {
        /// For programs.
        why: Why,
        /// For people.
        message: String,
    },
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is none, or asks for what there is not.
    BadRequest,
    /// Only root and the daemon's own user may.
    NotPermitted,
    /// There are too many clients.
    Busy,
    /// It was tried.
    Failed,
    /// The request did not come in time.
    Late,
}

/// What became of a reload.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Reload {
    /// When, seconds since 1970.
    pub time: u64,
    /// What is wrong, as the daemon says it; `None`: the new configuration is in force.
    pub error: Option<String>,
    /// The error is one in the configuration itself.
    pub wrong_config: bool,
    /// Settings that differ from before.
    pub changed: Vec<Change>,
    /// The watch lists changed, so that the files they name are looked for anew.
    pub rescan: bool,
    /// Settings that are not in force before the next start.
    pub restart: Vec<String>,
}

/// A setting that changed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default)]
pub struct Change {
    /// `limits.inodes`.
    pub key: String,
    /// What it was, or for a list how many entries it had.
    pub from: String,
    /// What it is.
    pub to: String,
    /// It takes effect with the next start only.
    pub restart: bool,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_REQUEST {
            return Err(format!("the request is longer than {MAX_REQUEST} bytes"));
        }
        let request: Self =
            serde_json::from_slice(bytes).map_err(|why| format!("not a request this daemon knows: {why}"))?;
        if let Self::Watch(watch) = &request {
            watch.check()?;
        }
        Ok(request)
    }

    /// As it is sent.
    pub fn encode(&self) -> Vec<u8> {
        line(self)
    }

    /// It changes something, so not everybody who may read may ask for it.
    pub fn changes(&self) -> bool {
        matches!(self, Self::Reload {} | Self::Debug { .. })
    }

    /// The word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status {} => "status",
            Self::Watch(_) => "watch",
            Self::Reload {} => "reload",
            Self::Debug { .. } => "debug",
        }
    }
}

impl Watch {
    fn check(&self) -> Result<(), String> {
        let longest = [self.sensors.len(), self.actions.len(), self.pids.len(), self.comms.len()];
        if longest.into_iter().chain([self.exes.len()]).any(|length| length > MAX_VALUES) {
            return Err(format!("a filter may name at most {MAX_VALUES} values of one kind"));
        }
        Ok(())
    }
}

impl Answer {
    /// As it is sent, without the lines of `events`.
    pub fn encode(&self) -> Vec<u8> {
        line(self)
    }

    /// The answer in a message, and what follows it.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(message: &[u8]) -> Result<(Self, &[u8]), String> {
        let end = message.iter().position(|byte| *byte == b'\n').ok_or("it has no first line")?;
        let (head, rest) = message.split_at(end);
        let answer = serde_json::from_slice(head).map_err(|why| why.to_string())?;
        Ok((answer, &rest[1..]))
    }

    /// A refusal.
    pub fn refused(why: Why, message: impl Into<String>) -> Self {
        Self::Refused { why, message: message.into() }
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and maps with string keys only: nothing that could fail.
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_they_are_written() {
        let watch = Watch {
            sensors: vec!["file".into()],
            pids: vec![1, u32::MAX],
            comms: vec!["c*t".into()],
            severity: Some("high".into()),
            format: Format::Colour,
            ..Watch::default()
        };
        for request in [
            Request::Status {},
            Request::Watch(watch),
            Request::Reload {},
            Request::Debug { on: true },
            Request::Debug { on: false },
        ] {
            assert_eq!(Request::parse(&request.encode()), Ok(request.clone()));
            let changes = matches!(request.name(), "reload" | "debug");
            assert_eq!(request.changes(), changes, "{}", request.name());
        }
        assert_eq!(Request::parse(br#"{"watch":{}}"#), Ok(Request::Watch(Watch::default())));
    }

    #[test]
    fn garbage_is_refused_in_words() {
        let deep = "[".repeat(10_000);
        let many = format!(r#"{{"watch":{{"pids":[{}1]}}}}"#, "1,".repeat(MAX_VALUES));
        let long = format!(r#"{{"watch":{{"comms":["{}"]}}}}"#, "x".repeat(MAX_REQUEST));
        for bad in [
            "",
            "{",
            "null",
            "\"status\"x",
            "{\"status\":{}}{\"status\":{}}",
            "{\"shutdown\":{}}",
            "{\"status\":{\"more\":1}}",
            "{\"debug\":{}}",
            "{\"debug\":{\"on\":1}}",
            "{\"watch\":{\"pid\":[1]}}",
            "{\"watch\":{\"pids\":[-1]}}",
            "{\"watch\":{\"pids\":[4294967296]}}",
            "{\"watch\":{\"format\":\"xml\"}}",
            "{\"status\":{},\"reload\":{}}",
            "\u{0}\u{1}\u{2}",
            &deep,
            &many,
            &long,
        ] {
            let why = Request::parse(bad.as_bytes()).unwrap_err();
            assert!(why.len() > 10, "{why}");
        }
        assert!(Request::parse(&[0xff; 64]).is_err());
    }

    #[test]
    fn answers_are_read_as_they_are_written_with_what_follows() {
        let events = Answer::Events { count: 2, dropped: 3 };
        let mut message = events.encode();
        message.extend(b"one\ntwo\n");
        assert_eq!(Answer::parse(&message), Ok((events, &b"one\ntwo\n"[..])));
        let refused = Answer::refused(Why::NotPermitted, "no\nno");
        assert_eq!(Answer::parse(&refused.encode()), Ok((refused, &b""[..])));
        for bad in [&b""[..], b"{}\n", b"no newline", b"{\"events\":{}}\n"] {
            assert!(Answer::parse(bad).is_err());
        }
    }
}
