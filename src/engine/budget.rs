//! The price of a poll: what makes all polls of a service together meet the budget. Made anew now and then, by one host, in one pass over all
//! streams. Joins `pace` and `db::prices`.

use std::collections::HashMap;
use std::time::Instant;

use chrono::Utc;
use futures_util::{TryStreamExt as _, pin_mut};
use uuid::Uuid;

use super::pace::{self, Demand, Fit, Steering};
use super::{Context, Source, Stream, pacing};
use crate::config::{Limits, Pace};
use crate::db::poll_prices::{self, Before, Computed, Paced, Prices};
use crate::db::runs;

/// Hours between two runs, at the most, for them to be of the same line of cron.
const MOST_APART: f64 = 1.0;
/// Hours that the ledger of spent quota is sure to go back.
const LEDGER: f64 = 71.0;

/// The prices of a service; made anew first, if they are old and nobody else is at it.
pub async fn prices<S: Source>(context: &Context, source: &S, writes: bool) -> anyhow::Result<Prices> {
    let (pool, service) = (&context.pool, S::TABLES.service);
    let prices = poll_prices::load(pool, service).await?;
    let every = context.settings.pace.reprice_every.as_secs_f64();
    if !writes || prices.age.is_some_and(|age| age < every) || !poll_prices::take(pool, service, every).await? {
        return Ok(prices);
    }
    reprice(context, source, &prices).await
}

/// Quota units an hour that polls of a service may use.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Budgets {
    project: f64,
    user: f64,
}

impl Budgets {
    /// From the settings, and where they are silent from the quota. `cost`: units of a poll.
    fn of(pace: &Pace, limits: Limits, cost: u64) -> Self {
        let set = |calls: u64| (calls > 0).then(|| (calls * cost) as f64 / 24.0);
        let minutes = |units: u64| units as f64 * 60.0 * pace.quota_share;
        let days = |units: u64| units as f64 / 24.0 * pace.quota_share;
        Self {
            project: set(pace.calls_per_day).unwrap_or_else(|| minutes(limits.project_per_minute).min(days(limits.per_day))),
            user: set(pace.user_calls_per_day).unwrap_or_else(|| minutes(limits.user_per_minute)),
        }
    }
}

/// What the streams of a project, or of a user, ask for.
struct Demands {
    streams: i64,
    demand: Demand,
    /// Polls an hour of those that a channel leaves a safety poll only.
    safety: f64,
    /// Most polls an hour that one of them may have.
    most: f64,
    /// Quota units of a poll.
    cost: u64,
}

/// Adds up what streams ask for, under the key that `key` gives each; `near`: what their polls cost so far; `late`: hours from when a
/// poll is due to the run that makes it, in the mean.
async fn add_demands<S: Source, K: std::hash::Hash + Eq>(
    context: &Context,
    source: &S,
    users: Option<&[Uuid]>,
    near: &Prices,
    late: f64,
    key: impl Fn(&mut Paced) -> K,
) -> anyhow::Result<HashMap<K, Demands>> {
    let pace = &context.settings.pace;
    let safety = 3600.0 / context.settings.push.safety_interval.as_secs_f64();
    let now = Utc::now();
    let mut asked: HashMap<K, Demands> = HashMap::new();
    let streams = poll_prices::paced(&context.pool, S::TABLES.service, users).await?;
    pin_mut!(streams);
    while let Some(mut paced) = streams.try_next().await? {
        let near = near.of(&paced.project, paced.user_id, pace.price);
        let stream = Stream {
            id: paced.id,
            user_id: paced.user_id,
            kind: std::mem::take(&mut paced.kind),
            resource: std::mem::take(&mut paced.resource),
        };
        let (bounds, cost) = (source.bounds(&stream), S::cost(&stream.kind));
        let polled = paced.polled_at.unwrap_or(now);
        let forecast = pacing::history(&paced.changes).forecast(polled, pace.half_life, bounds.prior);
        let weight = source.urgency(paced.id) * pace::faded(paced.weight, paced.weight_at, now, pace.activity_half_life);
        let nothing = || Demands { streams: 0, demand: Demand::new(now, near, late), safety: 0.0, most: 0.0, cost };
        let push_alive = paced.push_alive && !pacing::is_silent(&context.settings.push, paced.push_missed);
        let asked = asked.entry(key(&mut paced)).or_insert_with(nothing);
        asked.streams += 1;
        asked.most = asked.most.max(3600.0 / bounds.min.as_secs_f64());
        match push_alive {
            true => asked.safety += safety,
            false => asked.demand.add(&forecast, weight, &bounds),
        }
    }
    Ok(asked)
}

