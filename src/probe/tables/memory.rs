//! The memory sensor: its mechanisms, best first.

use super::{load, required, variant};
use crate::canary::Proof;
use crate::probe::{Mechanism, Point, Tier};
use crate::skel;

pub(super) const MECHANISMS: &[Mechanism] = &[FULL, KPROBE, TRACEPOINT, PORTABLE];

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

const FULL: Mechanism = Mechanism {
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

const KPROBE: Mechanism = Mechanism {
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
    ..FULL
};

const TRACEPOINT: Mechanism = Mechanism {
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

const PORTABLE: Mechanism = Mechanism {
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
