//! The known word that a mistyped one probably means. Pure.

/// Longer words are no typing errors.
const MAX_LEN: usize = 200;

/// The most similar of these words, regardless of case, if it differs in at most a quarter of its characters, or in one.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    if word.len() > MAX_LEN {
        return None;
    }
    let allowed = (word.len() / 4).max(1);
    let near = known.into_iter().filter_map(|known| {
        let letters: Vec<char> = known.to_lowercase().chars().collect();
        let differs = (letters.len().abs_diff(word.len()) <= allowed).then(|| distance(&word, &letters))?;
        (differs <= allowed).then_some((differs, known))
    });
    near.min_by_key(|(differs, _)| *differs).map(|(_, known)| known)
}

/// How many characters must be inserted, removed, replaced, or exchanged with the next one to make one word of the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(before_last[j - 1] + 1);
            }
            row.push(least);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_the_word_and_another_word_finds_none() {
        let known = ["calendar.page_size", "drive.page_size", "log.level"];
        for (word, found) in [
            ("calendar.page_sise", Some("calendar.page_size")),
            ("calender.pagesize", Some("calendar.page_size")),
            ("Log.Level", Some("log.level")),
            ("log.levle", Some("log.level")),
            ("dirve.page_size", Some("drive.page_size")),
            ("level", None),
            ("", None),
            ("gmail.window", None),
        ] {
            assert_eq!(closest(word, known), found, "{word}");
        }
        assert_eq!(closest(&"x".repeat(100_000), known), None);
    }

    #[test]
    fn differences_are_counted() {
        let count = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        for (a, b, differs) in [("", "", 0), ("", "ab", 2), ("ab", "ba", 1), ("kitten", "sitting", 3), ("é", "e", 1)] {
            assert_eq!((count(a, b), count(b, a)), (differs, differs), "{a} {b}");
        }
    }
}
