//! One event as one line for a person. Every string from outside goes through
//! [`text::push_quoted`] or [`text::push_shown`]: a hostile name can neither
//! move the cursor nor look like a second line or another field.

use std::mem::MaybeUninit;
use std::net::SocketAddr;

use crate::event::{
    Action, Body, Device, Endpoint, Event, Exec, File, Kernel, Loss, Memory, Network, Outcome, Process,
    Severity,
};
use crate::text::{self, push_quoted, push_shown, push_u64};

/// Characters of argv that are shown.
const ARGS_SHOWN: usize = 200;
const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";

/// How a person's lines look; also remembers the second it formatted last.
pub struct View {
    coloured: bool,
    second: Option<u64>,
    clock: [u8; 8],
}

impl View {
    /// Reads the local time zone; needs to open its file, so do this before the
    /// file system is out of reach. `coloured`: with SGR colours.
    pub fn new(coloured: bool) -> Self {
        unsafe extern "C" {
            fn tzset();
        }
        // SAFETY: reads TZ, and nothing in this program changes the environment
        // while threads run. localtime_r alone would do this at its first call.
        unsafe { tzset() };
        let mut view = Self { coloured, second: None, clock: *b"00:00:00" };
        // The C library may read the zone's file only when it is first needed.
        view.set_clock(0);
        view
    }

    /// Appends `event` as one line with its newline.
    pub fn render(&mut self, event: &Event, out: &mut Vec<u8>) {
        self.set_clock(event.time / 1_000_000_000);
        self.colour(out, DIM);
        out.extend_from_slice(&self.clock);
        out.push(b'.');
        text::push_padded(out, event.time / 1_000_000 % 1000, 3);
        self.colour(out, RESET);
        out.extend_from_slice(b"  ");
        self.severity(event.severity, out);
        out.extend_from_slice(b"  ");
        let start = out.len();
        out.extend_from_slice(event.action.name().as_bytes());
        pad(out, start, 8);
        if let Some(process) = &event.process {
            self.process(process, out);
        }
        self.what(event, out);
        if let Some(process) = &event.process {
            self.context(process, out);
        }
        let mut names = event.flags.names();
        if let Some(first) = names.next() {
            self.colour(out, DIM);
            out.extend_from_slice(b"  [");
            out.extend_from_slice(first.as_bytes());
            names.for_each(|name| out.extend_from_slice(&[b" ", name.as_bytes()].concat()));
            out.push(b']');
            self.colour(out, RESET);
        }
        out.push(b'\n');
    }

    fn colour(&self, out: &mut Vec<u8>, code: &str) {
        if self.coloured {
            out.extend_from_slice(code.as_bytes());
        }
    }

    fn severity(&self, severity: Severity, out: &mut Vec<u8>) {
        let (word, code) = match severity {
            Severity::Info => ("info ", DIM),
            Severity::Low => ("low  ", ""),
            Severity::Medium => ("MED  ", "\x1b[33m"),
            Severity::High => ("HIGH ", "\x1b[1;31m"),
            Severity::Critical => ("CRIT ", "\x1b[1;97;41m"),
        };
        self.colour(out, code);
        out.extend_from_slice(word.as_bytes());
        self.colour(out, RESET);
    }

    /// `cat[4711] root /tmp/cat`: the executable only where the name does not tell it.
    fn process(&self, process: &Process, out: &mut Vec<u8>) {
        out.push(b' ');
        self.colour(out, BOLD);
        name_and_pid(&process.name, process.pid, out);
        self.colour(out, RESET);
        out.push(b' ');
        match process.user.name {
            Some(name) => push_quoted(out, name.as_bytes()),
            None => push_u64(out, process.user.id.into()),
        }
        if let Some(euid) = process.euid.filter(|euid| *euid != process.user.id) {
            out.extend_from_slice(b"\xe2\x86\x92"); // →
            push_u64(out, euid.into());
        }
        if let Some(executable) = process.executable.filter(|path| !is_usual(path, &process.name)) {
            out.push(b' ');
            push_quoted(out, executable);
        }
        out.push(b' ');
    }

    fn what(&self, event: &Event, out: &mut Vec<u8>) {
        match &event.body {
            Body::Exec(exec) => exec_words(event.process.as_ref(), exec, out),
            Body::Exit { code, signal } => exit_words(*code, *signal, out),
            Body::File(file) => file_words(event.action, file, out),
            Body::Network(network) => network_words(event.action, network, out),
            Body::Memory(memory) => memory_words(memory, out),
            Body::Kernel(kernel) => kernel_words(kernel, out),
            Body::Loss(loss) => self.loss_words(loss, out),
            Body::Note(note) => {
                out.push(b' ');
                push_shown(out, note.as_bytes());
            }
            Body::Fork => {}
        }
        if let Outcome::Failure(errno) = event.outcome {
            let refused = matches!(errno, libc::EACCES | libc::EPERM | libc::EROFS);
            out.push(b' ');
            self.colour(out, RED);
            out.extend_from_slice(if refused { b"refused (" } else { b"failed (" });
            text::push_errno(out, errno);
            out.push(b')');
            self.colour(out, RESET);
        }
    }

