//! The tables: every sensor with its mechanisms.

use std::mem::MaybeUninit;
use std::path::Path;

use libbpf_rs::OpenObject;
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};

use super::{Family, Field, Mechanism, Point, Shape, Tier, Variant, loader};
use crate::canary::Proof;
use crate::error::Result;
use crate::skel;

const fn variant(program: &'static str, hook: &'static str, id: u16, tier: Tier) -> Variant {
    Variant { program, hook, id, tier, fields: &[] }
}

/// A hook of tier `portable`: a classic tracepoint and the fields that are read of its record.
const fn portable(program: &'static str, hook: &'static str, id: u16, fields: &'static [Field]) -> Variant {
    Variant { program, hook, id, tier: Tier::Portable, fields }
}

/// A field of a tracepoint, and where process_portable keeps its place.
macro_rules! field {
    ($name:literal, $shape:expr, $at:ident) => {
        Field {
            name: $name,
            shape: $shape,
            at: std::mem::offset_of!(skel::process_portable::types::bee_fields, $at),
        }
    };
}

/// A cgroup's own fields.
macro_rules! cgroup_fields {
    ($root:ident, $id:ident, $path:ident) => {
        &[
            field!("root", Shape::Number(4), $root),
            field!("id", Shape::Number(8), $id),
            field!("path", Shape::Text, $path),
        ]
    };
}

/// The hooks of an act at `security_$act`, in tiers `full` and `kprobe`.
macro_rules! security {
    ($act:literal, $fexit:literal, $lsm:literal, $kprobe:literal) => {
        &[
            variant(concat!("fexit__security_", $act), concat!("fexit/security_", $act), $fexit, Tier::Full),
            variant(concat!("lsm__", $act), concat!("lsm/", $act), $lsm, Tier::Full),
            variant(
                concat!("kprobe__security_", $act),
                concat!("kprobe/security_", $act),
                $kprobe,
                Tier::Kprobe,
            ),
        ]
    };
}

/// Where an act ends, which has a record already.
macro_rules! end {
    ($function:literal) => {
        Point {
            name: concat!("the end of ", $function),
            required: true,
            proof: Proof::None,
            graded: true,
            variants: &[
                variant(concat!("fexit__", $function), concat!("fexit/", $function), 0, Tier::Full),
                variant(concat!("kretprobe__", $function), concat!("kretprobe/", $function), 0, Tier::Kprobe),
            ],
        }
    };
}

/// Where a security module refuses an act, which then has no other end.
macro_rules! refusal {
    ($act:literal) => {
        Point {
            name: concat!("refusals of ", $act),
            required: false,
            proof: Proof::None,
            graded: true,
            variants: &[variant(
                concat!("kretprobe__security_", $act),
                concat!("kretprobe/security_", $act),
                0,
                Tier::Kprobe,
            )],
        }
    };
}

/// A point that must be and that the canary proves.
const fn required(name: &'static str, proof: Proof, variants: &'static [Variant]) -> Point {
    Point { name, required: true, proof, graded: true, variants }
}

/// Acts on names at the security functions: the same in `full` and `kprobe`, each hook by itself.
macro_rules! file_points {
    ($($open:expr),+) => {
        &[
            $($open,)+
            required("deletions", Proof::Named, security!("path_unlink", 15, 26, 37)),
            required("deletions of directories", Proof::Named, security!("path_rmdir", 16, 27, 38)),
            required("renames", Proof::Named, security!("path_rename", 17, 28, 39)),
            required("hard links", Proof::Named, security!("path_link", 18, 29, 40)),
            required("symbolic links", Proof::Named, security!("path_symlink", 19, 30, 41)),
            required("nodes", Proof::Named, security!("path_mknod", 20, 31, 42)),
            required("changes of mode", Proof::Named, security!("path_chmod", 21, 32, 43)),
            required("changes of owner", Proof::Named, security!("path_chown", 22, 33, 44)),
            required("truncations", Proof::Named, security!("path_truncate", 23, 34, 45)),
            Point {
                // Before 6.2 the hook above has these too.
                name: "truncations of open files",
                required: false,
                proof: Proof::None,
                graded: true,
                variants: security!("file_truncate", 24, 35, 46),
            },
            Point {
                // Without it names are checked instead.
                name: "lessons of the scanner",
                required: false,
                proof: Proof::None,
                graded: false,
                variants: security!("path_notify", 25, 36, 47),
            },
            end!("vfs_unlink"),
            end!("vfs_rmdir"),
            Point {
                // 5.10 never calls the one above.
                required: false,
                ..end!("do_rmdir")
            },
            end!("vfs_rename"),
            end!("vfs_link"),
            end!("vfs_symlink"),
            end!("vfs_mknod"),
            end!("vfs_create"),
            end!("notify_change"),
        ]
    };
}

