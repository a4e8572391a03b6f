//! The process table: who runs what, through forks, missed execs, reused numbers
//! and more processes than fit.

use std::rc::Rc;

use bee_trace::enrich::proc_scan::Found;
use bee_trace::enrich::process::{Image, Known, Processes, Seen, trim};

fn seen(tgid: u32, start_ticks: u64, exec_id: u64) -> Seen {
    Seen {
        uid: 0,
        tgid,
        time: start_ticks * 10_000_000,
        start_ticks: Some(start_ticks),
        about: false,
        parent: 0,
        exec_id: Some(exec_id),
        comm: *b"name\0\0\0\0\0\0\0\0\0\0\0\0",
        leader: true,
    }
}

fn image(path: &str) -> Image {
    Image { executable: path.as_bytes().into(), args: b"a\0".as_slice().into(), flags: 0 }
}

/// What the table says of it: the executable, `missed` or `unknown`.
fn runs(table: &mut Processes, who: Seen) -> String {
    match table.know(who) {
        Known::Image(image) => String::from_utf8(image.executable.to_vec()).unwrap(),
        Known::ExecMissed => "missed".to_owned(),
        Known::Unknown => "unknown".to_owned(),
    }
}

fn found(pid: u32, start_ticks: u64, exe: &str) -> Found {
    Found {
        pid,
        start_ticks,
        comm: b"a comm of more than sixteen".to_vec(),
        exe: Some(exe.as_bytes().to_vec()),
        ..Found::default()
    }
}

#[test]
fn an_exec_is_remembered_and_replaced() {
    let mut table = Processes::new(10);
    assert!(table.is_empty());
    assert_eq!(runs(&mut table, seen(5, 100, 1)), "unknown");
    table.executed(seen(5, 100, 1), image("/bin/sh"));
    assert_eq!(runs(&mut table, seen(5, 100, 1)), "/bin/sh");
    table.executed(seen(5, 100, 2), image("/bin/cat"));
    assert_eq!(runs(&mut table, seen(5, 100, 2)), "/bin/cat");
    assert_eq!(table.len(), 1);
}

#[test]
fn a_chain_of_forks_shares_one_image() {
    let mut table = Processes::new(100);
    table.executed(seen(1, 10, 4), image("/usr/sbin/daemon"));
    for pid in 2..60 {
        table.forked(seen(pid, 10 + u64::from(pid), 4), pid - 1);
    }
    let Known::Image(first) = table.know(seen(1, 10, 4)) else { panic!() };
    let Known::Image(last) = table.know(seen(59, 69, 4)) else { panic!() };
    assert!(Rc::ptr_eq(&first, &last));
    // One of them executes: only its own children follow.
    table.executed(seen(30, 40, 5), image("/bin/sh"));
    table.forked(seen(100, 500, 5), 30);
    assert_eq!(runs(&mut table, seen(100, 500, 5)), "/bin/sh");
    assert_eq!(runs(&mut table, seen(31, 41, 4)), "/usr/sbin/daemon");
}

#[test]
fn a_missed_exec_is_told_and_not_papered_over() {
    let mut table = Processes::new(10);
    table.executed(seen(5, 100, 1), image("/bin/sh"));
    assert_eq!(runs(&mut table, seen(5, 100, 2)), "missed");
    assert_eq!(runs(&mut table, seen(5, 100, 2)), "missed", "still");
    // Its children run what nobody has seen; they cannot be taken for the old image.
    table.forked(seen(6, 200, 2), 5);
    assert_eq!(runs(&mut table, seen(6, 200, 2)), "missed");
    table.executed(seen(5, 100, 3), image("/bin/cat"));
    assert_eq!(runs(&mut table, seen(5, 100, 3)), "/bin/cat");
}

#[test]
fn a_reused_number_is_another_process() {
    let mut table = Processes::new(10);
    table.executed(seen(5, 100, 1), image("/bin/old"));
    assert_eq!(runs(&mut table, seen(5, 101, 1)), "unknown", "younger than what we know");
    assert_eq!(runs(&mut table, seen(5, 100, 1)), "/bin/old", "and what we know is not lost by asking");
    table.forked(seen(5, 300, 1), 77);
    assert_eq!(runs(&mut table, seen(5, 300, 1)), "unknown", "its parent is not known");
    assert_eq!(runs(&mut table, seen(5, 100, 1)), "unknown");
    // The exit of the old one, told late, does not end the new one.
    assert!(table.exited(seen(5, 100, 1)));
    assert!(table.exited(seen(5, 300, 1)));
    assert!(!table.exited(seen(5, 300, 1)), "twice");
}

#[test]
fn the_end_is_told_once_and_the_image_stays_a_while() {
    let mut table = Processes::new(10);
    assert!(table.exited(seen(9, 1, 0)), "one we never knew: told, not remembered");
    table.executed(seen(5, 100, 1), image("/bin/sh"));
    assert!(table.exited(seen(5, 100, 1)));
    assert!(!table.exited(seen(5, 100, 1)));
    assert_eq!(runs(&mut table, seen(5, 100, 1)), "/bin/sh", "the other ring may hold records of it");
    assert_eq!(table.parent(5, 100).unwrap().name(), b"name");
}

