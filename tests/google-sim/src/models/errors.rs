//! Error bodies of the servers with this API. Each has its own format for the same refusals.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::errors::with;
use crate::faults::{Fault, Kind};
use crate::reply;

/// The server whose errors are imitated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// `{"error": {"message", "type", "param", "code"}}`
    #[default]
    Openai,
    /// `{"object": "error", "message", "type", "param", "code"}`
    Vllm,
    /// `{"error": {"code", "message", "type"}}`
    LlamaCpp,
    /// `{"error": "…"}`
    Ollama,
}

/// Why there is no completion.
#[derive(Clone, Debug)]
pub enum Refusal {
    NoKey,
    BadKey,
    NoModel(String),
    NoFormat(String),
    TooLong {
        asked: u64,
        most: u64,
    },
    /// Seconds to wait.
    RateLimited(u64),
    NoCredit,
    Malformed,
    Overloaded,
    Broken,
}

/// The answer to a refused request.
pub fn refused(dialect: Dialect, refusal: &Refusal) -> Response<Body> {
    let (status, body) = match dialect {
        Dialect::Openai => openai(refusal),
        Dialect::Vllm => vllm(refusal),
        Dialect::LlamaCpp => llama_cpp(refusal),
        Dialect::Ollama => ollama(refusal),
    };
    let mut response = with(status, body.to_string(), "application/json");
    if let Refusal::RateLimited(seconds) = refusal {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
    }
    response
}

