//! Sections about the runs in the window. Pure.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::chart::{Series, Shape, figure};
use super::format::{self, Unit, count, percent, seconds};
use super::history::{History, Job, STATUSES, Service, quantile};
use super::remedy::remedy;
use crate::engine::delays::Delays;
use crate::services::registry;
use crate::state::RunStatus;

/// Classes of the services' colours in `style.css`, in the order of the registry.
const COLOURS: [&str; 4] = ["service-1", "service-2", "service-3", "service-4"];

/// Returns the colour class of a service, or a neutral one.
fn colour(service: &str) -> &'static str {
    let place = registry::SERVICES.iter().position(|known| known.name == service);
    place.and_then(|place| COLOURS.get(place)).copied().unwrap_or(RunStatus::Skipped.as_str())
}

/// Whether this number of charts fills rows of two; then they are drawn wider.
fn is_even(charts: usize) -> bool {
    matches!(charts, 2 | 4)
}

/// Renders the runs by status, over time and by job.
pub fn runs(history: &History) -> Markup {
    let by_status = |jobs: &[&Job]| -> Vec<Series> {
        let sums = |index: usize| {
            (0..history.pieces.count).map(move |piece| jobs.iter().filter_map(|job| job.runs.get(piece)?.get(index)).sum::<u64>())
        };
        STATUSES.iter().enumerate().map(|(index, status)| Series::counts(status.as_str(), status.as_str(), sums(index))).collect()
    };
    let mut services: BTreeMap<&str, Vec<&Job>> = BTreeMap::new();
    for (name, job) in &history.jobs {
        services.entry(name.split(' ').next().unwrap_or_default()).or_default().push(job);
    }
    html! {
        @if history.runs == 0 {
            p.empty { "No run ended in this window. Runs are started by cron or by systemd timers: check that one of them is set up." }
        } @else {
            p.faint { "Runs by status. Skipped runs found another run of the same job in progress; abandoned runs belonged to processes that died." }
            div.grid.wide[is_even(services.len())] {
                @for (service, jobs) in &services {
                    (figure(&format!("Runs of {service}"), &history.pieces, &by_status(jobs), Unit::Count, Shape::Bars))
                }
            }
            div.card.scroll { (success(&history.jobs)) }
        }
    }
}

fn success(jobs: &BTreeMap<String, Job>) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { "Job" } th.number scope="col" { "Runs" } th.number scope="col" { "Completed" } th scope="col" { "Of all not skipped" }
                @for status in &STATUSES[1..] { th.number scope="col" { (status) } }
            } }
            tbody {
                @for (name, job) in jobs {
                    tr {
                        th scope="row" { (name) }
                        td.number { (count(job.total())) }
                        td.number { (job.success_rate().map_or_else(|| "–".into(), percent)) }
                        td { (shares(STATUSES.iter().filter(|status| **status != RunStatus::Skipped).map(|status| (status.as_str(), job.count(*status))))) }
                        @for status in &STATUSES[1..] { td.number { (count(job.count(*status))) } }
                    }
                }
            }
        }
    }
}

