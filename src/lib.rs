//! bee-traced: an eBPF security daemon.
//!
//! The way of an event:
//!
//! ```text
//! kernel hook ─► ring buffer ─► decode ─► enrich ─► decide ─► sinks
//!  src/bpf/       src/ring.rs    decode.rs  enrich/   decide/   sink/
//!       ▲
//!  src/probe/  chooses, loads and attaches the programs    src/daemon/ supervises all of it
//!  src/kernel/ says what this host offers                  src/config/ says what is wanted
//! ```
//!
//! `src/pipeline.rs` shows that way in one screen; read it next.

pub mod config;
pub mod error;
pub mod event;
pub mod privilege;
pub mod scanner;
pub mod watch;
