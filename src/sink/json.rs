//! What is told of an event, field by field, in the names and the nesting of the
//! Elastic Common Schema. Pure: appends to the caller's buffer.
//!
//! The walk is here, once; how a field is written is a [`Form`]: one JSON object a
//! line ([`super::form::Json`]), or an entry of the journal. A field that is added
//! here is in both.
//!
//! Written by hand and not through serde: half of the fields are bytes that
//! need not be UTF-8 and most may be absent, so a `Serialize` for them would be
//! as long as this file.

use super::form::{Form, Json};
use crate::event::{
    Body, Device, Endpoint, EntityId, Event, Exec, File, Flags, Kernel, Loss, Memory, Network, Outcome,
    Process, Target,
};
use crate::text;

/// Appends `event` as one JSON object and a newline.
///
/// The result is valid JSON whatever bytes the event holds: see
/// [`text::push_json`] for how bytes that are not UTF-8 are shown. Where that
/// happened the line's `bee.flags` has `non_utf8`. A fact that is not known is a
/// key that is not there; `null` is never written.
pub fn render(event: &Event, host: &str, out: &mut Vec<u8>) {
    walk(event, host, out, &mut Json);
    Json::end(out, b'\n');
}

/// Writes every field of `event` in this form.
pub(super) fn walk<F: Form>(event: &Event, host: &str, out: &mut Vec<u8>, form: &mut F) {
    let mut line = Line { out, form, non_utf8: false };
    line.open("", b'{');
    line.time("\"@timestamp\":", event.time);
    line.event(event);
    line.open("\"host\":", b'{');
    line.text("\"name\":", host);
    line.close(b'}');
    if let Some(process) = &event.process {
        line.process(process, &event.body);
    }
    if let Body::File(file) = &event.body {
        line.file(file);
    }
    if let Body::Network(network) = &event.body {
        line.network(network);
    }
    if let Body::Note(note) = &event.body {
        line.text("\"message\":", note);
    }
    line.bee(event);
    line.close(b'}');
}

/// An event being written.
struct Line<'o, F> {
    out: &'o mut Vec<u8>,
    form: &'o mut F,
    /// Some string so far was not UTF-8.
    non_utf8: bool,
}

