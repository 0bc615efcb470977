//! What the times of a stream's changes tell: how often it changes, whether in bursts, and when in the week.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::forecast::Forecast;
use super::profile::{Profile, Seen, Week};

/// Changes of evidence that the prior rate counts for.
const PRIOR_CHANGES: f64 = 0.5;
/// Hours in which a change of a burst counts half.
const BURST_HALF_LIFE: f64 = 0.25;
/// The share of changes that follow from others while a stream comes in bursts.
const BURST_SHARE: f64 = 0.7;
/// Nothing is ever quite sure: natural logarithm of the odds.
const SUREST: f64 = 6.0;
/// Odds of bursts before anything is known.
const PRIOR_BURSTS: f64 = -1.0;
/// Odds that the profile foretells changes, before anything is known.
const PRIOR_TIMED: f64 = -2.0;
/// A time of day is forgotten this many times more slowly than a change.
const PROFILE_MEMORY: f64 = 3.0;
/// A change at an hour without any counts for no more than that many.
const RAREST_HOUR: f64 = 0.25;

/// The changes of a stream, exponentially forgotten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History {
    /// Sum over all changes of 2^(-age / half-life), as of `at`.
    pub mass: f64,
    /// The same with a quarter of an hour as half-life, each change divided by the factor of its hour.
    pub recent: f64,
    /// Natural logarithm of the odds that changes come in bursts.
    pub bursts: f64,
    /// The same, that the profile foretells changes.
    pub timed: f64,
    /// Changes by hour of the day and day of the week.
    pub profile: Profile,
    /// When all this was true.
    pub at: DateTime<Utc>,
    /// Since when changes are known.
    pub since: DateTime<Utc>,
}

impl History {
    /// Nothing known; changes are seen from now on.
    pub fn empty(now: DateTime<Utc>) -> Self {
        Self {
            mass: 0.0,
            recent: 0.0,
            bursts: PRIOR_BURSTS,
            timed: PRIOR_TIMED,
            profile: Profile::default(),
            at: now,
            since: now,
        }
    }

    /// The history at `now` with these changes added. `half_life`: of a change; `prior`: changes an hour.
    pub fn observe(mut self, now: DateTime<Utc>, changes: &[DateTime<Utc>], half_life: Duration, prior: f64) -> Self {
        let mut changes = changes.to_vec();
        changes.sort_unstable();
        for change in changes {
            // Nothing changes in the future; clocks differ.
            let change = change.min(now);
            if change > self.at {
                let learnt = self.learnt(half_life);
                let rate = self.advance(change, &learnt, half_life, prior);
                self.hit(rate, &learnt);
            } else {
                self.recall(change, half_life);
            }
        }
        let learnt = self.learnt(half_life);
        self.advance(now, &learnt, half_life, prior);
        self
    }

    /// A change at `self.at`, where `rate` was believed.
    fn hit(&mut self, rate: f64, learnt: &Week) {
        // How many times likelier the change was for one who believes in bursts.
        let likelier = 1.0 + BURST_SHARE * (self.recent / BURST_MEMORY / rate - 1.0);
        self.bursts = (self.bursts + likelier.ln()).clamp(-SUREST, SUREST);
        let share = share(self.bursts);
        // What followed from other changes says little about the hour.
        let alone = 1.0 / (1.0 - share + share * self.recent / BURST_MEMORY / rate).max(1.0);
        let factor = learnt.damped(belief(self.timed)).at(self.at);
        self.timed = (self.timed + alone * learnt.at(self.at).ln()).clamp(-SUREST, SUREST);
        self.mass += 1.0;
        self.recent += 1.0 / factor.max(RAREST_HOUR);
        self.profile.add(self.at, alone as f32);
    }

    /// A change before `self.at` that was not known until now.
    fn recall(&mut self, change: DateTime<Utc>, half_life: Duration) {
        let age = hours(self.at - change);
        self.mass += (-age / half_life_hours(half_life)).exp2();
        self.recent += (-age / BURST_HALF_LIFE).exp2();
        self.profile.add(change, (-age / half_life_hours(half_life) / PROFILE_MEMORY).exp2() as f32);
    }

    /// When in the week changes come, as far as that is believed.
    pub fn week(&self, half_life: Duration) -> Week {
        self.learnt(half_life).damped(belief(self.timed))
    }

