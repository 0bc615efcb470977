//! Counting of streams that a run polls more than once.

use super::*;
use crate::db::claims::StreamRow;

fn polled(again: bool, end: PollEnd) -> Outcome {
    let row = StreamRow { again, ..StreamRow::example(1, "project") };
    Outcome { fetches: vec![Duration::from_millis(150)], end, ..Outcome::of(&row) }
}

#[test]
fn a_yielding_stream_counts_as_interrupted_until_polled_again() {
    let mut report = Report::default();
    report.add(&polled(false, PollEnd::GaveWay));
    assert_eq!((report.streams, report.polls, report.interrupted_streams, report.users()), (1, 1, 1, 0));
    report.add(&polled(true, PollEnd::GaveWay));
    // Claimed once more, and not started before the run ended.
    report.give_back(vec![Outcome { fetches: Vec::new(), ..polled(true, PollEnd::Done) }]);
    assert_eq!((report.streams, report.polls, report.interrupted_streams, report.users()), (1, 2, 1, 0));
    report.add(&polled(true, PollEnd::Done));
    assert_eq!((report.streams, report.polls, report.interrupted_streams, report.users()), (1, 3, 0, 1));
}
