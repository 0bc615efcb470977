//! Whole messages: headers, text, attachments, and their bounds.

use proptest::prelude::*;

use super::*;
use crate::services::gmail::attachments::Content as FileContent;
use crate::state::NotStored;

#[test]
fn headers_are_decoded_and_recipients_found_in_all_five() {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mail = of_headers(&[
        header("From", "=?ISO-8859-1?Q?J=F6rg_M=FCller?= <joerg@example.com>"),
        header("Subject", "=?UTF-8?B?w5xiZXI=?= =?UTF-8?Q?_alles?="),
        header("To", "\"Doe, Jane\" <jane@example.com>, Team: a@example.com, b@example.com;"),
        header("Cc", "ai+bob@example.com"),
        header("Bcc", "c@example.com"),
        header("Delivered-To", "d@example.com"),
        header("X-Original-To", "<e@example.com>"),
        header("Date", "Tue, 3 Nov 2026 10:00:00 +0100"),
        header("Message-ID", "<1@example.com>"),
    ]);
    assert_eq!(mail.from_name.as_deref(), Some("Jörg Müller"));
    assert_eq!(mail.subject.as_deref(), Some("Über alles"));
    assert_eq!(mail.to, ["jane@example.com", "a@example.com", "b@example.com"]);
    let others = ["ai+bob@example.com", "c@example.com", "d@example.com", "e@example.com"];
    assert_eq!(mail.recipients[3..], others);
    assert_eq!(mail.sent_at.map(|at| at.to_rfc3339()).as_deref(), Some("2026-11-03T09:00:00+00:00"));
    assert_eq!(mail.message_id.as_deref(), Some("1@example.com"));
}

#[test]
fn a_header_cannot_bring_another_one_in() {
    let mail = of_headers(&[("Subject".into(), "x\r\nTo: ai+bob@example.com\r\n\r\nbody".into())]);
    assert!(mail.recipients.is_empty(), "{mail:?}");
}

