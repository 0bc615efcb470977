//! Metrics by OTLP: each run sends its counts to an OpenTelemetry collector, and a failing collector costs only a warning.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, HistogramDataPoint, NumberDataPoint};
use prost::Message as _;
use serde_json::json;

use crate::support::World;
use crate::support::collector::{texts, world};
use crate::support::receiver::{Receiver, Reply, Request};

const DELTA: i32 = AggregationTemporality::Delta as i32;

/// The content of one request.
struct Received {
    text: String,
    resource: BTreeMap<String, String>,
    duration: HistogramDataPoint,
    sums: BTreeMap<String, (String, Vec<NumberDataPoint>)>,
    gauges: BTreeMap<String, f64>,
}

impl Received {
    /// The single point of a sum: unit and value.
    fn sum(&self, name: &str) -> (&str, i64) {
        let (unit, points) = &self.sums[name];
        assert_eq!(points.len(), 1, "{name}: {points:?}");
        (unit, int(&points[0]))
    }

    fn of_run(&self) -> BTreeMap<String, String> {
        texts(&self.duration.attributes)
    }
}

fn int(point: &NumberDataPoint) -> i64 {
    match point.value {
        Some(Value::AsInt(number)) => number,
        other => panic!("no whole number: {other:?}"),
    }
}

fn decoded(request: &Request) -> Received {
    let kind = request.header("content-type");
    let mut got = match kind {
        "application/x-protobuf" => ExportMetricsServiceRequest::decode(&*request.bytes).expect("a request of OTLP"),
        _ => serde_json::from_slice(&request.bytes).expect("a request of OTLP in JSON"),
    };
    let mut of = got.resource_metrics.remove(0);
    let scope = of.scope_metrics.remove(0);
    assert!(got.resource_metrics.is_empty() && of.scope_metrics.is_empty());
    assert_eq!(scope.scope.expect("a scope").name, "syncctl");
    let (mut duration, mut sums, mut gauges) = (None, BTreeMap::new(), BTreeMap::new());
    for metric in scope.metrics {
        assert!(!metric.description.is_empty(), "{}", metric.name);
        match metric.data.expect("data") {
            Data::Histogram(mut histogram) => {
                assert_eq!(
                    (&*metric.name, &*metric.unit, histogram.aggregation_temporality),
                    ("syncctl.run.duration", "s", DELTA)
                );
                duration = histogram.data_points.pop();
            }
            Data::Sum(sum) => {
                assert!(sum.is_monotonic && sum.aggregation_temporality == DELTA, "{}", metric.name);
                sums.insert(metric.name, (metric.unit, sum.data_points));
            }
            Data::Gauge(gauge) => {
                assert_eq!(metric.unit, "s");
                match gauge.data_points[0].value {
                    Some(Value::AsDouble(number)) => gauges.insert(metric.name, number),
                    other => panic!("{other:?}"),
                };
            }
            other => panic!("{other:?}"),
        }
    }
    let resource = texts(&of.resource.expect("a resource").attributes);
    Received { text: request.body.clone(), resource, duration: duration.expect("a duration"), sums, gauges }
}

/// The only metrics request since the last call.
fn got(collector: &Receiver) -> Received {
    let mut requests = collector.take();
    requests.retain(|request| request.path == "/v1/metrics");
    assert_eq!(requests.len(), 1, "{requests:?}");
    decoded(&requests[0])
}

/// A number of the last run's row, of `runs` and `calendar_cron_results`.
fn recorded(world: &World, what: &str) -> f64 {
    let statement = format!(
        "SELECT ({what})::float8 FROM runs JOIN calendar_cron_results r ON r.execution_id = runs.id::text
           JOIN calendar_cron_summaries s ON s.summary_data->>'execution_id' = r.execution_id ORDER BY started_at DESC LIMIT 1"
    );
    world.query(&statement)[0].get(0)
}

