//! While another build's programs are attached beside ours: each event is told once. Both
//! sides see it; up to a moment those of the build before count, from then on ours. Around that
//! moment the two records of one event are told by who did it and when.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Daemon, GATHER};
use crate::decode;
use crate::wire::bee_header;

/// Both sides are listened to this long around the moment, in nanoseconds.
const SEAM: u64 = 1_000_000;
/// Two records of one event are made within this, in nanoseconds.
const APART: u64 = 200_000;
/// How long after the moment something may come from programs that are being detached.
const DETACHING: Duration = Duration::from_secs(2);
/// Records of the seam that wait for their like; more come from no machine in two milliseconds.
const REMEMBERED: usize = 4096;

/// A record of the seam.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    old: bool,
    kind: u16,
    tid: u32,
    time: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Overlap {
    /// From then on ours count (`CLOCK_BOOTTIME`, ns); until it is known only the canary's do.
    from: u64,
    seam: VecDeque<Seen>,
    /// The canaries: what they do is for us alone.
    pub canaries: Vec<u32>,
    until: Option<Instant>,
}

impl Overlap {
    /// The other side counts until further notice.
    pub fn new() -> Self {
        Self { from: u64::MAX, seam: VecDeque::new(), canaries: Vec::new(), until: None }
    }

    /// Ours are proven: they count from `boot` on (`CLOCK_BOOTTIME`, ns).
    pub fn take_over(&mut self, boot: u64, now: Instant) {
        self.from = boot;
        self.until = Some(now + DETACHING);
    }

    /// When nothing comes from the other side any more.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether this record is told by the other side too, or by a canary to it. `old`: it is of
    /// the build before.
    pub fn is_double(&mut self, bytes: &[u8], old: bool) -> bool {
        let Some(header) = decode::header(bytes) else { return false };
        if self.canaries.contains(&header.tgid) {
            return old;
        }
        let time = header.time;
        let counts = if old { time < self.from.saturating_add(SEAM) } else { time >= self.from };
        if !counts {
            return true;
        }
        time.abs_diff(self.from) <= 2 * SEAM && self.has_like(header, old)
    }

    fn has_like(&mut self, header: &bee_header, old: bool) -> bool {
        let like = |seen: &Seen| {
            seen.old != old
                && (seen.kind, seen.tid) == (header.kind, header.tid)
                && seen.time.abs_diff(header.time) <= APART
        };
        if let Some(at) = self.seam.iter().position(like) {
            self.seam.remove(at);
            return true;
        }
        if self.seam.len() >= REMEMBERED {
            self.seam.pop_front();
        }
        self.seam.push_back(Seen { old, kind: header.kind, tid: header.tid, time: header.time });
        false
    }
}

impl Daemon<'_> {
    /// Another build's rings are given up once nothing comes into them and all of it is accounted for.
    pub(super) fn end_overlap(&mut self, now: Instant) {
        let Some(until) = self.overlap.as_ref().and_then(Overlap::until) else { return };
        if until > now {
            self.waiter.wake_at(until);
            return;
        }
        self.drain();
        if self.accounts.is_waiting() || self.rings[2..].iter().any(|ring| ring.waiting() > 0) {
            self.waiter.wake_at(now + GATHER[0]);
            return;
        }
        self.rings.truncate(2);
        self.accounts.forget_old();
        self.overlap = None;
        tracing::info!("the build before is detached, and its records are read to their end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    const FROM: u64 = 50_000_000_000;

    fn record(tid: u32, time: u64) -> Vec<u8> {
        let header =
            bee_header { tid, tgid: tid, time, kind: 4, version: wire::WIRE_VERSION, ..Default::default() };
        wire::bytes(&header).to_vec()
    }

    #[test]
    fn each_event_is_told_once_whenever_it_happens_and_whoever_sees_it_first() {
        for lead in [-60_000i64, -1, 0, 1, 60_000] {
            let mut overlap = Overlap::new();
            overlap.take_over(FROM, Instant::now());
            let mut both: Vec<(u64, bool, u32)> = Vec::new();
            for number in 0..20_000u32 {
                let old = FROM - 5_000_000 + u64::from(number) * 500;
                both.push((old, true, number));
                both.push((old.saturating_add_signed(lead), false, number));
            }
            both.sort_unstable();
            let mut told = vec![0; 20_000];
            for (time, old, number) in both {
                if !overlap.is_double(&record(number, time), old) {
                    told[number as usize] += 1;
                }
            }
            assert!(
                told.iter().all(|count| *count == 1),
                "lead {lead}: {:?}",
                told.iter().position(|c| *c != 1)
            );
        }
    }

    #[test]
    fn until_ours_are_proven_only_the_canary_is_heard_of_them() {
        let mut overlap = Overlap::new();
        overlap.canaries.push(9);
        assert!(!overlap.is_double(&record(9, 5), false) && overlap.is_double(&record(9, 5), true));
        assert!(overlap.is_double(&record(8, 5), false) && !overlap.is_double(&record(8, 5), true));
    }
}
