//! How a run names the ids on its command line that name nothing. Pure.

/// How many it names, and how much of each.
const NAMED: usize = 5;
const LONGEST: usize = 64;

/// `nothing is known by a, b, c, d, e and 7 more`
pub(super) fn format_unknown(ids: &[String]) -> String {
    // From outside: PostgreSQL takes no NUL, and a line is to stay one.
    let plain = |id: &String| id.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let first: Vec<String> = ids.iter().take(NAMED).map(plain).collect();
    let more = match ids.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("nothing is known by {}{more}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_named_and_the_rest_is_counted() {
        let ids = |count: usize| (0..count).map(|n| format!("id-{n}")).collect::<Vec<_>>();
        assert_eq!(format_unknown(&ids(1)), "nothing is known by id-0");
        assert_eq!(format_unknown(&ids(5)), "nothing is known by id-0, id-1, id-2, id-3, id-4");
        assert_eq!(format_unknown(&ids(400)), "nothing is known by id-0, id-1, id-2, id-3, id-4 and 395 more");
        assert_eq!(format_unknown(&["a\0\nb".into()]), "nothing is known by a  b");
        assert!(format_unknown(&["x".repeat(1_000_000)]).len() < 100);
    }
}
