//! What each sensor cannot see, tier by tier. A blind spot that is not here is a defect.

use super::Tier;

/// What a sensor cannot see or do at a tier: shown by `bee-trace check`, and in
/// docs/blind-spots.md.
pub const BLIND: &[(&str, Tier, &str)] = &[
    ("process", Tier::Full, REFUSED_EXEC),
    ("process", Tier::Kprobe, REFUSED_EXEC),
    ("process", Tier::Tracepoint, REFUSED_EXEC),
    ("process", Tier::Full, NO_DENIAL),
    ("process", Tier::Kprobe, NO_DENIAL),
    ("process", Tier::Tracepoint, NO_DENIAL),
    ("file", Tier::Full, REFUSED_WALK),
    ("file", Tier::Full, RECEIVED),
    ("file", Tier::Full, NO_DENIAL),
    ("file", Tier::Kprobe, REFUSED_WALK),
    (
        "file",
        Tier::Kprobe,
        "an open that a security module (AppArmor, SELinux) refuses is reported as refused, and before that as if it had succeeded",
    ),
    (
        "file",
        Tier::Kprobe,
        "refused opens made through io_uring are counted, not reported; others are matched by the name the caller gave: a symbolic link on the way is not resolved",
    ),
    (
        "file",
        Tier::Kprobe,
        "refused opens are not seen while more opens than the kernel keeps return probes for (10, or twice the processors) wait in an open at the same time",
    ),
    ("file", Tier::Kprobe, RECEIVED),
    ("file", Tier::Kprobe, NO_DENIAL),
    ("file", Tier::Tracepoint, "opens made through io_uring are not reported"),
    (
        "file",
        Tier::Tracepoint,
        "an open is lost when another thread of the same process replaces the new descriptor before the call returns",
    ),
    (
        "file",
        Tier::Tracepoint,
        "refused opens, and changes of names, are matched by the name the caller gave: a symbolic link on the way is not resolved",
    ),
    ("file", Tier::Tracepoint, RECEIVED),
    ("file", Tier::Tracepoint, NO_DENIAL),
    (
        "process",
        Tier::Portable,
        "a program is told by the name it was executed by (exe_as_given), a script by its own: not by its true path, nor whether it is a memfd, deleted or in a tmpfs; an [[exclude]] by exe does not hold",
    ),
    (
        "process",
        Tier::Portable,
        "effective user, login user and mount namespace are not known, the parent only while the process that made it is there (process_partial)",
    ),
    ("process", Tier::Portable, "with which status or by which signal a process ended is not known"),
    (
        "process",
        Tier::Portable,
        "before Linux 6.16 the end of its first thread is taken for the end of a process, and so is an exec by another thread; what it does later may be of an unknown process",
    ),
    (
        "process",
        Tier::Portable,
        "arguments that a tracer changes while it holds the process at the end of its exec are told as changed; beyond 4096 variables of its environment a change of the effective user is not seen",
    ),
    (
        "process",
        Tier::Portable,
        "a program that the kernel itself starts (core_pattern, modprobe) is reported without arguments",
    ),
    ("process", Tier::Portable, REFUSED_EXEC),
    ("process", Tier::Portable, NO_DENIAL),
    (
        "file",
        Tier::Portable,
        "files are known by name alone, as the caller gives it: a watched file is not recognised through a symbolic or hard link, a bind mount, /proc/PID/fd or any other name; its inode, device and mode are not known",
    ),
    (
        "file",
        Tier::Portable,
        "a relative name is judged by what it says (path_relative): of a pattern that watches all names of a directory (`/srv/keys/*`, `/srv/keys/**`) it has no part unless it names that directory",
    ),
    (
        "file",
        Tier::Portable,
        "in a chroot or another mount namespace the names are the caller's own, and nothing says so",
    ),
    (
        "file",
        Tier::Portable,
        "changes by descriptor (fchmod, fchown, ftruncate, and the calls that take an empty name for it) are not reported",
    ),
    ("file", Tier::Portable, "opens by handle are counted as lost (unnamed), not reported"),
    ("file", Tier::Portable, "opens and changes made through io_uring are not reported"),
    (
        "file",
        Tier::Portable,
        "a name that another thread changes before the call returns is told as changed, or not at all",
    ),
    (
        "file",
        Tier::Portable,
        "a device is known by the number its node is made with and by its usual name, not when another node of it is opened",
    ),
    (
        "file",
        Tier::Portable,
        "a file that is made by an open without O_EXCL is reported as opened, not as created; a directory of a watched name as opened, unless it is by O_DIRECTORY",
    ),
    (
        "file",
        Tier::Portable,
        "on x86-64, `int 0x80` of a 64-bit program that overwrites the instruction before the call returns is read as another call",
    ),
    ("file", Tier::Portable, RECEIVED),
    ("file", Tier::Portable, NO_DENIAL),
    ("network", Tier::Full, FAST_OPEN),
    ("network", Tier::Full, URING_INLINE),
    ("network", Tier::Full, OTHER_ENDS),
    ("network", Tier::Full, ENDS_LATER),
    ("network", Tier::Full, NO_DENIAL),
    ("network", Tier::Kprobe, FAST_OPEN),
    ("network", Tier::Kprobe, URING_INLINE),
    ("network", Tier::Kprobe, OTHER_ENDS),
    (
        "network",
        Tier::Kprobe,
        "the end of a connection or a datagram is not seen while more than the kernel keeps return probes for (10, or twice the processors) are waited for; it is then told without its end when the same thread acts again",
    ),
    ("network", Tier::Kprobe, ENDS_LATER),
    ("network", Tier::Kprobe, NO_DENIAL),
    (
        "network",
        Tier::Tracepoint,
        "datagrams that are sent by write, writev or splice through a connected socket are not reported; its connection is",
    ),
    ("network", Tier::Tracepoint, IO_URING),
    (
        "network",
        Tier::Tracepoint,
        "local sockets, and Internet sockets of a protocol beside TCP and UDP, are told by the address the caller gave (args_racy): another thread may have changed it",
    ),
    ("network", Tier::Tracepoint, ENDS_LATER),
    ("network", Tier::Tracepoint, NO_CGROUP),
    ("network", Tier::Tracepoint, NO_DENIAL),
    ("network", Tier::Portable, "datagrams on a connected socket are not reported; its connection is"),
    (
        "network",
        Tier::Portable,
        "a connection is accepted unseen unless the program asks who it is, and a listener unless its socket was bound while the daemon ran; addresses are those of the arguments (args_racy), the protocol is not known",
    ),
    ("network", Tier::Portable, "the own address of a socket that connects or sends is not known"),
    (
        "network",
        Tier::Portable,
        "connections of Internet sockets of a protocol beside TCP and UDP are not reported; that such a socket is made is",
    ),
    ("network", Tier::Portable, IO_URING),
    (
        "network",
        Tier::Portable,
        "a program that calls itself as the kernel calls its threads of io_uring is told as one of them",
    ),
    (
        "network",
        Tier::Portable,
        "of several datagrams that a 32-bit program sends with one call all but the last are told as those of a 64-bit one",
    ),
    ("network", Tier::Portable, ENDS_LATER),
    (
        "network",
        Tier::Portable,
        "where cgroup v2 is not mounted no datagram is reported, and destinations are what the callers gave",
    ),
    ("network", Tier::Portable, NO_DENIAL),
    ("memory", Tier::Full, REFUSED_NAME),
    (
        "memory",
        Tier::Full,
        "of process_vm_readv and process_vm_writev before Linux 6.6 on x86-64, and of pidfd_getfd, it is told whether it was allowed; that it failed later is not",
    ),
    ("memory", Tier::Full, OPEN_BEFORE),
    ("memory", Tier::Full, NO_DENIAL),
    ("memory", Tier::Kprobe, REFUSED_NAME),
    ("memory", Tier::Kprobe, "refused opens made through io_uring are not reported"),
    ("memory", Tier::Kprobe, "of pidfd_getfd it is told whether it was allowed; that it failed later is not"),
    (
        "memory",
        Tier::Kprobe,
        "refused opens are not seen while more opens than the kernel keeps return probes for (10, or twice the processors) wait in an open at the same time; nor is another act while that many of its kind are under way",
    ),
    ("memory", Tier::Kprobe, OPEN_BEFORE),
    ("memory", Tier::Kprobe, NO_DENIAL),
    ("memory", Tier::Tracepoint, "opens of files of /proc made through io_uring are not reported"),
    (
        "memory",
        Tier::Tracepoint,
        "an open is lost when another thread of the same process replaces the new descriptor before the call returns",
    ),
    ("memory", Tier::Tracepoint, REFUSED_NAME),
    ("memory", Tier::Tracepoint, OPEN_BEFORE),
    ("memory", Tier::Tracepoint, NO_DENIAL),
    (
        "memory",
        Tier::Portable,
        "files of /proc are known by name alone, as the caller gives it: below /proc and host.proc, and relative names that have the number of the process; not `mem` in its own directory, nor a procfs that is mounted elsewhere, nor through a link",
    ),
    (
        "memory",
        Tier::Portable,
        "the target is the process that has the number the caller gave (target_as_given): in another pid namespace that is another one; of it is told what the process table knows",
    ),
    (
        "memory",
        Tier::Portable,
        "from whom a descriptor is taken by pidfd_getfd is known only where the process has made the descriptor that stands for it by pidfd_open; else the target is not told (target_unknown)",
    ),
    ("memory", Tier::Portable, "opens of files of /proc made through io_uring are not reported"),
    (
        "memory",
        Tier::Portable,
        "a name that another thread changes before the call returns is told as changed, or not at all",
    ),
    (
        "memory",
        Tier::Portable,
        "`ps` opens the environment of every process whatever it is asked for, and an [[exclude]] by exe does not hold: each run is an event for each process",
    ),
    ("memory", Tier::Portable, OPEN_BEFORE),
    ("memory", Tier::Portable, NO_DENIAL),
    ("kernel", Tier::Full, BPF_QUIET),
    ("kernel", Tier::Full, BPF_RACY),
    ("kernel", Tier::Full, NAMELESS_MODULE),
    ("kernel", Tier::Full, CLOCK),
    ("kernel", Tier::Full, ALLOWED),
    ("kernel", Tier::Full, KILLED),
    ("kernel", Tier::Full, NO_DENIAL),
    ("kernel", Tier::Kprobe, BPF_QUIET),
    ("kernel", Tier::Kprobe, BPF_RACY),
    ("kernel", Tier::Kprobe, NAMELESS_MODULE),
    ("kernel", Tier::Kprobe, CLOCK),
    (
        "kernel",
        Tier::Kprobe,
        "whether a call adjusts the clock or only asks is read after it (adjtimex, clock_adjtime), and could have been changed",
    ),
    ("kernel", Tier::Kprobe, ALLOWED),
    (
        "kernel",
        Tier::Kprobe,
        "a call is not seen while more of its kind are under way than the kernel keeps return probes for (10, or twice the processors); a signal is then told without its result when the same thread sends again",
    ),
    ("kernel", Tier::Kprobe, KILLED),
    ("kernel", Tier::Kprobe, NO_DENIAL),
    ("kernel", Tier::Tracepoint, BPF_QUIET),
    ("kernel", Tier::Tracepoint, BPF_RACY),
    ("kernel", Tier::Tracepoint, NAMELESS_MODULE),
    ("kernel", Tier::Tracepoint, KILLS),
    ("kernel", Tier::Tracepoint, NO_DENIAL),
    ("kernel", Tier::Portable, BPF_QUIET),
    ("kernel", Tier::Portable, BPF_RACY),
    ("kernel", Tier::Portable, "a module's name is not known"),
    (
        "kernel",
        Tier::Portable,
        "signals by pidfd_send_signal, and from other pid namespaces, are not reported",
    ),
    ("kernel", Tier::Portable, KILLS),
    ("kernel", Tier::Portable, NO_DENIAL),
];

