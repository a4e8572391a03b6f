//! The process sensor: its mechanisms, best first.

use super::{load, portable, required, variant};
use crate::canary::Proof;
use crate::probe::{Field, Mechanism, Point, Shape, Tier};
use crate::skel;

pub(super) const MECHANISMS: &[Mechanism] = &[TYPED, PORTABLE];

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

const TYPED: Mechanism = Mechanism {
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

const PORTABLE: Mechanism = Mechanism {
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
