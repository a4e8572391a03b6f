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

pub mod btf;
pub mod btf_build;
pub mod btf_file;
pub mod canary;
pub mod check;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod decide;
pub mod decode;
pub mod docs;
pub mod enrich;
pub mod error;
pub mod event;
pub mod event_docs;
mod formats;
pub mod kernel;
pub mod ledger;
pub mod log;
pub mod man;
mod memory_use;
pub mod path;
pub mod pipeline;
pub mod privilege;
pub mod probe;
pub mod remote;
pub mod ring;
pub mod scanner;
pub mod shared;
pub mod sink;
mod skel;
pub mod store;
pub mod sys;
pub mod text;
pub mod trial;
pub mod watch;
pub mod wire;
