//! Parses the model's answer strictly: after removing thinking and a code fence, exactly one JSON object with the two fields must remain. Pure.
//! Messages never quote the answer: it may contain the document's text.

use serde::Deserialize;
use serde_json::error::Category;

use super::prompt::{NONE, Prompt, UNSURE};
use super::{Answered, Candidate, Choice, Usage, WHAT};
use crate::error::{Class, Failure};

/// The parts of the endpoint's response that are read.
#[derive(Debug, Deserialize)]
pub struct Completion {
    choices: Vec<Chosen>,
    usage: Option<Tokens>,
}

#[derive(Debug, Deserialize)]
struct Chosen {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    content: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tokens {
    prompt_tokens: u32,
    /// Absent if there are none.
    #[serde(default)]
    completion_tokens: u32,
}

/// The requested object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    choice: String,
    confidence: f64,
}

/// A choice by its index among the offered ids.
#[derive(Debug, PartialEq)]
pub struct Said {
    choice: Offered,
    confidence: f32,
}

#[derive(Debug, PartialEq)]
enum Offered {
    Candidate(usize),
    None,
    Unsure,
}

/// Parses the response body.
///
/// # Errors
/// Returns `Transient` if the body is truncated, `BadAnswer` if it is not a completion.
pub fn completion(body: &[u8]) -> Result<Completion, Failure> {
    // Without the parser's message, which quotes the body.
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Eof => Failure::new(Class::Transient, format!("{WHAT}: the response is truncated JSON")),
        Category::Io | Category::Syntax | Category::Data => {
            bad("no_completion", "the response is not a completion; check classify.endpoint.url")
        }
    })
}

impl Completion {
    /// The token counts of the endpoint; `None` if it sends none.
    pub fn usage(&self) -> Option<Usage> {
        let tokens = self.usage.as_ref()?;
        Some(Usage { prompt_tokens: tokens.prompt_tokens.into(), completion_tokens: tokens.completion_tokens.into() })
    }

    /// Parses the model's choice among the offered ids.
    ///
    /// # Errors
    /// Returns `BadAnswer` if the answer is not a valid choice.
    pub fn parse(self, prompt: &Prompt) -> Result<Said, Failure> {
        let [chosen] = self.choices.as_slice() else {
            return Err(bad("no_completion", "the response does not hold exactly one completion"));
        };
        if chosen.finish_reason.as_deref() == Some("length") {
            return Err(bad("truncated", "the answer was cut off at the token limit; use a model without visible reasoning"));
        }
        let content = bare(chosen.message.content.as_deref().unwrap_or_default());
        if content.is_empty() {
            return Err(bad("empty", "the answer is empty"));
        }
        let object = object(content)?;
        // Also rejects NaN.
        if !(0.0..=1.0).contains(&object.confidence) {
            return Err(bad("confidence", "the confidence is not between 0 and 1"));
        }
        let choice = match prompt.ids.iter().position(|id| *id == object.choice) {
            Some(at) if prompt.ids[at] == NONE => Offered::None,
            Some(at) if prompt.ids[at] == UNSURE => Offered::Unsure,
            Some(at) => Offered::Candidate(at),
            None => return Err(bad("unknown_id", "the choice was not offered")),
        };
        Ok(Said { choice, confidence: object.confidence as f32 })
    }
}

impl Said {
    /// Resolves the choice to a project.
    ///
    /// # Errors
    /// Returns `BadAnswer` if there is no such candidate.
    pub fn answered(self, candidates: &[Candidate<'_>], usage: Usage) -> Result<Answered, Failure> {
        let choice = match self.choice {
            Offered::Candidate(at) => {
                let candidate = candidates.get(at).ok_or_else(|| bad("unknown_id", "the choice was not offered"))?;
                Choice::Project(candidate.id)
            }
            Offered::None => Choice::NoneOfThem,
            Offered::Unsure => Choice::Unsure,
        };
        Ok(Answered { choice, confidence: self.confidence, usage })
    }
}

/// Removes thinking and a code fence around the rest. Some chat templates open the thinking themselves, so that the answer holds only its end tag.
fn bare(content: &str) -> &str {
    let content = match content.rsplit_once("</think>") {
        Some((_, rest)) => rest,
        None if content.trim_start().starts_with("<think>") => "",
        None => content,
    };
    let content = content.trim();
    let fenced = content.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    fenced.map_or(content, |inside| inside.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).trim())
}