const PROCESS: Mechanism = Mechanism {
    object: "process",
    slots: 1,
    points: &[
        required(
            "exec",
            Proof::Always,
            &[
                variant("fentry__finalize_exec", "fentry/finalize_exec", 64, Tier::Full),
                variant("kprobe__finalize_exec", "kprobe/finalize_exec", 67, Tier::Kprobe),
                variant("raw_tp__sched_process_exec", "raw_tp/sched_process_exec", 6, Tier::Tracepoint),
            ],
        ),
        Point {
            name: "fork",
            required: false,
            proof: Proof::Always,
            graded: true,
            variants: &[
                variant("fentry__wake_up_new_task", "fentry/wake_up_new_task", 65, Tier::Full),
                variant("kprobe__wake_up_new_task", "kprobe/wake_up_new_task", 68, Tier::Kprobe),
                variant("raw_tp__sched_process_fork", "raw_tp/sched_process_fork", 7, Tier::Tracepoint),
            ],
        },
        Point {
            name: "exit",
            required: false,
            proof: Proof::Always,
            graded: true,
            variants: &[
                variant("fentry__taskstats_exit", "fentry/taskstats_exit", 66, Tier::Full),
                variant("kprobe__taskstats_exit", "kprobe/taskstats_exit", 69, Tier::Kprobe),
                variant("raw_tp__sched_process_exit__dead", "raw_tp/sched_process_exit", 8, Tier::Tracepoint),
                variant("raw_tp__sched_process_exit", "raw_tp/sched_process_exit", 8, Tier::Tracepoint),
            ],
        },
        Point {
            name: "cgroup names",
            required: false,
            proof: Proof::None,
            graded: false,
            variants: &[variant("raw_tp__cgroup_mkdir", "raw_tp/cgroup_mkdir", 9, Tier::Tracepoint)],
        },
        Point {
            name: "cgroup removal",
            required: false,
            proof: Proof::None,
            graded: false,
            variants: &[variant("raw_tp__cgroup_rmdir", "raw_tp/cgroup_rmdir", 10, Tier::Tracepoint)],
        },
    ],
    load: |btf, prepare, loaded| load::<skel::process::ProcessSkelBuilder>(btf, prepare, loaded),
};

const FILE_FULL: Mechanism = Mechanism {
    object: "file_security",
    slots: 14,
    points: file_points!(
        required(
            "opens",
            Proof::Always,
            &[
                variant("fexit__do_filp_open", "fexit/do_filp_open", 11, Tier::Full),
                // Its name since 7.0.
                variant("fexit__do_file_open", "fexit/do_file_open", 48, Tier::Full),
            ]
        ),
        Point {
            name: "opens by handle",
            required: false,
            proof: Proof::None,
            graded: true,
            variants: &[variant("fexit__do_file_open_root", "fexit/do_file_open_root", 12, Tier::Full)],
        }
    ),
    load: |btf, prepare, loaded| load::<skel::file_security::FileSecuritySkelBuilder>(btf, prepare, loaded),
};

const FILE_KPROBE: Mechanism = Mechanism {
    points: file_points!(
        required(
            "opens",
            Proof::Always,
            &[variant("kprobe__security_file_open", "kprobe/security_file_open", 13, Tier::Kprobe)]
        ),
        required(
            "refused opens",
            Proof::Always,
            &[
                variant("kretprobe__do_filp_open", "kretprobe/do_filp_open", 14, Tier::Kprobe),
                variant("kretprobe__do_file_open", "kretprobe/do_file_open", 49, Tier::Kprobe),
            ]
        ),
        refusal!("path_unlink"),
        refusal!("path_rmdir"),
        refusal!("path_rename"),
        refusal!("path_link"),
        refusal!("path_symlink"),
        refusal!("path_mknod"),
        refusal!("path_chmod"),
        refusal!("path_chown"),
        refusal!("path_truncate"),
        refusal!("file_truncate")
    ),
    ..FILE_FULL
};

