//! The price of a poll, chosen so that all polls of a service together meet the budget. Recomputed periodically by one host in one pass over all streams.
//! Connects `pace` and `db::prices`.

use std::collections::HashMap;
use std::time::Instant;

use chrono::Utc;
use futures_util::{TryStreamExt as _, pin_mut};
use uuid::Uuid;

use super::pace::{self, Bounds, Demand, Fit, Fleet, Steering};
use super::{Context, Source, Stream, pacing};
use crate::config::{Limits, Pace};
use crate::db::poll_prices::{self, Before, Computed, Paced, Prices};
use crate::db::{pace_priors, pace_runs, runs};

/// Maximum number of hours between two runs of the same cron line.
const MAX_GAP: f64 = 1.0;
/// Number of hours for which the ledger of spent quota is guaranteed to be kept.
const LEDGER: f64 = 71.0;

/// Returns the prices of a service; recomputes them first if they are outdated and no other host is doing so.
pub async fn prices<S: Source>(context: &Context, source: &S, writes: bool) -> anyhow::Result<Prices> {
    let (pool, service) = (&context.pool, S::TABLES.service);
    let prices = poll_prices::load(pool, service).await?;
    let every = context.settings.pace.reprice_every.as_secs_f64();
    if !writes || prices.age.is_some_and(|age| age < every) || !pace_runs::take(pool, service, every).await? {
        return Ok(prices);
    }
    reprice(context, source, &prices).await
}

/// Quota units per hour that polls of a service may use.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Budgets {
    project: f64,
    user: f64,
}

