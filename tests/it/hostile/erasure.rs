//! A removed user is gone: from every table, from unsent events, and from bots ordered only for that user.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::World;
use crate::support::receiver::{Receiver, Reply};

/// Occurs in every text that belongs only to the first user.
const WORD: &str = "xylophone";

/// Two users. The first has mail, a file that no other user sees and a shared one, a past meeting with its transcript and a future one, and
/// a message to the other's virtual address; events about their documents are unsent.
struct Lived {
    world: World,
    receiver: Receiver,
    ann: String,
    ben: String,
    /// `users.id`
    id: String,
}

fn lived() -> Lived {
    let mut world = World::with_attendee(2);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    world.set("SYNCCTL_GMAIL_ATTACHMENTS", "all");
    let receiver = Receiver::start();
    receiver.answer(|_| Reply::Status(500));
    let settings = world.folder.path().join("settings.toml");
    let target = format!("[[outbox.targets]]\nname = \"n8n\"\nurl = \"{}\"\n", receiver.url());
    std::fs::write(&settings, format!("[outbox]\nallow_private = true\n{target}")).expect("settings");
    world.set("SYNCCTL_CONFIG", settings.display().to_string());
    let [ann, ben]: [String; 2] = world.sim.users().into_iter().collect::<Vec<_>>().try_into().expect("two users");
    let mail = |to: &str, subject: &str| {
        world.sim.admin(
            "mail/messages",
            json!({ "user": ann, "raw": format!("From: x@example.org\r\nTo: ai+{to}\r\nSubject: {subject}\r\n\r\n{subject}") }),
        );
    };
    mail(&ann, WORD);
    mail(&ben, "for ben");
    let attached = format!("Subject: attached\r\nContent-Type: application/pdf; name={WORD}.pdf\r\n\r\n{WORD}");
    world.sim.admin("mail/messages", json!({ "user": ann, "raw": attached }));
    let (own, shared) = (world.add_file(&ann, WORD, WORD), world.add_file(&ann, "shared.txt", "of both"));
    world.sim.admin("drive/share", json!({ "id": shared, "user": ben }));
    for file in [&own, &shared] {
        world.watch(&ann, file);
    }
    world.meet(&ann, WORD, 60);
    world.syncctl(&["sync", "cron"]);
    world.schedule().expect(0);
    world.pass(180);
    for _ in 0..3 {
        world.poll_bots().expect(0);
    }
    world.meet(&ann, &format!("{WORD}s"), 600);
    world.schedule().expect(0);
    let id = world.query(&format!("SELECT id::text FROM users WHERE email = '{ann}'"))[0].get(0);
    Lived { world, receiver, ann, ben, id }
}

/// Rows, by table, that mention the first user; except for the other user's copies.
fn traces(lived: &Lived) -> Vec<String> {
    let Lived { world, ben, id, .. } = lived;
    let tables = world
        .query("SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'syncctl'::regnamespace ORDER BY 1");
    let of = |table: String| {
        let rows = world.query(&format!(
            "SELECT t::text FROM {table} t WHERE t::text ~* '{id}|{WORD}'
               AND coalesce(to_jsonb(t) ->> 'user_id', '') <> (SELECT id::text FROM users WHERE email = '{ben}')"
        ));
        rows.iter().map(|row| format!("{table}: {}", row.get::<_, String>(0))).collect::<Vec<_>>()
    };
    tables.iter().flat_map(|row| of(row.get(0))).collect()
}

