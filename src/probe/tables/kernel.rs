//! The kernel sensor: its mechanisms, best first.

use super::{load, required, variant};
use crate::canary::Proof;
use crate::probe::{Mechanism, Point, Tier};
use crate::skel;

pub(super) const MECHANISMS: &[Mechanism] = &[FULL, KPROBE, TRACEPOINT, PORTABLE];

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

const FULL: Mechanism = Mechanism {
    object: "kernel_hooks",
    slots: 3,
    points: kernel_points!(required(
        "signals",
        Proof::Always,
        &[variant("fexit__check_kill_permission", "fexit/check_kill_permission", 239, Tier::Full)]
    )),
    load: |btf, prepare, loaded| load::<skel::kernel_hooks::KernelHooksSkelBuilder>(btf, prepare, loaded),
};

const KPROBE: Mechanism = Mechanism {
    points: kernel_points!(
        required(
            "signals",
            Proof::Always,
            &[variant("kprobe__check_kill_permission", "kprobe/check_kill_permission", 251, Tier::Kprobe)]
        ),
        connected!("kretprobe", Tier::Kprobe, "check_kill_permission")
    ),
    ..FULL
};

const TRACEPOINT: Mechanism = Mechanism {
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

const PORTABLE: Mechanism = Mechanism {
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