#[test]
fn a_run_sends_what_its_row_says() {
    let (world, collector) = world(2);
    world.syncctl(&["calendar", "cron"]).expect(0);
    let mut paths: Vec<String> = collector.requests().into_iter().map(|request| request.path).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/v1/metrics", "/v1/traces"]);
    let got = got(&collector);
    assert_eq!((&*got.resource["service.name"], got.resource.contains_key("service.version")), ("syncctl", true));

    // The duration is a histogram of one run, whose point is in the bucket of its value.
    let seconds = recorded(&world, "r.total_processing_time_ms") / 1000.0;
    let point = &got.duration;
    assert_eq!((point.count, point.sum, point.min, point.max), (1, Some(seconds), Some(seconds), Some(seconds)));
    let bucket = point.bucket_counts.iter().position(|count| *count == 1).expect("a bucket");
    assert_eq!((point.bucket_counts.len(), point.bucket_counts.iter().sum::<u64>()), (point.explicit_bounds.len() + 1, 1));
    assert!(bucket == 0 || point.explicit_bounds[bucket - 1] < seconds);
    assert!(point.explicit_bounds.get(bucket).is_none_or(|bound| seconds <= *bound));
    assert_eq!(got.of_run(), texts_of([("syncctl.job", "calendar cron"), ("syncctl.status", "completed")]));

    let expected = [
        ("syncctl.users", "{user}", "r.total_users"),
        ("syncctl.users.failed", "{user}", "r.failed_syncs"),
        ("syncctl.streams", "{stream}", "s.summary_data->>'streams'"),
        ("syncctl.streams.idle", "{stream}", "s.summary_data->>'idle_streams'"),
        ("syncctl.streams.failed", "{stream}", "s.summary_data->>'failed_streams'"),
        (
            "syncctl.rows.changed",
            "{row}",
            "SELECT sum((value->>'created')::int + (value->>'updated')::int + (value->>'deleted')::int)
               FROM jsonb_each(s.summary_data->'changes')",
        ),
        ("syncctl.api_calls", "{call}", "s.summary_data->>'api_calls'"),
        ("syncctl.quota_units", "{unit}", "s.summary_data->>'quota_units'"),
        ("syncctl.retries", "{retry}", "s.summary_data->>'retries'"),
        ("syncctl.resyncs", "{resync}", "s.summary_data->>'resyncs'"),
        ("syncctl.quarantined", "{item}", "s.summary_data->>'quarantined'"),
    ];
    for (name, unit, column) in expected {
        assert_eq!(got.sum(name), (unit, recorded(&world, column) as i64), "{name}");
        assert_eq!(texts(&got.sums[name].1[0].attributes), texts_of([("syncctl.job", "calendar cron")]));
    }
    assert_eq!(got.sums.len(), expected.len());
    assert!(got.sum("syncctl.users").1 == 2 && got.sum("syncctl.rows.changed").1 >= 6 && got.sum("syncctl.api_calls").1 > 2);

    // A delta covers the time of the run, by this machine's clock, which the database shares.
    let (began, ended) = (point.start_time_unix_nano as f64 / 1e9, point.time_unix_nano as f64 / 1e9);
    assert!(began <= recorded(&world, "extract(epoch FROM runs.started_at)"));
    assert!(ended >= recorded(&world, "extract(epoch FROM runs.ended_at)"));
    let starts = got.sums.values().flat_map(|(_, points)| points).map(|point| point.start_time_unix_nano);
    assert!(starts.into_iter().all(|start| start == point.start_time_unix_nano));
    assert_eq!(got.gauges["syncctl.last_run.duration"], seconds);
    assert!((got.gauges["syncctl.last_run.timestamp"] - began).abs() < 1e-3);
    assert!((got.gauges["syncctl.last_success.timestamp"] - ended).abs() < 1e-3);
}

fn texts_of<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