#[test]
fn everything_of_a_user_goes_in_one_command_and_nothing_is_sent_afterwards() {
    let lived = lived();
    let Lived { world, receiver, ann, ben, id } = &lived;
    let of_ben = format!("documents WHERE user_id = (SELECT id FROM users WHERE email = '{ben}')");
    assert!(world.rows("outbox_deliveries WHERE state = 'pending'") >= 4 && world.rows(&of_ben) == 1, "something to remove");
    assert_eq!((world.rows("attendee_transcripts"), world.rows("attendee_bots")), (1, 2));
    world.syncctl(&["accounts", "remove", ann, "--yes"]).expect(0);
    assert_eq!(traces(&lived), Vec::<String>::new());
    let bots = world.bots();
    assert!(bots.iter().all(|bot| bot["state"] != "scheduled" || bot["deleted"] == true), "{bots:#?}");

    receiver.take();
    receiver.answer(|_| Reply::Status(200));
    world.execute("UPDATE outbox_deliveries SET due_at = now(); DELETE FROM outbox_targets");
    world.syncctl(&["deliver"]).expect(0);
    for request in receiver.requests() {
        assert_ne!(request.json()["user_id"], json!(id), "sent after the removal: {request:?}");
    }
    // The other user's data is unchanged, and syncs continue.
    assert_eq!(world.rows(&of_ben), 1);
    world.syncctl(&["sync", "cron"]).expect(0);
    world.poll_bots().expect(0);
    assert_eq!(traces(&lived), Vec::<String>::new());
    assert_eq!(world.rows("drive_files WHERE name = 'shared.txt' AND deleted_at IS NULL"), 1);
}

#[test]
fn erased_and_kept_rows_are_counted_before_and_reported_after() {
    let Lived { world, ann, .. } = &lived();
    let rows = |report: &Value, table: &str| {
        let erased = report["erased"].as_array().expect("rows").iter();
        erased.filter(|of| of["table"] == table).map(|of| of["rows"].as_i64().expect("a number")).sum::<i64>()
    };
    let dry = world.syncctl(&["accounts", "remove", ann, "--dry-run", "--json"]).expect(0).json();
    let tables = [
        "documents",
        "gmail_messages",
        "gmail_attachments",
        "gmail_contents",
        "drive_files",
        "attendee_transcripts",
        "attendee_utterances",
        "outbox_events",
        "users",
    ];
    for table in tables {
        assert!(rows(&dry, table) > 0, "{table}: {dry}");
    }
    assert_eq!((rows(&dry, "drive_files"), rows(&dry, "attendee_bots")), (1, 1), "{dry}");
    let stays = &dry["stays"];
    assert_eq!((&stays["documents"], &stays["files"], &dry["bots_to_take_back"]), (&json!(1), &json!(1), &json!(1)), "{dry}");
    assert_eq!(stays["bots_at_attendee"].as_array().map(Vec::len), Some(1), "{dry}");
    assert_eq!(world.users(), 2);

    let report = world.syncctl(&["accounts", "remove", ann, "--json", "--yes"]).expect(0).json();
    assert_eq!((&report["stays"], &report["withdrawn"]), (stays, &dry["withdrawn"]), "{report}");
    assert!(dry["withdrawn"].as_i64() >= Some(4), "{dry}");
    for table in tables {
        assert_eq!(rows(&report, table), rows(&dry, table), "{table}: {report}");
    }
}

