//! Entry points for `tests/fuzz`, which can only call public items: one function that accepts any bytes for each parser of untrusted input. No
//! other code calls them.

/// A raw message, and Gmail's JSON of a message.
pub fn mail(input: &[u8]) {
    crate::services::gmail::read_any(input);
}

/// An event's JSON, with its recurrence rules and links.
pub fn event(input: &[u8]) {
    crate::services::calendar::read_any(input);
}

/// A batch response: the content type on the first line, then the body.
pub fn batch(input: &[u8]) {
    crate::google::read_any_batch(input);
}

/// A notification: headers, an empty line, the body.
pub fn notification(input: &[u8]) {
    crate::webhook::read_any(input);
}

/// A token endpoint's response, and a line of an import with credentials.
pub fn token(input: &[u8]) {
    crate::google::read_any_token(input);
    crate::commands::import::read_any(input);
}

/// A settings file, and each of its lines as `--set KEY=VALUE`.
pub fn settings(input: &[u8]) {
    crate::config::read_any(input);
}

/// A stored model, unchanged and with a matching checksum.
pub fn model(input: &[u8]) {
    crate::classify::bytes::read_any(input);
}
