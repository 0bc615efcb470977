//! What the tests need to know about a service to run the same faults and kills against each.

use serde_json::json;

use super::sim::Truth;
use super::{World, agenda, attendee, drive, mail};

/// A service under test.
pub struct Service {
    /// Its command, and the prefix of its tables.
    pub name: &'static str,
    /// The user whose calls faults strike; `None`: all users.
    pub whose: Option<&'static str>,
    /// The calls that a fault strikes.
    pub struck: &'static [&'static str],
    /// The variable that makes its pages small, if any.
    pub page_size: Option<&'static str>,
    /// The jobs that sync it, in order.
    pub jobs: &'static [&'static [&'static str]],
    /// The jobs that are killed, in turn.
    pub killed: &'static [&'static [&'static str]],
    /// Faults that may strike any of its calls together, and are temporary.
    pub mixed: &'static [&'static str],
    /// Settings without which its tests would test something else.
    pub settings: &'static [(&'static str, &'static str)],
    /// Gives each user this many items.
    pub populate: fn(&World, u32, u32),
    /// Preparation once its users are imported.
    pub prepare: fn(&World),
    /// Makes this many changes, by a seed.
    pub churn: fn(&World, u32, u64),
    /// Makes every cursor expire.
    pub expire: fn(&World),
    /// The simulator's data: user, collection, ID → version.
    pub truth: fn(&World) -> Truth,
    /// The database's data, in the same terms.
    pub stored: fn(&World) -> Truth,
    /// Lets everything in progress finish.
    pub finish: fn(&World),
    /// Additional checks once it is in sync.
    pub check: fn(&World),
    /// Rows that must exist exactly once; each statement counts the violations.
    pub wrong: &'static [(&'static str, &'static str)],
}

/// Temporary faults of Google's error table.
const OF_GOOGLE: [&str; 16] = [
    "auth_error",
    "rate_limit_403",
    "rate_limit_429",
    "user_rate_limit",
    "quota_metric",
    "cursor_expired",
    "cursor_expired_updated_min",
    "timeout_408",
    "server_500",
    "not_found_page",
    "bad_gateway_502",
    "unavailable_503",
    "gateway_timeout_504",
    "connection_reset",
    "cut_body",
    "cut_json",
];

pub static CALENDAR: Service = Service {
    name: "calendar",
    whose: None,
    struck: &["events.list"],
    page_size: Some("SYNCCTL_CALENDAR_PAGE_SIZE"),
    jobs: &[&["calendar", "cron", "--force", "--json"]],
    killed: &[&["calendar", "cron", "--force"]],
    mixed: &OF_GOOGLE,
    settings: &[],
    populate: |world, users, events| world.sim.generate(users, events),
    prepare: |_| {},
    churn: |world, changes, seed| drop(world.sim.churn(changes, seed)),
    expire: |world| drop(world.sim.admin("expire", json!({ "what": "sync_tokens" }))),
    truth: |world| world.sim.truth(),
    stored: |world| {
        world.collect(
            "SELECT u.email, e.calendar_id, e.event_id, e.etag FROM calendar_events e JOIN users u ON u.id = e.user_id WHERE e.deleted_at IS NULL",
        )
    },
    finish: |_| {},
    check: agenda::check,
    wrong: &[(
        "doubled events",
        "SELECT count(*) FROM (SELECT user_id, calendar_id, event_id FROM calendar_events GROUP BY 1, 2, 3 HAVING count(*) > 1) d",
    )],
};

