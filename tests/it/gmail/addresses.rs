//! Virtual addresses in mail: whom they name, and the resulting documents.

use super::{arrives, empty_mailboxes, odd_users, users};

#[test]
fn a_virtual_address_names_one_user_exactly_and_never_another() {
    let world = empty_mailboxes(6);
    let users = odd_users(&world);
    for (name, owner) in [
        ("al", 0),
        ("Alice", 1),
        ("a%", 2),
        ("a_", 3),
        ("o'brien", 4),
        ("\"x\\\"y\"", 5),
        ("ali", 9),
        ("lic", 9),
        ("%", 9),
        ("al_ce", 9),
    ] {
        let quoted =
            if name.starts_with('"') { "X <\"ai+x\\\"y\"@example.com>".to_owned() } else { format!("ai+{name}@example.com") };
        arrives(
            &world,
            &users[0],
            &format!("From: eve@example.org\r\nTo: {quoted}\r\nSubject: for {owner}\r\n\r\nhello {owner}"),
        );
    }
    world.sync_all().expect(0);
    let crossed = "SELECT d.title FROM documents d JOIN users u ON u.id = d.user_id
        WHERE d.title <> 'for ' || (SELECT count(*) FROM users v WHERE v.email < u.email)";
    assert_eq!(world.texts(crossed), Vec::<String>::new());
    let not_found = world.texts("SELECT address FROM gmail_detections WHERE status = 'user_not_found' ORDER BY 1");
    assert_eq!(not_found, ["ai+%@example.com", "ai+al_ce@example.com", "ai+ali@example.com", "ai+lic@example.com"]);
    assert_eq!(world.documents(), 6);
    world.assert_in_step();
}

#[test]
fn a_name_that_fits_two_users_matches_neither() {
    let world = empty_mailboxes(2);
    let users = users(&world);
    // One by its username, the other by the local part of its address.
    let local = users[1].split('@').next().expect("a local part");
    world.execute("UPDATE users SET username = NULL");
    world.execute(&format!("UPDATE users SET username = '{local}' WHERE email = '{}'", users[0]));
    arrives(&world, &users[0], &format!("To: ai+{local}@example.com\r\nSubject: s\r\n\r\nx"));
    world.sync_all().expect(0);
    assert_eq!(world.texts("SELECT status FROM gmail_detections"), ["user_not_found"]);
    assert_eq!(world.documents(), 0);
}

#[test]
fn the_same_address_in_several_headers_is_found_once_and_a_foreign_one_never() {
    let world = empty_mailboxes(1);
    let users = odd_users(&world);
    arrives(
        &world,
        &users[0],
        "To: AI+al@example.com\r\nCc: \"Al\" <ai+AL@Example.com>\r\nDelivered-To: ai+al@example.com\r\nSubject: s\r\n\r\nx",
    );
    arrives(
        &world,
        &users[0],
        "To: ai+al@example.com.evil.org, xai+al@example.com\r\nSubject: ai+al@example.com\r\n\r\nai+al@example.com",
    );
    world.sync_all().expect(0);
    assert_eq!(world.texts("SELECT address FROM gmail_detections"), ["ai+al@example.com"]);
    assert_eq!(world.outbox_events(), 1);
}

#[test]
fn an_unknown_name_becomes_a_document_once_its_user_is_there_and_the_mailbox_is_read_again() {
    let world = empty_mailboxes(1);
    let user = users(&world).remove(0);
    arrives(&world, &user, "To: ai+zoe@example.com\r\nSubject: s\r\n\r\nx");
    world.sync_all().expect(0);
    assert_eq!(world.documents(), 0);
    world.set_username(&user, "zoe");
    for _ in 0..2 {
        world.expire();
        world.sync_all().expect(0);
    }
    assert_eq!(world.rows("gmail_detections WHERE status = 'found' AND document_id IS NOT NULL"), 1);
    assert_eq!(world.outbox_events(), 1);
}

#[test]
fn a_detection_makes_a_document_of_text_attachments_and_kind() {
    let world = empty_mailboxes(1);
    let users = odd_users(&world);
    let raw = "From: =?ISO-8859-1?Q?J=F6rg?= <joerg@example.org>\r\nTo: ai+al@example.com\r\nSubject: =?UTF-8?B?w5xiZXI=?=\r\nMessage-ID: <1@x>\r\n\
        Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Gr\u{fc}\u{df}e</p>\r\n\
        --a\r\nContent-Type: text/calendar\r\nContent-Disposition: attachment; filename=\"invite.ics\"\r\n\r\nBEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n--a--\r\n";
    arrives(&world, &users[0], raw);
    world.sync_all().expect(0);
    let row = &world
        .query("SELECT title, author, kind, trim(body), details -> 'attachments' -> 0 ->> 'name', note, version FROM documents")
        [0];
    let text = |column: usize| row.get::<_, Option<String>>(column).unwrap_or_default();
    assert_eq!((text(0), text(1), text(2)), ("Über".into(), "joerg@example.org".into(), "invitation".into()));
    assert!(text(3).starts_with("Grüße"), "{}", text(3));
    assert_eq!((text(4), text(5), row.get::<_, i32>(6)), ("invite.ics".into(), String::new(), 1));
}
