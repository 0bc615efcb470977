use proptest::prelude::*;

use super::*;

fn text(bytes: &[u8], label: &str) -> String {
    decode(bytes, Some(label)).text
}

#[test]
fn labels_unknown_to_browsers_are_read() {
    for (label, bytes, text) in [
        ("iso-2022-kr", &b"\x1b$)C\x0e>H3gGO<<?d\x0f\r\nok"[..], "안녕하세요\r\nok"),
        ("ISO-2022-CN", b"\x1b$)A\x0eDc:C\x0f!", "你好!"),
        ("hz-gb-2312", b"~{Dc:C~} ~~", "你好 ~"),
        ("utf-7", b"Gr+APwA3w-e", "Grüße"),
        ("unicode-1-1-utf-7", b"A+ImIDkQ.", "A≢Α."),
        ("ks_c_5601-1987", b"\xbe\xc8\xb3\xe7", "안녕"),
        ("CP949", b"\xbe\xc8\xb3\xe7", "안녕"),
        ("windows-949", b"\xbe\xc8\xb3\xe7", "안녕"),
        ("x-windows-949", b"\xbe\xc8\xb3\xe7", "안녕"),
        ("ms949", b"\xbe\xc8\xb3\xe7", "안녕"),
        ("ibm437", b"Gr\x81\xe1e", "Grüße"),
        ("cp850", b"Gr\x81\xe1e", "Grüße"),
        ("IBM852", b"\xa5", "ą"),
        ("latin-1", b"Gr\xfc\xdfe", "Grüße"),
        ("Latin1", b"Gr\xfc\xdfe", "Grüße"),
        ("iso8859_1", b"Gr\xfc\xdfe", "Grüße"),
        ("8859-1", b"Gr\xfc\xdfe", "Grüße"),
        ("cp-1252", b"\x80", "€"),
        ("iso-8859-2:1987", b"\xb1", "ą"),
        ("\"utf-8\"*en", "ü".as_bytes(), "ü"),
        ("cp936", b"\xc4\xe3\xba\xc3", "你好"),
        ("cp932", b"\x82\xb1", "こ"),
        ("iso-2022-jp-2", b"\x1b$B$3\x1b(B", "こ"),
        ("koi8-ru", b"\xf0", "П"),
        ("cp65001", "ü".as_bytes(), "ü"),
    ] {
        assert_eq!(decode(bytes, Some(label)), Decoded { text: text.into(), note: None }, "{label}");
    }
}

#[test]
fn an_unknown_or_wrong_label_yields_to_the_bytes() {
    for label in ["us-ascii", "unknown-8bit", "x-unknown", "utf-8", "iso-8859-1", "no-such-charset", ""] {
        assert_eq!(text("Dzień dobry".as_bytes(), label), "Dzień dobry", "{label}");
        assert_eq!(text(b"Sch\xf6ne Gr\xfc\xdfe", label), "Schöne Grüße", "{label}");
    }
    assert_eq!(decode(b"Gr\xfc\xdfe", None).text, "Grüße");
    assert_eq!(decode(b"\x1b$B$3$s\x1b(B", None).text, "こん");
    assert_eq!(decode(b"\x1b$)C\x0e>H3g\x0f", Some("us-ascii")).text, "안녕");
    let russian = encoding_rs::WINDOWS_1251.encode("Привет, мир, как дела").0.into_owned();
    assert_eq!(decode(&russian, None).text, "Привет, мир, как дела");
    assert_eq!(text(b"\xff\xfeG\0r\0", "utf-8"), "Gr");
}

#[test]
fn guesses_and_losses_are_noted() {
    let note = |bytes: &[u8], label: Option<&str>| decode(bytes, label).note.unwrap_or_default();
    assert_eq!(note(b"Gr\xfc\xdfe", None), "no charset named, read as windows-1252");
    assert_eq!(note(b"Gr\xfc\xdfe", Some("utf-8")), "not in the charset named (UTF-8), read as windows-1252");
    assert_eq!(note("Grüße".as_bytes(), Some("latin1")), "not in the charset named (windows-1252), read as UTF-8");
    assert_eq!(note("Grüße".as_bytes(), Some("kl\u{0}ingon!")), "charset klingon unknown, read as UTF-8");
    assert_eq!(note(b"\x1b$)G\x0eDc:C\x0f", Some("iso-2022-cn")), "2 characters could not be read as GBK");
    // Text that is cut within a character keeps its charset.
    let cut = "Grüße, schöne Grüße".as_bytes().strip_suffix(b"\x9fe").expect("an end");
    assert_eq!(decode(cut, Some("utf-8")).text, "Grüße, schöne Grü\u{fffd}");
    assert_eq!(note(cut, Some("utf-8")), "1 characters could not be read as UTF-8");
    for (bytes, label) in [("plain", "us-ascii"), ("plain", "no-such-charset"), ("Grüße", "utf-8"), ("Grüße", "us-ascii")] {
        assert_eq!(note(bytes.as_bytes(), Some(label)), "", "{label}");
    }
}

#[test]
fn a_page_names_its_charset() {
    assert_eq!(of_html(b"<meta charset='koi8-r'>").as_deref(), Some("koi8-r"));
    assert_eq!(of_html(b"<META http-equiv=Content-Type content=\"text/html; CHARSET=gb2312\">").as_deref(), Some("gb2312"));
    assert_eq!(of_html(b"<p>charset=").as_deref(), None);
}

proptest! {
    #[test]
    fn any_bytes_and_label_yield_text(bytes in proptest::collection::vec(any::<u8>(), 0..200), label in ".{0,30}") {
        let decoded = decode(&bytes, Some(&label));
        prop_assert!(decoded.text.len() <= 3 * bytes.len() + 3);
    }

    #[test]
    fn known_labels_read_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80), label in "(iso-2022-kr|hz-gb-2312|iso-2022-cn|utf-7|cp437|utf-16|euc-jp|iso-2022-jp)") {
        decode(&bytes, Some(&label));
        let damaged = decode(&bytes, None);
        let has_lost = damaged.text.contains(char::REPLACEMENT_CHARACTER);
        prop_assert!(!has_lost || damaged.note.is_some());
    }

    #[test]
    fn utf8_is_recognized_under_any_single_byte_label(text in "[a-zäöüßéńł ]{0,40}", label in "(us-ascii|iso-8859-1|windows-1252|latin-1|utf-8|unknown-8bit)") {
        prop_assert_eq!(decode(text.as_bytes(), Some(&label)).text, text);
    }
}
