//! Partial answers: the `fields` selector, such as `nextPageToken,items(id,start,organizer/email)`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What of a value is wanted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Empty: everything.
    parts: BTreeMap<String, Selector>,
}

impl Selector {
    /// Reads a selector; `None`: it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let selector = Self::list(&mut rest)?;
        rest.is_empty().then_some(selector)
    }

    fn list(rest: &mut &str) -> Option<Self> {
        let mut selector = Self::default();
        loop {
            let end = rest.find([',', '(', ')', '/']).unwrap_or(rest.len());
            let (name, tail) = rest.split_at(end);
            if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '*' || c == '_') {
                return None;
            }
            *rest = tail;
            let inner = match tail.chars().next() {
                Some('/') => {
                    *rest = &tail[1..];
                    Self::one(rest)?
                }
                Some('(') => {
                    *rest = &tail[1..];
                    let inner = Self::list(rest)?;
                    *rest = rest.strip_prefix(')')?;
                    inner
                }
                _ => Self::default(),
            };
            if name != "*" {
                selector.parts.insert(name.to_owned(), inner);
            }
            match rest.strip_prefix(',') {
                Some(tail) => *rest = tail,
                None => return Some(selector),
            }
        }
    }

    /// What follows a slash: one name, with what it selects.
    fn one(rest: &mut &str) -> Option<Self> {
        let mut depth = 0usize;
        let end = rest
            .char_indices()
            .find(|(_, c)| {
                match c {
                    '(' => depth += 1,
                    ')' if depth == 0 => return true,
                    ')' => depth -= 1,
                    _ => {}
                }
                *c == ',' && depth == 0
            })
            .map_or(rest.len(), |(at, _)| at);
        let (part, tail) = rest.split_at(end);
        *rest = tail;
        Self::parse(part)
    }

    pub fn is_everything(&self) -> bool {
        self.parts.is_empty()
    }

    /// What is named; nothing where everything is wanted.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.parts.keys().map(String::as_str)
    }

    pub fn get(&self, name: &str) -> Option<&Self> {
        static EVERYTHING: Selector = Selector { parts: BTreeMap::new() };
        if self.is_everything() { Some(&EVERYTHING) } else { self.parts.get(name) }
    }

    /// The wanted part of a value.
    pub fn of(&self, value: Value) -> Value {
        match value {
            value if self.is_everything() => value,
            Value::Array(list) => list.into_iter().map(|value| self.of(value)).collect(),
            Value::Object(object) => {
                let kept: Map<String, Value> = object
                    .into_iter()
                    .filter_map(|(name, value)| Some((name.clone(), self.parts.get(&name)?.of(value))))
                    .collect();
                Value::Object(kept)
            }
            value => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_keeps_what_it_names() {
        let selector = Selector::parse("a,items(id,organizer/email)").expect("a selector");
        let value = json!({ "a": 1, "b": 2, "items": [{ "id": "x", "organizer": { "email": "e", "self": true }, "c": 3 }] });
        assert_eq!(selector.of(value), json!({ "a": 1, "items": [{ "id": "x", "organizer": { "email": "e" } }] }));
        assert_eq!(Selector::parse("items(id"), None);
        assert_eq!(Selector::parse(""), None);
    }
}
