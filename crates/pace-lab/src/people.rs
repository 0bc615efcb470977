//! The changes of people at work: each twentieth of 2,000 people, most of whom changed something at least 20 or 3 times in 28 days, if anything at all.

use std::time::Duration;

use chrono::TimeDelta;

use super::recorded::Recorded;
use super::{Rule, Terms, Window, replay, start};
use pace::Bounds;

const DAY: Duration = Duration::from_secs(86_400);

/// The mean delay of a rule in the second half, at 24 calls a day.
fn mean(file: &[u8], rule: Rule) -> f64 {
    let recorded = Recorded::parse(file).expect("traces");
    let (days, streams) = (recorded.days, recorded.all.expect("the number of streams"));
    assert_eq!((days, streams), (28, 100));
    let bounds = Bounds { min: DAY / 1440, max: DAY, prior: 0.1, full_pass_every: None };
    let terms = Terms {
        bounds,
        half_life: HALF_LIFE_DAYS * DAY,
        jitter: 0.15,
        every: Duration::ZERO,
        start: start(),
        days,
        calls: 24.0,
        seed: 1,
    };
    let window = Window { from: start() + TimeDelta::days(14), until: start() + TimeDelta::days(28) };
    let traces = recorded.traces(streams, days);
    let (_, tally) = replay::tuned(&traces, rule, 24.0 * 14.0 * streams as f64, &terms, window).expect("the calls can be met");
    tally.delays.iter().map(|hours| f64::from(*hours)).sum::<f64>() / tally.delays.len() as f64
}

/// As in the settings.
const HALF_LIFE_DAYS: u32 = 4;

#[test]
fn people_who_change_something_each_day_wait_little_more_than_half_as_long_as_with_a_fixed_interval() {
    let file = include_bytes!("../traces/people-20-a-month.tsv");
    let (ours, fixed) = (mean(file, Rule::Syncctl { hours: true }), mean(file, Rule::Fixed));
    assert!(ours < 0.6 * fixed, "{ours} h, {fixed} h with a fixed interval");
}

#[test]
fn people_who_change_something_each_week_wait_less_than_with_a_fixed_interval() {
    let file = include_bytes!("../traces/people-3-a-month.tsv");
    let (ours, fixed) = (mean(file, Rule::Syncctl { hours: true }), mean(file, Rule::Fixed));
    assert!(ours < 0.9 * fixed, "{ours} h, {fixed} h with a fixed interval");
}
