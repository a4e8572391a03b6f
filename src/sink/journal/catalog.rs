//! The message catalog: what `journalctl -x` adds to an entry. Pure; a test holds
//! `packaging/journal/bee-traced.catalog` to it.
//!
//! journalctl puts the value of a field in the place of its name between `@`, and
//! writes it to the terminal as it is. So fields that hold what somebody else chose
//! (paths, names) are named without `@`; `MESSAGE` shows them, escaped.

use std::fmt::Write as _;

use crate::event::{ACTIONS, ActionFacts};

/// Subject, what it means, what to look at. An action that is not here gets its meaning
/// and the advice for all.
const TEXTS: &[(&str, &str, &str)] = &[
    (
        "exec",
        "A program was executed",
        "BEE_PROCESS_EXECUTABLE was executed. BEE_PROCESS_ARGS has its arguments. BEE_FLAGS says where the \
         program lay if that is unusual: exe_memfd, exe_deleted and exe_tmpfs are programs that were never, or \
         are no longer, files of this machine. BEE_SECRET_ENV names secrets it was given.",
    ),
    (
        "fork",
        "A process was created",
        "Process @BEE_PROCESS_PID@ was created by process @BEE_PROCESS_PARENT_PID@.",
    ),
    (
        "exit",
        "A process ended",
        "Process @BEE_PROCESS_PID@ ended; BEE_PROCESS_EXIT_CODE or BEE_SIGNAL says how.",
    ),
    (
        "open",
        "A watched file was opened, or somebody tried to",
        "The process opened BEE_FILE_PATH, which is on the list of watched files, or tried to: \
         BEE_EVENT_OUTCOME and BEE_EVENT_CODE say whether it was refused, BEE_ACCESS what for. That it was \
         opened does not prove that it was read. If this program has business with this file, exclude it in \
         the configuration ([[exclude]]).",
    ),
    (
        "create",
        "A watched file was created",
        "The process created BEE_FILE_PATH, or tried to. New files under such names are how \
         somebody comes to stay: keys that may log in, units and jobs that are started.",
    ),
    (
        "delete",
        "A watched file was deleted",
        "The process removed the name BEE_FILE_PATH, or tried to. Open files live on without it.",
    ),
    (
        "rename",
        "A watched file was renamed or replaced",
        "The process renamed BEE_OLD_PATH to BEE_FILE_PATH, or tried to. Editors and package \
         managers replace files so; so does who wants a secret under a name that nobody watches.",
    ),
    (
        "link",
        "A hard link to or under a watched name was made",
        "The process made BEE_FILE_PATH another name of BEE_FILE_TARGET_PATH, or tried to. \
         Opens under the new name are reported as well.",
    ),
    (
        "symlink",
        "A symbolic link to or under a watched name was made",
        "The process made BEE_FILE_PATH lead to BEE_FILE_TARGET_PATH, or tried to.",
    ),
    (
        "chmod",
        "The mode of a watched file was changed",
        "The process changed the mode of BEE_FILE_PATH to @BEE_FILE_MODE@, or tried to. See who \
         may read it now.",
    ),
    (
        "chown",
        "The owner of a watched file was changed",
        "The process changed the owner of BEE_FILE_PATH, or tried to. See who may read it now.",
    ),
    (
        "truncate",
        "The length of a watched file was changed",
        "The process changed the length of BEE_FILE_PATH, or tried to. What was cut off is gone.",
    ),
    (
        "mknod",
        "A device node was made",
        "The process made BEE_FILE_PATH, or tried to: a way to memory or a disk under a name of \
         its own (BEE_DEVICE_NODE).",
    ),
    (
        "ptrace",
        "A process was attached to",
        "The process traces another one, or asked to be traced (BEE_REQUEST), or tried to. Who traces a process \
         reads and writes its memory and registers. Debuggers and strace do that; so does who wants a password \
         that another program holds.",
    ),
    (
        "vm-read",
        "Memory of another process was read",
        "The process read memory of another one by process_vm_readv, or tried to. What it read is not recorded.",
    ),
    (
        "vm-write",
        "Memory of another process was written",
        "The process wrote into the memory of another one by process_vm_writev, or tried to. It can have made it \
         do anything.",
    ),
    (
        "proc-mem",
        "The memory of another process was opened",
        "The process opened /proc/PID/mem of another one, or tried to: BEE_ACCESS says what for. Who has it open \
         can read the memory, or write it, for as long as it has.",
    ),
    (
        "proc-environ",
        "The environment of another process was opened",
        "The process opened /proc/PID/environ of another one, or tried to. Environments often hold passwords and \
         tokens.",
    ),
    (
        "proc-maps",
        "The address map of another process was opened",
        "The process opened a file of /proc that tells where the memory of another one lies (BEE_REQUEST), or \
         tried to. That is how a search of its memory begins; tools that measure memory do it as well.",
    ),
    (
        "pidfd-getfd",
        "A descriptor was taken from another process",
        "The process took a descriptor from another one, or tried to: an open file, a connection.",
    ),
    (
        "module-load",
        "A kernel module was loaded",
        "The process loaded a module into the kernel (BEE_MODULE), or tried to. What a module does no other \
         program can hold it to. udev and modprobe load those of new devices.",
    ),
    (
        "bpf",
        "An eBPF program was loaded or reached for",
        "The process loaded or attached an eBPF program, or reached for one that is there (BEE_REQUEST), or tried \
         to. Such programs see, and change, what others do. systemd and container engines use them as well. \
         With the flag own_object in BEE_FLAGS it was one of the daemon's: who has such a map can change or \
         empty it. bpftool opens all there are to list them.",
    ),
    (
        "io-uring",
        "A process set up io_uring",
        "The process set up io_uring, or tried to. What it does by that is not seen in every tier: see the \
         documentation (docs/blind-spots.md).",
    ),
    (
        "time-set",
        "The clock was set",
        "The process set or adjusted the clock (BEE_REQUEST), or tried to. The times of events from then on are by \
         the new one. Programs that keep the time adjust it often.",
    ),
    (
        "kill",
        "A signal was sent to bee-traced",
        "The process sent a signal (BEE_SIGNAL) to bee-traced, or to every process, or tried to. When the unit is \
         stopped or reloaded that is systemd's.",
    ),
    (
        "connect",
        "A connection was asked for",
        "The process connected to @BEE_DESTINATION_IP@ port @BEE_DESTINATION_PORT@, or to the local socket \
         BEE_DESTINATION_ADDRESS, or tried to. The severity says whether the configuration knows the port. What \
         was sent is never looked at.",
    ),
    (
        "send",
        "Datagrams were sent",
        "The process sent BEE_COUNT datagrams to @BEE_DESTINATION_IP@ port @BEE_DESTINATION_PORT@, or tried to.",
    ),
    (
        "accept",
        "A connection was accepted",
        "The process accepted a connection from @BEE_SOURCE_IP@ to its port @BEE_DESTINATION_PORT@.",
    ),
    (
        "listen",
        "A process waits for connections",
        "The process can be reached at port @BEE_DESTINATION_PORT@ of @BEE_DESTINATION_IP@, where 0.0.0.0 and :: are \
         all addresses of this machine. See whether it should.",
    ),
    (
        "socket",
        "A socket of an unusual kind was made",
        "The process made a socket of the family @BEE_SOCKET_FAMILY@, or tried to. By some kinds one sees what \
         others send, or goes past the firewall; some are little used, and so little tested, parts of the kernel.",
    ),
    (
        "loss",
        "Events were lost",
        "@BEE_LOSS_COUNT@ events were lost at the stage @BEE_LOSS_STAGE@ because of @BEE_LOSS_CAUSE@, between \
         @BEE_LOSS_SINCE@ and @BEE_TIMESTAMP@. What happened then may be missing from the journal. The causes, \
         and what to do about each, are in the documentation (docs/operations.md, Losses).",
    ),
    (
        "start",
        "bee-traced began to watch",
        "MESSAGE says which sensors run, and by which means. What was done before this moment was not seen.",
    ),
    (
        "stop",
        "bee-traced stopped watching",
        "What is done from now on is not seen. If nobody asked for it, see who ended it, and why.",
    ),
];

