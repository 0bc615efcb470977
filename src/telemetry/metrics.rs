//! The figures of each run as OpenTelemetry metrics, sent at its end.
//!
//! A process that lives for one run knows nothing about earlier runs, so sums and the histogram are deltas from the start of the run to now, which
//! collectors add up. Gauges are meaningful by themselves, and the same as in `syncctl metrics --prometheus`.

use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::Attributes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;

use super::otlp::{Signal, resource, scope};
use super::{Count, Run};
use crate::http;
use crate::state::RunStatus;

const METRICS: Signal = Signal { name: "METRICS", path: "v1/metrics", what: "metrics" };

/// Upper bounds of the histogram's buckets, in seconds: from a run with nothing to do, up to first syncs.
const BOUNDS: [f64; 17] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// Sends the metrics of a run, if an endpoint is configured.
pub(super) async fn export(http: &http::Client, run: &Run<'_>) {
    if !METRICS.is_wanted() {
        return;
    }
    let resource = ResourceAttributesWithSchema::from(&resource());
    let metrics = ResourceMetrics {
        schema_url: resource.schema_url.unwrap_or_default(),
        resource: Some(Resource { attributes: resource.attributes.0, ..Resource::default() }),
        scope_metrics: vec![ScopeMetrics {
            scope: Some((scope(), None).into()),
            metrics: Figures { run, now: SystemTime::now() }.metrics(),
            ..ScopeMetrics::default()
        }],
    };
    METRICS.send(http, run.job, &ExportMetricsServiceRequest { resource_metrics: vec![metrics] }).await;
}

struct Figures<'a> {
    run: &'a Run<'a>,
    now: SystemTime,
}

impl Figures<'_> {
    fn metrics(&self) -> Vec<Metric> {
        let run = self.run;
        let mut metrics = vec![metric("syncctl.run.duration", "s", "Duration of the runs", Data::Histogram(self.duration()))];
        let counted = |Count { name, unit, about, value }: &Count| {
            metric(name, unit, about, self.sum(vec![self.point(Value::AsInt(int(*value)), &[])]))
        };
        metrics.extend(run.counts.iter().map(counted));
        if !run.errors.is_empty() {
            let class = |(class, count): &(&'static str, u64)| {
                self.point(Value::AsInt(int(*count)), &[KeyValue::new("error.type", *class)])
            };
            let errors = self.sum(run.errors.iter().map(class).collect());
            metrics.push(metric("syncctl.errors", "{error}", "Failures by class", errors));
        }
        // A skipped run did nothing.
        if run.status != RunStatus::Skipped {
            let about = "Start time of the job's last run, since 1970";
            metrics.push(self.gauge("syncctl.last_run.timestamp", about, since_1970(run.began)));
            metrics.push(self.gauge("syncctl.last_run.duration", "Duration of the job's last run", run.elapsed));
        }
        if run.status == RunStatus::Completed {
            let about = "End time of the job's last completed run, since 1970";
            metrics.push(self.gauge("syncctl.last_success.timestamp", about, since_1970(self.now)));
        }
        metrics
    }

    fn duration(&self) -> Histogram {
        let seconds = self.run.elapsed.as_secs_f64();
        let mut buckets = vec![0; BOUNDS.len() + 1];
        // A bound belongs to the bucket below it.
        buckets[BOUNDS.partition_point(|bound| *bound < seconds)] = 1;
        let mut attributes = vec![KeyValue::new("syncctl.status", self.run.status.as_str())];
        attributes.extend(self.run.error_type().map(|class| KeyValue::new("error.type", class)));
        let point = HistogramDataPoint {
            attributes: self.attributes(&attributes),
            start_time_unix_nano: nanos(self.run.began),
            time_unix_nano: nanos(self.now),
            count: 1,
            sum: Some(seconds),
            min: Some(seconds),
            max: Some(seconds),
            bucket_counts: buckets,
            explicit_bounds: BOUNDS.to_vec(),
            ..HistogramDataPoint::default()
        };
        Histogram { data_points: vec![point], aggregation_temporality: AggregationTemporality::Delta.into() }
    }

    fn sum(&self, data_points: Vec<NumberDataPoint>) -> Data {
        Data::Sum(Sum { data_points, aggregation_temporality: AggregationTemporality::Delta.into(), is_monotonic: true })
    }

    /// A gauge in seconds.
    fn gauge(&self, name: &str, about: &str, value: Duration) -> Metric {
        let point = self.point(Value::AsDouble(value.as_secs_f64()), &[]);
        metric(name, "s", about, Data::Gauge(Gauge { data_points: vec![point] }))
    }

    fn point(&self, value: Value, attributes: &[KeyValue]) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.attributes(attributes),
            start_time_unix_nano: nanos(self.run.began),
            time_unix_nano: nanos(self.now),
            value: Some(value),
            ..NumberDataPoint::default()
        }
    }

    /// The job's name and the given attributes.
    fn attributes(&self, others: &[KeyValue]) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
        let job = KeyValue::new("syncctl.job", self.run.job.to_owned());
        Attributes::from([job].into_iter().chain(others.iter().cloned())).0
    }
}

fn metric(name: &str, unit: &str, about: &str, data: Data) -> Metric {
    Metric { name: name.into(), unit: unit.into(), description: about.into(), data: Some(data), ..Metric::default() }
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn nanos(time: SystemTime) -> u64 {
    u64::try_from(since_1970(time).as_nanos()).unwrap_or(u64::MAX)
}

fn int(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
