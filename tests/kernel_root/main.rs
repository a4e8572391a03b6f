//! The kernel side and the parts that meet it, on this kernel: the loader, a ring
//! the kernel fills, the records of real acts, and the promise that no watched
//! name is missed. Needs root.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests"
)]

mod btf;
mod daemon;
mod loader;
mod names;
mod records;
mod ring;
mod running;
#[path = "../scanner_support/mod.rs"]
mod scanner_support;
mod watch;
mod wrong_types;
