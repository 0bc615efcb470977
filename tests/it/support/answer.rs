//! Server answers from files: the content of `tests/cases/*.http`, as a fault that returns them.

use serde_json::{Value, json};

/// The fault `answer` with status and body of a file in `tests/cases`.
pub fn answer(file: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").expect("a head and a body");
    let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
    json!({ "fault": "answer", "status": status, "body": body.trim() })
}

/// A fault with additional fields.
pub fn with(mut fault: Value, more: Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        fault[key] = value.clone();
    }
    fault
}