    /// When in the week changes came.
    fn learnt(&self, half_life: Duration) -> Week {
        self.profile.week(&Seen::new(self.at, self.since, PROFILE_MEMORY * half_life_hours(half_life)))
    }

    /// Time passes without a change; answers the rate that was believed.
    fn advance(&mut self, to: DateTime<Utc>, learnt: &Week, half_life: Duration, prior: f64) -> f64 {
        let week = learnt.damped(belief(self.timed));
        let rate = self.rate_by(&week, to, half_life, prior);
        let gone = hours(to - self.at);
        if gone <= 0.0 {
            return rate;
        }
        let quick = (-gone / BURST_HALF_LIFE).exp2();
        let slow = (-gone / half_life_hours(half_life)).exp2();
        let slower = (-gone / half_life_hours(half_life) / PROFILE_MEMORY).exp2();
        // Fewer changes were to be expected by one who believes in bursts, where the last is long ago.
        let followers = self.recent * (1.0 - quick) * week.at(self.at);
        let expected = rate * week.between(self.at, gone);
        let bursts = PRIOR_BURSTS + (self.bursts - PRIOR_BURSTS) * slower;
        self.bursts = (bursts - BURST_SHARE * (followers - expected)).clamp(-SUREST, SUREST);
        let timed = PRIOR_TIMED + (self.timed - PRIOR_TIMED) * slower;
        self.timed = (timed - rate * (learnt.between(self.at, gone) - gone)).clamp(-SUREST, SUREST);
        self.mass *= slow;
        self.recent *= quick;
        self.profile.fade(slower as f32);
        self.at = to;
        rate
    }

    /// Changes an hour (lambda) in the mean over the week, drawn towards the prior while there is little evidence.
    pub fn rate(&self, now: DateTime<Utc>, half_life: Duration, prior: f64) -> f64 {
        self.rate_by(&self.week(half_life), now, half_life, prior)
    }

    fn rate_by(&self, week: &Week, now: DateTime<Utc>, half_life: Duration, prior: f64) -> f64 {
        let half_life = half_life_hours(half_life);
        let left = |since: DateTime<Utc>| (-hours(now - since).max(0.0) / half_life).exp2();
        // A quiet night says nothing of a stream that is always quiet at night.
        let seen = week.ever(now, half_life) - left(self.since) * week.ever(self.since, half_life);
        (self.mass * left(self.at) + PRIOR_CHANGES) / (seen.max(0.0) + PRIOR_CHANGES / prior)
    }

    /// As empty, where a complete listing is to follow: it tells of changes since `since`.
    pub fn to_be_listed(now: DateTime<Utc>, since: DateTime<Utc>) -> Self {
        Self { since, ..Self::empty(now) }
    }

    /// What is to be expected from `now` on.
    pub fn forecast(&self, now: DateTime<Utc>, half_life: Duration, prior: f64) -> Forecast {
        let week = self.week(half_life);
        let rate = self.rate_by(&week, now, half_life, prior);
        let share = share(self.bursts);
        let recent = self.recent * (-hours(now - self.at).max(0.0) / BURST_HALF_LIFE).exp2() / BURST_MEMORY;
        Forecast { rate, burst: share * (recent - rate), fade: (1.0 - share) / BURST_MEMORY, week }
    }
}

/// Hours that a burst is remembered for.
const BURST_MEMORY: f64 = BURST_HALF_LIFE / std::f64::consts::LN_2;

/// The share of changes that are believed to follow from others.
fn share(odds: f64) -> f64 {
    BURST_SHARE * belief(odds)
}

/// The probability that goes with the logarithm of the odds.
fn belief(odds: f64) -> f64 {
    1.0 / (1.0 + (-odds).exp())
}

fn hours(time: chrono::TimeDelta) -> f64 {
    time.as_seconds_f64() / 3600.0
}

