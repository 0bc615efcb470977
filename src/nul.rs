//! Replaces NUL, the only character that PostgreSQL cannot store in text, with U+FFFD, as Unicode recommends. Pure.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

/// What is wrong with a line of input that contains NUL.
pub const REFUSED: &str = "contains a NUL character";

/// Whether a text contains NUL: PostgreSQL would reject it, together with the whole statement.
pub fn is_in(text: &str) -> bool {
    // Searching bytes is faster than searching characters.
    text.as_bytes().contains(&0)
}

/// The text with NUL replaced.
pub fn replaced(text: &str) -> Cow<'_, str> {
    // Most texts contain none.
    if is_in(text) { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// The text with NUL replaced, as a string of its own.
pub fn cleaned(text: &str) -> String {
    replaced(text).into_owned()
}

/// JSON with NUL replaced in strings and names; unchanged if there is nothing to replace.
pub fn without(raw: Box<RawValue>) -> Box<RawValue> {
    if !raw.get().contains("\\u0000") {
        return raw;
    }
    let cleaned = serde_json::from_str::<Value>(raw.get()).ok();
    cleaned.and_then(|value| serde_json::value::to_raw_value(&clean(value)).ok()).unwrap_or(raw)
}

fn clean(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(cleaned(&text)),
        Value::Array(items) => items.into_iter().map(clean).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (cleaned(&name), clean(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nul_is_replaced_at_any_position() {
        let without = |json: &str| without(RawValue::from_string(json.into()).expect("JSON")).get().to_owned();
        assert_eq!(without(r#"{"a\u0000":["\u0000b",{"c":"\u0000"}]}"#), "{\"a\u{fffd}\":[\"\u{fffd}b\",{\"c\":\"\u{fffd}\"}]}");
        let untouched = r#"{ "a" : 1.50, "b": "\\u0001" }"#;
        assert_eq!(without(untouched), untouched);
    }
}
