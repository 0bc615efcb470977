//! The model endpoint, asked about documents that the other steps leave undecided.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Desk, mail_of};
use crate::support::World;
use crate::support::models::KEY;

/// Ann, with an endpoint that recognises texts about bridges and gardens.
fn asking() -> Desk {
    let mut desk = Desk::new();
    desk.world.name_endpoint(json!({ "girder": "Bridge", "rose": "Garden", "lottery": "none" }));
    desk
}

/// The number of requests to the endpoint, and the prompts.
fn endpoint_calls(world: &World) -> (u64, String) {
    let ledger = world.model_ledger();
    (ledger["requests"].as_u64().expect("a count"), ledger["calls"].to_string())
}

fn by_endpoint(project: Option<&str>) -> Option<(String, Option<String>)> {
    Some(("endpoint".into(), project.map(str::to_owned)))
}

fn open_mail(desk: &Desk, id: &str, body: &str) -> Uuid {
    desk.mail(id, id, &format!("{id}@example.org"), body)
}

#[test]
fn what_is_unsure_is_asked_about_once_for_each_text() {
    let desk = asking();
    let (bridge, lottery) = (open_mail(&desk, "m1", "about a girder"), open_mail(&desk, "m2", "a lottery"));
    let open = open_mail(&desk, "m3", "hello");
    let report = desk.cron();
    assert_eq!(
        (desk.holds(bridge), desk.holds(lottery), desk.holds(open)),
        (by_endpoint(Some("Bridge")), by_endpoint(None), None)
    );
    assert_eq!(report["details"]["endpoint"]["documents"], json!({ "decided": 2, "unsure": 1 }), "{report}");
    assert_eq!(desk.events(bridge), [(json!("Bridge"), json!("endpoint"))]);
    // Neither another run nor a new model asks again; the endpoint's decision is kept.
    desk.assign(&[(open_mail(&desk, "m4", "nothing of this"), "Garden")]);
    let calls_so_far = endpoint_calls(&desk.world).0;
    desk.cron();
    desk.cron();
    assert_eq!((endpoint_calls(&desk.world).0, desk.holds(bridge)), (calls_so_far, by_endpoint(Some("Bridge"))));
    // A changed text is a new question.
    open_mail(&desk, "m1", "about a rose");
    desk.cron();
    assert_eq!((endpoint_calls(&desk.world).0, desk.holds(bridge)), (calls_so_far + 1, by_endpoint(Some("Garden"))));
    assert_eq!(desk.world.count("SELECT sum(calls)::bigint FROM model_usage"), calls_so_far as i64 + 1);
    let rehearsed = open_mail(&desk, "m5", "one more girder");
    desk.world.syncctl(&["classify", "cron", "--dry-run"]).expect(0);
    assert_eq!((endpoint_calls(&desk.world).0, desk.holds(rehearsed)), (calls_so_far + 1, None));
}

#[test]
fn what_people_and_kin_say_is_not_asked_about() {
    let desk = asking();
    let first = desk.mail("m1", "t1", "bob@example.org", "a girder");
    let second = desk.mail("m2", "t1", "bob@example.org", "a girder");
    desk.assign(&[(first, "Garden")]);
    desk.cron();
    assert_eq!((desk.holds(second), endpoint_calls(&desk.world).0), (super::by("kin", "Garden"), 0));
}

#[test]
fn an_endpoint_that_is_away_holds_nothing_up_and_is_asked_when_it_is_back() {
    let desk = asking();
    desk.world.sim.fault(json!({ "fault": "unavailable_503", "method": "chat.completions" }));
    let open: Vec<Uuid> = (0..20).map(|n| open_mail(&desk, &format!("m{n}"), "a girder")).collect();
    let first = desk.mail("k1", "t1", "bob@example.org", "x");
    let kin = desk.mail("k2", "t1", "bob@example.org", "y");
    desk.assign(&[(first, "Garden")]);
    let report = desk.world.syncctl(&["classify", "cron", "--json"]).expect(1).json();
    let classes: Vec<&str> = report["errors"].as_object().expect("classes").keys().map(String::as_str).collect();
    assert_eq!((&report["status"], classes), (&json!("partial"), vec!["transient"]), "{report}");
    assert_eq!((desk.holds(kin), desk.queued()), (super::by("kin", "Garden"), 0));
    assert!(endpoint_calls(&desk.world).0 < 10, "it is not asked about each");
    // No request is sent before the retry is due.
    desk.world.sim.clear_faults();
    desk.cron();
    assert_eq!(desk.holds(open[0]), None);
    desk.world.ask_again_now();
    desk.cron();
    assert!(open.iter().all(|document| desk.holds(*document) == by_endpoint(Some("Bridge"))));
    assert_eq!(desk.world.rows("document_judgements WHERE ask_at IS NOT NULL OR asks > 0"), 0);
}

