//! The file sensor: its mechanisms, best first.

use super::{load, required, variant};
use crate::canary::Proof;
use crate::probe::{Mechanism, Point, Tier};
use crate::skel;

pub(super) const MECHANISMS: &[Mechanism] = &[FULL, KPROBE, TRACEPOINT, PORTABLE];

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

const FULL: Mechanism = Mechanism {
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

const KPROBE: Mechanism = Mechanism {
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
    ..FULL
};

const TRACEPOINT: Mechanism = Mechanism {
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

const PORTABLE: Mechanism = Mechanism {
    object: "file_portable",
    slots: 1,
    points: &[required(
        "opens and changes of names",
        Proof::Always,
        &[variant("raw_tp__sys_exit", "raw_tp/sys_exit", 96, Tier::Portable)],
    )],
    load: |btf, prepare, loaded| load::<skel::file_portable::FilePortableSkelBuilder>(btf, prepare, loaded),
};
