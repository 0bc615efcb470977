//! The pace of one stream: what is known about it, and when it is therefore due. Connects `pace`, the prices and the settings; executes no statements.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::pace::{self, Bounds, Fleet, Forecast, History, Prior, Profile, SCALES};
use crate::config::{self, Settings};
use crate::db::claims::StreamRow;
use crate::db::pace_priors::Learnt;
use crate::db::poll_prices::Prices;
use crate::db::streams::Changes;

/// The factors that determine a stream's next poll.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// The forecast of its changes.
    pub forecast: Forecast,
    /// Weights from the user's activity and from the service.
    pub activity: f64,
    pub urgency: f64,
    /// Price of a poll, in hours.
    pub price: f64,
    /// The minimum price, when no budget is short.
    pub least: f64,
    /// Whether the interval is fixed, regardless of changes.
    pub fixed: bool,
    /// Whether a channel exists but announces nothing.
    pub silent: bool,
    /// From the last poll to the next, before jitter and without a channel.
    pub usual: Duration,
    /// The same, taking a channel's announcements into account.
    pub interval: Duration,
}

/// The outlook of a stream with this history of changes; `urgency`: the service's weight.
pub fn outlook(
    settings: &Settings,
    prices: &Prices,
    bounds: &Bounds,
    urgency: f64,
    row: &StreamRow,
    history: &History,
    now: DateTime<Utc>,
) -> Outlook {
    let Settings { pace, push, .. } = settings;
    let forecast = history.forecast(now, pace.half_life, &prior(prices, &row.kind, bounds));
    let activity = pace::faded(row.weight, row.weight_at, now, pace.activity_half_life);
    let price = prices.of(&row.account.project, row.user_id, pace.price);
    // A silent channel is no longer relied upon; `renew-webhooks` replaces it.
    let silent = is_silent(push, row.push_missed);
    let usual = forecast.wait(now, urgency * activity, price, bounds);
    Outlook {
        forecast,
        activity,
        urgency,
        price,
        least: pace.price,
        fixed: bounds.min == bounds.max,
        silent,
        usual,
        interval: pace::with_push(usual, push.safety_interval, row.push_left.filter(|_| !silent)),
    }
}

/// The prior of a stream: learnt from all streams of its kind, or assumed until then.
pub fn prior(prices: &Prices, kind: &str, bounds: &Bounds) -> Prior {
    let assumed = Prior::assumed(bounds.prior);
    // A prior of another version is discarded and learnt again.
    let Some(Learnt { changes, hours, followers, .. }) = prices.priors.get(kind) else { return assumed };
    let Ok(shares) = followers.as_slice().try_into() else { return assumed };
    Prior::stored(*changes, *hours, shares).unwrap_or(assumed)
}

/// The form to store of what all streams of a kind have shown.
pub fn learnt(fleet: &Fleet, bounds: &Bounds) -> Learnt {
    let Prior { changes, hours, shares } = fleet.prior(Prior::assumed(bounds.prior));
    Learnt { changes, hours, followers: shares.to_vec(), streams: fleet.streams() as i64 }
}

/// Whether a channel that missed `missed` consecutive changes counts as silent.
pub fn is_silent(push: &config::Push, missed: i32) -> bool {
    i64::from(missed) >= i64::from(push.silent_after)
}

/// Builds the history from the stored changes.
pub fn history(changes: &Changes) -> History {
    let empty = History { mass: changes.mass, ..History::to_be_listed(changes.at, changes.since) };
    let (quiet, bursts, timed, counts) = match changes.shape.as_deref() {
        Some([quiet, bursts, timed, counts @ ..]) if counts.len() == SCALES + PROFILE => (*quiet, bursts, timed, counts),
        // Of a version that did not count followers and stored something else in the first place.
        Some([_, bursts, timed, profile @ ..]) if profile.len() == PROFILE => (f32::INFINITY, bursts, timed, profile),
        // A shape of another version is discarded and learnt again.
        _ => return empty,
    };
    let (followers, profile) = counts.split_at(counts.len() - PROFILE);
    let mut kept = Profile::default();
    for (to, from) in kept.hours.iter_mut().chain(&mut kept.days).zip(profile) {
        *to = *from;
    }
    let followers = std::array::from_fn(|scale| followers.get(scale).copied().map_or(0.0, f64::from));
    History { quiet: quiet.into(), followers, bursts: (*bursts).into(), timed: (*timed).into(), profile: kept, ..empty }
}

/// The form to store; without a shape if there is hardly a change to derive one from.
pub fn changes(history: &History) -> Changes {
    let History { mass, at, since, .. } = *history;
    let shape = (history.profile.hours.iter().sum::<f32>() > 0.01).then(|| {
        let mut shape = vec![history.quiet as f32, history.bursts as f32, history.timed as f32];
        shape.extend(history.followers.map(|count| count as f32));
        shape.extend(history.profile.hours);
        shape.extend(history.profile.days);
        shape
    });
    Changes { mass, at, since, shape }
}

/// The last numbers of a shape: changes by hour of the day and day of the week. They follow the hours since the last change, two log odds, and followers on
/// each scale.
const PROFILE: usize = 24 + 7;

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng as _, SeedableRng as _};

    #[test]
    fn stored_state_survives_a_round_trip() {
        let now = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_000);
        let half_life = Duration::from_secs(3 * 86_400);
        let times: Vec<_> = (1..50).map(|hours| now - chrono::TimeDelta::hours(hours)).collect();
        let prior = Prior::assumed(0.1);
        let learnt = History::to_be_listed(now - chrono::TimeDelta::days(3), now - chrono::TimeDelta::days(9))
            .observe(now, &times, half_life, &prior);
        let restored = history(&changes(&learnt));
        let wait = |history: &History| {
            let bounds = Bounds { min: Duration::ZERO, max: 30 * half_life, prior: 0.1, full_pass_every: None };
            history.forecast(now, half_life, &prior).wait(now, 1.0, 0.05, &bounds).as_secs_f64()
        };
        assert!((wait(&restored) / wait(&learnt) - 1.0).abs() < 1e-3, "{} and {} s", wait(&restored), wait(&learnt));
        assert_eq!(changes(&History::empty(now)).shape, None);
        let strange = Changes { shape: Some(vec![1.0]), ..changes(&learnt) };
        assert_eq!(history(&strange).profile, Profile::default());
    }

    /// Ten thousand idle streams that were all due in the same minute, half of them after their first pass, a day later.
    #[test]
    fn polls_spread_out_within_a_day_after_all_were_due_at_once() {
        let hour = Duration::from_secs(3600);
        let share = config::Pace::default().jitter;
        let mut chance = rand::rngs::StdRng::seed_from_u64(1);
        let mut polls = [0u32; 60];
        for stream in 0..10_000 {
            let mut at = Duration::ZERO;
            if stream % 2 == 0 {
                at += pace::first_wait(hour, chance.random());
            }
            while at < 25 * hour {
                if at >= 24 * hour {
                    polls[(at - 24 * hour).as_secs() as usize / 60] += 1;
                }
                at += pace::jittered(hour, share, chance.random());
            }
        }
        let mean = polls.iter().sum::<u32>() / 60;
        let busiest = polls.into_iter().max().expect("an hour has minutes");
        assert!(2 * busiest <= 3 * mean, "{busiest} polls in one minute, {mean} in the mean");
    }
}
