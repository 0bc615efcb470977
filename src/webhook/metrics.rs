//! Metrics of the intake, in Prometheus text format.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    path: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Path {
    path: &'static str,
}

/// Bucket bounds, in seconds: a response takes milliseconds, and at most two seconds.
const BOUNDS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0];

/// The metrics of the intake.
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    seconds: Family<Path, Histogram, fn() -> Histogram>,
    queue: Gauge,
    connections: Gauge,
    refused: Counter,
}

impl Metrics {
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BOUNDS)),
            queue: Gauge::default(),
            connections: Gauge::default(),
            refused: Counter::default(),
        };
        let registry = metrics.registry.sub_registry_with_prefix("syncctl_webhook");
        registry.register("requests", "Requests by path and outcome", metrics.requests.clone());
        registry.register_with_unit("answer", "Time from headers to response", Unit::Seconds, metrics.seconds.clone());
        registry.register("queue", "Notifications waiting to be stored", metrics.queue.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register("connections_refused", "Connections closed because a limit was reached", metrics.refused.clone());
        metrics
    }

    pub fn request(&self, path: &'static str, outcome: &'static str, took: Duration) {
        self.requests.get_or_create(&Request { path, outcome }).inc();
        self.seconds.get_or_create(&Path { path }).observe(took.as_secs_f64());
    }

    /// Sets the gauges.
    pub fn now(&self, waiting: usize, open: usize) {
        let int = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.queue.set(int(waiting));
        self.connections.set(int(open));
    }

    pub fn refused(&self) {
        self.refused.inc();
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
