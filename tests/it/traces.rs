//! Traces: each run is a span that any OpenTelemetry collector can read, and a failing collector costs only a warning.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;

use crate::support::World;
use crate::support::collector::{self, texts};
use crate::support::receiver::{Receiver, Reply, Request};

/// A world that sends only spans.
fn world(users: u32) -> (World, Receiver) {
    let (mut world, collector) = collector::world(users);
    world.set("OTEL_METRICS_EXPORTER", "none");
    (world, collector)
}

/// The only span of a request, with its attributes and those of the resource.
fn decoded(request: &Request) -> (Span, BTreeMap<String, String>, BTreeMap<String, String>) {
    assert_eq!((&*request.path, request.header("content-type")), ("/v1/traces", "application/x-protobuf"));
    let mut decoded_request = ExportTraceServiceRequest::decode(&*request.bytes).expect("a request of OTLP");
    assert_eq!(decoded_request.resource_spans.len(), 1);
    let mut of = decoded_request.resource_spans.remove(0);
    let resource = texts(&of.resource.as_ref().expect("a resource").attributes);
    let span = of.scope_spans.remove(0).spans.remove(0);
    (span.clone(), texts(&span.attributes), resource)
}

#[test]
fn a_run_is_a_span_with_its_figures() {
    let (world, collector) = world(2);
    let report = world.syncctl(&["calendar", "cron", "--json"]).expect(0).json();
    let requests = collector.take();
    assert_eq!(requests.len(), 1);
    let (span, attributes, resource) = decoded(&requests[0]);
    assert_eq!((&*span.name, span.status.as_ref().map(|status| status.code)), ("calendar cron", Some(1)));
    // The run's ID leads to the trace.
    let run = report["execution_id"].as_str().expect("an id");
    assert_eq!(data_encoding::HEXLOWER.encode(&span.trace_id), run.replace('-', ""));
    assert!(span.parent_span_id.is_empty() && span.end_time_unix_nano > span.start_time_unix_nano);
    assert_eq!(attributes["syncctl.run.id"], run);
    assert_eq!((&*attributes["syncctl.status"], &*attributes["process.exit.code"]), ("completed", "0"));
    for (name, key) in [("syncctl.streams", "streams"), ("syncctl.api_calls", "api_calls"), ("syncctl.users", "total_users")] {
        assert_eq!(attributes[name], report[key].to_string(), "{name}");
    }
    assert_eq!(resource["service.name"], "syncctl");
    assert!(resource.contains_key("service.version"));
}

#[test]
fn a_failure_is_an_error_with_its_class_and_nobodys_address() {
    let (mut world, collector) = world(2);
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    let user = world.first_user();
    world.sim.fault(json!({ "fault": "server_500", "method": "calendarList.list", "user": user, "probability": 1.0 }));
    world.syncctl(&["calendar", "cron"]).expect(1);
    let request = collector.take().pop().expect("a request");
    let (span, attributes, _) = decoded(&request);
    let status = span.status.expect("a status");
    assert!(status.code == 2 && status.message.contains("1 × transient"), "{status:?}");
    assert_eq!((&*attributes["error.type"], &*attributes["syncctl.status"]), ("transient", "partial"));
    assert!(!status.message.contains('@') && attributes.values().all(|text| !text.contains('@')), "{attributes:?}");
}

#[test]
fn the_variables_of_opentelemetry_are_heeded() {
    let (mut world, collector) = world(1);
    world.set("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=s3cret,x-team=sync");
    world.set("OTEL_SERVICE_NAME", "mail-sync");
    world.set("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test");
    world.set("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    world.syncctl(&["calendar", "cron"]).expect(0);
    let request = collector.take().pop().expect("a request");
    assert_eq!((request.header("x-api-key"), request.header("x-team")), ("s3cret", "sync"));
    let (span, _, resource) = decoded(&request);
    assert_eq!((&*resource["service.name"], &*resource["deployment.environment"]), ("mail-sync", "test"));
    assert_eq!(data_encoding::HEXLOWER.encode(&span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(data_encoding::HEXLOWER.encode(&span.parent_span_id), "00f067aa0ba902b7");

    world.set("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    world.syncctl(&["calendar", "cron"]).expect(0);
    let request = collector.take().pop().expect("a request");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.json()["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"], "calendar cron");

    // Not sampled, switched off, a run that writes nothing, no run at all.
    let silent: [(&'static str, &str); 3] = [
        ("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ];
    for (name, value) in silent {
        let run = world.command(&["calendar", "cron"]).env(name, value).output().expect("the binary starts");
        assert!(run.status.success());
    }
    world.syncctl(&["calendar", "cron", "--dry-run"]).expect(0);
    world.syncctl(&["metrics"]).expect(0);
    assert_eq!(collector.take().len(), 0);
}

#[test]
fn a_collector_that_hangs_refuses_or_is_not_there_costs_a_warning_and_nothing_else() {
    let (mut world, collector) = world(1);
    world.set("OTEL_EXPORTER_OTLP_TIMEOUT", "300");
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "300s");
    world.sync_all().expect(0);
    let warned = |world: &World, said: &str| {
        let run = world.syncctl(&["calendar", "cron", "--force"]).expect(0);
        assert!(run.stderr.lines().count() == 1 && run.stderr.contains("the trace of `calendar cron`"), "{run:#?}");
        assert!(run.stderr.contains(said) && !run.stderr.contains("127.0.0.1"), "{run:#?}");
    };
    for (reply, said) in [(Reply::Hold, "in time"), (Reply::Status(403), "403"), (Reply::Reset, "the connection broke")] {
        collector.take();
        collector.answer(move |_| reply.clone());
        warned(&world, said);
        assert!(collector.requests().len() == 1 && !collector.gave_up(), "{:?}", collector.requests());
        // Answers are not cut off, however slow this machine is.
        world.set("OTEL_EXPORTER_OTLP_TIMEOUT", "300000");
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    world.set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://127.0.0.1:{port}/v1/traces"));
    warned(&world, "could not connect");
    world.set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318");
    warned(&world, "http:// or https://");
    world.set("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    warned(&world, "http/protobuf or http/json");
    assert_eq!(world.runs_not_completed(), 0);
}
