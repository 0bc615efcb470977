//! Whatever reads bytes of strangers, each behind a function that takes any bytes: for `tests/fuzz`, which sees nothing of this crate but what is
//! public. No other code calls these.

/// A message as its sender wrote it, and Gmail's JSON of one.
pub fn mail(input: &[u8]) {
    crate::services::gmail::read_any(input);
}

/// An event's JSON, with its rules of recurrence and its links.
pub fn event(input: &[u8]) {
    crate::services::calendar::read_any(input);
}

/// The answer to a batch: the content type in the first line, then the body.
pub fn batch(input: &[u8]) {
    crate::google::read_any_batch(input);
}

/// A notification: headers, an empty line, the body.
pub fn notification(input: &[u8]) {
    crate::webhook::read_any(input);
}

/// What a token endpoint answers, and a line of an import with its credentials.
pub fn token(input: &[u8]) {
    crate::google::read_any_token(input);
    crate::commands::import::read_any(input);
}

/// A settings file, and `--set KEY=VALUE` of each line.
pub fn settings(input: &[u8]) {
    crate::config::read_any(input);
}

/// A stored model, as it is and with a checksum that fits.
pub fn model(input: &[u8]) {
    crate::classify::bytes::read_any(input);
}
