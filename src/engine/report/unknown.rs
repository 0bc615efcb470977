//! Reports ids on the command line that match nothing. Pure.

/// Maximum number of ids in the message, and maximum length of each.
const MAX_NAMED: usize = 5;
const MAX_LENGTH: usize = 64;

/// `nothing matches a, b, c, d, e and 7 more`
pub(super) fn format_unknown(ids: &[String]) -> String {
    // Untrusted input: PostgreSQL does not accept NUL, and the message must stay on one line.
    let plain = |id: &String| id.chars().take(MAX_LENGTH).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let first: Vec<String> = ids.iter().take(MAX_NAMED).map(plain).collect();
    let more = match ids.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("nothing matches {}{more}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_named_and_the_rest_are_counted() {
        let ids = |count: usize| (0..count).map(|n| format!("id-{n}")).collect::<Vec<_>>();
        assert_eq!(format_unknown(&ids(1)), "nothing matches id-0");
        assert_eq!(format_unknown(&ids(5)), "nothing matches id-0, id-1, id-2, id-3, id-4");
        assert_eq!(format_unknown(&ids(400)), "nothing matches id-0, id-1, id-2, id-3, id-4 and 395 more");
        assert_eq!(format_unknown(&["a\0\nb".into()]), "nothing matches a  b");
        assert!(format_unknown(&["x".repeat(1_000_000)]).len() < 100);
    }
}
