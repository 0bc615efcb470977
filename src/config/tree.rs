//! Conversion between dotted keys and TOML tables, and the line number of each key. Pure.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// Maximum number of parts of a dotted key, and of brackets open at the same time. Parsing thousands of nested tables overflows the stack.
const MAX_NESTING: usize = 200;

/// The position at which a TOML text nests too deeply. Brackets in strings count too: no setting has hundreds of them.
pub fn too_deep(text: &str) -> Option<usize> {
    let (mut dots, mut after_part, mut open) = (0, false, 0_usize);
    text.bytes().position(|byte| {
        match byte {
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        match byte {
            b'.' => {
                dots += usize::from(after_part);
                after_part = false;
            }
            b' ' | b'\t' => {}
            b'"' | b'\'' | b'_' | b'-' => after_part = true,
            byte if byte.is_ascii_alphanumeric() || !byte.is_ascii() => after_part = true,
            _ => (dots, after_part) = (0, false),
        }
        dots >= MAX_NESTING || open >= MAX_NESTING
    })
}

/// Calls `leaf` for every value except tables, with its dotted key.
pub fn flatten(prefix: &str, table: &Table, leaf: &mut impl FnMut(String, &Value)) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => flatten(&path, inner, leaf),
            value => leaf(path, value),
        }
    }
}

/// Builds a table from leaves with dotted keys.
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

/// The line of each leaf of a valid TOML text. Keys inside lists of sections look like `targets[1].url`.
pub fn key_lines(text: &str) -> BTreeMap<String, usize> {
    fn walk(prefix: &str, table: &DeTable<'_>, text: &str, into: &mut BTreeMap<String, usize>) {
        for (key, value) in table {
            let path = match prefix {
                "" => key.get_ref().to_string(),
                prefix => format!("{prefix}.{}", key.get_ref()),
            };
            match value.get_ref() {
                DeValue::Table(inner) => walk(&path, inner, text, into),
                other => {
                    // A list of sections is one leaf, but each of its keys has its own line.
                    for (at, item) in other.as_array().into_iter().flatten().enumerate() {
                        if let DeValue::Table(inner) = item.get_ref() {
                            walk(&format!("{path}[{at}]"), inner, text, into);
                        }
                    }
                    into.insert(path, line_of(text, key.span().start));
                }
            }
        }
    }
    let mut lines = BTreeMap::new();
    if let Ok(table) = DeTable::parse(text) {
        walk("", table.get_ref(), text, &mut lines);
    }
    lines
}

/// The 1-based line number of a byte offset.
pub fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The type of a value, for messages.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excessive_nesting_is_found_before_parsing() {
        for unit in ["a.", "\"a\".", "'a' . ", "_."] {
            let line = |parts: usize| format!("[x]\ny = 1\n{}z = 1\n", unit.repeat(parts));
            assert_eq!(too_deep(&line(199)), None, "{unit}");
            assert_eq!(too_deep(&line(200)).map(|at| line_of(&line(200), at)), Some(3), "{unit}");
        }
        assert!(too_deep(&format!("x = [{{ {}z = 1 }}]", "a.".repeat(8_000))).is_some());
        for unit in ["{a = ", "[", "[[", "a = {"] {
            assert!(too_deep(&format!("x = {}", unit.repeat(8_000))).is_some(), "{unit}");
        }
        assert_eq!(too_deep(&"x = [{ a = \"{b}\" }, [1]]\n[[y]]\n".repeat(900)), None);
        assert_eq!(
            too_deep(&format!("# {}\nurl = \"http://127.0.0.1:8080\"\n{}", ".".repeat(900), "a.b = 1.5\n".repeat(900))),
            None
        );
    }
}
