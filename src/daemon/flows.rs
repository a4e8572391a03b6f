//! Flows of datagrams whose count nobody was told: the kernel side tells it with the next
//! datagram, and where none comes it is told from here, once the window is over.

use std::time::{Duration, Instant};

use libbpf_rs::{MapCore, MapFlags, MapHandle};

use crate::error::{Error, Result};
use crate::pipeline::Pipeline;
use crate::probe::loader::Maps;
use crate::shared::Counters;
use crate::wire::{self, KIND_SEND, bee_flow};

/// The column of datagrams that were added to a flow, and that of records in a ring.
const FOLDED: usize = 10;
const SUBMITTED: usize = 0;

/// The kernel's table of flows, and when to look at it.
#[derive(Debug)]
pub(super) struct Flows {
    map: MapHandle,
    folded: u64,
    due: Option<Instant>,
}

impl Flows {
    pub(super) fn new(maps: &Maps) -> Result<Self> {
        let map = MapHandle::try_from(maps.get("flows")?)
            .map_err(|error| Error::from(error).context("the table of flows"))?;
        Ok(Self { map, folded: 0, due: None })
    }

    /// When there may be something to tell.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Tells what is due; with `all`, everything. `window`: of `network.window`. `sequence` gives the
    /// next number of the daemon's own.
    pub(super) fn tell(
        &mut self,
        counters: &Counters,
        pipeline: &mut Pipeline,
        window: Duration,
        all: bool,
        mut sequence: impl FnMut() -> u64,
    ) {
        let now = Instant::now();
        let folded = counters.get(usize::from(KIND_SEND), FOLDED);
        if folded != self.folded && self.due.is_none() {
            self.due = Some(now + window);
        }
        if !all && self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = None;
        let moved = folded != self.folded;
        self.folded = folded;
        if !moved && !all {
            return;
        }
        let boot = crate::sys::Clock::boot_now().unwrap_or(0);
        let mut left = false;
        let keys: Vec<Vec<u8>> = self.map.keys().collect();
        for key in keys {
            let Ok(Some(value)) = self.map.lookup(&key, MapFlags::ANY) else { continue };
            let mut flow = bee_flow::default();
            if plain::copy_from_bytes(&mut flow, &value).is_err()
                || i64::try_from(flow.folded).unwrap_or(0) == 0
            {
                continue;
            }
            let over = Duration::from_nanos(boot.saturating_sub(flow.record.header.time)) >= window;
            if !over && !all {
                left = true;
                continue;
            }
            // The next datagram begins a new flow. What comes between reading and this is told by
            // nobody but the counter.
            if self.map.delete(&key).is_err() {
                continue;
            }
            flow.record.facts.count = flow.folded;
            flow.record.header.time = flow.last;
            // It is a record like those that come through the rings, and counted like them.
            counters.add(usize::from(KIND_SEND), SUBMITTED, 1);
            pipeline.step(wire::bytes(&flow.record), sequence());
        }
        if left {
            self.due = Some(now + window);
        }
    }
}
