//! Nothing is lost in silence, and a flood does not hide the deed.

use crate::harness::{Abi, Daemon, Fixture};

#[test]
fn root_a_hog_is_accounted_to_the_last_open() {
    let fixture = Fixture::new();
    // A sink that is behind loses lines of any action; here each is to be told by its own.
    fixture.config();
    fixture.set_drop_in("[limits]\nqueue_kib = 524288\n");
    let (bait, secret) = (fixture.secret(1), fixture.secret(2));
    let daemon = Daemon::start_scanned(&fixture, &[]);
    let hogs: Vec<_> =
        (0..2).map(|_| fixture.trigger("hog", Abi::Native).args(["3000"]).args([&bait]).spawn()).collect();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let deed =
        fixture.trigger("open", Abi::Native).args(["openat", "r", "1"]).args([&secret]).run().all_well(1);
    let hogs: Vec<_> = hogs.into_iter().map(|hog| hog.finish()).collect();
    let run = daemon.stop();

    let emitted: u64 = hogs.iter().map(|hog| u64::try_from(hog.acts[0].0).unwrap()).sum();
    let delivered = hogs.iter().flat_map(|hog| run.files(hog)).count() as u64;
    let dropped = run.lost("open");
    assert_eq!(
        delivered + dropped,
        emitted,
        "delivered {delivered}, dropped {dropped}, by the hogs' word {emitted}"
    );
    assert!(dropped > 0, "the hogs were not fast enough to prove anything: {emitted} opens");
    assert!(delivered > 0, "nothing of a flood came through");
    for loss in run.action("loss") {
        assert!(loss.number("bee.loss.count").is_some_and(|count| count > 0), "{loss}");
        assert!(!loss.text("bee.loss.cause").is_empty() && !loss.text("bee.loss.stage").is_empty(), "{loss}");
        assert!(loss.text("bee.loss.since") <= loss.text("@timestamp"), "{loss}");
    }

    let events = run.files(&deed);
    assert_eq!(events.len(), 1, "the deed in the middle of the flood");
    assert_eq!(events[0].text("file.path"), secret.to_str().unwrap());
}