    /// Parent, and the unit or container.
    fn context(&self, process: &Process, out: &mut Vec<u8>) {
        let parent = &process.parent;
        if parent.pid != 0 {
            self.colour(out, DIM);
            out.extend_from_slice("  ← ".as_bytes());
            name_and_pid(&parent.name, parent.pid, out);
            self.colour(out, RESET);
        }
        if let Some(unit) = process.unit {
            out.extend_from_slice(b"  ");
            push_quoted(out, unit.as_bytes());
        }
        if let Some(id) = process.container_id {
            out.extend_from_slice(b"  container ");
            // Twelve digits, as docker and podman show it.
            push_quoted(out, id.get(..12).unwrap_or(id).as_bytes());
        }
    }

    fn loss_words(&self, loss: &Loss, out: &mut Vec<u8>) {
        out.push(b' ');
        self.colour(out, RED);
        push_u64(out, loss.count);
        let what = loss.action.map_or("", |action| action.name());
        for word in
            [" ", what, if what.is_empty() { "" } else { " " }, "lost: ", loss.stage, ", ", loss.cause]
        {
            push_shown(out, word.as_bytes());
        }
        out.extend_from_slice(b", since ");
        out.extend_from_slice(&local_clock(loss.since / 1_000_000_000));
        self.colour(out, RESET);
    }

    fn set_clock(&mut self, second: u64) {
        if self.second != Some(second) {
            self.second = Some(second);
            self.clock = local_clock(second);
        }
    }
}

/// `HH:MM:SS` of a second since 1970 in the local time zone.
fn local_clock(second: u64) -> [u8; 8] {
    let time = libc::time_t::try_from(second).unwrap_or_default();
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call, and all zeroes is a valid
    // `tm`, so it may be read even if the call failed.
    let parts = unsafe {
        libc::localtime_r(&raw const time, parts.as_mut_ptr());
        parts.assume_init()
    };
    let mut clock = *b"00:00:00";
    for (at, value) in [(0, parts.tm_hour), (3, parts.tm_min), (6, parts.tm_sec)] {
        let value = value.unsigned_abs();
        clock[at] = b'0' + (value / 10 % 10) as u8;
        clock[at + 1] = b'0' + (value % 10) as u8;
    }
    clock
}

fn name_and_pid(name: &[u8], pid: u32, out: &mut Vec<u8>) {
    match name {
        b"" => out.push(b'?'),
        name => push_quoted(out, name),
    }
    out.push(b'[');
    push_u64(out, pid.into());
    out.push(b']');
}

/// Whether the executable is what anybody would expect under that name.
pub(super) fn is_usual(path: &[u8], name: &[u8]) -> bool {
    const PLACES: [&[u8]; 4] = [b"/usr/bin/", b"/usr/sbin/", b"/bin/", b"/sbin/"];
    PLACES.iter().any(|place| path.strip_prefix(*place) == Some(name))
}

pub(super) fn exec_words(process: Option<&Process>, exec: &Exec, out: &mut Vec<u8>) {
    let start = out.len();
    for arg in process.into_iter().flat_map(|process| process.args.iter()) {
        out.push(b' ');
        push_quoted(out, arg);
        if cut(out, start, ARGS_SHOWN) {
            break;
        }
    }
    if let Some(script) = &exec.script {
        out.extend_from_slice(b"  script ");
        push_quoted(out, script);
    }
    if !exec.secret_env.is_empty() {
        out.extend_from_slice(b"  given");
        for name in &exec.secret_env {
            out.push(b' ');
            push_quoted(out, name);
        }
    }
}

/// Shortens what was appended since `start` to `most` characters and an ellipsis.
fn cut(out: &mut Vec<u8>, start: usize, most: usize) -> bool {
    let is_first = |byte: &u8| *byte & 0xc0 != 0x80;
    let mut firsts = out[start..].iter().enumerate().filter(|(_, byte)| is_first(byte));
    let Some((at, _)) = firsts.nth(most) else { return false };
    out.truncate(start + at);
    out.extend_from_slice("…".as_bytes());
    true
}

fn exit_words(code: Option<u32>, signal: Option<u32>, out: &mut Vec<u8>) {
    if let Some(code) = code {
        out.extend_from_slice(b" code ");
        push_u64(out, code.into());
    }
    if let Some(signal) = signal {
        out.extend_from_slice(b" killed by ");
        signal_words(signal, out);
    }
}

/// `SIGKILL`, or `signal 40`.
pub(super) fn signal_words(signal: u32, out: &mut Vec<u8>) {
    let known = i32::try_from(signal).ok().and_then(|number| nix::sys::signal::Signal::try_from(number).ok());
    match known {
        Some(known) => out.extend_from_slice(known.as_str().as_bytes()),
        None => {
            out.extend_from_slice(b"signal ");
            push_u64(out, signal.into());
        }
    }
}

