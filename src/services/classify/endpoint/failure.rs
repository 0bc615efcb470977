//! Classifies the endpoint's error responses. Pure. Error texts are read only here, for the cases that have no code, and never passed on: some
//! servers quote the request or the key.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{WHAT, shown};
use crate::error::{Class, Failure};
use crate::http::{TOO_LARGE, retry_after};

/// `Failure::reason`: the endpoint does not support this `response_format`.
pub const NO_SUCH_FORMAT: &str = "response_format";
/// `Failure::reason`: the prompt exceeds the model's context.
pub const TOO_LONG: &str = "context_length";
/// `Failure::reason`: the account has no credit, or the configured budget is used up.
const NO_CREDIT: &str = "insufficient_quota";

/// Codes and types of OpenAI and llama.cpp, and phrases of vLLM, Ollama and others, which have no codes.
const LONG: [&str; 9] = [
    "context_length_exceeded",
    "string_above_max_length",
    "exceed_context_size",
    "context length",
    "context size",
    "context window",
    "too many tokens",
    "too long",
    "larger than the max",
];
const FORMAT: [&str; 7] =
    ["response_format", "response format", "json_schema", "json_object", "grammar", "guided decoding", "structured output"];
const CREDIT: [&str; 5] =
    ["insufficient_quota", "insufficient balance", "billing_hard_limit", "out of credit", "exceeded your current quota"];

/// Maximum length of a code that is passed on.
const MAX_CODE: usize = 40;

/// Classifies an error response. `retry` is the `Retry-After` header; `now` converts points in time to durations.
pub fn classify(status: u16, retry: Option<&str>, body: &[u8], now: DateTime<Utc>) -> Failure {
    let said = Said::of(body);
    let (class, reason, advice) = match status {
        400 | 413 | 422 | 500 if status == 413 || said.has(&LONG) => {
            (Class::Permanent, TOO_LONG, "the prompt is too long for the model")
        }
        400 | 415 | 422 | 501 if said.has(&FORMAT) => (Class::Permanent, NO_SUCH_FORMAT, ""),
        401 | 403 => (Class::AuthRevoked, "", "the endpoint refuses the key: check classify.endpoint.key_file"),
        402 => (Class::DailyQuota, NO_CREDIT, "the account at the endpoint has no credit"),
        429 if said.has(&CREDIT) => (Class::DailyQuota, NO_CREDIT, "the account at the endpoint has no credit"),
        429 => (Class::RateLimited, "", ""),
        404 => (Class::Settings, "", "check classify.endpoint.model and url"),
        300..=399 | 405 => (Class::Settings, "", "check classify.endpoint.url, which must be the base of the API"),
        408 | 500..=599 => (Class::Transient, "", ""),
        _ => (Class::Permanent, "", ""),
    };
    let code = said.code().map(|code| format!(" ({code})")).unwrap_or_default();
    let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
    Failure {
        status: Some(status),
        reason: reason.to_owned(),
        retry_after: retry.and_then(|value| retry_after(value, now)),
        ..Failure::new(class, format!("{WHAT}: HTTP {status}{code}{advice}"))
    }
}

/// Classifies a response that was not read to its end.
pub fn unread(failure: Failure) -> Failure {
    match failure.reason.as_str() {
        TOO_LARGE => Failure { class: Class::BadAnswer, ..failure },
        _ => failure,
    }
}

/// The requests per minute of the settings are used up.
pub fn minute_full(seconds: f64) -> Failure {
    let wait = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let message = format!("{WHAT}: classify.endpoint.requests_per_minute is reached for {}s", seconds.ceil());
    Failure { retry_after: Some(wait), ..Failure::new(Class::RateLimited, message) }
}

/// The tokens or the cost per day of the settings are used up.
pub fn used_up(until: DateTime<Utc>, now: DateTime<Utc>) -> Failure {
    let message = format!(
        "{WHAT}: the day's budget of the model endpoint (classify.endpoint.tokens_per_day, cost_per_day) is used up until {}",
        shown(until)
    );
    Failure { retry_after: (until - now).to_std().ok(), reason: NO_CREDIT.to_owned(), ..Failure::new(Class::DailyQuota, message) }
}

/// An error in any dialect: `{"error": {"message", "type", "param", "code"}}` (OpenAI, llama.cpp, newer vLLM), the inner object alone (older vLLM),
/// `{"error": "…"}` (Ollama), `{"detail": …}` (web frameworks).
struct Said {
    words: String,
    codes: Vec<String>,
}

impl Said {
    fn of(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = body.get("error").unwrap_or(&body);
        let texts = ["code", "type", "param"].into_iter().filter_map(|name| error[name].as_str().map(str::to_lowercase));
        let codes: Vec<String> = texts.collect();
        let message = [error, &error["message"], &body["detail"]].into_iter().find_map(Value::as_str).unwrap_or_default();
        Self { words: format!("{} {}", message.to_lowercase(), codes.join(" ")), codes }
    }