#[test]
fn failures_are_counted_by_class_and_are_no_success() {
    let (mut world, collector) = world(3);
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    for (user, fault) in world.sim.users().into_iter().zip(["server_500", "not_found"]) {
        world.sim.fault(json!({ "fault": fault, "method": "calendarList.list", "user": user, "probability": 1.0 }));
    }
    world.syncctl(&["calendar", "cron"]).expect(1);
    let of = got(&collector);
    let expected = [("syncctl.job", "calendar cron"), ("syncctl.status", "partial"), ("error.type", "gone")];
    assert_eq!(of.of_run(), texts_of(expected));
    let errors: BTreeMap<String, i64> =
        of.sums["syncctl.errors"].1.iter().map(|point| (texts(&point.attributes)["error.type"].clone(), int(point))).collect();
    assert_eq!(errors, [("gone".to_owned(), 1), ("transient".to_owned(), 1)].into());
    assert_eq!((of.sum("syncctl.streams.failed").1, of.sum("syncctl.users.failed").1), (2, 2));
    let gauges: Vec<&str> = of.gauges.keys().map(String::as_str).collect();
    assert_eq!(gauges, ["syncctl.last_run.duration", "syncctl.last_run.timestamp"]);
    assert!(world.sim.users().iter().all(|user| !of.text.contains(user)), "{}", of.text);

    // A skipped run is counted as skipped, and never as the last run.
    world.execute(
        "INSERT INTO job_locks (job, run_id, held_until) VALUES ('calendar cron', gen_random_uuid(), now() + interval '1 hour')
         ON CONFLICT (job) DO UPDATE SET run_id = excluded.run_id, held_until = excluded.held_until",
    );
    world.syncctl(&["calendar", "cron"]).expect(75);
    let of = got(&collector);
    assert_eq!(of.of_run(), texts_of([("syncctl.job", "calendar cron"), ("syncctl.status", "skipped")]));
    assert!(of.gauges.is_empty() && of.sum("syncctl.streams").1 == 0);
}