impl Budgets {
    /// Computes the budgets from the settings, or from the quota where the settings name none. `cost`: units of a poll.
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

/// The demand of a project's or user's streams.
struct Demands {
    streams: i64,
    demand: Demand,
    /// Polls per hour of streams that need only safety polls because they have a channel.
    safety: f64,
    /// Maximum number of polls per hour of any one stream.
    max_rate: f64,
    /// Quota units of a poll.
    cost: u64,
}

/// What all streams of a kind have shown, with their bounds.
type Fleets = HashMap<String, (Fleet, Bounds)>;

/// Adds up the demand of streams, grouped by the result of `key`, and what they have shown, by kind. `current`: the prices so far; `late`: mean number
/// of hours from when a poll is due until a run makes it.
async fn add_demands<S: Source, K: std::hash::Hash + Eq>(
    context: &Context,
    source: &S,
    users: Option<&[Uuid]>,
    current: &Prices,
    late: f64,
    key: impl Fn(&mut Paced) -> K,
) -> anyhow::Result<(HashMap<K, Demands>, Fleets)> {
    let pace = &context.settings.pace;
    let safety = 3600.0 / context.settings.push.safety_interval.as_secs_f64();
    let now = Utc::now();
    let (mut demands, mut fleets) = (HashMap::<K, Demands>::new(), Fleets::new());
    let streams = poll_prices::paced(&context.pool, S::TABLES.service, users).await?;
    pin_mut!(streams);
    while let Some(mut paced) = streams.try_next().await? {
        let price = current.of(&paced.project, paced.user_id, pace.price);
        let stream = Stream {
            id: paced.id,
            user_id: paced.user_id,
            kind: std::mem::take(&mut paced.kind),
            resource: std::mem::take(&mut paced.resource),
            full_pass_at: None,
        };
        let (bounds, cost) = (source.bounds(&stream), S::cost(&stream.kind));
        let polled = paced.polled_at.unwrap_or(now);
        let history = pacing::history(&paced.changes);
        let forecast = history.forecast(polled, pace.half_life, &pacing::prior(current, &stream.kind, &bounds));
        // The interval of other kinds does not depend on changes.
        if bounds.min < bounds.max {
            let (fleet, _) = fleets.entry(stream.kind).or_insert_with(|| (Fleet::default(), bounds));
            fleet.add(history.evidence(&forecast.week, polled, pace.half_life));
        }
        let weight = source.urgency(paced.id) * pace::faded(paced.weight, paced.weight_at, now, pace.activity_half_life);
        let empty = || Demands { streams: 0, demand: Demand::new(now, price, late), safety: 0.0, max_rate: 0.0, cost };
        let push_alive = paced.push_alive && !pacing::is_silent(&context.settings.push, paced.push_missed);
        let demand = demands.entry(key(&mut paced)).or_insert_with(empty);
        demand.streams += 1;
        demand.max_rate = demand.max_rate.max(3600.0 / bounds.min.as_secs_f64());
        if push_alive {
            demand.safety += safety;
        } else {
            demand.demand.add(&forecast, weight, &bounds);
        }
    }
    Ok((demands, fleets))
}

/// Recomputes the prices of a service.
async fn reprice<S: Source>(context: &Context, source: &S, current: &Prices) -> anyhow::Result<Prices> {
    let Context { pool, settings, .. } = context;
    let service = S::TABLES.service;
    let started = Instant::now();
    // On average, half the time between two runs.
    let late = runs::mean_interval_hours(pool, service, MAX_GAP).await? / 2.0;
    let (projects, fleets) =
        add_demands(context, source, None, current, late, |stream| std::mem::take(&mut stream.project)).await?;
    let names: Vec<&str> = projects.keys().map(String::as_str).collect();
    let ledgers = poll_prices::ledgers(pool, service, &names).await?;
    let limits = S::limits(&settings.quota);
    let mut computed = Vec::new();
    for (project, demands) in &projects {
        let budget = Budgets::of(&settings.pace, limits, demands.cost).project;
        let cost = demands.cost as f64;
        let ledger = ledgers.get(project);
        let steering = steering(budget, ledger.and_then(|ledger| ledger.before.as_ref()), cost);
        let price = demands.demand.price(steering.budget(budget) / cost - demands.safety);
        if price.fit == Fit::Short {
            log::warn!(
                service, project, streams = demands.streams;
                "polls exceed the budget even with every stream at its longest interval: raise pace.calls_per_day or the longest intervals"
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
            streams: demands.streams,
            polls: demands.demand.calls(price) + demands.safety,
            computed_at: Utc::now(),
        });
    }
    let users = user_prices(context, source, current, late, &projects).await?;
    poll_prices::store(pool, service, &computed, &users).await?;
    let priors = fleets.into_iter().map(|(kind, (fleet, bounds))| (kind, pacing::learnt(&fleet, &bounds))).collect();
    pace_priors::store(pool, service, &priors).await?;
    let streams: i64 = computed.iter().map(|project| project.streams).sum();
    log::info!(service, streams, users = users.len(); "prices recomputed in {} ms", started.elapsed().as_millis());
    let projects = computed.into_iter().map(|project| (project.project, project.price)).collect();
    Ok(Prices { projects, users, priors, age: Some(0.0), paused: current.paused.clone() })
}

/// Compares what the current prices predicted with what was spent under them. Polls are not the only cost: fetching what they find costs units too, and the
/// cron schedule rounds every wait up. A changed budget starts from scratch.
fn steering(budget: f64, before: Option<&Before>, cost: f64) -> Steering {
    match before {
        Some(before) if before.budget == budget && before.hours < LEDGER => {
            let so_far = Steering { foretold: before.foretold, made: before.spent };
            so_far.after(before.hours, before.polls * cost, before.units)
        }
        _ => Steering::new(budget),
    }
}

/// Prices for users whose streams alone could exceed the limit of one user.
async fn user_prices<S: Source>(
    context: &Context,
    source: &S,
    current: &Prices,
    late: f64,
    projects: &HashMap<String, Demands>,
) -> anyhow::Result<HashMap<Uuid, f64>> {
    let limits = S::limits(&context.settings.quota);
    let budget = |cost: u64| Budgets::of(&context.settings.pace, limits, cost).user / cost as f64;
    let max_rate = projects.values().map(|demands| demands.max_rate).fold(0.0, f64::max);
    let crowd = projects.values().map(|demands| budget(demands.cost) / max_rate).fold(f64::INFINITY, f64::min);
    if projects.values().all(|demands| (demands.streams as f64) <= crowd) {
        return Ok(HashMap::new());
    }
    let users = poll_prices::crowded(&context.pool, S::TABLES.service, crowd as i64).await?;
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let (demands, _) = add_demands(context, source, Some(&users), current, late, |stream| stream.user_id).await?;
    let min_price = context.settings.pace.price;
    let priced =
        demands.into_iter().map(|(user, demands)| (user, demands.demand.price(budget(demands.cost) - demands.safety).price));
    Ok(priced.filter(|(_, price)| *price > min_price).collect())
}
