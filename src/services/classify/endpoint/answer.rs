//! What the model said, read strictly: thinking and a code fence are cut off, then one JSON object with the two fields must remain. Pure. What was said
//! is in no message: it may hold the document's text.

use serde::Deserialize;
use serde_json::error::Category;

use super::prompt::{NONE, Prompt, UNSURE};
use super::{Answered, Candidate, Choice, Usage, WHAT};
use crate::error::{Class, Failure};

/// The answer of the endpoint, as far as it is read.
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
    /// Absent where there was none.
    #[serde(default)]
    completion_tokens: u32,
}

/// The object that was asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    choice: String,
    confidence: f64,
}

/// A choice by its place among the ids that were offered.
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

/// Reads the answer to a request.
///
/// # Errors
/// `Transient`: it ends early; `BadAnswer`: it is none of this API.
pub fn completion(body: &[u8]) -> Result<Completion, Failure> {
    // Without the parser's message, which quotes.
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        Category::Eof => Failure::new(Class::Transient, format!("{WHAT}: the answer is no whole JSON")),
        Category::Io | Category::Syntax | Category::Data => {
            bad("no_completion", "the answer is no completion; check classify.endpoint.url")
        }
    })
}

impl Completion {
    /// What the endpoint counted; `None`: it does not say.
    pub fn usage(&self) -> Option<Usage> {
        let tokens = self.usage.as_ref()?;
        Some(Usage { prompt_tokens: tokens.prompt_tokens.into(), completion_tokens: tokens.completion_tokens.into() })
    }

    /// What the model chose of what was offered.
    ///
    /// # Errors
    /// `BadAnswer`.
    pub fn parse(self, prompt: &Prompt) -> Result<Said, Failure> {
        let [chosen] = self.choices.as_slice() else {
            return Err(bad("no_completion", "there is not one completion in the answer"));
        };
        if chosen.finish_reason.as_deref() == Some("length") {
            return Err(bad("truncated", "the model did not come to an end; a model that does not think aloud does"));
        }
        let content = bare(chosen.message.content.as_deref().unwrap_or_default());
        if content.is_empty() {
            return Err(bad("empty", "the model said nothing"));
        }
        let object = object(content)?;
        // NaN is in no range.
        if !(0.0..=1.0).contains(&object.confidence) {
            return Err(bad("confidence", "the confidence is not from 0 to 1"));
        }
        let choice = match prompt.ids.iter().position(|id| *id == object.choice) {
            Some(at) if prompt.ids[at] == NONE => Offered::None,
            Some(at) if prompt.ids[at] == UNSURE => Offered::Unsure,
            Some(at) => Offered::Candidate(at),
            None => return Err(bad("unknown_id", "the choice is none that was offered")),
        };
        Ok(Said { choice, confidence: object.confidence as f32 })
    }
}

impl Said {
    /// The choice as a project.
    ///
    /// # Errors
    /// `BadAnswer`, if there is no such candidate.
    pub fn answered(self, candidates: &[Candidate<'_>], usage: Usage) -> Result<Answered, Failure> {
        let choice = match self.choice {
            Offered::Candidate(at) => {
                let candidate = candidates.get(at).ok_or_else(|| bad("unknown_id", "the choice is none that was offered"))?;
                Choice::Project(candidate.id)
            }
            Offered::None => Choice::NoneOfThem,
            Offered::Unsure => Choice::Unsure,
        };
        Ok(Answered { choice, confidence: self.confidence, usage })
    }
}

/// What remains without thinking and without a fence around the rest. Some templates open the thinking themselves, so that only its end is in the answer.
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
    // An array of two would be read as well.
    if !content.starts_with('{') {
        return Err(bad("no_json", "the model said something else than JSON"));
    }
    let mut reader = serde_json::Deserializer::from_str(content);
    let object = Object::deserialize(&mut reader).map_err(|error| match error.classify() {
        Category::Data => bad("wrong_fields", "the JSON has other fields than were asked for"),
        Category::Io | Category::Syntax | Category::Eof => bad("no_json", "the model said something else than JSON"),
    })?;
    reader.end().map_err(|_| bad("not_alone", "something follows the JSON"))?;
    Ok(object)
}

/// `reason`: what is wrong, in one word.
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

    /// Two candidates, and an answer with this content.
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
    fn thinking_and_a_fence_are_cut_off() {
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
        fn whatever_is_said_one_of_the_offers_comes_out_or_a_bad_answer(
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
        fn no_body_is_too_odd(body in "\\PC{0,60}") {
            prop_assert!(completion(body.as_bytes()).is_err());
        }
    }

    #[test]
    fn an_answer_that_ends_early_is_asked_for_again_and_a_page_is_none() {
        assert_eq!(completion(br#"{"choices": [{"mess"#).expect_err("cut").class, Class::Transient);
        assert_eq!(completion(b"<html>").expect_err("a page").class, Class::BadAnswer);
    }
}