#[test]
fn ended_processes_make_room_at_once_when_the_table_is_full() {
    let mut table = Processes::new(3);
    for pid in 1..=3 {
        table.executed(seen(pid, 10, 1), image("/bin/a"));
    }
    table.executed(seen(4, 10, 1), image("/bin/b"));
    assert_eq!((table.len(), table.refused()), (3, 1));
    assert_eq!(runs(&mut table, seen(4, 10, 1)), "unknown");
    // A known one may always change.
    table.executed(seen(3, 10, 2), image("/bin/c"));
    assert_eq!((runs(&mut table, seen(3, 10, 2)), table.refused()), ("/bin/c".to_owned(), 1));
    table.exited(seen(2, 10, 1));
    table.exited(seen(1, 10, 1));
    table.executed(seen(4, 10, 1), image("/bin/b"));
    assert_eq!(runs(&mut table, seen(2, 10, 1)), "unknown", "the first to end goes first");
    assert_eq!(runs(&mut table, seen(1, 10, 1)), "/bin/a");
    assert_eq!(runs(&mut table, seen(4, 10, 1)), "/bin/b");
}

#[test]
fn a_number_that_came_back_to_life_is_not_forgotten_with_its_old_owner() {
    let mut table = Processes::new(2);
    table.executed(seen(1, 10, 1), image("/bin/old"));
    table.exited(seen(1, 10, 1));
    table.executed(seen(1, 20, 1), image("/bin/new"));
    table.executed(seen(2, 20, 1), image("/bin/other"));
    table.executed(seen(3, 20, 1), image("/bin/late"));
    assert_eq!(runs(&mut table, seen(1, 20, 1)), "/bin/new");
    assert_eq!(table.refused(), 1);
}

#[test]
fn the_dead_are_bounded_too() {
    let mut table = Processes::new(100_000);
    for pid in 1..5000 {
        table.executed(seen(pid, 10, 1), image("/bin/a"));
        table.exited(seen(pid, 10, 1));
    }
    assert_eq!(table.len(), 512);
    assert_eq!(runs(&mut table, seen(4999, 10, 1)), "/bin/a");
    assert_eq!(runs(&mut table, seen(1, 10, 1)), "unknown");
}

#[test]
fn capacity_changes_and_is_never_zero() {
    let mut table = Processes::new(0);
    table.executed(seen(1, 1, 1), image("/bin/a"));
    assert_eq!(table.len(), 1);
    table.executed(seen(2, 1, 1), image("/bin/a"));
    assert_eq!(table.refused(), 1);
    table.set_capacity(2);
    table.executed(seen(2, 1, 1), image("/bin/a"));
    assert_eq!((table.len(), table.refused()), (2, 1));
    table.set_capacity(0);
    assert_eq!(table.len(), 2, "what is over it stays until it ends");
}

#[test]
fn proc_tells_of_those_that_were_there_before() {
    let mut table = Processes::new(10);
    table.prime(&found(5, 100, "/bin/sh"), 1 << 9);
    assert_eq!(table.parent(5, 100).unwrap().name(), b"a comm of more ");
    // Whatever its exec count is, the first record fixes it.
    assert_eq!(runs(&mut table, seen(5, 100, 8)), "/bin/sh");
    assert_eq!(runs(&mut table, seen(5, 100, 9)), "missed");
    let Known::Image(image) = table.know(seen(5, 100, 8)) else { panic!() };
    assert_eq!(image.flags, 1 << 9);
}

#[test]
fn a_child_fixes_the_exec_count_that_proc_did_not_tell() {
    let mut table = Processes::new(10);
    table.prime(&found(5, 100, "/bin/sh"), 0);
    table.forked(seen(6, 200, 8), 5);
    assert_eq!(runs(&mut table, seen(6, 200, 8)), "/bin/sh");
    assert_eq!(runs(&mut table, seen(6, 200, 9)), "missed");
}

#[test]
fn what_records_say_is_better_than_proc() {
    let mut table = Processes::new(10);
    table.executed(seen(5, 100, 1), image("/bin/seen"));
    table.prime(&found(5, 100, "/bin/stale"), 0);
    assert_eq!(runs(&mut table, seen(5, 100, 1)), "/bin/seen");
    // A number that was given to another since the scan.
    table.prime(&found(5, 90, "/bin/older"), 0);
    table.prime(&Found { ended: true, ..found(7, 100, "/bin/zombie") }, 0);
    assert_eq!(runs(&mut table, seen(7, 100, 1)), "unknown");
}

