//! The price of a poll: what makes all polls of a service together meet the budget. Made anew now and then, by one host, in one pass over all
//! streams. Joins `pace` and `db::prices`.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Context as _;
use chrono::Utc;
use futures_util::{TryStreamExt as _, pin_mut};
use uuid::Uuid;

use super::pace::{self, Demand, Fit};
use super::{Context, Source, Stream, pacing};
use crate::config::{Limits, Pace};
use crate::db::prices::{self, Computed, Paced, Prices};

/// A target leaves its budget by no more than these factors, whatever was spent: beyond, something else is wrong.
const CORRECTION: std::ops::RangeInclusive<f64> = 0.5..=1.5;
/// Hours over which it is measured what was spent.
const MEASURED: f64 = 24.0;

/// The prices of a service; made anew first, if they are old and nobody else is at it.
pub async fn prices<S: Source>(context: &Context, source: &S, writes: bool) -> anyhow::Result<Prices> {
    let (pool, service) = (&context.pool, S::TABLES.service);
    let prices = prices::load(pool, service).await?;
    let every = context.settings.pace.reprice_every.as_secs_f64();
    if !writes || prices.age.is_some_and(|age| age < every) || !prices::take(pool, service, every).await? {
        return Ok(prices);
    }
    reprice(context, source).await?;
    prices::load(pool, service).await
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
#[derive(Default)]
struct Asked {
    streams: i64,
    demand: Demand,
    /// Polls an hour of those that a channel leaves a safety poll only.
    safety: f64,
    /// Most polls an hour that one of them may have.
    most: f64,
    /// Quota units of a poll.
    cost: u64,
}

/// Adds up what streams ask for, under the key that `key` gives each.
async fn ask<S: Source, K: std::hash::Hash + Eq>(
    context: &Context,
    source: &S,
    users: Option<&[Uuid]>,
    key: impl Fn(&mut Paced) -> K,
) -> anyhow::Result<HashMap<K, Asked>> {
    let pace = &context.settings.pace;
    let safety = 3600.0 / context.settings.push.safety_interval.as_secs_f64();
    let now = Utc::now();
    let mut asked: HashMap<K, Asked> = HashMap::new();
    let streams = prices::paced(&context.pool, S::TABLES.service, users).await?;
    pin_mut!(streams);
    while let Some(mut stream) = streams.try_next().await? {
        let cost = S::cost(&stream.kind);
        let bounds = source.bounds(&Stream {
            id: stream.id,
            user_id: stream.user_id,
            kind: std::mem::take(&mut stream.kind),
            resource: std::mem::take(&mut stream.resource),
        });
        let forecast = pacing::history(&stream.changes).forecast(now, pace.half_life, bounds.prior);
        let weight = source.urgency(stream.id) * pace::faded(stream.weight, stream.weight_at, now, pace.activity_half_life);
        let asked = asked.entry(key(&mut stream)).or_default();
        asked.streams += 1;
        asked.cost = asked.cost.max(cost);
        asked.most = asked.most.max(3600.0 / bounds.min.as_secs_f64());
        match stream.push_alive {
            true => asked.safety += safety,
            false => asked.demand.add(&forecast, weight, &bounds),
        }
    }
    Ok(asked)
}

/// Makes the prices of a service anew.
async fn reprice<S: Source>(context: &Context, source: &S) -> anyhow::Result<()> {
    let Context { pool, settings, .. } = context;
    let service = S::TABLES.service;
    let started = Instant::now();
    let projects = ask(context, source, None, |stream| std::mem::take(&mut stream.project)).await?;
    let spent = prices::spent(pool, service).await?;
    let before: HashMap<String, Computed> =
        prices::computed(pool, Some(service)).await?.into_iter().map(|computed| (computed.project.clone(), computed)).collect();
    let limits = settings.quota.limits(service);
    let most = projects.values().map(|asked| asked.most).fold(0.0, f64::max);
    let mut computed = Vec::new();
    for (project, asked) in projects {
        let budget = Budgets::of(&settings.pace, limits, asked.cost).project;
        let spent = spent.get(&project).copied();
        let target = corrected(budget, spent, before.get(&project), settings.pace.price);
        let price = asked.demand.price(target / asked.cost as f64 - asked.safety);
        if price.fit == Fit::Short {
            log::warn!(
                service, project, streams = asked.streams;
                "even with every stream polled as rarely as it may be, polls cost more than the budget: raise pace.calls_per_day, or the longest intervals"
            );
        }
        let price = price.price.max(settings.pace.price);
        computed.push(Computed {
            service: service.to_owned(),
            price,
            budget,
            target,
            spent,
            streams: asked.streams,
            polls: asked.demand.calls(price) + asked.safety,
            computed_at: Utc::now(),
            project,
        });
    }
    let users = user_prices(context, source, limits, most).await?;
    prices::store(pool, service, &computed, &users).await.context("storing the pace")?;
    let streams: i64 = computed.iter().map(|project| project.streams).sum();
    log::info!(service, streams, users = users.len(); "prices made anew in {} ms", started.elapsed().as_millis());
    Ok(())
}

/// What polls are to cost together: the budget, corrected by what was spent over the last day. Polls are not all that is spent: what they find
/// costs too, and a cron line rounds every wait up.
fn corrected(budget: f64, spent: Option<f64>, before: Option<&Computed>, least: f64) -> f64 {
    let target = match (spent, before) {
        (Some(spent), Some(before)) if spent > 0.0 && before.budget == budget && before.price > least => {
            let hours = (Utc::now() - before.computed_at).as_seconds_f64() / 3600.0;
            before.target * (budget / spent).powf((hours / MEASURED).min(1.0))
        }
        // As long as the price is the least, what is spent says nothing of it.
        (_, Some(before)) if before.budget == budget => before.target,
        _ => budget,
    };
    target.clamp(CORRECTION.start() * budget, CORRECTION.end() * budget)
}

/// Prices of users whose streams alone could pass what one user may have. `most`: polls an hour that a stream may have.
async fn user_prices<S: Source>(context: &Context, source: &S, limits: Limits, most: f64) -> anyhow::Result<Vec<(Uuid, f64)>> {
    let budget = |cost: u64| Budgets::of(&context.settings.pace, limits, cost).user / cost as f64;
    let users = prices::crowded(&context.pool, S::TABLES.service, (budget(1) / most) as i64).await?;
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let asked = ask(context, source, Some(&users), |stream| stream.user_id).await?;
    let least = context.settings.pace.price;
    let priced = asked.into_iter().map(|(user, asked)| (user, asked.demand.price(budget(asked.cost) - asked.safety).price));
    Ok(priced.filter(|(_, price)| *price > least).collect())
}
