//! The parts of `docs/events.md` that follow from tables in the code. Pure; the
//! test in `tests/sink/` holds the file to it.

use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::event::{ACTIONS, FLAGS, Severity};
use crate::sink::journal::{REPEATED, REPEATED_FIRST, field_name, priority};

/// One key of a JSON line.
pub struct Field {
    /// Its path; `[]` at the end of an array's.
    pub name: &'static str,
    /// What stands there.
    pub kind: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// When it is there.
    pub present: &'static str,
}

const fn field(
    name: &'static str,
    kind: &'static str,
    meaning: &'static str,
    present: &'static str,
) -> Field {
    Field { name, kind, meaning, present }
}

const ALWAYS: &str = "always";
const PROCESS: &str = "events of all sensors";
const MEMORY: &str = "events of the sensor `memory`, and `kill` of the daemon; known";

/// Fields of the journal that no line has.
const JOURNAL_ONLY: &[(&str, &str, &str)] = &[
    ("MESSAGE", "a sentence for people; see the view for people on how words are quoted", ALWAYS),
    ("MESSAGE_ID", "the action, as 32 hex digits; see the actions above", ALWAYS),
    ("PRIORITY", "the severity as syslog has it; see the severities below", ALWAYS),
    ("SYSLOG_IDENTIFIER", "`bee-traced`", ALWAYS),
    (
        REPEATED,
        "how often the act was done again; the other fields are those of the last time",
        "repeats were folded",
    ),
    (REPEATED_FIRST, "when it was done first; that time has an entry of its own", "repeats were folded"),
];

