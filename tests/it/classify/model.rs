//! What the model decides, what it leaves undecided, and what it reports.

use serde_json::json;

use super::{ABOUT, Desk};

/// Enough for a threshold: 88 predictions without an error, after the first thirty.
const EACH: usize = 60;

#[test]
fn a_model_that_was_right_often_enough_decides_and_the_rest_waits_for_people() {
    let desk = Desk::new();
    let early = desk.about(0, 900);
    desk.teach(5);
    desk.cron();
    assert_eq!(desk.holds(early), None);
    let review = desk.world.syncctl(&["classify", "review", "--json"]).expect(0).json();
    assert_eq!(review["documents"][0]["reason"], "too few assignments by people: 15 of 30", "{review}");
    desk.teach(EACH);
    desk.cron();
    let (bridge, garden, none) = (desk.about(0, 901), desk.about(1, 901), desk.about(2, 901));
    let strange = desk.mail("s1", "s1", "zed@example.com", "a girder beside the rose, steel in the soil, a pier in the pond");
    desk.cron();
    let model = |project: Option<&str>| Some(("model".to_owned(), project.map(str::to_owned)));
    assert_eq!(
        [desk.holds(bridge), desk.holds(garden), desk.holds(none)],
        [model(Some("Bridge")), model(Some("Garden")), model(None)]
    );
    assert_eq!((desk.holds(early), desk.holds(strange)), (model(Some("Bridge")), None), "also what it was unsure of before");
    let review = desk.world.syncctl(&["classify", "review", "--user", "ann@example.com", "--json"]).expect(0).json();
    assert_eq!((&review["total"], &review["documents"][0]["document_id"]), (&json!(1), &json!(strange)), "{review}");
    let text = desk.world.syncctl(&["classify", "review"]).expect(0).stdout;
    assert!(text.contains("1 of 1") && text.contains(&strange.to_string()), "{text}");
}

#[test]
fn a_decision_is_explained_by_the_words_of_the_document() {
    let desk = Desk::new();
    desk.teach(EACH);
    let document = desk.about(0, 901);
    desk.cron();
    let report = desk.world.syncctl(&["classify", "explain", &document.to_string(), "--json"]).expect(0).json();
    assert_eq!(
        (&report["holds"]["decided_by"], &report["now"]["label"]["name"]),
        (&json!("model"), &json!("Bridge")),
        "{report}"
    );
    assert_eq!((&report["model"]["assignments"], &report["model"]["projects"]), (&json!(3 * EACH), &json!(2)));
    let words: Vec<&str> = report["words"].as_array().expect("a list").iter().filter_map(|word| word["part"].as_str()).collect();
    assert!(words.iter().any(|word| ABOUT[0].1.contains(word)), "{words:?}");
    let text = desk.world.syncctl(&["classify", "explain", &document.to_string()]).expect(0).stdout;
    for part in ["decided    Bridge, by model", "threshold 0.", "candidates Bridge 0."] {
        assert!(text.contains(part), "{part} in {text}");
    }
    desk.world.syncctl(&["classify", "explain", &uuid::Uuid::new_v4().to_string()]).expect(2);
}

#[test]
fn a_users_own_past_says_how_much_would_have_been_decided_and_how_well() {
    let desk = Desk::new();
    desk.teach(EACH);
    let report = desk.world.syncctl(&["classify", "eval", "ann@example.com", "--json"]).expect(0).json();
    let totals = &report["as_decided"];
    assert_eq!((&totals["belong"], &totals["precision"]), (&json!(2 * EACH), &json!(1.0)), "{report}");
    // The first ones are undecided: too few assignments were known.
    let coverage = totals["coverage"].as_f64().expect("a share");
    assert!(coverage > 0.1 && coverage < 0.6, "{report}");
    assert!(report["without_a_threshold"]["coverage"].as_f64().expect("a share") > 0.9, "{report}");
    let later = desk
        .world
        .syncctl(&["classify", "eval", "ann@example.com", "--since", "2100-01-01T00:00:00Z", "--json"])
        .expect(0)
        .json();
    assert_eq!((&later["as_decided"]["belong"], &later["as_decided"]["precision"]), (&json!(0), &json!(null)), "{later}");
    let text = desk.world.syncctl(&["classify", "eval", "ann@example.com"]).expect(0).stdout;
    assert!(text.contains("as decided") && text.contains("right by method: model"), "{text}");
}

#[test]
fn a_dry_run_says_what_would_be_decided_and_writes_nothing() {
    let desk = Desk::new();
    let open = desk.about(1, 901);
    desk.teach(EACH);
    let tables = ["document_projects", "document_judgements", "project_models", "outbox_events", "classify_queue"];
    let counts = |desk: &Desk| tables.map(|table| desk.world.rows(table));
    let before = counts(&desk);
    let would = desk.world.syncctl(&["classify", "cron", "--dry-run", "--force", "--json"]).expect(0).json();
    assert_eq!(would["changes"]["documents"]["created"], json!(1), "{would}");
    assert_eq!(counts(&desk), before);
    let does = desk.cron();
    assert_eq!(does["changes"]["documents"]["created"], json!(1), "{does}");
    assert!(desk.holds(open).is_some());
}

#[test]
fn a_model_that_cannot_be_read_is_trained_from_scratch() {
    let desk = Desk::new();
    desk.teach(EACH);
    desk.cron();
    desk.world.execute("UPDATE project_models SET learner = '\\x53434c460900' || learner");
    let document = desk.about(0, 902);
    desk.cron();
    assert_eq!(desk.holds(document), Some(("model".into(), Some("Bridge".into()))));
    let read = desk.world.query("SELECT substring(learner FOR 4), assignments, version FROM project_models");
    assert_eq!(
        (read[0].get::<_, &[u8]>(0), read[0].get::<_, i32>(1), read[0].get::<_, i32>(2)),
        (&b"SCLF"[..], 3 * EACH as i32, 2)
    );
}

#[test]
fn one_document_is_judged_by_its_name() {
    let desk = Desk::new();
    let (first, second) = (desk.mail("m1", "t1", "bob@example.com", "a"), desk.mail("m2", "t1", "bob@example.com", "b"));
    desk.assign(&[(first, "Bridge")]);
    let name = second.to_string();
    desk.world.syncctl(&["classify", "smart-poll", &name]).expect(0);
    assert_eq!(desk.holds(second), Some(("kin".into(), Some("Bridge".into()))));
    let again = desk.world.syncctl(&["classify", "smart-poll", &name]).expect(0).stdout;
    assert!(again.contains("already classified"), "{again}");
    let human = desk.world.syncctl(&["classify", "smart-poll", &first.to_string()]).expect(0).stdout;
    assert!(human.contains("a person has assigned it"), "{human}");
    desk.world.syncctl(&["classify", "poll", &name]).expect(0);
    desk.world.syncctl(&["classify", "poll", &uuid::Uuid::new_v4().to_string()]).expect(2);
    let partly = desk.world.syncctl(&["classify", "batch-poll", &name, "nonsense"]).expect(1);
    assert!(partly.stderr.contains("no document nonsense"), "{}", partly.stderr);
    let rows = desk.world.rows("classify_cron_results r JOIN classify_cron_metrics USING (execution_id)");
    assert_eq!(rows, desk.world.rows("runs WHERE service = 'classify'"));
}
