//! Each run as an OpenTelemetry span, sent at its end.

use std::collections::HashMap;
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::Run;
use super::otlp::{Signal, resource, scope, variable};
use crate::http;

const SPANS: Signal = Signal { name: "TRACES", path: "v1/traces", what: "trace" };

/// Sends the span of a run, if an endpoint is configured.
pub(super) async fn export(http: &http::Client, run: &Run<'_>) {
    if !SPANS.is_wanted() {
        return;
    }
    let parent = parent();
    // The sampling decision of the caller applies to the whole trace.
    if parent.as_ref().is_some_and(|parent| !parent.is_sampled()) {
        return;
    }
    let spans = group_spans_by_resource_and_scope(vec![span(run, parent)], &(&resource()).into());
    SPANS.send(http, run.job, &ExportTraceServiceRequest { resource_spans: spans }).await;
}

/// The caller's span in `TRACEPARENT`.
fn parent() -> Option<SpanContext> {
    let carried: HashMap<String, String> =
        ["TRACEPARENT", "TRACESTATE"].into_iter().filter_map(|name| Some((name.to_lowercase(), variable(name)?))).collect();
    let context = TraceContextPropagator::new().extract_with_context(&opentelemetry::Context::new(), &carried);
    Some(context.span().span_context().clone()).filter(SpanContext::is_valid)
}

fn span(run: &Run<'_>, parent: Option<SpanContext>) -> SpanData {
    // A trace without a parent can be found by the run's id.
    let trace = parent.as_ref().map_or(TraceId::from_bytes(run.id.into_bytes()), SpanContext::trace_id);
    let state = parent.as_ref().map_or_else(TraceState::default, |parent| parent.trace_state().clone());
    let mut attributes = vec![
        KeyValue::new("syncctl.job", run.job.to_owned()),
        KeyValue::new("syncctl.run.id", run.id.to_string()),
        KeyValue::new("syncctl.status", run.status.as_str()),
        KeyValue::new("process.exit.code", i64::from(run.exit_code)),
    ];
    let int = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    attributes.extend(run.counts.iter().map(|count| KeyValue::new(count.name, int(count.value))));
    attributes.extend(run.error_type().map(|class| KeyValue::new("error.type", class)));
    if !run.errors.is_empty() {
        let classes: Vec<&str> = run.errors.iter().map(|(class, _)| *class).collect();
        attributes.push(KeyValue::new("syncctl.error.classes", classes.join(",")));
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
        status: match &run.error {
            Some(line) => Status::error(http::without_addresses(line)),
            None => Status::Ok,
        },
        instrumentation_scope: scope(),
    }
}
