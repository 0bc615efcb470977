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

pub static DRIVE: Service = Service {
    name: "drive",
    feed: "changes.list",
    page_size: "SYNCCTL_DRIVE_PAGE_SIZE",
    settings: &[("SYNCCTL_DRIVE_DOCUMENTS", "all"), ("SYNCCTL_QUOTA_DRIVE_PROJECT_PER_MINUTE", "1000000000")],
    populate: |world, users, files| {
        world.sim.generate(users, 0);
        world.sim.admin(
            "drive/generate",
            json!({ "files": files, "shared_drives": 1, "files_per_drive": files, "members_per_drive": 2, "seed": 7 }),
        );
    },
    churn: |world, changes, seed| drop(world.sim.admin("drive/churn", json!({ "changes": changes, "seed": seed }))),
    // Google's do not; one that is not known there any more is answered in the same way as one of another feed.
    expire: |world| world.execute("UPDATE streams SET cursor = 'forgotten' WHERE service = 'drive' AND kind = 'changes' AND cursor IS NOT NULL"),
    truth: |world| {
        world.sim.lines("drive/state", |row| {
            let [user, id, name, version] = ["user", "id", "name", "version"].map(|name| super::sim::field(row, name));
            ((user, String::new(), id), format!("{name} {version} {}", row["trashed"]))
        })
    },
    stored: |world| {
        world.collect(
            "SELECT u.email, '', a.file_id, a.name || ' ' || a.version || ' ' || a.trashed FROM drive_file_access a JOIN users u ON u.id = a.user_id
             WHERE a.lost_at IS NULL",
        )
    },
    wrong: &[
        (
            "files whose newest version is not that of those who see them",
            "SELECT count(*) FROM drive_file_access a JOIN drive_files f USING (file_id) WHERE a.lost_at IS NULL
               AND (f.gone_at IS NOT NULL OR (f.name, f.version, f.trashed) IS DISTINCT FROM (a.name, a.version, a.trashed))",
        ),
        (
            "files that a user sees twice",
            "SELECT count(*) FROM (SELECT FROM drive_file_access WHERE lost_at IS NULL GROUP BY user_id, file_id HAVING count(*) > 1) d",
        ),
        (
            "followed files whose documents do not live as they do",
            "SELECT count(*) FROM drive_file_watches w LEFT JOIN documents d ON d.id = w.document_id
             WHERE coalesce(d.status <> 'deleted', false) <> EXISTS (SELECT 1 FROM drive_file_access a
               WHERE a.user_id = w.user_id AND a.file_id = w.file_id AND a.lost_at IS NULL)",
        ),
        (
            "versions of a file that were told twice",
            "SELECT count(*) FROM (SELECT FROM outbox_events WHERE payload ->> 'action' <> 'removed'
               GROUP BY user_id, payload ->> 'file_id', payload -> 'file' ->> 'version' HAVING count(*) > 1) t",
        ),
        (
            "documents that do not tell the latest version",
            "SELECT count(*) FROM drive_file_watches w JOIN drive_file_access a USING (user_id, file_id)
             WHERE a.lost_at IS NULL AND (w.told_version IS DISTINCT FROM a.version OR w.content_key IS DISTINCT FROM a.content_key)",
        ),
        (
            "documents whose comings and goings were not told once each",
            "SELECT count(*) FROM documents d WHERE d.source = 'drive' AND (d.status <> 'deleted')::int <> (SELECT
               count(*) FILTER (WHERE e.type = 'drive.file.created') - count(*) FILTER (WHERE e.type = 'drive.file.removed')
               FROM outbox_events e WHERE e.subject = d.id)",
        ),
    ],
};
