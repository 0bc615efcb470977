//! Real-world mail: each of tests/cases, and similar ones, is stored as its author meant it, whether or not Gmail decodes headers.

use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::GMAIL;

/// Stored values of a message: column of `gmail_messages` (lists as JSON) and value.
type Expected = &'static [(&'static str, Option<&'static str>)];

const CASES: [(&str, Expected); 13] = [
    (
        "base64-footer",
        &[
            ("body", Some("Hello all, this is a message with umlauts: äöü.")),
            ("note", Some("text after a part's base64 was left out")),
        ],
    ),
    ("blank-plain", &[("body", Some("Your statement 9999 is ready")), ("note", None), ("attachments", Some("[]"))]),
    (
        "content-type-text",
        &[
            ("body", Some("Hello body")),
            ("attachments", Some("[]")),
            ("note", Some("a Content-Type is not valid, read as text/plain")),
        ],
    ),
    ("date-day-45", &[("sent_at", None), ("body", Some("x"))]),
    ("from-unquoted-comma", &[("from_address", Some("j@x.org")), ("from_name", Some("Doe, Jürgen"))]),
    ("html-blocks", &[("body", Some("Invoice 4711\nTotal 100 EUR\n\none\ntwo\n\na\nb")), ("note", None)]),
    ("iso-2022-kr", &[("body", Some("안녕하세요")), ("note", None), ("sent_at", Some("2026-11-20 10:00:00+00"))]),
    ("no-charset-latin1", &[("body", Some("Grüße")), ("note", Some("no charset named, read as windows-1252"))]),
    ("quoted-local-part", &[("to_addresses", Some("{\"\\\"john..doe\\\"@x.org\"}"))]),
    ("subject-split-utf8", &[("subject", Some("Prašome atnešti šiltų kojinių ir pūkuotą šaliką!"))]),
    ("unclosed-multipart-qp", &[("body", Some("Grüße")), ("note", Some("a multipart is not closed"))]),
    ("us-ascii-is-utf8", &[("body", Some("Dzień dobry")), ("note", None)]),
    (
        "wrong-boundary",
        &[
            ("body", Some("Hello body")),
            ("attachments", Some("[]")),
            ("note", Some("a multipart uses a different boundary than it declares")),
        ],
    ),
];

/// One mailbox whose user is `b` and whose messages are fetched in full.
fn world(decoded: bool) -> (World, String) {
    let mut world = World::of(&GMAIL, 1, 0);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    world.set("SYNCCTL_GMAIL_VIRTUAL_ADDRESS", "{username}@y.org");
    let user = world.first_user();
    world.set_username(&user, "b");
    world.sim.admin("mail/headers", json!({ "decoded": decoded }));
    (world, user)
}

fn arrives(world: &World, user: &str, raw: &[u8]) -> String {
    let made = world.sim.admin("mail/messages", json!({ "user": user, "raw_base64": BASE64.encode(raw) }));
    made["id"].as_str().expect("an id").to_owned()
}

