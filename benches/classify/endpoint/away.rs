//! A day without the endpoint: mails arrive each hour, and those that need no endpoint are still decided.

use std::collections::BTreeSet;

use serde_json::json;

use super::mailbox::Mailbox;
use crate::corpus::Document;
use crate::support::World;
use crate::table::Table;

/// Mails sorted before, and mails that arrive per hour.
const PAST: usize = 1_000;
const AN_HOUR: usize = 20;
const HOURS: usize = 24;
/// Maximum number of runs, one per quarter of an hour, until the backlog is cleared.
const MAX_RUNS: usize = 20;

/// Documents without a decision that the endpoint has not been asked about.
const OPEN: &str = "SELECT count(*) FROM documents d LEFT JOIN document_judgements j ON j.document_id = d.id
  WHERE NOT EXISTS (SELECT FROM document_projects p WHERE p.document_id = d.id) AND j.asked_hash IS DISTINCT FROM d.content_hash";

pub fn measure(mail: &[Document], table: &mut Table) {
    let mut world = World::empty();
    let mut mailbox = Mailbox::new(&world, "ann@example.com", mail);
    mailbox.arrive(&world, 0..PAST);
    mailbox.say(&world, 0..PAST);
    world.name_endpoint(Mailbox::truth(&mail[..PAST + HOURS * AN_HOUR]));
    world.sim.fault(json!({ "fault": "unavailable_503", "method": "chat.completions" }));
    let mut classes = BTreeSet::new();
    for hour in 0..HOURS {
        let begin = PAST + hour * AN_HOUR;
        mailbox.arrive(&world, begin..begin + AN_HOUR);
        let report = world.syncctl(&["classify", "cron", "--json"]).json();
        classes.extend(report["errors"].as_object().expect("classes").keys().cloned());
        world.move_clock(1.0);
    }
    let decided = world.count("SELECT count(*) FROM document_projects WHERE decided_by <> 'human'");
    let waiting = world.count(OPEN);
    assert!(decided > 0 && waiting > 0, "{decided} decided, {waiting} waiting");
    table.add(
        "endpoint_away_decided",
        decided as f64,
        None,
        &format!("of {} in a day, by kin, sender and model", HOURS * AN_HOUR),
    );
    let named = classes.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    table.add("endpoint_away_classes", classes.len() as f64, Some("1"), &named);
    world.sim.clear_faults();
    let mut runs = 0;
    while world.count(OPEN) > 0 && runs < MAX_RUNS {
        world.syncctl(&["classify", "cron"]).expect(0);
        world.move_clock(0.25);
        runs += 1;
    }
    let about = format!("of {waiting} that waited for it, {runs} runs after it was back");
    table.add("endpoint_away_lost", world.count(OPEN) as f64, Some("0"), &about);
}