#[test]
fn a_refused_key_sets_the_exit_code_and_an_account_without_credit_waits() {
    let desk = asking();
    let open = open_mail(&desk, "m1", "a girder");
    desk.world.sim.admin("models", json!({ "key": "another" }));
    let refused = desk.world.syncctl(&["classify", "cron", "--json"]).expect(77);
    assert_eq!(refused.json()["errors"]["auth_revoked"]["count"], json!(1));
    assert!(refused.stdout.contains("classify.endpoint.key_file") && !refused.stdout.contains(KEY), "{}", refused.stdout);
    desk.world.ask_again_now();
    desk.world.sim.admin("models", json!({ "key": KEY, "credit": 0 }));
    let report = desk.cron();
    assert_eq!((&report["status"], &report["details"]["endpoint"]["documents"]), (&json!("completed"), &json!({ "waiting": 1 })));
    assert!(report["details"]["endpoint"]["not_asked_because"].as_str().is_some_and(|why| why.contains("credit")), "{report}");
    assert_eq!(desk.holds(open), None);
    desk.world.ask_again_now();
    desk.world.sim.admin("models", json!({ "credit": null }));
    desk.cron();
    assert_eq!(desk.holds(open), by_endpoint(Some("Bridge")));
}

#[test]
fn a_document_without_a_usable_answer_three_times_is_skipped_until_it_is_retried() {
    let desk = asking();
    let (open, other) = (open_mail(&desk, "m1", "a girder"), desk.mail("k1", "t1", "bob@example.org", "x"));
    desk.world.sim.admin("models", json!({ "mode": "foreign_id" }));
    desk.assign(&[(other, "Garden")]);
    for asks in 1..=2 {
        desk.cron();
        let waits = desk
            .world
            .query("SELECT asks, extract(epoch FROM ask_at - now())::float8 FROM document_judgements WHERE ask_at > now()");
        assert_eq!((waits[0].get::<_, i32>(0), waits[0].get::<_, f64>(1) > 3500.0), (asks, true));
        desk.world.execute("UPDATE document_judgements SET ask_at = now()");
    }
    let report = desk.cron();
    assert_eq!((&report["quarantined"], desk.holds(open)), (&json!(1), None), "{report}");
    let calls_so_far = endpoint_calls(&desk.world).0;
    desk.cron();
    assert_eq!(endpoint_calls(&desk.world).0, calls_so_far, "a person has to look at it");
    let items = desk.world.syncctl(&["items", "list", "--json"]).expect(0).json();
    assert!(items[0]["error"].as_str().is_some_and(|why| why.contains("no usable answer")), "{items}");
    desk.world.sim.admin("models", json!({ "mode": "strict" }));
    desk.world.syncctl(&["items", "retry"]).expect(0);
    desk.cron();
    assert_eq!((desk.holds(open), desk.world.quarantined()), (by_endpoint(Some("Bridge")), 0));
}

#[test]
fn private_documents_and_those_of_other_users_are_in_no_prompt() {
    let mut desk = asking();
    desk.world.set("SYNCCTL_CLASSIFY_NEVER_SENDERS", "[\"secret.example\", \"max@example.org\"]");
    desk.world.set("SYNCCTL_CLASSIFY_NEVER_FOLDERS", "[\"1vault\"]");
    let other = desk.world.user("eve@example.com");
    desk.world.syncctl(&["projects", "add", "eve@example.com", "Submarine"]).expect(0);
    mail_of(&desk.world, other, "e1", "e1", "", "periscope of the lottery");
    let by = |id: &str, from: &str, body: &str| desk.mail(id, id, from, body);
    by("m1", "Max <MAX@example.org>", "password of Max");
    by("m2", "boss@secret.example", "password of the boss");
    let file = |id: &str, parent: &str| {
        desk.world.document(&syncctl::db::documents::Document {
            source: "drive",
            details: json!({ "parents": [parent] }),
            ..crate::support::library::email(desk.user, id, "", "password in a file")
        })
    };
    file("f1", "1vault");
    by("m3", "bob@example.org", "a girder");
    desk.cron();
    let (requests, calls) = endpoint_calls(&desk.world);
    assert_eq!(requests, 2);
    assert!(!calls.contains("password") && calls.contains("girder") && calls.contains("periscope"), "{calls}");
    let calls: Vec<Value> = serde_json::from_str(&calls).expect("a list");
    let mixed = calls.iter().map(Value::to_string).filter(|call| call.contains("Submarine") == call.contains("Bridge"));
    assert_eq!(mixed.count(), 0, "each sees its own projects alone");
    assert!(calls.iter().all(|call| !call["prompt"].to_string().contains(KEY)));
}