const FILE: Mechanism = Mechanism {
    object: "file",
    slots: 1,
    points: &[required(
        "opens and changes of names",
        Proof::Always,
        &[
            variant("tp_btf__sys_exit", "tp_btf/sys_exit", 1, Tier::Tracepoint),
            variant("raw_tp__sys_exit", "raw_tp/sys_exit", 2, Tier::Tracepoint),
        ],
    )],
    load: |btf, prepare, loaded| load::<skel::file::FileSkelBuilder>(btf, prepare, loaded),
};

const PROCESS_PORTABLE: Mechanism = Mechanism {
    object: "process_portable",
    slots: 2,
    points: &[
        required(
            "exec",
            Proof::Always,
            &[variant("raw_tp__sched_process_exec", "raw_tp/sched_process_exec", 97, Tier::Portable)],
        ),
        Point {
            // After the one above. Without it the name comes from the program's own stack.
            name: "names of executed programs",
            required: false,
            proof: Proof::None,
            graded: true,
            variants: &[portable(
                "tp__sched_process_exec",
                "tp/sched/sched_process_exec",
                0,
                &[field!("filename", Shape::Text, exec_filename)],
            )],
        },
        required(
            "arguments of executed programs",
            Proof::None,
            &[variant("raw_tp__sys_exit", "raw_tp/sys_exit", 0, Tier::Portable)],
        ),
        Point {
            name: "fork",
            required: false,
            proof: Proof::Always,
            graded: true,
            variants: &[portable(
                "tp__task_newtask",
                "tp/task/task_newtask",
                98,
                &[
                    field!("pid", Shape::Number(4), task_pid),
                    field!("clone_flags", Shape::Number(8), task_clone_flags),
                ],
            )],
        },
        Point {
            name: "exit",
            required: false,
            proof: Proof::Always,
            graded: true,
            variants: &[
                variant("raw_tp__sched_process_exit__dead", "raw_tp/sched_process_exit", 99, Tier::Portable),
                variant("raw_tp__sched_process_exit__first", "raw_tp/sched_process_exit", 99, Tier::Portable),
            ],
        },
        Point {
            name: "cgroup names",
            required: false,
            proof: Proof::None,
            graded: false,
            variants: &[portable(
                "tp__cgroup_mkdir",
                "tp/cgroup/cgroup_mkdir",
                100,
                cgroup_fields!(mkdir_root, mkdir_id, mkdir_path),
            )],
        },
        Point {
            name: "cgroup removal",
            required: false,
            proof: Proof::None,
            graded: false,
            variants: &[portable(
                "tp__cgroup_rmdir",
                "tp/cgroup/cgroup_rmdir",
                101,
                cgroup_fields!(rmdir_root, rmdir_id, rmdir_path),
            )],
        },
    ],
    load: |btf, prepare, loaded| {
        load::<skel::process_portable::ProcessPortableSkelBuilder>(btf, prepare, loaded)
    },
};

const FILE_PORTABLE: Mechanism = Mechanism {
    object: "file_portable",
    slots: 1,
    points: &[required(
        "opens and changes of names",
        Proof::Always,
        &[variant("raw_tp__sys_exit", "raw_tp/sys_exit", 96, Tier::Portable)],
    )],
    load: |btf, prepare, loaded| load::<skel::file_portable::FilePortableSkelBuilder>(btf, prepare, loaded),
};

/// What `full` and `kprobe` have in common, each hook by itself.
macro_rules! memory_points {
    ($($open:expr),+) => {
        &[
            $($open,)+
            required(
                "attaching by ptrace",
                Proof::Always,
                &[
                    variant("fexit__ptrace_attach", "fexit/ptrace_attach", 196, Tier::Full),
                    variant("kretprobe__ptrace_attach", "kretprobe/ptrace_attach", 202, Tier::Kprobe),
                ],
            ),
            required(
                "asking to be traced",
                // The canary would be stopped by its own exec.
                Proof::None,
                &[
                    variant("fexit__security_ptrace_traceme", "fexit/security_ptrace_traceme", 197, Tier::Full),
                    variant(
                        "kretprobe__security_ptrace_traceme",
                        "kretprobe/security_ptrace_traceme",
                        203,
                        Tier::Kprobe,
                    ),
                ],
            ),
            required(
                "process_vm_readv and process_vm_writev",
                Proof::Always,
                &[
                    variant("fexit__process_vm_rw", "fexit/process_vm_rw", 198, Tier::Full),
                    // Before 6.6 x86-64 has no trampoline for seven arguments.
                    variant("fexit__mm_access", "fexit/mm_access", 199, Tier::Full),
                    variant("kretprobe__process_vm_rw", "kretprobe/process_vm_rw", 204, Tier::Kprobe),
                ],
            ),
            required(
                "pidfd_getfd",
                Proof::Always,
                &[
                    variant("fexit__ptrace_may_access", "fexit/ptrace_may_access", 200, Tier::Full),
                    variant("kretprobe__ptrace_may_access", "kretprobe/ptrace_may_access", 205, Tier::Kprobe),
                ],
            ),
        ]
    };
}