fn case(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/cases/mail-{name}.eml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A column of a stored message, as text.
fn stored(world: &World, id: &str, column: &str) -> Option<String> {
    let rows = world.query(&format!("SELECT {column}::text FROM gmail_messages WHERE message_id = '{id}'"));
    assert_eq!(rows.len(), 1, "{id} is stored once");
    rows[0].get(0)
}

#[test]
fn every_case_is_read_as_its_author_meant_it() {
    for decoded in [false, true] {
        let (world, user) = world(decoded);
        let ids = CASES.map(|(name, _)| arrives(&world, &user, &case(name)));
        world.sync_all().expect(0);
        for ((name, expected), id) in CASES.iter().zip(&ids) {
            for (column, value) in *expected {
                assert_eq!(stored(&world, id, column).as_deref(), *value, "{column} of {name}, headers decoded: {decoded}");
            }
        }
        let hits = |words: &str| -> Vec<Value> {
            let hits = world.syncctl(&["documents", "search", words, "--json"]).expect(0).json();
            hits.as_array().expect("a list").clone()
        };
        for words in ["4711", "Invoice", "Total", "9999", "Grüße", "안녕하세요"] {
            assert!(!hits(words).is_empty(), "{words}, headers decoded: {decoded}");
        }
        assert_eq!(world.quarantined(), 0);
        // The document has the note of the message as well.
        let notes = "documents d JOIN gmail_messages m ON d.source_id = m.user_id || '/' || m.message_id
            WHERE d.note IS DISTINCT FROM m.note";
        assert_eq!((world.documents(), world.rows(notes)), (12, 0));
    }
}

#[test]
fn headers_come_out_the_same_whether_gmail_decodes_them_or_not() {
    let raw = "From: =?utf-8?Q?Doe=2C_J=C3=BC?= =?utf-8?Q?rgen?= <j@x.org>\r\nFrom: other@x.org\r\n\
        To: =?iso-2022-kr?B?GyQpQw4+SDNnDw==?= <a@x.org>, \"b\"@y.org; =?iso-8859-1?Q?J=F6rg?= <c@x.org>\r\n\
        Subject: =?utf-8?B?xQ==?= =?utf-8?B?oWFsaWs=?=\r\nSubject: second\r\nDate: 20-Nov-2026 10:00:00 GMT+0200\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\n\r\nx";
    for decoded in [false, true] {
        let (world, user) = world(decoded);
        let id = arrives(&world, &user, raw.as_bytes());
        world.sync_all().expect(0);
        for (column, value) in [
            ("from_name", "Doe, Jürgen"),
            ("from_address", "j@x.org"),
            ("to_addresses", "{a@x.org,\"\\\"b\\\"@y.org\",c@x.org}"),
            ("subject", "šalik"),
            ("sent_at", "2026-11-20 08:00:00+00"),
        ] {
            assert_eq!(stored(&world, &id, column).as_deref(), Some(value), "{column}, headers decoded: {decoded}");
        }
        // A quoted local part is the same address.
        assert_eq!(world.rows("gmail_detections WHERE status = 'found' AND username = 'b'"), 1);
    }
}

#[test]
fn headers_in_eight_bits_are_read_once_the_message_is() {
    for decoded in [false, true] {
        let (world, user) = world(decoded);
        let id = arrives(
            &world,
            &user,
            b"From: J\xf6rg M\xfcller <j@x.org>\r\nTo: b@y.org\r\nSubject: Sch\xf6ne Gr\xfc\xdfe\r\n\r\nx",
        );
        world.sync_all().expect(0);
        assert_eq!(stored(&world, &id, "subject").as_deref(), Some("Schöne Grüße"), "headers decoded: {decoded}");
        assert_eq!(stored(&world, &id, "from_name").as_deref(), Some("Jörg Müller"), "headers decoded: {decoded}");
    }
}

#[test]
fn a_character_that_no_table_takes_is_replaced_wherever_a_message_has_it() {
    let raw = b"From: =?utf-8?Q?a=00b?= <j@x.org>\r\nTo: b@y.org\r\nSubject: x\0y\r\nX-Odd: \0\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n\
        --a\r\n\r\nte\0xt\r\n--a\r\nContent-Type: application/pdf\r\n\
        Content-Disposition: attachment; filename*=utf-8''a%00b.pdf\r\n\r\nx\r\n--a--";
    for decoded in [false, true] {
        let (world, user) = world(decoded);
        let id = arrives(&world, &user, raw);
        world.sync_all().expect(0);
        assert_eq!(world.quarantined(), 0, "headers decoded: {decoded}");
        assert_eq!(stored(&world, &id, "body").as_deref(), Some("te\u{fffd}xt"));
        assert_eq!(stored(&world, &id, "attachments -> 0 ->> 'name'").as_deref(), Some("a\u{fffd}b.pdf"));
        assert_eq!(world.rows("documents WHERE details::text LIKE '%a\u{fffd}b.pdf%'"), 1);
    }
}