/// Makes the prices of a service anew.
async fn reprice<S: Source>(context: &Context, source: &S, near: &Prices) -> anyhow::Result<Prices> {
    let Context { pool, settings, .. } = context;
    let service = S::TABLES.service;
    let started = Instant::now();
    // In the mean half of the time from one run to the next.
    let late = runs::mean_interval_hours(pool, service, MOST_APART).await? / 2.0;
    let projects = add_demands(context, source, None, near, late, |stream| std::mem::take(&mut stream.project)).await?;
    let names: Vec<&str> = projects.keys().map(String::as_str).collect();
    let ledgers = poll_prices::ledgers(pool, service, &names).await?;
    let limits = settings.quota.limits(service);
    let mut computed = Vec::new();
    for (project, asked) in &projects {
        let budget = Budgets::of(&settings.pace, limits, asked.cost).project;
        let cost = asked.cost as f64;
        let ledger = ledgers.get(project);
        let steering = steering(budget, ledger.and_then(|ledger| ledger.before.as_ref()), cost);
        let price = asked.demand.price(steering.budget(budget) / cost - asked.safety);
        if price.fit == Fit::Short {
            log::warn!(
                service, project, streams = asked.streams;
                "even with every stream polled as rarely as it may be, polls cost more than the budget: raise pace.calls_per_day, or the longest intervals"
            );
        }
        let price = price.price.max(settings.pace.price);
        computed.push(Computed {
            service: service.to_owned(),
            project: project.clone(),
            price,
            budget,
            foretold: steering.foretold,
            spent: steering.made,
            spent_in_hour: ledger.map_or(0, |ledger| ledger.in_hour),
            streams: asked.streams,
            polls: asked.demand.calls(price) + asked.safety,
            computed_at: Utc::now(),
        });
    }
    let users = user_prices(context, source, near, late, &projects).await?;
    poll_prices::store(pool, service, &computed, &users).await?;
    let streams: i64 = computed.iter().map(|project| project.streams).sum();
    log::info!(service, streams, users = users.len(); "prices made anew in {} ms", started.elapsed().as_millis());
    let projects = computed.into_iter().map(|project| (project.project, project.price)).collect();
    Ok(Prices { projects, users, age: Some(0.0), paused: near.paused.clone() })
}

/// What the prices so far foretold and what was spent under them. Polls are not all that is spent: what they find costs too, and a line of cron
/// rounds every wait up. A new budget begins anew.
fn steering(budget: f64, before: Option<&Before>, cost: f64) -> Steering {
    match before {
        Some(before) if before.budget == budget && before.hours < LEDGER => {
            let so_far = Steering { foretold: before.foretold, made: before.spent };
            so_far.after(before.hours, before.polls * cost, before.units)
        }
        _ => Steering::new(budget),
    }
}

/// Prices of users whose streams alone could pass what one user may have.
async fn user_prices<S: Source>(
    context: &Context,
    source: &S,
    near: &Prices,
    late: f64,
    projects: &HashMap<String, Demands>,
) -> anyhow::Result<HashMap<Uuid, f64>> {
    let limits = context.settings.quota.limits(S::TABLES.service);
    let budget = |cost: u64| Budgets::of(&context.settings.pace, limits, cost).user / cost as f64;
    let most = projects.values().map(|asked| asked.most).fold(0.0, f64::max);
    let crowd = projects.values().map(|asked| budget(asked.cost) / most).fold(f64::INFINITY, f64::min);
    if projects.values().all(|asked| (asked.streams as f64) <= crowd) {
        return Ok(HashMap::new());
    }
    let users = poll_prices::crowded(&context.pool, S::TABLES.service, crowd as i64).await?;
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let asked = add_demands(context, source, Some(&users), near, late, |stream| stream.user_id).await?;
    let least = context.settings.pace.price;
    let priced = asked.into_iter().map(|(user, asked)| (user, asked.demand.price(budget(asked.cost) - asked.safety).price));
    Ok(priced.filter(|(_, price)| *price > least).collect())
}