    fn has(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.words.contains(word))
    }

    /// The first field that looks like a code: no digits, as a key has, and no spaces, as text has.
    fn code(&self) -> Option<&str> {
        let is_code = |code: &&String| {
            (1..=MAX_CODE).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        self.codes.iter().find(is_code).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, body: &str) -> Failure {
        classify(status, Some("7"), body.as_bytes(), Utc::now())
    }

    /// Status, body, expected class and reason.
    const SAID: &[(u16, &str, Class, &str)] = &[
        // OpenAI
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 4096 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
            Class::Permanent,
            TOO_LONG,
        ),
        (
            400,
            r#"{"error":{"message":"Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.","type":"invalid_request_error","param":null,"code":null}}"#,
            Class::Permanent,
            NO_SUCH_FORMAT,
        ),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
            Class::DailyQuota,
            NO_CREDIT,
        ),
        (
            429,
            r#"{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
            Class::RateLimited,
            "",
        ),
        (
            404,
            r#"{"error":{"message":"The model `x` does not exist","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
            Class::Settings,
            "",
        ),
        (
            401,
            r#"{"error":{"message":"Incorrect API key provided: sk-1***2.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
            Class::AuthRevoked,
            "",
        ),
        // vLLM
        (
            400,
            r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.","type":"BadRequestError","param":null,"code":400}"#,
            Class::Permanent,
            TOO_LONG,
        ),
        (
            404,
            r#"{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}"#,
            Class::Settings,
            "",
        ),
        (401, r#"{"error":"Unauthorized"}"#, Class::AuthRevoked, ""),
        // llama.cpp
        (
            400,
            r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}"#,
            Class::Permanent,
            TOO_LONG,
        ),
        (
            500,
            r#"{"error":{"code":500,"message":"the request exceeds the available context size","type":"server_error"}}"#,
            Class::Permanent,
            TOO_LONG,
        ),
        (
            400,
            r#"{"error":{"code":400,"message":"Failed to parse grammar","type":"invalid_request_error"}}"#,
            Class::Permanent,
            NO_SUCH_FORMAT,
        ),
        (503, r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#, Class::Transient, ""),
        // Ollama
        (404, r#"{"error":"model 'x' not found"}"#, Class::Settings, ""),
        (
            400,
            r#"{"error":"invalid format: expected \"json\" or a JSON schema in response_format"}"#,
            Class::Permanent,
            NO_SUCH_FORMAT,
        ),
        (500, r#"{"error":"llama runner process has terminated"}"#, Class::Transient, ""),
        // Front ends, and responses without text
        (413, "<html>", Class::Permanent, TOO_LONG),
        (402, "", Class::DailyQuota, NO_CREDIT),
        (403, "<html>", Class::AuthRevoked, ""),
        (302, "", Class::Settings, ""),
        (408, "", Class::Transient, ""),
        (429, "", Class::RateLimited, ""),
        (502, "<html>", Class::Transient, ""),
        (400, "", Class::Permanent, ""),
    ];

    #[test]
    fn each_dialect_is_understood() {
        for &(status, body, class, reason) in SAID {
            let failure = failure(status, body);
            assert_eq!((failure.class, failure.reason.as_str()), (class, reason), "{status} {body}");
            assert_eq!((failure.status, failure.retry_after), (Some(status), Some(Duration::from_secs(7))));
        }
    }

    #[test]
    fn error_messages_contain_neither_key_nor_text() {
        for body in [
            r#"{"error":{"message":"Incorrect API key: sk-secret for Dear Ann","type":"Dear Ann","param":"sk-secret1","code":"sk-secret"}}"#,
            r#"{"error":"Dear Ann: sk-secret"}"#,
            r#"{"detail":[{"loc":["body"],"input":"Dear Ann sk-secret"}]}"#,
        ] {
            for status in [400, 401, 404, 422, 429, 500] {
                let message = failure(status, body).message;
                assert!(!message.contains("secret") && !message.contains("Ann"), "{message}");
            }
        }
        assert_eq!(
            failure(429, r#"{"error":{"code":"rate_limit_exceeded"}}"#).message,
            "chat.completions: HTTP 429 (rate_limit_exceeded)"
        );
    }

    #[test]
    fn an_exhausted_budget_says_until_when() {
        let now = DateTime::from_timestamp(1_792_000_000, 0).expect("a time");
        let failure = used_up(now + chrono::TimeDelta::hours(3), now);
        assert_eq!((failure.class, failure.retry_after), (Class::DailyQuota, Some(Duration::from_secs(10_800))));
        assert!(failure.message.ends_with("is used up until 2026-10-14T20:46:40Z"), "{}", failure.message);
        let failure = minute_full(1.5);
        assert_eq!((failure.class, failure.retry_after), (Class::RateLimited, Some(Duration::from_millis(1_500))));
    }
}
