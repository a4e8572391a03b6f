//! Folding by itself: bounded, and never hiding a first act.

use std::time::{Duration, Instant};

use bee_trace::sink::fold::{ACTS, Fold, Key, WAITING};

use crate::common::Random;

fn key(fold: &Fold, number: u64) -> Key {
    fold.key([&number.to_le_bytes()[..]].into_iter())
}

#[test]
fn no_more_acts_are_remembered_than_there_is_room_for() {
    let mut fold = Fold::new(Duration::from_secs(60));
    let now = Instant::now();
    for number in 0..ACTS as u64 {
        fold.written(key(&fold, number), 0, now);
    }
    let first = key(&fold, 0);
    assert!(fold.repeat(first, b"entry", 5));
    fold.written(key(&fold, 9_999), 0, now);
    assert!(
        !fold.is_repeat(key(&fold, 9_999), now),
        "there is no room to remember it, so it is always written"
    );
    // Room is made by telling the oldest.
    assert_eq!(fold.take(now, |_| false), None, "not while it cannot be told");
    let told = fold.take(now, |_| true).unwrap();
    assert_eq!((told.count, told.entry.as_slice(), told.first, told.last), (1, &b"entry"[..], 0, 5));
    fold.written(key(&fold, 9_999), 0, now);
    assert!(fold.is_repeat(key(&fold, 9_999), now) && !fold.is_repeat(first, now));
}

#[test]
fn no_more_bytes_wait_than_there_is_room_for() {
    let mut fold = Fold::new(Duration::from_secs(60));
    let now = Instant::now();
    let entry = vec![b'x'; 10_000];
    let mut folded = 0;
    for number in 0..100 {
        let key = key(&fold, number);
        fold.written(key, 0, now);
        folded += usize::from(fold.repeat(key, &entry, 1));
    }
    assert_eq!(folded, WAITING / entry.len());
    let first = key(&fold, 0);
    assert!(fold.repeat(first, &entry, 2), "another repeat of what waits already takes no more room");
    assert_eq!(fold.take_all().len(), folded);
    assert_eq!(fold.due(), None);
}

/// Whatever happens: what is written and what is told adds up, and the first of every act
/// in its window is written.
#[test]
fn everything_is_written_or_told_once() {
    let mut random = Random(0xfeed_beef_1234_5678);
    let mut fold = Fold::new(Duration::from_millis(50));
    let mut now = Instant::now();
    let (mut written, mut folded, mut told) = (0_u64, 0, 0);
    for round in 0..200_000_u64 {
        now += Duration::from_micros(random.next() % 400);
        while let Some(repeats) = fold.take(now, |_| true) {
            told += repeats.count;
        }
        let key = key(&fold, random.next() % 900);
        if fold.is_repeat(key, now) && fold.repeat(key, b"e", round) {
            folded += 1;
        } else {
            fold.written(key, round, now);
            written += 1;
        }
        if let Some(due) = fold.due() {
            assert!(due <= now + Duration::from_millis(50));
        }
    }
    told += fold.take_all().iter().map(|repeats| repeats.count).sum::<u64>();
    assert_eq!((written + folded, told), (200_000, folded));
    assert!(folded > 1000 && written > 1000, "{written} written, {folded} folded");
}