/// Renders a bar of shares of a total.
pub fn shares(parts: impl Iterator<Item = (&'static str, u64)> + Clone) -> Markup {
    let total: u64 = parts.clone().map(|(_, part)| part).sum();
    html! {
        @if total > 0 {
            div.share {
                @for (colour, part) in parts.filter(|(_, part)| *part > 0) {
                    i.(colour) style=(format!("width:{:.2}%", part as f64 * 100.0 / total as f64)) title=(format!("{colour}: {}", count(part))) {}
                }
            }
        }
    }
}

/// Renders the durations of each job's runs.
pub fn durations(history: &History) -> Markup {
    let worked: Vec<_> = history.jobs.iter().filter(|(_, job)| job.took.iter().any(|took| !took.is_empty())).collect();
    html! {
        @if worked.is_empty() {
            p.empty { "No run that polled anything ended in this window." }
        } @else {
            p.faint { "Half of the runs took no longer than p50, 95 % no longer than p95." }
            div.grid {
                @for (name, job) in worked {
                    @let line = |share: f64| job.took.iter().map(|took| quantile(took, share)).collect();
                    @let all = |share: f64| job.took_at(share).map_or_else(String::new, seconds);
                    (figure(
                        name,
                        &history.pieces,
                        &[
                            Series { name: format!("p50, {} overall", all(0.5)), colour: "p50", values: line(0.5) },
                            Series { name: format!("p95, {} overall", all(0.95)), colour: "p95", values: line(0.95) },
                        ],
                        Unit::Seconds,
                        Shape::Lines,
                    ))
                }
            }
        }
    }
}

/// Renders failures and their remedies.
pub fn errors(history: &History) -> Markup {
    let mut classes: Vec<_> = history.errors.iter().collect();
    classes.sort_by_key(|(_, failures)| std::cmp::Reverse(failures.count));
    html! {
        @if classes.is_empty() {
            p.empty { "No stream failed in this window." }
        } @else {
            p.faint { "Failed polls of streams by class, with the last example of each." }
            div.card.scroll.stack {
                table {
                    thead { tr {
                        th scope="col" { "Class" } th.number scope="col" { "Times" } th scope="col" { "Last" } th scope="col" { "Jobs" }
                        th scope="col" { "Example" } th scope="col" { "What to do" }
                    } }
                    tbody {
                        @for (class, failures) in classes {
                            tr {
                                th.time scope="row" { code { (class) } }
                                td.number data-label="Times" { (count(failures.count)) }
                                td.time data-label="Last" { (format::time(failures.last_at)) }
                                td data-label="Jobs" { (failures.jobs.iter().map(String::as_str).collect::<Vec<_>>().join(", ")) }
                                td.words data-label="Example" { (failures.example) }
                                td.words data-label="What to do" { (remedy(class)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Renders a chart of a figure for each service with nonzero values.
fn by_service(history: &History, name: &str, value: impl Fn(&Service) -> &Vec<u64>) -> Markup {
    let some: Vec<_> = history.services.iter().filter(|(_, of)| value(of).iter().any(|value| *value > 0)).collect();
    html! {
        @if some.is_empty() { p.empty { "Nothing in this window." } }
        div.grid.wide[is_even(some.len())] {
            @for (service, of) in some {
                @let sum = value(of).iter().sum::<u64>();
                (figure(
                    &format!("{service}: {} {name}", count(sum)),
                    &history.pieces,
                    &[Series::counts(name, colour(service), value(of).iter().copied())],
                    Unit::Count,
                    Shape::Bars,
                ))
            }
        }
    }
}

/// Renders the delays of changes.
pub fn delays(history: &History) -> Markup {
    let some: Vec<_> = history.services.iter().filter(|(_, of)| of.delays.iter().any(|delays| delays.count > 0)).collect();
    html! {
        @if some.is_empty() {
            p.empty { "No poll found a change in this window, so delays are unknown." }
        } @else {
            p.faint { "Time from a change at the provider to the poll that found it, without first syncs and resyncs, which find old changes." }
            div.grid {
                @for (service, of) in some {
                    (figure(
                        &format!("Delay of changes, {service}"),
                        &history.pieces,
                        &[
                            Series { name: "p50".into(), colour: "p50", values: of.delays.iter().map(|delays| delays.quantile(0.5)).collect() },
                            Series { name: "p95".into(), colour: "p95", values: of.delays.iter().map(Delays::p95).collect() },
                        ],
                        Unit::Seconds,
                        Shape::Lines,
                    ))
                }
            }
        }
    }
}

/// Renders the number of changed rows.
pub fn volume(history: &History) -> Markup {
    by_service(history, "rows changed", |of| &of.changed)
}

/// Renders the number of API calls.
pub fn calls(history: &History) -> Markup {
    by_service(history, "API calls", |of| &of.calls)
}