#[test]
fn a_parent_younger_than_its_child_is_none() {
    let mut table = Processes::new(10);
    table.executed(seen(5, 100, 1), image("/bin/sh"));
    assert!(table.parent(5, 100).is_some());
    assert!(table.parent(5, 99).is_none());
    assert!(table.parent(6, 1000).is_none());
}

#[test]
fn a_comm_follows_its_process() {
    let mut table = Processes::new(10);
    table.executed(seen(5, 100, 1), image("/bin/sh"));
    let mut renamed = seen(5, 100, 1);
    renamed.comm = *b"sixteen bytes !!";
    table.know(renamed);
    assert_eq!(table.parent(5, 100).unwrap().name(), b"sixteen bytes !!");
    assert_eq!(trim(b"\0hidden"), b"");
}

/// What a record says that has only the number of its process.
fn seen_by_number(tgid: u32, time: u64, leader: bool) -> Seen {
    Seen { time, start_ticks: None, about: true, exec_id: None, leader, ..seen(tgid, 0, 0) }
}

/// What a fork says of which only the time is known.
fn born_about(tgid: u32, ticks: u64, parent: u32) -> Seen {
    Seen { about: true, exec_id: None, parent, ..seen(tgid, ticks, 0) }
}

#[test]
fn a_record_with_a_number_alone_is_of_the_process_that_has_it() {
    let mut table = Processes::new(10);
    assert_eq!(table.origin(seen_by_number(5, 1, true)), (None, 0));
    table.prime(&found(4, 50, "/bin/sh"), 0);
    table.forked(born_about(5, 100, 4), 4);
    assert_eq!(runs(&mut table, seen_by_number(5, 2_000_000_000, true)), "/bin/sh");
    assert_eq!(table.origin(seen_by_number(5, 2_000_000_000, true)), (Some(100), 4));
    table.executed(seen_by_number(5, 2_000_000_000, true), image("/bin/cat"));
    assert_eq!(runs(&mut table, seen_by_number(5, 2_000_000_000, true)), "/bin/cat");
    assert_eq!(table.origin(seen_by_number(5, 2_000_000_000, true)), (Some(100), 4), "an exec keeps both");
    // Records of other programs say more of the same process: its true start may be in the tick before.
    assert_eq!(runs(&mut table, seen(5, 99, 7)), "/bin/cat");
    assert_eq!(runs(&mut table, seen(5, 98, 7)), "unknown");
    assert_eq!(runs(&mut table, seen(5, 99, 8)), "missed", "and which exec it was");
    assert_eq!(runs(&mut table, seen_by_number(5, 3_000_000_000, true)), "/bin/cat");
    table.prime(&found(5, 99, "/bin/elsewhere"), 0);
    assert_eq!(runs(&mut table, seen_by_number(5, 3_000_000_000, true)), "/bin/cat", "known better already");
}

#[test]
fn a_process_whose_end_was_told_is_not_the_one_that_has_its_number_later() {
    let mut table = Processes::new(10);
    table.forked(born_about(5, 100, 1), 1);
    table.executed(seen_by_number(5, 1_000_000_000, true), image("/bin/sh"));
    assert!(table.exited(seen_by_number(5, 2_000_000_000, true)));
    assert!(!table.exited(seen_by_number(5, 2_000_000_000, true)), "twice");
    // The other ring may hold records from before, and threads may outlive the first.
    assert_eq!(runs(&mut table, seen_by_number(5, 1_500_000_000, true)), "/bin/sh");
    assert_eq!(runs(&mut table, seen_by_number(5, 3_000_000_000, false)), "/bin/sh");
    // Its first thread cannot act any more: this is one whose fork was lost.
    assert_eq!(runs(&mut table, seen_by_number(5, 3_000_000_000, true)), "unknown");
    assert_eq!(table.origin(seen_by_number(5, 3_000_000_000, true)), (None, 0));
    table.executed(seen_by_number(5, 3_000_000_000, true), image("/bin/new"));
    assert_eq!(runs(&mut table, seen_by_number(5, 3_500_000_000, true)), "/bin/new");
    assert_eq!(table.origin(seen_by_number(5, 3_500_000_000, true)), (None, 0), "nothing of the old one's");
}

#[test]
fn a_parent_is_told_while_it_is_there() {
    let mut table = Processes::new(10);
    table.forked(born_about(4, 50, 1), 1);
    table.forked(born_about(5, 100, 4), 4);
    let now = |time| seen_by_number(5, time, true);
    assert_eq!(table.parent_of(5), 4);
    assert_eq!(table.origin(now(2_000_000_000)).1, 4);
    table.exited(seen_by_number(4, 2_000_000_000, true));
    assert_eq!(table.origin(now(1_900_000_000)).1, 4, "a record from before");
    assert_eq!(table.origin(now(2_100_000_000)).1, 0, "who has it now is not known");
    // The number is given to another, younger than the child.
    table.forked(born_about(4, 300, 1), 1);
    assert_eq!(table.origin(now(3_100_000_000)).1, 0);
}