#[test]
fn an_event_that_is_being_sent_is_waited_for() {
    let lived = lived();
    let Lived { world, receiver, ann, .. } = &lived;
    receiver.take();
    receiver.answer(|_| Reply::Hold);
    world.execute("UPDATE outbox_deliveries SET due_at = now(); DELETE FROM outbox_targets");
    let sending = world.spawn(&["deliver"]);
    receiver.wait_for(1);
    let mut removing = world.spawn(&["accounts", "remove", ann, "--yes"]);
    let mut report = BufReader::new(removing.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(report.any(|line| line.contains("events being sent")), "it does not wait");
    assert_eq!(world.users(), 2);
    receiver.answer(|_| Reply::Status(200));
    receiver.release();
    assert_eq!(removing.wait().expect("the end").code(), Some(0));
    assert!(sending.wait_with_output().expect("the end").status.success());
    assert_eq!(world.users(), 1);
    receiver.take();
    world.syncctl(&["deliver"]).expect(0);
    assert!(receiver.requests().iter().all(|request| request.json()["user_id"] != json!(lived.id)));
}

#[test]
fn on_a_terminal_it_asks_and_without_a_yes_nothing_is_gone() {
    let world = World::with_users(1, 2);
    world.sync_all().expect(0);
    let user = world.first_user();
    let answered = |more: &str, answer: &str| {
        let line = format!("exec {} accounts remove {user} {more}", env!("CARGO_BIN_EXE_syncctl"));
        let given = world.command(&[]);
        let mut terminal = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .envs(given.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script (bsdutils)");
        let written = terminal.stdin.as_mut().expect("a pipe").write_all(answer.as_bytes());
        let output = terminal.wait_with_output().expect("the end");
        drop(written);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, shown) = answered("", "n\n");
    assert!(code == Some(2) && shown.contains("calendar_events") && shown.contains("[y/N]"), "{code:?} {shown}");
    assert!(shown.contains("nothing was removed") && world.users() == 1, "{shown}");
    let (code, shown) = answered("", "y\n");
    assert_eq!((code, world.users()), (Some(0), 0), "{shown}");
    world.import();
    let refused = world.syncctl(&["accounts", "remove", &user]).expect(2);
    assert!(refused.stderr.contains("no terminal to ask") && refused.stderr.contains("add --yes"), "{refused:?}");
    assert_eq!(world.users(), 1);
    let (code, shown) = answered("--yes", "");
    assert_eq!((code, world.users()), (Some(0), 0), "{shown}");
    assert!(!shown.contains("[y/N]"), "{shown}");
}

#[test]
fn texts_of_deleted_and_unshared_items_are_erased_after_their_retention() {
    let mut world = World::with_files(2, 0);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    let [ann, ben]: [String; 2] = world.sim.users().into_iter().collect::<Vec<_>>().try_into().expect("two users");
    let file = world.add_file(&ann, "notes.txt", WORD);
    world.sim.admin("drive/share", json!({ "id": file, "user": ben }));
    world.watch(&ben, &file);
    let raw = format!("To: ai+{ann}\r\nSubject: {WORD}\r\n\r\n{WORD}");
    let message = world.sim.admin("mail/messages", json!({ "user": ann, "raw": raw }));
    world.syncctl(&["sync", "cron"]).expect(0);
    let with_text = || {
        world.count("SELECT (SELECT count(*) FROM documents WHERE body IS NOT NULL) + (SELECT count(*) FROM gmail_messages WHERE body IS NOT NULL)")
    };
    assert_eq!(with_text(), 3);
    world.sim.admin("drive/unshare", json!({ "id": file, "user": ben }));
    let request = ureq::delete(format!("{}/admin/mail/messages", world.sim.url)).header("content-type", "application/json");
    request.force_send_body().send(json!({ "user": ann, "id": message["id"] }).to_string()).expect("deleting a message");
    world.sync_drive().expect(0);
    world.syncctl(&["gmail", "cron", "--force"]).expect(0);
    assert_eq!(world.rows("documents WHERE status = 'deleted'"), 2);
    let passes = |days: i32| {
        world.execute(&format!(
            "UPDATE documents SET updated_at = updated_at - interval '{days} days'; UPDATE gmail_messages SET deleted_at = deleted_at - interval '{days} days'"
        ));
    };
    passes(29);
    world.syncctl(&["db", "prune"]).expect(0);
    assert_eq!(with_text(), 3, "too early");
    passes(2);
    world.syncctl(&["db", "prune", "--set", "retention.documents=0s"]).expect(0);
    assert_eq!(with_text(), 3, "0s keeps forever");
    let pruned = world.syncctl(&["db", "prune"]).expect(0);
    assert!(pruned.stdout.contains("documents, texts"), "{pruned:?}");
    let rest = "SELECT (SELECT count(*) FROM documents t WHERE t::text ~ 'xylophone') + (SELECT count(*) FROM gmail_messages t WHERE t::text ~ 'xylophone')";
    assert_eq!((with_text(), world.count(rest)), (0, 0));
    assert_eq!(world.rows("documents WHERE status = 'deleted'"), 2, "they are found by their IDs");
    world.syncctl(&["verify"]).expect(0);

    // A file that is shared again is read again.
    world.sim.admin("drive/share", json!({ "id": file, "user": ben }));
    world.sync_drive().expect(0);
    world.sync_drive().expect(0);
    let body = world.query("SELECT body, title FROM documents WHERE source = 'drive' AND status <> 'deleted'");
    assert_eq!((body[0].get::<_, &str>(0), body[0].get::<_, &str>(1)), (WORD, "notes.txt"));
}