fn half_life_hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / 3600.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    const HALF_LIFE: Duration = Duration::from_secs(3 * 86_400);
    const PRIOR: f64 = 0.1;

    /// Monday, 5 January 1970.
    fn monday() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(4)
    }

    /// The history after polls every half hour.
    fn polled(minutes: &[i64], until: TimeDelta) -> History {
        let mut history = History::empty(monday());
        let mut rest = minutes;
        let mut now = monday();
        while now < monday() + until {
            now += TimeDelta::minutes(30);
            let (found, later) = rest.split_at(rest.iter().take_while(|at| monday() + TimeDelta::minutes(**at) <= now).count());
            let found: Vec<_> = found.iter().map(|at| monday() + TimeDelta::minutes(*at)).collect();
            if !found.is_empty() {
                history = history.observe(now, &found, HALF_LIFE, PRIOR);
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
            let rate = history.rate(monday() + TimeDelta::days(days), HALF_LIFE, PRIOR);
            assert!((1.7..=2.2).contains(&rate), "2 changes an hour were learnt as {rate} in {days} days");
        }
    }

    #[test]
    fn silence_brings_the_rate_down_without_a_change_being_seen() {
        let history = polled(&[0, 30, 60], TimeDelta::hours(2));
        let rate = |days| history.rate(monday() + TimeDelta::days(days), HALF_LIFE, PRIOR);
        assert!(rate(1) > rate(10) && rate(10) > rate(60) && rate(60) < 0.01, "{} {} {}", rate(1), rate(10), rate(60));
    }

    #[test]
    fn before_anything_is_seen_the_prior_is_believed() {
        let rate = History::empty(monday()).rate(monday(), HALF_LIFE, PRIOR);
        assert!((rate - PRIOR).abs() < 1e-9, "{rate}");
        // A listing without a change in a month says more.
        let listed = History::to_be_listed(monday(), monday() - TimeDelta::days(30));
        assert!(listed.rate(monday(), HALF_LIFE, PRIOR) < 0.01);
    }

    #[test]
    fn bursts_are_told_from_a_steady_stream() {
        let steady = polled(&(0..200).map(|at| at * 90).collect::<Vec<_>>(), TimeDelta::days(14));
        let bursts = polled(&(0..200).map(|at| (at / 10) * 900 + (at % 10) * 3).collect::<Vec<_>>(), TimeDelta::days(14));
        assert!(steady.bursts < -2.0 && bursts.bursts > 2.0, "{} {}", steady.bursts, bursts.bursts);
        let last = bursts.at;
        let [soon, later] = [1, 300].map(|minutes| bursts.forecast(last + TimeDelta::minutes(minutes), HALF_LIFE, PRIOR));
        assert!(soon.burst > soon.rate && later.burst < 0.0, "{soon:?} {later:?}");
    }

    #[test]
    fn office_hours_are_learnt_and_one_busy_morning_is_not() {
        let office: Vec<i64> = (0..14 * 24 * 4)
            .filter(|at| at / 96 % 7 < 5 && (9..18).contains(&(at / 4 % 24)))
            // Not on the quarter, so that they are no bursts.
            .map(|at| at * 15 + at * 7 % 13)
            .collect();
        let week = polled(&office, TimeDelta::days(14)).week(HALF_LIFE);
        let at = |day, hour| week.at(monday() + TimeDelta::days(day) + TimeDelta::hours(hour));
        assert!(at(1, 11) > 2.0 && at(1, 3) < 0.3 && at(5, 11) < 0.7, "{} {} {}", at(1, 11), at(1, 3), at(5, 11));
        let once = polled(&[600, 603, 605, 609, 613], TimeDelta::days(1)).week(HALF_LIFE);
        let morning = once.at(monday() + TimeDelta::hours(10));
        assert!(morning < 1.5, "{morning}");
    }

    proptest! {
        #[test]
        fn the_order_of_changes_and_the_clock_of_the_provider_do_not_matter(mut minutes in proptest::collection::vec(0i64..20_000, 0..40)) {
            let now = monday() + TimeDelta::minutes(10_000);
            let observed = |minutes: &[i64]| {
                let changes: Vec<_> = minutes.iter().map(|at| monday() + TimeDelta::minutes(*at)).collect();
                History::empty(monday()).observe(now, &changes, HALF_LIFE, PRIOR)
            };
            let as_given = observed(&minutes);
            minutes.sort_unstable();
            prop_assert_eq!(as_given, observed(&minutes));
            let rate = as_given.rate(now, HALF_LIFE, PRIOR);
            let forecast = as_given.forecast(now, HALF_LIFE, PRIOR);
            prop_assert!(rate > 0.0 && rate.is_finite() && forecast.steadied(1.0, 0.05) > 0.0 && forecast.fade > 0.0);
        }
    }
}