/// The open of a file of /proc/PID; `required`: every kernel has it.
macro_rules! proc_open {
    ($name:literal, $function:literal, $id:literal, $required:literal) => {
        Point {
            name: $name,
            required: $required,
            proof: Proof::Always,
            graded: true,
            variants: &[variant(
                concat!("kretprobe__", $function),
                concat!("kretprobe/", $function),
                $id,
                Tier::Kprobe,
            )],
        }
    };
}

const MEMORY_FULL: Mechanism = Mechanism {
    object: "memory_hooks",
    slots: 6,
    points: memory_points!(required(
        "opens of files of processes",
        Proof::Always,
        &[
            variant("fexit__do_filp_open", "fexit/do_filp_open", 195, Tier::Full),
            variant("fexit__do_file_open", "fexit/do_file_open", 212, Tier::Full),
        ]
    )),
    load: |btf, prepare, loaded| load::<skel::memory_hooks::MemoryHooksSkelBuilder>(btf, prepare, loaded),
};

const MEMORY_KPROBE: Mechanism = Mechanism {
    points: memory_points!(
        proc_open!("opens of mem", "mem_open", 206, true),
        proc_open!("opens of environ", "environ_open", 207, true),
        proc_open!("opens of maps", "pid_maps_open", 208, true),
        // CONFIG_PROC_PAGE_MONITOR
        proc_open!("opens of smaps", "pid_smaps_open", 209, false),
        proc_open!("opens of smaps_rollup", "smaps_rollup_open", 210, false),
        // CONFIG_NUMA
        proc_open!("opens of numa_maps", "pid_numa_maps_open", 211, false),
        Point {
            name: "refused opens",
            required: true,
            // Nobody refuses the canary, who is root.
            proof: Proof::None,
            graded: true,
            variants: &[
                variant("kretprobe__do_filp_open", "kretprobe/do_filp_open", 201, Tier::Kprobe),
                variant("kretprobe__do_file_open", "kretprobe/do_file_open", 213, Tier::Kprobe),
            ],
        }
    ),
    ..MEMORY_FULL
};

const MEMORY: Mechanism = Mechanism {
    object: "memory",
    slots: 1,
    points: &[required(
        "acts on other processes",
        Proof::Always,
        &[
            variant("tp_btf__sys_exit", "tp_btf/sys_exit", 192, Tier::Tracepoint),
            variant("raw_tp__sys_exit", "raw_tp/sys_exit", 193, Tier::Tracepoint),
        ],
    )],
    load: |btf, prepare, loaded| load::<skel::memory::MemorySkelBuilder>(btf, prepare, loaded),
};

const MEMORY_PORTABLE: Mechanism = Mechanism {
    object: "memory_portable",
    slots: 1,
    points: &[required(
        "acts on other processes",
        Proof::Always,
        &[variant("raw_tp__sys_exit", "raw_tp/sys_exit", 194, Tier::Portable)],
    )],
    load: |btf, prepare, loaded| {
        load::<skel::memory_portable::MemoryPortableSkelBuilder>(btf, prepare, loaded)
    },
};

/// A program of the root cgroup: without it destinations are what callers gave.
macro_rules! cgroup {
    ($what:literal, $hook:literal, $id:literal, $tier:expr, $proof:expr) => {
        Point {
            name: $what,
            required: false,
            proof: $proof,
            graded: true,
            variants: &[variant(concat!("cgroup__", $hook), concat!("cgroup/", $hook), $id, $tier)],
        }
    };
}

