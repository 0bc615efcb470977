//! Users of different tenants: data of one of them, or data that one of them lost, never reaches another.

use serde_json::{Value, json};

use crate::bots::ground::{ahead, event};
use crate::support::World;

const BOB: &str = "bob@tenant-a.example";
const CAROL: &str = "carol@tenant-b.example";

/// Bob of one tenant and Carol of another.
fn tenants() -> World {
    let world = World::empty();
    for user in [BOB, CAROL] {
        world.sim.admin("users", json!({ "email": user }));
    }
    world.import();
    world
}

fn arrives(world: &World, to: &str) {
    world.sim.admin(
        "mail/messages",
        json!({ "user": CAROL, "raw": format!("To: {to}\r\nSubject: for {to}\r\n\r\nx"), "labels": ["INBOX"] }),
    );
}

#[test]
fn mail_to_a_name_at_another_tenants_domain_is_not_for_the_user_of_that_name() {
    for domains in ["", "tenant-a.example,tenant-b.example"] {
        let mut world = tenants();
        world.set("SYNCCTL_GMAIL_DOMAINS", domains);
        for to in ["ai+bob@tenant-b.example", "ai+carol@tenant-a.example", "ai+Bob@Tenant-A.example"] {
            arrives(&world, to);
        }
        world.syncctl(&["gmail", "cron", "--force"]).expect(0);
        let documents = world.query("SELECT u.email, d.title FROM documents d JOIN users u ON u.id = d.user_id");
        let documents: Vec<(&str, &str)> = documents.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(documents, [(BOB, "for ai+Bob@Tenant-A.example")], "{domains}");
        let lost = world.query("SELECT address FROM gmail_detections WHERE status = 'user_not_found' ORDER BY 1");
        let lost: Vec<&str> = lost.iter().map(|row| row.get(0)).collect();
        assert_eq!(lost, ["ai+bob@tenant-b.example", "ai+carol@tenant-a.example"], "{domains}");
        world.syncctl(&["verify", "gmail", "--all"]).expect(0);
    }
}

#[test]
fn two_users_of_one_name_each_get_what_is_addressed_to_their_own_domain() {
    let world = World::empty();
    for user in [BOB, CAROL, "bob@tenant-b.example"] {
        world.sim.admin("users", json!({ "email": user }));
    }
    let without_username = |line: &str| {
        let mut account: Value = serde_json::from_str(line).expect("an account line");
        account.as_object_mut().expect("an object").remove("username");
        format!("{account}\n")
    };
    let accounts: String = world.sim.text("accounts").lines().map(without_username).collect();
    world.syncctl_with_input(&["accounts", "import", "-"], &accounts).expect(0);
    for to in ["ai+bob@tenant-a.example", "ai+bob@tenant-b.example"] {
        arrives(&world, to);
    }
    world.syncctl(&["gmail", "cron", "--force"]).expect(0);
    let crossed = "documents d JOIN users u ON u.id = d.user_id WHERE d.title <> 'for ai+' || u.email";
    assert_eq!((world.documents(), world.rows(crossed)), (2, 0));
}

#[test]
fn a_virtual_address_at_another_tenants_domain_orders_no_bot() {
    let world = tenants();
    world.sim.admin("attendee/projects", json!({ "name": "main", "key": "key-of-main" }));
    world.syncctl_with_input(&["attendee", "project", "add", "main"], "key-of-main\n").expect(0);
    for (nth, (address, made)) in (0..).zip([("ai+bob@tenant-b.example", 0), ("ai+bob@tenant-a.example", 1)]) {
        let more = json!({ "attendees": [{ "email": CAROL }, { "email": address }] });
        let event = event(&format!("e{nth}"), ahead(20 + nth), more);
        world.sim.admin("events", json!({ "user": CAROL, "calendar": "primary", "event": event }));
        world.syncctl(&["calendar", "cron", "--force"]).expect(0);
        world.syncctl(&["attendee", "schedule"]).expect(0);
        assert_eq!(world.rows("attendee_bots"), made, "{address}");
    }
}

#[test]
fn the_event_of_a_lost_file_has_its_last_visible_version_and_no_newer_one() {
    let world = World::with_files(2, 0);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let file = world.add_file(&users[0], "plan.txt", "One");
    world.sim.admin("drive/share", json!({ "id": file, "user": users[1] }));
    users.iter().for_each(|user| world.watch(user, &file));
    world.sync_drive().expect(0);
    let seen: Value = world.query("SELECT to_jsonb(max(version)) FROM drive_file_access")[0].get(0);
    world.sim.admin("drive/unshare", json!({ "id": file, "user": users[1] }));
    world.drive_admin("PUT", "files", &json!({ "id": file, "name": "takeover of acme.txt", "content": "Secret" }));
    // The owner's feed reports it first.
    world.syncctl(&["sync", "user", &users[0]]).expect(0);
    world.sync_drive().expect(0);
    assert_eq!(world.actions(&users[1]), ["created", "removed"]);
    let event = world.payloads_of("drive.file.removed").remove(0);
    assert_eq!(event["file"]["name"], "plan.txt", "{event}");
    assert_eq!(event["file"]["version"], seen, "{event}");
    assert!(!event.to_string().contains("acme"), "{event}");
    let listed = world.syncctl(&["drive", "watch-file", "list", "--user", &users[1], "--json"]);
    assert!(!listed.stdout.contains("acme"), "{listed:?}");
}
