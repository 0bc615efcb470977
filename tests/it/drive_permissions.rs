//! Owners and permissions of files: stored as Google shows them to each user, filled after an upgrade, shown by commands.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::questions::Question;
use crate::support::World;
use crate::support::sim::field;

const FOLDER: &str = "application/vnd.google-apps.folder";

/// Two users; the first has a folder with a file in it, which the second may write, and which is shared in every other way.
fn shared() -> (World, String, String) {
    let world = World::with_files(2, 3);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let add = |file| world.sim.admin("drive/files", file);
    add(json!({ "user": users[0], "id": "dir", "name": "Plans", "mimeType": FOLDER }));
    add(
        json!({ "user": users[0], "id": "plan", "name": "plan.txt", "content": "One", "parents": ["dir"], "description": "About 2027" }),
    );
    add(json!({ "user": users[0], "id": "way", "name": "A way", "shortcut_to": "plan" }));
    let share = |grant| world.sim.admin("drive/share", grant);
    share(json!({ "id": "dir", "user": users[1], "role": "writer" }));
    share(json!({ "id": "plan", "anyone": true }));
    share(json!({ "id": "plan", "domain": "Partner.example", "allow_file_discovery": true }));
    share(json!({ "id": "plan", "group": "team@example.com", "role": "commenter" }));
    share(json!({ "id": "plan", "outsider": "Guest@partner.example", "expires": "2099-01-01T12:00:00Z" }));
    share(json!({ "id": "plan", "outsider": "past@partner.example", "expires": "2020-01-01T12:00:00Z" }));
    world.sim.admin("drive/star", json!({ "id": "plan", "user": users[1], "starred": true }));
    world.sync_drive().expect(0);
    (world, users[0].clone(), users[1].clone())
}

/// The block of SQL in docs/data.md that contains this text.
pub fn documented(text: &str) -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/data.md")).expect("the page");
    let blocks = page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.into_iter().find(|block| block.contains(text));
    block.unwrap_or_else(|| panic!("no SQL with {text} in docs/data.md")).to_owned()
}

/// The owners of a file, as the page of questions finds them.
fn owners(world: &World, file: &str) -> Vec<Value> {
    let answer = Question::of("Who owns this file?").with("FILE_ID", file).ask(world);
    assert_eq!(answer.scanned, [""; 0]);
    answer.rows.into_iter().map(|mut row| row["owner"].take()).collect()
}

