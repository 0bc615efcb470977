//! What of a message is its text, and what is attached to it.

use super::part::Part;
use super::parts::Parts;
use super::{Attachment, Kind, html, transfer};
use crate::charset;
use crate::nul;

/// Most text of a message that is kept, in bytes.
const MOST_TEXT: usize = 1 << 20;
/// Longest name or type of an attachment that is kept, in bytes: some file systems allow a quarter of it.
const MOST_NAME: usize = 1_000;
/// Where files of Google Drive are linked.
const DRIVE_LINKS: [&str; 2] = ["https://drive.google.com/", "https://docs.google.com/"];

/// The content of a message.
#[derive(Default)]
pub struct Body {
    pub text: Option<String>,
    pub attachments: Vec<Attachment>,
    pub kind: Kind,
    pub notes: Vec<String>,
}

/// Reads the parts of a message.
pub fn read(parts: &Parts<'_>) -> Body {
    let mut reading = Reading { parts, found: Body::default(), has_links: false };
    let text = reading.part(0, true).map(|(text, _)| text);
    let mut found = reading.found;
    let has_calendar = |part: &Part<'_>| {
        part.mime_type == "text/calendar" || part.name.as_deref().is_some_and(|name| name.to_lowercase().ends_with(".ics"))
    };
    found.kind = match (parts.all.iter().any(has_calendar), reading.has_links) {
        (true, _) => Kind::Invitation,
        (false, true) => Kind::DriveShare,
        (false, false) => Kind::Email,
    };
    found.text = text.map(|text| {
        let text = nul::replaced(text.trim()).into_owned();
        if text.len() <= MOST_TEXT {
            return text;
        }
        found.notes.push("the text was cut at 1 MiB".to_owned());
        short(&text, MOST_TEXT)
    });
    found.notes.splice(0..0, parts.notes.iter().map(|note| (*note).to_owned()));
    found
}

struct Reading<'a> {
    parts: &'a Parts<'a>,
    found: Body,
    has_links: bool,
}

/// Text of a part, and whether it was HTML.
type Text = (String, bool);

/// At most so many bytes of a text.
fn short(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

/// Nothing that a reader sees: HTML mail often brings such a plain text along.
fn is_blank(text: &str) -> bool {
    let invisible = |c: char| matches!(c, '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    text.chars().all(|c| c.is_whitespace() || invisible(c))
}

impl Reading<'_> {
    /// The text of a part with all that is in it; what is not text is attached. `is_first`: no other part stands before it.
    fn part(&mut self, place: usize, is_first: bool) -> Option<Text> {
        let part = self.parts.all.get(place)?;
        let inner = part.parts.iter().enumerate();
        match part.mime_type.as_str() {
            "text/plain" | "text/html" if !part.is_attachment && (is_first || !part.is_named) => Some(self.leaf(part)),
            "multipart/alternative" => {
                let texts: Vec<Text> = inner.filter_map(|(number, place)| self.part(*place, number == 0)).collect();
                let best = |is_html: bool| texts.iter().position(|(text, html)| *html == is_html && !is_blank(text));
                let best = best(false).or_else(|| best(true)).unwrap_or(0);
                texts.into_iter().nth(best)
            }
            "multipart/related" => {
                // One part is the page, the first as a rule; the others belong to it.
                let is_page = |place: &&usize| {
                    let kind = self.parts.all.get(**place).map_or("", |part| part.mime_type.as_str());
                    kind.starts_with("text/") || kind.starts_with("multipart/")
                };
                let page = part.parts.iter().find(is_page).copied();
                let mut text = None;
                for place in &part.parts {
                    match page == Some(*place) {
                        true => text = self.part(*place, true),
                        false => self.attached(*place),
                    }
                }
                text
            }
            kind if kind.starts_with("multipart/") && !part.parts.is_empty() => {
                let texts = inner.filter_map(|(number, place)| self.part(*place, number == 0));
                texts.reduce(|(mut all, is_html), (text, is_html_too)| {
                    if is_blank(&all) {
                        return (text, is_html_too);
                    }
                    if !is_blank(&text) && all.len() <= MOST_TEXT {
                        all.push('\n');
                        all.push_str(&text);
                    }
                    (all, is_html && is_html_too)
                })
            }
            _ => {
                self.attached(place);
                None
            }
        }
    }

    fn leaf(&mut self, part: &Part<'_>) -> Text {
        let content = transfer::decode(part.body, &part.encoding);
        self.note(content.note);
        let is_html = part.mime_type == "text/html";
        let label = part.charset.as_deref();
        let of_page = if is_html && label.is_none() { charset::of_html(&content.bytes) } else { None };
        let decoded = charset::decode(&content.bytes, label.or(of_page.as_deref()));
        self.note(decoded.note.as_deref());
        // In HTML the link may stand behind a word.
        self.has_links |= DRIVE_LINKS.iter().any(|link| decoded.text.contains(link));
        let text = if is_html { html::text(&decoded.text) } else { decoded.text };
        (text, is_html)
    }

    fn attached(&mut self, place: usize) {
        let Some(part) = self.parts.all.get(place) else { return };
        if !part.parts.is_empty() {
            return part.parts.iter().for_each(|place| self.attached(*place));
        }
        let content = transfer::decode(part.body, &part.encoding);
        self.note(content.note);
        self.found.attachments.push(Attachment {
            name: part.name.as_deref().map(|name| nul::replaced(&short(name, MOST_NAME)).into_owned()),
            mime_type: nul::replaced(&short(&part.mime_type, MOST_NAME)).into_owned(),
            size: content.bytes.len(),
        });
    }

    fn note(&mut self, note: Option<&str>) {
        if let Some(note) = note
            && !self.found.notes.iter().any(|known| known == note)
            && self.found.notes.len() < 10
        {
            self.found.notes.push(note.to_owned());
        }
    }
}