pub static GMAIL: Service = Service {
    name: "gmail",
    whose: None,
    struck: &["history.list"],
    page_size: Some("SYNCCTL_GMAIL_PAGE_SIZE"),
    jobs: &[&["gmail", "cron", "--force", "--json"]],
    killed: &[&["gmail", "cron", "--force"]],
    mixed: &OF_GOOGLE,
    settings: &[
        ("SYNCCTL_GMAIL_WINDOW", "all"),
        // A test with a hundred runs would soon use up a user's minute.
        ("SYNCCTL_QUOTA_GMAIL_USER_PER_MINUTE", "100000000"),
        ("SYNCCTL_QUOTA_GMAIL_PROJECT_PER_MINUTE", "1000000000"),
        ("SYNCCTL_QUOTA_GMAIL_PER_DAY", "1000000000"),
    ],
    populate: |world, users, messages| {
        world.sim.generate(users, 0);
        world.sim.admin("mail/generate", json!({ "messages": messages, "seed": 7 }));
    },
    prepare: |_| {},
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
    finish: |_| {},
    check: mail::check,
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
            "attachments whose content is missing or another one",
            "SELECT count(*) FROM gmail_attachments a LEFT JOIN gmail_contents c USING (user_id, sha256)
             WHERE a.sha256 IS NOT NULL AND (sha256(c.content), octet_length(c.content), c.size) IS DISTINCT FROM (a.sha256, a.size, a.size)",
        ),
        (
            "contents that are marked as unused and are not, or the reverse",
            "SELECT count(*) FROM gmail_contents c WHERE (c.unused_at IS NULL) <> EXISTS (SELECT FROM gmail_attachments a
               WHERE a.user_id = c.user_id AND a.sha256 = c.sha256 AND a.deleted_at IS NULL)",
        ),
        (
            "deleted messages whose attachments live, or live ones whose attachments do not",
            "SELECT count(*) FROM gmail_attachments a JOIN gmail_messages m USING (stream_id, message_id)
             WHERE (a.deleted_at IS NULL) <> (m.deleted_at IS NULL)",
        ),
        (
            "deletions of documents that were not sent once",
            "SELECT count(*) FROM documents o WHERE o.source = 'gmail' AND o.status = 'deleted' AND 1 <> (SELECT count(*) FROM outbox_events e
               WHERE e.subject = o.id AND e.type = 'gmail.message.deleted')",
        ),
    ],
};

pub static DRIVE: Service = Service {
    name: "drive",
    whose: None,
    struck: &["changes.list"],
    page_size: Some("SYNCCTL_DRIVE_PAGE_SIZE"),
    jobs: &[&["drive", "cron", "--force", "--json"]],
    killed: &[&["drive", "cron", "--force"]],
    mixed: &OF_GOOGLE,
    settings: &[("SYNCCTL_DRIVE_DOCUMENTS", "all"), ("SYNCCTL_QUOTA_DRIVE_PROJECT_PER_MINUTE", "1000000000")],
    populate: |world, users, files| {
        world.sim.generate(users, 0);
        world.sim.admin(
            "drive/generate",
            json!({ "files": files, "shared_drives": 1, "files_per_drive": files, "members_per_drive": 2, "seed": 7 }),
        );
    },
    prepare: |_| {},
    churn: |world, changes, seed| drop(world.sim.admin("drive/churn", json!({ "changes": changes, "seed": seed }))),
    // Google's page tokens do not expire; an unknown one is answered like one of another feed.
    expire: |world| world.execute("UPDATE streams SET cursor = 'forgotten' WHERE service = 'drive' AND kind = 'changes' AND cursor IS NOT NULL"),
    truth: |world| {
        world.sim.lines("drive/state", |row| {
            let [user, id, name, version] = ["user", "id", "name", "version"].map(|name| super::sim::field(row, name));
            ((user, String::new(), id), format!("{name} {version} {} {}", row["trashed"], drive::details(row)))
        })
    },
    stored: |world| {
        world.collect(&format!(
            "SELECT u.email, '', a.file_id, a.name || ' ' || a.version || ' ' || a.trashed || ' ' || {}
             FROM drive_file_access a JOIN users u ON u.id = a.user_id JOIN drive_files f USING (file_id) WHERE a.deleted_at IS NULL",
            drive::STORED_DETAILS
        ))
    },
    finish: |_| {},
    check: |_| {},
    wrong: &[
        (
            "files whose newest version is not that of those who see them",
            "SELECT count(*) FROM drive_file_access a JOIN drive_files f USING (file_id) WHERE a.deleted_at IS NULL
               AND (f.deleted_at IS NOT NULL OR (f.name, f.version, f.trashed) IS DISTINCT FROM (a.name, a.version, a.trashed))",
        ),
        (
            "files that a user sees twice",
            "SELECT count(*) FROM (SELECT FROM drive_file_access WHERE deleted_at IS NULL GROUP BY user_id, file_id HAVING count(*) > 1) d",
        ),
        (
            "followed files whose documents do not live as they do",
            "SELECT count(*) FROM drive_file_watches w LEFT JOIN documents d ON d.id = w.document_id
             WHERE coalesce(d.status <> 'deleted', false) <> EXISTS (SELECT 1 FROM drive_file_access a
               WHERE a.user_id = w.user_id AND a.file_id = w.file_id AND a.deleted_at IS NULL)",
        ),
        (
            "versions of a file that were sent twice",
            "SELECT count(*) FROM (SELECT FROM outbox_events WHERE payload ->> 'action' <> 'removed'
               AND payload -> 'text_follows' IS NULL
               GROUP BY user_id, payload ->> 'file_id', payload -> 'file' ->> 'version' HAVING count(*) > 1) t",
        ),
        (
            "documents that do not have the latest version",
            "SELECT count(*) FROM drive_file_watches w JOIN drive_file_access a USING (user_id, file_id)
             WHERE a.deleted_at IS NULL AND (w.told_version IS DISTINCT FROM a.version OR w.content_key IS DISTINCT FROM a.content_key)",
        ),
        (
            "documents whose additions and removals were not sent once each",
            "SELECT count(*) FROM documents d WHERE d.source = 'drive' AND (d.status <> 'deleted')::int <> (SELECT
               count(*) FILTER (WHERE e.type = 'drive.file.created') - count(*) FILTER (WHERE e.type = 'drive.file.removed')
               FROM outbox_events e WHERE e.subject = d.id)",
        ),
    ],
};