/// Every key a JSON line can have.
pub const FIELDS: &[Field] = &[
    field("@timestamp", "time", "when it happened", ALWAYS),
    field("event.kind", "word", "`event`, `alert`, `state` or `metric`", ALWAYS),
    field("event.category[]", "words", "ECS category", ALWAYS),
    field("event.type[]", "words", "ECS type", ALWAYS),
    field("event.action", "word", "what was done; see the actions above", ALWAYS),
    field("event.outcome", "word", "`success` or `failure`", ALWAYS),
    field("event.code", "word", "name of the errno: `EACCES`", "`event.outcome` is `failure`"),
    field("event.severity", "number", "see the severities below", ALWAYS),
    field(
        "event.sequence",
        "number",
        "unique for one boot; equal in two lines only if one event was delivered twice",
        ALWAYS,
    ),
    field("host.name", "text", "name of this machine", ALWAYS),
    field("process.pid", "number", "process id, in the initial pid namespace", PROCESS),
    field("process.entity_id", "text", "`<boot>-<pid>-<start>`: one process, never used again", "known"),
    field(
        "process.name",
        "bytes",
        "the kernel's comm: a process can change its own, so never trust it alone",
        "known",
    ),
    field(
        "process.executable",
        "bytes",
        "true path of the running program; see the flag `exe_as_given`",
        "known",
    ),
    field("process.args[]", "bytes", "arguments, 4 KiB at most", "known and not empty"),
    field("process.start", "time", "when the process began", "known"),
    field("process.user.id", "id", "real user", PROCESS),
    field("process.user.name", "text", "its name", "/etc/passwd has one"),
    field("process.user.effective.id", "id", "effective user", "known"),
    field("process.group.id", "id", "real group", PROCESS),
    field("process.parent.pid", "number", "process id of the parent", "it has one"),
    field("process.parent.name", "bytes", "comm of the parent", "known"),
    field("process.parent.executable", "bytes", "program of the parent", "known"),
    field("process.thread.id", "number", "the thread that acted", PROCESS),
    field("process.exit_code", "number", "what it ended with", "`exit`, unless a signal ended it"),
    field(
        "file.path",
        "bytes",
        "the file; for `rename`, `link` and `symlink` the name that came into being",
        "known",
    ),
    field("file.target_path", "bytes", "what the link leads to", "`link`, `symlink`"),
    field("file.inode", "id", "inode number", "known"),
    field("file.device", "device", "device of its file system", "known"),
    field("file.mode", "octal", "permission bits: `0644`; for `chmod` the new ones", "known"),
    field("file.type", "word", "`file`, `dir`, `symlink`, `char`, `block`, `fifo` or `socket`", "known"),
    field("file.uid", "id", "the owner that was asked for", "`chown` that sets it"),
    field("file.gid", "id", "the group that was asked for", "`chown` that sets it"),
    field("file.size", "number", "the length that was asked for, in bytes", "`truncate`"),
    field(
        "source.ip",
        "address",
        "who asked for the connection; IPv4 addresses inside IPv6 are told as IPv4",
        "a socket of the Internet, known",
    ),
    field("source.port", "number", "its port", "known"),
    field(
        "destination.ip",
        "address",
        "who was asked: of `accept` and `listen` this machine",
        "a socket of the Internet, known",
    ),
    field("destination.port", "number", "its port", "known"),
    field(
        "destination.address",
        "bytes",
        "the name of a local socket as it was given; an abstract one begins with `@`",
        "`connect` to a local socket",
    ),
    field("network.transport", "word", "`tcp`, `udp`, `icmp`, `sctp`, …", "a socket of the Internet, known"),
    field(
        "network.type",
        "word",
        "`ipv4`, `ipv6`, `unix`, or another address family: `packet`, `vsock`, …",
        "it has a word",
    ),
    field(
        "network.direction",
        "word",
        "`egress` or `ingress`",
        "events of the sensor `network`, but `socket`",
    ),
    field("message", "text", "a sentence for people", "`start`, `stop`"),
    field("bee.sensor", "word", "the family that reports it", ALWAYS),
    field("bee.hook", "word", "the kernel hook that saw it", "a hook did"),
    field("bee.tier", "word", "`full`, `kprobe`, `tracepoint` or `portable`", "a sensor saw it"),
    field("bee.unit", "text", "systemd unit of the process", "it is in one"),
    field("bee.container_id", "text", "container of the process", "it is in one"),
    field("bee.login_uid", "id", "the user who logged in", "somebody did"),
    field("bee.access", "word", "`read`, `write` or `read-write`", "a file was opened; of `proc-…`, known"),
    field("bee.old_path", "bytes", "the name that was taken away", "`rename`"),
    field(
        "bee.known_as",
        "bytes",
        "the watched name under which the file was learned",
        "its present name is another",
    ),
    field(
        "bee.request",
        "word",
        "`PTRACE_ATTACH`, `PTRACE_SEIZE` or `PTRACE_TRACEME`; of `proc-…` the file of /proc/PID: `smaps`; the command of `bpf`; the call of `time-set`",
        "`ptrace`, `proc-mem`, `proc-environ`, `proc-maps`, `bpf`, `time-set`",
    ),
    field(
        "bee.target.process.pid",
        "number",
        "process id of the process that was reached for, in the initial pid namespace; of `PTRACE_TRACEME` the one that is to trace",
        MEMORY,
    ),
    field("bee.target.process.entity_id", "text", "as `process.entity_id`", MEMORY),
    field("bee.target.process.name", "bytes", "its comm at that moment", MEMORY),
    field("bee.target.process.executable", "bytes", "true path of what it runs", MEMORY),
    field("bee.target.process.start", "time", "when it began", MEMORY),
    field("bee.target.process.user.id", "id", "its real user", MEMORY),
    field("bee.target.process.user.name", "text", "that user's name", "/etc/passwd has one"),
    field(
        "bee.module",
        "bytes",
        "the module's name; where it was refused its file's",
        "`module-load`, known",
    ),
    field(
        "bee.object_type",
        "number",
        "type of the program or of the attachment, as linux/bpf.h numbers them",
        "`bpf` that loads or attaches",
    ),
    field("bee.object_id", "number", "the program, map or link that is reached for", "`bpf` by id"),
    field("bee.entries", "number", "entries that were asked for", "`io-uring`"),
    field("bee.device_node", "device", "the device the file stands for", "a device node"),
    field(
        "bee.script",
        "bytes",
        "the path as given, where the program is an interpreter",
        "`exec` of a script",
    ),
    field(
        "bee.secret_env[]",
        "bytes",
        "names of environment variables that match `secret_env_patterns`; never their values",
        "`exec` that was given some",
    ),
    field("bee.count", "number", "datagrams this event stands for", "`send`"),
    field(
        "bee.socket.family",
        "number",
        "address family, as in linux/socket.h",
        "events of the sensor `network`",
    ),
    field("bee.socket.type", "word", "`stream`, `datagram`, `raw`, …", "known"),
    field("bee.socket.protocol", "number", "protocol of the socket", "known"),
    field("bee.signal", "number", "the signal that ended it, or was sent", "`exit` by a signal, `kill`"),
    field(
        "bee.loss.stage",
        "word",
        "where: `kernel`, `decode`, `decide`, or the name of a sensor or sink",
        "`loss`",
    ),
    field("bee.loss.action", "word", "which action", "`loss`, where it can be told"),
    field("bee.loss.cause", "word", "why", "`loss`"),
    field("bee.loss.count", "number", "how many", "`loss`"),
    field("bee.loss.since", "time", "when the span began; it ends with `@timestamp`", "`loss`"),
    field("bee.flags[]", "words", "see the flags below", "one or more is set"),
];