const FAST_OPEN: &str =
    "how a connection ends that begins with data in its first packet is not known (result_unknown)";
const URING_INLINE: &str =
    "what is made through io_uring is told as any other, unless a thread of io_uring makes it (io_uring)";
const OTHER_ENDS: &str = "how a connection ends of a protocol beside TCP and UDP is not known (result_unknown); a listener or accept that a security module refuses is not reported";
const IO_URING: &str = "how a connection or a datagram through io_uring ends is not known; listeners, accepted connections and sockets made through it, and its connections to local sockets, are not reported";
const ENDS_LATER: &str = "how a connection ends that is not waited for is not told (in_progress)";
const NO_CGROUP: &str = "where cgroup v2 is not mounted nothing made through io_uring is reported, and destinations are what the callers gave";
const BPF_QUIET: &str = "eBPF: lookups and changes of a map by who has its descriptor, and programs that are attached by perf events or netlink, are not reported";
const BPF_RACY: &str = "an eBPF command's attributes are read after the call, and could have been changed";
const NAMELESS_MODULE: &str =
    "of a module that is refused the name is known only where it came by descriptor (finit_module)";
const CLOCK: &str = "a call that would set a clock and is refused before it comes to the clock of the day (no such clock, no such address) is not reported, nor is one that sets the clock of a device (/dev/ptp0)";
const ALLOWED: &str = "of a signal it is told whether it was allowed; that it failed later is not";
const KILLED: &str = "a signal that ends the daemon at once (SIGKILL) or before it is on cannot be reported";
const KILLS: &str = "signals that are sent to the daemon's process group are not reported, nor can one be that ends the daemon at once (SIGKILL) or before it is on";
const REFUSED_NAME: &str = "of an open that is refused the target is who has the number in the name (target_as_given), below /proc and host.proc; a link on the way, and a procfs that is mounted elsewhere, are not followed";
const OPEN_BEFORE: &str = "what is read by a descriptor of /proc that was open before, or that another process sent, is not reported";
const NO_DENIAL: &str = "nothing can be denied";
const REFUSED_EXEC: &str = "an exec that is refused is not reported";
const REFUSED_WALK: &str = "a change of a name that is refused on the way to its directory is not reported";
const RECEIVED: &str = "a descriptor received from another process is not an open and not reported";
