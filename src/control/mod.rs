//! The control socket: what a running daemon tells, and may be told, by whom.
//!
//! A client connects, sends one request, and gets one answer, or after `watch`
//! messages until one of both ends it. All of it happens in the daemon's one
//! loop and nothing in it ever waits: a client that does not read costs its
//! buffer, then its events, and is told how many. `docs/adr/0010-control-socket.md`
//! has the reasons. Nothing here knows maps, rings or sensors.

pub mod filter;
pub mod protocol;
mod server;
pub mod socket;
pub mod status;
mod watchers;

pub use server::{Asked, Server};
pub use socket::{Opened, Peer};
pub use watchers::{TAP, Tap};

use std::time::Duration;

/// Connections at once. The last [`RESERVED`] are for root and the daemon's own user.
pub const MAX_CONNECTIONS: usize = 1024;
/// See [`MAX_CONNECTIONS`].
pub const RESERVED: usize = 16;
/// Clients that watch at once.
pub const MAX_WATCHERS: usize = 64;
/// Bytes one watcher may be behind before its events are dropped and counted.
pub const WATCHER_BYTES: usize = 1024 * 1024;
/// Bytes all watchers together may be behind.
pub const WATCHERS_BYTES: usize = 8 * 1024 * 1024;
/// How long a client may take to send its request, and to read the answer.
pub const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long the scanner may take to open the configuration for a reload.
pub const RELOAD_TIME: Duration = Duration::from_secs(60);
