//! Extracts the text and the attachments of a message.

use super::part::Part;
use super::parts::Parts;
use super::{Attachment, Kind, html, transfer};
use crate::charset;
use crate::nul;
use crate::services::gmail::attachments::{File, Kept};

/// Maximum size of the text, and of the HTML, that is kept, in bytes.
const MAX_TEXT: usize = 1 << 20;
/// Maximum length of an attachment's name or type, in bytes. Some file systems allow a quarter of it.
const MAX_NAME: usize = 1_000;
/// Prefixes of links to Google Drive files.
const DRIVE_LINKS: [&str; 2] = ["https://drive.google.com/", "https://docs.google.com/"];

/// The content of a message.
#[derive(Default)]
pub struct Body {
    pub text: Option<String>,
    pub html: Option<String>,
    pub attachments: Vec<Attachment>,
    /// In the order of the attachments; empty if none are to be stored.
    pub files: Vec<File>,
    pub kind: Kind,
    pub notes: Vec<String>,
}

/// Extracts the content of a message from its parts.
pub fn read(parts: &Parts<'_>, kept: Option<Kept<'_>>) -> Body {
    let mut reading = Reading { parts, kept, body: Body::default(), has_links: false };
    let text = reading.part(0, true).map(|(text, _)| text);
    let mut body = reading.body;
    let has_calendar = |part: &Part<'_>| {
        part.mime_type == "text/calendar" || part.name.as_deref().is_some_and(|name| name.to_lowercase().ends_with(".ics"))
    };
    body.kind = match (parts.all.iter().any(has_calendar), reading.has_links) {
        (true, _) => Kind::Invitation,
        (false, true) => Kind::DriveShare,
        (false, false) => Kind::Email,
    };
    body.text = text.map(|text| cut(nul::cleaned(text.trim()), "the text was cut at 1 MiB", &mut body.notes));
    body.html = body.html.map(|html| cut(nul::cleaned(&html), "the HTML was cut at 1 MiB", &mut body.notes));
    body.notes.splice(0..0, parts.notes.iter().map(|note| (*note).to_owned()));
    body
}

/// The text, of which only the beginning is kept if it is too long, with this note.
fn cut(text: String, note: &str, notes: &mut Vec<String>) -> String {
    if text.len() <= MAX_TEXT {
        return text;
    }
    notes.push(note.to_owned());
    short(&text, MAX_TEXT)
}

struct Reading<'a> {
    parts: &'a Parts<'a>,
    kept: Option<Kept<'a>>,
    body: Body,
    has_links: bool,
}

/// The text of a part, and whether it was HTML.
type Text = (String, bool);

/// The first `max` bytes of a text, at a character boundary.
fn short(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}

/// Whether nothing is visible: HTML mail often includes such a plain text.
fn is_blank(text: &str) -> bool {
    let invisible = |c: char| matches!(c, '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    text.chars().all(|c| c.is_whitespace() || invisible(c))
}

impl Reading<'_> {
    /// The text of a part and its subparts; other content becomes attachments. `is_first`: no other part precedes it.
    fn part(&mut self, index: usize, is_first: bool) -> Option<Text> {
        let part = self.parts.all.get(index)?;
        let inner = part.parts.iter().enumerate();
        match part.mime_type.as_str() {
            "text/plain" | "text/html" if !part.is_attachment && (is_first || !part.is_named) => Some(self.leaf(part)),
            "multipart/alternative" => {
                let texts: Vec<Text> = inner.filter_map(|(number, index)| self.part(*index, number == 0)).collect();
                let best = |is_html: bool| texts.iter().position(|(text, html)| *html == is_html && !is_blank(text));
                let best = best(false).or_else(|| best(true)).unwrap_or(0);
                texts.into_iter().nth(best)
            }
            "multipart/related" => {
                // One part, usually the first, is the page; the others belong to it.
                let is_page = |index: &&usize| {
                    let kind = self.parts.all.get(**index).map_or("", |part| part.mime_type.as_str());
                    kind.starts_with("text/") || kind.starts_with("multipart/")
                };
                let page = part.parts.iter().find(is_page).copied();
                let mut text = None;
                for index in &part.parts {
                    if page == Some(*index) {
                        text = self.part(*index, true);
                    } else {
                        self.attached(*index);
                    }
                }
                text
            }
            kind if kind.starts_with("multipart/") && !part.parts.is_empty() => {
                let texts = inner.filter_map(|(number, index)| self.part(*index, number == 0));
                texts.reduce(|(mut all, is_html), (text, is_html_too)| {
                    if is_blank(&all) {
                        return (text, is_html_too);
                    }
                    if !is_blank(&text) && all.len() <= MAX_TEXT {
                        all.push('\n');
                        all.push_str(&text);
                    }
                    (all, is_html && is_html_too)
                })
            }
            _ => {
                self.attached(index);
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
        // Search the HTML, because a link may be in an attribute only.
        self.has_links |= DRIVE_LINKS.iter().any(|link| decoded.text.contains(link));
        if !is_html {
            return (decoded.text, false);
        }
        let text = html::text(&decoded.text);
        if self.kept.is_some_and(|kept| kept.html) {
            self.add_html(decoded.text);
        }
        (text, true)
    }

    /// Adds a page of HTML to those before it. They are UTF-8 now, whatever they declare.
    fn add_html(&mut self, page: String) {
        match &mut self.body.html {
            Some(html) if html.len() <= MAX_TEXT => {
                html.push('\n');
                html.push_str(&page);
            }
            Some(_) => {}
            None => self.body.html = Some(page),
        }
    }

    fn attached(&mut self, index: usize) {
        let Some(part) = self.parts.all.get(index) else { return };
        if !part.parts.is_empty() {
            return part.parts.iter().for_each(|index| self.attached(*index));
        }
        let content = transfer::decode(part.body, &part.encoding);
        self.note(content.note);
        let attachment = Attachment {
            name: part.name.as_deref().map(|name| nul::cleaned(&short(name, MAX_NAME))),
            mime_type: nul::cleaned(&short(&part.mime_type, MAX_NAME)),
            size: content.bytes.len(),
        };
        if let Some(kept) = self.kept.filter(|kept| !kept.attachments.is_none()) {
            let (name, is_exact) = (attachment.name.as_deref(), content.is_exact());
            self.body.files.push(File {
                content_id: part.content_id.as_deref().map(|id| nul::cleaned(&short(id, MAX_NAME))),
                inline: part.is_inline,
                content: kept.content(name, &attachment.mime_type, content.bytes, is_exact),
            });
        }
        self.body.attachments.push(attachment);
    }

    fn note(&mut self, note: Option<&str>) {
        if let Some(note) = note
            && !self.body.notes.iter().any(|known| known == note)
            && self.body.notes.len() < 10
        {
            self.body.notes.push(note.to_owned());
        }
    }
}
