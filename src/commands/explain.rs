//! `syncctl sync explain`: explains when and why each stream of a user is polled.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::{Output, remedies, users};
use crate::config::Settings;
use crate::db::accounts::{self, Listed};
use crate::db::activity::{self, Activity};
use crate::db::claims::{self, Selection, StreamRow};
use crate::db::poll_prices;
use crate::db::quota::{self, Pause};
use crate::db::streams::{self, Timing};
use crate::engine::pace::in_words;
use crate::engine::pacing::{self, Outlook};
use crate::engine::{Context, Stream};
use crate::error::{Class, Exit};
use crate::services::calendar::upcoming;
use crate::services::registry;
use crate::state::{AccountState, StreamState};

#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// User, by UUID or address
    #[arg(value_name = "USER")]
    user: String,
}

/// The pace of one stream.
#[derive(Debug, Serialize)]
struct Explained {
    stream_id: i64,
    service: &'static str,
    kind: String,
    resource: String,
    /// Expected changes per day.
    changes_per_day: f64,
    /// Urgency relative to a stream without user activity.
    weight: f64,
    /// Price of a poll, in hours.
    price: f64,
    /// Time between polls, before jitter.
    interval_seconds: f64,
    /// Time between polls if no channel announced changes.
    usual_seconds: f64,
    push_alive: bool,
    account_state: AccountState,
    failures: i32,
    failed_class: Option<String>,
    polled_seconds_ago: Option<f64>,
    /// Start of the next meeting in this calendar, if it is soon.
    meeting_at: Option<DateTime<Utc>>,
    due_at: DateTime<Utc>,
    /// The explanation in words.
    reason: String,
}

/// Relative price above which every interval is the longest one.
const MAX_PRICE: f64 = 1e6;

/// Prints the pace of a user's streams.
pub async fn run(args: &ExplainArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let user = users::find(context, &args.user).await?;
    let account =
        accounts::list(&context.pool, Some(&[user])).await?.pop().context("the user has no credentials: import the account")?;
    let pauses = quota::list(&context.pool.get().await?, None, &Selection::default()).await?;
    let facts = Facts {
        settings: Arc::clone(&context.settings),
        account,
        now: Utc::now(),
        active: activity::of_user(&context.pool, user).await?.into_iter().next(),
        meetings: upcoming::coming(&context.pool, user).await?,
        pauses,
    };
    let outlooks = outlooks(context, user).await?;
    let explained: Vec<Explained> =
        outlooks.into_iter().map(|(row, service, timing, outlook)| facts.explain(row, service, &timing, &outlook)).collect();
    output.print(&explained, || {
        if explained.is_empty() {
            return format!("user {user} has no streams yet; the first `cron` creates them");
        }
        let lines =
            explained.iter().map(|one| format!("{} {} (stream {}): {}", one.service, one.kind, one.stream_id, one.reason));
        lines.collect::<Vec<_>>().join("\n")
    })?;
    Ok(Exit::Done)
}

/// Returns every live stream of a user with its service, timing and outlook.
pub(super) async fn outlooks(context: &Context, user: Uuid) -> anyhow::Result<Vec<(StreamRow, &'static str, Timing, Outlook)>> {
    let now = Utc::now();
    let mut outlooks = Vec::new();
    for entry in registry::of_google() {
        let service = entry.name;
        let timings = streams::of_user(&context.pool, service, user).await?;
        let ids: Vec<i64> = timings.iter().map(|timing| timing.id).collect();
        let prices = poll_prices::load(&context.pool, service).await?;
        let assess = (entry.assessor)(context).await?;
        for row in claims::read(&context.pool, &ids).await? {
            let Some(timing) = timings.iter().find(|timing| timing.id == row.id) else { continue };
            let (bounds, urgency) = assess(&Stream::of(&row));
            let history = pacing::history(&row.changes);
            let outlook = pacing::outlook(&context.settings, &prices, &bounds, urgency, &row, &history, now);
            outlooks.push((row, service, timing.clone(), outlook));
        }
    }
    Ok(outlooks)
}

/// The facts about the user.
struct Facts {
    account: Listed,
    settings: Arc<Settings>,
    now: DateTime<Utc>,
    active: Option<Activity>,
    /// The next meeting that begins soon, by calendar stream.
    meetings: HashMap<i64, DateTime<Utc>>,
    /// Projects that are currently paused.
    pauses: Vec<Pause>,
}

impl Facts {
    fn explain(&self, row: StreamRow, service: &'static str, timing: &Timing, outlook: &Outlook) -> Explained {
        let due_at = self.now + TimeDelta::milliseconds((timing.due_in * 1000.0) as i64);
        Explained {
            stream_id: row.id,
            service,
            changes_per_day: outlook.forecast.rate * 24.0,
            weight: outlook.activity * outlook.urgency,
            price: outlook.price,
            interval_seconds: outlook.interval.as_secs_f64(),
            usual_seconds: outlook.usual.as_secs_f64(),
            push_alive: timing.push_alive,
            account_state: self.account.state,
            failures: timing.failures,
            failed_class: timing.failed_class.clone(),
            polled_seconds_ago: timing.polled_ago,
            meeting_at: self.meetings.get(&row.id).copied(),
            due_at,
            reason: self.not_polled(service, timing).unwrap_or_else(|| self.reason(&row, service, timing, outlook, due_at)),
            kind: row.kind,
            resource: row.resource,
        }
    }

    /// Returns the remedy for a class of failure, for this user's kind of account.
    fn remedy(&self, class: Class) -> String {
        remedies::of(class, [self.account.kind.as_str()], self.account.client_id.as_slice(), &self.settings)
    }

