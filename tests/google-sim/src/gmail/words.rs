//! The words of generated mail, and their encodings.

use std::fmt::Write as _;

use data_encoding::BASE64;
use rand::Rng as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;

pub const SUBJECTS: [&str; 14] = [
    "Minutes of yesterday",
    "Angebot für die Südhalle",
    "Invitation: planning",
    "会議の議事録",
    "Your invoice 2026-118",
    "Réunion d’équipe",
    "Привет из Берлина",
    "Document shared with you: Budget",
    "Lunch?",
    "Zoë’s notes 🚀",
    "A long subject that has to be folded because no line of a header should be longer than seventy-eight characters, as the rule goes",
    "Überweisung über 1.200 €",
    "[team] build failed",
    "",
];

pub const PEOPLE: [(&str, &str); 7] = [
    ("Bob Stone", "bob@partner.example"),
    ("Jürgen Groß", "juergen@partner.example"),
    ("山田 太郎", "yamada@partner.example"),
    ("News", "news@news.example.net"),
    ("Smith, Carol", "carol.smith@customer.example"),
    ("Google Drive", "drive-shares-noreply@google.com"),
    ("", "root@host.example"),
];

const SENTENCES: [&str; 8] = [
    "Thank you for the call this morning.",
    "Können wir das auf Donnerstag verschieben?",
    "From next week on the office closes at five.",
    "Please find the figures = attached.",
    "よろしくお願いします。",
    "The recording is at https://drive.google.com/file/d/1aBcD/view?usp=sharing for a week.",
    "Join with https://meet.google.com/abc-defg-hij or by phone.",
    "C’est noté, à demain.",
];

/// An external correspondent, in the format of a header.
pub fn correspondent(chance: &mut SmallRng) -> String {
    let (name, address) = PEOPLE.choose(chance).copied().unwrap_or(("", "root@host.example"));
    let phrase = match name {
        name if !name.is_ascii() => encoded(name, chance),
        name if name.contains(',') => format!("\"{name}\""),
        name => name.to_owned(),
    };
    if phrase.is_empty() { address.to_owned() } else { format!("{phrase} <{address}>") }
}

/// A header's text: unchanged if allowed, else as encoded words, folded.
pub fn encoded(text: &str, chance: &mut SmallRng) -> String {
    if text.is_ascii() {
        return folded(text);
    }
    let latin = text.chars().all(|c| u32::from(c) < 256);
    match chance.random_range(0..10) {
        // Not allowed, but common.
        0 => text.to_owned(),
        1..4 if latin => {
            let bytes: Vec<u8> = text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect();
            format!("=?ISO-8859-1?Q?{}?=", q(&bytes))
        }
        1..6 => words_of(text, |chunk| format!("=?UTF-8?Q?{}?=", q(chunk.as_bytes()))),
        _ => words_of(text, |chunk| format!("=?UTF-8?B?{}?=", BASE64.encode(chunk.as_bytes()))),
    }
}

/// One encoded word for every few characters, each on a line.
fn words_of(text: &str, word: impl Fn(&str) -> String) -> String {
    let chars: Vec<char> = text.chars().collect();
    let words: Vec<String> = chars.chunks(12).map(|chunk| word(&chunk.iter().collect::<String>())).collect();
    words.join("\r\n ")
}

fn folded(text: &str) -> String {
    let mut line = 9;
    let mut result = String::new();
    for word in text.split(' ') {
        if !result.is_empty() {
            let fold = line + word.len() > 70;
            result.push_str(if fold { "\r\n " } else { " " });
            line = if fold { 1 } else { line + 1 };
        }
        result.push_str(word);
        line += word.len();
    }
    result
}

fn q(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = match byte {
            b' ' => write!(text, "_"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => write!(text, "{}", char::from(*byte)),
            byte => write!(text, "={byte:02X}"),
        };
    }
    text
}

/// Text as quoted-printable, with soft breaks. Its lines end with CRLF.
pub fn quoted_printable(text: &str) -> String {
    let mut result = String::new();
    for line in text.split_inclusive("\r\n") {
        let mut length = 0;
        for byte in line.trim_end_matches("\r\n").bytes() {
            if length > 70 {
                result.push_str("=\r\n");
                length = 0;
            }
            let plain = (b' '..=b'~').contains(&byte) && byte != b'=';
            let _ = if plain { write!(result, "{}", char::from(byte)) } else { write!(result, "={byte:02X}") };
            length += if plain { 1 } else { 3 };
        }
        result.push_str("\r\n");
    }
    result
}

/// Some lines; occasionally one begins with "From ".
pub fn prose(chance: &mut SmallRng) -> String {
    let mut text = String::new();
    for _ in 0..chance.random_range(1..15) {
        text.push_str(SENTENCES.choose(chance).copied().unwrap_or_default());
        text.push_str(if chance.random_bool(0.3) { "\r\n\r\n" } else { "\r\n" });
    }
    text
}

pub fn drive_link(chance: &mut SmallRng) -> String {
    let id = format!("1{:016x}{:016x}", chance.random::<u64>(), chance.random::<u64>());
    match chance.random_range(0..3) {
        0 => format!("https://docs.google.com/document/d/{id}/edit?usp=sharing"),
        1 => format!("https://docs.google.com/spreadsheets/d/{id}/edit#gid=0"),
        _ => format!("https://drive.google.com/file/d/{id}/view?usp=drive_link"),
    }
}

/// Content headers and text, in a legacy 8-bit charset.
pub fn in_an_old_charset(chance: &mut SmallRng) -> Vec<u8> {
    let texts: [(&str, &[u8]); 4] = [
        ("iso-8859-1", b"Sch\xF6ne Gr\xFC\xDFe aus M\xFCnchen\r\n"),
        ("windows-1252", b"\x93Quoted\x94 \x96 1.200 \x80\r\n"),
        ("koi8-r", b"\xF0\xD2\xC9\xD7\xC5\xD4\r\n"),
        ("shift_jis", b"\x89\xEF\x8B\x63\r\n"),
    ];
    let (charset, bytes) = texts.choose(chance).copied().unwrap_or(("us-ascii", b"Hello\r\n"));
    let mut text = format!("Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n").into_bytes();
    text.extend_from_slice(bytes);
    text
}
