//! An OpenTelemetry collector: a receiver for the binary's runs, and the attributes it received.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};

use super::World;
use super::receiver::Receiver;

/// A world whose runs are sent to a collector.
pub fn world(users: u32) -> (World, Receiver) {
    let mut world = World::with_users(users, 3);
    let collector = Receiver::start();
    world.set("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url().replace("/hook", ""));
    (world, collector)
}

/// Attributes as text by name.
pub fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &any_value::Value| match value {
        any_value::Value::StringValue(text) => text.clone(),
        any_value::Value::IntValue(number) => number.to_string(),
        other => panic!("neither text nor number: {other:?}"),
    };
    let value = |one: &KeyValue| text(one.value.as_ref().and_then(|any| any.value.as_ref()).expect("a value"));
    attributes.iter().map(|one| (one.key.clone(), value(one))).collect()
}
