//! The sinks from outside: every event becomes one valid line, and the counters
//! say exactly what became of it.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod common;
mod entry;
mod file;
mod fold;
mod journal;
mod queue;
mod render;
