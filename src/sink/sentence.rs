//! One event as one sentence: `alice's cat (pid 812) read /etc/shadow`. It becomes
//! `MESSAGE` in the journal. Pure. Every string from outside goes through
//! [`push_quoted`], so that a sentence is one line without anything a terminal obeys.
//!
//! An action without words of its own is told by what the table of actions says
//! of it: adding one needs nothing here.

use super::pretty::{endpoint, exec_words, is_usual, signal_words};
use crate::event::{
    Access, Action, Body, Event, File, Loss, Memory, Network, Outcome, Process, Target, User,
};
use crate::text::{self, push_quoted, push_shown, push_u64};

/// What is done to something: in the past, as a wish, and what follows the thing.
type Verb = (&'static str, &'static str, &'static str);

/// Appends the sentence, without a full stop and without a newline.
pub fn render(event: &Event, out: &mut Vec<u8>) {
    match (&event.body, &event.process) {
        (Body::Note(note), _) => push_shown(out, note.as_bytes()),
        (Body::Loss(loss), _) => loss_words(loss, out),
        (Body::Exec(exec), Some(process)) => {
            user(process.user, out);
            words(out, if is_done(event) { " ran" } else { " tried to run" });
            let before = out.len();
            exec_words(Some(process), exec, out);
            if out.len() == before {
                out.push(b' ');
                program(&process.name, out);
            }
            who(process, true, out);
            end(event, out);
        }
        (body, Some(process)) => {
            subject(process, out);
            match body {
                Body::Fork => words(out, " was started"),
                Body::Exit { code, signal } => exit_words(*code, *signal, out),
                Body::File(file) => file_words(event, file, out),
                Body::Memory(memory) => memory_words(event, memory, out),
                Body::Network(network) => network_words(event, network, out),
                _ => other_words(event, out),
            }
            end(event, out);
        }
        (_, None) => words(out, event.action.facts().meaning),
    }
}

/// Appends what is said of an act that was repeated `times` times within `span` nanoseconds.
pub fn repeated(times: u64, span: u64, out: &mut Vec<u8>) {
    words(out, ", ");
    push_u64(out, times);
    words(out, if times == 1 { " time more within " } else { " times more within " });
    push_u64(out, span.div_ceil(1_000_000_000).max(1));
    words(out, " s");
}

fn words(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn is_done(event: &Event) -> bool {
    event.outcome == Outcome::Success
}

/// `alice`, or `uid 1000`.
fn user(user: User, out: &mut Vec<u8>) {
    match user.name {
        Some(name) => push_quoted(out, name.as_bytes()),
        None => {
            words(out, "uid ");
            push_u64(out, user.id.into());
        }
    }
}

fn program(name: &[u8], out: &mut Vec<u8>) {
    match name {
        b"" => words(out, "process"),
        name => push_quoted(out, name),
    }
}

/// `alice's cat (pid 812)`.
fn subject(process: &Process, out: &mut Vec<u8>) {
    user(process.user, out);
    words(out, "'s ");
    program(&process.name, out);
    who(process, false, out);
}

/// ` (pid 812, /tmp/cat, as uid 0)`: the executable only where the name does not tell it.
fn who(process: &Process, parent: bool, out: &mut Vec<u8>) {
    words(out, " (pid ");
    push_u64(out, process.pid.into());
    if let Some(executable) = process.executable.filter(|path| !is_usual(path, &process.name)) {
        words(out, ", ");
        push_quoted(out, executable);
    }
    if let Some(euid) = process.euid.filter(|euid| *euid != process.user.id) {
        words(out, ", as uid ");
        push_u64(out, euid.into());
    }
    if parent && process.parent.pid != 0 {
        words(out, ", from ");
        match &*process.parent.name {
            b"" => words(out, "pid"),
            name => push_quoted(out, name),
        }
        out.push(b' ');
        push_u64(out, process.parent.pid.into());
    }
    out.push(b')');
}

/// How it ended, where not well.
fn end(event: &Event, out: &mut Vec<u8>) {
    match event.outcome {
        Outcome::Success => {}
        Outcome::Unknown => words(out, "; how that ended was not seen"),
        Outcome::Failure(errno) => {
            let refused = matches!(errno, libc::EACCES | libc::EPERM | libc::EROFS);
            words(out, if refused { " and was refused (" } else { " and failed (" });
            text::push_errno(out, errno);
            out.push(b')');
        }
    }
}

fn exit_words(code: Option<u32>, signal: Option<u32>, out: &mut Vec<u8>) {
    match (code, signal) {
        (_, Some(signal)) => {
            words(out, " was killed by ");
            signal_words(signal, out);
        }
        (Some(code), None) => {
            words(out, " ended with status ");
            push_u64(out, code.into());
        }
        (None, None) => words(out, " ended"),
    }
}

fn verb(action: Action, access: Option<Access>) -> Option<Verb> {
    Some(match (action, access) {
        (Action::Open, Some(Access::Read)) => ("read", "read", ""),
        (Action::Open, access) => ("opened", "open", purpose(access)),
        (Action::Create, _) => ("created", "create", ""),
        (Action::Delete, _) => ("deleted", "delete", ""),
        (Action::Rename, _) => ("renamed", "rename", ""),
        (Action::Link, _) => ("made the hard link", "make the hard link", ""),
        (Action::Symlink, _) => ("made the symbolic link", "make the symbolic link", ""),
        (Action::Chmod, _) => ("changed the mode of", "change the mode of", ""),
        (Action::Chown, _) => ("changed the owner of", "change the owner of", ""),
        (Action::Truncate, _) => ("changed the length of", "change the length of", ""),
        (Action::Mknod, _) => ("made the device node", "make the device node", ""),
        (Action::Ptrace, _) => ("began to trace", "trace", ""),
        (Action::VmRead, _) => ("read memory of", "read memory of", ""),
        (Action::VmWrite, _) => ("wrote into memory of", "write into memory of", ""),
        (Action::ProcMem, access) => ("opened the memory of", "open the memory of", purpose(access)),
        (Action::ProcEnviron, _) => ("opened the environment of", "open the environment of", ""),
        (Action::ProcMaps, _) => ("opened the address map of", "open the address map of", ""),
        (Action::Connect, _) => ("connected to", "connect to", ""),
        (Action::Send, _) => ("sent", "send", ""),
        (Action::Accept, _) => ("accepted a connection", "accept a connection", ""),
        (Action::Listen, _) => ("began to listen at", "listen at", ""),
        (Action::Socket, _) => ("made a socket", "make a socket", ""),
        (Action::PidfdGetfd, _) => ("took a descriptor from", "take a descriptor from", ""),
        _ => return None,
    })
}

fn purpose(access: Option<Access>) -> &'static str {
    match access {
        None => "",
        Some(Access::Read) => " for reading",
        Some(Access::Write) => " for writing",
        Some(Access::ReadWrite) => " for reading and writing",
    }
}

/// ` began to trace root's vault (pid 812, /opt/vault)`
fn memory_words(event: &Event, memory: &Memory, out: &mut Vec<u8>) {
    let own = memory.request == Some("PTRACE_TRACEME");
    let Some((past, plain, after)) = verb(event.action, memory.access) else {
        other_words(event, out);
        words(out, ": ");
        return target(&memory.target, out);
    };
    words(out, if is_done(event) { " " } else { " tried to " });
    words(
        out,
        match (own, is_done(event)) {
            (true, true) => "made itself traced by",
            (true, false) => "be traced by",
            (false, true) => past,
            (false, false) => plain,
        },
    );
    out.push(b' ');
    target(&memory.target, out);
    words(out, after);
}

/// ` connected to 198.51.100.7:443 (tcp)`
fn network_words(event: &Event, network: &Network, out: &mut Vec<u8>) {
    let Some((past, plain, _)) = verb(event.action, None) else { return other_words(event, out) };
    words(out, if is_done(event) { " " } else { " tried to " });
    words(out, if is_done(event) { past } else { plain });
    if event.action == Action::Send {
        match network.count {
            None | Some(1) => words(out, " a datagram to"),
            Some(count) => {
                out.push(b' ');
                push_u64(out, count);
                words(out, " datagrams to");
            }
        }
    }
    if let (Action::Accept, Some(source)) = (event.action, network.source) {
        words(out, " from ");
        words(out, &endpoint(source));
    }
    match (&network.path, network.destination, event.action) {
        (Some(path), ..) => {
            words(out, " the local socket ");
            push_quoted(out, path);
        }
        (None, Some(destination), action) => {
            words(out, if action == Action::Accept { " at " } else { " " });
            words(out, &endpoint(destination));
        }
        (None, None, Action::Accept | Action::Socket) => {}
        (None, None, _) => words(out, " an address that is not known"),
    }
    let kind = if event.action == Action::Socket { network.type_name() } else { None };
    let family = network.family_name().filter(|_| network.transport().is_none() && network.path.is_none());
    let mut before = " (";
    for word in [family, kind, network.transport()].into_iter().flatten() {
        words(out, before);
        words(out, word);
        before = " ";
    }
    if before == " " {
        out.push(b')');
    }
}

fn target(target: &Target, out: &mut Vec<u8>) {
    let Some(pid) = target.pid else { return words(out, "a process that is not known") };
    if let Some(whose) = target.user {
        user(whose, out);
        words(out, "'s ");
    }
    program(&target.name, out);
    words(out, " (pid ");
    push_u64(out, pid.into());
    if let Some(executable) = target.executable.filter(|path| !is_usual(path, &target.name)) {
        words(out, ", ");
        push_quoted(out, executable);
    }
    out.push(b')');
}

fn file_words(event: &Event, file: &File, out: &mut Vec<u8>) {
    let Some((past, plain, after)) = verb(event.action, file.access) else {
        other_words(event, out);
        words(out, ": ");
        return push_quoted(out, &file.path);
    };
    words(out, if is_done(event) { " " } else { " tried to " });
    words(out, if is_done(event) { past } else { plain });
    out.push(b' ');
    if let Some(old) = &file.old_path {
        push_quoted(out, old);
        words(out, " to ");
    }
    match &*file.path {
        b"" => words(out, "a file whose name is not known"),
        path => push_quoted(out, path),
    }
    words(out, after);
    if let Some(target) = &file.target_path {
        words(out, " to ");
        push_quoted(out, target);
    }
    if let Some(known_as) = &file.known_as {
        words(out, ", known as ");
        push_quoted(out, known_as);
        words(out, ",");
    }
    if let Some(mode) = file.mode.filter(|_| event.action == Action::Chmod) {
        words(out, " to ");
        text::push_mode(out, mode);
    }
    if let Some((uid, gid)) = file.owner {
        words(out, " to ");
        uid.into_iter().for_each(|uid| push_u64(out, uid.into()));
        out.push(b':');
        gid.into_iter().for_each(|gid| push_u64(out, gid.into()));
    }
    if let Some(size) = file.size {
        words(out, " to ");
        push_u64(out, size);
        words(out, " bytes");
    }
}

fn loss_words(loss: &Loss, out: &mut Vec<u8>) {
    push_u64(out, loss.count);
    if let Some(action) = loss.action {
        out.push(b' ');
        words(out, action.name());
    }
    words(out, if loss.count == 1 { " event was lost: " } else { " events were lost: " });
    words(out, loss.stage);
    words(out, ", ");
    words(out, loss.cause);
}

/// `: ptrace attach (a process attached to another)`.
fn other_words(event: &Event, out: &mut Vec<u8>) {
    let facts = event.action.facts();
    words(out, ": ");
    words(out, &facts.name.replace(['_', '-'], " "));
    words(out, " (");
    words(out, facts.meaning);
    out.push(b')');
}
