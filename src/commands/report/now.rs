//! Sections about the current state. Pure.

use maud::{Markup, html};

use super::format::{self, counted, percent, seconds};
use super::remedy::remedy;
use super::window::shares;
use crate::commands::gauges::{Figures, Outbox};
use crate::config::Quota;
use crate::db::channels_read::ChannelCounts;
use crate::db::problems::{AGES, Ages, Deliveries, Failing, Spent};
use crate::services::registry;

fn card(head: &[(&str, bool)], rows: Markup) -> Markup {
    html! {
        div.card.scroll {
            table {
                thead { tr { @for (name, number) in head { th.number[*number] scope="col" { (name) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// Renders the last run of each job.
pub fn jobs(figures: &Figures) -> Markup {
    html! {
        @if figures.jobs.is_empty() {
            p.empty { "No job has run yet." }
        } @else {
            (card(
                &[("Job", false), ("Last run", false), ("Status", false), ("Took", true), ("Last success", false)],
                html! {
                    @for job in &figures.jobs {
                        tr {
                            th scope="row" { (job.job) }
                            td.time { (format::time(job.last_started_at)) }
                            td { span.status.(job.last_status.as_str()) { (job.last_status.as_str()) } }
                            td.number { (job.last_seconds.map_or_else(|| "–".into(), seconds)) }
                            td.time { (job.last_success_at.map_or_else(|| "never".into(), format::time)) }
                        }
                    }
                },
            ))
        }
    }
}

/// Renders how long ago streams were polled.
pub fn ages(ages: &[Ages]) -> Markup {
    let mut head = vec![("Streams by last poll".to_owned(), false)];
    head.extend(AGES.iter().map(|bound| (format!("≤ {}", seconds(*bound)), true)));
    head.extend([("older".into(), true), ("never".into(), true), ("Share".into(), false)]);
    let head: Vec<(&str, bool)> = head.iter().map(|(name, number)| (name.as_str(), *number)).collect();
    let colours = ["completed", "completed", "service-1", "service-1", "partial"];
    html! {
        @if ages.is_empty() {
            p.empty { "There are no streams: import accounts with " code { "syncctl accounts import" } "." }
        } @else {
            (card(&head, html! {
                @for of in ages {
                    tr {
                        th scope="row" { (of.service) }
                        @for count in &of.within { td.number { (counted(*count)) } }
                        td.number { (counted(of.older)) }
                        td.number { (counted(of.never)) }
                        td {
                            (shares(colours.into_iter().zip(of.within.iter().map(|count| count.unsigned_abs()))
                                .chain([("failed", of.older.unsigned_abs()), ("skipped", of.never.unsigned_abs())])))
                        }
                    }
                }
            }))
        }
    }
}

/// Renders how much of its daily quota each project has spent.
pub fn quota(spent: &[Spent], quota: &Quota) -> Markup {
    html! {
        @if spent.is_empty() {
            p.empty { "No quota was spent today. Google's day begins at midnight in California." }
        } @else {
            (card(
                &[("Quota today", false), ("Project", false), ("Units", true), ("Of", true), ("Share", true)],
                html! {
                    @for of in spent {
                        @let limit = registry::find(&of.service).map_or(u64::MAX, |service| (service.limits)(quota).per_day);
                        tr {
                            th scope="row" { (of.service) }
                            td { code { (of.project) } @if let Some(until) = of.paused_until { " paused until " (format::time(until)) } }
                            td.number { (counted(of.units)) }
                            @if limit == u64::MAX {
                                td.number { "no limit" }
                                td.number { "–" }
                            } @else {
                                td.number { (format::count(limit)) }
                                td.number { (percent(of.units as f64 / limit as f64)) }
                            }
                        }
                    }
                },
            ))
        }
    }
}

/// Renders failing accounts: the first of `all`.
pub fn accounts(failing: &[Failing], all: i64) -> Markup {
    let more = all - failing.len() as i64;
    html! {
        @if failing.is_empty() {
            p.empty { "No account fails." }
        } @else {
            div.stack { (card(
                &[("User", false), ("Class", false), ("Services", false), ("Since", false), ("What to do", false)],
                html! {
                    @for of in failing {
                        tr {
                            th scope="row" { code { (of.user_id) } }
                            td.time data-label="Class" { code { (of.class) } }
                            td data-label="Services" { (of.services) }
                            td.time data-label="Since" { (of.since.map_or_else(|| "–".into(), format::time)) }
                            td.words data-label="What to do" { (remedy(&of.class)) }
                        }
                    }
                },
            )) }
            @if more > 0 { p.faint { "And " (counted(more)) " more: see " code { "syncctl accounts list" } "." } }
        }
    }
}

/// Renders the state of push channels.
pub fn channels(channels: &[(&'static str, ChannelCounts)]) -> Markup {
    let some = |of: &ChannelCounts| of.live + of.refused + of.to_stop > 0;
    html! {
        @if !channels.iter().any(|(_, of)| some(of)) {
            p.empty { "There are no push channels: every change is found by polling." }
        } @else {
            (card(
                &[("Service", false), ("Live", true), ("Silent", true), ("Refused", true), ("To stop", true), ("", false)],
                html! {
                    @for (service, of) in channels.iter().filter(|(_, of)| some(of)) {
                        tr {
                            th scope="row" { (service) }
                            @for count in [of.live, of.silent, of.refused, of.to_stop] { td.number { (counted(count)) } }
                            td.words {
                                @if of.silent > 0 {
                                    "Polls find changes that the silent channels do not announce: run " code { "syncctl " (service) " renew-webhooks" } "."
                                }
                            }
                        }
                    }
                },
            ))
        }
    }
}

/// Renders the deliveries of events.
pub fn outbox(outbox: &Outbox, deliveries: &[Deliveries]) -> Markup {
    html! {
        @if outbox.pending > 0 {
            p.faint { (counted(outbox.pending)) " events wait, the oldest for " (seconds(outbox.oldest_seconds)) "." }
        }
        @if deliveries.is_empty() {
            p.empty { "There was nothing to deliver." }
        } @else {
            (card(
                &[("Target", false), ("Delivered in this window", true), ("Waiting", true), ("Given up", true)],
                html! {
                    @for of in deliveries {
                        tr {
                            th scope="row" { (of.target) }
                            td.number { (counted(of.delivered)) }
                            td.number { (counted(of.pending)) }
                            td.number { (counted(of.dead)) }
                        }
                    }
                },
            ))
        }
    }
}
