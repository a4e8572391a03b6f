//! The skeletons build.rs generates from `src/bpf/*.bpf.c`. Nothing else.
#![allow(
    missing_docs,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    clippy::absolute_paths
)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, unsafe_op_in_unsafe_fn, dead_code)]

pub mod base {
    include!(concat!(env!("OUT_DIR"), "/base.skel.rs"));
}
pub mod exits {
    include!(concat!(env!("OUT_DIR"), "/exits.skel.rs"));
}
pub mod exits_portable {
    include!(concat!(env!("OUT_DIR"), "/exits_portable.skel.rs"));
}
pub mod opens {
    include!(concat!(env!("OUT_DIR"), "/opens.skel.rs"));
}
pub mod process {
    include!(concat!(env!("OUT_DIR"), "/process.skel.rs"));
}
pub mod file {
    include!(concat!(env!("OUT_DIR"), "/file.skel.rs"));
}
pub mod file_security {
    include!(concat!(env!("OUT_DIR"), "/file_security.skel.rs"));
}
pub mod process_portable {
    include!(concat!(env!("OUT_DIR"), "/process_portable.skel.rs"));
}
pub mod memory {
    include!(concat!(env!("OUT_DIR"), "/memory.skel.rs"));
}
pub mod memory_hooks {
    include!(concat!(env!("OUT_DIR"), "/memory_hooks.skel.rs"));
}
pub mod memory_portable {
    include!(concat!(env!("OUT_DIR"), "/memory_portable.skel.rs"));
}
pub mod kernel {
    include!(concat!(env!("OUT_DIR"), "/kernel.skel.rs"));
}
pub mod kernel_hooks {
    include!(concat!(env!("OUT_DIR"), "/kernel_hooks.skel.rs"));
}
pub mod kernel_portable {
    include!(concat!(env!("OUT_DIR"), "/kernel_portable.skel.rs"));
}
pub mod file_portable {
    include!(concat!(env!("OUT_DIR"), "/file_portable.skel.rs"));
}
pub mod network_security {
    include!(concat!(env!("OUT_DIR"), "/network_security.skel.rs"));
}
pub mod network_portable {
    include!(concat!(env!("OUT_DIR"), "/network_portable.skel.rs"));
}
pub mod network {
    include!(concat!(env!("OUT_DIR"), "/network.skel.rs"));
}
