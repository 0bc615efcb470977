//! Each run as a span of OpenTelemetry, sent by OTLP over HTTP to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names. Without it there is
//! nothing here. One request at the end of a run: no thread, no queue, no second try.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, Key, KeyValue, Value};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use url::Url;
use uuid::Uuid;

use crate::http;

/// What the specification gives a collector is ten seconds; a job that runs every minute has better things to do.
const TIMEOUT: Duration = Duration::from_secs(3);
const SERVICE: &str = "syncctl";

/// A run that is over.
pub struct Run<'a> {
    pub job: &'a str,
    pub id: Uuid,
    pub began: SystemTime,
    /// As the run tables say it.
    pub status: &'a str,
    pub exit_code: u8,
    pub error: Option<String>,
    /// By names such as `syncctl.streams`.
    pub counts: Vec<(&'static str, u64)>,
    /// Classes of the failures.
    pub error_classes: Vec<&'static str>,
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// The variable of traces, or that of every signal.
fn of_traces(end: &str) -> Option<String> {
    variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{end}")).or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{end}")))
}

/// Sends a run, if somebody wants to have it. Never fails the job: problems are logged.
pub async fn export(http: &http::Client, run: Run<'_>) {
    let Some(endpoint) = of_traces("ENDPOINT") else { return };
    let off = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value.eq_ignore_ascii_case("none"));
    let parent = parent();
    // Whoever started us decided about the whole trace.
    if off || parent.as_ref().is_some_and(|parent| !parent.is_sampled()) {
        return;
    }
    let job = run.job.to_owned();
    if let Err(why) = send(http, &endpoint, span(run, parent)).await {
        // Its address can hold a key.
        let why = why.replace(endpoint.trim_end_matches('/'), "the endpoint");
        log::warn!("the trace of `{job}` was not taken by the collector (OTEL_EXPORTER_OTLP_ENDPOINT): {why}");
    }
}

async fn send(http: &http::Client, endpoint: &str, span: SpanData) -> Result<(), String> {
    let url = Url::parse(endpoint).map_err(|error| format!("the endpoint is no URL: {error}"))?;
    let client = http.to(&url).map_err(|failure| failure.message)?;
    let protocol = match of_traces("PROTOCOL").as_deref() {
        None | Some("http/protobuf") => Protocol::HttpBinary,
        Some("http/json") => Protocol::HttpJson,
        Some(other) => return Err(format!("OTEL_EXPORTER_OTLP_PROTOCOL is http/protobuf or http/json here, not {other:?}")),
    };
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(protocol)
        .with_retry_policy(RetryPolicy::disabled());
    let timeout = of_traces("TIMEOUT").and_then(|ms| ms.trim().parse().ok()).map_or(TIMEOUT, Duration::from_millis);
    exporter = exporter.with_timeout(timeout);
    let mut exporter = exporter.build().map_err(|error| error.to_string())?;
    exporter.set_resource(&resource());
    match tokio::time::timeout(timeout, exporter.export(vec![span])).await {
        Ok(sent) => sent.map_err(|error| error.to_string()),
        Err(_) => Err("it did not answer in time (OTEL_EXPORTER_OTLP_TIMEOUT)".into()),
    }
}

/// Who we are: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, and our own name where they say none.
fn resource() -> Resource {
    let named = Resource::builder().build();
    let name = named.get(&Key::from_static_str("service.name"));
    let name = name.filter(|name| !name.as_str().starts_with("unknown_service")).unwrap_or(Value::from(SERVICE));
    Resource::builder()
        .with_service_name(name)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The span that whoever started us has put into `TRACEPARENT`.
fn parent() -> Option<SpanContext> {
    let carried: HashMap<String, String> =
        ["TRACEPARENT", "TRACESTATE"].into_iter().filter_map(|name| Some((name.to_lowercase(), variable(name)?))).collect();
    let context = TraceContextPropagator::new().extract_with_context(&opentelemetry::Context::new(), &carried);
    Some(context.span().span_context().clone()).filter(SpanContext::is_valid)
}

fn span(run: Run<'_>, parent: Option<SpanContext>) -> SpanData {
    // A trace of its own is found by the run's id.
    let trace = parent.as_ref().map_or(TraceId::from_bytes(run.id.into_bytes()), SpanContext::trace_id);
    let state = parent.as_ref().map_or_else(TraceState::default, |parent| parent.trace_state().clone());
    let mut attributes = vec![
        KeyValue::new("syncctl.job", run.job.to_owned()),
        KeyValue::new("syncctl.run.id", run.id.to_string()),
        KeyValue::new("syncctl.status", run.status.to_owned()),
        KeyValue::new("process.exit.code", i64::from(run.exit_code)),
    ];
    let int = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    attributes.extend(run.counts.into_iter().map(|(name, count)| KeyValue::new(name, int(count))));
    if let Some(first) = run.error_classes.first() {
        attributes.push(KeyValue::new("error.type", *first));
        attributes.push(KeyValue::new("syncctl.error.classes", run.error_classes.join(",")));
    }
    SpanData {
        span_context: SpanContext::new(trace, SpanId::from_bytes(rand::random()), TraceFlags::SAMPLED, false, state),
        parent_span_id: parent.as_ref().map_or(SpanId::INVALID, SpanContext::span_id),
        parent_span_is_remote: parent.is_some(),
        span_kind: SpanKind::Internal,
        name: run.job.to_owned().into(),
        start_time: run.began,
        end_time: SystemTime::now(),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: match run.error {
            Some(line) => Status::error(http::without_addresses(&line)),
            None => Status::Ok,
        },
        instrumentation_scope: InstrumentationScope::builder(SERVICE).with_version(env!("CARGO_PKG_VERSION")).build(),
    }
}