fn object(content: &str) -> Result<Object, Failure> {
    // serde would also accept an array of two elements.
    if !content.starts_with('{') {
        return Err(bad("no_json", "the answer is not a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_str(content);
    let object = Object::deserialize(&mut reader).map_err(|error| match error.classify() {
        Category::Data => bad("wrong_fields", "the JSON object has other fields than requested"),
        Category::Io | Category::Syntax | Category::Eof => bad("no_json", "the answer is not a JSON object"),
    })?;
    reader.end().map_err(|_| bad("not_alone", "text follows the JSON object"))?;
    Ok(object)
}

/// Creates a `BadAnswer`. `reason` names the problem in one word.
fn bad(reason: &str, message: &str) -> Failure {
    Failure { reason: reason.to_owned(), ..Failure::new(Class::BadAnswer, format!("{WHAT}: {message}")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    use super::super::Question;
    use super::*;

    /// Parses an answer with this content to a question with two candidates.
    fn parse_content(content: &str) -> Result<(Choice, f32), String> {
        said_as(&json!({ "choices": [{ "message": { "content": content }, "finish_reason": "stop" }] }))
    }

    fn said_as(body: &serde_json::Value) -> Result<(Choice, f32), String> {
        let candidates = [1, 2].map(|n| Candidate { id: Uuid::from_u128(n), name: "Bridge", description: None });
        let prompt = Prompt::new(&Question { title: "", author: "", text: "", candidates: &candidates }, 10);
        let read = completion(body.to_string().as_bytes()).and_then(|completion| completion.parse(&prompt));
        let answered = read.and_then(|said| said.answered(&candidates, Usage::default()));
        answered.map(|answered| (answered.choice, answered.confidence)).map_err(|failure| {
            assert_eq!(failure.class, Class::BadAnswer, "{failure}");
            failure.reason
        })
    }

    #[test]
    fn reasoning_and_code_fences_are_removed() {
        let second = Ok((Choice::Project(Uuid::from_u128(2)), 0.5));
        let json = r#"{"choice": "p2", "confidence": 0.5}"#;
        for content in [
            json.to_owned(),
            format!("\n {json}\n"),
            format!("<think>\nit says {{\"choice\": \"p1\"}}\n</think>\n\n{json}"),
            format!("opened by the template</think>{json}"),
            format!("```json\n{json}\n```"),
            format!("```\n{json}```"),
            format!("<think></think>```json {json} ```"),
        ] {
            assert_eq!(parse_content(&content), second, "{content}");
        }
        assert_eq!(parse_content(r#"{"choice":"none","confidence":1}"#), Ok((Choice::NoneOfThem, 1.0)));
        assert_eq!(parse_content(r#"{"confidence":0,"choice":"unsure"}"#), Ok((Choice::Unsure, 0.0)));
    }

    #[test]
    fn anything_else_is_a_bad_answer() {
        let json = r#"{"choice": "p2", "confidence": 0.5}"#;
        let table = [
            (String::new(), "empty"),
            (" \n".into(), "empty"),
            ("<think>and then".into(), "empty"),
            (format!("Here you are: {json}"), "no_json"),
            (format!("{json} Have a nice day"), "not_alone"),
            (format!("{json}\n{json}"), "not_alone"),
            (format!("[{json}]"), "no_json"),
            (r#"["p2", 0.5]"#.into(), "no_json"),
            (r#"{"choice": "p2", "confi"#.into(), "no_json"),
            (r#"{"choice": "p2"}"#.into(), "wrong_fields"),
            (r#"{"choice": "p2", "confidence": 0.5, "why": "steel"}"#.into(), "wrong_fields"),
            (r#"{"choice": "p1", "choice": "p2", "confidence": 0.5}"#.into(), "wrong_fields"),
            (r#"{"choice": "p2", "confidence": "0.5"}"#.into(), "wrong_fields"),
            (r#"{"choice": "p2", "confidence": null}"#.into(), "wrong_fields"),
            (r#"{"choice": "p2", "confidence": NaN}"#.into(), "no_json"),
            (r#"{"choice": "p2", "confidence": 1e999}"#.into(), "no_json"),
            (r#"{"choice": "p2", "confidence": 1.01}"#.into(), "confidence"),
            (r#"{"choice": "p2", "confidence": -0.1}"#.into(), "confidence"),
            (r#"{"choice": "p3", "confidence": 0.5}"#.into(), "unknown_id"),
            (r#"{"choice": "P2", "confidence": 0.5}"#.into(), "unknown_id"),
            (r#"{"choice": "Bridge", "confidence": 0.5}"#.into(), "unknown_id"),
            (format!(r#"{{"choice": "{}", "confidence": 0.5}}"#, Uuid::from_u128(2)), "unknown_id"),
        ];
        for (content, reason) in table {
            assert_eq!(parse_content(&content), Err(reason.to_owned()), "{content}");
        }
        let cut = json!({ "choices": [{ "message": { "content": json }, "finish_reason": "length" }] });
        assert_eq!(said_as(&cut), Err("truncated".into()));
        let silent = json!({ "choices": [{ "message": { "content": null, "refusal": "no" }, "finish_reason": "stop" }] });
        assert_eq!(said_as(&silent), Err("empty".into()));
        for body in [json!({}), json!({ "choices": [] }), json!({ "error": "overloaded" }), json!([])] {
            assert_eq!(said_as(&body), Err("no_completion".into()), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_yields_a_candidate_or_an_error(
            before in "(|<think>|[a-z<>/ ]{0,9}</think>|```|```json\n)", choice in "(p[0-3]{1,2}|none|unsure|.{0,8})",
            confidence in "(0\\.5|1|-?[0-9]{1,3}(e[0-9]{1,3})?|NaN|\"1\"|null)", after in "(|```|\\}|\\PC{0,12})",
        ) {
            let content = format!("{before}{{\"choice\": \"{choice}\", \"confidence\": {confidence}}}{after}");
            if let Ok((choice, confidence)) = parse_content(&content) {
                let offered = [Choice::Project(Uuid::from_u128(1)), Choice::Project(Uuid::from_u128(2)), Choice::NoneOfThem, Choice::Unsure];
                prop_assert!(offered.contains(&choice) && (0.0..=1.0).contains(&confidence), "{content}");
            }
        }

        #[test]
        fn no_body_causes_a_panic(body in "\\PC{0,60}") {
            prop_assert!(completion(body.as_bytes()).is_err());
        }
    }

    #[test]
    fn truncated_answers_are_retried_and_html_pages_are_errors() {
        assert_eq!(completion(br#"{"choices": [{"mess"#).expect_err("cut").class, Class::Transient);
        assert_eq!(completion(b"<html>").expect_err("a page").class, Class::BadAnswer);
    }
}
