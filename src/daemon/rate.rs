//! Events per second over the last while, without waking for it: samples are
//! taken when the rings are emptied anyway. Pure.

use std::time::{Duration, Instant};

/// Rates are over at least this long.
const SPAN: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
struct Sample {
    at: Instant,
    counts: Vec<u64>,
}

/// See the module.
#[derive(Debug)]
pub struct Rate {
    older: Sample,
    newer: Sample,
    /// When counters last began to move.
    moved: Instant,
}

impl Rate {
    /// Counting begins `now`.
    pub fn new(now: Instant, counts: Vec<u64>) -> Self {
        let sample = Sample { at: now, counts };
        Self { older: sample.clone(), newer: sample, moved: now }
    }

    /// Counters are about to move.
    pub fn before(&mut self, now: Instant, counts: impl FnOnce() -> Vec<u64>) {
        if now.duration_since(self.newer.at) >= SPAN {
            let counts = counts();
            let begin = now.checked_sub(SPAN).filter(|begin| *begin >= self.moved);
            self.older = match begin {
                // Nothing has moved for long: what comes now is not to be spread over that.
                Some(begin) => Sample { at: begin, counts: counts.clone() },
                None => self.newer.clone(),
            };
            self.newer = Sample { at: now, counts };
        }
        self.moved = now;
    }

    /// The span in seconds, and the rate of each counter in it.
    pub fn read(&self, now: Instant, counts: &[u64]) -> (f64, Vec<f64>) {
        let base = if now.duration_since(self.newer.at) >= SPAN { &self.newer } else { &self.older };
        let (from, before) =
            match now.checked_sub(SPAN).filter(|begin| *begin >= self.moved && *begin > base.at) {
                Some(begin) => (begin, counts),
                None => (base.at, base.counts.as_slice()),
            };
        let span = now.duration_since(from).as_secs_f64();
        // No rate goes beyond 2^52 events.
        #[allow(clippy::cast_precision_loss)]
        let per_second = |(now, before): (&u64, &u64)| {
            if span > 0.0 { now.saturating_sub(*before) as f64 / span } else { 0.0 }
        };
        (span, counts.iter().zip(before).map(per_second).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: (f64, Vec<f64>), span: f64, rate: f64) {
        assert!(
            (found.0 - span).abs() < 0.01 && (found.1[0] - rate).abs() < 0.01,
            "{found:?}, not {span} {rate}"
        );
    }

    #[test]
    fn a_steady_stream_has_its_rate_and_silence_has_none() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut rate = Rate::new(start, vec![0]);
        near(rate.read(start, &[0]), 0.0, 0.0);
        for second in 1..=60 {
            rate.before(at(second), || vec![(second - 1) * 5]);
        }
        let (span, rates) = rate.read(at(60), &[300]);
        assert!((10.0..=20.0).contains(&span), "{span}");
        assert!((4.5..=5.5).contains(&rates[0]), "{rates:?}");
        near(rate.read(at(600), &[300]), 10.0, 0.0);
        // A burst after an hour is not spread over the hour.
        rate.before(at(3600), || vec![300]);
        near(rate.read(at(3602), &[1500]), 12.0, 100.0);
    }

    #[test]
    fn soon_after_the_start_the_span_is_short() {
        let start = Instant::now();
        let mut rate = Rate::new(start, vec![0]);
        rate.before(start + Duration::from_secs(1), || vec![0]);
        near(rate.read(start + Duration::from_secs(2), &[10]), 2.0, 5.0);
    }
}
