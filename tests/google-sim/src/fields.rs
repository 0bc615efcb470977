//! Partial answers: the `fields` selector, such as `nextPageToken,items(id,organizer/email)`, and the fields that it may name.
//!
//! A schema is a selector that names every field of an answer; `*` in it means fields of any name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::errors;
use crate::place::Refusal;

/// The selected parts of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// What is selected of fields of any name.
    any: Option<Box<Selector>>,
    /// With `any` absent and no part: everything.
    parts: BTreeMap<String, Selector>,
}

/// A selector that names every field of an answer, whether it is simulated or not.
pub type Schema = Selector;

/// The selection that a request names, else `otherwise`; refused if it names a field that the answer cannot have.
pub fn selection(fields: Option<&str>, otherwise: &str, schema: &Schema) -> Result<Selector, Refusal> {
    let invalid = |what: &str| errors::google(400, "invalidParameter", &format!("Invalid field selection {what}"));
    let text = fields.unwrap_or(otherwise);
    let selector = Selector::parse(text).ok_or_else(|| Box::new(invalid(text)))?;
    match selector.unknown(schema) {
        Some(name) => Err(Box::new(invalid(name))),
        None => Ok(selector),
    }
}

impl Selector {
    /// Parses a selector; `None`: malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let selector = Self::list(&mut rest)?;
        rest.is_empty().then_some(selector)
    }

    /// The schema of an answer, from text in this crate.
    pub fn schema(text: &str) -> Schema {
        Self::parse(&text.split_whitespace().collect::<String>()).unwrap_or_default()
    }

    /// A comma-separated list of paths.
    fn list(rest: &mut &str) -> Option<Self> {
        let mut selector = Self::default();
        loop {
            let (name, inner) = Self::path(rest)?;
            selector.add(name, inner);
            match rest.strip_prefix(',') {
                Some(tail) => *rest = tail,
                None => return Some(selector),
            }
        }
    }

    /// A name, and the selection from its value: what follows a slash or is in parentheses.
    fn path<'a>(rest: &mut &'a str) -> Option<(&'a str, Self)> {
        let end = rest.find([',', '(', ')', '/']).unwrap_or(rest.len());
        let (name, tail) = rest.split_at(end);
        if name != "*" && (name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')) {
            return None;
        }
        *rest = tail;
        let mut inner = Self::default();
        if let Some(tail) = rest.strip_prefix('/') {
            *rest = tail;
            let (name, below) = Self::path(rest)?;
            inner.add(name, below);
        } else if let Some(tail) = rest.strip_prefix('(') {
            *rest = tail;
            inner = Self::list(rest)?;
            *rest = rest.strip_prefix(')')?;
        }
        Some((name, inner))
    }

    /// Adds a selection; a field that is named twice gives the union.
    fn add(&mut self, name: &str, inner: Self) {
        match (name, self.any.as_mut()) {
            ("*", Some(any)) => any.join(inner),
            ("*", None) => self.any = Some(Box::new(inner)),
            _ => match self.parts.get_mut(name) {
                Some(part) => part.join(inner),
                None => drop(self.parts.insert(name.to_owned(), inner)),
            },
        }
    }

    fn join(&mut self, other: Self) {
        if self.is_everything() || other.is_everything() {
            *self = Self::default();
            return;
        }
        if let Some(any) = other.any {
            self.add("*", *any);
        }
        other.parts.into_iter().for_each(|(name, part)| self.add(&name, part));
    }

    pub fn is_everything(&self) -> bool {
        match &self.any {
            Some(any) => any.is_everything(),
            None => self.parts.is_empty(),
        }
    }

    /// The selection for the field of this name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        static EVERYTHING: Selector = Selector { any: None, parts: BTreeMap::new() };
        if self.is_everything() { Some(&EVERYTHING) } else { self.parts.get(name).or(self.any.as_deref()) }
    }

    /// The first field that the schema does not have.
    fn unknown<'a>(&'a self, schema: &Schema) -> Option<&'a str> {
        let below = |name: &'a str, part: &'a Self| match schema.parts.get(name).or(schema.any.as_deref()) {
            None => Some(name),
            Some(inner) if inner.any.is_some() => None,
            Some(inner) => part.unknown(inner),
        };
        self.parts.iter().find_map(|(name, part)| below(name, part))
    }

    /// The selected part of a value.
    pub fn of(&self, value: Value) -> Value {
        match value {
            value if self.is_everything() => value,
            Value::Array(list) => list.into_iter().map(|value| self.of(value)).collect(),
            Value::Object(object) => {
                let kept: Map<String, Value> = object
                    .into_iter()
                    .filter_map(|(name, value)| self.get(&name).map(|part| part.of(value)).map(|value| (name, value)))
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

    fn selected(selector: &str) -> Value {
        let value = json!({ "a": 1, "b": 2, "items": [{ "id": "x", "organizer": { "email": "e", "self": true }, "c": 3 }] });
        Selector::parse(selector).expect("a selector").of(value)
    }

    #[test]
    fn a_selector_keeps_what_it_names() {
        let some = json!({ "a": 1, "items": [{ "id": "x", "organizer": { "email": "e" } }] });
        assert_eq!(selected("a,items(id,organizer/email)"), some);
        assert_eq!(selected("items/organizer(email),items/id,a"), json!({ "a": 1, "items": some["items"] }));
        assert_eq!(selected("items(id),items"), selected("items"));
        assert_eq!(selected("*"), selected("*,items(id)"));
        assert_eq!(selected("items/*/email"), json!({ "items": [{ "id": "x", "organizer": { "email": "e" }, "c": 3 }] }));
        for malformed in ["", "items(id", "items)", "a,", "a//b", "a b", "items()"] {
            assert_eq!(Selector::parse(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn a_field_that_the_schema_does_not_have_is_found_wherever_it_stands() {
        let schema = Selector::schema("a, items(id, organizer(email), free(*))");
        let unknown = |text| Selector::parse(text).expect("a selector").unknown(&schema).map(str::to_owned);
        for known in ["*", "a", "items", "items(id,organizer/email)", "items/free/x/y", "items/*"] {
            assert_eq!(unknown(known), None, "{known}");
        }
        for (selector, name) in [("b", "b"), ("items(id,b)", "b"), ("items/organizer/b", "b"), ("a/b", "b"), ("items/id/b", "b")]
        {
            assert_eq!(unknown(selector).as_deref(), Some(name), "{selector}");
        }
    }
}
