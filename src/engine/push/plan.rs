//! Decides which channels to create, replace and stop. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use uuid::Uuid;

use crate::db::channels::{Channel, Watchable};
use crate::state::ChannelState;

/// What a run checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Age: streams without a channel, channels that expire.
    Age,
    /// Health: channels that do not work as intended.
    Health,
}

/// Why a stream gets a new channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RenewalReason {
    Missing,
    Expiring,
    /// Created for a different address than the current one.
    OldAddress,
    /// Polling finds changes that it does not announce.
    Silent,
    /// Google rejected the last attempt.
    Refused,
    /// A run died while creating it.
    Orphaned,
}

/// Inputs of the decision.
#[derive(Debug)]
pub struct Rules<'a> {
    pub mode: Mode,
    /// The current address for channels; empty if there should be none.
    pub address: &'a str,
    /// Seconds.
    pub renew_within: f64,
    pub silent_after: i32,
}

/// The work for one stream, or for a channel whose stream is gone.
#[derive(Debug)]
pub struct Task {
    pub stream: Option<i64>,
    pub user: Uuid,
    /// Why a new channel is needed.
    pub reason: Option<RenewalReason>,
    /// The channel that announces the stream's changes until it is replaced.
    pub current: Option<Channel>,
    /// Other channels, which are not needed.
    pub surplus: Vec<Channel>,
    /// Whether a later run may create the new channel, because the current one remains valid for a while.
    pub may_wait: bool,
}

impl Task {
    /// All channels of the stream.
    pub fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.current.iter().chain(&self.surplus)
    }

    /// Google's resource id: the same for each channel of the stream.
    pub fn resource(&self) -> Option<&str> {
        self.channels().find_map(|channel| channel.resource.as_deref())
    }

    fn is_work(&self) -> bool {
        self.reason.is_some() || !self.surplus.is_empty()
    }
}

/// Returns the work for these streams and channels.
pub fn plan(streams: &[Watchable], open: Vec<Channel>, rules: &Rules<'_>) -> Vec<Task> {
    let mut of_stream: BTreeMap<i64, Vec<Channel>> = BTreeMap::new();
    let mut strays = Vec::new();
    for channel in open {
        match channel.stream {
            Some(stream) => of_stream.entry(stream).or_default().push(channel),
            None => strays.push(channel),
        }
    }
    let watched = if rules.address.is_empty() { &[][..] } else { streams };
    let mut tasks: Vec<Task> = watched
        .iter()
        .map(|stream| {
            let channels = of_stream.remove(&stream.id).unwrap_or_default();
            let has = |state| channels.iter().any(|channel| channel.state == state);
            let (another_asks, unsupported) = (has(ChannelState::Creating), has(ChannelState::Unsupported));
            let refused =
                channels.iter().find(|channel| channel.state == ChannelState::Refused).map(|channel| channel.address.clone());
            let (mut live, mut surplus): (Vec<_>, Vec<_>) =
                channels.into_iter().filter(is_there).partition(|channel| channel.state == ChannelState::Live);
            live.sort_by(|a, b| a.left.total_cmp(&b.left));
            let current = live.pop();
            surplus.extend(live);
            let orphaned = surplus.iter().any(|channel| channel.lost);
            let reason = match rules.mode {
                _ if another_asks || unsupported => None,
                Mode::Age => by_age(current.as_ref(), refused.as_deref(), rules),
                Mode::Health => by_health(current.as_ref(), refused.is_some(), orphaned, stream.missed, rules),
            };
            let may_wait = current.as_ref().is_some_and(|current| current.left > window(current, rules) / 2.0);
            Task { stream: Some(stream.id), user: stream.user, reason, current, surplus, may_wait }
        })
        .collect();
    tasks.extend(ends(of_stream.into_values().flatten().chain(strays)));
    tasks.retain(Task::is_work);
    tasks
}

/// Number of streams whose channel does not announce changes found by polling.
pub fn silent(streams: &[Watchable], open: &[Channel], rules: &Rules<'_>) -> u64 {
    let live: BTreeSet<i64> =
        open.iter().filter(|channel| channel.state == ChannelState::Live).filter_map(|channel| channel.stream).collect();
    streams.iter().filter(|stream| stream.missed >= rules.silent_after && live.contains(&stream.id)).count() as u64
}

/// Tasks that stop these channels.
pub fn ends(channels: impl Iterator<Item = Channel>) -> Vec<Task> {
    let mut tasks: BTreeMap<(Option<i64>, Uuid), Task> = BTreeMap::new();
    for channel in channels.filter(is_there) {
        let (stream, user) = (channel.stream, channel.user);
        let new = || Task { stream, user, reason: None, current: None, surplus: Vec::new(), may_wait: false };
        tasks.entry((stream, user)).or_insert_with(new).surplus.push(channel);
    }
    tasks.into_values().collect()
}

/// Whether the channel may exist at Google and no run is currently creating it.
fn is_there(channel: &Channel) -> bool {
    match channel.state {
        ChannelState::Live | ChannelState::Stopping => true,
        ChannelState::Creating | ChannelState::Refused | ChannelState::Unsupported | ChannelState::Stopped => false,
    }
}

/// How long before its end a channel is renewed, in seconds.
fn window(channel: &Channel, rules: &Rules<'_>) -> f64 {
    rules.renew_within.min(channel.life / 2.0)
}

