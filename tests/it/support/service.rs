//! What the tests must know of a service to run the same faults and kills against each.

use serde_json::json;

use super::World;
use super::sim::Truth;

/// A service under test.
pub struct Service {
    /// Its command, and the beginning of its tables.
    pub name: &'static str,
    /// The call that follows its feed.
    pub feed: &'static str,
    /// The variable that makes its pages small.
    pub page_size: &'static str,
    /// Settings without which its tests would test something else.
    pub settings: &'static [(&'static str, &'static str)],
    /// Gives each user so much.
    pub populate: fn(&World, u32, u32),
    /// So many changes, by a seed.
    pub churn: fn(&World, u32, u64),
    /// Makes every cursor expire.
    pub expire: fn(&World),
    /// What the simulator holds: user, collection, id → version.
    pub truth: fn(&World) -> Truth,
    /// What the database holds, in the same terms.
    pub stored: fn(&World) -> Truth,
    /// Rows of its own that must be there once; each statement counts what is wrong.
    pub wrong: &'static [(&'static str, &'static str)],
}

pub static CALENDAR: Service = Service {
    name: "calendar",
    feed: "events.list",
    page_size: "SYNCCTL_CALENDAR_PAGE_SIZE",
    settings: &[],
    populate: |world, users, events| world.sim.generate(users, events),
    churn: |world, changes, seed| drop(world.sim.churn(changes, seed)),
    expire: |world| drop(world.sim.admin("expire", json!({ "what": "sync_tokens" }))),
    truth: |world| world.sim.truth(),
    stored: |world| {
        world.collect(
            "SELECT u.email, e.calendar_id, e.event_id, e.etag FROM calendar_events e JOIN users u ON u.id = e.user_id WHERE e.deleted_at IS NULL",
        )
    },
    wrong: &[(
        "doubled events",
        "SELECT count(*) FROM (SELECT user_id, calendar_id, event_id FROM calendar_events GROUP BY 1, 2, 3 HAVING count(*) > 1) d",
    )],
};

pub static GMAIL: Service = Service {
    name: "gmail",
    feed: "history.list",
    page_size: "SYNCCTL_GMAIL_PAGE_SIZE",
    settings: &[
        ("SYNCCTL_GMAIL_WINDOW", "all"),
        // A user's minute is soon spent by a test that goes on for a hundred runs.
        ("SYNCCTL_QUOTA_GMAIL_USER_PER_MINUTE", "100000000"),
        ("SYNCCTL_QUOTA_GMAIL_PROJECT_PER_MINUTE", "1000000000"),
        ("SYNCCTL_QUOTA_GMAIL_PER_DAY", "1000000000"),
    ],
    populate: |world, users, messages| {
        world.sim.generate(users, 0);
        world.sim.admin("mail/generate", json!({ "messages": messages, "seed": 7 }));
    },
    churn: |world, changes, seed| drop(world.sim.admin("mail/churn", json!({ "changes": changes, "seed": seed }))),
    expire: |world| drop(world.sim.admin("expire", json!({ "what": "history" }))),
    truth: |world| {
        world.sim.lines("mail/state", |row| {
            let labels: Vec<&str> = row["labels"].as_array().into_iter().flatten().filter_map(|label| label.as_str()).collect();
            ((super::sim::field(row, "user"), String::new(), super::sim::field(row, "id")), labels.join(","))
        })
    },
    stored: |world| {
        world.collect(
            "SELECT u.email, '', m.message_id, array_to_string(m.labels, ',') FROM gmail_messages m JOIN users u ON u.id = m.user_id
             WHERE m.deleted_at IS NULL",
        )
    },
    wrong: &[
        (
            "virtual addresses that were not found, by the headers as they are stored",
            "SELECT count(*) FROM gmail_messages m WHERE EXISTS (SELECT 1 FROM jsonb_array_elements(m.headers) h
               WHERE lower(h ->> 0) IN ('to', 'cc', 'bcc', 'delivered-to', 'x-original-to') AND h ->> 1 ~* '\\mai\\+[^@ ]+@example\\.com\\M')
             AND NOT EXISTS (SELECT 1 FROM gmail_detections d WHERE d.stream_id = m.stream_id AND d.message_id = m.message_id)",
        ),
        (
            "detections without their one document and event",
            "SELECT count(*) FROM gmail_detections d WHERE d.status = 'found' AND (d.document_id IS NULL OR 1 <> (SELECT count(*) FROM outbox_events e
               WHERE e.type = 'gmail.message.detected' AND e.subject = d.document_id AND e.payload ->> 'address' = d.address))",
        ),
        (
            "deleted messages whose documents live, or live ones whose documents do not",
            "SELECT count(*) FROM gmail_detections d JOIN gmail_messages m USING (stream_id, message_id) JOIN documents o ON o.id = d.document_id
             WHERE (m.deleted_at IS NULL) = (o.status = 'deleted')",
        ),
        (
            "deletions of documents that were not told once",
            "SELECT count(*) FROM documents o WHERE o.status = 'deleted' AND 1 <> (SELECT count(*) FROM outbox_events e
               WHERE e.subject = o.id AND e.type = 'gmail.message.deleted')",
        ),
    ],
};
