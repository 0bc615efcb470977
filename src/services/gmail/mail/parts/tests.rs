use proptest::prelude::*;

use super::*;

/// Type and body of each part that has no parts of its own, and the notes.
fn leaves(raw: &str) -> (Vec<(String, String)>, Vec<&'static str>) {
    let parts = of(raw.as_bytes());
    let leaves = parts.all.iter().filter(|part| part.parts.is_empty());
    let shown = |part: &Part<'_>| (part.mime_type.clone(), String::from_utf8_lossy(part.body).into_owned());
    (leaves.map(shown).collect(), parts.notes.clone())
}

const MIXED: &str = "Content-Type: multipart/mixed; boundary=a\n\n";
const INNER: &str = "--a\nContent-Type: multipart/alternative; boundary=\"b c\"\n\n";

#[test]
fn parts_are_found_however_they_end() {
    let plain = |texts: &[&str]| texts.iter().map(|text| ("text/plain".to_owned(), (*text).to_owned())).collect::<Vec<_>>();
    for (raw, texts, notes) in [
        ("A: b\n\nbody\n", &["body"][..], &[][..]),
        ("body without headers", &["body without headers"], &[JUNK]),
        ("A: b\nno header\nC: d\n\nbody", &["body"], &[JUNK]),
        ("A: b\n--a\n\nbody", &["--a\n\nbody"], &[JUNK]),
        (&format!("{MIXED}--a\n\none\n--a \r\n\r\ntwo\r\n\r\n--a--\nepilogue"), &["one", "two\r\n"], &[]),
        (&format!("{MIXED}--a\nno header\n--a\n--a--"), &["no header", ""], &[JUNK]),
        // A line that only starts like a boundary is text.
        (&format!("{MIXED}--a\n\n--ab\n--a--c\n --a\n--a--\n"), &["--ab\n--a--c\n --a"], &[]),
        (&format!("{MIXED}--a\n\none"), &["one"], &[UNCLOSED]),
        (&format!("{MIXED}{INNER}--b c\n\none\n--a\n\ntwo\n--a--"), &["one", "two"], &[UNCLOSED]),
        (&format!("{MIXED}{INNER}--b c\n\none\n--b c--\n--a\n\ntwo\n--a--"), &["one", "two"], &[]),
        (&format!("{MIXED}--z\nContent-Type: text/plain\n\none\n--z--\n"), &["one"], &[GUESSED]),
        (&format!("{MIXED}{INNER}--z\nContent-Id: 1\n\none\n--z--\n--a\n\ntwo\n--a--"), &["one", "two"], &[GUESSED]),
        (&format!("{MIXED}one\n"), &["one"], &[UNDIVIDED]),
        ("Content-Type: multipart/mixed\n\n--z\nContent-Id: 1\n\none", &["one"], &[GUESSED, UNCLOSED]),
    ] {
        assert_eq!(leaves(raw), (plain(texts), notes.to_vec()), "{raw}");
    }
    let digest = "Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: x\n\n--a--";
    assert_eq!(leaves(digest).0[0].0, "message/rfc822");
}

#[test]
fn a_part_of_an_odd_type_is_plain_text() {
    for kind in ["text", "text/", "/plain", "text/plain/x", "", ";", "multipart"] {
        let (leaves, notes) = leaves(&format!("Content-Type: {kind}\n\nbody"));
        assert_eq!(leaves, [("text/plain".to_owned(), "body".to_owned())], "{kind}");
        assert!(notes.len() <= 1, "{kind}: {notes:?}");
    }
}

#[test]
fn hostile_mail_is_bounded() {
    let nested: String = (0..20_000).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n")).collect();
    let unfound: String = (0..20_000).map(|n| format!("--a\nContent-Type: multipart/mixed; boundary=n{n}\n\n")).collect();
    let guessed: String = (0..20_000).map(|n| format!("--z{n}\nContent-Type: multipart/mixed; boundary=n{n}\n\n")).collect();
    for raw in [
        nested,
        format!("{MIXED}{unfound}"),
        format!("{MIXED}{guessed}"),
        format!("{MIXED}{}", "--a\n\n".repeat(200_000)),
        "a:\n".repeat(200_000),
    ] {
        let parts = of(raw.as_bytes());
        assert!(parts.all.len() <= MAX_PARTS && parts.headers.len() <= MAX_HEADERS);
        assert!(parts.notes.len() < 8);
    }
}

proptest! {
    #[test]
    fn any_structure_is_parsed(raw in "(Content-Type: multipart/mixed; boundary=[ab]\n|Content-Type: text/html\n|\n|\r\n|--[abz]\n|--[ab]--\n|x: y\n| folded\n|text){0,40}") {
        let parts = of(raw.as_bytes());
        let total: usize = parts.all.iter().map(|part| part.body.len()).sum();
        prop_assert!(!parts.all.is_empty() && total <= raw.len());
    }
}