/// One hook of `network_security`: kind and function, number, tier.
macro_rules! socket {
    ($name:literal, $required:literal, $proof:ident, $kind:literal, $function:literal, $id:literal, $tier:ident) => {
        Point {
            name: $name,
            required: $required,
            proof: Proof::$proof,
            graded: true,
            variants: &[variant(
                concat!($kind, "__", $function),
                concat!($kind, "/", $function),
                $id,
                Tier::$tier,
            )],
        }
    };
}

/// Where the end of a connection is seen, at a tier.
macro_rules! connected {
    ($kind:literal, $tier:expr, $function:literal) => {
        connected!($kind, $tier, $function, true)
    };
    ($kind:literal, $tier:expr, $function:literal, $required:literal) => {
        Point {
            name: concat!("the end of ", $function),
            required: $required,
            proof: Proof::None,
            graded: true,
            variants: &[variant(concat!($kind, "__", $function), concat!($kind, "/", $function), 0, $tier)],
        }
    };
}

const NETWORK_FULL: Mechanism = Mechanism {
    object: "network_security",
    slots: 1,
    points: &[
        required(
            "connections",
            Proof::Network,
            &[
                variant("fexit__security_socket_connect", "fexit/security_socket_connect", 144, Tier::Full),
                variant("lsm__socket_connect", "lsm/socket_connect", 145, Tier::Full),
            ],
        ),
        connected!("fexit", Tier::Full, "inet_stream_connect"),
        connected!("fexit", Tier::Full, "inet_dgram_connect"),
        connected!("fexit", Tier::Full, "unix_stream_connect"),
        connected!("fexit", Tier::Full, "unix_dgram_connect"),
        socket!(
            "connections with data in their first packet",
            false,
            None,
            "fexit",
            "security_socket_sendmsg",
            157,
            Full
        ),
        socket!("datagrams, IPv4", true, Network, "fexit", "udp_sendmsg", 147, Full),
        socket!("datagrams, IPv6", false, None, "fexit", "udpv6_sendmsg", 149, Full),
        socket!("listeners", true, Network, "fexit", "inet_listen", 151, Full),
        socket!("accepted connections", true, Network, "fentry", "security_sock_graft", 153, Full),
        socket!("sockets", true, Network, "fexit", "__sock_create", 155, Full),
    ],
    load: |btf, prepare, loaded| {
        load::<skel::network_security::NetworkSecuritySkelBuilder>(btf, prepare, loaded)
    },
};

const NETWORK_KPROBE: Mechanism = Mechanism {
    points: &[
        socket!("connections", true, Network, "kprobe", "security_socket_connect", 146, Kprobe),
        refusal!("socket_connect"),
        connected!("kretprobe", Tier::Kprobe, "inet_stream_connect"),
        connected!("kretprobe", Tier::Kprobe, "inet_dgram_connect"),
        connected!("kretprobe", Tier::Kprobe, "unix_stream_connect"),
        connected!("kretprobe", Tier::Kprobe, "unix_dgram_connect"),
        socket!(
            "connections with data in their first packet",
            false,
            None,
            "kprobe",
            "security_socket_sendmsg",
            158,
            Kprobe
        ),
        connected!("kretprobe", Tier::Kprobe, "udp_sendmsg"),
        socket!("datagrams, IPv4", true, Network, "kprobe", "udp_sendmsg", 148, Kprobe),
        connected!("kretprobe", Tier::Kprobe, "udpv6_sendmsg", false),
        socket!("datagrams, IPv6", false, None, "kprobe", "udpv6_sendmsg", 150, Kprobe),
        socket!("listeners", true, Network, "kprobe", "inet_listen", 152, Kprobe),
        connected!("kretprobe", Tier::Kprobe, "inet_listen"),
        socket!("accepted connections", true, Network, "kprobe", "security_sock_graft", 154, Kprobe),
        socket!("sockets", true, Network, "kprobe", "__sock_create", 156, Kprobe),
        connected!("kretprobe", Tier::Kprobe, "__sock_create"),
    ],
    ..NETWORK_FULL
};