/// The answer that a fault produces.
pub fn of_fault(dialect: Dialect, fault: &Fault) -> Response<Body> {
    let page = |status: u16, title: &str| with(status, format!("<html><head><title>{title}</title></head></html>"), "text/html");
    let mut response = match fault.fault {
        Kind::Answer => reply::given(fault),
        Kind::AuthError | Kind::InvalidGrant => return refused(dialect, &Refusal::BadKey),
        Kind::InsufficientPermissions | Kind::AccessNotConfigured => page(403, "403 Forbidden"),
        kind if kind.is_limit() => return refused(dialect, &Refusal::RateLimited(fault.retry_after.unwrap_or(1))),
        Kind::Redirect302 => {
            let mut response = page(302, "Found");
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/login"));
            response
        }
        Kind::Timeout408 => page(408, "408 Request Timeout"),
        Kind::NotFoundPage => page(404, "404 page not found"),
        Kind::BadRequest400 => return refused(dialect, &Refusal::Malformed),
        Kind::BadGateway502 => page(502, "502 Bad Gateway"),
        Kind::Unavailable503 => refused(dialect, &Refusal::Overloaded),
        Kind::GatewayTimeout504 => page(504, "504 Gateway Time-out"),
        _ => refused(dialect, &Refusal::Broken),
    };
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn openai(refusal: &Refusal) -> (u16, Value) {
    const INVALID: &str = "invalid_request_error";
    let (status, kind, code, param, message) = match refusal {
        Refusal::NoKey => (401, INVALID, None, None, "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).".to_owned()),
        Refusal::BadKey => (401, INVALID, Some("invalid_api_key"), None, "Incorrect API key provided: sk-sim***********************key. You can find your API key at https://platform.openai.com/account/api-keys.".into()),
        Refusal::NoModel(model) => (404, INVALID, Some("model_not_found"), None, format!("The model `{model}` does not exist or you do not have access to it.")),
        Refusal::NoFormat(format) => (400, INVALID, None, Some("response_format"), format!("Invalid parameter: 'response_format' of type '{format}' is not supported with this model.")),
        Refusal::TooLong { asked, most } => (400, INVALID, Some("context_length_exceeded"), Some("messages"), format!("This model's maximum context length is {most} tokens. However, you requested {asked} tokens. Please reduce the length of the messages or completion.")),
        Refusal::RateLimited(seconds) => (429, "requests", Some("rate_limit_exceeded"), None, format!("Rate limit reached for requests. Please try again in {seconds}s.")),
        Refusal::NoCredit => (429, "insufficient_quota", Some("insufficient_quota"), None, "You exceeded your current quota, please check your plan and billing details.".into()),
        Refusal::Malformed => (400, INVALID, None, None, "We could not parse the JSON body of your request.".into()),
        Refusal::Overloaded => (503, "server_error", None, None, "The server is currently overloaded with other requests. Sorry about that!".into()),
        Refusal::Broken => (500, "server_error", None, None, "The server had an error while processing your request. Sorry about that!".into()),
    };
    (status, json!({ "error": { "message": message, "type": kind, "param": param, "code": code } }))
}

/// Here and below, limits and accounts are handled by a front end with its own wording.
fn vllm(refusal: &Refusal) -> (u16, Value) {
    let (status, kind, message) = match refusal {
        Refusal::NoKey | Refusal::BadKey => return (401, json!({ "error": "Unauthorized" })),
        Refusal::RateLimited(_) => return (429, json!({ "detail": "Too Many Requests" })),
        Refusal::NoCredit => {
            return (402, json!({ "error": { "code": 402, "message": "Insufficient credits. Add more to continue." } }));
        }
        Refusal::NoModel(model) => (404, "NotFoundError", format!("The model `{model}` does not exist.")),
        Refusal::NoFormat(format) => {
            (400, "BadRequestError", format!("Guided decoding is not supported for response_format {format}."))
        }
        Refusal::TooLong { asked, most } => (
            400,
            "BadRequestError",
            format!(
                "This model's maximum context length is {most} tokens. However, you requested {asked} tokens. Please reduce the length of the messages or completion."
            ),
        ),
        Refusal::Malformed => (400, "BadRequestError", "1 validation error: field required: messages".into()),
        Refusal::Overloaded => (503, "ServiceUnavailableError", "The engine is overloaded.".into()),
        Refusal::Broken => (500, "InternalServerError", "Internal Server Error".into()),
    };
    (status, json!({ "object": "error", "message": message, "type": kind, "param": null, "code": status }))
}

fn llama_cpp(refusal: &Refusal) -> (u16, Value) {
    let (status, kind, message) = match refusal {
        Refusal::NoKey | Refusal::BadKey => (401, "authentication_error", "Invalid API Key".to_owned()),
        Refusal::RateLimited(_) => return (429, json!({ "detail": "Too Many Requests" })),
        Refusal::NoCredit => {
            return (402, json!({ "error": { "code": 402, "message": "Insufficient credits. Add more to continue." } }));
        }
        Refusal::NoModel(model) => (404, "not_found_error", format!("model '{model}' not found")),
        Refusal::NoFormat(format) => (
            400,
            "invalid_request_error",
            format!("response_format type must be one of \"text\" or \"json_object\", but got: {format}"),
        ),
        Refusal::TooLong { asked, most } => {
            let message = "the request exceeds the available context size, try increasing it";
            let error = json!({ "code": 400, "message": message, "type": "exceed_context_size_error", "n_prompt_tokens": asked, "n_ctx": most });
            return (400, json!({ "error": error }));
        }
        Refusal::Malformed => (400, "invalid_request_error", "\"messages\" is required".into()),
        Refusal::Overloaded => (503, "unavailable_error", "Loading model".into()),
        Refusal::Broken => (500, "server_error", "Failed to decode the batch".into()),
    };
    (status, json!({ "error": { "code": status, "message": message, "type": kind } }))
}

fn ollama(refusal: &Refusal) -> (u16, Value) {
    let (status, message) = match refusal {
        Refusal::NoKey | Refusal::BadKey => (401, "unauthorized".to_owned()),
        Refusal::RateLimited(_) => (429, "too many requests".into()),
        Refusal::NoCredit => (402, "you have reached your usage limit".into()),
        Refusal::NoModel(model) => (404, format!("model '{model}' not found")),
        Refusal::NoFormat(format) => (400, format!("invalid response_format: {format}")),
        Refusal::TooLong { .. } => (400, "the input length exceeds the context length".into()),
        Refusal::Malformed => (400, "invalid request: [] is too short - 'messages'".into()),
        Refusal::Overloaded => (503, "server busy, please try again.  maximum pending requests exceeded".into()),
        Refusal::Broken => (500, "llama runner process has terminated".into()),
    };
    (status, json!({ "error": message }))
}
