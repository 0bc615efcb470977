//! The headers of a message from Gmail's JSON, within limits. Pure.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Maximum number of headers that are kept, and their maximum total size in bytes. Received mail has fewer; imported messages can have any
/// number, and parsing each costs several times its size.
pub const MAX_HEADERS: usize = 1_000;
const MAX_BYTES: usize = 1 << 20;
/// The note for a message with more.
pub const CUT: &str = "headers beyond 1 MiB, or the first 1000, were left out";

/// The remaining allowance for headers.
pub struct HeaderBudget {
    headers: usize,
    bytes: usize,
}

impl Default for HeaderBudget {
    fn default() -> Self {
        Self { headers: MAX_HEADERS, bytes: MAX_BYTES }
    }
}

impl HeaderBudget {
    /// Reserves space for a header; `false` if there is too little.
    pub fn take(&mut self, name: &[u8], value: &[u8]) -> bool {
        // Includes the colon, the space and the line break.
        let bytes = self.bytes.checked_sub(name.len() + value.len() + 4);
        let Some((headers, bytes)) = self.headers.checked_sub(1).zip(bytes) else { return false };
        *self = Self { headers, bytes };
        true
    }
}

/// One header as sent.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Header {
    pub name: String,
    pub value: String,
}

/// Headers in their order. A header beyond the limits is dropped completely: a truncated list of addresses could name the wrong recipient.
#[derive(Debug, Default)]
pub struct Headers {
    pub kept: Vec<Header>,
    pub is_cut: bool,
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.kept.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Kept)
    }
}

struct Kept;

impl<'de> Visitor<'de> for Kept {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of headers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Headers, A::Error> {
        let (mut headers, mut budget) = (Headers::default(), HeaderBudget::default());
        while let Some(header) = all.next_element::<Header>()? {
            if budget.take(header.name.as_bytes(), header.value.as_bytes()) {
                headers.kept.push(header);
            } else {
                headers.is_cut = true;
            }
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oversized_headers_are_skipped_and_later_ones_kept() {
        let long = "x".repeat(MAX_BYTES - 11);
        let json = format!(
            r#"[{{"name":"A","value":"{long}"}},{{"name":"B","value":"{long}"}},{{"name":"C","value":"d"}},{{"name":"E","value":"f"}}]"#
        );
        let headers: Headers = serde_json::from_str(&json).expect("headers");
        let names: Vec<&str> = headers.kept.iter().map(|header| header.name.as_str()).collect();
        assert_eq!((names, headers.is_cut), (vec!["A", "C"], true));
        let complete: Headers = serde_json::from_str(r#"[{"name":"A","value":"b"}]"#).expect("headers");
        assert!(!complete.is_cut);
        let many = format!("[{}]", vec![r#"{"name":"A","value":""}"#; MAX_HEADERS + 1].join(","));
        let many: Headers = serde_json::from_str(&many).expect("headers");
        assert_eq!((many.kept.len(), many.is_cut), (MAX_HEADERS, true));
        assert_eq!(serde_json::to_string(&complete).expect("JSON"), r#"[{"name":"A","value":"b"}]"#);
    }
}
