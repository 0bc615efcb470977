//! How a change of a file is described in push messages.

use super::file::File;

/// `X-Goog-Resource-State`, and `X-Goog-Changed` if any.
pub fn of(before: Option<&File>, after: Option<&File>) -> (&'static str, Option<String>) {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (None, _) => return ("add", None),
        (_, None) => return ("remove", None),
    };
    match (before.explicitly_trashed, after.explicitly_trashed) {
        (false, true) => return ("trash", None),
        (true, false) => return ("untrash", None),
        _ => {}
    }
    let parts = [
        ("content", before.revision != after.revision),
        ("parents", before.parent != after.parent),
        ("permissions", before.shared != after.shared),
    ];
    let mut changed: Vec<&str> = parts.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect();
    let renamed = before.name != after.name || before.mime != after.mime;
    if renamed || changed.is_empty() {
        changed.push("properties");
    }
    ("update", Some(changed.join(",")))
}