fn file_words(action: Action, file: &File, out: &mut Vec<u8>) {
    let word = |out: &mut Vec<u8>, before: &str, bytes: &[u8]| {
        out.extend_from_slice(before.as_bytes());
        push_quoted(out, bytes);
    };
    if let Some(access) = file.access {
        out.push(b' ');
        out.extend_from_slice(access.name().as_bytes());
    }
    if let Some(old) = &file.old_path {
        word(out, " ", old);
        out.extend_from_slice(" →".as_bytes());
    }
    match &*file.path {
        b"" => out.extend_from_slice(b" ?"),
        path => word(out, " ", path),
    }
    if let Some(target) = &file.target_path {
        word(out, " leads to ", target);
    }
    if let Some(known_as) = &file.known_as {
        word(out, " known as ", known_as);
    }
    if let Some(mode) = file.mode.filter(|_| action == Action::Chmod) {
        out.extend_from_slice(b" mode ");
        text::push_mode(out, mode);
    }
    if let Some((uid, gid)) = file.owner {
        out.extend_from_slice(b" owner ");
        uid.into_iter().for_each(|uid| push_u64(out, uid.into()));
        out.push(b':');
        gid.into_iter().for_each(|gid| push_u64(out, gid.into()));
    }
    if let Some(size) = file.size {
        out.extend_from_slice(b" to ");
        push_u64(out, size);
        out.extend_from_slice(b" bytes");
    }
    if let Some(Device { major, minor }) = file.node {
        out.extend_from_slice(b" device ");
        push_u64(out, major.into());
        out.push(b':');
        push_u64(out, minor.into());
    }
}

/// `198.51.100.7:443`, or without a port that is not known.
pub(super) fn endpoint(end: Endpoint) -> String {
    match end.port {
        0 => end.ip.to_string(),
        port => SocketAddr::new(end.ip, port).to_string(),
    }
}

/// `tcp 192.0.2.1:443`, `udp [2001:db8::1]:53 17 datagrams`, `tcp 0.0.0.0:22 from 192.0.2.1:40000`.
fn network_words(action: Action, network: &Network, out: &mut Vec<u8>) {
    let word = |out: &mut Vec<u8>, word: &str| {
        out.push(b' ');
        out.extend_from_slice(word.as_bytes());
    };
    if action == Action::Socket || network.transport().is_none() {
        match network.family_name() {
            Some(name) => word(out, name),
            None => word(out, &format!("family {}", network.family)),
        }
    }
    if action == Action::Socket {
        network.type_name().into_iter().for_each(|name| word(out, name));
    }
    network.transport().into_iter().for_each(|name| word(out, name));
    if let Some(path) = &network.path {
        out.push(b' ');
        push_quoted(out, path);
    }
    network.destination.into_iter().for_each(|destination| word(out, &endpoint(destination)));
    if let (Action::Accept, Some(source)) = (action, network.source) {
        word(out, "from");
        word(out, &endpoint(source));
    }
    if let Some(count) = network.count.filter(|count| *count != 1) {
        word(out, &format!("{count} datagrams"));
    }
}

/// ` BPF_PROG_LOAD type 2`, ` nfs`, ` SIGTERM to bee-traced[812]`
fn kernel_words(kernel: &Kernel, out: &mut Vec<u8>) {
    if let Some(request) = kernel.request {
        out.push(b' ');
        out.extend_from_slice(request.as_bytes());
    }
    if let Some(module) = &kernel.module {
        out.push(b' ');
        push_quoted(out, module);
    }
    for (word, number) in
        [(&b" type "[..], kernel.object_type), (b" id ", kernel.object_id), (b" entries ", kernel.entries)]
    {
        if let Some(number) = number {
            out.extend_from_slice(word);
            push_u64(out, number.into());
        }
    }
    if let Some(signal) = kernel.signal {
        out.push(b' ');
        signal_words(signal, out);
        match &kernel.target {
            Some(target) => {
                out.extend_from_slice(b" to ");
                name_and_pid(&target.name, target.pid.unwrap_or(0), out);
            }
            None => out.extend_from_slice(b" to all"),
        }
    }
}

/// ` PTRACE_SEIZE of sshd[812] root`
fn memory_words(memory: &Memory, out: &mut Vec<u8>) {
    for word in [memory.access.map(|access| access.name()), memory.request].into_iter().flatten() {
        out.push(b' ');
        out.extend_from_slice(word.as_bytes());
    }
    out.extend_from_slice(b" of ");
    let target = &memory.target;
    match target.pid {
        Some(pid) => name_and_pid(&target.name, pid, out),
        None => out.push(b'?'),
    }
    if let Some(user) = target.user {
        out.push(b' ');
        match user.name {
            Some(name) => push_quoted(out, name.as_bytes()),
            None => push_u64(out, user.id.into()),
        }
    }
    if let Some(executable) = target.executable.filter(|path| !is_usual(path, &target.name)) {
        out.push(b' ');
        push_quoted(out, executable);
    }
}

/// Blanks up to `width` columns after `start`.
fn pad(out: &mut Vec<u8>, start: usize, width: usize) {
    let missing = (start + width).saturating_sub(out.len());
    out.extend(std::iter::repeat_n(b' ', missing));
}
