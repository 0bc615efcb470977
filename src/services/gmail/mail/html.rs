//! Converts HTML to the visible text, with words, cells, items, paragraphs and links separated. Works tag by tag without building a tree, so
//! that time and memory are proportional to the page, however deeply its elements are nested.

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{Token, Tokenizer};

/// The separator between two pieces of text.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    #[default]
    None,
    Space,
    Line,
    Paragraph,
}

/// Elements whose content is not visible.
const HIDDEN: [&[u8]; 6] = [b"style", b"script", b"title", b"noembed", b"iframe", b"noframes"];

/// Converts HTML to text.
pub fn text(html: &str) -> String {
    let mut emitter = DefaultEmitter::default();
    // Do not parse style sheets and scripts as markup.
    emitter.naively_switch_states(true);
    let mut page = Page::default();
    for token in Tokenizer::new_with_emitter(html, emitter) {
        match token {
            Ok(Token::String(text)) if page.hidden.is_none() => page.write(&String::from_utf8_lossy(&text)),
            Ok(Token::StartTag(tag)) => {
                page.start(&tag.name);
                if let Some(text) = tag.attributes.get(&b"alt"[..]).filter(|_| **tag.name == *b"img") {
                    page.separate(Gap::Space);
                    page.write(&String::from_utf8_lossy(&text.value));
                    page.separate(Gap::Space);
                }
            }
            Ok(Token::EndTag(tag)) => page.end(&tag.name),
            _ => {}
        }
    }
    page.out
}

#[derive(Default)]
struct Page {
    out: String,
    gap: Gap,
    hidden: Option<Vec<u8>>,
    is_pre: bool,
    /// A link has just ended: a directly following one must be separated from it.
    after_link: bool,
}

impl Page {
    fn separate(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    fn start(&mut self, name: &[u8]) {
        if name == b"a" && self.after_link {
            self.separate(Gap::Space);
        }
        self.separate(around(name));
        self.is_pre |= name == b"pre" || name == b"textarea";
        // `<body>` ends hidden elements that were not closed.
        match name {
            b"body" => self.hidden = None,
            name if self.hidden.is_none() && HIDDEN.contains(&name) => self.hidden = Some(name.to_vec()),
            _ => {}
        }
    }

    fn end(&mut self, name: &[u8]) {
        self.separate(around(name));
        self.after_link |= name == b"a";
        self.is_pre &= name != b"pre" && name != b"textarea";
        if self.hidden.as_deref() == Some(name) {
            self.hidden = None;
        }
    }

    fn write(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\n' if self.is_pre => self.gap = if self.gap >= Gap::Line { Gap::Paragraph } else { Gap::Line },
                c if c.is_whitespace() => self.separate(Gap::Space),
                // Soft hyphens and preview fillers: invisible, and a search would not find words with them.
                '\u{ad}' | '\u{200b}' | '\u{feff}' | '\u{34f}' => {}
                c => {
                    if !self.out.is_empty() {
                        self.out.push_str(match self.gap {
                            Gap::None => "",
                            Gap::Space => " ",
                            Gap::Line => "\n",
                            Gap::Paragraph => "\n\n",
                        });
                    }
                    (self.gap, self.after_link) = (Gap::None, false);
                    self.out.push(c);
                }
            }
        }
    }
}

/// The gap before and after an element.
fn around(name: &[u8]) -> Gap {
    match name {
        b"p" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" | b"blockquote" | b"pre" | b"table" | b"ul" | b"ol" | b"dl" => {
            Gap::Paragraph
        }
        b"br" | b"hr" | b"div" | b"section" | b"article" | b"header" | b"footer" | b"main" | b"nav" | b"aside" | b"address"
        | b"form" | b"fieldset" | b"legend" | b"figure" | b"figcaption" | b"center" | b"details" | b"summary" | b"tr"
        | b"caption" | b"thead" | b"tbody" | b"tfoot" | b"li" | b"dt" | b"dd" | b"option" | b"body" | b"html" | b"head"
        | b"title" => Gap::Line,
        b"td" | b"th" | b"button" | b"label" | b"select" | b"input" => Gap::Space,
        _ => Gap::None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_cells_items_and_links_stay_separated() {
        let page = "<table><tr><td>Invoice</td><td>4711</td></tr><tr><td>Total</td><td>100 EUR</td></tr></table>\
            <ul><li>one</li><li>two</li></ul><div>a</div><div>b</div>";
        assert_eq!(text(page), "Invoice 4711\nTotal 100 EUR\n\none\ntwo\n\na\nb");
        assert_eq!(text("<a href=x>one</a><a href=y>two</a>, <b>th</b>ree"), "one two, three");
        assert_eq!(text("<p>a<br>b</p>\r\n<p>c&nbsp;&amp;\u{a0}d"), "a\nb\n\nc & d");
        assert_eq!(text("<pre>a\n  b\n\nc</pre>"), "a\nb\n\nc");
        assert_eq!(text("Donau&shy;dampf<img alt='Logo'>schiff"), "Donaudampf Logo schiff");
    }

    #[test]
    fn invisible_content_is_dropped() {
        let page = "<html><head><title>t</title><style>p { a: '<b>' }</style></head><body><!-- c --><script>if (a<b) 1</script>x</body></html>";
        assert_eq!(text(page), "x");
        assert_eq!(text("<style>never closed"), "");
        assert_eq!(text("a < b &lt; c"), "a < b < c");
    }

    #[test]
    fn nesting_of_any_depth_is_read() {
        for unit in
            ["<div>", "<table><tr><td>", "<b>", "<a href=x>", "<ul><li>", "<font color=red><p>", "<", "<!--", "&#1;", "<a b="]
        {
            let page = format!("{}x", unit.repeat((1 << 18) / unit.len()));
            assert!(text(&page).len() <= page.len(), "{unit}");
        }
    }

    proptest! {
        #[test]
        fn text_is_never_longer_than_its_page(page in "(<[a-z]{1,5} ?|>|</|a|&amp;|\"|\n| |é|=|-->|<!--){0,60}") {
            prop_assert!(text(&page).len() <= page.len());
        }
    }
}