#[test]
fn the_variables_of_metrics_come_before_those_of_everything() {
    let (mut world, everything) = world(1);
    let metrics = Receiver::start();
    world.set("OTEL_EXPORTER_OTLP_ENDPOINT", everything.url().replace("/hook", "/otlp/?team=sync"));
    world.set("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=general");
    world.syncctl(&["calendar", "cron"]).expect(0);
    let mut paths: Vec<String> = everything.take().into_iter().map(|request| request.path).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/otlp/v1/metrics?team=sync", "/otlp/v1/traces?team=sync"]);

    // Used unchanged: no path is appended.
    world.set("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", metrics.url().replace("/hook", "/api/v1/otlp"));
    world.set("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "Authorization=Basic%20a+b==, x-team = sync%2Cmail");
    world.set("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json");
    world.set("OTEL_RESOURCE_ATTRIBUTES", "host.name=sync-1");
    world.syncctl(&["calendar", "cron"]).expect(0);
    let spans = everything.take();
    let heard = spans.iter().map(|one| (&*one.path, one.header("x-api-key"), one.header("content-type"))).collect::<Vec<_>>();
    assert_eq!(heard, [("/otlp/v1/traces?team=sync", "general", "application/x-protobuf")]);
    let request = metrics.take().pop().expect("a request");
    assert_eq!((&*request.path, request.header("content-type")), ("/api/v1/otlp", "application/json"));
    assert_eq!((request.header("authorization"), request.header("x-team")), ("Basic a+b==", "sync,mail"));
    assert!(!request.headers.contains_key("x-api-key"));
    let of = decoded(&request);
    assert_eq!((&*of.resource["host.name"], &*of.of_run()["syncctl.status"]), ("sync-1", "completed"));
    // 64-bit numbers are strings in JSON.
    let json = request.json();
    let metrics_of = &json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    assert_eq!(metrics_of[0]["histogram"]["dataPoints"][0]["count"], "1");
    assert_eq!(metrics_of[1]["sum"]["dataPoints"][0]["asInt"], of.sum("syncctl.users").1.to_string());

    // Metrics are sent even if the trace is not sampled. Then: switched off, and a run that writes nothing.
    let run = |variables: &[(&str, &str)], arguments: &[&str]| {
        let run = world.command(arguments).envs(variables.iter().copied()).output().expect("the binary starts");
        assert!(run.status.success() && run.stderr.is_empty(), "{run:?}");
        metrics.take().len()
    };
    let cron = ["calendar", "cron"];
    assert_eq!(run(&[("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")], &cron), 1);
    assert_eq!(run(&[("OTEL_TRACES_EXPORTER", "none")], &cron), 1);
    assert_eq!(run(&[("OTEL_METRICS_EXPORTER", "none")], &cron), 0);
    assert_eq!(run(&[("OTEL_SDK_DISABLED", "true")], &cron), 0);
    assert_eq!(run(&[], &["calendar", "cron", "--dry-run"]), 0);
    assert_eq!(run(&[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", ""), ("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], &cron), 0);
}

#[test]
fn a_collector_that_fails_costs_a_warning_without_its_address_and_nothing_else() {
    let (mut world, collector) = world(1);
    world.set("OTEL_TRACES_EXPORTER", "none");
    world.set("OTEL_EXPORTER_OTLP_TIMEOUT", "300");
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "300s");
    world.set("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=s3cret");
    world.sync_all().expect(0);
    let warned = |world: &World, name: &str, said: &str| {
        let run = world.syncctl(&["calendar", "cron", "--force"]).expect(0);
        let begin = format!("the collector of {name} did not accept the metrics of `calendar cron`: ");
        assert!(run.stderr.lines().count() == 1 && run.stderr.contains(&begin) && run.stderr.contains(said), "{run:#?}");
        assert!(!run.stderr.contains("127.0.0.1") && !run.stderr.contains("s3cret"), "{run:#?}");
    };
    let general = "OTEL_EXPORTER_OTLP_ENDPOINT";
    for (reply, said) in [
        (Reply::Hold, "in time"),
        (Reply::Status(429), "429"),
        (Reply::Status(307), "307"),
        (Reply::Reset, "the connection broke"),
    ] {
        collector.take();
        collector.answer(move |_| reply.clone());
        warned(&world, general, said);
        assert!(collector.requests().len() == 1 && !collector.gave_up(), "{:?}", collector.requests());
        // Answers are not cut off, however slow this machine is.
        world.set("OTEL_EXPORTER_OTLP_TIMEOUT", "300000");
    }
    // A collector can accept the request and refuse points of it.
    let refused = ExportMetricsPartialSuccess { rejected_data_points: 3, error_message: "no deltas, ask ann@example.com".into() };
    let answer = ExportMetricsServiceResponse { partial_success: Some(refused) };
    let text = String::from_utf8(answer.encode_to_vec()).expect("small numbers are ASCII");
    collector.answer(move |_| Reply::Full(200, Vec::new(), text.clone()));
    warned(&world, general, "it rejected 3 of them: no deltas, ask <address>");
    collector.answer(|_| {
        let answer = json!({ "partialSuccess": { "rejectedDataPoints": "3", "errorMessage": "no deltas" } });
        Reply::Full(200, Vec::new(), answer.to_string())
    });
    world.set("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    warned(&world, general, "it rejected 3 of them: no deltas");
    world.set("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc");
    warned(&world, general, "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL must be http/protobuf or http/json");
    world.set("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json");
    world.set("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "s3cret");
    warned(&world, general, "OTEL_EXPORTER_OTLP_METRICS_HEADERS must have the form name=value,name=value");
    world.set("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-api-key=s3cret");

    let own = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    world.set(own, format!("http://127.0.0.1:{port}/v1/metrics"));
    warned(&world, own, "could not connect");
    world.set(own, "collector:4318");
    warned(&world, own, "http:// or https://");
    world.set(own, "127.0.0.1");
    warned(&world, own, "not a valid URL");
    assert_eq!(world.runs_not_completed(), 0);
}
