//! The request body, in the form supported by OpenAI, vLLM, llama.cpp and Ollama alike, and the most tokens that it can use. Pure.

use serde_json::{Value, json};

use super::prompt::Prompt;
use super::tokens::Usage;

/// Maximum number of tokens of an answer: about 15 are needed; the rest allows for brief reasoning.
pub const MAX_ANSWER: i64 = 256;

/// Tokens that a chat template adds to two messages: role markers, and the lines that some templates put before the system message.
const TEMPLATE: i64 = 128;

/// How JSON output is enforced, strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// By a schema that lists the ids (`json_schema`).
    Schema,
    /// As any JSON object (`json_object`).
    Object,
    /// By the prompt alone.
    Plain,
}

impl Format {
    /// The format with this number.
    pub fn of(number: u8) -> Self {
        match number {
            0 => Self::Schema,
            1 => Self::Object,
            _ => Self::Plain,
        }
    }

    /// The format to try next if this one is refused.
    pub fn looser(self) -> Option<Self> {
        match self {
            Self::Schema => Some(Self::Object),
            Self::Object => Some(Self::Plain),
            Self::Plain => None,
        }
    }
}

/// Builds the request body.
pub fn body(model: &str, prompt: &Prompt, format: Format) -> Value {
    let mut body = json!({
        "model": model,
        "messages": [{ "role": "system", "content": prompt.system }, { "role": "user", "content": prompt.user }],
        "temperature": 0,
        "max_tokens": MAX_ANSWER,
    });
    if let Some(format) = response_format(prompt, format) {
        body["response_format"] = format;
    }
    body
}

/// The value of `response_format`. Without number bounds, which strict mode does not support everywhere.
pub fn response_format(prompt: &Prompt, format: Format) -> Option<Value> {
    match format {
        Format::Schema => Some(json!({
            "type": "json_schema",
            "json_schema": { "name": "choice", "strict": true, "schema": {
                "type": "object",
                "properties": { "choice": { "type": "string", "enum": prompt.ids }, "confidence": { "type": "number" } },
                "required": ["choice", "confidence"],
                "additionalProperties": false,
            }},
        })),
        Format::Object => Some(json!({ "type": "json_object" })),
        Format::Plain => None,
    }
}

/// The maximum number of tokens of a call. Byte-based tokenizers, as all common chat models have, make at most one token per byte. The schema
/// counts as part of the prompt, as it does for some endpoints.
pub fn max_usage(prompt: &Prompt, format: Format) -> Usage {
    let format = response_format(prompt, format).map_or(0, |format| format.to_string().len());
    let bytes = prompt.system.len() + prompt.user.len() + format;
    Usage { prompt_tokens: i64::try_from(bytes).unwrap_or(i64::MAX - TEMPLATE) + TEMPLATE, completion_tokens: MAX_ANSWER }
}
