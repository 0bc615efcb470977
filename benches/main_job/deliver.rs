//! Delivery of events to a receiver that answers immediately.

use serde_json::json;

use crate::bare::Loop;
use crate::shared::figures::{median, timed};
use crate::support::World;

const EVENTS: u32 = 20_000;

pub struct Delivery {
    pub share: f64,
    pub per_second: f64,
    pub bare_per_second: f64,
}

/// 20,000 signed events, each of a different document, against a loop that POSTs the same bodies.
pub fn deliveries() -> Delivery {
    eprintln!("delivery: {EVENTS} events …");
    let mut world = World::empty();
    let url = format!("{}/sink/n8n", world.sim.url);
    world.sim.admin("sink", json!({ "name": "n8n", "secret": "bench", "keep": false }));
    world.sim.admin("sink", json!({ "name": "bare", "keep": false }));
    world.set("SYNCCTL_OUTBOX_TARGETS", format!("[{{ name = 'n8n', url = '{url}', secret = 'bench' }}]"));
    world.set("SYNCCTL_OUTBOX_ALLOW_PRIVATE", "true");
    let bare_loop = Loop::new();
    let bare_url = format!("{}/sink/bare", world.sim.url);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        world.execute(&format!(
            "TRUNCATE outbox_events CASCADE;
             INSERT INTO outbox_events (id, type, subject, user_id, payload)
             SELECT id, 'drive.file.modified', gen_random_uuid(), gen_random_uuid(), jsonb_build_object('id', id, 'version', 1,
               'type', 'drive.file.modified', 'source', 'syncctl', 'action', 'modified', 'file', jsonb_build_object('name', 'a file'))
             FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, {EVENTS})) AS ids; ANALYZE outbox_events; CHECKPOINT"
        ));
        let bodies: Vec<String> = world.query("SELECT payload::text FROM outbox_events").iter().map(|row| row.get(0)).collect();
        bare.push(timed(|| bare_loop.post(&bare_url, &bodies)).0);
        ours.push(timed(|| world.syncctl(&["deliver"]).expect(0)).0);
        assert_eq!(world.count("SELECT count(*) FROM outbox_deliveries WHERE state = 'delivered'"), i64::from(EVENTS));
    }
    let counted = world.sim.get("sink/count?name=n8n");
    assert_eq!((&counted["ok"], &counted["duplicates"]), (&json!(3 * EVENTS), &json!(0)), "{counted}");
    Delivery {
        share: median(bare.iter().zip(&ours).map(|(bare, ours)| bare / ours).collect()),
        per_second: f64::from(EVENTS) / median(ours),
        bare_per_second: f64::from(EVENTS) / median(bare),
    }
}
