//! The headers of a message as Gmail gives them, as many as are kept. Pure.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most bytes of headers that are kept. Mail that comes in has fewer; a message that somebody imported may have any number, each of which costs
/// several times its size while it is read.
pub const MOST_BYTES: usize = 1 << 20;
/// What is noted of a message that has more.
pub const CUT: &str = "headers beyond 1 MiB were left out";

/// Takes the room of a header, if there is so much left.
pub fn has_room(left: &mut usize, name: &[u8], value: &[u8]) -> bool {
    // With the colon, the space and the line's end.
    let rest = left.checked_sub(name.len() + value.len() + 4);
    *left = rest.unwrap_or(*left);
    rest.is_some()
}

/// One header, as sent.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Header {
    pub name: String,
    pub value: String,
}

/// Headers in their order. One that has no room is left out whole: half a list of addresses would name somebody else.
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
        let (mut headers, mut room) = (Headers::default(), MOST_BYTES);
        while let Some(header) = all.next_element::<Header>()? {
            match has_room(&mut room, header.name.as_bytes(), header.value.as_bytes()) {
                true => headers.kept.push(header),
                false => headers.is_cut = true,
            }
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_left_out_and_what_comes_after_it_is_kept() {
        let long = "x".repeat(MOST_BYTES - 11);
        let json = format!(
            r#"[{{"name":"A","value":"{long}"}},{{"name":"B","value":"{long}"}},{{"name":"C","value":"d"}},{{"name":"E","value":"f"}}]"#
        );
        let headers: Headers = serde_json::from_str(&json).expect("headers");
        let names: Vec<&str> = headers.kept.iter().map(|header| header.name.as_str()).collect();
        assert_eq!((names, headers.is_cut), (vec!["A", "C"], true));
        let whole: Headers = serde_json::from_str(r#"[{"name":"A","value":"b"}]"#).expect("headers");
        assert!(!whole.is_cut);
        assert_eq!(serde_json::to_string(&whole).expect("JSON"), r#"[{"name":"A","value":"b"}]"#);
    }
}
