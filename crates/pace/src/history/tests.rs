use super::*;
use chrono::TimeDelta;
use proptest::prelude::*;

const HALF_LIFE: Duration = Duration::from_secs(3 * 86_400);
const PRIOR: f64 = 0.1;

fn prior() -> Prior {
    Prior::assumed(PRIOR)
}

/// Monday, 5 January 1970.
fn monday() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(4)
}

/// The history after polling every half hour.
fn polled(minutes: &[i64], until: TimeDelta) -> History {
    let mut history = History::empty(monday());
    let mut rest = minutes;
    let mut now = monday();
    while now < monday() + until {
        now += TimeDelta::minutes(30);
        let (seen, later) = rest.split_at(rest.iter().take_while(|at| monday() + TimeDelta::minutes(**at) <= now).count());
        let seen: Vec<_> = seen.iter().map(|at| monday() + TimeDelta::minutes(*at)).collect();
        if !seen.is_empty() {
            history = history.observe(now, &seen, HALF_LIFE, &prior());
        }
        rest = later;
    }
    history
}

#[test]
fn a_steady_stream_is_learnt_at_its_rate() {
    for days in [2, 30] {
        let minutes: Vec<i64> = (0..days * 48).map(|at| at * 30).collect();
        let history = polled(&minutes, TimeDelta::days(days));
        let rate = history.rate(monday() + TimeDelta::days(days), HALF_LIFE, &prior());
        assert!((1.7..=2.2).contains(&rate), "2 changes an hour were learnt as {rate} in {days} days");
    }
}

#[test]
fn silence_brings_the_rate_down_without_a_change_being_seen() {
    let history = polled(&[0, 30, 60], TimeDelta::hours(2));
    let rate = |days| history.rate(monday() + TimeDelta::days(days), HALF_LIFE, &prior());
    assert!(rate(1) > rate(10) && rate(10) > rate(60) && rate(60) < 0.01, "{} {} {}", rate(1), rate(10), rate(60));
}

#[test]
fn before_anything_is_seen_the_prior_is_believed() {
    let rate = History::empty(monday()).rate(monday(), HALF_LIFE, &prior());
    let alone = rate * scales::alone(&History::empty(monday()).shares(&prior()));
    assert!((alone / PRIOR - 1.0).abs() < 1e-9, "{rate}");
    // A listing without a change in a month is stronger evidence.
    let listed = History::to_be_listed(monday(), monday() - TimeDelta::days(30));
    assert!(listed.rate(monday(), HALF_LIFE, &prior()) < 0.01);
}

#[test]
fn bursts_are_told_from_a_steady_stream() {
    let steady = polled(&(0..200).map(|at| at * 90).collect::<Vec<_>>(), TimeDelta::days(14));
    let bursts = polled(&(0..200).map(|at| (at / 10) * 900 + (at % 10) * 3).collect::<Vec<_>>(), TimeDelta::days(14));
    assert!(steady.bursts < -2.0 && bursts.bursts > 2.0, "{} {}", steady.bursts, bursts.bursts);
    let last = bursts.at;
    let [soon, later] = [1, 300].map(|minutes| bursts.forecast(last + TimeDelta::minutes(minutes), HALF_LIFE, &prior()));
    let extra = |forecast: &Forecast| forecast.bursts.iter().map(|burst| burst.extra).sum::<f64>();
    assert!(extra(&soon) > soon.rate && extra(&later) < 0.0, "{soon:?} {later:?}");
}

#[test]
fn office_hours_are_learnt_and_one_busy_morning_is_not() {
    let office: Vec<i64> = (0..14 * 24 * 4)
        .filter(|at| at / 96 % 7 < 5 && (9..18).contains(&(at / 4 % 24)))
        // Not on the quarter, so that they do not look like bursts.
        .map(|at| at * 15 + at * 7 % 13)
        .collect();
    let week = polled(&office, TimeDelta::days(14)).week(HALF_LIFE);
    let at = |day, hour| week.at(monday() + TimeDelta::days(day) + TimeDelta::hours(hour));
    assert!(at(1, 11) > 2.0 && at(1, 3) < 0.3 && at(5, 11) < 0.7, "{} {} {}", at(1, 11), at(1, 3), at(5, 11));
    let once = polled(&[600, 603, 605, 609, 613], TimeDelta::days(1)).week(HALF_LIFE);
    let morning = once.at(monday() + TimeDelta::hours(10));
    // Like that of a usual day, at most.
    assert!(morning < 2.0, "{morning}");
}

proptest! {
    #[test]
    fn the_order_of_changes_and_the_clock_of_the_provider_do_not_matter(mut minutes in proptest::collection::vec(0i64..20_000, 0..40)) {
        let now = monday() + TimeDelta::minutes(10_000);
        let observed = |minutes: &[i64]| {
            let changes: Vec<_> = minutes.iter().map(|at| monday() + TimeDelta::minutes(*at)).collect();
            History::empty(monday()).observe(now, &changes, HALF_LIFE, &prior())
        };
        let as_given = observed(&minutes);
        minutes.sort_unstable();
        prop_assert_eq!(as_given, observed(&minutes));
        let rate = as_given.rate(now, HALF_LIFE, &prior());
        let forecast = as_given.forecast(now, HALF_LIFE, &prior());
        prop_assert!(rate > 0.0 && rate.is_finite() && forecast.steadied(1.0, 0.05) > 0.0 && forecast.bursts.iter().all(|burst| burst.fade > 0.0));
    }
}
