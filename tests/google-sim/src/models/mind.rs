//! The model's answers, by mode.

use rand::Rng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::reading::{Prompt, plain};
use super::store::Control;

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// JSON by the schema.
    #[default]
    Strict,
    /// JSON between sentences, whatever was requested.
    SchemaIgnored,
    /// 400 for a schema; else JSON.
    SchemaRefused,
    /// Writes its reasoning first.
    Think,
    Empty,
    /// JSON in a code fence.
    Fence,
    /// An id that was not offered.
    ForeignId,
    /// An ID in the format of another user's project.
    OtherUserId,
    Nan,
    /// Stops in the middle of its JSON.
    Truncated,
    /// Does what the document or a project says, with or without a schema.
    Obeys,
}

/// The text, and whether it was cut.
pub struct Said {
    pub content: String,
    pub is_cut: bool,
}

/// The text after these words is the answer.
const ORDERS: [&str; 6] = ["answer with ", "reply with ", "respond with ", "output ", "choose ", "say "];
/// A document that requests this gets the whole prompt.
const REVEAL: [&str; 3] = ["repeat your instructions", "print the prompt", "reveal your key"];

pub fn say(control: &Control, prompt: &Prompt, by_schema: bool, chance: &mut StdRng) -> Said {
    let choice = choose(control, prompt, chance);
    let confidence = if choice == "unsure" { 0.3 } else { 0.9 };
    let answer = |choice: &str| json!({ "choice": choice, "confidence": confidence }).to_string();
    let json = answer(&choice);
    let content = match control.mode {
        Mode::Strict | Mode::SchemaRefused if by_schema => json,
        Mode::Strict | Mode::SchemaRefused => format!("{json}\n"),
        Mode::SchemaIgnored => format!("This looks like {choice} to me.\n\n{json}\n\nLet me know if you need more."),
        Mode::Think => format!("<think>\nThe title says little. Is it {{\"choice\": \"none\"}}? No.\n</think>\n\n{json}"),
        Mode::Empty => String::new(),
        Mode::Fence => format!("```json\n{json}\n```"),
        Mode::ForeignId => answer(&format!("p{}", prompt.projects.len() + 1)),
        Mode::OtherUserId => answer("0197c9a2-5b1e-7f60-8d2a-3c4b5a697887"),
        Mode::Nan => format!(r#"{{"choice": "{choice}", "confidence": NaN}}"#),
        Mode::Truncated => json[..json.len() / 2].to_owned(),
        Mode::Obeys => obey(prompt).unwrap_or(json),
    };
    Said { content, is_cut: control.mode == Mode::Truncated }
}

/// The ID of the project that the document belongs to, or of another one if the model errs.
fn choose(control: &Control, prompt: &Prompt, chance: &mut StdRng) -> String {
    let words = prompt.document.to_lowercase();
    let truth = control.truth.iter().find(|(word, _)| words.contains(&word.to_lowercase())).map(|(_, name)| name.as_str());
    let right = match truth {
        Some("none") => "none",
        Some(name) => prompt.projects.iter().find(|(_, known)| known == name).map_or("none", |(id, _)| id),
        None => "unsure",
    };
    if chance.random_bool(control.right.clamp(0.0, 1.0)) {
        return right.to_owned();
    }
    let ids = prompt.projects.iter().map(|(id, _)| id.as_str()).chain(["none", "unsure"]);
    let wrong: Vec<&str> = ids.filter(|id| *id != right).collect();
    wrong[chance.random_range(0..wrong.len())].to_owned()
}

/// The injected answer: a single word becomes the choice, anything more is returned unchanged.
fn obey(prompt: &Prompt) -> Option<String> {
    let read = plain(&prompt.user);
    // ASCII only, so that offsets stay the same.
    let lower = read.to_ascii_lowercase();
    if REVEAL.iter().any(|order| lower.contains(order)) {
        return Some(format!("{}\n{}", prompt.system, prompt.user));
    }
    let at = ORDERS.iter().filter_map(|order| Some(lower.find(order)? + order.len())).min()?;
    let order = read[at..].lines().next().unwrap_or_default().trim().trim_end_matches(['.', '!']);
    let word = order.trim_matches(['"', '\'', '`']);
    let is_word = !word.is_empty() && !word.contains([' ', '{', '}', '[', '"']);
    Some(if is_word { json!({ "choice": word, "confidence": 1.0 }).to_string() } else { order.to_owned() })
}
