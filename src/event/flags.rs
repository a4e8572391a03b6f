//! What a reader should know of the evidence before trusting a field.

/// Facts about the evidence itself, `bee.flags`: what could not be read, and
/// what the reader should know before trusting a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u64);

macro_rules! flags {
    ($($(#[doc = $doc:literal])+ $name:ident = $bit:literal, $text:literal;)+) => {
        impl Flags {
            $($(#[doc = $doc])+ pub const $name: Flags = Flags(1 << $bit);)+
        }
        /// Every flag: its bit, the word in `bee.flags`, and what it means.
        pub const FLAGS: &[(Flags, &str, &str)] = &[$((Flags::$name, $text, concat!($($doc),+)),)+];
    };
}

flags! {
    /// The path did not fit; its beginning is missing.
    PATH_TRUNCATED = 0, "path_truncated";
    /// The path could not be followed up to the root of its mount namespace.
    PATH_UNRESOLVED = 1, "path_unresolved";
    /// The path is what the caller gave, joined to its directory; symbolic links on the way are not resolved.
    PATH_FROM_ARGS = 2, "path_from_args";
    /// The file has no name any more.
    FILE_DELETED = 3, "file_deleted";
    /// argv was longer than 4 KiB; its end is missing.
    ARGS_TRUNCATED = 4, "args_truncated";
    /// argv could not be read.
    ARGS_UNREADABLE = 5, "args_unreadable";
    /// Only the first 8 KiB of the environment were searched.
    ENV_TRUNCATED = 6, "env_truncated";
    /// The environment could not be read.
    ENV_UNREADABLE = 7, "env_unreadable";
    /// The program is a memfd: it has never been in a file system.
    EXE_MEMFD = 8, "exe_memfd";
    /// The program's file was deleted.
    EXE_DELETED = 9, "exe_deleted";
    /// The program lies in a tmpfs or ramfs.
    EXE_TMPFS = 10, "exe_tmpfs";
    /// The program runs with another effective user than it was started by.
    SETUID = 11, "setuid";
    /// The caller used the 32-bit system call interface.
    COMPAT = 12, "compat_32bit";
    /// The process is in another mount namespace than the daemon; paths are as seen there.
    OTHER_MOUNT_NS = 13, "other_mount_ns";
    /// The daemon did not see this process begin and found nothing in /proc; exe and args are missing.
    PROCESS_UNKNOWN = 14, "process_unknown";
    /// The process executed something whose event was lost; exe and args are missing.
    EXEC_MISSED = 15, "exec_missed";
    /// The file was recognised by its identity; its present name is not a watched one.
    BY_IDENTITY = 16, "by_identity";
    /// A string was not valid UTF-8; in a line the bytes are shown as \xNN, in the journal they stand as they are.
    NON_UTF8 = 17, "non_utf8";
    /// Arguments were read after the call and another thread, or a tracer, could have changed them.
    ARGS_RACY = 18, "args_racy";
    /// The process was over its alert rate, so this came through the bulk ring.
    DEMOTED = 19, "demoted";
    /// A name argument could not be read from the caller's memory.
    PATH_UNREADABLE = 20, "path_unreadable";
    /// How the act ended was not seen; it may have been refused.
    RESULT_UNKNOWN = 21, "result_unknown";
    /// The kernel's own record of the process was not read: effective user, login user and mount namespace are not known, the parent is the one it was made by, for as long as that is there.
    PROCESS_PARTIAL = 32, "process_partial";
    /// A name is relative to a directory that is not known; it was matched by what it says.
    PATH_RELATIVE = 33, "path_relative";
    /// `process.executable` is the name the program was executed by, for a script the script's; not a true path.
    EXE_AS_GIVEN = 34, "exe_as_given";
    /// With which status or by which signal the process ended was not seen.
    STATUS_UNKNOWN = 35, "status_unknown";
    /// The act was made through io_uring, not by a system call of its own.
    IO_URING = 40, "io_uring";
    /// The call returned before the connection was made, or refused; how it ends is not told.
    IN_PROGRESS = 41, "in_progress";
    /// The connection was begun with data in its first packet (TCP Fast Open).
    FAST_OPEN = 42, "fast_open";
    /// The target had ended.
    TARGET_EXITED = 48, "target_exited";
    /// The target is the process with the number that the caller gave; in another pid namespace that is another one.
    TARGET_AS_GIVEN = 49, "target_as_given";
    /// What is not told of the target is not known: the daemon did not see it begin and found nothing in /proc.
    TARGET_UNKNOWN = 50, "target_unknown";
    /// The program, map or link is one of the daemon's own.
    OWN_OBJECT = 51, "own_object";
}

impl Flags {
    /// Whether all bits of `other` are set.
    pub fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
    /// Sets the bits of `other`.
    pub fn insert(&mut self, other: Flags) {
        self.0 |= other.0;
    }
    /// The words for the bits that are set, in the order of the table.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FLAGS.iter().filter(move |(flag, ..)| self.contains(*flag)).map(|(_, name, _)| *name)
    }
}