const NETWORK: Mechanism = Mechanism {
    object: "network",
    slots: 1,
    points: &[
        required(
            "calls of sockets",
            Proof::Network,
            &[
                variant("tp_btf__sys_exit", "tp_btf/sys_exit", 128, Tier::Tracepoint),
                variant("raw_tp__sys_exit", "raw_tp/sys_exit", 129, Tier::Tracepoint),
            ],
        ),
        cgroup!("connections, IPv4", "connect4", 130, Tier::Tracepoint, Proof::Network),
        cgroup!("connections, IPv6", "connect6", 131, Tier::Tracepoint, Proof::None),
        cgroup!("datagrams, IPv4", "sendmsg4", 132, Tier::Tracepoint, Proof::Network),
        cgroup!("datagrams, IPv6", "sendmsg6", 133, Tier::Tracepoint, Proof::None),
    ],
    load: |btf, prepare, loaded| load::<skel::network::NetworkSkelBuilder>(btf, prepare, loaded),
};

const NETWORK_PORTABLE: Mechanism = Mechanism {
    object: "network_portable",
    slots: 1,
    points: &[
        required(
            "calls of sockets",
            Proof::Network,
            &[variant("raw_tp__sys_exit", "raw_tp/sys_exit", 136, Tier::Portable)],
        ),
        cgroup!("connections, IPv4", "connect4", 137, Tier::Portable, Proof::Network),
        cgroup!("connections, IPv6", "connect6", 138, Tier::Portable, Proof::None),
        cgroup!("datagrams, IPv4", "sendmsg4", 139, Tier::Portable, Proof::Network),
        cgroup!("datagrams, IPv6", "sendmsg6", 140, Tier::Portable, Proof::None),
    ],
    load: |btf, prepare, loaded| {
        load::<skel::network_portable::NetworkPortableSkelBuilder>(btf, prepare, loaded)
    },
};

/// The end of a system call that has a function of its own.
macro_rules! call {
    ($name:literal, $function:literal, $required:literal, $proof:ident, $fexit:literal, $kretprobe:literal) => {
        Point {
            name: $name,
            required: $required,
            proof: Proof::$proof,
            graded: true,
            variants: &[
                variant(concat!("fexit__", $function), concat!("fexit/", $function), $fexit, Tier::Full),
                variant(
                    concat!("kretprobe__", $function),
                    concat!("kretprobe/", $function),
                    $kretprobe,
                    Tier::Kprobe,
                ),
            ],
        }
    };
}

/// What `full` and `kprobe` have in common. On arm64 a system call has one function for all
/// programs; on x86-64 a kernel may be built without those of 32-bit ones. Of clocks and modules the
/// unit that systemd starts the canary in has no system calls (`ProtectClock=`, `SystemCallFilter=`).
macro_rules! kernel_points {
    ($($signal:expr),+) => {
        &[
            call!("eBPF", "sys_bpf", true, Always, 229, 241),
            call!("eBPF of 32-bit programs", "ia32_sys_bpf", false, None, 230, 242),
            call!("io_uring", "sys_io_uring_setup", true, Always, 231, 243),
            call!("io_uring of 32-bit programs", "ia32_sys_io_uring_setup", false, None, 232, 244),
            call!("refused modules", "sys_init_module", true, None, 233, 245),
            call!("refused modules of 32-bit programs", "ia32_sys_init_module", false, None, 234, 246),
            call!("refused modules from files", "sys_finit_module", true, None, 235, 247),
            call!(
                "refused modules from files of 32-bit programs",
                "ia32_sys_finit_module",
                false,
                None,
                236,
                248
            ),
            call!("setting the clock", "do_sys_settimeofday64", true, None, 237, 249),
            call!("adjusting the clock", "do_adjtimex", true, None, 238, 250),
            $($signal,)+
            Point {
                // A kernel may be built without modules.
                name: "modules",
                required: false,
                proof: Proof::None,
                graded: true,
                variants: &[
                    variant("tp_btf__module_load", "tp_btf/module_load", 240, Tier::Full),
                    variant("raw_tp__module_load", "raw_tp/module_load", 252, Tier::Kprobe),
                ],
            },
        ]
    };
}

const KERNEL_FULL: Mechanism = Mechanism {
    object: "kernel_hooks",
    slots: 3,
    points: kernel_points!(required(
        "signals",
        Proof::Always,
        &[variant("fexit__check_kill_permission", "fexit/check_kill_permission", 239, Tier::Full)]
    )),
    load: |btf, prepare, loaded| load::<skel::kernel_hooks::KernelHooksSkelBuilder>(btf, prepare, loaded),
};

const KERNEL_KPROBE: Mechanism = Mechanism {
    points: kernel_points!(
        required(
            "signals",
            Proof::Always,
            &[variant("kprobe__check_kill_permission", "kprobe/check_kill_permission", 251, Tier::Kprobe)]
        ),
        connected!("kretprobe", Tier::Kprobe, "check_kill_permission")
    ),
    ..KERNEL_FULL
};