    /// Explains why a stream is not polled at all, what to do, and when it is tried again. `None` if it is polled.
    fn not_polled(&self, service: &str, timing: &Timing) -> Option<String> {
        let account = &self.account;
        let since = time(account.state_since);
        let reason = account.state_reason.as_deref().unwrap_or("no reason recorded");
        match (account.state, timing.state) {
            (AccountState::Ended, _) => {
                Some(format!("not polled: the account was ended on purpose at {since} ({})", accounts::ENDED))
            }
            (AccountState::Revoked, _) => {
                let retry = account.ask_at.map_or_else(
                    || "no new token is requested automatically".to_owned(),
                    |at| format!("a new token is requested at {}", time(at)),
                );
                let remedy = self.remedy(Class::AuthRevoked);
                Some(format!("not polled: the account has been revoked since {since} ({reason}); {retry}; {remedy}"))
            }
            (AccountState::Active, StreamState::Off) => {
                Some(format!("not polled: {service} is switched off for this user (`syncctl accounts set … {service}=on`)"))
            }
            (
                AccountState::Active,
                StreamState::Active | StreamState::Stopped | StreamState::Degraded | StreamState::Revoked | StreamState::Removed,
            ) => None,
        }
    }

    /// `polled every 11 min: about 14 changes a day, active 20 min ago (x3.0), no push; next at 14:32`
    fn reason(&self, row: &StreamRow, service: &str, timing: &Timing, outlook: &Outlook, due_at: DateTime<Utc>) -> String {
        let pause = self.pauses.iter().find(|pause| pause.service == service && pause.project == row.account.project);
        let next = match (timing.claimed, pause, timing.due_in <= 0.0) {
            (true, ..) => "a run is polling it now".to_owned(),
            (false, Some(Pause { project, until, reason, .. }), _) => {
                format!("not before project {project} resumes, which is paused until {} ({reason})", time(*until))
            }
            (false, None, true) => "due now".to_owned(),
            (false, None, false) => format!("next at {}", time(due_at)),
        };
        if let Some(class) = &timing.failed_class {
            // Until then no run uses the account, even if the stream is due.
            let next = match self.account.ask_at.filter(|at| *at > self.now) {
                Some(at) => format!("a new token is requested at {}", time(at)),
                None => next,
            };
            let remedy = Class::from_name(class).map_or_else(String::new, |class| format!("; {}", self.remedy(class)));
            return format!("failing ({class}, {} in a row), retried after increasing waits; {next}{remedy}", timing.failures);
        }
        if let Some(pass) = timing.pass {
            return format!("{}; {next}", full_pass(pass, row.full_pass_at.is_none()));
        }
        let mut facts = Vec::new();
        if outlook.fixed {
            facts.push("a fixed interval".to_owned())
        } else {
            self.paced(row, outlook, &mut facts)
        }
        let push = match (timing.push_alive, timing.pushed_ago) {
            (true, _) if outlook.silent => format!("push silent: {} changes in a row were not announced", row.push_missed),
            (true, Some(ago)) => format!("push alive, last {} ago", in_words(seconds(ago))),
            (true, None) => "push alive".into(),
            (false, _) => "no push".into(),
        };
        format!("polled every {}: {}, {push}; {next}", in_words(outlook.interval), facts.join(", "))
    }

    /// Adds the facts that determine a variable interval.
    fn paced(&self, row: &StreamRow, outlook: &Outlook, facts: &mut Vec<String>) {
        facts.push(changes(outlook.forecast.rate * 24.0));
        let in_bursts = outlook.forecast.current() / outlook.forecast.rate;
        if in_bursts > 2.0 {
            facts.push(format!("currently {in_bursts:.0} times as many"));
        }
        if let (true, Some(active)) = (outlook.activity >= 1.05, &self.active) {
            let ago = in_words(seconds((self.now - active.last_at).as_seconds_f64()));
            facts.push(format!("active {ago} ago (x{:.1})", outlook.activity));
        }
        if outlook.urgency > 1.0 {
            facts.push(format!("mail to a virtual address in the last week (x{:.1})", outlook.urgency));
        }
        if let Some(at) = self.meetings.get(&row.id) {
            let remaining = in_words(seconds((*at - self.now).as_seconds_f64()));
            facts.push(format!("more often because a meeting begins in {remaining}"));
        }
        match outlook.price / outlook.least {
            ..1.001 => {}
            dearer @ ..MAX_PRICE => facts.push(format!("the budget makes a poll {dearer:.1} times as expensive")),
            _ => facts.push("the budget is too small even so".into()),
        }
    }
}

/// `first sync under way: 12000 of about 480000 items so far, done in about 5 h`
fn full_pass((items, expected, seconds): (i64, Option<i64>, f64), is_first: bool) -> String {
    let what = if is_first { "first sync" } else { "resync" };
    let Some(expected) = expected.filter(|expected| *expected > items) else {
        return format!("{what} under way: {items} items so far");
    };
    let remaining = self::seconds(seconds * (expected - items) as f64 / items.max(1) as f64);
    format!("{what} under way: {items} of about {expected} items so far, done in about {}", in_words(remaining))
}

fn time(at: DateTime<Utc>) -> String {
    format!("{} UTC", at.format("%F %H:%M"))
}

fn changes(a_day: f64) -> String {
    match a_day {
        9.95.. => format!("about {a_day:.0} changes a day"),
        0.95.. => format!("about {a_day:.1} changes a day"),
        _ => format!("about {:.1} changes a month", a_day * 30.0),
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
