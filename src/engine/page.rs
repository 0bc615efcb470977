//! What the engine derives from a page.

use chrono::{DateTime, Utc};

use super::pace::{self, Bounds, History};
use super::shared::Shared;
use super::{Next, Page, Position, Source, pacing};
use crate::db::claims::StreamRow;

/// Whether the first page shows that nothing has changed.
pub fn is_idle<C>(page: &Page<C>, at: &Position) -> bool {
    let is_last = matches!(page.next, Next::Cursor(_));
    is_last && page.items.is_empty() && page.poison.is_empty() && at.pass.is_none() && at.page_token.is_none()
}

/// Size of a page as received, in bytes.
pub fn json<C>(page: &Page<C>) -> usize {
    let items: usize = page.items.iter().map(|item| item.raw.get().len()).sum();
    items + page.poison.iter().map(|poison| poison.raw.len()).sum::<usize>()
}

/// Seconds to the next poll; `first`: after a full pass.
pub fn wait_of<S: Source>(
    shared: &Shared<S>,
    row: &StreamRow,
    history: &History,
    bounds: &Bounds,
    now: DateTime<Utc>,
    first: bool,
) -> f64 {
    let settings = &shared.context.settings;
    let urgency = shared.source.urgency(row.id);
    let interval = pacing::outlook(settings, &shared.prices, bounds, urgency, row, history, now).interval;
    let wait = if first {
        pace::first_wait(interval, rand::random())
    } else {
        pace::jittered(interval, settings.pace.jitter, rand::random())
    };
    wait.as_secs_f64()
}

/// When the page's items changed, if the provider reports it.
pub fn change_times<C>(page: &Page<C>) -> Vec<DateTime<Utc>> {
    page.items.iter().filter_map(|item| item.changed_at).collect()
}
