//! Dotted keys and TOML tables, and on which line of a file a key stands. Pure.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// Tells `leaf` of every value that is no table, by its dotted key.
pub fn flatten(prefix: &str, table: &Table, leaf: &mut impl FnMut(String, &Value)) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => flatten(&path, inner, leaf),
            value => leaf(path, value),
        }
    }
}

/// The table that these leaves make.
pub fn nest<'a>(leaves: impl Iterator<Item = (&'a String, &'a Value)>) -> Table {
    let mut root = Table::new();
    for (path, value) in leaves {
        let mut table = &mut root;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                table.insert(part.to_owned(), value.clone());
                break;
            }
            let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = inner else { break };
            table = inner;
        }
    }
    root
}

/// The line of each leaf of a valid TOML text.
pub fn key_lines(text: &str) -> BTreeMap<String, usize> {
    fn walk(prefix: &str, table: &toml::de::DeTable<'_>, text: &str, into: &mut BTreeMap<String, usize>) {
        for (key, value) in table {
            let path = match prefix {
                "" => key.get_ref().to_string(),
                prefix => format!("{prefix}.{}", key.get_ref()),
            };
            if let toml::de::DeValue::Table(inner) = value.get_ref() {
                walk(&path, inner, text, into);
            } else {
                into.insert(path, line_of(text, key.span().start));
            }
        }
    }
    let mut lines = BTreeMap::new();
    if let Ok(table) = toml::de::DeTable::parse(text) {
        walk("", table.get_ref(), text, &mut lines);
    }
    lines
}

/// The line of a byte, from 1.
pub fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// What a value is, for messages.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a section",
    }
}
