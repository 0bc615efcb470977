//! `docs/questions.md`: questions and their queries.

const PAGE: &str = include_str!("../../../docs/questions.md");

/// The headings that are questions, each with its query.
pub fn questions() -> Vec<(&'static str, &'static str)> {
    let sections = PAGE.split("\n## ").skip(1).map(|section| section.split_once('\n').expect("a text"));
    let questions = sections.filter(|(heading, _)| heading.ends_with('?'));
    questions
        .map(|(heading, text)| {
            let blocks = blocks(text);
            assert_eq!(blocks.len(), 1, "queries of: {heading}");
            (heading, blocks[0])
        })
        .collect()
}

/// The blocks of SQL in a text.
pub fn blocks(text: &str) -> Vec<&str> {
    text.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}
