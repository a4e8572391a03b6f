//! The core by itself: bytes to records, rings, tables, decisions and the fate
//! of every record. No privilege, no kernel side.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests"
)]

mod decide;
mod decode;
mod enrich;
mod fates;
mod kernel;
mod memory;
mod network;
mod pipeline;
mod portable;
mod processes;
mod records;
mod ring;
mod shared;
mod wire;
