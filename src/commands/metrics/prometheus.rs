//! Formats metrics of a window and of the current state in Prometheus's text format.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;
use crate::commands::gauges::{Figures, Job, Streams};
use crate::db::channels_read::ChannelCounts;
use crate::db::quota::Pause;

type Labels = Vec<(&'static str, String)>;
type Values = Vec<(Labels, f64)>;

/// The label for a job's name. Not `job`: Prometheus sets that to the scrape job's name and would rename ours to `exported_job`.
const JOB: &str = "syncctl_job";

/// The metric families. Each call of `add` adds one; families without values are omitted.
struct Families(Registry);

impl Families {
    fn add(&mut self, name: &str, help: &str, values: Values) {
        if values.is_empty() {
            return;
        }
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }

    fn text(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// Returns the metrics available when the database is unreachable.
pub fn unreachable() -> anyhow::Result<String> {
    let mut families = Families(Registry::with_prefix("syncctl"));
    of_process(&mut families, false);
    families.text()
}

/// Returns each service's window and, if given, the current figures.
pub fn text(services: &[Metrics], now: Option<&Figures>) -> anyhow::Result<String> {
    let mut families = Families(Registry::with_prefix("syncctl"));
    if let Some(figures) = now {
        of_now(&mut families, figures);
    }
    of_windows(&mut families, services);
    families.text()
}

fn of_process(families: &mut Families, database: bool) {
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    families.add("build_info", "Version of syncctl that wrote this file", vec![(version, 1.0)]);
    families.add("database_up", "1 if the database was reachable, else 0", vec![(Vec::new(), f64::from(u8::from(database)))]);
}

fn of_now(families: &mut Families, figures: &Figures) {
    of_process(families, true);
    let jobs = |value: &dyn Fn(&Job) -> Option<f64>| -> Values {
        figures.jobs.iter().filter_map(|job| Some((vec![(JOB, job.job.clone())], value(job)?))).collect()
    };
    let seconds = |time: chrono::DateTime<chrono::Utc>| time.timestamp_millis() as f64 / 1000.0;
    families.add(
        "last_success_timestamp_seconds",
        "End of the job's last completed run, as a Unix timestamp",
        jobs(&|job| job.last_success_at.map(seconds)),
    );
    families.add(
        "last_run_timestamp_seconds",
        "Start of the job's last run that was not skipped, as a Unix timestamp",
        jobs(&|job| Some(seconds(job.last_started_at))),
    );
    families.add("last_run_duration_seconds", "Duration of the job's last ended run", jobs(&|job| job.last_seconds));
    families.add("running_seconds", "Age of the job's oldest running run", jobs(&|job| job.running_seconds));
    families.add("runs_skipped", "Runs skipped since the job's last run that was not", jobs(&|job| Some(job.skipped as f64)));
    let status = |job: &Job| vec![(JOB, job.job.clone()), ("status", job.last_status.to_string())];
    let statuses = figures.jobs.iter().map(|job| (status(job), 1.0)).collect();
    families.add("last_run_status", "1 for the status of the job's last ended run that was not skipped", statuses);
    let streams = |value: &dyn Fn(&Streams) -> f64| -> Values {
        figures.streams.iter().map(|streams| (vec![("service", streams.service.clone())], value(streams))).collect()
    };
    families.add("streams", "Polled streams", streams(&|of| of.streams as f64));
    families.add("streams_due", "Streams that are due now", streams(&|of| of.due as f64));
    families.add("oldest_due_seconds", "How long the longest-overdue stream has been due", streams(&|of| of.oldest_due_seconds));
    families.add(
        "oldest_first_pass_seconds",
        "Age of the oldest stream that has not finished its first pass",
        streams(&|of| of.oldest_first_pass_seconds),
    );
    families.add("streams_failing", "Streams whose last poll failed", streams(&|of| of.failing as f64));
    families.add("quarantined_items", "Items in quarantine now", streams(&|of| of.quarantined as f64));
    let behind = figures.behind.iter();
    let behind = behind.map(|of| (vec![("service", of.service.to_owned()), ("part", of.part.to_owned())], of.streams as f64));
    families.add("streams_behind", "Streams of which a part is not up to date although their polls succeed", behind.collect());
    of_accounts(families, figures);
    let one = |value: f64| vec![(Vec::new(), value)];
    let paused = |value: &dyn Fn(&Pause) -> f64| -> Values {
        let labels = |of: &Pause| vec![("service", of.service.clone()), ("project", of.project.clone())];
        figures.quota_paused.iter().map(|of| (labels(of), value(of))).collect()
    };
    families.add(
        "quota_paused_until_timestamp_seconds",
        "End of the pause of a project whose daily quota is used up, as a Unix timestamp",
        paused(&|of| seconds(of.until)),
    );
    families.add("quota_paused_streams", "Streams waiting because their project is paused", paused(&|of| of.streams as f64));
    families.add("outbox_pending", "Pending deliveries and new events", one(figures.outbox.pending as f64));
    families.add("outbox_dead", "Deliveries that were given up", one(figures.outbox.dead as f64));
    families.add("outbox_oldest_seconds", "Age of the oldest waiting event", one(figures.outbox.oldest_seconds));
    families.add("database_size_bytes", "Size of the database", one(figures.database_bytes as f64));
}

fn of_accounts(families: &mut Families, figures: &Figures) {
    let failing = figures.accounts_failing.iter();
    let failing = failing.map(|of| (vec![("class", of.class.clone()), ("service", of.service.clone())], of.accounts as f64));
    families.add(
        "accounts_failing",
        "Users with failing streams of a service, or with `all` users whose account is revoked",
        failing.collect(),
    );
    let one = |value: f64| vec![(Vec::new(), value)];
    families.add("accounts", "Accounts that were not ended on purpose", one(figures.accounts as f64));
    families.add("accounts_refused", "Of these, accounts that their provider refuses", one(figures.accounts_refused as f64));
    families.add("accounts_ended", "Accounts that were ended on purpose", one(figures.accounts_ended as f64));
}

fn of_windows(families: &mut Families, services: &[Metrics]) {
    let mut add = |name: &str, help: &str, values: &dyn Fn(&Metrics) -> Values| {
        let labelled = services.iter().flat_map(|metrics| {
            values(metrics).into_iter().map(|(mut labels, value)| {
                labels.insert(0, ("service", metrics.service.to_owned()));
                (labels, value)
            })
        });
        families.add(name, help, labelled.collect());
    };
    let one = |value: f64| -> Values { vec![(Vec::new(), value)] };
    // Not `quantile`, which is reserved for summaries: these are gauges.
    let percentiles = |values: [Option<f64>; 3]| -> Values {
        let named = ["50", "95", "100"].into_iter().zip(values);
        named.filter_map(|(percentile, value)| Some((vec![("percentile", percentile.to_owned())], value?))).collect()
    };
    let counted = |label: &'static str, counts: &std::collections::BTreeMap<String, u64>| -> Values {
        counts.iter().map(|(name, count)| (vec![(label, name.clone())], *count as f64)).collect()
    };
    add("window_seconds", "Length of the window", &|m| one(m.window_seconds as f64));
    add("runs", "Runs in the window by status", &|m| counted("status", &m.window.by_status));
    add("run_duration_seconds", "Duration of the window's runs", &|m| {
        let seconds = |ms: Option<i32>| ms.map(|ms| f64::from(ms) / 1000.0);
        percentiles([m.window.duration_p50_ms, m.window.duration_p95_ms, m.window.duration_max_ms].map(seconds))
    });
    add("successful", "Users whose streams all succeeded", &|m| one(m.window.successful as f64));
    add("failed", "Users with a stream that failed", &|m| one(m.window.failed as f64));
    add("items_changed", "Rows created, updated or deleted", &|m| one(m.window.items_changed as f64));
    add("streams_polled", "Streams polled", &|m| one(m.window.streams as f64));
    add("api_calls", "API calls to the provider", &|m| one(m.window.api_calls as f64));
    add("quota_units", "Quota units spent", &|m| one(m.window.quota_units as f64));
    add("quarantined", "Items put into quarantine", &|m| one(m.window.quarantined as f64));
    add("change_delay_seconds", "Delay from a change to the poll that found it", &|m| {
        let delays = &m.window.delays;
        percentiles([delays.quantile(0.5), delays.p95(), delays.quantile(1.0)])
    });
    add("change_delay_mean_seconds", "Mean delay from a change to the poll that found it", &|m| {
        m.window.delays.mean().map(one).unwrap_or_default()
    });
    add("changes_found", "Changes found by incremental polls", &|m| one(m.window.delays.count as f64));
    add("errors", "Failed streams by class", &|m| counted("class", &m.window.errors));
    add("channel_repairs", "Unhealthy push channels found", &|m| counted("found", &m.window.channel_repairs));
    add("channels", "Current push channels by state; silent ones are live but announce nothing", &|m| {
        let ChannelCounts { live, silent, refused, to_stop } = m.channels;
        let states = [("live", live), ("silent", silent), ("refused", refused), ("to_stop", to_stop)];
        states.map(|(state, count)| (vec![("state", state.to_owned())], count as f64)).into()
    });
}