#[test]
fn nested_parts_give_text_attachments_and_a_kind() {
    let raw = "Subject: s\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n\
        --b\r\nContent-Type: text/html\r\n\r\n<p>Gruss</p>\r\n--b--\r\n\
        --a\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename*=UTF-8''%C3%BC.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n--a--\r\n";
    let mail = of_message(raw.as_bytes());
    assert_eq!(mail.text.as_deref().map(str::trim), Some("Grüße"));
    assert_eq!(mail.attachments, [Attachment { name: Some("ü.pdf".into()), mime_type: "application/pdf".into(), size: 4 }]);
    assert_eq!((mail.kind, mail.note), (Kind::Email, None));
    let html = of_message(b"Content-Type: text/html\r\n\r\n<a href=\"https://docs.google.com/document/d/1\">Plan</a>");
    assert_eq!((html.text.as_deref().map(str::trim), html.kind), (Some("Plan"), Kind::DriveShare));
    let invitation = of_message(b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n");
    assert_eq!(invitation.kind, Kind::Invitation);
}

#[test]
fn blank_plain_text_yields_to_html_and_sibling_texts_are_joined() {
    let alternative = |plain: &str, kind: &str| {
        let raw = format!(
            "Content-Type: multipart/{kind}; boundary=a\n\n--a\nContent-Type: text/plain\n\n{plain}\n--a\nContent-Type: text/html\n\n<p>page</p>\n--a--"
        );
        of_message(raw.as_bytes())
    };
    for (plain, kind, text) in [
        ("plain", "alternative", "plain"),
        (" \u{a0}\u{200b}\r\n", "alternative", "page"),
        ("plain", "mixed", "plain\npage"),
        (" ", "mixed", "page"),
        ("plain", "related", "plain"),
    ] {
        let mail = alternative(plain, kind);
        assert_eq!(mail.text.as_deref(), Some(text), "{plain:?} in {kind}");
        assert_eq!(mail.attachments.len(), usize::from(kind == "related"), "{kind}");
    }
    let related = "Content-Type: multipart/related; boundary=a\n\n--a\nContent-Type: image/png\n\nx\n--a\nContent-Type: text/html\n\n<p>page</p>\n--a--";
    assert_eq!(of_message(related.as_bytes()).text.as_deref(), Some("page"));
}

#[test]
fn text_and_attachments_of_broken_mail_are_bounded_and_noted() {
    let long = of_message(format!("A: b\n\n{}", "ü".repeat(1 << 20)).as_bytes());
    assert_eq!(long.text.map(|text| text.len()), Some(1 << 20));
    assert_eq!(long.note.as_deref(), Some("the text was cut at 1 MiB"));
    let many = format!("Content-Type: multipart/mixed; boundary=a\n\n{}", "--a\nContent-Type: x/y\n\n".repeat(5_000));
    let many = of_message(many.as_bytes());
    assert!(many.attachments.len() < 1_000 && many.note.is_some_and(|note| note.contains("not all parts were read")));
    let long = "n".repeat(9_000);
    let named = of_message(format!("Content-Type: x/y; name={long}\n\nz").as_bytes());
    assert_eq!(named.attachments.first().and_then(|one| one.name.as_ref()).map(String::len), Some(1_000));
    // Enclosed messages are not opened, however deep they are.
    let nested = of_message("Content-Type: message/rfc822\n\n".repeat(50_000).as_bytes());
    assert_eq!((nested.attachments.len(), nested.text), (1, None));
}

#[test]
fn headers_of_parts_and_addresses_are_bounded_and_noted() {
    let raw = format!(
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nX: y\n{} folded\nContent-Type: text/html\n\nz",
        "a:\n".repeat(5_000)
    );
    let many = of_message(raw.as_bytes());
    // Its Content-Type is beyond the headers that are kept.
    assert_eq!((many.text.as_deref(), many.attachments.len()), (Some("z"), 0));
    assert!(many.note.is_some_and(|note| note.contains("beyond the first 1000")));
    let list: Vec<String> = (0..5_000).map(|nth| format!("a{nth}@x.org")).collect();
    let mail = of_headers(&[("To".into(), list.join(",")), ("Cc".into(), list[..2_000].join(","))]);
    assert_eq!((mail.to.len(), mail.cc.len(), &mail.to[1_999]), (2_000, 2_000, &list[1_999]));
    assert!(mail.note.is_some_and(|note| note.contains("2000")));
    assert_eq!(of_headers(&[("Cc".into(), list[..2_000].join(","))]).note, None);
}

proptest! {
    #[test]
    fn any_input_parses_without_panic_or_nul(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mail = of_message(&raw);
        prop_assert!(!mail.text.unwrap_or_default().contains('\0'));
        prop_assert!(!mail.subject.unwrap_or_default().contains('\0'));
    }

    #[test]
    fn broken_mime_is_read_up_to_the_damage(body in "(--a|\r\n|Content-Type: |multipart/mixed; boundary=a|base64|=|;|x){0,40}") {
        let mail = of_message(format!("Subject: kept\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n{body}").as_bytes());
        prop_assert_eq!(mail.subject.as_deref(), Some("kept"));
    }
}

/// A message of these parts.
fn mixed(parts: &[&str]) -> String {
    format!("Content-Type: multipart/mixed; boundary=a\n\n--a\n{}\n--a--", parts.join("\n--a\n"))
}

#[test]
fn contents_of_attachments_are_kept_as_the_settings_say() {
    let raw = mixed(&[
        "Content-Type: text/html\n\n<p>page</p>",
        "Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nAAECAw==",
        "Content-Type: image/png; name=\"../logo.png\"\nContent-ID: <logo@x>\nContent-Transfer-Encoding: base64\n\nAAECAwQFBgc=",
        "Content-Type: image/png\nContent-Disposition: inline; filename=cut.png\nContent-Transfer-Encoding: base64\n\nAAECAw!",
        "Content-Type: text/plain; name=note.txt\nContent-Disposition: attachment\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe",
        "Content-Type: x/y\nContent-Transfer-Encoding: x-uuencode\n\nbegin",
        "Content-Type: x/y; name=empty\nContent-Transfer-Encoding: base64\n\n",
    ]);
    let read = |words: &[&str]| {
        let attachments = serde_json::from_value(serde_json::json!(words)).expect("words");
        content(raw.as_bytes(), Kept { attachments: &attachments, max_size: 7, html: words.is_empty() })
    };
    let contents = |words: &[&str]| read(words).files.into_iter().map(|file| file.content).collect::<Vec<_>>();
    let (bytes, without) = (|bytes: &[u8]| FileContent::Bytes(bytes.to_vec()), FileContent::NotStored);
    let all = contents(&["all"]);
    assert_eq!(
        all,
        [
            bytes(&[0, 1, 2, 3]),
            without(NotStored::TooLarge),
            without(NotStored::Unreadable),
            bytes("Grüße".as_bytes()),
            without(NotStored::Unreadable),
            bytes(&[]),
        ]
    );
    assert_eq!(contents(&["none"]), []);
    let images = contents(&["image/*"]);
    let excluded = without(NotStored::Excluded);
    assert_eq!(images[0], excluded);
    assert_eq!(images[1..3], all[1..3]);
    assert_eq!(images[3..], [excluded.clone(), excluded.clone(), excluded]);
    let Content { files, attachments, .. } = read(&["all"]);
    assert_eq!((files.len(), attachments.len()), (6, 6));
    let shown: Vec<_> = files.iter().map(|file| (file.content_id.as_deref(), file.inline)).collect();
    assert_eq!(shown, [(None, false), (Some("logo@x"), true), (None, true), (None, false), (None, false), (None, false)]);
    assert_eq!((read(&["all"]).html, read(&[]).html.as_deref()), (None, Some("<p>page</p>")));
}

#[test]
fn html_of_all_parts_is_kept_and_bounded() {
    let kept = |raw: &str| {
        let none = crate::config::Attachments::none();
        content(raw.as_bytes(), Kept { attachments: &none, max_size: 0, html: true })
    };
    let two = mixed(&[
        "Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n<b>=FC</b>",
        "Content-Type: text/html\n\nend",
    ]);
    assert_eq!(kept(&two).html.as_deref(), Some("<b>ü</b>\nend"));
    assert_eq!(kept("Content-Type: text/plain\n\nx").html, None);
    let alternative =
        "Content-Type: multipart/alternative; boundary=a\n\n--a\n\nplain\n--a\nContent-Type: text/html\n\n<p>page</p>\n--a--";
    let both = kept(alternative);
    assert_eq!((both.text.as_deref(), both.html.as_deref()), (Some("plain"), Some("<p>page</p>")));
    let long = kept(&format!("Content-Type: text/html\n\n{}", "<p>é</p>".repeat(200_000)));
    assert!(long.html.is_some_and(|html| html.len() <= 1 << 20 && html.len() > (1 << 20) - 4));
    assert!(long.note.is_some_and(|note| note.contains("the HTML was cut at 1 MiB")));
}
