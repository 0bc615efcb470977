//! Renders the page: header, key figures, and sections. Pure.

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::format::{self, count, counted, percent, seconds};
use super::history::{History, STATUSES};
use super::{now, window};
use crate::commands::gauges::Figures;
use crate::config::Quota;
use crate::db::channels_read::ChannelCounts;
use crate::db::problems::{Ages, Deliveries, Failing, Spent};
use crate::state::RunStatus;

/// The data for the page.
pub struct ReportData {
    pub made_at: DateTime<Utc>,
    pub history: History,
    pub figures: Figures,
    pub ages: Vec<Ages>,
    pub failing: Vec<Failing>,
    /// Number of failing accounts, including those not in `failing`.
    pub accounts_failing: i64,
    pub spent: Vec<Spent>,
    pub quota: Quota,
    /// By service.
    pub channels: Vec<(&'static str, ChannelCounts)>,
    pub deliveries: Vec<Deliveries>,
}

/// A section: anchor, heading, content.
type Section = (&'static str, &'static str, Markup);

/// Renders the page. It is self-contained, with inline styles and drawings, and has no scripts.
pub fn page(data: &ReportData) -> String {
    let sections: [Section; 10] = [
        ("runs", "Runs", window::runs(&data.history)),
        ("durations", "Durations", window::durations(&data.history)),
        ("errors", "Errors", window::errors(&data.history)),
        ("freshness", "Freshness", html! { (window::delays(&data.history)) (now::ages(&data.ages)) }),
        ("volume", "Volume", window::volume(&data.history)),
        ("quota", "API calls and quota", html! { (window::calls(&data.history)) (now::quota(&data.spent, &data.quota)) }),
        ("jobs", "Jobs", now::jobs(&data.figures)),
        ("accounts", "Accounts that fail", now::accounts(&data.failing, data.accounts_failing)),
        ("channels", "Push channels", now::channels(&data.channels)),
        ("outbox", "Outbox", now::outbox(&data.figures.outbox, &data.deliveries)),
    ];
    let pieces = &data.history.pieces;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                // Prevent the request for an icon.
                link rel="icon" href="data:,";
                title { "syncctl report" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header {
                    h1 { "syncctl report" }
                    p.faint {
                        (format::time(pieces.start)) " to " (format::time(data.made_at)) ". All times are UTC. "
                        (count(data.history.runs)) " runs, in steps of " (seconds(pieces.step.num_seconds() as f64)) "."
                    }
                    nav aria-label="Sections" { ul { @for (anchor, heading, _) in &sections { li { a href={ "#" (anchor) } { (heading) } } } } }
                }
                main {
                    (tiles(data))
                    @for (anchor, heading, content) in &sections {
                        section aria-labelledby=(anchor) { h2 id=(anchor) { (heading) } (content) }
                    }
                }
                footer {
                    "Made by syncctl " (env!("CARGO_PKG_VERSION")) " at " (format::time(data.made_at)) " UTC. Users are shown by id."
                }
            }
        }
    };
    page.into_string()
}

fn tiles(data: &ReportData) -> Markup {
    let History { jobs, .. } = &data.history;
    let sum = |status: RunStatus| jobs.values().map(|job| job.count(status)).sum::<u64>();
    let worked: u64 = STATUSES.iter().filter(|status| **status != RunStatus::Skipped).map(|status| sum(*status)).sum();
    let success = (worked > 0).then(|| sum(RunStatus::Completed) as f64 / worked as f64);
    let figures = &data.figures;
    let due: i64 = figures.streams.iter().map(|of| of.due).sum();
    let oldest = figures.streams.iter().map(|of| of.oldest_due_seconds).fold(0.0, f64::max);
    let failing = data.accounts_failing;
    let quarantined: i64 = figures.streams.iter().map(|of| of.quarantined).sum();
    let dash = || "–".to_owned();
    let tile = |value: String, name: String, bad: bool| html! { li.bad[bad] { b { (value) } span { (name) } } };
    html! {
        ul.tiles {
            (tile(success.map_or_else(dash, percent), "runs completed".into(), success.is_some_and(|share| share < 0.9)))
            (tile(data.history.delays().p95().map_or_else(dash, seconds), "delay of changes, p95".into(), false))
            (tile(counted(due), if due > 0 { format!("streams due now, for up to {}", seconds(oldest)) } else { "streams due now".into() }, false))
            (tile(counted(failing), "accounts fail now".into(), failing > 0))
            (tile(counted(quarantined), "items in quarantine".into(), quarantined > 0))
            (tile(counted(figures.outbox.pending), format!("events wait, {} given up", counted(figures.outbox.dead)), figures.outbox.dead > 0))
            (tile(format::bytes(figures.database_bytes), "database".into(), false))
        }
    }
}
