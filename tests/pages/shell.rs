//! As much of a shell's grammar as pages use: words, quotes, comments, and what separates commands.

/// The simple commands of a script.
#[derive(Debug, Default, PartialEq)]
pub struct Split {
    /// Each as its words, without quotes and redirections.
    pub commands: Vec<Vec<String>>,
    /// Whether the script ends inside a quote, a substitution or before a continued line.
    pub open: bool,
}

/// Whether the next line belongs to the script, too.
pub fn is_open(script: &str) -> bool {
    split(script).open
}

/// Splits a script into simple commands.
pub fn split(script: &str) -> Split {
    let mut reader = Reader::default();
    let mut rest = script.chars().peekable();
    while let Some(c) = rest.next() {
        match (reader.quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => reader.quote = None,
            (Some('"') | None, '\\') => match rest.next() {
                Some('\n') => {}
                Some(next) => reader.push(next),
                None => reader.is_continued = true,
            },
            (Some(_), _) => reader.push(c),
            (None, '\'' | '"') => reader.begin_quote(c),
            (None, '$') if rest.next_if_eq(&'(').is_some() => reader.begin_substitution(),
            (None, '(') if reader.depth > 0 => reader.deepen(c),
            (None, ')') if reader.depth > 0 => reader.rise(c),
            (None, _) if reader.depth > 0 => reader.push(c),
            (None, '#') if reader.word.is_none() => while rest.next_if(|c| *c != '\n').is_some() {},
            (None, ' ' | '\t') => reader.end_word(),
            (None, '<' | '>') => reader.redirect(),
            (None, '&') if reader.is_redirected && reader.word.is_none() => reader.push(c),
            (None, '\n' | ';' | '|' | '&' | '(' | ')') => reader.end_command(),
            (None, _) => reader.push(c),
        }
    }
    let open = reader.quote.is_some() || reader.depth > 0 || reader.is_continued;
    reader.end_command();
    Split { commands: reader.commands, open }
}

#[derive(Default)]
struct Reader {
    commands: Vec<Vec<String>>,
    words: Vec<String>,
    word: Option<String>,
    quote: Option<char>,
    /// Open parentheses of `$(`.
    depth: u32,
    /// The next word is a redirection's file.
    is_redirected: bool,
    is_continued: bool,
}

impl Reader {
    fn push(&mut self, c: char) {
        self.word.get_or_insert_default().push(c);
    }

    fn begin_quote(&mut self, quote: char) {
        self.word.get_or_insert_default();
        self.quote = Some(quote);
    }

    fn begin_substitution(&mut self) {
        self.word.get_or_insert_default().push_str("$(");
        self.depth += 1;
    }

    fn deepen(&mut self, c: char) {
        self.push(c);
        self.depth += 1;
    }

    fn rise(&mut self, c: char) {
        self.push(c);
        self.depth -= 1;
    }

    fn redirect(&mut self) {
        // The number of a file descriptor belongs to the redirection.
        if self.word.as_ref().is_some_and(|word| word.chars().all(|c| c.is_ascii_digit())) {
            self.word = None;
        }
        self.end_word();
        self.is_redirected = true;
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        if !std::mem::take(&mut self.is_redirected) {
            self.words.push(word);
        }
    }

    fn end_command(&mut self) {
        self.end_word();
        self.is_redirected = false;
        if !self.words.is_empty() {
            self.commands.push(std::mem::take(&mut self.words));
        }
    }
}

#[test]
fn scripts_are_split_as_a_shell_would() {
    let commands = |script: &str| split(script).commands.into_iter().map(|words| words.join("_")).collect::<Vec<_>>();
    assert_eq!(commands("a 'b c' \"d e\"   # f"), ["a_b c_d e"]);
    assert_eq!(commands("a | b && c; d &\ne"), ["a", "b", "c", "d", "e"]);
    assert_eq!(commands("a x=\"$(b | c)\" $(d e (f)) <g >h 2>&1 | i"), ["a_x=$(b | c)_$(d e (f))", "i"]);
    assert_eq!(commands("a \\\n b \\' c#d"), ["a_b_'_c#d"]);
    for (script, open) in [("a 'b", true), ("a \\", true), ("a $(b", true), ("a 'b\nc'", false), ("a # it's", false)] {
        assert_eq!(is_open(script), open, "{script}");
    }
}
