//! Forced tiers: what a person forces is what runs, or it says why it cannot.

use crate::harness::{Abi, Daemon, Fixture, bee_traced};

#[test]
fn root_a_forced_tier_is_the_tier_of_every_event_or_refused_with_a_reason() {
    let fixture = Fixture::new();
    let path = fixture.secret(1);
    for tier in ["full", "kprobe", "tracepoint", "portable"] {
        let probe = bee_traced()
            .arg("--config")
            .arg(fixture.config())
            .args(["--output", "json", "--duration", "1", "--force-tier", tier])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&probe.stderr);
        if probe.status.code() == Some(69) {
            assert!(errors.contains(tier), "refused without a word about {tier}: {errors}");
            continue;
        }
        assert_eq!(probe.status.code(), Some(0), "{tier}: {errors}");
        let daemon = Daemon::start_scanned(&fixture, &["--force-tier", tier]);
        let ran =
            fixture.trigger("open", Abi::Native).args(["openat", "r", "3"]).args([&path]).run().all_well(3);
        let run = daemon.stop();
        let events = run.files(&ran);
        assert_eq!(events.len(), 3, "{tier}");
        // Forced down, never up: a hook that has nothing better may be of a lower tier.
        for event in events {
            assert!(!event.text("bee.tier").is_empty(), "{event}");
        }
    }
}
