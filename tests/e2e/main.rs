//! End-to-end tests: the real daemon on the real kernel, real triggers, exact
//! numbers. They need root and run one after the other (`make test-root`).
//!
//! `harness/` starts, stops and reads; every other file is one theme of what
//! the product promises.

#![allow(clippy::unwrap_used)] // A test that cannot go on says where and why.

mod harness;

mod attrs;
mod both;
mod check;
mod control;
mod faults;
mod flags;
mod footprint;
mod hog;
mod hostile;
mod identity;
mod journal;
mod kernel;
mod lifecycle;
mod many;
mod memory;
mod modules;
mod names;
mod network;
mod opens;
mod paths;
mod privileges;
mod process;
mod refused;
mod reload;
mod restart;
mod rounds;
mod service;
mod sockets;
mod storm;
mod tools;
