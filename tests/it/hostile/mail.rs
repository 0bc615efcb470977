//! Malicious mail and an event: ten megabytes of one kind each. They are stored with a note in bounded memory, and other messages are
//! unaffected. (The parser's handling of such mail is tested with the parser.)

use std::fs;

use data_encoding::{BASE64, BASE64_MIME};
use serde_json::json;

use crate::support::World;
use crate::support::service::GMAIL;

const SIZE: usize = 10 << 20;
/// Maximum memory of a run, in KiB: several times the largest answer, thirty megabytes of JSON.
const MAX_KIB: u64 = 256 << 10;
/// The same with the contents of attachments: those held, in JSON and decoded, and messages that are being read.
const MAX_KIB_WITH_CONTENTS: u64 = 384 << 10;
/// Number of large messages, of nine megabytes of contents each: together more than a run holds.
const LARGE: u64 = 5;
const TO: &str = "To: ai+b@example.com\r\n";
const HEADERS_CUT: &str = "headers beyond 1 MiB, or the first 1000, were left out";
const TEXT_CUT: &str = "the text was cut at 1 MiB";

/// Ten megabytes of a repeated piece.
fn full(piece: &str) -> String {
    piece.repeat(SIZE / piece.len() + 1)
}

/// Delivers each message together with another one, and checks its note by its name.
#[track_caller]
fn is_stored_with_a_note_and_delays_no_other(shapes: &[(&str, String, &str)]) {
    let mut world = World::of(&GMAIL, 1, 5);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    // Thirty megabytes of JSON take their time on a busy machine.
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "300s");
    let user = world.first_user();
    world.sync_all().expect(0);
    let folder = tempfile::tempdir().expect("a folder");
    for (name, raw, note) in shapes {
        let file = folder.path().join(format!("{name}.eml"));
        fs::write(&file, raw).expect("a file");
        world.sim.admin("mail/load", json!({ "user": user, "path": file }));
        world.sim.admin("mail/messages", json!({ "user": user, "raw": format!("Subject: beside {name}\r\n\r\nx") }));
        let run = world.sync_all().expect(0).json();
        assert_eq!((&run["failed_streams"], &run["quarantined"]), (&json!(0), &json!(0)), "{name}: {run}");
        assert!(run["peak_rss_kib"].as_u64().is_some_and(|kib| kib < MAX_KIB), "{name}: {run}");
        let stored = world.query(
            "SELECT coalesce(note, ''), to_addresses FROM gmail_messages WHERE size_estimate > 10000000 ORDER BY synced_at DESC LIMIT 1",
        );
        assert!(stored[0].get::<_, &str>(0).contains(note), "{name}: {}", stored[0].get::<_, &str>(0));
        assert_eq!(stored[0].get::<_, Vec<String>>(1), ["ai+b@example.com"], "{name}");
        let other = format!("gmail_messages WHERE subject = 'beside {name}' AND body = 'x'");
        assert_eq!(world.rows(&other), 1, "{name}");
    }
    assert_eq!(world.rows("gmail_messages"), 5 + 2 * shapes.len() as i64);
    assert_eq!(world.sync_all().expect(0).json()["idle_streams"], 1);
}

#[test]
fn ten_megabytes_of_headers_are_truncated_and_delay_no_other_mail() {
    let with = |headers: String| format!("{TO}{headers}\r\n\r\nx");
    is_stored_with_a_note_and_delays_no_other(&[
        ("headers", with(full("X-Odd: y\r\n")), HEADERS_CUT),
        ("addresses", with(format!("To: {}", full("a@x.org, "))), HEADERS_CUT),
        ("words", with(format!("Subject: {}", full("=?utf-8?Q?=C3=BC?= "))), HEADERS_CUT),
        ("folds", with(format!("Subject: {}x", full("\r\n "))), ""),
    ]);
}

#[test]
fn ten_megabytes_of_headers_of_a_part_are_truncated_and_delay_no_other_mail() {
    let head = format!("{TO}Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n");
    is_stored_with_a_note_and_delays_no_other(&[(
        "part headers",
        format!("{head}{}\r\nx", full("a:\n")),
        "beyond the first 1000",
    )]);
}

#[test]
fn deeply_nested_messages_delay_no_other_mail() {
    let enclosed = format!("{TO}Content-Type: multipart/digest; boundary=a\r\n\r\n--a\r\n\r\n");
    is_stored_with_a_note_and_delays_no_other(&[
        ("messages", format!("{TO}{}", full("Content-Type: message/rfc822\r\n\r\n")), ""),
        (
            "digests",
            format!("{enclosed}{}", full("Content-Type: multipart/digest; boundary=a\r\n\r\n--a\r\n\r\n")),
            "not all parts",
        ),
    ]);
}

#[test]
fn a_message_to_fifty_thousand_virtual_addresses_becomes_a_hundred_detections() {
    let world = World::of(&GMAIL, 1, 0);
    let user = world.first_user();
    let to: Vec<String> = (0..50_000).map(|nth| format!("ai+{nth}@example.com")).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("many.eml");
    fs::write(&file, format!("To: {}\r\nSubject: many\r\n\r\nx", to.join(","))).expect("a file");
    world.sim.admin("mail/load", json!({ "user": user, "path": file }));
    world.sync_all().expect(0);
    let stored = world.query("SELECT note, array_length(to_addresses, 1), body FROM gmail_messages");
    let note: &str = stored[0].get(0);
    assert!(note.contains("addresses beyond the first 2000") && note.contains("beyond the first 100 were left out"), "{note}");
    assert_eq!((stored[0].get::<_, i32>(1), stored[0].get::<_, &str>(2)), (2_000, "x"));
    assert_eq!(world.rows("gmail_detections"), 100);
    // A comparison reports nothing about the parts left out.
    world.syncctl(&["verify", "gmail"]).expect(0);
}

