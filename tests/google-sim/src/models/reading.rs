//! How the model reads: tokens, and the sections of a prompt.

use serde_json::Value;

/// A parsed prompt.
pub struct Prompt {
    pub system: String,
    pub user: String,
    /// IDs and names of the projects in it, unescaped.
    pub projects: Vec<(String, String)>,
    /// The content of `<document>`.
    pub document: String,
}

impl Prompt {
    /// `None`: the body has no messages.
    pub fn of(body: &Value) -> Option<Self> {
        let messages = body["messages"].as_array()?;
        let said = |role: &str| {
            let texts =
                messages.iter().filter(|message| message["role"] == role).filter_map(|message| message["content"].as_str());
            texts.collect::<Vec<_>>().join("\n")
        };
        let (system, user) = (said("system"), said("user"));
        let projects = between(&user, "<projects>", "</projects>").lines().filter_map(|line| {
            let (id, rest) = line.split_once(": ")?;
            let name = rest.split_once(" - ").map_or(rest, |(name, _)| name);
            Some((id.to_owned(), plain(name)))
        });
        let (projects, document) = (projects.collect(), plain(between(&user, "<document>", "</document>")));
        (!user.is_empty()).then_some(Self { system, user, projects, document })
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let inside = text.split_once(begin).map_or("", |(_, rest)| rest);
    inside.rsplit_once(end).map_or("", |(inside, _)| inside)
}

/// An unescaped text.
pub fn plain(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Tokens, roughly like those of common models: four letters or digits, or one other character that is not a space.
pub fn tokens(text: &str) -> u64 {
    let (mut tokens, mut run) = (0, 0_u64);
    for letter in text.chars().chain([' ']) {
        if letter.is_ascii_alphanumeric() {
            run += 1;
            continue;
        }
        tokens += run.div_ceil(4) + u64::from(!letter.is_ascii_whitespace());
        run = 0;
    }
    tokens
}

/// The first `most` tokens of a text, and whether it was cut.
pub fn cut(text: &str, most: u64) -> (String, bool) {
    if tokens(text) <= most {
        return (text.to_owned(), false);
    }
    let ends = text.char_indices().map(|(at, letter)| at + letter.len_utf8());
    let end = ends.take_while(|end| tokens(&text[..*end]) <= most).last().unwrap_or(0);
    (text[..end].to_owned(), true)
}
