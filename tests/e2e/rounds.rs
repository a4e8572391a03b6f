//! Loaded and unloaded many times: nothing piles up.

use crate::harness::{Daemon, Fixture, dmesg, objects_left};

fn rounds(count: usize) {
    let fixture = Fixture::new();
    let before = dmesg();
    let left = objects_left(|| {
        for _ in 0..count {
            Daemon::start(&fixture, &[]).stop();
        }
    });
    assert!(left.is_empty(), "left in the kernel: {left:?}");
    let news: Vec<_> = dmesg().into_iter().skip_while(|line| before.contains(line)).collect();
    assert!(news.is_empty(), "the kernel had something to say: {news:#?}");
}

#[test]
fn root_five_rounds() {
    rounds(5);
}

#[test]
#[ignore = "slow; `make test-all` runs it"]
fn root_a_hundred_rounds() {
    rounds(100);
}
