//! OTLP over HTTP, for spans and metrics: OpenTelemetry's environment variables, the resource, and one request. No thread, no queue, no retry.
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

use std::time::Duration;

use opentelemetry::{InstrumentationScope, Key, KeyValue, Value};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_sdk::Resource;
use percent_encoding::percent_decode_str;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::http::{self, without_addresses};

/// The specification's default is ten seconds; a job that runs every minute cannot wait that long.
const TIMEOUT: Duration = Duration::from_secs(3);
const SERVICE: &str = "syncctl";

/// A signal: spans or metrics.
pub(super) struct Signal {
    /// Its name in environment variables: `TRACES`.
    pub name: &'static str,
    /// Its path at the collector: `v1/traces`.
    pub path: &'static str,
    /// Its name in warnings.
    pub what: &'static str,
}

/// The value of a variable, if it is not blank.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

impl Signal {
    /// The signal-specific variable, or the general one: its name and value.
    fn variable(&self, end: &str) -> Option<(String, String)> {
        let names = [format!("OTEL_EXPORTER_OTLP_{}_{end}", self.name), format!("OTEL_EXPORTER_OTLP_{end}")];
        names.into_iter().find_map(|name| variable(&name).map(|value| (name, value)))
    }

    /// Whether an endpoint is configured and the signal is not disabled.
    pub fn is_wanted(&self) -> bool {
        let says = |name: &str, word: &str| variable(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
        self.variable("ENDPOINT").is_some()
            && !says("OTEL_SDK_DISABLED", "true")
            && !says(&format!("OTEL_{}_EXPORTER", self.name), "none")
    }

    /// Sends a message. Problems are logged without the URL, which can contain a key.
    pub async fn send(&self, http: &http::Client, job: &str, message: &(impl prost::Message + serde::Serialize)) {
        let Some((name, endpoint)) = self.variable("ENDPOINT") else { return };
        let limit = self.variable("TIMEOUT").and_then(|(_, ms)| ms.trim().parse().ok()).map_or(TIMEOUT, Duration::from_millis);
        let sent = async { self.post(http, self.is_json()?, self.url(&name, &endpoint)?, message).await };
        let sent = match tokio::time::timeout(limit, sent).await {
            Ok(sent) => sent,
            Err(_) => Err("it did not answer in time (OTEL_EXPORTER_OTLP_TIMEOUT)".into()),
        };
        if let Err(why) = sent {
            log::warn!("the collector of {name} did not accept the {} of `{job}`: {why}", self.what);
        }
    }

    async fn post(
        &self,
        http: &http::Client,
        json: bool,
        url: Url,
        message: &(impl prost::Message + serde::Serialize),
    ) -> Result<(), String> {
        let (kind, body) = if json {
            ("application/json", serde_json::to_vec(message).map_err(|error| error.to_string())?)
        } else {
            ("application/x-protobuf", message.encode_to_vec())
        };
        let client = http.to(&url).map_err(|failure| failure.message)?;
        let request = client.post(url).headers(self.headers()?).header(CONTENT_TYPE, kind).body(body);
        let failed = |error| http::transient("POST", error).message;
        let mut response = request.send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()));
        }
        // The body only reports how many of our points were rejected, and why.
        let (answer, is_whole) = http::beginning(&mut response, http::SMALL).await;
        if is_whole.map_err(failed)? { refused(json, &answer).map_or(Ok(()), Err) } else { Ok(()) }
    }

    fn is_json(&self) -> Result<bool, String> {
        let Some((name, value)) = self.variable("PROTOCOL") else { return Ok(false) };
        match &*value {
            "http/protobuf" => Ok(false),
            "http/json" => Ok(true),
            other => Err(format!("{name} must be http/protobuf or http/json, not {other:?}")),
        }
    }

    /// The URL to send to: the value of the signal-specific variable, or a path below that of the general one.
    fn url(&self, name: &str, endpoint: &str) -> Result<Url, String> {
        let mut url = Url::parse(endpoint).map_err(|error| format!("not a valid URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("the URL does not begin with http:// or https://".into());
        }
        if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
            url.path_segments_mut().map_err(|()| "the URL has no host")?.pop_if_empty().extend(self.path.split('/'));
        }
        Ok(url)
    }

    /// Parses `name=value,name=value` with percent-encoded values. Errors never contain a value.
    fn headers(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        let Some((variable, list)) = self.variable("HEADERS") else { return Ok(headers) };
        for pair in list.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let wrong = || format!("{variable} must have the form name=value,name=value");
            let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
            let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name.trim()).map_err(|_| wrong())?, value);
        }
        Ok(headers)
    }
}

/// What a collector rejected of a request that it accepted. Responses for spans have the same fields with the same numbers.
fn refused(json: bool, answer: &[u8]) -> Option<String> {
    let (count, why) = if json {
        let response: serde_json::Value = serde_json::from_slice(answer).ok()?;
        let partial = response.get("partialSuccess")?;
        let count = partial.get("rejectedSpans").or_else(|| partial.get("rejectedDataPoints"));
        // 64-bit integers are strings in JSON.
        let count = count.and_then(|count| count.as_i64().or_else(|| count.as_str()?.parse().ok()));
        (count.unwrap_or(0), partial.get("errorMessage").and_then(|why| why.as_str()).unwrap_or_default().to_owned())
    } else {
        let partial = <ExportMetricsServiceResponse as prost::Message>::decode(answer).ok()?.partial_success?;
        (partial.rejected_data_points, partial.error_message)
    };
    (count > 0).then(|| format!("it rejected {count} of them: {}", without_addresses(&why)))
}

/// Our resource: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, or our own name by default.
pub(super) fn resource() -> Resource {
    let named = Resource::builder().build();
    let name = named.get(&Key::from_static_str("service.name"));
    let name = name.filter(|name| !name.as_str().starts_with("unknown_service")).unwrap_or(Value::from(SERVICE));
    Resource::builder()
        .with_service_name(name)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The source of the spans and metrics.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(SERVICE).with_version(env!("CARGO_PKG_VERSION")).build()
}
