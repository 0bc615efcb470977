//! Polls of single meetings and bots, and unknown IDs.

use serde_json::json;

use super::ground::{ANN, ahead, bots, event, pass, poll, put, schedule, world};

#[test]
fn a_bot_is_polled_by_its_id_or_its_meetings_and_unknown_ids_stop_no_other() {
    let world = world();
    put(&world, ANN, event("standup", ahead(20), json!({})));
    schedule(&world);
    // Initially due streams no longer are.
    poll(&world);
    let bot = bots(&world)[0]["id"].as_str().expect("an id").to_owned();
    let meeting = world.meeting().id;
    let skipped = world.syncctl(&["attendee", "smart-poll", &meeting]).expect(0);
    assert!(skipped.stdout.contains("due in") && skipped.stdout.contains("projects  0"), "{}", skipped.stdout);
    pass(&world, 25);
    world.sim.reset_ledger();
    let run = world.syncctl(&["attendee", "poll", &meeting, "--json"]).expect(0).json();
    assert_eq!((&run["streams"], &run["changes"]["bots"]["updated"]), (&json!(1), &json!(1)), "{run}");
    assert_eq!(world.meeting().bot_status, "transcribing");
    assert_eq!(world.sim.ledger()["by_method"]["bots.list"], json!(null), "one bot is asked for by its id");
    let run = world.syncctl_with_input(&["attendee", "batch-poll", "--stdin", "--json"], &format!("{bot}\nbot_nobody\n"));
    let run = run.expect(1);
    assert!(run.stderr.contains("no bot bot_nobody"), "{}", run.stderr);
    assert_eq!((&run.json()["streams"], &run.json()["unknown_users"]), (&json!(1), &json!(1)));
    let forced = world.syncctl(&["attendee", "smart-poll", "--force", &bot, "--json"]).expect(0).json();
    assert_eq!(forced["streams"], 1, "{forced}");
    world.syncctl(&["attendee", "poll", "bot_nobody"]).expect(2);
    world.syncctl(&["attendee", "transcript", "bot_nobody"]).expect(2);
    let metrics = world.syncctl(&["attendee", "metrics", "--json"]).expect(0).json();
    // The refused poll's run is one of them.
    assert_eq!(metrics["window"]["runs"], 7, "{metrics}");
}

#[test]
fn a_project_with_open_bots_is_not_forgotten_by_mistake() {
    let world = world();
    put(&world, ANN, event("standup", ahead(20), json!({})));
    schedule(&world);
    let refused = world.syncctl(&["attendee", "project", "remove", "main"]).expect(2);
    assert!(refused.stderr.contains("1 open bots"), "{}", refused.stderr);
    world.syncctl(&["attendee", "project", "remove", "main", "--force"]).expect(0);
    assert_eq!(world.rows("streams WHERE service = 'attendee'"), 0);
    world.syncctl(&["attendee", "project", "remove", "main"]).expect(2);
    world.syncctl_with_input(&["attendee", "project", "add", "x"], "two words\n").expect(2);
    world.syncctl_with_input(&["attendee", "project", "add", ""], "key\n").expect(2);
}

#[test]
fn a_user_names_the_project_and_a_missing_one_is_reported() {
    let world = world();
    put(&world, ANN, event("standup", ahead(20), json!({})));
    let enabled = world.syncctl(&["attendee", "enable", ANN, "--project", "second"]).expect(0);
    assert!(enabled.stderr.contains("there is no project second yet: add it"), "{}", enabled.stderr);
    let dry = world.syncctl(&["attendee", "schedule", "--dry-run"]).expect(0).stdout;
    assert!(dry.contains("there is no Attendee project \"second\""), "{dry}");
    world.sim.admin("attendee/projects", json!({ "name": "second", "key": "key-of-second" }));
    let file = world.folder.path().join("key");
    std::fs::write(&file, "key-of-second\n").expect("writing the key");
    world.syncctl(&["attendee", "project", "add", "second", "--key-file", &file.to_string_lossy()]).expect(0);
    schedule(&world);
    assert_eq!(bots(&world)[0]["project"], "second");
}