fn lines(world: &World) -> Vec<Value> {
    world.sim.text("drive/state").lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn domain(address: &str) -> &str {
    address.rsplit('@').next().unwrap_or_default()
}

/// What the simulator shares beyond the domain of the user who sees it: user, file, permission.
fn outside(world: &World) -> BTreeSet<(String, String, String)> {
    let mut found = BTreeSet::new();
    for line in lines(world) {
        let user = field(&line, "user");
        for one in line["details"]["permissions"].as_array().into_iter().flatten().filter(|one| one["role"] != "owner") {
            let of = one["domain"].as_str().or(one["emailAddress"].as_str().map(domain)).map(str::to_lowercase);
            let is_over = one["expirationTime"].as_str().is_some_and(|time| time < "2026");
            if !is_over && of.as_deref() != Some(domain(&user)) {
                found.insert((user.clone(), field(&line, "id"), field(one, "id")));
            }
        }
    }
    found
}

#[test]
fn owners_and_permissions_are_those_that_google_shows_to_each_user() {
    let (world, ann, bob) = shared();
    world.assert_files_in_step();
    let known = |user: &str, file: &str| -> String {
        let statement = format!(
            "SELECT a.permissions_known FROM drive_file_access a JOIN users u ON u.id = a.user_id WHERE u.email = '{user}' AND file_id = '{file}'"
        );
        world.text(&statement)
    };
    assert_eq!((known(&ann, "plan"), known(&bob, "plan")), ("all".into(), "all".into()));
    let inherited = format!("drive_permissions WHERE file_id = 'plan' AND email = '{bob}' AND role = 'writer' AND inherited");
    assert_eq!(world.rows(&inherited), 2, "as both users see it");
    // A reader may not share, and Google shows no permissions.
    world.sim.admin("drive/share", json!({ "id": "dir", "user": bob, "role": "reader" }));
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert_eq!((known(&ann, "plan"), known(&bob, "plan")), ("all".into(), "none".into()));
    for change in [
        ("transfer", json!({ "id": "plan", "user": bob })),
        ("unshare", json!({ "id": "plan", "anyone": true })),
        ("unshare", json!({ "id": "dir", "user": bob })),
        ("share", json!({ "id": "plan", "anyone": true, "role": "writer", "allow_file_discovery": true })),
    ] {
        world.sim.admin(&format!("drive/{}", change.0), change.1);
        world.sync_drive().expect(0);
        world.assert_files_in_step();
    }
    assert_eq!(owners(&world, "plan"), [json!(bob)]);
    // What is shared by all users is in no row of one.
    assert_eq!(world.rows("drive_files WHERE raw ?| '{permissions,permissionIds,ownedByMe,starred,description}'"), 0);
    let report = world.syncctl(&["verify", "drive", "--all", "--json"]).expect(0).json();
    assert_eq!(report["consistent"], true, "{report}");
}

#[test]
fn permissions_are_in_step_after_sharing_moving_and_giving_away_and_what_is_shared_outside_is_found() {
    let world = World::empty();
    world.sim.generate(8, 0);
    world.sim.admin(
        "drive/generate",
        json!({ "files": 40, "shared_drives": 1, "files_per_drive": 20, "members_per_drive": 3, "seed": 5 }),
    );
    world.import();
    let kinds =
        json!({ "share": 4, "share_outside": 4, "unshare": 4, "transfer": 2, "move": 3, "star": 1, "describe": 1, "create": 1 });
    for seed in 0..6 {
        world.sim.admin("drive/churn", json!({ "changes": 60, "seed": seed, "kinds": kinds }));
        world.sync_drive().expect(0);
        world.assert_files_in_step();
    }
    let answer = Question::of("What is shared outside?").ask(&world);
    let found: BTreeSet<_> =
        answer.rows.iter().map(|row| (field(row, "user_email"), field(row, "file_id"), field(row, "permission_id"))).collect();
    let truth = outside(&world);
    assert!(truth.len() > 20, "{} are too few to compare", truth.len());
    assert_eq!(found, truth);
    let mut owned = 0;
    for line in lines(&world).iter().step_by(7) {
        // Files in shared drives have no owner.
        let owner = &line["details"]["owners"][0]["emailAddress"];
        assert_eq!(owners(&world, &field(line, "id")), std::slice::from_ref(owner));
        owned += usize::from(owner.is_string());
    }
    assert!(owned > 20, "{owned} are too few to compare");
}

#[test]
fn rows_of_an_earlier_version_are_filled_by_a_full_pass_without_an_event() {
    let (world, ann, bob) = shared();
    for (user, file) in [(&ann, "plan"), (&bob, "plan"), (&ann, "dir")] {
        world.watch(user, file);
    }
    world.sync_drive().expect(0);
    let events = world.outbox_events();
    // As after the migration.
    world.execute(
        "UPDATE drive_files SET created_at = NULL, description = NULL, owners = NULL, owner_names = NULL, shared = NULL, shortcut_target_id = NULL;
         UPDATE drive_file_access SET permissions_known = NULL, owned_by_me = NULL, starred = NULL; DELETE FROM drive_permissions;
         UPDATE streams SET full_pass_at = 'epoch' WHERE service = 'drive' AND kind = 'changes'",
    );
    let report = world.syncctl(&["verify", "drive", "--all", "--json"]).expect(0).json();
    assert_eq!(report["consistent"], true, "what has not been read yet is not wrong: {report}");
    let listed = world.syncctl(&["drive", "list", &ann]).expect(1);
    assert!(listed.stderr.contains("owners and permissions are read by its next full pass"), "{listed:?}");
    world.sim.reset_ledger();
    let filled = world.sync_drive().expect(0).json();
    assert_eq!(world.sim.ledger()["by_method"]["files.list"], 2, "one page for each feed");
    let changes = &filled["changes"]["changes"];
    assert_eq!((&changes["updated"], &changes["created"], changes.get("permissions")), (&json!(0), &json!(0), None), "{filled}");
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert_eq!(world.rows("drive_files WHERE created_at IS NULL"), 0);
    assert_eq!(world.outbox_events(), events);
    world.sim.reset_ledger();
    world.sync_drive().expect(0);
    assert!(world.sim.ledger()["by_method"]["files.list"].is_null(), "idle again");
    // A real change is reported as before.
    world.drive_admin("PUT", "files", &json!({ "id": "plan", "name": "other.txt" }));
    world.sync_drive().expect(0);
    assert_eq!(world.actions(&bob).last().map(String::as_str), Some("renamed"));
}

#[test]
fn changed_permissions_of_followed_files_are_counted_and_nothing_else_is() {
    let (world, ann, bob) = shared();
    let changed = |change: &dyn Fn()| -> u64 {
        change();
        let report = world.sync_drive().expect(0).json();
        report["changes"]["changes"]["permissions"].as_u64().unwrap_or(0)
    };
    let share = |grant: Value| drop(world.sim.admin("drive/share", grant));
    assert_eq!(changed(&|| share(json!({ "id": "plan", "outsider": "new@partner.example" }))), 0, "not followed");
    world.watch(&ann, "plan");
    assert_eq!(changed(&|| ()), 0, "followed, and nothing has changed");
    assert_eq!(changed(&|| share(json!({ "id": "plan", "outsider": "new@partner.example", "role": "writer" }))), 1);
    assert_eq!(changed(&|| world.drive_admin("PUT", "files", &json!({ "id": "plan", "content": "Two" }))), 0);
    // Inherited from the folder.
    assert_eq!(changed(&|| share(json!({ "id": "dir", "outsider": "other@partner.example" }))), 1);
    world.watch(&bob, "plan");
    world.sync_drive().expect(0);
    assert_eq!(changed(&|| share(json!({ "id": "plan", "anyone": true, "role": "writer" }))), 2, "for each user who follows it");
    // For the user who may no longer see them, they have not changed.
    assert_eq!(changed(&|| share(json!({ "id": "dir", "user": bob, "role": "reader" }))), 1);
    world.assert_files_in_step();
}

#[test]
fn items_of_a_shared_drive_have_ids_of_permissions_only() {
    let world = World::with_files(2, 1);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    world.sim.admin("drive/drives", json!({ "id": "0Ateam", "name": "Team", "members": users }));
    world.sim.admin("drive/files", json!({ "drive": "0Ateam", "id": "dir", "name": "Plans", "mimeType": FOLDER }));
    world.sim.admin("drive/files", json!({ "drive": "0Ateam", "id": "a", "name": "a.txt", "content": "A", "parents": ["dir"] }));
    world.sim.admin("drive/share", json!({ "id": "a", "outsider": "guest@partner.example" }));
    for _ in 0..2 {
        world.sync_drive().expect(0);
    }
    world.assert_files_in_step();
    assert_eq!(
        world.rows("drive_permissions WHERE file_id = 'a' AND type IS NULL AND role IS NULL"),
        2 * 3,
        "two members and a guest"
    );
    assert_eq!(world.rows("drive_shared_outside"), 0);
    let shown = world.syncctl(&["drive", "show", &users[0], "a"]).expect(0).stdout;
    for line in
        ["path      Team:/Plans/a.txt", "owner     shared drive Team", "3 permissions, of which Google shows only the ids"]
    {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    let listed = world.syncctl(&["drive", "list", &users[0], "--folder", "Team:/Plans", "--json"]).expect(0).json();
    assert_eq!((&listed["of"], &listed["files"][0]["file_id"]), (&json!(1), &json!("a")));
    world.watch(&users[0], "a");
    world.sync_drive().expect(0);
    world.sim.admin("drive/share", json!({ "id": "a", "anyone": true }));
    let report = world.sync_drive().expect(0).json();
    assert_eq!(report["changes"]["changes"]["permissions"], 1, "a new id: {report}");
}

#[test]
fn paths_end_at_the_topmost_visible_folder_and_in_a_circle() {
    let (world, ann, bob) = shared();
    let path = |user: &str, file: &str| -> String {
        world.text(&format!(
            "SELECT p.path FROM drive_paths p JOIN users u ON u.id = p.user_id WHERE u.email = '{user}' AND p.file_id = '{file}'"
        ))
    };
    assert_eq!((path(&ann, "plan"), path(&bob, "plan")), ("/Plans/plan.txt".into(), "/Plans/plan.txt".into()));
    world.sim.admin("drive/files", json!({ "user": ann, "id": "in", "name": "in", "mimeType": FOLDER, "parents": ["dir"] }));
    world.sync_drive().expect(0);
    world.execute("UPDATE drive_file_access SET parents = '{in}' WHERE file_id = 'dir'");
    assert_eq!(path(&ann, "plan"), "/in/Plans/plan.txt");
    world.execute("UPDATE drive_file_access SET parents = '{plan}' WHERE file_id = 'plan'");
    assert_eq!(path(&ann, "plan"), "/plan.txt");
}