fn by_age(current: Option<&Channel>, refused: Option<&str>, rules: &Rules<'_>) -> Option<RenewalReason> {
    match current {
        // It announces to an old address; but a rejected address is not requested again in each run.
        Some(channel) if channel.address != rules.address && refused != Some(rules.address) => Some(RenewalReason::OldAddress),
        Some(channel) => (channel.left <= window(channel, rules)).then_some(RenewalReason::Expiring),
        // A rejected channel is requested again when the address has changed, or by the health check.
        None => (refused != Some(rules.address)).then_some(RenewalReason::Missing),
    }
}

fn by_health(current: Option<&Channel>, refused: bool, orphaned: bool, missed: i32, rules: &Rules<'_>) -> Option<RenewalReason> {
    match current {
        Some(channel) if channel.address != rules.address => Some(RenewalReason::OldAddress),
        Some(_) if missed >= rules.silent_after => Some(RenewalReason::Silent),
        Some(_) => None,
        None if refused => Some(RenewalReason::Refused),
        None => orphaned.then_some(RenewalReason::Orphaned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: f64 = 3600.0;
    const RULES: Rules<'static> = Rules { mode: Mode::Age, address: "https://here/", renew_within: 24.0 * HOUR, silent_after: 3 };

    fn channel(state: ChannelState, left: f64, life: f64) -> Channel {
        Channel {
            id: Uuid::new_v4(),
            stream: Some(1),
            user: Uuid::nil(),
            state,
            address: "https://here/".into(),
            resource: (state == ChannelState::Live).then(|| "r".into()),
            lost: state != ChannelState::Live,
            told: false,
            left,
            life,
        }
    }

    fn renewal_reason(channels: Vec<Channel>, rules: &Rules<'_>, missed: i32) -> Option<RenewalReason> {
        let tasks = plan(&[Watchable { id: 1, user: Uuid::nil(), missed }], channels, rules);
        tasks.first().and_then(|task| task.reason)
    }

    #[test]
    fn a_channel_is_renewed_within_a_day_of_its_end_and_a_short_one_after_half_its_life() {
        let week = 168.0 * HOUR;
        assert_eq!(renewal_reason(vec![], &RULES, 0), Some(RenewalReason::Missing));
        assert_eq!(renewal_reason(vec![channel(ChannelState::Live, 25.0 * HOUR, week)], &RULES, 0), None);
        assert_eq!(
            renewal_reason(vec![channel(ChannelState::Live, 23.0 * HOUR, week)], &RULES, 0),
            Some(RenewalReason::Expiring)
        );
        assert_eq!(renewal_reason(vec![channel(ChannelState::Live, 0.6 * HOUR, HOUR)], &RULES, 0), None);
        assert_eq!(renewal_reason(vec![channel(ChannelState::Live, 0.4 * HOUR, HOUR)], &RULES, 0), Some(RenewalReason::Expiring));
    }

    #[test]
    fn health_checks_find_what_age_does_not() {
        let health = Rules { mode: Mode::Health, ..RULES };
        let moved = Rules { mode: Mode::Health, address: "https://there/", ..RULES };
        let live = || vec![channel(ChannelState::Live, 100.0 * HOUR, 168.0 * HOUR)];
        assert_eq!(renewal_reason(live(), &health, 2), None);
        assert_eq!(renewal_reason(live(), &health, 3), Some(RenewalReason::Silent));
        assert_eq!(renewal_reason(live(), &moved, 0), Some(RenewalReason::OldAddress));
        assert_eq!(renewal_reason(vec![channel(ChannelState::Refused, HOUR, HOUR)], &health, 0), Some(RenewalReason::Refused));
        assert_eq!(renewal_reason(vec![channel(ChannelState::Refused, HOUR, HOUR)], &RULES, 0), None);
        assert_eq!(renewal_reason(vec![channel(ChannelState::Stopping, HOUR, HOUR)], &health, 0), Some(RenewalReason::Orphaned));
        assert_eq!(
            renewal_reason(vec![channel(ChannelState::Creating, HOUR, HOUR)], &RULES, 0),
            None,
            "another run is creating it"
        );
    }

    #[test]
    fn channels_at_an_old_url_are_replaced_unless_the_new_one_was_refused() {
        let moved = Rules { address: "https://there/", ..RULES };
        let live = || channel(ChannelState::Live, 100.0 * HOUR, 168.0 * HOUR);
        assert_eq!(renewal_reason(vec![live()], &moved, 0), Some(RenewalReason::OldAddress));
        let refused = Channel { address: "https://there/".into(), ..channel(ChannelState::Refused, HOUR, HOUR) };
        assert_eq!(renewal_reason(vec![live(), refused], &moved, 0), None);
    }

    #[test]
    fn the_longest_lived_channel_stays_and_without_a_url_none_does() {
        let channels = || {
            vec![channel(ChannelState::Live, 30.0 * HOUR, 168.0 * HOUR), channel(ChannelState::Live, 160.0 * HOUR, 168.0 * HOUR)]
        };
        let stream = [Watchable { id: 1, user: Uuid::nil(), missed: 0 }];
        let tasks = plan(&stream, channels(), &RULES);
        assert!(tasks[0].reason.is_none() && tasks[0].surplus.len() == 1 && tasks[0].surplus[0].left == 30.0 * HOUR);
        let tasks = plan(&stream, channels(), &Rules { address: "", ..RULES });
        assert!(tasks[0].reason.is_none() && tasks[0].surplus.len() == 2);
    }
}
