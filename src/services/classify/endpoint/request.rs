//! The body of a request, in the form that OpenAI, vLLM, llama.cpp and Ollama have in common. Pure.

use serde_json::{Value, json};

use super::prompt::Prompt;

/// Tokens of an answer: some 15 are needed, the rest is for a model that thinks aloud for a moment.
pub const MOST_ANSWER: i64 = 256;

/// How the endpoint is held to JSON, the strictest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// By a schema that names the ids (`json_schema`).
    Schema,
    /// To any JSON object (`json_object`).
    Object,
    /// By the prompt alone.
    Plain,
}

impl Format {
    /// The format of this number.
    pub fn of(number: u8) -> Self {
        match number {
            0 => Self::Schema,
            1 => Self::Object,
            _ => Self::Plain,
        }
    }

    /// What to try where this one is refused.
    pub fn looser(self) -> Option<Self> {
        match self {
            Self::Schema => Some(Self::Object),
            Self::Object => Some(Self::Plain),
            Self::Plain => None,
        }
    }
}

/// The whole body.
pub fn body(model: &str, prompt: &Prompt, format: Format) -> Value {
    let mut body = json!({
        "model": model,
        "messages": [{ "role": "system", "content": prompt.system }, { "role": "user", "content": prompt.user }],
        "temperature": 0,
        "max_tokens": MOST_ANSWER,
    });
    if let Some(format) = response_format(prompt, format) {
        body["response_format"] = format;
    }
    body
}

/// What stands in `response_format`. Bounds of numbers are not in it: strict mode does not know them everywhere.
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