/// `text` with all generated parts written anew. A part lies between
/// `<!-- generated: NAME -->` and `<!-- end -->`, each on a line of its own.
///
/// # Errors
/// A part has an unknown name or no end, or one is missing.
pub fn refresh(text: &str) -> Result<String> {
    const BEGIN: &str = "<!-- generated: ";
    const END: &str = "<!-- end -->";
    let mut out = String::new();
    let mut missing = vec!["actions", "fields", "journal", "severities", "flags"];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        let Some(name) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let part = match name {
            "actions" => actions(),
            "fields" => fields(),
            "journal" => journal(),
            "severities" => severities(),
            "flags" => flags(),
            _ => return Err(Error::failure(format!("no generated part is called {name}"))),
        };
        missing.retain(|other| *other != name);
        out.push_str(&part);
        if !lines.any(|line| line == END) {
            return Err(Error::failure(format!("the generated part {name} has no end")));
        }
        out.push_str(END);
        out.push('\n');
    }
    if missing.is_empty() {
        return Ok(out);
    }
    Err(Error::failure(format!("generated parts that are not there: {}", missing.join(", "))))
}

fn actions() -> String {
    let mut table =
        "| `event.action` | sensor | kind | category | type | meaning | `MESSAGE_ID` |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    for facts in ACTIONS {
        row(
            &mut table,
            &[
                &format!("`{}`", facts.name),
                facts.sensor,
                facts.kind,
                &facts.category.join(", "),
                &facts.types.join(", "),
                facts.meaning,
                &format!("`{}`", facts.message_id()),
            ],
        );
    }
    table
}

fn fields() -> String {
    let mut table =
        "| key | type | meaning | there when | field of the journal |\n|---|---|---|---|---|\n".to_owned();
    for field in FIELDS {
        let name = field_name(field.name).unwrap_or_else(|| "MESSAGE".to_owned());
        let cells =
            [&format!("`{}`", field.name), field.kind, field.meaning, field.present, &format!("`{name}`")];
        row(&mut table, &cells);
    }
    table
}

fn journal() -> String {
    let mut table = "| field | meaning | there when |\n|---|---|---|\n".to_owned();
    for (name, meaning, present) in JOURNAL_ONLY {
        row(&mut table, &[&format!("`{name}`"), meaning, present]);
    }
    table
}

const SEVERITIES: [Severity; 5] =
    [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

fn severities() -> String {
    let mut table = "| `event.severity` | word | `PRIORITY` |\n|---|---|---|\n".to_owned();
    for severity in SEVERITIES {
        let priority = char::from(priority(severity)).to_string();
        row(&mut table, &[&(severity as u8).to_string(), severity.name(), &priority]);
    }
    table
}

fn flags() -> String {
    let mut table = "| `bee.flags` | meaning |\n|---|---|\n".to_owned();
    for (_, name, meaning) in FLAGS {
        row(&mut table, &[&format!("`{name}`"), meaning.trim()]);
    }
    table
}

fn row(table: &mut String, cells: &[&str]) {
    // Writing to a String cannot fail.
    let _ = writeln!(table, "| {} |", cells.join(" | ").replace('\n', " "));
}

/// Every kind of event and every field, for `bee-trace events`.
pub fn text() -> String {
    let mut out = "Actions\n".to_owned();
    for facts in ACTIONS {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {:<14}{:<12}{}", facts.name, facts.sensor, plain(facts.meaning));
    }
    out.push_str("\nFields\n");
    for field in FIELDS {
        let (meaning, present) = (plain(field.meaning), plain(field.present));
        let _ = writeln!(out, "  {:<30}{meaning}; {present}", field.name);
    }
    out.push_str("\nFlags (bee.flags)\n");
    for (_, name, meaning) in FLAGS {
        let _ = writeln!(out, "  {name:<18}{}", plain(meaning.trim()));
    }
    out.push_str("\nSeverities (event.severity)\n");
    for severity in SEVERITIES {
        let _ = writeln!(out, "  {:<10}{}", severity as u8, severity.name());
    }
    out
}

/// The same for programs.
pub fn json() -> String {
    let actions: Vec<_> = ACTIONS
        .iter()
        .map(|facts| {
            serde_json::json!({
                "action": facts.name,
                "sensor": facts.sensor,
                "kind": facts.kind,
                "category": facts.category,
                "type": facts.types,
                "meaning": plain(facts.meaning),
            })
        })
        .collect();
    let fields: Vec<_> = FIELDS
        .iter()
        .map(|field| {
            serde_json::json!({
                "name": field.name,
                "type": field.kind,
                "meaning": plain(field.meaning),
                "present": plain(field.present),
            })
        })
        .collect();
    let flags: Vec<_> = FLAGS
        .iter()
        .map(|(_, name, meaning)| serde_json::json!({ "flag": name, "meaning": plain(meaning.trim()) }))
        .collect();
    let severities: Vec<_> = SEVERITIES
        .iter()
        .map(|severity| serde_json::json!({ "severity": *severity as u8, "name": severity.name() }))
        .collect();
    let all = serde_json::json!({
        "actions": actions, "fields": fields, "flags": flags, "severities": severities,
    });
    format!("{all:#}\n")
}

/// Without the marks of Markdown.
fn plain(text: &str) -> String {
    text.replace('`', "")
}