/// For every event that a process is behind.
const ADVICE: &str = "It was process @BEE_PROCESS_PID@ of uid @BEE_PROCESS_USER_ID@, started by process \
                      @BEE_PROCESS_PARENT_PID@; BEE_PROCESS_EXECUTABLE is its program. All that it did:";

/// For events with a process that something was done to.
const VICTIM: &str = "The other one is process @BEE_TARGET_PROCESS_PID@ of uid @BEE_TARGET_PROCESS_USER_ID@; \
                      BEE_TARGET_PROCESS_EXECUTABLE is its program.";

/// The whole file.
pub fn catalog() -> String {
    let mut out = "# What `journalctl -x` says of the entries of bee-traced. Made from the tables of the\n\
                   # program: BEE_BLESS=1 cargo test --test sink writes it.\n"
        .to_owned();
    for facts in ACTIONS {
        entry(facts, &mut out);
    }
    out
}

fn entry(facts: &ActionFacts, out: &mut String) {
    let known = TEXTS.iter().find(|(name, ..)| *name == facts.name);
    let subject = known.map_or_else(|| capital(facts.meaning), |(_, subject, _)| (*subject).to_owned());
    let text = known.map_or_else(|| format!("{}.", capital(facts.meaning)), |(.., text)| (*text).to_owned());
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\n-- {}\nSubject: {subject}\nDefined-By: bee-traced\nDocumentation: man:bee-traced(8)\n\n",
        facts.message_id()
    );
    wrap(&text, out);
    if facts.sensor == "memory" {
        out.push('\n');
        wrap(VICTIM, out);
    }
    if facts.sensor != "bee-traced" {
        out.push('\n');
        wrap(ADVICE, out);
        out.push_str("\n    journalctl BEE_PROCESS_ENTITY_ID=@BEE_PROCESS_ENTITY_ID@\n");
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Lines of at most 78 characters, where words allow it.
fn wrap(text: &str, out: &mut String) {
    let mut column = 0;
    for word in text.split_whitespace() {
        if column > 0 && column + 1 + word.len() > 78 {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.len();
    }
    out.push('\n');
}