pub static ATTENDEE: Service = Service {
    name: "attendee",
    whose: Some(attendee::PROJECT),
    struck: &["bots.list", "bots.create", "bots.patch", "bots.delete", "bots.transcript"],
    page_size: None,
    jobs: &[
        &["calendar", "cron", "--force", "--json"],
        &["attendee", "schedule", "--json"],
        &["attendee", "cron", "--force", "--json"],
    ],
    killed: &[&["attendee", "schedule"], &["attendee", "cron", "--force"]],
    // Its limits are one answer, its cursors do not expire, and a refused key is not used again.
    mixed: &[
        "rate_limit_429",
        "timeout_408",
        "server_500",
        "bad_gateway_502",
        "unavailable_503",
        "gateway_timeout_504",
        "connection_reset",
        "answer_lost",
        "cut_body",
        "cut_json",
    ],
    // A test with a hundred runs would soon use up a project's minute, and it has more meetings a day than any user.
    settings: &[
        ("SYNCCTL_QUOTA_ATTENDEE_PROJECT_PER_MINUTE", "100000000"),
        ("SYNCCTL_ATTENDEE_BOTS_PER_DAY", "100000"),
        ("SYNCCTL_ATTENDEE_PROJECT_BOTS_PER_DAY", "100000"),
    ],
    populate: attendee::populate,
    prepare: attendee::prepare,
    churn: attendee::churn,
    // It has no cursors. Some runs must complete: time passes at Attendee, and no meeting may begin before it has its bot.
    expire: |world| drop(world.sync_all().expect(0)),
    truth: attendee::truth,
    stored: attendee::stored,
    finish: attendee::finish,
    check: attendee::check,
    wrong: &[
        (
            "transcripts without their one document and event for each user who wants them",
            "SELECT count(*) FROM attendee_transcripts t JOIN attendee_bots b ON b.id = t.bot JOIN attendee_bot_meetings m ON m.bot = b.id
             WHERE 1 <> (SELECT count(*) FROM documents d JOIN outbox_events e ON e.subject = d.id
               WHERE d.source = 'attendee' AND d.kind = 'transcript' AND d.user_id = m.user_id AND d.source_id = b.bot_id
                 AND e.type = 'attendee.transcript.created')",
        ),
        (
            "documents without a transcript",
            "SELECT count(*) FROM documents d WHERE d.source = 'attendee' AND NOT EXISTS (SELECT 1 FROM attendee_bots b
               JOIN attendee_transcripts t ON t.bot = b.id WHERE b.bot_id = d.source_id)",
        ),
        (
            "meetings that show another state than their bot",
            "SELECT count(*) FROM meetings m JOIN attendee_bots b ON b.bot_id = m.bot_id WHERE m.bot_status IS DISTINCT FROM b.status",
        ),
    ],
};