#[test]
fn what_the_endpoint_decided_holds_until_something_better_is_known() {
    let mut desk = asking();
    let (bridge, lottery) = (open_mail(&desk, "m1", "about a girder"), open_mail(&desk, "m2", "a lottery"));
    desk.cron();
    // Its texts change while the endpoint is unavailable.
    let away = json!({ "fault": "unavailable_503", "method": "chat.completions" });
    desk.world.sim.fault(away.clone());
    open_mail(&desk, "m1", "about a girder and more");
    open_mail(&desk, "m2", "about a rose");
    desk.world.syncctl(&["classify", "cron", "--json"]).expect(1);
    let held = (by_endpoint(Some("Bridge")), by_endpoint(None));
    assert_eq!((desk.holds(bridge), desk.holds(lottery)), held);
    assert_eq!((desk.events(bridge).len(), desk.world.rows("document_judgements WHERE ask_at IS NOT NULL")), (1, 2));
    // Its budget is used up, or its answer is unusable.
    desk.world.sim.clear_faults();
    let again = "UPDATE document_judgements SET ask_at = now() WHERE ask_at IS NOT NULL";
    desk.world.execute(again);
    desk.world.set("SYNCCTL_CLASSIFY_ENDPOINT_TOKENS_PER_DAY", "50000");
    desk.world.execute("UPDATE model_budgets SET tokens = 50000");
    let report = desk.cron();
    assert_eq!(report["details"]["endpoint"]["documents"], json!({ "waiting": 2 }), "{report}");
    assert_eq!((desk.holds(bridge), desk.holds(lottery)), held);
    desk.world.settings.retain(|(name, _)| *name != "SYNCCTL_CLASSIFY_ENDPOINT_TOKENS_PER_DAY");
    desk.world.sim.admin("models", json!({ "mode": "foreign_id" }));
    desk.world.execute(again);
    desk.cron();
    assert_eq!((desk.holds(bridge), desk.holds(lottery)), held);
    assert_eq!(desk.world.rows("document_judgements WHERE ask_at IS NOT NULL AND asks = 1"), 2);
    // It is available again, and confirms one decision and changes the other.
    desk.world.sim.admin("models", json!({ "mode": "strict" }));
    desk.world.execute(again);
    desk.cron();
    assert_eq!((desk.holds(bridge), desk.holds(lottery)), (by_endpoint(Some("Bridge")), by_endpoint(Some("Garden"))));
    assert_eq!((desk.events(bridge).len(), desk.events(lottery).len()), (1, 2));
    // It has read the new text and is unsure.
    open_mail(&desk, "m1", "hello");
    desk.cron();
    assert_eq!(desk.holds(bridge), None);
}

#[test]
fn a_project_that_is_added_is_offered_for_what_is_undecided() {
    let desk = asking();
    let open = open_mail(&desk, "m1", "the harbour");
    let decided = open_mail(&desk, "m2", "a girder");
    desk.cron();
    assert_eq!((desk.holds(open), endpoint_calls(&desk.world).0), (None, 2));
    desk.world.sim.admin("models", json!({ "truth": { "girder": "Bridge", "harbour": "Harbour" } }));
    desk.world.syncctl(&["projects", "add", "ann@example.com", "Harbour"]).expect(0);
    desk.cron();
    assert_eq!((desk.holds(open), desk.holds(decided)), (by_endpoint(Some("Harbour")), by_endpoint(Some("Bridge"))));
    // Once, and only about undecided documents.
    desk.cron();
    assert_eq!(endpoint_calls(&desk.world).0, 3);
    // A user's first project queues all existing documents.
    let other = desk.world.user("eve@example.com");
    let early = mail_of(&desk.world, other, "e1", "e1", "", "periscope");
    desk.world.sim.admin("models", json!({ "truth": { "periscope": "Submarine" } }));
    desk.world.syncctl(&["projects", "add", "eve@example.com", "Submarine"]).expect(0);
    desk.cron();
    assert_eq!(desk.holds(early), by_endpoint(Some("Submarine")));
}

#[test]
fn documents_that_wait_for_the_endpoint_wait_for_no_lesson() {
    let mut desk = asking();
    let first = desk.mail("m1", "t1", "bob@example.org", "a girder");
    let away = json!({ "fault": "unavailable_503", "method": "chat.completions" });
    desk.world.sim.fault(away);
    let open: Vec<Uuid> = (2..8).map(|n| desk.mail(&format!("m{n}"), "t1", "eve@example.org", "a girder")).collect();
    desk.world.syncctl(&["classify", "cron"]).expect(1);
    assert_eq!(desk.world.rows("document_judgements WHERE ask_at IS NOT NULL"), 7);
    desk.assign(&[(first, "Garden")]);
    // It is not asked about them: kin decide immediately.
    desk.cron();
    assert!(open.iter().all(|document| desk.holds(*document) == super::by("kin", "Garden")));
    // The same when its requests per minute are used up.
    desk.world.sim.clear_faults();
    desk.world.set("SYNCCTL_CLASSIFY_ENDPOINT_REQUESTS_PER_MINUTE", "1");
    let second = desk.mail("n1", "t2", "bob@example.org", "a rose");
    let open: Vec<Uuid> = (2..8).map(|n| desk.mail(&format!("n{n}"), "t2", "eve@example.org", "hello")).collect();
    desk.cron();
    assert!(desk.world.rows("document_judgements WHERE ask_at > now()") > 0);
    desk.assign(&[(second, "Bridge")]);
    desk.cron();
    assert!(open.iter().all(|document| desk.holds(*document) == super::by("kin", "Bridge")));
}