/// Keys are passed as `"name":`, quotes and colon included, so that each is one copy.
impl<F: Form> Line<'_, F> {
    fn number(&mut self, key: &str, value: u64) {
        self.form.begin(self.out, key, false);
        text::push_u64(self.out, value);
        self.form.finish(self.out, false);
    }

    /// A string of our own making: ASCII without anything that must be escaped.
    fn plain(&mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.form.begin(self.out, key, true);
        value(self.out);
        self.form.finish(self.out, true);
    }

    /// A number that ECS keeps as a keyword: user and group ids, inodes.
    fn keyword(&mut self, key: &str, value: u64) {
        self.plain(key, |out| text::push_u64(out, value));
    }

    fn text(&mut self, key: &str, value: &str) {
        self.form.begin(self.out, key, true);
        self.form.text(self.out, value);
        self.form.finish(self.out, true);
    }

    fn bytes(&mut self, key: &str, value: &[u8]) {
        self.form.begin(self.out, key, true);
        self.non_utf8 |= !self.form.bytes(self.out, value);
        self.form.finish(self.out, true);
    }

    fn time(&mut self, key: &str, value: u64) {
        self.plain(key, |out| text::push_rfc3339(out, value));
    }

    fn device(&mut self, key: &str, device: Device) {
        self.plain(key, |out| {
            text::push_u64(out, device.major.into());
            out.push(b':');
            text::push_u64(out, device.minor.into());
        });
    }

    /// Opens an object or array.
    fn open(&mut self, key: &str, bracket: u8) {
        self.form.open(self.out, key, bracket);
    }

    /// Ends an object or array.
    fn close(&mut self, bracket: u8) {
        self.form.close(self.out, bracket);
    }

    fn event(&mut self, event: &Event) {
        let facts = event.action.facts();
        self.open("\"event\":", b'{');
        self.text("\"kind\":", facts.kind);
        self.open("\"category\":", b'[');
        facts.category.iter().for_each(|word| self.text("", word));
        self.close(b']');
        self.open("\"type\":", b'[');
        facts.types.iter().for_each(|word| self.text("", word));
        if let (Body::Network(_), Some(word)) = (&event.body, permission(event.outcome)) {
            self.text("", word);
        }
        self.close(b']');
        self.text("\"action\":", facts.name);
        match event.outcome {
            Outcome::Success => self.text("\"outcome\":", "success"),
            Outcome::Unknown => self.text("\"outcome\":", "unknown"),
            Outcome::Failure(errno) => {
                self.text("\"outcome\":", "failure");
                self.plain("\"code\":", |out| text::push_errno(out, errno));
            }
        }
        self.number("\"severity\":", event.severity as u64);
        self.number("\"sequence\":", event.sequence);
        self.close(b'}');
    }

    fn process(&mut self, process: &Process, body: &Body) {
        self.open("\"process\":", b'{');
        self.number("\"pid\":", process.pid.into());
        if let Some(id) = process.entity_id {
            self.entity_id(id);
        }
        if !process.name.is_empty() {
            self.bytes("\"name\":", &process.name);
        }
        if let Some(executable) = process.executable {
            self.bytes("\"executable\":", executable);
        }
        if !process.args.bytes.is_empty() {
            self.open("\"args\":", b'[');
            process.args.iter().for_each(|arg| self.bytes("", arg));
            self.close(b']');
        }
        if process.start != 0 {
            self.time("\"start\":", process.start);
        }
        self.open("\"user\":", b'{');
        self.keyword("\"id\":", process.user.id.into());
        if let Some(name) = process.user.name {
            self.text("\"name\":", name);
        }
        if let Some(euid) = process.euid {
            self.open("\"effective\":", b'{');
            self.keyword("\"id\":", euid.into());
            self.close(b'}');
        }
        self.close(b'}');
        self.open("\"group\":", b'{');
        self.keyword("\"id\":", process.gid.into());
        self.close(b'}');
        let parent = &process.parent;
        // The kernel's own parent is pid 0 and has no name; it says nothing.
        if parent.pid != 0 {
            self.open("\"parent\":", b'{');
            self.number("\"pid\":", parent.pid.into());
            if !parent.name.is_empty() {
                self.bytes("\"name\":", &parent.name);
            }
            if let Some(executable) = parent.executable {
                self.bytes("\"executable\":", executable);
            }
            self.close(b'}');
        }
        self.open("\"thread\":", b'{');
        self.number("\"id\":", process.tid.into());
        self.close(b'}');
        if let Body::Exit { code: Some(code), .. } = body {
            self.number("\"exit_code\":", (*code).into());
        }
        self.close(b'}');
    }

    fn entity_id(&mut self, id: EntityId) {
        self.plain("\"entity_id\":", |out| {
            text::push_hex8(out, id.boot);
            out.push(b'-');
            text::push_u64(out, id.pid.into());
            out.push(b'-');
            text::push_u64(out, id.start_ticks);
        });
    }

    /// The process that something was done to.
    fn target(&mut self, target: &Target) {
        self.open("\"target\":", b'{');
        self.open("\"process\":", b'{');
        if let Some(pid) = target.pid {
            self.number("\"pid\":", pid.into());
        }
        if let Some(id) = target.entity_id {
            self.entity_id(id);
        }
        if !target.name.is_empty() {
            self.bytes("\"name\":", &target.name);
        }
        if let Some(executable) = target.executable {
            self.bytes("\"executable\":", executable);
        }
        if target.start != 0 {
            self.time("\"start\":", target.start);
        }
        if let Some(user) = target.user {
            self.open("\"user\":", b'{');
            self.keyword("\"id\":", user.id.into());
            if let Some(name) = user.name {
                self.text("\"name\":", name);
            }
            self.close(b'}');
        }
        self.close(b'}');
        self.close(b'}');
    }

    fn bee_kernel(&mut self, kernel: &Kernel) {
        if let Some(request) = kernel.request {
            self.text("\"request\":", request);
        }
        if let Some(module) = &kernel.module {
            self.bytes("\"module\":", module);
        }
        for (key, number) in [
            ("\"object_type\":", kernel.object_type),
            ("\"object_id\":", kernel.object_id),
            ("\"entries\":", kernel.entries),
            ("\"signal\":", kernel.signal),
        ] {
            number.into_iter().for_each(|number| self.number(key, number.into()));
        }
        if let Some(target) = &kernel.target {
            self.target(target);
        }
    }

    fn bee_memory(&mut self, memory: &Memory) {
        if let Some(request) = memory.request {
            self.text("\"request\":", request);
        }
        if let Some(access) = memory.access {
            self.text("\"access\":", access.name());
        }
        // Nothing is known of it: no key says so, the flag does.
        if memory.target != Target::default() {
            self.target(&memory.target);
        }
    }

    fn file(&mut self, file: &File) {
        self.open("\"file\":", b'{');
        if !file.path.is_empty() {
            self.bytes("\"path\":", &file.path);
        }
        if let Some(target) = &file.target_path {
            self.bytes("\"target_path\":", target);
        }
        if file.inode != 0 {
            self.keyword("\"inode\":", file.inode);
        }
        if let Some(device) = file.device {
            self.device("\"device\":", device);
        }
        if let Some(mode) = file.mode {
            self.plain("\"mode\":", |out| text::push_mode(out, mode));
            if let Some(kind) = file_type(mode) {
                self.text("\"type\":", kind);
            }
        }
        if let Some((uid, gid)) = file.owner {
            uid.into_iter().for_each(|uid| self.keyword("\"uid\":", uid.into()));
            gid.into_iter().for_each(|gid| self.keyword("\"gid\":", gid.into()));
        }
        if let Some(size) = file.size {
            self.number("\"size\":", size);
        }
        self.close(b'}');
    }

    fn network(&mut self, network: &Network) {
        if let Some(source) = network.source {
            self.open("\"source\":", b'{');
            self.endpoint(source);
            self.close(b'}');
        }
        if network.destination.is_some() || network.path.is_some() {
            self.open("\"destination\":", b'{');
            network.destination.into_iter().for_each(|end| self.endpoint(end));
            if let Some(path) = &network.path {
                self.bytes("\"address\":", path);
            }
            self.close(b'}');
        }
        let words = [
            ("\"transport\":", network.transport()),
            ("\"type\":", network.family_name()),
            ("\"direction\":", network.direction()),
        ];
        if words.iter().any(|(_, word)| word.is_some()) {
            self.open("\"network\":", b'{');
            for (key, word) in words {
                word.into_iter().for_each(|word| self.text(key, word));
            }
            self.close(b'}');
        }
    }

    fn endpoint(&mut self, end: Endpoint) {
        self.text("\"ip\":", &end.ip.to_string());
        if end.port != 0 {
            self.number("\"port\":", end.port.into());
        }
    }

    fn bee_network(&mut self, network: &Network) {
        network.count.into_iter().for_each(|count| self.number("\"count\":", count));
        self.open("\"socket\":", b'{');
        self.number("\"family\":", network.family.into());
        if let Some((_, protocol)) = network.protocol {
            network.type_name().into_iter().for_each(|word| self.text("\"type\":", word));
            self.number("\"protocol\":", protocol.into());
        }
        self.close(b'}');
    }

    fn bee(&mut self, event: &Event) {
        self.open("\"bee\":", b'{');
        self.text("\"sensor\":", event.action.facts().sensor);
        if !event.hook.is_empty() {
            self.text("\"hook\":", event.hook);
        }
        if !event.tier.is_empty() {
            self.text("\"tier\":", event.tier);
        }
        if let Some(process) = &event.process {
            if let Some(unit) = process.unit {
                self.text("\"unit\":", unit);
            }
            if let Some(id) = process.container_id {
                self.text("\"container_id\":", id);
            }
            if let Some(uid) = process.login_uid {
                self.keyword("\"login_uid\":", uid.into());
            }
        }
        match &event.body {
            Body::File(file) => self.bee_file(file),
            Body::Exec(exec) => self.bee_exec(exec),
            Body::Network(network) => self.bee_network(network),
            Body::Exit { signal: Some(signal), .. } => self.number("\"signal\":", (*signal).into()),
            Body::Loss(loss) => self.bee_loss(loss),
            Body::Memory(memory) => self.bee_memory(memory),
            Body::Kernel(kernel) => self.bee_kernel(kernel),
            Body::Exit { .. } | Body::Fork | Body::Note(_) => {}
        }
        // Last, because only now it is known whether every string was UTF-8.
        let mut flags = event.flags;
        if self.non_utf8 {
            flags.insert(Flags::NON_UTF8);
        }
        if flags != Flags::default() {
            self.open("\"flags\":", b'[');
            flags.names().for_each(|name| self.text("", name));
            self.close(b']');
        }
        self.close(b'}');
    }

    fn bee_file(&mut self, file: &File) {
        if let Some(access) = file.access {
            self.text("\"access\":", access.name());
        }
        if let Some(path) = &file.old_path {
            self.bytes("\"old_path\":", path);
        }
        if let Some(path) = &file.known_as {
            self.bytes("\"known_as\":", path);
        }
        if let Some(node) = file.node {
            self.device("\"device_node\":", node);
        }
    }

    fn bee_exec(&mut self, exec: &Exec) {
        if let Some(script) = &exec.script {
            self.bytes("\"script\":", script);
        }
        if !exec.secret_env.is_empty() {
            self.open("\"secret_env\":", b'[');
            exec.secret_env.iter().for_each(|name| self.bytes("", name));
            self.close(b']');
        }
    }

    fn bee_loss(&mut self, loss: &Loss) {
        self.open("\"loss\":", b'{');
        self.text("\"stage\":", loss.stage);
        if let Some(action) = loss.action {
            self.text("\"action\":", action.name());
        }
        self.text("\"cause\":", loss.cause);
        self.number("\"count\":", loss.count);
        self.time("\"since\":", loss.since);
        self.close(b'}');
    }
}

/// What ECS adds to `event.type` of a connection: whether it was let be.
fn permission(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Success => Some("allowed"),
        Outcome::Failure(libc::EACCES | libc::EPERM) => Some("denied"),
        Outcome::Failure(_) => Some("error"),
        Outcome::Unknown => None,
    }
}

/// `file.type` of a mode with type bits (inode(7)); `None` where it has none.
fn file_type(mode: u32) -> Option<&'static str> {
    Some(match mode & libc::S_IFMT {
        libc::S_IFREG => "file",
        libc::S_IFDIR => "dir",
        libc::S_IFLNK => "symlink",
        libc::S_IFCHR => "char",
        libc::S_IFBLK => "block",
        libc::S_IFIFO => "fifo",
        libc::S_IFSOCK => "socket",
        _ => return None,
    })
}