#[test]
fn json_that_is_nested_too_deep_for_the_database_goes_to_quarantine() {
    let world = World::with_users(1, 5);
    let user = world.first_user();
    let depth = 100_000;
    let raw = format!(
        r#"{{"id":"deep","status":"confirmed","etag":"\"1\"","start":{{"date":"2026-11-26"}},"end":{{"date":"2026-11-27"}},"x":{}{}}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    );
    world.sim.admin("events", json!({ "user": user, "calendar": "primary", "raw": raw }));
    let report = world.sync_all().expect(0).json();
    assert_eq!((&report["quarantined"], &report["failed_streams"]), (&json!(1), &json!(0)), "{report}");
    assert_eq!(world.rows("quarantined_items WHERE item_id = 'deep'"), 1);
    assert_eq!(world.events(), 5);
    world.syncctl(&["items", "retry"]).expect(1);
}

#[test]
fn ten_megabytes_of_parts_are_read_in_part_and_delay_no_other_mail() {
    let mixed = |parts: String| format!("{TO}Content-Type: multipart/mixed; boundary=a\r\n\r\n{parts}");
    is_stored_with_a_note_and_delays_no_other(&[
        ("parts", mixed(full("--a\r\n\r\n")), "not all parts were read"),
        ("boundaries", mixed(full("--z\r\n")), TEXT_CUT),
    ]);
}

/// A message with this many attachments of noise, in lines of base64.
fn attached(subject: &str, count: usize, size: usize, seed: u64) -> String {
    use rand::{RngCore as _, SeedableRng as _};
    let mut noise = rand::rngs::StdRng::seed_from_u64(seed);
    let mut raw = format!("{TO}Subject: {subject}\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n");
    for number in 0..count {
        let mut bytes = vec![0; size];
        noise.fill_bytes(&mut bytes);
        let name = format!("{}{number}", "../".repeat(number % 300));
        raw.push_str(&format!(
            "--a\r\nContent-Type: x/y; name=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
            BASE64_MIME.encode(&bytes)
        ));
    }
    raw + "--a--"
}

#[test]
fn thousands_of_attachments_and_more_than_memory_holds_are_stored_in_bounds() {
    let mut world = World::of(&GMAIL, 1, 0);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    world.set("SYNCCTL_GMAIL_ATTACHMENTS", "all");
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "300s");
    let user = world.first_user();
    let folder = tempfile::tempdir().expect("a folder");
    let deliver = |name: &str, raw: String| {
        let file = folder.path().join(format!("{name}.eml"));
        fs::write(&file, raw).expect("a file");
        world.sim.admin("mail/load", json!({ "user": user, "path": file }));
    };
    for nth in 0..LARGE {
        deliver(&format!("large{nth}"), attached("large", 2, SIZE * 9 / 20, nth));
    }
    deliver("many", attached("many", 5_000, 100, 99));
    let run = world.sync_all().expect(0).json();
    assert_eq!((&run["failed_streams"], &run["quarantined"]), (&json!(0), &json!(0)), "{run}");
    println!("peak of {} KiB", run["peak_rss_kib"]);
    assert!(run["peak_rss_kib"].as_u64().is_some_and(|kib| kib < MAX_KIB_WITH_CONTENTS), "{run}");
    let stored = "SELECT m.subject || ' ' || count(*) || ' ' || count(c.content) FROM gmail_messages m JOIN gmail_attachments a USING (stream_id, message_id)
        LEFT JOIN gmail_contents c ON c.user_id = a.user_id AND c.sha256 = a.sha256 AND sha256(c.content) = a.sha256 GROUP BY m.subject ORDER BY 1";
    // A message is read up to its thousandth part: the multipart, the text, and 998 attachments.
    assert_eq!(world.texts(stored), [format!("large {0} {0}", 2 * LARGE), "many 998 998".to_owned()]);
    // Each of the messages whose contents had to wait was requested once more.
    let calls = world.sim.ledger()["by_method"]["messages.get"].as_u64().expect("a count");
    assert!((2 * (LARGE + 1)..=3 * (LARGE + 1)).contains(&calls), "{calls}");
    assert_eq!(world.sync_all().expect(0).json()["idle_streams"], 1);
}

#[test]
fn ten_megabytes_of_text_are_truncated_and_delay_no_other_mail() {
    let plain = |text: String| format!("{TO}\r\n{text}");
    let html = |text: String| format!("{TO}Content-Type: text/html\r\n\r\n{text}");
    let encoded = |how: &str, text: String| format!("{TO}Content-Transfer-Encoding: {how}\r\n\r\n{text}");
    is_stored_with_a_note_and_delays_no_other(&[
        ("line", plain(full("x")), TEXT_CUT),
        ("links", plain(full("https://docs.google.com/")), TEXT_CUT),
        ("tags", html(full("<div>")), ""),
        ("beginnings", html(full("<")), TEXT_CUT),
        ("entities", html(full("&amp")), TEXT_CUT),
        ("base64", encoded("base64", BASE64.encode(&vec![b'<'; SIZE * 3 / 4])), TEXT_CUT),
        ("quoted", encoded("quoted-printable", full("=\r\n=0")), TEXT_CUT),
    ]);
}
