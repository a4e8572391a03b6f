//! What this machine, or who runs the tests, lets a sensor see. What a tier does not see it
//! must declare: a test that leaves something out names the declaration.

use std::sync::OnceLock;

use bee_trace::probe::{BLIND, Tier};
use serde_json::Value;

use super::{bee_trace, skipped};

/// The tier every daemon of this run is forced to: `BEE_FORCE_TIER`, read here and nowhere else.
pub fn forced() -> Option<String> {
    std::env::var("BEE_FORCE_TIER").ok().filter(|tier| !tier.is_empty())
}

/// The tier of this sensor: the one that is forced, else what `bee-trace check` says.
pub fn tier(sensor: &str) -> Tier {
    static FOUND: OnceLock<Value> = OnceLock::new();
    if let Some(forced) = forced() {
        return Tier::from_name(&forced).unwrap_or_else(|| panic!("BEE_FORCE_TIER={forced}"));
    }
    let found = FOUND.get_or_init(|| {
        let output = bee_trace().args(["check", "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    });
    let sensors = found["sensors"].as_array().unwrap();
    let row = sensors.iter().find(|row| row["sensor"] == sensor).unwrap();
    Tier::from_name(row["tier"].as_str().unwrap()).unwrap()
}

/// Something some tier does not see, by the words with which it says so.
#[derive(Debug)]
pub struct Blind {
    sensor: &'static str,
    words: &'static str,
}

/// Files under names nobody watches: links, mounts, devices, `/proc/PID/fd`.
pub const IDENTITY: Blind = Blind { sensor: "file", words: "known by name alone" };
/// `fchmod` and the like.
pub const DESCRIPTOR: Blind = Blind { sensor: "file", words: "changes by descriptor" };
/// `open_by_handle_at`.
pub const HANDLE: Blind = Blind { sensor: "file", words: "opens by handle" };
/// Whether an open made the file.
pub const CREATION: Blind = Blind { sensor: "file", words: "without O_EXCL" };
/// What a process ended with.
pub const STATUS: Blind = Blind { sensor: "process", words: "with which status" };
/// True path of a program, and where it lies.
pub const IMAGE: Blind = Blind { sensor: "process", words: "told by the name it was executed by" };
/// `[[exclude]]` by program.
pub const EXCLUDE: Blind = Blind { sensor: "process", words: "[[exclude]] by exe does not hold" };

/// Datagrams through a socket that is connected.
pub const CONNECTED_SEND: Blind =
    Blind { sensor: "network", words: "datagrams on a connected socket are not reported" };
/// How a TCP Fast Open ends.
pub const FAST_OPEN: Blind =
    Blind { sensor: "network", words: "begins with data in its first packet is not known" };
/// That io_uring made it, where no thread of its own did.
pub const URING_INLINE: Blind =
    Blind { sensor: "network", words: "is told as any other, unless a thread of io_uring" };
/// Whether several datagrams of one call are a 32-bit program's.
pub const WIDTH: Blind = Blind { sensor: "network", words: "are told as those of a 64-bit one" };
/// What a target is called now.
pub const TARGET: Blind = Blind { sensor: "memory", words: "what the process table knows" };
/// Files of a process in a directory that the name does not tell.
pub const PROC_NAMES: Blind = Blind { sensor: "memory", words: "known by name alone" };
/// Signals to a group.
pub const GROUP: Blind = Blind { sensor: "kernel", words: "sent to the daemon's process group" };
/// `pidfd_send_signal`.
pub const PIDFD: Blind = Blind { sensor: "kernel", words: "signals by pidfd_send_signal" };
/// Calls that would set a clock, of which this kernel has none for 32-bit programs.
pub const NO_CLOCK: Blind =
    Blind { sensor: "kernel", words: "is refused before it comes to the clock of the day" };

impl Blind {
    /// Whether the tier in use declares it.
    pub fn here(&self) -> bool {
        let tier = tier(self.sensor);
        BLIND
            .iter()
            .any(|(sensor, at, text)| *sensor == self.sensor && *at == tier && text.contains(self.words))
    }

    /// The same, for a test that has nothing to look at then; says so.
    pub fn skips(&self, test: &str) -> bool {
        let here = self.here();
        if here {
            let tier = tier(self.sensor).name();
            skipped(&format!("{test}: the tier {tier} declares: {}", self.words));
        }
        here
    }
}