const KERNEL: Mechanism = Mechanism {
    object: "kernel",
    slots: 1,
    points: &[
        required(
            "eBPF, io_uring, clocks, signals, refused modules",
            Proof::Always,
            &[
                variant("tp_btf__sys_exit", "tp_btf/sys_exit", 224, Tier::Tracepoint),
                variant("raw_tp__sys_exit", "raw_tp/sys_exit", 225, Tier::Tracepoint),
            ],
        ),
        Point {
            // A kernel may be built without modules.
            name: "modules",
            required: false,
            proof: Proof::None,
            graded: true,
            variants: &[variant("raw_tp__module_load", "raw_tp/module_load", 228, Tier::Tracepoint)],
        },
    ],
    load: |btf, prepare, loaded| load::<skel::kernel::KernelSkelBuilder>(btf, prepare, loaded),
};

const KERNEL_PORTABLE: Mechanism = Mechanism {
    object: "kernel_portable",
    slots: 1,
    points: &[required(
        "modules, eBPF, io_uring, clocks, signals",
        Proof::Always,
        &[variant("raw_tp__sys_exit", "raw_tp/sys_exit", 226, Tier::Portable)],
    )],
    load: |btf, prepare, loaded| {
        load::<skel::kernel_portable::KernelPortableSkelBuilder>(btf, prepare, loaded)
    },
};

/// What stands in front of the programs of several sensors: exits.rs.
pub(super) const EXITS: loader::Load =
    |btf, prepare, loaded| load::<skel::exits::ExitsSkelBuilder>(btf, prepare, loaded);
/// The same for kernels without types, and for `raw_tp`.
pub(super) const EXITS_PORTABLE: loader::Load =
    |btf, prepare, loaded| load::<skel::exits_portable::ExitsPortableSkelBuilder>(btf, prepare, loaded);
/// The same at the end of opens.
pub(super) const OPENS: loader::Load =
    |btf, prepare, loaded| load::<skel::opens::OpensSkelBuilder>(btf, prepare, loaded);

/// Every sensor there is.
pub const FAMILIES: &[Family] = &[
    Family { name: "process", mechanisms: &[PROCESS, PROCESS_PORTABLE] },
    Family { name: "file", mechanisms: &[FILE_FULL, FILE_KPROBE, FILE, FILE_PORTABLE] },
    Family { name: "network", mechanisms: &[NETWORK_FULL, NETWORK_KPROBE, NETWORK, NETWORK_PORTABLE] },
    Family { name: "memory", mechanisms: &[MEMORY_FULL, MEMORY_KPROBE, MEMORY, MEMORY_PORTABLE] },
    Family { name: "kernel", mechanisms: &[KERNEL_FULL, KERNEL_KPROBE, KERNEL, KERNEL_PORTABLE] },
];

/// Opens, prepares and loads one skeleton; generic because each skeleton has
/// types of its own. Nothing but the object's memory dies with it: links and map
/// descriptors that `use_loaded` kept stay.
pub(super) fn load<B>(
    btf: Option<&Path>,
    prepare: loader::Prepare<'_>,
    use_loaded: loader::UseLoaded<'_>,
) -> Result<()>
where
    B: for<'obj> SkelBuilder<'obj> + Default,
{
    let mut storage = MaybeUninit::<OpenObject>::uninit();
    let mut builder = B::default();
    if let Some(btf) = btf {
        builder.object_builder_mut().btf_custom_path(btf)?;
    }
    let mut open = builder.open(&mut storage)?;
    prepare(open.open_object_mut())?;
    let skeleton = open.load()?;
    use_loaded(skeleton.object())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They run in the compiler; here as any function, so that what they fill in is seen.
    #[test]
    fn rows_are_what_is_written_in_them() {
        let row = variant("program", "hook", 7, Tier::Kprobe);
        assert_eq!((row.program, row.hook, row.id), ("program", "hook", 7));
        assert!(row.tier == Tier::Kprobe && row.fields.is_empty());
        let row = portable("program", "hook", 8, &[]);
        assert!(row.tier == Tier::Portable && row.id == 8);
        let point = required("point", Proof::Always, &[]);
        assert!(point.name == "point" && point.required && point.graded && point.variants.is_empty());
    }
}
